"""Draw reward against KL to the SFT policy, a point per round, from the experiment's metrics.csv.

Left the gold reward (filled), right the learned reward (hollow): a run that goes on rising on the right while it turns
down on the left is over-optimised. The KL axis grows like a square root, as in Gao et al. 2022 (arXiv 2210.10760).
"""

import numpy as np
from pydantic.dataclasses import dataclass

from preference.analysis import measures
from preference.files import provenance
from preference.report import style
from preference.running import stage
from preference.running.flags import flag

METRICS = measures.shown("frontier")
STAR = {"color": style.SFT_COLOUR, "marker": "*", "markersize": 11, "linestyle": ""}
LETTER = 0.024  # width of a digit of a tick, of the axis
TICKS = [digit * 10.0**power for power in range(-4, 6) for digit in (1, 2, 5)]


@dataclass(frozen=True)
class Flags:
    metrics: str = flag("tables/metrics.csv")
    output: str = style.output_flag()


def main(flags: Flags) -> None:
    metrics = style.read(flags.metrics)
    tasks, look = list(dict.fromkeys(metrics["task"])), style.looks(metrics)
    figure, axes = style.panels(tasks, len(METRICS))
    for task, row in zip(tasks, axes, strict=True):
        for (metric, title), axis in zip(METRICS.items(), row, strict=True):
            axis.set_title(f"{task}: {title}")
            draw(axis, metrics[metrics["task"] == task], metric, look)
    style.legend(figure, look, STAR)
    style.save(figure, flags.output, provenance.describe(__file__, flags, {"metrics": flags.metrics}))


def draw(axis, rows, metric: str, look: dict) -> None:
    """One path per run through (KL, reward) of its rounds, from the SFT policy (a star) on, arrows showing the way."""
    names = ["task", "run", "seed", "round"]
    kl = rows[rows["metric"] == "kl"]
    points = rows[rows["metric"] == metric].merge(kl, on=names, suffixes=("", "_kl"))
    if points.empty:
        return style.note(axis, "not measured here")
    fill = {} if metric == "gold_reward" else {"markerfacecolor": "white"}
    for run in dict.fromkeys(points["run"]):
        line, seeds = style.lines_of(points[points["run"] == run])
        for seed in seeds:
            axis.plot(seed["mean_kl"], seed["mean"], color=look[run]["color"], **style.PALE)
        axis.plot(line["mean_kl"], line["mean"], **look[run], **fill, zorder=3)
        draw_arrows(axis, line["mean_kl"].to_numpy(), line["mean"].to_numpy(), look[run]["color"])
    start = points[points["round"] == 0]
    axis.plot(start["mean_kl"].mean(), start["mean"].mean(), **STAR, zorder=4)
    scale(axis, points["mean_kl"].max())


def draw_arrows(axis, x, y, colour: str) -> None:
    """An arrowhead in the middle of each step from one round to the next."""
    head = {"arrowstyle": "-|>", "color": colour, "linewidth": 0, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 13}
    for i in range(1, len(x)):
        middle = (_signed_square((_signed_root(x[i - 1]) + _signed_root(x[i])) / 2), (y[i - 1] + y[i]) / 2)
        axis.annotate("", xy=middle, xytext=(x[i - 1], y[i - 1]), arrowprops=head, zorder=3)


def scale(axis, largest: float) -> None:
    """A square-root axis of KL up to the largest one, with round numbers as ticks."""
    axis.set_xscale("function", functions=(_signed_root, _signed_square))
    ticks = [0.0]
    for tick in (tick for tick in TICKS if tick < 1.1 * largest):
        room = LETTER * (len(f"{tick:g}") + 1)  # of the axis, for a number in the middle
        if _signed_root(tick / largest) - _signed_root(ticks[-1] / largest) > room:
            ticks.append(tick)
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set_xlabel(f"{measures.SHORT['kl']} (nats per response)")


def _signed_root(x):  # an estimated KL can be a little below zero
    return np.sign(x) * np.sqrt(np.abs(x))


def _signed_square(x):
    return np.sign(x) * np.square(x)


if __name__ == "__main__":
    stage.run(main, Flags)
