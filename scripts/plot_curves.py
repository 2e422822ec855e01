"""Draw measures of an experiment's cells as they learn, from its curves in tables/: against steps, queries or KL.

A row of panels per measure and a column per level of an axis, or, of one measure, rows and columns by two axes; a line
per level of the others, the mean over seeds, with its 95 % t band; against KL, which may fall, with an interval at each
point.
"""

import pandas as pd
from pydantic.dataclasses import dataclass

from preference.analysis.measures import PROGRESS, TITLES
from preference.files import provenance, summaries, tables
from preference.report import lines, style
from preference.report.lines import Layout
from preference.running import stage
from preference.running.flags import flag

FEW = 9  # points of a line that are marked, so that one sees between which it is only a line


@dataclass(frozen=True)
class Flags(lines.PanelFlags):
    curves: str = flag("curves_<experiment>.csv")
    output: str = style.output_flag()
    metric: tuple[str, ...] = flag("measures, a row of panels each", choices=tuple(TITLES))
    x: str = flag("what they are drawn against", choices=tuple(PROGRESS))


def main(flags: Flags) -> None:
    table = summaries.read_csv(flags.curves, tables.CURVES.names)
    axes = list(table.columns[: table.columns.get_loc("step")])
    layout = Layout.of(table, axes, flags.panels, flags.lines)

    def draw_panel(axis, rows: pd.DataFrame, metric: str):
        return draw(axis, against(rows, axes, metric, flags.x), layout, band=flags.x != "kl")

    figure, panels = lines.figure_of(table, axes, layout, flags.metric, draw_panel, marker="")
    for axis in panels[-1]:
        axis.set_xlabel(PROGRESS[flags.x])
    figure.suptitle(flags.title or None)
    style.save(figure, flags.output, provenance.describe(__file__, flags, {"curves": flags.curves}))


def against(table: pd.DataFrame, axes: list[str], metric: str, x: str) -> pd.DataFrame:
    """The rows of a measure with a column `x`: their steps, their queries, or the mean KL of the same cell and step."""
    rows = table[table["metric"] == metric]
    if x != "kl":
        return rows.assign(x=rows[x])
    kl = table[table["metric"] == "kl"].rename(columns={"mean": "x"})
    return rows.merge(kl[[*axes, "step", "x"]], on=[*axes, "step"])


def draw(axis, rows: pd.DataFrame, layout: Layout, band: bool = True) -> dict[tuple[str, ...], float]:
    """One panel: the mean of each line with its band, or its intervals. Returns where each line ends."""
    ends = {}
    for levels, look in layout.looks().items():
        line = lines.select(rows, dict(zip(layout.lines, levels, strict=True))).dropna(subset="mean")
        if not line.empty:
            marker = look["marker"] if len(line) <= FEW else ""
            axis.plot(line["x"], line["mean"], **{**look, "marker": marker}, zorder=3)
            if band:
                axis.fill_between(line["x"], line["low"], line["high"], color=look["color"], alpha=0.13, linewidth=0)
            else:
                axis.vlines(line["x"], line["low"], line["high"], color=look["color"], alpha=0.4, linewidth=1.5)
            ends[levels] = line["mean"].iloc[-1]
    if not ends:
        style.note(axis, "not measured here" if (rows["seeds"] > 0).any() or rows.empty else "every run diverged")
    return ends


if __name__ == "__main__":
    stage.run(main, Flags)
