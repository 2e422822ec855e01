"""Draw how the forward and the reverse KL move mass towards a target, from kl_directions.csv: a column per point.

Above, every category after some steps of either, beside where it starts and where it should end; crosses are the bars
of the published figure under the names that it gives them. Below, the way there.
"""

import matplotlib.pyplot as plt
import pandas as pd
from pydantic.dataclasses import dataclass

from preference.files import provenance, summaries, tables
from preference.report import style
from preference.running import stage
from preference.running.flags import flag
from preference.running.ranges import Count
from preference.running.stage import InputError

NAMES = {"forward": "forward KL(q ‖ p)", "reverse": "reverse KL(p ‖ q)"}
COLOURS = {"start": "#c8c8c8", "forward": style.COLOURS[0], "reverse": style.COLOURS[1]}
TARGET = {"color": "black", "linewidth": 1.6}
CROSS = {"color": "black", "marker": "x", "linestyle": "", "markersize": 4.5, "zorder": 4}
WIDTH = 0.27  # of a bar


@dataclass(frozen=True)
class Flags:
    table: str = flag("kl_directions.csv")
    output: str = style.output_flag()
    steps: Count = flag("the bars are drawn after so many steps", unit="steps")


def main(flags: Flags) -> None:
    table = summaries.read_csv(flags.table, tables.KL_DIRECTIONS.names)
    if flags.steps > table["step"].max():
        raise InputError(f"--steps {flags.steps}: {flags.table} ends at step {table['step'].max()}")
    style.save(drawn(table, flags.steps), flags.output, provenance.describe(__file__, flags, {"table": flags.table}))


def drawn(table: pd.DataFrame, steps: int):
    """The figure."""
    points = list(dict.fromkeys(table["point"]))
    figure, panels = style.panels(["bars", "ways"], len(points))
    for first, *others in panels:
        first.set_ylabel("probability")
        for axis in others:  # before anything is drawn, or the scale would be that of the first
            axis.sharey(first)
    for point, (bar, way) in zip(points, panels.T, strict=True):
        rows = table[table["point"] == point]
        draw_bars(bar, rows, steps)
        bar.set_title(f"{point.replace('_', ' ')}: after {steps} steps")
        draw_ways(way, rows, steps)
    legend(figure, table)
    return figure


def draw_bars(axis, rows: pd.DataFrame, steps: int) -> None:
    """Start, forward and reverse side by side in each category, and the target across them."""
    start = rows[(rows["step"] == 0) & (rows["direction"] == "forward")]
    shown = {"start": start} | {d: rows[(rows["step"] == steps) & (rows["direction"] == d)] for d in NAMES}
    for i, (name, line) in enumerate(shown.items()):
        place = line["category"] + WIDTH * (i - 1)
        axis.bar(place, line["probability"], WIDTH * 0.92, color=COLOURS[name])
        if name != "start":
            axis.plot(place, line["published"], **CROSS)
    axis.hlines(start["target"], start["category"] - 1.6 * WIDTH, start["category"] + 1.6 * WIDTH, **TARGET)
    axis.set_xticks(start["category"], [f"y{category}" for category in start["category"]])
    axis.grid(axis="x", visible=False)


def draw_ways(axis, rows: pd.DataFrame, steps: int) -> None:
    """The probability of each category by step: forward drawn through, reverse dashed, named at the target."""
    for direction, dash in (("forward", "-"), ("reverse", (0, (4, 1.3)))):
        for _, line in rows[rows["direction"] == direction].groupby("category"):
            axis.plot(line["step"], line["probability"], color=COLOURS[direction], linestyle=dash, zorder=3)
    last = rows[(rows["step"] == rows["step"].max()) & (rows["direction"] == "forward")]
    for target, line in last.groupby("target"):
        names = ", ".join(f"y{category}" for category in line["category"])
        beside = {"textcoords": "offset points", "va": "center", "fontsize": 7}
        axis.annotate(names, (rows["step"].max(), target), (4, 0), **beside)
    axis.axvline(steps, color=style.SFT_COLOUR, linewidth=0.8, linestyle=":")
    axis.set_xlabel("steps of gradient descent")


def legend(figure, table: pd.DataFrame) -> None:
    """Below all panels."""
    patches = {"start": "start", **NAMES}
    handles = [plt.Rectangle((0, 0), 1, 1, color=COLOURS[name], label=label) for name, label in patches.items()]
    handles.append(plt.Line2D([], [], label="target q", **TARGET))
    if table["published"].notna().any():
        handles.append(plt.Line2D([], [], label="published bar of that name", **CROSS))
    figure.legend(handles=handles, loc="outside lower center", ncols=3)


if __name__ == "__main__":
    stage.run(main, Flags)
