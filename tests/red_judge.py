"""A judge that a small model can learn to be in seconds: the better answer is the red one."""

import initialize_model
import train_sft
from preference.files import records
from preference.judges import verdicts

TEMPLATE = "{prompt}: {first} or {second}?"
COLOURS = ("red", "blue", "green", "grey")


def right_verdict(first: str, second: str) -> str:
    """Return what the judge should say."""
    return "tie" if (first == "red") == (second == "red") else "A" if first == "red" else "B"


def train(folder) -> str:
    """Train a from-scratch model on the template with the verdicts that are right; return its folder."""
    asked = [
        (verdicts.question(TEMPLATE, prompt, first, second), right_verdict(first, second))
        for prompt in (f"say {number}" for number in range(24))
        for first in COLOURS
        for second in COLOURS
    ]
    rows = [
        {"prompt_id": records.prompt_id(question), "prompt": question, "response": reply} for question, reply in asked
    ]
    records.write(folder / "sft.parquet", "sft", rows, {})
    shape = {"vocab_size": 300, "hidden_size": 64, "num_layers": 2, "num_heads": 2, "context_length": 64, "seed": 0}
    base, model = str(folder / "base"), str(folder / "judge")
    initialize_model.main(initialize_model.Flags(data=str(folder / "sft.parquet"), output=base, **shape))
    steps = {"learning_rate": 3e-3, "epochs": 6, "batch_size": 32, "micro_batch_size": 32, "max_length": 64, "seed": 0}
    files = {"output": model, "log_output": str(folder / "training.csv"), "data": str(folder / "sft.parquet")}
    train_sft.main(train_sft.Flags(base_model=base, **files, **steps))
    return model
