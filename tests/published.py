"""Rows of our own in the layouts that data sets are published in, and the example that each of them is."""

USER, ASSISTANT, SYSTEM = "user", "assistant", "system"


def chat(*turns):
    """Messages of the user and of the assistant in turn."""
    return [{"role": (USER, ASSISTANT)[i % 2], "content": text} for i, text in enumerate(turns)]


def system(text, *turns):
    return [{"role": SYSTEM, "content": text}, *chat(*turns)]


def said(text):
    return [{"role": ASSISTANT, "content": text}]


def sft(prompt, response, **more):
    messages = chat(prompt) if isinstance(prompt, str) else prompt
    return {"prompt": messages, "response": said(response), **more}


def pair(prompt, chosen, rejected, chosen_reward=None, rejected_reward=None):
    messages = chat(prompt) if isinstance(prompt, str) else prompt
    sides = {"prompt": messages, "chosen": said(chosen), "rejected": said(rejected)}
    return sides | {"chosen_reward": chosen_reward, "rejected_reward": rejected_reward}


def scored(prompt, *answers, **more):
    found = [{"response": said(text), "given_reward": reward} for text, reward in answers]
    return {"prompt": chat(prompt), "answers": found, **more}


def one_answer(prompt, response, given_reward, **more):
    return {**sft(prompt, response), "given_reward": given_reward, **more}


def sharegpt(*turns, human="human", gpt="gpt"):
    return [{"from": (human, gpt)[i % 2], "value": text} for i, text in enumerate(turns)]


CALL = {"name": "clock", "arguments": {"zone": "UTC"}}
CALLED = {"type": "function", "function": {"name": "clock", "arguments": '{"zone": "UTC"}'}}
TAGGED = "<|prompter|>a<|endoftext|><|assistant|>b<|endoftext|><|prompter|>c<|endoftext|><|assistant|>"
HUMAN = "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant:"
QA = ((USER, "q"), (ASSISTANT, "a"))
ABC = chat("a", "b", "c")

