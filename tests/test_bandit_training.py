"""The batched program of the bandit lab against plain loops, and runs against their neighbours."""

import math

import bandit_oracle
import pytest
import torch

import run_bandit
from preference.analysis.measures import OF_BANDITS
from preference.bandits import objectives, training
from preference.bandits.cells import NEGATIVES, Cell
from preference.bandits.training import Runs

SMALL = {"states": 4, "batch_states": 2, "samples": 4, "hidden_size": 8, "eval_states": 3, "initialization": "random"}
ON_POLICY = {"source": "on_policy", "rounds": 2, "epochs": 1}
OFFLINE = {"source": "offline", "rounds": 1, "epochs": 2}
REWARDS = {"categorical": 5, "gaussian": 1, "tanh_gaussian": 1, "cauchy": 3, "tanh_cauchy": 2, "tokens": 7}
LINE = [policy for policy in REWARDS if policy not in ("categorical", "tokens")]

ALGORITHMS = {  # name -> (settings, beta)
    "best_of_n": ({"algorithm": "best_of_n", **OFFLINE}, None),
    "rwr": ({"algorithm": "rwr", **OFFLINE}, 0.3),
    "awr": ({"algorithm": "awr", **ON_POLICY, "epochs": 2}, 0.5),
    "pref_ft": ({"algorithm": "pref_ft", **OFFLINE, "min_margin": 0.01}, None),
    "dpo": ({"algorithm": "dpo", **ON_POLICY, "diagnose": True}, 0.5),
    "ipo": ({"algorithm": "ipo", **OFFLINE, "min_margin": 0.02, "diagnose": True}, 0.05),
    "reinforce": ({"algorithm": "reinforce", **ON_POLICY, "fresh_states": True, "kl_coef": 0.1}, None),
    "ppo": ({"algorithm": "ppo", **ON_POLICY, "epochs": 2, "clip_range": 0.01, "kl_coef": 0.1}, None),
}
NEGATIVE = {
    name: ({"algorithm": "best_of_n", **ON_POLICY, "fresh_states": True, "negative": name}, 0.4)
    for name in NEGATIVES[1:]
}
SHAPED = [
    ("reinforce", "average", None),
    ("reinforce", "per_prompt", "running"),
    ("reinforce", "moving_average", "per_state"),
    ("rwr", "per_prompt", "running"),
    ("ppo", "moving_average", None),
    ("ppo", "exponential_moving_average", "running"),
    ("ppo", "leave_one_out", "per_state"),
]
SHAPED = {
    f"{name}-{baseline}-{scale}": (ALGORITHMS[name][0] | {"baseline": baseline, "scale": scale}, ALGORITHMS[name][1])
    for name, baseline, scale in SHAPED
}
CASES = [("categorical", *case) for case in (ALGORITHMS | NEGATIVE | SHAPED).items()]
CASES += [("tokens", *case) for case in ALGORITHMS.items()]
CASES += [(LINE[i % len(LINE)], *case) for i, case in enumerate((ALGORITHMS | NEGATIVE).items())]


def small(policy: str, **settings) -> Cell:
    sizes = SMALL | ({"states": 2, "batch_states": 1, "samples": 3, "record_every": 3} if policy == "tokens" else {})
    return Cell(policy=policy, reward=REWARDS[policy], **sizes | settings)


def train(cell: Cell, seeds, *grid, dtype=torch.float64):
    """(runs, records) of the batched program."""
    runs = Runs.of(seeds, list(grid))
    return runs, training.train(cell, runs, dtype=dtype)


def run_of(records: list[dict], i: int) -> list[dict]:
    """The records of one run, each a dict of numbers."""
    return [
        {name: value[i].item() if isinstance(value, torch.Tensor) else value for name, value in record.items()}
        for record in records
    ]


