"""The stage that builds a round's pairs, with those of earlier rounds that it uses again."""

import pytest
import yaml
from miniature import MINIATURE

import construct_pairs
import summarize_run
from preference.files import conversations, records
from preference.running.stage import InputError
from workflow.config import validation

SECOND_SAYS_AGAIN = {1: "best", 2: "best", 3: "better"}  # round -> the better answer to the second prompt


def sample(prompt: str, number: int, text: str, reward: float) -> dict:
    about = {"prompt_id": records.prompt_id(prompt), "prompt": prompt, "sample_id": number, "response": text}
    return {**about, "response_ids": [5], "finish_reason": "stop", "num_tokens": 1, "reward": reward}


def write_rewards(folder, number: int) -> str:
    """Two prompts with two samples each, whose answer to the first names the round."""
    rows = [sample("a", 0, f"good {number}", 1.0), sample("a", 1, "bad", 0.0)]
    rows += [sample("b", 0, SECOND_SAYS_AGAIN[number], 1.0), sample("b", 1, "worst", 0.0)]
    records.write(folder / f"rewards{number}.parquet", "rewards", rows, {})
    return str(folder / f"rewards{number}.parquet")


def construct(folder, number: int, history: str, **changes) -> list[tuple]:
    """Build the pairs of a round; (round, chosen) of each row."""
    flags = {"output": str(folder / f"pairs{number}.parquet"), "rewards": write_rewards(folder, number), "seed": 1}
    flags |= {"round": number, "history": history if number > 1 else "none"}
    if number > 1:
        flags["earlier"] = str(folder / f"pairs{number - 1}.parquet")
    construct_pairs.main(construct_pairs.Flags(**flags | changes))
    rows = records.read(folder / f"pairs{number}.parquet", "pairs")
    return [(row["round"], conversations.text(row["chosen"])) for row in rows]


def test_without_history_a_round_has_its_own_pairs(tmp_path):
    assert construct(tmp_path, 2, "none", earlier=None) == [(2, "good 2"), (2, "best")]


def test_all_of_history_is_every_rounds_own_pairs_once_and_a_pair_made_again_is_the_later_rounds(tmp_path):
    assert construct(tmp_path, 1, "all") == [(1, "good 1"), (1, "best")]
    assert construct(tmp_path, 2, "all") == [(1, "good 1"), (2, "good 2"), (2, "best")]
    third = [(1, "good 1"), (2, "good 2"), (2, "best"), (3, "good 3"), (3, "better")]
    assert construct(tmp_path, 3, "all") == third


def test_a_history_of_one_round_leaves_out_what_is_older(tmp_path):
    construct(tmp_path, 1, "1")
    assert construct(tmp_path, 2, "1") == [(1, "good 1"), (2, "good 2"), (2, "best")]
    assert construct(tmp_path, 3, "1") == [(2, "good 2"), (2, "best"), (3, "good 3"), (3, "better")]


def test_counts_and_queries_are_those_of_the_round(tmp_path):
    for number in (1, 2):
        construct(tmp_path, number, "all")
    made_by = records.metadata(tmp_path / "pairs2.parquet")
    counts = ("rows_in", "rows_out", "queries", "earlier_pairs", "repeated")
    assert {name: made_by[name] for name in counts} == dict(zip(counts, (4, 3, 4, 1, 1), strict=True))
    assert summarize_run.queries_of(str(tmp_path / "pairs2.parquet")) == 4


def test_a_round_without_a_new_pair_goes_on_with_the_earlier_ones(tmp_path):
    construct(tmp_path, 1, "all")
    assert construct(tmp_path, 2, "all", min_margin=9.0) == [(1, "good 1"), (1, "best")]
    with pytest.raises(InputError, match="no pair is left of 4 rows"):
        construct(tmp_path, 1, "none", min_margin=9.0)


def test_the_pairs_of_another_round_or_of_another_history_are_refused(tmp_path):
    for number in (1, 2):
        construct(tmp_path, number, "1")
    with pytest.raises(InputError, match="pairs1.parquet: is of round 1, not of 2"):
        construct(tmp_path, 3, "1", earlier=str(tmp_path / "pairs1.parquet"))
    with pytest.raises(InputError, match="pairs2.parquet: has --history 1, not all"):
        construct(tmp_path, 3, "all")
    with pytest.raises(InputError, match="--earlier: is missing: --history all reads the pairs of round 2"):
        construct(tmp_path, 3, "all", earlier=None)
    with pytest.raises(InputError, match="--earlier: is not read: --history is none in round 3"):
        construct(tmp_path, 3, "none")
    assert not (tmp_path / "pairs3.parquet").exists()


def test_pairs_of_given_preferences_are_of_no_round_until_a_round_takes_them(tmp_path):
    construct_pairs.main(
        construct_pairs.Flags(output=f"{tmp_path}/given.parquet", rewards=write_rewards(tmp_path, 1), seed=1)
    )
    assert {row["round"] for row in records.read(tmp_path / "given.parquet", "pairs")} == {None}
    taken = {"rewards": None, "preferences": f"{tmp_path}/given.parquet", "earlier": None}
    assert construct(tmp_path, 2, "none", **taken) == [(2, "good 1"), (2, "best")]


def problems(key: str, value) -> list[str]:
    config = yaml.safe_load(MINIATURE.read_text())
    *parents, last = key.split(".")
    part = config
    for name in parents:
        part = part.setdefault(name, {})
    part[last] = value
    return validation.problems(config)


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    """The data file that the miniature's config names."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "instructions.jsonl").write_text('{"instruction": "a", "input": "", "output": "b"}\n')


@pytest.mark.parametrize("value", ["none", "all", 1, 3])
def test_a_config_may_ask_for_none_all_or_some_rounds(value):
    assert problems("stages.construct_pairs.history", value) == []
    assert problems("runs.dpo_on_policy.construct_pairs.history", value) == []


@pytest.mark.parametrize("value", [0, -1, 1.5, "some", "2", True, None, [1]])
def test_another_history_in_a_config_is_refused(value):
    (line,) = problems("stages.construct_pairs.history", value)
    assert line.startswith("stages.construct_pairs.history: ") and line.endswith(
        " is not allowed; use none, all, or how many of the last rounds (from 1)"
    )


def test_a_run_that_makes_no_pairs_of_its_own_has_no_history():
    (line,) = problems("runs.pref_ft_offline.construct_pairs.history", "all")
    assert line.startswith("runs.pref_ft_offline.construct_pairs.history: its source is offline")
    scored = {"algorithm": "best_of_n", "source": "on_policy", "construct_pairs": {"history": 1}}
    trained = {"learning_rate": 1e-4, "epochs": 1, "batch_size": 8, "micro_batch_size": 4, "max_length": 200}
    (line,) = problems("runs.best", {**scored, "train_best_of_n": trained})
    assert line.startswith("runs.best.construct_pairs.history: best_of_n learns from scored samples")
