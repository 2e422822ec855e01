"""Draw gold reward and learned reward by round, a row of panels per task, from the experiment's metrics.csv.

Where the learned reward rises and the gold reward does not, the policy exploits the reward model.
"""

from pydantic.dataclasses import dataclass

from preference.analysis import measures
from preference.files import provenance
from preference.report import style
from preference.running import stage
from preference.running.flags import flag

METRICS = measures.shown("rewards")


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
            rows = metrics[(metrics["task"] == task) & (metrics["metric"] == metric)]
            axis.set_title(f"{task}: {title}")
            style.draw_runs(axis, rows, look)
    style.legend(figure, look, style.SFT_LINE)
    style.save(figure, flags.output, provenance.describe(__file__, flags, {"metrics": flags.metrics}))


if __name__ == "__main__":
    stage.run(main, Flags)
