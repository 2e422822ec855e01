"""evaluation.json of a policy and of a reward model, whose keys are measures."""

from preference.analysis import measures
from preference.files.columns import Column, Table
from preference.files.documents import METRICS


def _means(kind: str) -> tuple[Column, ...]:
    """Return the measures of policies, or of reward models, as keys of `metrics`."""
    return tuple(measure.column for measure in measures.of(kind))


EVALUATION = Table(
    (
        Column("num_prompts", int, "held-out prompts"),
        Column("metrics", dict, METRICS, keys=_means(measures.MODELS)),
    ),
    "the metrics of an evaluation: means with bootstrap 95 % intervals over prompts",
    paths=("{task}/{run}/seed{seed}/round{round}/evaluation.json", "{task}/seed{seed}/sft/evaluation.json"),
)
REWARD_MODEL = Table(
    (
        Column("num_pairs", int, "held-out pairs"),
        Column("metrics", dict, METRICS, keys=_means(measures.REWARD_MODELS)),
    ),
    "the metrics of a reward model on held-out pairs",
    paths=("{task}/seed{seed}/reward_model/evaluation.json",),
)
