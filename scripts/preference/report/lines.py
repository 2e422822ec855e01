"""The lines of an experiment's figures: which panel and which look a cell has, from the levels of its axes."""

import itertools
import math
import re
import textwrap
from dataclasses import dataclass

import matplotlib.pyplot as plt
import pandas as pd

from preference.analysis.measures import RANGES, TITLES
from preference.report import style
from preference.running.flags import flag
from preference.running.stage import InputError

DASHES: tuple[str | tuple, ...] = ("-", (0, (4, 1.3)), (0, (1, 1)), (0, (5, 1, 1, 1)), (0, (8, 2, 2, 2)))
RAMP = ("viridis_r", 0.22, 1.0)  # of levels that are sizes: the larger, the darker
NOTED = 8  # diverged cells that a figure names


@dataclass(frozen=True, kw_only=True)
class PanelFlags:
    """The flags of a figure with panels and lines."""

    panels: tuple[str, ...] = flag("the axis with a column of panels per level; of two, rows and columns", default=())
    lines: tuple[str, ...] = flag("the one or two axes with a line per level: colours, dashes", default=())
    title: str = flag("title of the figure", default="")


@dataclass(frozen=True)
class Layout:
    """Axes of a table by what they are in a figure: a row of panels, a column, a look of a line."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    lines: tuple[str, ...]
    levels: dict[str, list[str]]  # of each axis, in the table's order

    @classmethod
    def of(cls, table: pd.DataFrame, axes: list[str], panels: tuple[str, ...], lines: tuple[str, ...]) -> "Layout":
        """Panels are columns, or, of two axes, rows and columns; an axis that is nowhere or twice is an InputError."""
        for place, names in (("panels", panels), ("lines", lines)):
            if unknown := [name for name in names if name not in axes]:
                raise InputError(f"--{place}: the table has no axis '{unknown[0]}', only {', '.join(axes)}")
        placed = [*panels, *lines]
        if wrong := [axis for axis in axes if placed.count(axis) != 1]:
            raise InputError(f"--lines: axis '{wrong[0]}' must be in --panels or in --lines, and once")
        if len(panels) > 2 or len(lines) > 2:
            raise InputError("--panels and --lines: no more than two axes each")
        levels = {axis: list(dict.fromkeys(table[axis])) for axis in axes}
        return cls(panels[:-1], panels[-1:], lines, levels)

    def grid(self) -> list[list[dict[str, str]]]:
        """The levels that each panel shows, by rows."""
        return [[row | column for column in self._crossed(self.columns)] for row in self._crossed(self.rows)]

    def looks(self) -> dict[tuple[str, ...], dict]:
        """The levels of each line, and its colour, dashes and marker."""
        if not self.lines:
            return {(): {"color": style.COLOURS[0], "linestyle": "-", "marker": "o"}}
        first = _looks_of(self.levels[self.lines[0]])
        if len(self.lines) == 1:
            return {(level,): look for level, look in first.items()}
        second = {level: DASHES[i % len(DASHES)] for i, level in enumerate(self.levels[self.lines[1]])}
        return {(a, b): {**look, "linestyle": dash} for a, look in first.items() for b, dash in second.items()}

    def name_lines(self, figure, ends: dict, **changes) -> None:
        """Say which line is which: each beside its end; of two axes, colours and dashes in a legend below the panels.

        Args:
            ends: of each panel, the last value of each line, by its levels.
            changes: what a line in the legend has otherwise than in `looks`.
        """
        looks = self.looks()
        if len(self.lines) < 2:
            longest = max(len("".join(levels)) for levels in looks)
            columns = {axis.get_subplotspec().colspan.start for axis in ends}
            figure.set_figwidth(figure.get_figwidth() + 0.056 * longest * len(columns))  # names are beside each panel
            for axis, values in ends.items():
                _label_ends(axis, {said(*levels): (y, looks[levels]["color"]) for levels, y in values.items()})
            return
        first, second = (self.levels[axis] for axis in self.lines)
        entries = {level: looks[level, second[0]] for level in first}
        entries |= {level: {**looks[first[0], level], "color": style.SFT_COLOUR, "marker": ""} for level in second}
        handles = [plt.Line2D([], [], label=said(name), **{**look, **changes}) for name, look in entries.items()]
        width = 0.5 + 0.066 * max(len(handle.get_label()) for handle in handles)
        rows = math.ceil(len(handles) / max(1, int(figure.get_figwidth() / width)))
        figure.legend(handles=handles, loc="outside lower center", ncols=math.ceil(len(handles) / rows))

    def _crossed(self, axes: tuple[str, ...]) -> list[dict[str, str]]:
        return [dict(zip(axes, levels, strict=True)) for levels in itertools.product(*(self.levels[a] for a in axes))]


def figure_of(table: pd.DataFrame, axes: list[str], layout: Layout, metrics: tuple[str, ...], draw, **legend):
    """The panels of a figure, without the names of their horizontal axes: (figure, panels).

    Args:
        draw: (panel, its rows of the table, metric) -> where each line ends.
        legend: what a line has otherwise in the legend.
    """
    if len(metrics) > 1 and layout.rows:
        raise InputError("--panels: rows are of an axis or of several --metric, not both")
    rows = [(metric, levels) for metric in metrics for levels in layout.grid()]
    figure, panels = style.panels(rows, len(rows[0][1]))
    ends = {}
    for (metric, levels_of_row), row in zip(rows, panels, strict=True):
        for axis in row[1:]:  # before anything is drawn, or the scale would be that of the first
            axis.sharey(row[0])
        for levels, axis in zip(levels_of_row, row, strict=True):
            ends[axis] = draw(axis, select(table, levels), metric)
            if axis in panels[0] or layout.rows:
                axis.set_title(said(*levels.values()))
        row[0].set_ylabel(title(metric))
        _keep_to_range(row[0], metric)
    layout.name_lines(figure, ends, **legend)
    note_diverged(figure, table, axes)
    return figure, panels


def _keep_to_range(axis, metric: str) -> None:
    """Show no more than the values that a measure can have: the interval of a few seeds may go far beyond."""
    kind, _, measure = ("final", "", metric) if metric in TITLES else metric.partition("_")
    if kind != "change" and measure in RANGES:
        (low, high), (least, most) = axis.get_ylim(), RANGES[measure]
        margin = 0.04 * (min(high, most) - max(low, least))
        axis.set_ylim(max(low, least - margin), min(high, most + margin))


def _looks_of(levels: list[str]) -> dict[str, dict]:
    """Levels that end in a number go from light to dark; others have colours that the colour-blind tell apart."""
    count = len(style.COLOURS)
    colours, dashes = [style.COLOURS[i % count] for i in range(len(levels))], DASHES
    if len(levels) > 2 and all(re.search(r"\d$", level) for level in levels):
        name, low, high = RAMP
        ramp, dashes = plt.get_cmap(name), DASHES[:1]
        colours = [ramp(low + (high - low) * i / (len(levels) - 1)) for i in range(len(levels))]
    return {
        level: {
            "color": colours[i],
            "linestyle": dashes[i // count % len(dashes)],
            "marker": style.MARKERS[i % len(style.MARKERS)],
        }
        for i, level in enumerate(levels)
    }


def said(*levels: str) -> str:
    """Levels as words."""
    return " · ".join(level.replace("_", " ") for level in levels)


def title(metric: str) -> str:
    """A measure, or what a seed's history comes down to in one, as an axis says it."""
    if metric in TITLES:
        return TITLES[metric]
    kind, _, measure = metric.partition("_")
    words = {"final": "{}", "area": "{}, mean over steps", "change": "change of {}"}
    return words[kind].format(TITLES[measure])


