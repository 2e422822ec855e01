"""What every stage of the workflow is: one row each, from which rules, demands, checks and groups derive.

A stage is a script; its config key has the same name. Where rules of other names run it, too, the row lists them.
"""

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field

SAMPLING, TRAINING = "sampling", "training"
READING = "reading"  # one pass over existing text

ANY = "any"  # every task, or every run

TASK, RUN, PREFERENCES = "task", "run", "preferences"  # parts of a config; the last is a key of a task


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A script, and how the workflow runs it."""

    script: str  # below scripts/, without `.py`; also the key of its flags in the config
    rules: dict[str, str | None] = field(default_factory=dict)  # rule -> the group of cluster jobs that it shares
    inputs: tuple[str, ...] = ()  # flags that take files which the workflow makes, or finds
    artifact: str  # what it makes
    set_by: tuple[str, ...] = ()  # parts of a config that may set its flags

    # When it runs: a trait of the task, of the run (see `traits` in config/runs.py), or None.
    of_task: str | None = None
    of_run: str | None = None

    # Flags that neither the config nor a file gives.
    is_seeded: bool = False
    is_numbered: bool = False  # takes the number of the round
    is_windowed: bool = False  # takes a round's window of the preferences
    tokenizes: bool = False  # takes the chat format of its task
    scores: bool = False  # takes the rewards of its task

    # What it does with models.
    work: str | None = None  # SAMPLING, TRAINING or READING
    models: tuple[str, ...] = ()  # flags that take a model: one that the workflow makes, or else a released one
    table: str | None = None  # of a training algorithm: the table of the round that it reads
    pushes_down: bool = False  # of a training algorithm: it lowers the probability of some responses

    # What its jobs ask of a machine.
    holds_table: bool = False  # in memory, whole
    is_held_out: bool = False  # its rows are those of the held-out prompts
    reads_hub: bool = False  # may read models or data that `fetch_hub` fetches
    minutes: int | None = None  # where it needs no model and takes longer than most
    threads: int = 1
    environment: str = "core"  # envs/<environment>.yaml, but for what an engine samples
    is_kept: bool = True  # in the store (docs/store.md)
    launcher: str = ""  # options of the interpreter, between it and the script

    @property
    def algorithm(self) -> str | None:
        """The name of a training algorithm, as a run's `algorithm` says it; None for another stage."""
        return self.script.removeprefix("train_") if self.table else None

    @property
    def reads_pairs(self) -> bool:
        """Say whether the stage reads a round's pairs, and so those of earlier rounds if a run asks for them."""
        return self.table in ("pairs", "reference_logps") or {"pairs", "earlier"} & {*self.inputs} != set()


def _training(algorithm: str, table: str, with_reference: bool = False, **more) -> Stage:
    """Return the row of a training algorithm, which reads a table of the round and trains the round's policy."""
    reading = ("rewards" if table == "rewards" else "pairs",)
    models = ("policy", "reference") if with_reference else ("policy",)
    return Stage(
        script=f"train_{algorithm}",
        table=table,
        inputs=(*reading, *models),
        models=models,
        artifact="policy",
        set_by=(TASK, RUN),
        of_run=algorithm,
        is_seeded=True,
        tokenizes=True,
        work=TRAINING,
        reads_hub=True,
        **more,
    )


