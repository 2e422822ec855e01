"""The CSV files: the columns of each, with a description and a unit.

Standard library only: the workflow reads names of columns while it plans.
"""

from collections.abc import Iterable
from dataclasses import replace

from preference.analysis import measures
from preference.analysis.measures import MINUS_SFT
from preference.files.columns import Column, Table

_TASK = Column("task", str, "name of the task")
_RUN = Column("run", str, "name of the run; `sft` is the SFT policy")
_SEEDS = Column("seeds", int, "seeds that the means are over")
_PROMPTS = Column("prompts", int, "held-out prompts that the means are over")
_LOW = Column("low", float, "lower end of the 95 % interval", optional=True)
_HIGH = Column("high", float, "upper end of the 95 % interval", optional=True)
_FINITE = Column("seeds", int, "seeds whose runs stayed finite, which the means are over")
_DIVERGED = Column("diverged", int, "seeds whose runs did not stay finite, which are in no mean")
_QUERIES = Column("queries", int, "responses that a reward has judged for the run so far", unit="responses")


def _with_intervals(columns: Iterable[Column]) -> list[Column]:
    return [replace(column, has_interval=True, optional=True) for column in columns]


def _of_rewards() -> list[Column]:
    """Return the differences of rewards to the SFT policy."""
    return [
        Column(f"{name}{MINUS_SFT}", float, f"`{name}` minus that of the SFT policy, prompt by prompt and seed by seed")
        for name in measures.REWARDS
    ]


def _reduced(kind: str, description: str) -> Column:
    """Return the columns of what a seed's history comes down to."""
    name, unit = f"{kind}_{{measure}}", "the measure's"
    return Column(name, float, description, unit, has_interval=True, optional=True, measures=measures.REDUCED[kind])


def _listed(kind: str) -> str:
    return ", ".join(f"`{name}`" for name in measures.REDUCED[kind])


# Of one training, run or experiment.

RUN = Table(
    (
        Column("round", int, "round of the run; 0 is the SFT policy"),
        Column("step", int, "optimizer steps up to the end of the round", unit="steps"),
        _QUERIES,
        *_with_intervals(measure.column for measure in measures.of(measures.MODELS)),
    ),
    "the measures of one run and seed, a row per round",
    paths=("{task}/{run}/seed{seed}/metrics.csv",),
)
TIDY = Table(
    (
        _TASK,
        Column("run", str, "name of the run"),
        Column("seed", str, "seed, or `mean`: the mean of a run's seeds, without an interval"),
        Column("round", int, "round of the run; 0 is the SFT policy"),
        Column("metric", str, "a measure of language models (see Measures)"),
        Column("mean", float, "mean over the held-out prompts", unit="the measure's"),
        _LOW,
        _HIGH,
    ),
    "the measures of every run, seed and round, a row each",
    paths=("tables/metrics.csv",),
)
FINAL = Table(
    (
        _TASK,
        _RUN,
        Column("round", int, "last round of the run; 0 is the SFT policy"),
        _SEEDS,
        _PROMPTS,
        *_with_intervals(each.column for each in measures.of(measures.MODELS) if each.sample),
        *_with_intervals(_of_rewards()),
        Column("judged_by", str, "reward that the run is judged by: the gold one if the task has it"),
        Column(
            "above_sft",
            str,
            "`yes`, `no` (below) or `unclear`, by the interval of the difference to the SFT policy",
            optional=True,
        ),
    ),
    "every run after its last round, best first within a task, and the SFT policy",
    paths=("tables/final.csv",),
)
JUDGEMENTS = Table(
    (
        _TASK,
        _RUN,
        Column("seeds", int, "seeds of the run, which the counts are summed over"),
        _PROMPTS,
        Column("win_rate", float, "responses that win; a tie counts half", "share", has_interval=True),
        Column("wins", int, "responses that win by both verdicts"),
        Column("ties", int, "responses that neither win nor lose"),
        Column("losses", int, "responses that lose by both verdicts"),
        Column("verdicts", int, "verdicts: two per response"),
        Column("unparsed", int, "verdicts that name neither response"),
        Column("position_bias", float, "verdicts for the first place, of those for either", "share", optional=True),
    ),
    "the judge's verdicts on each run after its last round",
    paths=("tables/judgements.csv",),
)
EXPECTATIONS = Table(
    (
        _TASK,
        Column("question", str, "`on_policy_data` or `negative_gradient`: what one of two runs has"),
        Column("run", str, "the run that has it"),
        Column("against", str, "the run that has not"),
        Column("differs", str, "what else differs between the two", optional=True),
        Column("cell", str, "cell of the coverage table of more than half of the seeds", optional=True),
        Column("in_cell", int, "seeds that the task's geometry places there"),
        Column("seeds", int, "seeds that both runs have"),
        Column("expected", str, "how much it is expected to help: `much`, `some`, `little` or `unknown`"),
        Column("because", str, "the reason for the expectation"),
        Column("judged_by", str, "reward that the runs are compared by"),
        Column("run_minus_sft", float, "its reward minus that of the SFT policy, mean over seeds"),
        Column("against_minus_sft", float, "the same of the other run"),
        Column("difference", float, "difference of the final rewards, mean over seeds"),
        _LOW,
        _HIGH,
        Column("small", float, "a difference up to this size is small"),
        Column("found", str, "`helps`, `hurts`, `no difference seen` or `undecided`"),
        Column("as_expected", str, "`yes`, `no`, `undecided` or `no expectation`"),
    ),
    "whether on-policy data and a negative gradient helped as the geometry of the task predicts, a row per two runs",
    paths=("tables/expectations.csv",),
)