def select(table: pd.DataFrame, levels: dict[str, str]) -> pd.DataFrame:
    """The rows of some levels."""
    return table[(table[list(levels)] == pd.Series(levels, dtype=object)).all(axis=1)]


def _label_ends(axis, ends: dict[str, tuple[float, object]]) -> None:
    """Write each line's name to the right of its end, in its colour, moved apart where names would overlap."""
    low, high = axis.get_ylim()
    gap = 0.052  # of the panel's height
    names = sorted(ends, key=lambda name: ends[name][0])
    places = [(ends[name][0] - low) / (high - low) for name in names]
    for i in range(1, len(places)):
        places[i] = max(places[i], places[i - 1] + gap)
    for i in range(len(places) - 1, -1, -1):
        places[i] = min(places[i], 1.0 if i == len(places) - 1 else places[i + 1] - gap)
    for name, place in zip(names, places, strict=True):
        right = {"transform": axis.transAxes, "va": "center", "fontsize": 7}
        axis.text(1.015, place, name, color=ends[name][1], **right)


def note_diverged(figure, rows: pd.DataFrame, axes: list[str]) -> None:
    """Say below the panels how many runs of which cells diverged, and so are in no mean."""
    lost = rows[rows["diverged"] > 0].drop_duplicates(axes).to_dict("records")
    cells = [
        f"{said(*(line[name] for name in axes))}: {line['diverged']} of {line['diverged'] + line['seeds']}"
        for line in lost
    ]
    if cells:
        more = [f"and {len(cells) - NOTED} cells more"] if len(cells) > NOTED else []
        text = "Runs that diverged, and are in no mean: " + "; ".join([*cells[:NOTED], *more])
        text = "\n".join(textwrap.wrap(text, int(21 * figure.get_figwidth())))
        if figure.legends:  # it has the place below the panels
            figure.legends[0].set_title(text, prop={"size": 7})
        else:
            figure.supxlabel(text, x=0.01, ha="left", fontsize=7, color=style.SFT_COLOUR)
