"""Tables of a bandit experiment: intervals over seeds, runs that diverged, and what does not fit together."""

import csv
from pathlib import Path

import pytest
from bandit_files import write_history, write_tuning

import summarize_cells
from preference.analysis import histories
from preference.analysis.measures import OF_BANDITS
from preference.files import records
from preference.running.stage import InputError

REWARDS = {1: [0.0, 0.2, 1.0], 2: [0.0, 0.4, 2.0], 3: [0.0, 0.6, 3.0]}


def make(folder: Path, axes=("reward", "method"), tuning: dict | None = None, **cells) -> tuple[list[dict], list[dict]]:
    """The two tables of cells, each given as keywords of write_history."""
    for label, given in cells.items():
        write_history(folder / f"{label}.parquet", **given)
        write_tuning(folder / f"{label}.tuning.parquet", **(tuning or {}))
    labels = {label: label.replace("_", ".") for label in cells}
    flags = summarize_cells.Flags(
        axes=axes,
        histories=tuple(f"{name}={folder / label}.parquet" for label, name in labels.items()),
        tunings=tuple(f"{name}={folder / label}.tuning.parquet" for label, name in labels.items()),
        output=str(folder / "e.csv"),
        curves_output=str(folder / "curves_e.csv"),
    )
    summarize_cells.main(flags)
    return table(folder / "e.csv"), table(folder / "curves_e.csv")


def read(folder: Path, rewards: dict) -> histories.History:
    return histories.read(str(write_history(folder / "history.parquet", rewards)))


def table(path: Path) -> list[dict]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_measures_have_titles_in_the_order_of_the_schema():
    assert list(OF_BANDITS) == [f.name for f in records.SCHEMAS["history"]][-len(OF_BANDITS) :]


def test_a_cell_has_the_t_interval_of_its_seeds(tmp_path):
    (cell,), curves = make(tmp_path, far_dpo={"rewards": REWARDS, "entropy": 4.0})
    # 2 +- 4.3027 * 1 / sqrt(3)
    found = [float(cell[f"final_reward{end}"]) for end in ("", "_low", "_high")]
    assert found == pytest.approx([2, -0.484138, 4.48414], rel=1e-5)
    assert float(cell["area_reward"]) == pytest.approx((0.2 + 1.2) / 2)  # trapezia of the mean curve 0, 0.4, 2
    assert (cell["reward"], cell["method"], cell["seeds"], cell["diverged"]) == ("far", "dpo", "3", "0")
    last = [line for line in curves if line["metric"] == "reward"][-1]
    assert (last["step"], last["queries"], last["seeds"]) == ("20", "100", "3") and float(last["low"]) < 0


def test_a_run_that_diverged_is_counted_and_in_no_mean_at_any_step(tmp_path):
    rewards = {**REWARDS, 4: [9.0, 9.0, None]}
    (cell,), curves = make(tmp_path, far_dpo={"rewards": rewards})
    assert (cell["seeds"], cell["diverged"], float(cell["final_reward"])) == ("3", "1", 2)
    found = [line for line in curves if line["metric"] == "reward"]
    assert [float(line["mean"]) for line in found] == pytest.approx([0, 0.4, 2])
    assert {(line["seeds"], line["diverged"]) for line in found} == {("3", "1")}


def test_a_cell_that_diverged_altogether_has_empty_cells_and_is_in_both_tables(tmp_path):
    (cell,), (line,) = make(tmp_path, far_dpo={"rewards": {1: [0.0, None, None], 2: [0.0, 0.1, None]}})
    assert (cell["diverged"], cell["final_reward"], line["mean"], line["diverged"]) == ("2", "", "", "2")


def test_one_seed_has_a_mean_and_no_interval(tmp_path):
    (cell,), _ = make(tmp_path, far_dpo={"rewards": {1: [0.0, 0.2, 1.0]}})
    assert (float(cell["final_reward"]), cell["final_reward_low"]) == (1, "")


def test_a_measure_that_was_not_taken_is_empty_and_has_no_curve(tmp_path):
    loss = {seed: [None, 0.7, 0.5] for seed in REWARDS}  # there is no loss before the first step
    (cell,), curves = make(tmp_path, far_dpo={"rewards": REWARDS, "loss": loss})
    assert (float(cell["final_loss"]), cell["final_kl"]) == (0.5, "")
    assert [line["step"] for line in curves if line["metric"] == "loss"] == ["10", "20"]
    assert {line["metric"] for line in curves} == {"reward", "loss"}


def test_what_was_chosen_and_how_near_the_end_of_the_grid_is_shown(tmp_path):
    (cell,), _ = make(tmp_path, far_dpo={"rewards": REWARDS}, tuning={"diverged": (0.1,)})
    assert (cell["grid"], cell["grid_diverged"], cell["at_end_of_grid"]) == ("3", "1", "no")
    (cell,), _ = make(tmp_path, far_dpo={"rewards": REWARDS}, tuning={"rates": (0.001, 0.01)})
    assert cell["at_end_of_grid"] == "yes"


def test_what_a_seed_comes_down_to(tmp_path):
    history = read(tmp_path, {1: [0.0, 0.5, 1.0], 2: [0.5, 0.5, 0.5]})
    steps, values = history.steps, history.finite("reward")
    assert histories.area(steps, values).tolist() == pytest.approx([0.5, 0.5])
    assert histories.change(steps, values).tolist() == [1, 0]
    assert histories.steps_to(steps, values, 0.5).tolist() == [10, 0]
    assert histories.steps_to(steps, values, 0.9).tolist() == [20, 20]  # the second never: at least the last step


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"axes": ("reward",)}, "--histories, --metrics: 'far.dpo' has not a level for each of the 1 axes reward"),
        ({"axes": ("reward", "step")}, "--axes: 'step' is also another column"),
        ({"axes": ("reward", "reward")}, "--axes: 'reward' is also another column"),
        ({"tuning": {"chosen": 0.1}}, r"far_dpo.tuning.parquet: does not choose what .*far_dpo.parquet was made with"),
    ],
)
def test_cells_that_do_not_fit_are_named(tmp_path, change, line):
    with pytest.raises(InputError, match=line):
        make(tmp_path, **change, far_dpo={"rewards": REWARDS})


def test_seeds_recorded_at_other_steps_are_named(tmp_path):
    path = write_history(tmp_path / "history.parquet", REWARDS)
    rows = records.read(path, "history")
    records.write(path, "history", rows[:-1], {})
    with pytest.raises(InputError, match="history.parquet: not every seed has each of the 3 steps once"):
        histories.read(path)


@pytest.mark.parametrize(
    ("values", "line"),
    [
        (("far.dpo",), "--histories: 'far.dpo' is not LABEL=PATH"),
        (("a=b", "a=c"), "--histories: the label 'a' occurs twice"),
    ],
)
def test_labels_that_cannot_be_read_are_named(values, line):
    with pytest.raises(InputError, match=line):
        histories.labelled(values, "histories")