TABLE = (
    Stage(script="fetch_hub", artifact="hub", is_kept=False),  # what the hub has may change
    Stage(
        script="prepare_task",
        rules={
            "prepare_task": "start",
            "prepare_task_with_preferences": "start",
            "prepare_prompts": "start",
            "prepare_preferences": "start",
        },
        artifact="data",
        set_by=(TASK,),
        of_task=ANY,
        reads_hub=True,
        minutes=30,  # downloads nothing, but reads all of the data
        is_kept=False,  # which formats count is known once it has read the data (see preference.tasks.recognised)
    ),
    Stage(
        script="initialize_model",
        rules={"initialize_model": "start"},
        inputs=("data",),
        artifact="base model",
        set_by=(TASK,),
        of_task="from_scratch",
        is_seeded=True,
    ),
    Stage(
        script="train_sft",
        inputs=("data", "base_model"),
        models=("base_model",),
        artifact="policy",
        set_by=(TASK,),
        of_task="sft",
        is_seeded=True,
        tokenizes=True,
        work=TRAINING,
        reads_hub=True,
        threads=2,
    ),
    Stage(
        script="train_reward_model",
        inputs=("pairs", "eval_pairs", "policy"),
        models=("policy",),
        artifact="reward model",
        set_by=(TASK,),
        of_task="reward_model",
        is_seeded=True,
        tokenizes=True,
        work=TRAINING,
        reads_hub=True,
        threads=2,
    ),
    Stage(
        script="generate_responses",
        rules={"generate_responses": None, "generate_preference_responses": None},
        inputs=("policy", "prompts"),
        models=("policy",),
        artifact="responses",
        set_by=(TASK, RUN, PREFERENCES),
        of_task="sampled",
        of_run="on_policy",
        is_seeded=True,
        is_numbered=True,
        tokenizes=True,
        work=SAMPLING,
        reads_hub=True,
    ),
    Stage(
        script="skew_responses",
        rules={"skew_responses": "label_preferences"},
        inputs=("responses", "policy"),
        models=("policy",),
        artifact="skewed_responses",
        set_by=(PREFERENCES,),
        of_task="skewed",
        is_seeded=True,
        tokenizes=True,
        holds_table=True,
        reads_hub=True,
    ),
    Stage(
        script="collect_responses",
        rules={"collect_responses": "label_preferences"},
        inputs=("preferences", "answers", "policy"),
        models=("policy",),
        artifact="preference_responses",
        set_by=(TASK, RUN),
        is_numbered=True,
        is_windowed=True,
        tokenizes=True,
        holds_table=True,
        reads_hub=True,
    ),
    Stage(
        script="score_responses",
        rules={"score_responses": None, "score_preference_responses": "label_preferences"},
        inputs=("responses", "reward_model"),
        artifact="rewards",
        set_by=(TASK, RUN, PREFERENCES),
        scores=True,
        work=READING,
        holds_table=True,
        reads_hub=True,
    ),
    Stage(
        script="join_shards",
        rules={
            "join_responses": None,
            "join_rewards": "pair",
            "join_preference_responses": "label_preferences",
            "join_preference_rewards": "label_preferences",
        },
        inputs=("shards",),
        artifact="table",
        holds_table=True,
    ),
    Stage(
        script="construct_pairs",
        rules={"construct_pairs": "pair", "construct_preference_pairs": "label_preferences"},
        inputs=("rewards", "preferences", "earlier"),
        artifact="pairs",
        set_by=(TASK, RUN, PREFERENCES),
        is_seeded=True,
        is_numbered=True,
        is_windowed=True,
        holds_table=True,
    ),
    Stage(
        script="compute_reference_logps",
        rules={"compute_reference_logps": None, "compute_eval_reference_logps": None},
        inputs=("pairs", "reference"),
        models=("reference",),
        artifact="reference_logps",
        set_by=(TASK, RUN),
        of_task="geometry",
        of_run="reference_logps",
        tokenizes=True,
        work=READING,
        reads_hub=True,
    ),
    _training("dpo", "reference_logps", pushes_down=True),
    _training("pref_ft", "pairs"),
    _training("csft", "pairs"),
    _training("best_of_n", "rewards"),
    _training("rwr", "rewards"),
    _training("kto", "rewards", with_reference=True),
    _training("reinforce", "rewards", with_reference=True),
    _training("ppo", "rewards", with_reference=True),
    _training("grpo", "rewards", with_reference=True),
    _training("ipo", "reference_logps", pushes_down=True),
    _training("slic", "pairs", pushes_down=True),
    _training("simpo", "pairs", pushes_down=True),
    Stage(
        script="evaluate_policy",
        rules={"evaluate_policy": None, "evaluate_sft_policy": None},
        inputs=("policy", "reference", "prompts", "pairs", "reward_model", "baseline", "trained_on"),
        models=("policy", "reference"),
        artifact="evaluation",
        set_by=(TASK, RUN),
        of_task=ANY,
        of_run=ANY,
        is_seeded=True,
        tokenizes=True,
        scores=True,
        work=SAMPLING,
        is_held_out=True,
        reads_hub=True,
    ),
    Stage(
        script="judge_responses",
        inputs=("samples", "baseline", "template"),
        models=("judge",),
        artifact="judgements",
        set_by=(TASK, RUN),
        of_run="judged",
        is_seeded=True,
        work=SAMPLING,
        is_held_out=True,
        reads_hub=True,
    ),
    Stage(
        script="diagnose_geometry",
        rules={"diagnose_geometry": "conclude"},
        inputs=("samples", "pairs"),
        artifact="geometry",
        is_seeded=True,
        reads_hub=True,
    ),
    Stage(
        script="summarize_run",
        rules={"summarize_run": "summarize"},
        inputs=("evaluations", "trainings", "trained_on"),
        artifact="metrics of a run",
    ),
    Stage(
        script="summarize_experiment",
        rules={"summarize_experiment": "conclude"},
        inputs=("metrics", "samples", "baseline_samples"),
        artifact="tables",
    ),
    Stage(
        script="summarize_judgements",
        rules={"summarize_judgements": "conclude"},
        inputs=("judgements",),
        artifact="table of judgements",
    ),
    Stage(
        script="compare_expectations",
        rules={"compare_expectations": "conclude"},
        inputs=("geometries", "metrics"),
        artifact="expectations",
    ),
    Stage(script="plot_rewards", rules={"plot_rewards": "conclude"}, inputs=("metrics",), artifact="figure"),
    Stage(script="plot_margins", rules={"plot_margins": "conclude"}, inputs=("metrics",), artifact="figure"),
    Stage(script="plot_frontier", rules={"plot_frontier": "conclude"}, inputs=("metrics",), artifact="figure"),
    Stage(script="write_config", rules={"write_config": "conclude"}, artifact="config"),
    Stage(
        script="render_report",
        rules={"render_report": "conclude"},
        inputs=(
            *("config", "metrics", "final", "figures", "claims", "judgements", "sft", "reward_models", "samples"),
            *("trained_on", "expectations"),
        ),
        artifact="report",
    ),
    # What labs and the experiments of a config share.
    Stage(
        script="summarize_cells",
        rules={"summarize_cells": "conclude", "summarize_cells_of_lab": "conclude_lab"},
        inputs=("metrics", "histories", "tunings"),
        artifact="table of cells",
    ),
    Stage(
        script="plot_curves",  # or plot_axis, as the figure says
        rules={"plot_cells": "conclude", "plot_bandit": "conclude_lab"},
        inputs=("table", "curves"),
        artifact="figure",
    ),
    Stage(
        script="judge_claims",
        rules={"judge_claims": "conclude", "judge_claims_of_lab": "conclude_lab"},
        inputs=("metrics", "histories"),
        artifact="claims",
    ),
    # Of labs.
    Stage(script="run_bandit", rules={"run_bandit": "cells"}, artifact="history", minutes=60),  # ten seeds and more
    Stage(
        script="summarize_seconds",
        rules={"summarize_seconds": "conclude_lab"},
        inputs=("seconds",),
        artifact="seconds",
    ),
    Stage(script="compare_kl_directions", rules={"compare_kl_directions": "conclude_lab"}, artifact="kl_directions"),
    Stage(
        script="plot_kl_directions",
        rules={"plot_kl_directions": "conclude_lab"},
        inputs=("table",),
        artifact="figure",
    ),
)


