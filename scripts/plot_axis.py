"""Draw what the cells of an experiment come down to against one of its axes, from its table in tables/.

A row of panels per metric and a column per level of an axis; a line per level of the others through the means over
seeds, with 95 % t intervals.
"""

import itertools

import numpy as np
import pandas as pd
from pydantic.dataclasses import dataclass

from preference.files import provenance, summaries, tables
from preference.report import lines, style
from preference.report.lines import Layout
from preference.running import stage
from preference.running.flags import flag
from preference.running.ranges import Finite
from preference.running.stage import InputError


@dataclass(frozen=True)
class Flags(lines.PanelFlags):
    table: str = flag("<experiment>.csv")
    output: str = style.output_flag()
    metric: tuple[str, ...] = flag("columns of the table such as final_reward or change_margin, a row of panels each")
    x: str = flag("the axis that they are drawn against")
    numbers: tuple[Finite, ...] = flag("where its levels stand, in their order; side by side if not given", default=())
    log: bool = flag("numbers on a logarithmic scale", default=False, form="switch")


def main(flags: Flags) -> None:
    table = summaries.read_csv(flags.table, ["seeds", "diverged"])
    axes = list(itertools.takewhile(lambda name: name not in tables.RESERVED, table.columns))
    places = places_of(table, axes, flags)
    layout = Layout.of(table, [axis for axis in axes if axis != flags.x], flags.panels, flags.lines)

    def draw_panel(axis, rows: pd.DataFrame, metric: str):
        scale(axis, places, flags)
        return draw(axis, rows, metric, flags.x, places, layout)

    figure, panels = lines.figure_of(table, axes, layout, flags.metric, draw_panel)
    for axis in panels[-1]:
        axis.set_xlabel(lines.said(flags.x))
    figure.suptitle(flags.title or None)
    style.save(figure, flags.output, provenance.describe(__file__, flags, {"table": flags.table}))


def places_of(table: pd.DataFrame, axes: list[str], flags: Flags) -> dict[str, float]:
    """Where each level of the axis stands."""
    if flags.x not in axes:
        raise InputError(f"--x: the table has no axis '{flags.x}', only {', '.join(axes)}")
    if missing := [metric for metric in flags.metric if f"{metric}_low" not in table.columns]:
        raise InputError(f"--metric: {flags.table} has no '{missing[0]}' with an interval")
    levels = list(dict.fromkeys(table[flags.x]))
    numbers = flags.numbers or tuple(range(len(levels)))
    if len(numbers) != len(levels):
        raise InputError(f"--numbers: {len(numbers)} for the {len(levels)} levels of {flags.x}")
    if flags.log and min(numbers) <= 0:
        raise InputError("--log: needs --numbers above 0")
    return dict(zip(levels, numbers, strict=True))


def draw(axis, table: pd.DataFrame, metric: str, x: str, places: dict[str, float], layout: Layout) -> dict:
    """One panel: the means of each line and their intervals. Returns where each line ends."""
    ends = {}
    for levels, look in layout.looks().items():
        line = lines.select(table, dict(zip(layout.lines, levels, strict=True))).dropna(subset=metric)
        if not line.empty:
            reach = np.abs(line[[f"{metric}_low", f"{metric}_high"]].to_numpy().T - line[metric].to_numpy())
            axis.errorbar(line[x].map(places), line[metric], yerr=reach, capsize=2.5, elinewidth=1, **look, zorder=3)
            ends[levels] = line[metric].iloc[-1]
    if not ends:
        style.note(axis, "not measured here" if (table["seeds"] > 0).any() or table.empty else "every run diverged")
    elif metric.startswith("change"):
        axis.axhline(0, color=style.SFT_COLOUR, linewidth=0.8, zorder=1)
    return ends


def scale(axis, places: dict[str, float], flags: Flags) -> None:
    """A tick at each level: its number, or its name where it has none."""
    if flags.log:
        axis.set_xscale("log")
    names = [f"{number:g}" for number in flags.numbers] or [lines.said(level) for level in places]
    axis.set_xticks(list(places.values()), names, fontsize=8)
    axis.set_xticks([], minor=True)


if __name__ == "__main__":
    stage.run(main, Flags)
