"""Figures of a bandit experiment: equal bytes, panels and lines for every axis, and no trace of a run that diverged."""

import re
from types import SimpleNamespace

import pandas as pd
import pytest
from bandit_files import write_history, write_tuning

import plot_axis
import plot_curves
import summarize_cells
import summarize_seconds
from preference.files import artifacts, summaries
from preference.report import lines
from preference.running.stage import InputError

STEPS = (0, 10, 20)


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """The tables of two rewards, two methods and three sizes, with one run and one whole cell that diverged."""
    folder = tmp_path_factory.mktemp("tables")
    labels = [f"{a}.{b}.{c}" for a in ("far", "near") for b in ("dpo", "ppo") for c in ("b1", "b10", "b100")]
    for i, label in enumerate(labels):
        rewards = {seed: [0.1, 0.2 + 0.01 * i, 0.5 + 0.02 * seed] for seed in (1, 2, 3)}
        if label == "far.dpo.b10":
            rewards[3] = [0.1, 0.2, None]
        if label == "near.ppo.b100":
            rewards = {seed: [0.1, None, None] for seed in rewards}
        kl = {seed: [0.0, 1.0, 2.0 + seed] for seed in rewards}
        write_history(folder / label / "history.parquet", rewards, STEPS, kl=kl)
        write_tuning(folder / label / "tuning.parquet")
    made = {
        name: tuple(f"{label}={folder / label}/{file}.parquet" for label in labels)
        for name, file in (("histories", "history"), ("tunings", "tuning"))
    }
    final, curves = str(folder / "e.csv"), str(folder / "curves_e.csv")
    axes = ("reward", "method", "size")
    summarize_cells.main(summarize_cells.Flags(axes=axes, **made, output=final, curves_output=curves))
    return SimpleNamespace(final=final, curves=curves)


def draw_curves(tables, output, **changes):
    given = {"metric": ("reward",), "x": "step", "panels": ("reward", "method"), "lines": ("size",), "title": "title"}
    flags = plot_curves.Flags(curves=tables.curves, output=str(output), **{**given, **changes})
    plot_curves.main(flags)
    return output.read_text()


def draw_axis(tables, output, **changes):
    given = {"metric": ("final_reward", "change_margin"), "x": "size", "panels": ("reward",), "lines": ("method",)}
    flags = plot_axis.Flags(table=tables.final, output=str(output), **{**given, **changes})
    plot_axis.main(flags)
    return output.read_text()


def shown(svg: str) -> list[str]:
    return [text.strip() for text in re.findall(r">([^<>]+)</text>", svg)]


def test_curves_have_a_panel_per_level_and_named_lines(tables, tmp_path):
    texts = shown(draw_curves(tables, tmp_path / "curves.svg"))
    assert {"far · dpo", "far · ppo", "near · dpo", "near · ppo", "expected reward", "gradient steps"} <= set(texts)
    assert texts.count("b1") == 4 and texts.count("b100") == 3


def test_what_is_drawn_against_kl_has_intervals_and_no_band(tables, tmp_path):
    """A band between points whose KL falls would be folded over itself."""
    bands = [
        len(re.findall('id="(?:Fill|Poly)', draw_curves(tables, tmp_path / f"{x}.svg", x=x))) for x in ("step", "kl")
    ]
    assert bands[0] > 0 and bands[1] == 0


