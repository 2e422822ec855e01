"""A reward model learns from the pairs and the labels that its flags say, and is judged on all held-out ones."""

import json
import math

import pandas
import pytest

import train_reward_model
from preference.files import evaluations, records


def pairs(count: int, word: str) -> list[dict]:
    prompts = [f"{word} {i}" for i in range(count)]
    return [
        {"prompt_id": records.prompt_id(prompt), "prompt": prompt, "chosen": f"red {i}", "rejected": "one two three"}
        for i, prompt in enumerate(prompts)
    ]


@pytest.fixture
def train(tiny_policy, tmp_path):
    """Train for one step of next to nothing: what is measured is what the flags made of the pairs."""
    records.write(tmp_path / "pairs.parquet", "pairs", pairs(6, "count"), {})
    records.write(tmp_path / "eval_pairs.parquet", "pairs", pairs(4, "say"), {})

    def trained(**changed):
        steps = {"learning_rate": 1e-9, "epochs": 1, "batch_size": 6, "micro_batch_size": 6, "max_length": 64}
        made = {"output": f"{tmp_path}/model", "log_output": f"{tmp_path}/training.csv"}
        files = {"pairs": f"{tmp_path}/pairs.parquet", "eval_pairs": f"{tmp_path}/eval_pairs.parquet"}
        evaluation = f"{tmp_path}/evaluation.json"
        flags = {**steps, **made, **files, "policy": tiny_policy, "seed": 1, "evaluation_output": evaluation, **changed}
        train_reward_model.main(train_reward_model.Flags(**flags))
        log, evaluated = pandas.read_csv(made["log_output"]), json.loads((tmp_path / "evaluation.json").read_text())
        evaluations.REWARD_MODEL.check({"metrics": evaluated["metrics"]})
        manifest = json.loads((tmp_path / "model.manifest.json").read_text())
        return log.iloc[0], evaluated["metrics"], {key: manifest[key] for key in ("rows_in", "pairs", "swapped")}

    return trained


def test_swapped_labels_turn_what_is_learnt_and_not_what_it_is_judged_by(train, capsys):
    (right, judged, counts), (wrong, judged_too, swapped) = train(), train(label_noise=1.0)
    assert wrong["margin"] == pytest.approx(-right["margin"], rel=1e-4) and abs(right["margin"]) > 1e-4
    assert judged_too["margin"]["mean"] == pytest.approx(judged["margin"]["mean"], rel=1e-4)
    assert counts == {"rows_in": 6, "pairs": 6, "swapped": 0} and swapped == {"rows_in": 6, "pairs": 6, "swapped": 6}
    assert "pairs to learn from: 6 of 6, the labels of 6 swapped" in capsys.readouterr().out


def test_a_number_of_pairs_is_a_subset_and_all_held_out_pairs_are_judged(train):
    log, judged, counts = train(num_pairs=1)
    assert counts == {"rows_in": 6, "pairs": 1, "swapped": 0} and judged["margin"]["n"] == 4
    alone, _, _ = train(num_pairs=1, label_noise=1.0)
    assert alone["margin"] == pytest.approx(-log["margin"], rel=1e-4)


def test_label_smoothing_is_in_the_loss_that_is_learnt_and_not_in_the_one_it_is_judged_by(train):
    log, judged, _ = train(num_pairs=1, label_smoothing=0.2)
    plain, judged_plain, _ = train(num_pairs=1)
    right, wrong = (math.log(1 + math.exp(sign * log["margin"])) for sign in (-1, 1))
    assert log["loss"] == pytest.approx(0.8 * right + 0.2 * wrong, rel=1e-5)
    assert plain["loss"] == pytest.approx(right, rel=1e-5) and plain["loss"] != pytest.approx(log["loss"], rel=1e-5)
    assert judged["loss"]["mean"] == pytest.approx(judged_plain["loss"]["mean"], rel=1e-5)