# case: (the format that is printed, a row as it is published, the example, columns that are not used)
PUBLISHED = {
    "UltraChat": (
        "messages",
        {"prompt": "q", "prompt_id": "x", "messages": chat("q", "a", "more", "b")},
        sft(chat("q", "a", "more"), "b"),
        ["prompt_id"],
    ),
    "Tulu": ("messages", {"id": "1", "messages": chat("q", "a"), "source": "s"}, sft("q", "a"), ["id", "source"]),
    "messages with a system message": ("messages", {"messages": system("s", "q", "a")}, sft(system("s", "q"), "a"), []),
    "messages that end with a question": ("messages", {"messages": chat("q", "a", "more")}, sft("q", "a"), []),
    "messages of which some are not learnt": (
        "messages",
        {"messages": [*chat("q"), said("a")[0] | {"weight": 1}, *chat("more"), said("b")[0] | {"weight": 0}]},
        sft("q", "a"),
        [],
    ),
    "messages as JSON text": (
        "messages",
        {"messages": '[{"role": "user", "content": "q"}, {"role": "bot", "content": "a"}]'},
        sft("q", "a"),
        [],
    ),
    "messages as a printed list": (
        "messages",
        {"messages": "[{'role': 'user', 'content': 'q'}\n {'role': 'assistant', 'content': 'a'}]"},
        sft("q", "a"),
        [],
    ),
    "messages as lists side by side": (
        "messages",
        {"messages": {"role": [USER, ASSISTANT], "content": ["q", "a"]}},
        sft("q", "a"),
        [],
    ),
    "messages of parts": (
        "messages",
        {"messages": [{"role": role, "content": [{"type": "text", "text": text}]} for role, text in QA]},
        sft("q", "a"),
        [],
    ),
    "messages with tools": (
        "messages",
        {
            "messages": [*chat("q"), {"role": ASSISTANT, "content": None, "tool_calls": [CALL]}],
            "tools": [{"name": "clock"}],
        },
        {
            "prompt": chat("q"),
            "response": [{"role": ASSISTANT, "content": "", "tool_calls": [CALLED]}],
            "tools": [{"name": "clock"}],
        },
        [],
    ),
    "ShareGPT": ("sharegpt", {"conversations": sharegpt("q", "a", "more", "b")}, sft(chat("q", "a", "more"), "b"), []),
    "ShareGPT with a system turn": (
        "sharegpt",
        {"conversations": [{"from": "system", "value": "s"}, *sharegpt("q", "a")]},
        sft(system("s", "q"), "a"),
        [],
    ),
    "ShareGPT that begins with an answer": (
        "sharegpt",
        {"conversations": [{"from": "gpt", "value": "hi"}, *sharegpt("q", "a")]},
        sft("q", "a"),
        [],
    ),
    "ShareGPT by another name": (
        "sharegpt",
        {"conversation": sharegpt("q", "a", human="prompter", gpt="bot")},
        sft("q", "a"),
        [],
    ),
    "turns of role and text": (
        "messages",
        {"messages": [{"role": "prompter", "text": "q"}, {"role": "assistant", "text": "a"}]},
        sft("q", "a"),
        [],
    ),
    "lists of texts": (
        "turns_of_texts",
        {"conversations": ["q", "a", "more", "b"]},
        sft(chat("q", "a", "more"), "b"),
        [],
    ),
    "Capybara": (
        "capybara",
        {"source": "s", "conversation": [{"input": "q", "output": "a"}, {"input": "more", "output": "b"}]},
        sft(chat("q", "a", "more"), "b"),
        ["source"],
    ),
    "Capybara's preferences": (
        "ultrafeedback",
        {
            "source": "s",
            "conversation": [{"input": "q", "output": "a"}],
            "chosen": chat("q", "a"),
            "rejected": chat("q", "b"),
            "rating_chosen": 5,
            "rating_rejected": 4,
        },
        pair("q", "a", "b", 5.0, 4.0),
        ["source", "conversation"],
    ),
    "alpaca instructions": (
        "alpaca_instructions",
        {"instruction": "Add.", "input": "1 2", "output": "3"},
        sft("Add.\n1 2", "3"),
        [],
    ),
    "alpaca with system and history": (
        "alpaca_instructions",
        {"instruction": "c", "input": "", "output": "d", "system": "s", "history": [["a", "b"]]},
        sft(system("s", "a", "b", "c"), "d"),
        [],
    ),
    "a system message by another name": (
        "sft",
        {"system_message": "s", "prompt": "q", "response": "a"},
        sft(system("s", "q"), "a"),
        [],
    ),
    "OpenAI's functions": (
        "messages",
        {"messages": chat("q", "a"), "functions": [{"name": "clock"}]},
        sft("q", "a", tools=[{"name": "clock"}]),
        [],
    ),
    "OpenAI's preferences": (
        "openai_preferences",
        {
            "input": {"messages": ABC, "tools": [{"name": "clock"}], "parallel_tool_calls": True},
            "preferred_output": said("d"),
            "non_preferred_output": said("e"),
        },
        {"prompt": ABC, "chosen": said("d"), "rejected": said("e"), "tools": [{"name": "clock"}]},
        [],
    ),
    "Dolly": (
        "dolly",
        {"instruction": "Add.", "context": "1 2", "response": "3", "category": "c"},
        sft("Add.\n1 2", "3"),
        ["category"],
    ),
    "alpaca with a score": (
        "alpaca_scored",
        {"instruction": "Add.", "input": "1 2", "output": "3", "score": 4.5},
        one_answer("Add.\n1 2", "3", 4.5),
        [],
    ),
    "LLaMA-Factory's KTO": (
        "alpaca_kto",
        {"instruction": "Add.", "input": "1 2", "output": "4", "kto_tag": False},
        one_answer("Add.\n1 2", "4", 0.0, unpaired=True),
        [],
    ),
    "alpaca preferences": (
        "alpaca_preferences",
        {"instruction": "q", "input": None, "output_1": "one", "output_2": "two", "preference": 2, "source": "x"},
        {"prompt": chat("q"), "chosen": said("two"), "rejected": said("one")},
        ["source"],
    ),
    "alpaca pairs": (
        "alpaca_pairs",
        {"instruction": "Add.", "input": "1 2", "chosen": "3", "rejected": "4"},
        pair("Add.\n1 2", "3", "4"),
        [],
    ),
    "UltraFeedback's first preferences": (
        "alpaca_pairs",
        {
            "instruction": "q",
            "chosen_response": "a",
            "rejected_response": "b",
            "chosen_avg_rating": 5.0,
            "rejected_avg_rating": 3.5,
            "chosen_model": "m",
        },
        pair("q", "a", "b", 5.0, 3.5),
        ["chosen_model"],
    ),
    "AlpacaEval outputs": (
        "alpaca_eval_outputs",
        {"instruction": "q", "output": "a", "generator": "m", "dataset": "d"},
        sft("q", "a"),
        ["dataset"],
    ),
    "AlpacaEval annotations": (
        "alpaca_eval_annotations",
        {
            "instruction": "q",
            "output_1": "one",
            "output_2": "two",
            "generator_1": "m",
            "generator_2": "n",
            "annotator": "j",
            "preference": 2,
        },
        pair("q", "two", "one", 1.0, 0.0),
        ["annotator"],
    ),
    "AlpacaEval's weighted annotations": (
        "alpaca_eval_annotations",
        {
            "instruction": "q",
            "output_1": "one",
            "output_2": "two",
            "generator_1": "m",
            "generator_2": "n",
            "preference": 1.25,
        },
        pair("q", "one", "two", 0.75, 0.25),
        [],
    ),
    "AlpacaEval's ties": (
        "alpaca_eval_annotations",
        {
            "instruction": "q",
            "output_1": "one",
            "output_2": "two",
            "generator_1": "m",
            "generator_2": "n",
            "preference": 1.5,
        },
        pair("q", "one", "two", 0.5, 0.5),
        [],
    ),
    "relabelled": (
        "relabelled",
        {
            "prompt": "<|prompter|> q\nnow<|endoftext|><|assistant|>",
            "y_w": "<|prompter|> q\nnow<|endoftext|><|assistant|>A.<|endoftext|>",
            "y_l": "<|prompter|> q\nnow<|endoftext|><|assistant|>B.<|endoftext|>",
            "y_w_score": -1.0,
            "y_l_score": -2,
            "output": "o",
        },
        pair("q\nnow", "A.", "B.", -1.0, -2.0),
        ["output"],
    ),
    "relabelled of two turns": (
        "relabelled",
        {"prompt": TAGGED, "y_w": f"{TAGGED}good<|endoftext|>", "y_l": f"{TAGGED}bad<|endoftext|>"},
        pair(ABC, "good", "bad"),
        [],
    ),
    "UltraFeedback-binarized": (
        "ultrafeedback",
        {
            "prompt": "q",
            "prompt_id": "x",
            "chosen": chat("q", "good"),
            "rejected": chat("q", ""),
            "messages": chat("q", "good"),
            "score_chosen": 9.0,
            "score_rejected": 4.5,
        },
        pair("q", "good", "", 9.0, 4.5),
        ["prompt_id", "messages"],
    ),
    "UltraFeedback's ratings by another name": (
        "ultrafeedback",
        {
            "prompt": "q",
            "chosen": chat("q", "a"),
            "chosen-rating": 5.0,
            "rejected": chat("q", "b"),
            "rejected-rating": 1.0,
        },
        pair("q", "a", "b", 5.0, 1.0),
        [],
    ),
    "Skywork": (
        "ultrafeedback",
        {"chosen": chat("a", "b", "c", "d"), "rejected": chat("a", "b", "c", "e"), "source": "s"},
        pair(ABC, "d", "e"),
        ["source"],
    ),
    "conversations that part early": (
        "ultrafeedback",
        {"chosen": chat("a", "yes", "b", "c"), "rejected": chat("a", "no")},
        pair("a", "yes", "no"),
        [],
    ),
    "prompts that differ by a blank": (
        "ultrafeedback",
        {"chosen": chat("a", "b"), "rejected": chat("a ", "c")},
        pair("a", "b", "c"),
        [],
    ),
    "two answers to a question": (
        "ultrafeedback",
        {"question": "q", "chosen": said("a"), "rejected": said("b")},
        pair("q", "a", "b"),
        [],
    ),
    "an answer that is a tool call": (
        "ultrafeedback",
        {
            "chosen": [*chat("q"), {"role": ASSISTANT, "content": None, "tool_calls": [CALL]}],
            "rejected": chat("q", "dunno"),
        },
        {**pair("q", "", "dunno"), "chosen": [{"role": ASSISTANT, "content": "", "tool_calls": [CALLED]}]},
        [],
    ),
    "UltraFeedback raw": (
        "ultrafeedback_raw",
        {
            "source": "s",
            "instruction": "q",
            "completions": [
                {"response": "a", "overall_score": 3.0, "model": "m"},
                {"response": "b", "overall_score": 8.5},
            ],
        },
        scored("q", ("a", 3.0), ("b", 8.5)),
        ["source"],
    ),
    "Nectar": (
        "nectar",
        {
            "prompt": "\n\nHuman: q\n\nAssistant: ",
            "answers": [{"answer": "a", "model": "m", "rank": 1.0}, {"answer": "b", "model": "n", "rank": 2.0}],
            "turns": 1,
        },
        scored("q", ("a", -1.0), ("b", -2.0)),
        ["turns"],
    ),
    "HelpSteer 2": (
        "helpsteer2",
        {
            "prompt": "q",
            "response": "a",
            "helpfulness": 3,
            "correctness": 4,
            "coherence": 4,
            "complexity": 1,
            "verbosity": 1,
        },
        one_answer("q", "a", 3.0),
        ["correctness", "coherence", "complexity", "verbosity"],
    ),
    "HelpSteer 2 of several turns": (
        "helpsteer2",
        {"prompt": "a\n<extra_id_1>Assistant\nb\n<extra_id_1>User\nc", "response": "d", "helpfulness": 1},
        one_answer(ABC, "d", 1.0),
        [],
    ),
    "HelpSteer 2's preferences": (
        "helpsteer2_preference",
        {"split": "train", "prompt": "q", "response_1": "a", "response_2": "b", "preference_strength": -2},
        pair("q", "a", "b", 2.0, 0.0),
        ["split"],
    ),
    "HelpSteer 3": (
        "helpsteer3",
        {"domain": "code", "context": ABC, "response1": "d", "response2": "e", "overall_preference": 1},
        pair(ABC, "e", "d", 1.0, 0.0),
        ["domain"],
    ),
    "SHP": (
        "shp",
        {
            "post_id": "p",
            "history": "q",
            "human_ref_A": "a",
            "human_ref_B": "b",
            "labels": 0,
            "score_A": 3,
            "score_B": 9,
        },
        pair("q", "b", "a", 9.0, 3.0),
        ["post_id"],
    ),
    "orca_dpo_pairs": (
        "orca_dpo_pairs",
        {"system": "s", "question": "q", "chosen": "a", "rejected": "b"},
        pair(system("s", "q"), "a", "b"),
        [],
    ),
    "orca_dpo_pairs without a system message": (
        "orca_dpo_pairs",
        {"system": "", "question": "q", "chosen": "a", "rejected": "b"},
        pair("q", "a", "b"),
        [],
    ),
    "Orca": (
        "orca",
        {"id": "1", "system_prompt": "s", "question": "q", "response": "a"},
        sft(system("s", "q"), "a"),
        ["id"],
    ),
    "a prompt and two messages": (
        "trl",
        {"prompt": "q", "chosen": said("a")[0], "rejected": said("b")[0]},
        pair("q", "a", "b"),
        [],
    ),
    "pairs of an input": ("input_pairs", {"input": "q", "chosen": "a", "rejected": "b"}, pair("q", "a", "b"), []),
    "messages and two messages": (
        "conversation_pairs",
        {"messages": chat("q"), "chosen": said("a")[0], "rejected": said("b")[0]},
        pair("q", "a", "b"),
        [],
    ),
    "UltraInteract": (
        "conversation_pairs",
        {"id": "1", "trajectory": [{"from": "user", "value": "q"}], "chosen": "a", "rejected": "b"},
        pair("q", "a", "b"),
        ["id"],
    ),
    "ShareGPT and two messages": (
        "conversation_pairs",
        {
            "conversations": sharegpt("q"),
            "chosen": {"from": "gpt", "value": "a"},
            "rejected": {"from": "gpt", "value": "b"},
        },
        pair("q", "a", "b"),
        [],
    ),
    "RewardBench": (
        "rewardbench",
        {
            "prompt": "q",
            "chosen": "a",
            "chosen_model": "m",
            "rejected": "b",
            "rejected_model": "n",
            "subset": "chat",
            "id": 0,
        },
        pair("q", "a", "b"),
        ["subset", "id"],
    ),
    "RewardBench 2": (
        "rewardbench2",
        {"id": "1", "prompt": "q", "chosen": ["a"], "rejected": ["b", "c"]},
        scored("q", ("a", 1.0), ("b", 0.0), ("c", 0.0)),
        ["id"],
    ),
    "GSM8K": (
        "gsm8k",
        {"question": "q", "answer": "1 + 1 = 2\n#### 2"},
        sft("q", "1 + 1 = 2\n#### 2", fields={"answer": "1 + 1 = 2\n#### 2"}),
        [],
    ),
    "HH": (
        "hh",
        {"chosen": "\n\nHuman: q?\n\nAssistant: a.", "rejected": "\n\nHuman: q?\n\nAssistant: a\n\nnot."},
        pair("q?", "a.", "a\n\nnot."),
        [],
    ),
    "HH of two turns": ("hh", {"chosen": f"{HUMAN} good", "rejected": f"{HUMAN} "}, pair(ABC, "good", ""), []),
    "HH that parts early": (
        "hh",
        {
            "chosen": "\n\nHuman: a\n\nAssistant: yes\n\nHuman: b\n\nAssistant: c",
            "rejected": "\n\nHuman: a\n\nAssistant: no\n\nHuman: d",
        },
        pair("a", "yes", "no"),
        [],
    ),
    "HH with two turns of a person": (
        "hh",
        {"chosen": "\n\nHuman: a\n\nHuman: b\n\nAssistant: c", "rejected": "\n\nHuman: a\n\nHuman: b\n\nAssistant: d"},
        pair("a\n\nb", "c", "d"),
        [],
    ),
    "HH with the prompt in a column": (
        "hh_with_prompt",
        {"prompt": HUMAN, "response": " good", "chosen": " good", "rejected": " bad"},
        pair(ABC, "good", "bad"),
        [],
    ),
    "HH with the prompt in a column, too": (
        "hh_with_prompt",
        {"prompt": HUMAN, "chosen": f"{HUMAN} good", "rejected": f"{HUMAN} bad"},
        pair(ABC, "good", "bad"),
        [],
    ),
    "HH's prompts": ("sft", {"prompt": HUMAN, "response": "d"}, sft(ABC, "d"), []),
    "TRL, explicit prompt": ("trl", {"prompt": "q", "chosen": "a", "rejected": "b"}, pair("q", "a", "b"), []),
    "TRL, explicit prompt, conversational": (
        "trl_conversations",
        {"prompt": ABC, "chosen": said("d"), "rejected": said("e")},
        pair(ABC, "d", "e"),
        [],
    ),
    "TRL, explicit prompt, both of several messages": (
        "trl_conversations",
        {
            "prompt": chat("q"),
            "chosen": [*said("a"), *chat("more"), *said("b")],
            "rejected": [*said("a"), *chat("more"), *said("c")],
        },
        pair(chat("q", "a", "more"), "b", "c"),
        [],
    ),
    "TRL, implicit prompt": (
        "trl_implicit",
        {"chosen": "The sky is blue.", "rejected": "The sky is blank."},
        pair("The sky is", "blue.", "blank."),
        [],
    ),
    "TRL, implicit prompt, conversational": (
        "ultrafeedback",
        {"chosen": chat("q", "a"), "rejected": chat("q", "b")},
        pair("q", "a", "b"),
        [],
    ),
    "TRL, prompt and completion": ("prompt_completion", {"prompt": "q", "completion": "a"}, sft("q", "a"), []),
    "TRL, prompt and completion, conversational": (
        "prompt_completion",
        {"prompt": ABC, "completion": said("d")},
        sft(ABC, "d"),
        [],
    ),
    "TRL, unpaired": (
        "trl_unpaired",
        {"prompt": "q", "completion": "a", "label": True},
        one_answer("q", "a", 1.0, unpaired=True),
        [],
    ),
    "TRL, unpaired, conversational": (
        "trl_unpaired",
        {"prompt": ABC, "completion": said("d"), "label": False},
        one_answer(ABC, "d", 0.0, unpaired=True),
        [],
    ),
    "TRL, prompts": ("prompts", {"prompt": "q"}, {"prompt": chat("q"), "response": None}, []),
    "TRL, prompts, conversational": ("prompts", {"prompt": ABC}, {"prompt": ABC, "response": None}, []),
    "TRL with a system column": (
        "trl",
        {"system": "s", "prompt": "q", "chosen": "a", "rejected": "b"},
        pair(system("s", "q"), "a", "b"),
        [],
    ),
    "TRL with tools": (
        "trl",
        {"tools": '[{"name": "clock"}]', "prompt": "q", "chosen": "a", "rejected": "b"},
        {**pair("q", "a", "b"), "tools": [{"name": "clock"}]},
        [],
    ),
    "unpaired conversations": (
        "unpaired_conversations",
        {"conversations": sharegpt("q", "a"), "label": False},
        one_answer("q", "a", 0.0, unpaired=True),
        [],
    ),
    "PKU-SafeRLHF": (
        "safe_rlhf",
        {"prompt": "q", "response_0": "a", "response_1": "b", "better_response_id": 1, "safer_response_id": 0},
        {"prompt": chat("q"), "chosen": said("b"), "rejected": said("a")},
        ["safer_response_id"],
    ),
    "Chatbot Arena": (
        "chatbot_arena",
        {
            "model_a": "m",
            "model_b": "n",
            "winner": "model_b",
            "conversation_a": chat("q", "a"),
            "conversation_b": chat("q", "b"),
        },
        pair("q", "b", "a", 1.0, 0.0),
        ["model_a", "model_b"],
    ),
    "Chatbot Arena's bad answers": (
        "chatbot_arena",
        {"conversation_a": chat("q", "a"), "conversation_b": chat("q", "b"), "winner": "both_bad"},
        pair("q", "a", "b", 0.5, 0.5),
        [],
    ),
    "Chatbot Arena's 55k": (
        "arena_55k",
        {
            "id": 1,
            "prompt": '["q", "more"]',
            "response_a": '["a", "b"]',
            "response_b": '["c", null]',
            "winner_model_a": 0,
            "winner_model_b": 1,
            "winner_tie": 0,
        },
        pair("q", "c", "a", 1.0, 0.0),
        ["id"],
    ),
    "lists of answers and of scores": (
        "scored_lists",
        {"prompt": "q", "responses": ["a", "b"], "scores": [0.5, 2]},
        scored("q", ("a", 0.5), ("b", 2.0)),
        [],
    ),
    "a prompt beside an instruction": (
        "sft",
        {"instruction": "Be kind.", "prompt": "q", "response": "a"},
        sft("q", "a"),
        ["instruction"],
    ),
    "Magpie": (
        "sharegpt",
        {"instruction": "q", "response": "a", "conversations": sharegpt("q", "a")},
        sft("q", "a"),
        ["instruction", "response"],
    ),
    "generations and their ratings": (
        "scored_lists",
        {"instruction": "q", "generations": ["a", "b"], "ratings": [2.0, 4.0], "model_name": "m"},
        scored("q", ("a", 2.0), ("b", 4.0)),
        ["model_name"],
    ),
    "a question with rated answers": (
        "scored",
        {"question": "q", "answer": "a", "rating": 4},
        one_answer("q", "a", 4.0),
        [],
    ),
    "our instructions": (
        "sft",
        {"prompt_id": "x", "prompt": ABC, "tools": None, "fields": '{"answer": "4"}', "response": said("d")},
        sft(ABC, "d", fields={"answer": "4"}),
        ["prompt_id"],
    ),
    "our pairs": (
        "trl",
        {"prompt": "q", "chosen": "a", "rejected": "b", "chosen_reward": 1.0, "rejected_reward": None},
        pair("q", "a", "b", 1.0),
        [],
    ),
    "our answers": (
        "scored",
        {"prompt": chat("q"), "response": said("a"), "given_reward": 0.5},
        one_answer("q", "a", 0.5),
        [],
    ),
}