# Of cells: those of a lab, or the runs that an experiment of a config compares.

_AXES = (Column("{axis}", str, "level of an axis; one column per axis, before all others"),)
CELLS = Table(
    (
        Column("learning_rate", float, "learning rate that tuning chose, of a bandit"),
        Column("beta", float, "beta that tuning chose, of a bandit", optional=True),
        Column("grid", int, "points of the grid that they were chosen from"),
        Column("grid_diverged", int, "points of which a tuning seed diverged"),
        Column("at_end_of_grid", str, "`yes`: a learning rate beyond the grid may be still better; else `no`"),
        _FINITE,
        _DIVERGED,
        Column("steps", float, "steps of a run, mean over seeds", unit="steps"),
        Column("queries", float, "responses that a reward judged for a run, mean over seeds", unit="responses"),
        _reduced("final", "the measure at the last step"),
        _reduced("area", f"mean over steps, of {_listed('area')}"),
        _reduced("change", f"change since step 0, of {_listed('change')}"),
    ),
    "a summary of the cells of an experiment, a row per cell",
    paths=("tables/{experiment}.csv", "results/{lab}/tables/{experiment}.csv"),
    families=_AXES,
)
CURVES = Table(
    (
        Column("step", float, "steps so far, mean over seeds", unit="steps"),
        Column("queries", float, "responses that a reward has judged so far, mean over seeds", unit="responses"),
        Column("metric", str, "a measure of bandits or of language models (see Measures)"),
        Column("mean", float, "mean over seeds", unit="the measure's", optional=True),
        _LOW,
        _HIGH,
        _FINITE,
        _DIVERGED,
    ),
    "the measures of the cells as they learn, a row each",
    paths=("tables/curves_{experiment}.csv", "results/{lab}/tables/curves_{experiment}.csv"),
    families=_AXES,
)
# No axis is called so.
RESERVED = (*CURVES.names, *(column.name for column in CELLS.columns if not column.has_interval))
CLAIMS = Table(
    (
        Column("id", str, "name of the claim in the config"),
        Column("claim", str, "the claim in words"),
        Column("source", str, "where it is made"),
        Column("experiment", str, "experiment that its cells belong to"),
        Column("statistic", str, "what is computed of each seed, in words"),
        Column("mean", float, "mean of the statistic over seeds", optional=True),
        _LOW,
        _HIGH,
        Column("seeds", int, "seeds that have the statistic"),
        Column("rule", str, "what the interval has to satisfy"),
        Column("verdict", str, "`holds`, `does not hold` or `undecided`"),
        Column("note", str, "why the verdict is open, and which runs never reach a level", optional=True),
    ),
    "the verdict on each claim",
    paths=("tables/claims.csv", "results/{lab}/tables/claims.csv"),
)

# Of labs alone.

SECONDS = Table(
    (
        Column("experiment", str, "experiment of the lab"),
        Column("cell", str, "label of the cell"),
        Column("tuning_runs", int, "runs of tuning, trained together; empty if the grid has one point", optional=True),
        Column("tuning_steps", int, "steps of each of these runs", "steps", optional=True),
        Column("tuning_seconds", float, "wall time of tuning", "seconds", optional=True),
        Column("reporting_runs", int, "runs of the reported seeds, trained together"),
        Column("reporting_steps", int, "steps of each of these runs", "steps"),
        Column("reporting_seconds", float, "wall time of reporting", "seconds"),
        Column("seconds", float, "wall time of both, without the start of the program", "seconds"),
        Column("microseconds_per_step", float, "wall time per step of one run", "microseconds"),
    ),
    "the cost of each cell; it depends on the machine and on what else ran there",
    paths=("results/{lab}/tables/seconds.csv",),
)
KL_DIRECTIONS = Table(
    (
        Column("point", str, "name of a start and a target"),
        Column("direction", str, "`forward`, KL(q ‖ p), or `reverse`, KL(p ‖ q)"),
        Column("step", int, "steps of gradient descent so far", "steps"),
        Column("category", int, "category of the distribution, from 0"),
        Column("probability", float, "p of the category after this step"),
        Column("target", float, "q of the category"),
        Column("published", float, "the bar of the published figure", optional=True),
    ),
    "the probabilities that forward and reverse KL learn for a target, a row per step and category",
    paths=("results/{lab}/tables/kl_directions.csv",),
)
KL_CHECKS = Table(
    (
        Column("check", str, "what is checked, in words"),
        Column("value", float, "its value"),
        Column("expected", float, "its value by the theory, if there is one", optional=True),
        Column("agrees", str, "`yes` or `no`", optional=True),
    ),
    "whether the two directions behave as the theory predicts",
    paths=("results/{lab}/tables/kl_directions_checks.csv",),
)
