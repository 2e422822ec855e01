"""Where a task lies: the statistics by hand, as properties and by enumeration, and the stage on small tables."""

import itertools
import subprocess
import sys

import miniature
import numpy as np
import pytest

import diagnose_geometry
from preference.analysis import geometry
from preference.files import artifacts, records
from preference.running.stage import InputError

PROMPTS, SAMPLES = 40, 16


def test_best_of_two_of_three_is_by_hand():
    # the pairs of 1, 2, 4 are won by 2, 4, 4
    assert geometry.best_of_n(np.array([[4.0, 1.0, 2.0]]), 2) == pytest.approx(10 / 3)
    # and what the winners hold elsewhere: 30, 10, 10
    assert geometry.best_of_n(np.array([[4.0, 1, 2]]), 2, np.array([[10.0, 20, 30]])) == pytest.approx(50 / 3)


@pytest.mark.parametrize("n", range(1, 8))
def test_best_of_n_is_the_mean_over_all_subsets(n):
    values = np.random.default_rng(0).normal(size=7)
    subsets = [max(some) for some in itertools.combinations(values, n)]
    assert geometry.best_of_n(values[None], n)[0] == pytest.approx(np.mean(subsets))


def test_best_of_n_kl_is_by_hand():
    assert geometry.best_of_n_kl(1) == 0
    assert geometry.best_of_n_kl(2) == pytest.approx(0.693147 - 0.5, abs=1e-6)


@pytest.mark.parametrize("kl", [0.01, 0.5, 1.0, 1.9])
def test_tilting_reaches_its_kl_and_prefers_higher_rewards(kl):
    rewards = np.random.default_rng(1).normal(size=8)
    weights = geometry.tilting_weights(rewards, kl)
    assert weights.sum() == pytest.approx(1)
    assert (weights * np.log(8 * weights)).sum() == pytest.approx(kl, abs=1e-6)
    assert (np.diff(weights[np.argsort(rewards)]) > 0).all()
    # exponential: log-weights are a line in the reward
    slope = np.diff(np.log(weights)) / np.diff(rewards)
    assert slope == pytest.approx(slope[0])


def test_tilting_stops_at_the_best_samples_where_they_are_too_many_for_the_kl():
    weights = geometry.tilting_weights(np.array([1.0, 1.0, 1.0, 0.0]), 1.0)
    assert weights == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0])
    assert geometry.effective_share(weights) == pytest.approx(0.75)


def test_the_effective_share_is_by_hand():
    assert geometry.effective_share(np.array([0.5, 0.25, 0.25])) == pytest.approx(1 / (3 * 0.375))


def test_spearman_is_by_hand_and_sees_order_only():
    left = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 9.0], [5.0, 5.0, 5.0]])
    right = np.array([[3.0, 1.0, 2.0], [0.0, 1.0, 1.5], [1.0, 2.0, 3.0]])
    assert geometry.spearman(left, right) == pytest.approx([-0.5, 1.0, 0.0])
    assert geometry.ranks(np.array([[2.0, 1.0, 2.0]])).tolist() == [[2.5, 1.0, 2.5]]


def test_percentiles_and_their_counts_are_by_hand():
    samples = np.array([1.0, 2.0, 3.0, 4.0])
    assert geometry.percentiles(np.array([0.0, 2.0, 5.0]), samples).tolist() == [0, 0.375, 1]
    assert geometry.percentile_counts(np.array([0.0, 5.0, 2.0]), samples).tolist() == [1, 0.5, 0.5, 0, 1]


def test_overlap_is_one_of_the_same_and_what_is_left_of_another():
    same, low = np.ones((3, 4)), np.tile([4.0, 0, 0, 0], (3, 1))
    assert geometry.overlaps(same, np.ones((1, 3))) == pytest.approx([1.0])
    assert geometry.overlaps(low, np.ones((1, 3))) == pytest.approx([0.25])
    assert np.isnan(geometry.overlaps(low * [[0], [1], [1]], np.array([[3.0, 0, 0]]))).all()


@pytest.mark.parametrize(
    ("draw", "expected"),
    [
        (lambda rng, size: rng.normal(size=size), 0.275),
        (lambda rng, size: rng.uniform(size=size), 8 / 35),
        (lambda rng, size: -rng.exponential(size=size), 1 / 7),
    ],
)
def test_the_late_gain_is_that_of_the_density_whatever_the_scale(draw, expected):
    rewards = 7 + 3 * draw(np.random.default_rng(2), (40_000, 8))
    last, whole = geometry.late_gains(rewards)
    assert last.sum() / whole.sum() == pytest.approx(expected, abs=0.006)