def by_name(named: Iterable[tuple[str, Stage]]) -> dict[str, Stage]:
    """Return name -> stage, of names that no two stages have."""
    found: dict[str, Stage] = {}
    for name, stage in named:
        if name in found:
            sys.exit(f"workflow/stages.py: two rows define {name}, which makes {found[name].artifact}")
        found[name] = stage
    return found


OF_RULE = by_name((rule, stage) for stage in TABLE for rule in stage.rules or {stage.script: None})
OF_SCRIPT = by_name((stage.script, stage) for stage in TABLE)
ALGORITHMS = {stage.algorithm: stage for stage in TABLE if stage.algorithm}
OTHER = Stage(script="", artifact="")  # a script without a row, such as plot_axis: nothing special


def of(script: str) -> Stage:
    """Return the row of a stage by the name of its script."""
    return OF_SCRIPT.get(script, OTHER)


def groups() -> dict[str, str]:
    """Map each rule that shares a cluster job with others to the name of their group."""
    return {rule: group for stage in TABLE for rule, group in stage.rules.items() if group}


def described() -> str:
    """Return the table as docs/snakemake.md shows it."""
    rows = [("stage", "makes", "of the inputs", "with models", "shares a job of a cluster"), ("---",) * 5]
    for stage in TABLE:
        groups_of = dict.fromkeys(group for group in stage.rules.values() if group)
        rows.append((stage.script, stage.artifact, ", ".join(stage.inputs), stage.work or "", ", ".join(groups_of)))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
