"""Turns: who speaks and what they say, in every published spelling of a message, and nothing is refused."""

import pytest
from artifact_files import CALL, CHAT

from preference.files import turns
from preference.files.turns import Turn

ASKED, ANSWERED = {"role": "user", "content": "why?"}, {"role": "assistant", "content": "because"}


def test_one_message_of_whom_the_column_speaks_has_no_label():
    assert turns.read("prompt", [ASKED]) == turns.read("prompt", "why?") == [Turn("", "why?")]
    assert turns.read("chosen", [ANSWERED]) == turns.read("response", "because") == [Turn("", "because")]
    assert turns.read("prompt", [ANSWERED]) == [Turn("assistant", "because")]
    assert turns.read("messages", [ASKED]) == [Turn("user", "why?")]


def test_several_messages_say_who_speaks_and_which_tool_is_called():
    assert turns.read("prompt", CHAT) == [
        Turn("system", "Be short."),
        Turn("user", "What time is it?"),
        Turn("assistant calls clock · c1", '{"zone": "UTC"}'),
        Turn("tool · clock · c1", "12:00"),
        Turn("user", CHAT[-1]["content"]),
    ]


def test_what_a_model_thinks_and_says_and_calls_are_turns_of_their_own():
    message = ANSWERED | {"reasoning_content": "hm", "tool_calls": [CALL, CALL]}
    labels = [turn.label for turn in turns.read("response", [message])]
    assert labels == ["assistant thinks", "assistant", *["assistant calls clock · c1"] * 2]
    assert turns.length(turns.read("response", [message])) == len("hm" + "because") + 2 * len('{"zone": "UTC"}')


@pytest.mark.parametrize(
    "value",
    [
        [{"from": "human", "value": "why?"}, {"from": "gpt", "value": "because"}],
        {"from": ["human", "gpt"], "value": ["why?", "because"]},  # as older data sets are stored
        [{"from": "human", "value": "why?", "weight": None}, {"from": "gpt", "value": "because", "weight": None}],
    ],
)
def test_sharegpts_spellings_are_read(value):
    assert turns.read("conversations", value) == [Turn("human", "why?"), Turn("gpt", "because")]


@pytest.mark.parametrize(
    "message, turn",
    [
        ({"role": "user", "content": None}, Turn("user", "")),
        (
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image"}, "b"]},
            Turn("user", "a[image]b"),
        ),
        ({"role": "user", "content": {"a": b"1234"}}, Turn("user", '{"a": "4 bytes"}')),
        ({"role": None, "content": "a"}, Turn("no role", "a")),
        ({"from": "gpt", "value": "a", "weight": 0.5}, Turn("gpt · weight 0.5", "a")),
        (
            {"role": "assistant", "tool_calls": '[{"name": "f", "arguments": {"x": 1}}]'},
            Turn("assistant calls f", '{"x": 1}'),
        ),
        ({"role": "assistant", "tool_calls": "f(1"}, Turn("assistant calls no JSON", "f(1")),
        ({"role": "assistant", "content": "", "tool_calls": [None]}, Turn("assistant calls no name", "")),
        (None, Turn("no message", "")),
    ],
)
def test_no_message_is_refused(message, turn):
    assert turns.read("messages", [message]) == [turn]


def test_a_cell_without_a_value_is_not_one_without_messages():
    assert turns.read("prompt", None) is None and turns.length(None) is None
    assert turns.read("prompt", []) == [] and turns.length([]) == 0


def test_messages_are_known_by_their_keys():
    assert turns.is_conversation(CHAT) and turns.is_conversation({"from": "gpt", "value": "a"})
    assert not any(map(turns.is_conversation, ([], [1], "role content", [{"role": "user"}], [{"content": "a"}], None)))
