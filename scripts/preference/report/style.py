"""How every figure looks: colours per run, sizes, panels, and files that are equal where the data are equal."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.ticker import MaxNLocator

from preference.files import artifacts, summaries, tables
from preference.running.flags import flag

# Okabe and Ito's colours, which the colour-blind tell apart, without the yellow that is too pale on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F5B3A")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", (0, (5, 1.5)), (0, (1, 1)))
SFT_COLOUR = "#555555"
SFT_LINE = {"color": SFT_COLOUR, "linestyle": "--", "linewidth": 1.2}
PALE = {"linewidth": 0.8, "alpha": 0.4, "zorder": 2}  # single seeds beside their mean
PANEL = (3.5, 2.9)  # inches
SETTINGS = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "font.size": 9,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "savefig.dpi": 160,
    "svg.fonttype": "none",  # text stays text: it can be searched, and a screen reader finds it
    "svg.hashsalt": "prefdag",  # else the ids of clip paths are random
}


def output_flag():
    """Declare the flag of a script's figure."""
    return flag("figure to write, .svg; the .png goes beside it")


def read(path: str) -> pd.DataFrame:
    """The tidy table of an experiment (tables/metrics.csv)."""
    return summaries.read_csv(path, tables.TIDY.names)


def panels(tasks: Sequence[object], columns: int):
    """A figure with a row of panels per task: (figure, axes of shape (tasks, columns))."""
    plt.rcParams.update(SETTINGS)
    size = (PANEL[0] * columns, PANEL[1] * len(tasks) + 0.4)
    return plt.subplots(len(tasks), columns, figsize=size, squeeze=False, layout="constrained")


def looks(metrics: pd.DataFrame) -> dict[str, dict]:
    """Map each run, in the table's order, to the colour, marker and dashes that it has in every figure."""
    runs = list(dict.fromkeys(metrics["run"]))
    return {
        run: {
            "color": COLOURS[i % len(COLOURS)],
            "marker": MARKERS[i % len(MARKERS)],
            "linestyle": DASHES[i // len(COLOURS) % len(DASHES)],
        }
        for i, run in enumerate(runs)
    }


def lines_of(rows: pd.DataFrame) -> tuple[pd.DataFrame, list[pd.DataFrame]]:
    """The line to show for a run (its only seed, or the mean of its seeds), and those of its several seeds."""
    seeds = [line.sort_values("round") for seed, line in rows.groupby("seed") if seed != summaries.MEAN]
    mean = rows[rows["seed"] == summaries.MEAN].sort_values("round")
    return (seeds[0], []) if mean.empty else (mean, seeds)


def draw_runs(axis, rows: pd.DataFrame, look: dict[str, dict]) -> None:
    """One metric of one task by round: a line per run with its 95 % band; with several seeds, a pale line per seed.

    The dashed horizontal line is SFT, which is round 0 of every run.
    """
    if rows.empty:
        return note(axis, "not measured here")
    axis.axhline(rows[rows["round"] == 0]["mean"].mean(), **SFT_LINE, zorder=1)
    for run in dict.fromkeys(rows["run"]):
        line, seeds = lines_of(rows[rows["run"] == run])
        axis.plot(line["round"], line["mean"], zorder=3, **look[run])
        for seed in seeds:
            axis.plot(seed["round"], seed["mean"], color=look[run]["color"], **PALE)
        if not line["low"].isna().all():
            axis.fill_between(
                line["round"], line["low"], line["high"], color=look[run]["color"], alpha=0.13, linewidth=0
            )
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_xlabel("round")


def note(axis, text: str) -> None:
    """An empty panel that says why it is empty."""
    axis.set_axis_off()
    axis.text(0.5, 0.5, text, ha="center", va="center", color=SFT_COLOUR, transform=axis.transAxes)


def legend(figure, look: dict[str, dict], sft: dict) -> None:
    """One legend below all panels; `sft` is how the figure shows the SFT policy."""
    kinds = {**look, "SFT": sft}
    handles = [plt.Line2D([], [], label=name, **kind) for name, kind in kinds.items()]
    widest = max(len(handle.get_label()) for handle in handles)
    columns = max(1, int(figure.get_figwidth() / (0.5 + 0.066 * widest)))
    figure.legend(handles=handles, loc="outside lower center", ncols=min(columns, len(handles)))


def save(figure, path: str, made_by: dict) -> None:
    """Write path (an .svg), the .png beside it and their manifests; no dates, no versions: equal bytes."""
    metadata = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}
    for kind, values in metadata.items():
        image = Path(path).with_suffix(f".{kind}")
        with artifacts.atomic(image) as temporary:
            figure.savefig(temporary, format=kind, metadata=values)
        artifacts.write_manifest(image, {"kind": kind, **made_by})
    plt.close(figure)