def write_tables(folder, gold: bool = True, samples: int = SAMPLES, preferred=None, near: bool = True, tokens=True):
    """Samples whose reward's density rises to its peak (near) or falls, and pairs drawn as they are, or as told."""
    rng = np.random.default_rng(3)
    rows, pairs = [], []
    for number in range(PROMPTS):
        prompt = f"prompt {number}"
        named = {"prompt_id": records.prompt_id(prompt), "prompt": prompt}
        for sample in range(samples):
            reward = float(-rng.exponential() if near else rng.normal())
            rows.append(
                {
                    **named,
                    **{"sample_id": sample, "response": "a", "response_ids": [1, 2], "finish_reason": "stop"},
                    **{"num_tokens": 1, "reward": reward, "gold_reward": reward if gold else None},
                    **{"logps": float(rng.normal()), "ref_logps": 0.0, "kl": 0.0, "entropy": 1.0},
                }
            )
        ids = [1, 2] if tokens else None
        pairs.append(
            {
                **named,
                **{"chosen": "a", "rejected": "b", "chosen_tokens": ids, "rejected_tokens": ids},
                **{
                    f"ref_{side}_logps": float(rng.normal() if preferred is None else preferred)
                    for side in ("chosen", "rejected")
                },
            }
        )
    records.write(folder / "samples.parquet", "evaluation", rows, {})
    records.write(folder / "pairs.parquet", "reference_logps", pairs, {})
    return flags_of(folder)


def flags_of(folder):
    return diagnose_geometry.Flags(
        samples=str(folder / "samples.parquet"),
        pairs=str(folder / "pairs.parquet"),
        seed=1,
        output=str(folder / "geometry.json"),
        text_output=str(folder / "geometry.txt"),
    )


@pytest.mark.parametrize(
    ("near", "preferred", "cell"),
    [
        (True, None, "Mode Length"),
        (False, None, "Min Length"),
        (False, -9.0, "Skew Length"),
        (True, -9.0, "not studied"),
    ],
)
@pytest.mark.parametrize(("gold", "tokens"), [(True, True), (False, False)])
def test_a_task_is_placed_in_its_cell_and_says_what_the_paper_expects(tmp_path, near, preferred, cell, gold, tokens):
    flags = write_tables(tmp_path, gold=gold, near=near, preferred=preferred, tokens=tokens)
    diagnose_geometry.main(flags)
    content = artifacts.read_json(flags.output)
    assert content["cell"] == cell and content["sure"] > 0.6
    assert content["judged_by"] == ("gold_reward" if gold else "reward")
    assert sum(content["shares"].values()) == pytest.approx(1)
    assert ("chosen_logps_per_token_percentile" in content["metrics"]) == tokens
    for at in content["metrics"].values():
        assert at["low"] <= at["mean"] <= at["high"]
    text = artifacts.read_text(flags.text_output)
    assert cell in text and content["on_policy_data"] in text and content["negative_gradient"] in text


def test_what_is_said_does_not_hang_on_the_order_of_rows(tmp_path):
    flags = write_tables(tmp_path)
    diagnose_geometry.main(flags)
    before = artifacts.read_json(flags.output)["metrics"]
    rows = records.read(flags.samples, "evaluation")
    records.write(flags.samples, "evaluation", rows[::-1], {})
    diagnose_geometry.main(flags)
    assert artifacts.read_json(flags.output)["metrics"] == before


def test_too_few_samples_are_refused_and_what_to_set_is_said(tmp_path):
    with pytest.raises(InputError, match="has 1 of a prompt; .* wants 8; set evaluate_policy's samples_per_prompt"):
        diagnose_geometry.main(write_tables(tmp_path, samples=1))


def test_pairs_of_other_prompts_are_refused(tmp_path):
    flags = write_tables(tmp_path)
    pairs = records.read(flags.pairs, "reference_logps")
    records.write(flags.pairs, "reference_logps", [row | {"prompt_id": "other"} for row in pairs], {})
    with pytest.raises(InputError, match="--pairs .*pairs.parquet: none of its prompts has samples"):
        diagnose_geometry.main(flags)


def test_a_reward_that_is_the_same_everywhere_is_refused(tmp_path):
    flags = write_tables(tmp_path)
    rows = records.read(flags.samples, "evaluation")
    records.write(flags.samples, "evaluation", [row | {"gold_reward": 1.0} for row in rows], {})
    with pytest.raises(InputError, match="--samples .*: all samples of each prompt have the same gold_reward"):
        diagnose_geometry.main(flags)


def test_no_torch_is_needed(tmp_path):
    said = "import sys, diagnose_geometry; print('torch' in sys.modules)"
    scripts = miniature.ROOT / "scripts"
    assert subprocess.check_output([sys.executable, "-c", said], text=True, cwd=scripts) == "False\n"


def test_the_target_is_planned_from_the_sft_policys_evaluation(tmp_path):
    workflow = miniature.Workflow(tmp_path)
    miniature.write_data(tmp_path)
    said = workflow.call("--dry-run", "results/miniature/min_length/seed1/sft/geometry.json")
    planned = miniature.jobs(said)
    assert {
        "diagnose_geometry min_length, seed 1",
        "compute_eval_reference_logps min_length, seed 1",
        "evaluate_sft_policy min_length, seed 1",
    } <= planned
    assert not [job for job in planned if job.startswith("train_dpo")]