def test_figures_of_equal_data_are_equal_and_show_of_diverged_runs_only_that_there_are(tables, tmp_path):
    by_kl = {"x": "kl", "panels": ("reward",), "lines": ("method", "size")}
    first, again = (draw_curves(tables, tmp_path / f"{name}.svg", **by_kl) for name in "ab")
    assert first == again and (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    drawn = [first, draw_axis(tables, tmp_path / "axis.svg", numbers=(1, 10, 100), log=True)]
    for svg in drawn:
        said = " ".join(shown(svg))
        assert "far · dpo · b10: 1 of 3; near · ppo · b100: 3 of 3" in said and "nan" not in svg.lower()
    assert "not measured here" in drawn[1]  # no margin was measured


@pytest.mark.parametrize(
    ("draw", "change", "line"),
    [
        (draw_curves, {"lines": ()}, "--lines: axis 'size' must be in --panels or in --lines, and once"),
        (
            draw_curves,
            {"lines": ("size", "method")},
            "--lines: axis 'method' must be in --panels or in --lines, and once",
        ),
        (draw_curves, {"panels": ("batch",)}, "--panels: the table has no axis 'batch', only reward, method, size"),
        (draw_curves, {"panels": ("reward", "method", "size"), "lines": ()}, "no more than two axes each"),
        (draw_curves, {"metric": ("reward", "kl")}, "--panels: rows are of an axis or of several --metric, not both"),
        (draw_axis, {"x": "batch"}, "--x: the table has no axis 'batch'"),
        (draw_axis, {"numbers": (1, 2)}, "--numbers: 2 for the 3 levels of size"),
        (draw_axis, {"log": True}, "--log: needs --numbers above 0"),
        (draw_axis, {"metric": ("reward",)}, "--metric: .*e.csv has no 'reward' with an interval"),
        (draw_axis, {"lines": ("method", "size")}, "--lines: the table has no axis 'size'"),
    ],
)
def test_a_figure_that_cannot_be_drawn_is_refused(tables, tmp_path, draw, change, line):
    with pytest.raises(InputError, match=line):
        draw(tables, tmp_path / "no.svg", **change)
    assert not (tmp_path / "no.svg").exists()


def test_levels_that_are_sizes_get_darker_and_others_get_colours_of_their_own():
    table = pd.DataFrame({"size": ["b1", "b10", "b100"], "method": ["dpo", "ipo", "ppo"]})
    sizes = lines.Layout.of(table[["size"]], ["size"], (), ("size",)).looks()
    brightness = [sum(look["color"][:3]) for look in sizes.values()]
    assert brightness == sorted(brightness, reverse=True)
    methods = lines.Layout.of(table[["method"]], ["method"], (), ("method",)).looks()
    assert len({look["color"] for look in methods.values()}) == 3


def test_panels_side_by_side_have_one_scale_that_shows_all_that_can_be():
    table = pd.DataFrame({"method": ["dpo", "ipo"], "y": [1.0, 30.0], "seeds": 3, "diverged": 0})
    layout = lines.Layout.of(table, ["method"], ("method",), ())

    def draw(axis, rows, metric):
        axis.plot([0, 1], [0, rows["y"].iloc[0]])
        axis.get_ylim()  # which settles it, as setting ticks does
        return {}

    _, (margins, rewards) = lines.figure_of(table, ["method"], layout, ("margin", "reward"), draw)
    assert margins[0].get_ylim() == margins[1].get_ylim() and margins[1].get_ylim()[1] > 30
    low, high = rewards[1].get_ylim()
    assert -0.1 < low < 0 and 1 < high < 1.1  # no reward is above 1, whatever the interval of a few seeds says


def test_seconds_are_per_run_and_step_and_a_single_point_has_no_tuning(tmp_path):
    artifacts.write_json(tmp_path / "a.json", {"reporting": {"runs": 10, "steps": 20, "seconds": 4.0}})
    tuning = {"runs": 30, "steps": 20, "seconds": 8.0}
    artifacts.write_json(
        tmp_path / "b.json", {"tuning": tuning, "reporting": {"runs": 10, "steps": 20, "seconds": 4.0}}
    )
    files = tuple(f"e/{name}={tmp_path / name}.json" for name in "ab")
    summarize_seconds.main(summarize_seconds.Flags(files, str(tmp_path / "seconds.csv")))
    found = summaries.read_csv(tmp_path / "seconds.csv", ["experiment", "cell"])
    assert found["tuning_seconds"].isna().tolist() == [True, False] and found["seconds"].tolist() == [4, 12]
    assert found["microseconds_per_step"].tolist() == pytest.approx([20_000, 15_000])


def test_a_file_that_holds_no_seconds_is_named(tmp_path):
    artifacts.write_json(tmp_path / "a.json", {"metrics": {}})
    with pytest.raises(InputError, match="a.json: has no 'reporting'"):
        summarize_seconds.main(summarize_seconds.Flags((f"e/a={tmp_path / 'a.json'}",), str(tmp_path / "s.csv")))
