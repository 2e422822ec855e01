"""Draw the log-probabilities of held-out pairs and their margin, by round, from the experiment's metrics.csv.

Log-ratios log pi(y|x) / pi_ref(y|x), summed over the response, means over held-out pairs, from the experiment's
metrics.csv. Both may fall while the margin grows: the mass then goes to responses of neither kind.
"""

from pydantic.dataclasses import dataclass

from preference.analysis import measures
from preference.files import provenance
from preference.report import style
from preference.running import stage
from preference.running.flags import flag

METRICS = measures.shown("margins")
METRICS["margin"] += " (their difference)"


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
        row[1].sharey(row[0])  # so that chosen and rejected can be compared by eye
        row[0].autoscale()
        row[0].set_ylabel("nats per response")
    style.legend(figure, look, style.SFT_LINE)
    style.save(figure, flags.output, provenance.describe(__file__, flags, {"metrics": flags.metrics}))


if __name__ == "__main__":
    stage.run(main, Flags)
