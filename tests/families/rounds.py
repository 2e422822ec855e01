"""One round of every stage on tiny data, from SFT to evaluation, in this process."""

import compute_reference_logps
import construct_pairs
import evaluate_policy
import generate_responses
import score_responses
import train_dpo
import train_reward_model
import train_sft
from preference.files import conversations, records

WORDS = ["red", "blue", "one", "two", "three", "hi"]
FIT = {"learning_rate": 2e-3, "micro_batch_size": 8, "batch_size": 8, "max_length": 256, "seed": 1}
SAMPLING = {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 12, "seed": 3, "batch_size": 16}


def _row(prompt: list[dict], **columns) -> dict:
    return {"prompt_id": records.prompt_id(prompt), "prompt": prompt, **columns}


def _questions(begin: str) -> list[list[dict]]:
    """Prompts of one turn and of three."""
    short = [conversations.user(f"{begin} {word}") for word in WORDS]
    long = [
        [*conversations.user("Hi"), *conversations.assistant("Hello."), *conversations.user(f"{begin} {i}?")]
        for i in range(2)
    ]
    return short + long


def write_data(folder) -> None:
    """Write the tables that a task has."""
    sft = [_row(prompt, response=f"{WORDS[i % 3]}.") for i, prompt in enumerate(_questions("Say"))]
    trained, held_out = (
        [_row(prompt, chosen="red.", rejected="one two three") for prompt in _questions(begin)]
        for begin in ("Name", "Count")
    )
    tables = {
        "sft": ("sft", sft),
        "prompts": ("prompts", [_row(prompt) for prompt in _questions("Tell me")]),
        "preferences": ("pairs", trained),
        "eval_preferences": ("pairs", held_out[:4]),
        "eval_prompts": ("eval_prompts", [_row(row["prompt"], response=row["chosen"]) for row in held_out[:4]]),
    }
    for name, (kind, rows) in tables.items():
        records.write(folder / f"{name}.parquet", kind, rows, {})


def play(base: str, folder, engine: str = "transformers") -> None:
    """Make every artifact of a round in a folder that has the data."""
    train_policy(base, folder)
    sample(folder, engine)
    train_rewards(folder)
    files = {"responses": (f"{folder}/responses.parquet",), "reward_model": (f"{folder}/reward_model",)}
    scored = {**files, "output": f"{folder}/rewards.parquet", "max_length": 256}
    score_responses.main(score_responses.Flags(**scored))
    paired = {"rewards": f"{folder}/rewards.parquet", "output": f"{folder}/pairs.parquet", "seed": 5}
    construct_pairs.main(construct_pairs.Flags(**paired))
    files = {"pairs": f"{folder}/pairs.parquet", "reference": f"{folder}/policy"}
    compared = {**files, "output": f"{folder}/reference_logps.parquet", "max_length": 256}
    compute_reference_logps.main(compute_reference_logps.Flags(**compared))
    trained = {"pairs": f"{folder}/reference_logps.parquet", "policy": f"{folder}/policy", "epochs": 2, "beta": 0.1}
    train_dpo.main(train_dpo.Flags(**FIT, **trained, **_outputs(folder, "trained")))
    evaluate(folder, engine)


def train_policy(base: str, folder, epochs: int = 12) -> None:
    flags = {"data": f"{folder}/sft.parquet", "base_model": base, "epochs": epochs}
    train_sft.main(train_sft.Flags(**FIT, **flags, **_outputs(folder, "policy")))


def sample(folder, engine: str, **changed) -> None:
    flags = {"policy": f"{folder}/policy", "prompts": f"{folder}/prompts.parquet", "samples_per_prompt": 3, "round": 1}
    flags |= {"output": f"{folder}/responses.parquet", "engine": engine, **SAMPLING, **changed}
    generate_responses.main(generate_responses.Flags(**flags))


def train_rewards(folder) -> None:
    flags = {"pairs": f"{folder}/preferences.parquet", "eval_pairs": f"{folder}/eval_preferences.parquet"}
    flags |= {"policy": f"{folder}/policy", "epochs": 2, "evaluation_output": f"{folder}/reward_evaluation.json"}
    train_reward_model.main(train_reward_model.Flags(**FIT, **flags, **_outputs(folder, "reward_model")))


def evaluate(folder, engine: str) -> None:
    flags = {"policy": f"{folder}/trained", "reference": f"{folder}/policy"}
    flags |= {"reward_model": (f"{folder}/reward_model",)}
    flags |= {"prompts": f"{folder}/eval_prompts.parquet", "pairs": f"{folder}/eval_preferences.parquet"}
    flags |= {"output": f"{folder}/evaluation.json", "samples_output": f"{folder}/evaluation.parquet"}
    flags |= {"samples_per_prompt": 1, "max_length": 256, "engine": engine, **SAMPLING}
    evaluate_policy.main(evaluate_policy.Flags(**flags))


def _outputs(folder, name: str) -> dict:
    return {"output": f"{folder}/{name}", "log_output": f"{folder}/{name}.csv"}
