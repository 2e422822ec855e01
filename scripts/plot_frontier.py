"""Draw reward against KL to the SFT policy, a point per round, from the experiment's metrics.csv.

Left the gold reward (filled), right the learned reward (hollow): a run that goes on rising on the right while it turns
down on the left is over-optimised. The KL axis grows like a square root, as in Gao et al. 2022 (arXiv 2210.10760).
"""

from dataclasses import dataclass

import numpy as np
from matplotlib.ticker import MaxNLocator

from preference import stage, style
from preference.stage import flag

METRICS = {"gold_reward": "gold reward", "reward": "learned reward"}


@dataclass(frozen=True)
class Flags:
    metrics: str = flag("tables/metrics.csv")
    output: str = flag("figure to write, .svg; the .png goes beside it")


def main(flags: Flags) -> None:
    metrics = style.read(flags.metrics)
    tasks, look = list(dict.fromkeys(metrics["task"])), style.looks(metrics)
    figure, axes = style.panels(tasks, len(METRICS))
    for task, row in zip(tasks, axes, strict=True):
        for (metric, title), axis in zip(METRICS.items(), row, strict=True):
            axis.set_title(f"{task}: {title}")
            draw(axis, metrics[metrics["task"] == task], metric, look)
    style.legend(figure, look, sft=False)
    style.save(figure, flags.output)


def draw(axis, rows, metric: str, look: dict) -> None:
    """One path per run through (KL, reward) of its rounds, from the SFT policy (a star) on, arrows showing the way."""
    points = rows[rows["metric"] == metric].merge(
        rows[rows["metric"] == "kl"], on=["task", "run", "seed", "round"], suffixes=("", "_kl")
    )
    if points.empty:
        return style.note(axis, "not measured here")
    for run in dict.fromkeys(points["run"]):
        line, seeds = style.lines_of(points[points["run"] == run])
        for seed in seeds:
            axis.plot(seed["mean_kl"], seed["mean"], color=look[run]["color"], linewidth=0.8, alpha=0.4)
        fill = {} if metric == "gold_reward" else {"markerfacecolor": "white"}
        axis.plot(line["mean_kl"], line["mean"], **look[run], **fill, zorder=3)
        arrows(axis, line["mean_kl"].to_numpy(), line["mean"].to_numpy(), look[run]["color"])
    start = points[points["round"] == 0]
    axis.plot(
        start["mean_kl"].mean(), start["mean"].mean(), marker="*", color=style.SFT_COLOUR, markersize=11, zorder=4
    )
    axis.annotate("SFT", (start["mean_kl"].mean(), start["mean"].mean()), (7, -10), textcoords="offset points")
    axis.set_xscale("function", functions=(_signed_root, _signed_square))
    axis.xaxis.set_major_locator(MaxNLocator(5))
    axis.set_xlabel("KL to SFT (nats per response)")


def arrows(axis, x, y, colour: str) -> None:
    """An arrowhead at each point, coming from the one before."""
    for i in range(1, len(x)):
        style_ = {"arrowstyle": "-|>", "color": colour, "linewidth": 0, "shrinkB": 3, "mutation_scale": 9}
        axis.annotate("", xy=(x[i], y[i]), xytext=(x[i - 1], y[i - 1]), arrowprops=style_, zorder=3)


def _signed_root(x):  # an estimated KL can be a little below zero
    return np.sign(x) * np.sqrt(np.abs(x))


def _signed_square(x):
    return np.sign(x) * np.square(x)


if __name__ == "__main__":
    stage.run(main, Flags)
