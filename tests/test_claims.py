"""Claims: what a statistic is, by hand on three seeds; when a claim holds; what is wrong with one that is not one."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bandit_files import write_history

import judge_claims
from preference.analysis import claims, histories
from preference.running.stage import InputError

CELLS = {  # rewards at steps 0, 10 and 20 of three seeds
    "far.ipo": {1: [0.0, 0.5, 0.6], 2: [0.0, 0.5, 0.8], 3: [0.0, 0.5, 0.7]},
    "far.bon": {1: [0.1, 0.2, 0.2], 2: [0.1, 0.2, 0.3], 3: [0.1, 0.2, 0.1]},
    "near.ipo": {1: [0.3, 0.9, 1.0], 2: [0.3, 0.9, 1.0], 3: [0.3, 0.9, 0.9]},
    "near.bon": {1: [0.3, 0.9, 0.9], 2: [0.3, 0.9, 0.9], 3: [0.3, 0.9, 0.9]},
}


def entry(of="far.ipo - far.bon", value="final reward", passes=None, **others) -> dict:
    statistic = {"experiment": "e", "value": value, "of": of, **others}
    return {"id": "c", "claim": "far", "source": "us", "statistic": statistic, "passes": passes or {"above": 0}}


@pytest.fixture(scope="module")
def cells(tmp_path_factory) -> dict[str, histories.History]:
    folder = tmp_path_factory.mktemp("cells")
    found = {name: write_history(folder / f"{name}.parquet", CELLS[name], kl=CELLS["far.bon"]) for name in CELLS}
    lost = {**CELLS["far.ipo"], 2: [0.0, 0.5, None]}
    found["far.lost"] = write_history(folder / "lost.parquet", lost)
    found["far.one"] = write_history(folder / "one.parquet", {1: [0.0, 0.5, 0.6]})
    return {name: histories.read(str(path)) for name, path in found.items()}


def named(cells, claim: claims.Claim) -> dict[str, histories.History]:
    return {name: cells[name.removeprefix("e/")] for name in claim.cell_names()}


def judged(cells, **given) -> dict:
    claim = claims.parse(entry(**given))
    return judge_claims.judge(claim, named(cells, claim))


@pytest.mark.parametrize(
    ("of", "value", "by_hand"),
    [
        ("far.ipo - far.bon", "final reward", [0.4, 0.5, 0.6]),
        ("far.ipo - far.bon", "change reward", [0.5, 0.6, 0.7]),
        ("far.bon", "area reward", [0.175, 0.2, 0.15]),
        ("e[far.ipo] - far.bon", "final reward", [0.4, 0.5, 0.6]),
        ("far.ipo", "steps_to reward 0.65", [20, 20, 20]),
        ("(far.ipo - far.bon) - 3 * (near.ipo - near.bon)", "final reward", [0.1, 0.2, 0.6]),
        ("far.ipo / far.bon", "final reward", [3, 8 / 3, 7]),
        ("-far.ipo + 1", "final reward", [0.4, 0.2, 0.3]),
        ("mean(far.ipo, near.ipo)", "final reward", [0.8, 0.9, 0.8]),
        ("min(far.ipo - far.bon, near.ipo - near.bon)", "final reward", [0.1, 0.1, 0]),
        ("max(far.ipo, 0.75)", "final reward", [0.75, 0.8, 0.75]),
        ("slope(far.bon, far.ipo, near.ipo)", "final reward", [0.4, 0.35, 0.4]),
    ],
)
def test_a_statistic_by_hand(cells, of, value, by_hand):
    claim = claims.parse(entry(of=of, value=value))
    assert judge_claims.per_seed(claim, named(cells, claim)) == pytest.approx(by_hand)


def test_a_correlation_is_between_two_values_of_the_same_cells(cells):
    of = "correlation(far.bon, far.ipo, near.ipo)"
    found = judged(cells, of=of, value="final reward", against="change reward")
    rewards = np.array([[CELLS[name][seed] for seed in (1, 2, 3)] for name in ("far.bon", "far.ipo", "near.ipo")])
    by_seed = [np.corrcoef(rewards[:, i, 2], rewards[:, i, 2] - rewards[:, i, 0])[0, 1] for i in range(3)]
    assert found["mean"] == pytest.approx(np.mean(by_seed)) and found["statistic"].startswith("final reward, against")


def test_cells_are_paired_by_seed(cells):
    # of the difference 0.4, 0.5, 0.6: 0.5 +- 4.3027 * 0.1 / sqrt(3)
    found = judged(cells)
    assert (found["mean"], found["low"], found["high"]) == pytest.approx((0.5, 0.251586, 0.748414), rel=1e-5)


@pytest.mark.parametrize(
    ("passes", "word"),
    [
        ({"above": 0}, claims.HOLDS),
        ({"above": 0.8}, claims.FAILS),
        ({"above": 0.5}, claims.UNDECIDED),
        ({"below": 0.8}, claims.HOLDS),
        ({"below": 0.2}, claims.FAILS),
        ({"within": [0.2, 0.8]}, claims.HOLDS),
        ({"within": [-0.1, 0.1]}, claims.FAILS),
        ({"within": [0.4, 0.6]}, claims.UNDECIDED),
        ({"within": [0.3, 2]}, claims.UNDECIDED),
    ],
)
def test_a_claim_holds_where_its_whole_interval_does(cells, passes, word):
    assert judged(cells, passes=passes)["verdict"] == word


def test_above_and_below_exclude_each_other_and_are_open_together():
    for low, high in np.random.default_rng(0).normal(0, 1, (200, 2)).round(1):
        low, high = min(low, high), max(low, high)
        above, below = (claims.verdict(low, high, bounds) for bounds in ((0.05, np.inf), (-np.inf, 0.05)))
        assert (above, below) in {
            (claims.HOLDS, claims.FAILS),
            (claims.FAILS, claims.HOLDS),
            (claims.UNDECIDED, claims.UNDECIDED),
        }


@pytest.mark.parametrize(
    ("given", "note"),
    [
        ({"of": "far.lost - far.bon"}, "1 of 3 runs of e/far.lost diverged"),
        ({"of": "far.one"}, "one seed has no interval"),
        ({"of": "far.ipo / (near.bon - near.ipo)"}, "1 of 3 seeds would divide by zero"),
    ],
)
def test_a_claim_is_undecided_with_the_reason(cells, given, note):
    found = judged(cells, **given, passes={"above": -1000})
    assert (found["verdict"], found["note"]) == (claims.UNDECIDED, note)


def test_runs_that_never_reach_a_level_are_counted(cells):
    assert (
        judged(cells, of="far.ipo", value="steps_to reward 0.75")["note"] == "2 of 3 runs of e/far.ipo never get there"
    )


def test_a_measure_that_was_not_taken_is_named(cells):
    with pytest.raises(InputError, match="lost.parquet: has no kl, which claim 'c' is about"):
        judged(cells, of="far.lost", value="final kl")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"of": "far.ipo -"}, "claim 'c': statistic.of: 'far.ipo -' is not arithmetic on cells"),
        ({"of": 3}, "statistic.of: '3' is not arithmetic on cells"),
        ({"of": "e[3]"}, "'e.3.' is neither a cell"),
        ({"of": "e.f[far.ipo]"}, "is neither a cell"),
        ({"of": "1 + 2"}, "names no cell"),
        ({"of": "far.ipo ** 2"}, "'far.ipo [*][*] 2' is neither a cell, a number, nor"),
        ({"of": "__import__('os').system"}, "is neither a cell"),
        ({"of": "median(far.ipo, far.bon)"}, "'median.*' is none of mean, min, max, slope, correlation"),
        ({"of": "mean(far.ipo)"}, "of two terms or more"),
        ({"value": "last reward"}, "statistic.value: 'last reward' is not one of final, area, change, steps_to"),
        ({"value": "final joy"}, "'final joy' is not one of"),
        ({"value": "reward"}, "'reward' is not one of"),
        ({"value": "steps_to reward"}, "for steps_to a number"),
        ({"value": "steps_to reward much"}, "'much' is not a number"),
        ({"against": "final kl"}, "'against' and correlation.* need each other"),
        ({"of": "correlation(far.ipo, far.bon)"}, "'against' and correlation.* need each other"),
        ({"experiment": 3}, "statistic.experiment: 3 is not a name"),
        ({"panel": "x"}, "statistic: has no use for 'panel'"),
        ({"passes": {"over": 1}}, "passes: .* is none of above: X, below: X, within"),
        ({"passes": {"above": "much"}}, "passes.above: 'much' is not a number"),
        ({"passes": {"above": float("nan")}}, "passes.above: nan is not a number"),
        ({"passes": {"within": 1}}, "passes.within: 1 is not two numbers"),
        ({"passes": {"within": [1, 1]}}, "passes.within: 1 is not less than 1"),
    ],
)
def test_what_is_no_claim_is_named(change, line):
    with pytest.raises(InputError, match=line):
        claims.parse(entry(**change))


@pytest.mark.parametrize(
    ("entries", "line"),
    [
        ({}, "claims: not a list"),
        ([3], r"claims\[0\]: not keys and values"),
        ([{"id": "c"}], r"claims\[0\]: has no 'claim'"),
        ([entry(), entry()], "claims: the id 'c' occurs twice"),
        ([{**entry(), "source": ""}], "claim 'c': source is not a text"),
    ],
)
def test_what_is_no_list_of_claims_is_named(entries, line):
    with pytest.raises(InputError, match=line):
        claims.parse_all(entries)


def test_cells_that_there_are_not_are_named():
    with pytest.raises(InputError, match="claim 'c': statistic.of: experiment 'e' has no cell 'far.bon'"):
        claims.check_cells(claims.parse(entry()), {"e": ["far.ipo"]})
    with pytest.raises(InputError, match="claim 'c': statistic: there is no experiment 'g'"):
        claims.check_cells(claims.parse(entry(of="far.ipo - g[far.ipo]")), {"e": ["far.ipo"]})


def flags(folder: Path, text: str) -> judge_claims.Flags:
    cells = {name: write_history(folder / f"{name}.parquet", rewards) for name, rewards in CELLS.items()}
    labelled = tuple(f"e/{name}={path}" for name, path in cells.items())
    return judge_claims.Flags(text, str(folder / "claims.csv"), str(folder / "claims.txt"), labelled)


def test_claims_become_a_table_and_a_text_that_fits_a_terminal(tmp_path):
    long = {**entry(passes={"above": 0.5}), "id": "another", "claim": "a long sentence about rewards " * 9}
    judge_claims.main(flags(tmp_path, json.dumps([entry(), long])))
    with (tmp_path / "claims.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["verdict"], first["rule"], second["verdict"]) == ("holds", "above 0", "undecided")
    assert first["statistic"] == "final reward: far.ipo - far.bon"
    text = (tmp_path / "claims.txt").read_text()
    assert text.startswith("2 claims: 1 holds, 0 does not hold, 1 undecided") and "0.50 [0.25, 0.75]" in text
    assert max(map(len, text.splitlines())) <= 100


def test_what_is_not_json_ends_in_one_line(tmp_path):
    given = vars(flags(tmp_path, "[{" * 300))  # longer than a file's name can be
    words = [f"--{name}={value}" for name, value in given.items() if name != "histories"]
    command = [sys.executable, judge_claims.__file__, *words, "--histories", *given["histories"]]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1) and "--claims: not JSON" in ended.stderr