def agree(some: list[dict], others: list[dict], tolerance: float) -> None:
    assert [record["step"] for record in some] == [record["step"] for record in others]
    for one, other in zip(some, others, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            assert one[name] == pytest.approx(other[name], rel=tolerance, abs=tolerance, nan_ok=True), (
                name,
                one["step"],
            )


@pytest.mark.parametrize(("policy", "name", "case"), CASES, ids=[f"{policy}-{name}" for policy, name, _ in CASES])
def test_a_run_beside_others_equals_a_plain_loop(policy, name, case):
    settings, beta = case
    cell = small(policy, **settings)
    other = None if beta is None else 2 * beta
    runs, records = train(cell, (7, 3), (0.03, beta), (0.01, other))  # the oracle's run is the last of them
    assert (runs.seeds[-1], runs.learning_rates[-1], runs.betas[-1]) == (3, 0.03, beta)
    plain = bandit_oracle.train(cell, 3, 0.03, beta)
    assert abs(plain[-1]["kl"] - plain[0]["kl"]) > 1e-4, "the comparison would be trivial: nothing was learnt"
    agree(run_of(records, -1), plain, 1e-6)


@pytest.mark.parametrize("policy", ["categorical", "gaussian", "tanh_cauchy", "tokens"])
def test_first_parameters_equal_those_of_a_plain_loop(policy, monkeypatch):
    for module in (training, bandit_oracle):
        monkeypatch.setattr(module, "PRETRAINING_STEPS", 4)
    cell = small(policy, **ON_POLICY, algorithm="best_of_n", initialization="pretrained")
    batched = training.policy_of(cell, torch.float64)
    ours = training.initial(batched, cell, Runs.of((9, 3), [(0.1, None)]))
    plain = bandit_oracle.initial(cell, bandit_oracle.policy_of(cell), 3)
    untrained = batched.init(torch.tensor([3]))
    assert ours.keys() == plain.keys()
    for name, value in plain.items():
        assert torch.allclose(ours[name][1], value, atol=1e-8, rtol=0), name
    assert max((ours[name][1] - untrained[name][0]).abs().max() for name in ours) > 0.01


@pytest.mark.parametrize("policy", ["categorical", "tanh_gaussian", "tokens"])
def test_a_run_is_the_same_alone_and_beside_other_seeds_and_grid_points(policy):
    cell = small(policy, algorithm="ipo", **ON_POLICY, diagnose=True)
    runs, records = train(cell, (1, 2, 3), (0.01, 0.1), (0.03, 0.1), (0.03, 1.0))
    for seed, rate, beta in ((2, 0.03, 1.0), (3, 0.01, 0.1)):
        (i,) = [
            i
            for i, run in enumerate(zip(runs.seeds.tolist(), runs.learning_rates, runs.betas, strict=True))
            if run == (seed, rate, beta)
        ]
        _, alone = train(cell, (seed,), (rate, beta))
        agree(run_of(records, i), run_of(alone, 0), 1e-10)


def test_what_is_remembered_from_round_to_round_is_each_runs_own():
    settings = ON_POLICY | {"rounds": 3, "fresh_states": True, "scale": "running"}
    for baseline in ("moving_average", "exponential_moving_average"):
        cell = small("categorical", algorithm="reinforce", baseline=baseline, **settings)
        _, records = train(cell, (1, 2, 3), (0.03, None), (0.1, None))
        _, alone = train(cell, (2,), (0.1, None))
        agree(run_of(records, 4), run_of(alone, 0), 1e-10)


@pytest.mark.parametrize("policy", ["categorical", "cauchy", "tokens"])
def test_a_run_that_diverges_is_recorded_as_such_and_leaves_its_neighbours_alone(policy):
    cell = small(policy, algorithm="ipo", **ON_POLICY, record_every=1)
    runs, records = train(cell, (1, 2), (0.01, 0.1), (1e200, 0.1))
    assert [alive.tolist() for alive in training.finite(records)] == [[True] * 4] + [[True, True, False, False]] * 4
    _, alone = train(cell, (2,), (0.01, 0.1))
    agree(run_of(records, 1), run_of(alone, 0), 1e-10)
    lost = [each for each in run_bandit.history_rows(runs, records) if each["learning_rate"] > 1 and each["step"]]
    assert len(lost) == 8 and all(each["diverged"] for each in lost)
    assert not any(each.keys() & OF_BANDITS.keys() for each in lost), "a number of a run that is not finite"
    assert run_bandit.best(run_bandit.tuning_rows(runs, records)) == (0.01, 0.1)


@pytest.mark.parametrize("policy", ["categorical", "gaussian", "tokens"])
def test_single_precision_is_close_to_double(policy):
    cell = small(policy, algorithm="dpo", **OFFLINE)
    double, single = (train(cell, (5,), (0.01, 0.5), dtype=dtype)[1] for dtype in (torch.float64, torch.float32))
    agree(run_of(single, 0), run_of(double, 0), 1e-3)


def test_offline_ppo_compares_with_what_sampled():
    cell = small("categorical", **ALGORITHMS["ppo"][0] | OFFLINE)
    agree(run_of(train(cell, (3,), (0.03, None))[1], 0), bandit_oracle.train(cell, 3, 0.03), 1e-6)


def test_pairs_by_hand_on_three_samples_leave_out_ties_and_small_gaps():
    rewards = torch.tensor([[[3.0, 2.0, 2.0]]])
    chosen, rejected = objectives.pairs(rewards)
    assert list(zip(chosen.flatten().tolist(), rejected.flatten().tolist(), strict=True)) == [(3, 2), (3, 2), (2, 2)]
    assert objectives.counted_pairs(rewards, 0.0).flatten().tolist() == [True, True, False]
    assert not objectives.counted_pairs(rewards, 1.0).any()


def test_a_run_that_was_not_finite_once_counts_as_diverged_ever_after():
    nan, inf = math.nan, math.inf
    history = [
        {"step": 0, "reward": torch.tensor([1.0, 1.0, 1.0]), "margin": torch.tensor([nan, 0.0, 0.0])},
        {"step": 1, "reward": torch.tensor([1.0, nan, 1.0]), "margin": torch.tensor([0.0, 0.0, 0.0])},
        {"step": 2, "reward": torch.tensor([1.0, 1.0, inf]), "margin": torch.tensor([0.0, 0.0, 0.0])},
    ]
    found = [alive.tolist() for alive in training.finite(history)]
    assert found == [[True, True, True], [True, False, True], [True, False, False]]


def test_where_no_pair_counts_nothing_is_learnt_nothing_is_measured_on_pairs_and_nothing_diverges():
    cell = small("categorical", algorithm="dpo", **ON_POLICY, min_margin=2.0, diagnose=True)  # rewards are at most 1
    runs, records = train(cell, (3,), (0.03, 0.1))
    assert all(alive.all() for alive in training.finite(records))
    rows = run_bandit.history_rows(runs, records)
    assert not any(name in each for each in rows for name in training.OF_PAIRS)
    assert {each["reward"] for each in rows} == {rows[0]["reward"]} and rows[-1]["loss"] == 0


def test_records_are_of_the_first_the_last_and_every_nth_step():
    cell = small("categorical", algorithm="rwr", **ON_POLICY, record_every=3)
    _, records = train(cell, (1,), (0.01, 0.5))
    places = [(record["step"], record["round"], record["queries"]) for record in records]
    assert places == [(0, 0, 0), (3, 2, 32), (4, 2, 32)]
