"""Reruns are as precise as the change: each edit of a finished experiment, and exactly the jobs that it makes stale.

The table is written by hand in the words of the rules' messages and compared with what the planner says. A row that
grows when a rule is added is right to grow; a row that grows otherwise is a rerun that somebody has to wait for.
"""

import re
from concurrent.futures import wait

import edits
import pytest
from calls import Calls
from edits import accepted, both, code, comments, deleted, option, statement, swapped
from miniature import ROOT

from preference.files import provenance
from preference.running.code import record

DPO, PREF_FT = "dpo_on_policy", "pref_ft_offline"
ROUND = {
    DPO: (
        *("generate_responses", "score_responses", "construct_pairs"),
        *("compute_reference_logps", "train_dpo", "evaluate_policy"),
    ),
    PREF_FT: ("construct_pairs", "train_pref_ft", "evaluate_policy"),
}
TASK, SEEDS, ROUNDS, DATA = "min_length", (1, 2), (1, 2), "instructions.jsonl"


def of_rounds(run, stages, seeds=SEEDS, rounds=ROUNDS, task=TASK):
    return {f"{stage} {task}, {run}, seed {s}, round {r}" for stage in stages for s in seeds for r in rounds}


def of_seeds(stage, seeds=SEEDS, task=TASK):
    return {f"{stage} {task}, seed {seed}" for seed in seeds}


def of_splits(*stages, seeds=SEEDS, task=TASK):
    rules = [stage if stage == "skew_responses" else stage.replace("_", "_preference_", 1) for stage in stages]
    splits = ("preferences", "eval_preferences")
    return {f"{rule} {task}, seed {seed}, {split}" for rule in rules for seed in seeds for split in splits}


def of_sft(seeds=SEEDS, task=TASK):
    return {f"evaluate_sft_policy {task}, seed {seed}" for seed in seeds}


def metrics(run, seeds=SEEDS, task=TASK):
    return {f"summarize_run {task}, {run}, seed {seed}" for seed in seeds}


def onwards(run, stage, seeds=SEEDS, task=TASK):
    """What follows from a stage of a run's rounds: the later stages, the run's metrics, the tables.

    On-policy, the second round hangs on the first one's policy with all it does; offline, with its training only.
    """
    later = ROUND[run][ROUND[run].index(stage) :]
    second = ROUND[run] if run == DPO and stage != "evaluate_policy" else later
    first = of_rounds(run, later, seeds, [1], task)
    return first | of_rounds(run, second, seeds, [2], task) | metrics(run, seeds, task) | TABLES


NOTHING = set()
FIGURES = {"plot_rewards", "plot_margins", "plot_frontier"}
REPORT = {"render_report"}
TABLES = {"summarize_experiment"} | FIGURES | REPORT
CONFIG = {"write_config"} | REPORT  # the report shows the config

# A stage -> what has to rerun when this stage is stale wherever it is used.
STALE = {"render_report": REPORT, "write_config": CONFIG}
STALE |= {plot: {plot} | REPORT for plot in FIGURES}
STALE["summarize_experiment"] = TABLES
STALE["summarize_run"] = metrics(DPO) | metrics(PREF_FT) | TABLES
STALE["evaluate_policy"] = of_sft() | onwards(DPO, "evaluate_policy") | onwards(PREF_FT, "evaluate_policy")
STALE["train_dpo"] = onwards(DPO, "train_dpo")
STALE["compute_reference_logps"] = onwards(DPO, "compute_reference_logps")
STALE["train_pref_ft"] = onwards(PREF_FT, "train_pref_ft")
STALE["train_reward_model"] = (
    of_seeds("train_reward_model") | onwards(DPO, "score_responses") | STALE["evaluate_policy"]
)
STALE["construct_pairs"] = (
    of_splits("construct_pairs") | STALE["train_reward_model"] | onwards(PREF_FT, "construct_pairs")
)
STALE["score_responses"] = of_splits("score_responses") | STALE["construct_pairs"]
STALE["skew_responses"] = NOTHING  # no task of the miniature asks for a skew; a row below does
STALE["generate_responses"] = (
    of_splits("generate_responses") | STALE["score_responses"] | onwards(DPO, "generate_responses")
)
STALE["train_sft"] = of_seeds("train_sft") | STALE["generate_responses"]
STALE["initialize_model"] = of_seeds("initialize_model") | STALE["train_sft"]
STALE["prepare_task"] = {f"prepare_task {TASK}"} | STALE["initialize_model"]
ALL = STALE["prepare_task"] | CONFIG

# A module -> the stages that import it, or the first of a chain of them. The grain of modules is the grain of reruns.
TRAININGS = ("train_sft", "train_reward_model", "train_dpo", "train_pref_ft")
MODULES = {
    "__init__": ("prepare_task", "write_config"),  # and so all
    "analysis/claims": ("render_report",),
    "analysis/intervals": ("train_reward_model", "evaluate_policy", "summarize_experiment"),
    "analysis/measures": ("render_report",),
    "engines/samplers": ("generate_responses", "evaluate_policy"),
    "files/artifacts": ("prepare_task", "write_config"),
    "files/conversations": ("prepare_task",),
    "files/provenance": ("prepare_task", "write_config"),
    "files/records": ("prepare_task",),
    "files/summaries": ("summarize_run",),
    "files/untrusted": ("render_report",),
    "formats/__init__": ("prepare_task",),
    "formats/trl": ("prepare_task",),  # and so every other format
    "inspection/turns": ("render_report",),
    "losses/__init__": TRAININGS,
    "losses/contrastive": ("train_dpo", "train_reward_model"),
    "losses/likelihood": ("train_sft", "train_pref_ft"),
    "models/chat": ("prepare_task",),
    "models/chat_flags": ("prepare_task",),
    "models/controls": ("prepare_task",),
    "models/hub_models": ("prepare_task",),
    "models/model_folders": ("prepare_task", "write_config"),
    "models/policies": ("prepare_task",),
    "models/tokens": ("prepare_task",),
    "report/page": ("render_report",),
    "report/style": tuple(FIGURES),
    "rewards/__init__": ("score_responses", "evaluate_policy"),
    "rewards/functions": ("score_responses", "evaluate_policy"),
    "rewards/lengths": ("score_responses", "evaluate_policy"),
    "rewards/reward_models": ("train_reward_model", "score_responses", "evaluate_policy"),
    "rewards/specs": ("score_responses", "evaluate_policy"),
    "rewards/verifiers/__init__": ("score_responses", "evaluate_policy"),
    "running/checkpoints": TRAININGS,
    "running/leftovers": ("prepare_task", "write_config"),
    "running/limits": ("prepare_task", "write_config"),
    "running/shards": ("train_reward_model", "generate_responses", "compute_reference_logps"),
    "running/stage": ("prepare_task", "write_config"),
    "running/trackers": TRAININGS,
    "running/unfinished": TRAININGS,
    "seeds": ("generate_responses",),
    "tasks/columns": ("prepare_task",),
    "tasks/data_files": ("prepare_task",),
    "tasks/dialogues": ("prepare_task",),
    "tasks/examples": ("prepare_task",),
    "tasks/hub_data": ("prepare_task",),
    "tasks/instructions": ("prepare_task",),
    "tasks/labels": ("train_reward_model",),
    "tasks/sources": ("prepare_task",),
    "training/fit": TRAININGS,
    "training/pairs": ("prepare_task",),
    "training/pairwise": ("train_dpo", "train_pref_ft"),
    "training/responses": ("train_dpo", "train_pref_ft"),
    "training/schedules": TRAININGS,
}
NOT_RUN = {"inspect_artifact"}  # programs that no rule runs
OF_OTHER_RUNS = {"collect_responses"}  # the miniature has none of these; rows add some
OF_OTHER_RUNS |= {f"train_{algorithm}" for algorithm in edits.runs.ALGORITHMS} - {"train_dpo", "train_pref_ft"}
OF_MORE_SAMPLES = {"diagnose_geometry", "compare_expectations"}  # than the miniature has: tests/test_expectations.py
OF_LABS = {"run_bandit", "summarize_cells", "plot_axis", "plot_curves", "judge_claims"}
OF_JUDGED_TASKS = {"judge_responses", "summarize_judgements"}  # the miniature's has no judge; rows below give it one
OF_CLUSTERS = {"join_shards", "fetch_hub"}  # tests/test_slurm.py has runs with them
OF_LABS |= {
    "summarize_seconds",
    "compare_kl_directions",
    "plot_kl_directions",
}  # tests/test_bandit_lab.py has their rows


def stale(*stages):
    return set().union(*(STALE[stage] for stage in stages))


OTHER_TASK = {"data": "built_in", "base_model": "from_scratch", "gold_reward": "max_length"}
OTHER = "max_length"
ALL_OF_OTHER = {f"prepare_task {OTHER}"} | {job.replace(TASK, OTHER) for job in STALE["initialize_model"]}
TRAINED = {"learning_rate": 1.0e-4, "epochs": 1, "batch_size": 8, "micro_batch_size": 4, "max_length": 200}
SCORED = ("generate_responses", "score_responses")
PAIRED = (*SCORED, "construct_pairs")
ADDED = {  # algorithm: source, its own flags, the stages of its round before the training
    "ipo": ("on_policy", {"beta": 0.1}, (*PAIRED, "compute_reference_logps")),
    "csft": ("on_policy", {}, PAIRED),
    "slic": ("offline", {"delta": 1.0, "sft_coef": 0.1}, ("construct_pairs",)),
    "simpo": ("mix", {"beta": 2.0, "gamma_beta_ratio": 0.3}, PAIRED),
    "best_of_n": ("on_policy", {}, SCORED),
    "rwr": ("offline", {"beta": 1.0}, ("collect_responses", "score_responses")),
    "kto": ("mix", {"beta": 0.1}, ("collect_responses", *SCORED)),
    "reinforce": ("on_policy", {"kl_coef": 0.1}, SCORED),
    "ppo": ("on_policy", {"clip_range": 0.2, "kl_coef": 0.1}, SCORED),
    "grpo": ("on_policy", {"clip_range": 0.2, "kl_coef": 0.1}, SCORED),
}


def added_run(algorithm):
    source, own, _ = ADDED[algorithm]
    mix = {"offline_fraction": 0.5} if source == "mix" else {}
    return {"algorithm": algorithm, "source": source, **mix, f"train_{algorithm}": TRAINED | own}


def added_jobs(algorithm):
    stages = (*ADDED[algorithm][2], f"train_{algorithm}", "evaluate_policy")
    return of_rounds(algorithm, stages, rounds=[1]) | metrics(algorithm) | TABLES | CONFIG


OFFLINE_DPO = ("construct_pairs", "compute_reference_logps", "train_dpo", "evaluate_policy")
MORE = {"algorithm": "dpo", "source": "offline"}
MORE_JOBS = of_rounds("dpo_offline", OFFLINE_DPO, rounds=[1]) | metrics("dpo_offline") | TABLES | CONFIG
CONTRASTIVE, EVALUATE = "scripts/preference/losses/contrastive.py", "scripts/evaluate_policy.py"
POLICY = f"{TASK}/{DPO}/seed1/round1/policy"
FILES_OF_THE_LOSS = [f"{TASK}/{DPO}/seed{seed}/round2/policy.manifest.json" for seed in SEEDS]
FILES_OF_THE_LOSS += [f"{TASK}/seed{seed}/reward_model/model.manifest.json" for seed in SEEDS]

EXPERIMENT = {
    "title": "Methods",
    "axes": {"run": [PREF_FT, DPO]},
    "figure": {"kind": "curves", "metric": "gold_reward", "x": "step", "panels": "task", "lines": "run"},
}
GAIN = {"experiment": "methods", "value": "final gold_reward", "of": f"{TASK}.{DPO} - {TASK}.{PREF_FT}"}
CLAIM = {"id": "gain", "claim": "DPO gains more.", "source": "us", "statistic": GAIN, "passes": {"above": 0}}

# What was changed -> the edit, and exactly what reruns.
ROWS = {
    "nothing": (lambda draft: None, NOTHING),
    # the config: each family of keys
    **{
        f"a run of {algorithm} more": (option(f"runs.{algorithm}", added_run(algorithm)), added_jobs(algorithm))
        for algorithm in ADDED
    },
    "the data's seed": (option("stages.prepare_task.seed", 1), ALL),
    "the number of held-out prompts": (option("stages.prepare_task.num_eval_prompts", 8), ALL),
    "the model's width": (option("stages.initialize_model.hidden_size", 64), stale("initialize_model") | CONFIG),
    "SFT's learning rate": (option("stages.train_sft.learning_rate", 2.0e-2), stale("train_sft") | CONFIG),
    "a task's own SFT": (option(f"tasks.{TASK}.train_sft.epochs", 1), stale("train_sft") | CONFIG),
    "a task's own Pref-FT and reference log-probabilities": (
        both(
            option(f"tasks.{TASK}.train_pref_ft.epochs", 2),
            option(f"tasks.{TASK}.compute_reference_logps.batch_size", 16),
        ),
        stale("train_pref_ft", "compute_reference_logps") | CONFIG,
    ),
    "the base model": (
        option(f"tasks.{TASK}.base_model", "owner/name"),
        {f"prepare_task {TASK}"} | stale("train_sft") | CONFIG,
    ),
    "the data": (option(f"tasks.{TASK}.data", "built_in"), ALL),
    "prompts of their own": (
        option(f"tasks.{TASK}.data", {"sft": DATA, "prompts": DATA, "eval_prompts": DATA}),
        ALL,
    ),
    "preferences of the data's own, which are sampled no more": (
        both(
            edits.preferences("a.jsonl"),
            option(f"tasks.{TASK}.data", {"sft": DATA, "preferences": "a.jsonl", "eval_preferences": "a.jsonl"}),
        ),
        {f"prepare_task_with_preferences {TASK}"}
        | ALL - {f"prepare_task {TASK}"} - of_splits("generate_responses", "score_responses", "construct_pairs"),
    ),
    "a file of a base model's own folder": (
        both(edits.own_base_model, accepted(), edits.resized("own model/model.safetensors", 1000)),
        stale("train_sft"),
    ),
    "the gold reward": (option(f"tasks.{TASK}.gold_reward", "max_length"), stale("score_responses") | CONFIG),
    "the gold reward's unit": (
        option(f"tasks.{TASK}.gold_reward", {"name": "min_length", "unit": "words"}),
        stale("score_responses") | CONFIG,
    ),
    "a gold reward with a target": (
        option(f"tasks.{TASK}.gold_reward", {"name": "mode_length", "target": 20}),
        stale("score_responses") | CONFIG,
    ),
    "a skew of the preferences": (
        option(f"tasks.{TASK}.preferences.skew_responses", {"mean_length": 6.0}),
        of_splits("skew_responses", "score_responses", "construct_pairs")
        | stale("train_reward_model")
        | onwards(PREF_FT, "construct_pairs")
        | CONFIG,
    ),
    "the reward model's number of pairs": (
        option("stages.train_reward_model.num_pairs", 20),
        stale("train_reward_model") | CONFIG,
    ),
    "the reward model's label noise": (
        option(f"tasks.{TASK}.train_reward_model.label_noise", 0.25),
        stale("train_reward_model") | CONFIG,
    ),
    "the reward model's label smoothing": (
        option("stages.train_reward_model.label_smoothing", 0.1),
        stale("train_reward_model") | CONFIG,
    ),
    "the reward model's epochs": (
        option("stages.train_reward_model.epochs", 2),
        stale("train_reward_model") | CONFIG,
    ),
    "the temperature of samples": (
        option("stages.generate_responses.temperature", 0.7),
        stale("generate_responses") | CONFIG,
    ),
    "the prompts of a round": (
        option("stages.generate_responses.num_prompts", 8),
        onwards(DPO, "generate_responses") | CONFIG,
    ),
    "the reward model's batches, which the gold reward has not": (
        option("stages.score_responses.batch_size", 32),
        onwards(DPO, "score_responses") | CONFIG,
    ),
    "the pairing rule": (option("stages.construct_pairs.pairing", "random"), stale("construct_pairs") | CONFIG),
    "pairs of earlier rounds, which the first has none of": (
        option("stages.construct_pairs.history", "all"),
        of_rounds(DPO, ROUND[DPO][2:], rounds=[2]) | metrics(DPO) | TABLES | CONFIG,
    ),
    "the pairing rule of a run": (
        option(f"runs.{DPO}.construct_pairs.min_margin", 0.5),
        onwards(DPO, "construct_pairs") | CONFIG,
    ),
    "a run's own Pref-FT, another's reference log-probabilities": (
        both(
            option(f"runs.{PREF_FT}.train_pref_ft.epochs", 2),
            option(f"runs.{DPO}.compute_reference_logps.batch_size", 16),
        ),
        onwards(PREF_FT, "train_pref_ft") | onwards(DPO, "compute_reference_logps") | CONFIG,
    ),
    "a run's own evaluation, another's scores": (
        both(
            option(f"runs.{PREF_FT}.evaluate_policy.temperature", 0.7),
            option(f"runs.{DPO}.score_responses.max_length", 100),
        ),
        onwards(PREF_FT, "evaluate_policy") | onwards(DPO, "score_responses") | CONFIG,
    ),
    "the pairing rule of an offline run, which pairs nothing": (
        option(f"runs.{PREF_FT}.construct_pairs.pairing", "random"),
        CONFIG,
    ),
    "the pairs of an offline round": (
        option(f"runs.{PREF_FT}.construct_pairs.num_pairs", 6),
        onwards(PREF_FT, "construct_pairs") | CONFIG,
    ),
    "the pairing rule of the preferences": (
        option(f"tasks.{TASK}.preferences.construct_pairs.min_margin", 0.5),
        of_splits("construct_pairs") | stale("train_reward_model") | onwards(PREF_FT, "construct_pairs") | CONFIG,
    ),
    "the samples of the preferences, and their batches of a reward model, which they have not": (
        both(
            option(f"tasks.{TASK}.preferences.generate_responses.temperature", 0.7),
            option(f"tasks.{TASK}.preferences.score_responses.batch_size", 8),
        ),
        of_splits("generate_responses")
        | of_splits("score_responses")
        | of_splits("construct_pairs")
        | stale("train_reward_model")
        | onwards(PREF_FT, "construct_pairs")
        | CONFIG,
    ),
    "the reference's batches": (
        option("stages.compute_reference_logps.batch_size", 16),
        stale("compute_reference_logps") | CONFIG,
    ),
    "DPO's beta": (option("stages.train_dpo.beta", 0.2), stale("train_dpo") | CONFIG),
    "DPO's beta in one run": (option(f"runs.{DPO}.train_dpo.beta", 0.2), stale("train_dpo") | CONFIG),
    "two flags of DPO, swapped": (
        swapped("train_dpo", "batch_size", "micro_batch_size"),
        stale("train_dpo") | CONFIG,
    ),
    "Pref-FT's epochs": (option("stages.train_pref_ft.epochs", 2), stale("train_pref_ft") | CONFIG),
    "the evaluation's samples": (
        option("stages.evaluate_policy.samples_per_prompt", 2),
        stale("evaluate_policy") | CONFIG,
    ),
    "how often training saves its state": (option("stages.train_dpo.checkpoint_steps", 1), NOTHING),
    "where training shows its log": (option("stages.train_dpo.report_to", "tensorboard"), NOTHING),
    "the engine": (option("engine", "vllm"), stale("generate_responses", "evaluate_policy") | CONFIG),
    "the engine of a run's samples": (
        option(f"runs.{DPO}.generate_responses.engine", "vllm"),
        onwards(DPO, "generate_responses") | CONFIG,
    ),
    "auto for the engine that it stands for": (both(edits.without_vllm, option("engine", "auto")), NOTHING),
    "no engine, which is auto, where vLLM has been installed since": (
        both(edits.with_vllm, option("engine", None)),
        stale("generate_responses", "evaluate_policy") | CONFIG,
    ),
    "the experiment's name": (option("experiment", "other"), ALL),
    # the config: more, fewer, other
    "a seed more": (
        option("seeds", [1, 2, 3]),
        {job.replace("seed 1", "seed 3") for job in stale("initialize_model") if "seed 1" in job} | TABLES | CONFIG,
    ),
    "a seed fewer": (option("seeds", [1]), TABLES | CONFIG),
    "a run more": (option("runs.dpo_offline", MORE), MORE_JOBS),
    "a run fewer": (option(f"runs.{PREF_FT}", None), TABLES | CONFIG),
    "an experiment more, which compares runs that there are": (
        option("experiments", {"methods": EXPERIMENT}),
        {"summarize_cells methods", "plot_cells methods"} | CONFIG,
    ),
    "an experiment and a claim about it": (
        both(option("experiments", {"methods": EXPERIMENT}), option("claims", [CLAIM])),
        {"summarize_cells methods", "plot_cells methods", "judge_claims"} | CONFIG,
    ),
    "a round more": (
        option(f"runs.{DPO}.rounds", 3),
        of_rounds(DPO, ROUND[DPO], rounds=[3]) | metrics(DPO) | TABLES | CONFIG,
    ),
    "an offline round more": (
        option(f"runs.{PREF_FT}.rounds", 3),
        of_rounds(PREF_FT, ROUND[PREF_FT], rounds=[3]) | metrics(PREF_FT) | TABLES | CONFIG,
    ),
    "a round fewer": (option(f"runs.{DPO}.rounds", 1), metrics(DPO) | TABLES | CONFIG),
    "the reference, which in round 1 is SFT in any case": (
        option(f"runs.{DPO}.reference", "previous"),
        of_rounds(DPO, ["compute_reference_logps", "train_dpo", "evaluate_policy"], rounds=[2])
        | metrics(DPO)
        | TABLES
        | CONFIG,
    ),
    "the reward that labels samples": (option(f"runs.{DPO}.reward", "gold"), onwards(DPO, "score_responses") | CONFIG),
    "a run's source": (
        option(f"runs.{DPO}.source", "offline"),
        of_rounds(DPO, OFFLINE_DPO) | metrics(DPO) | TABLES | CONFIG,
    ),
    "a run's algorithm": (
        option(f"runs.{PREF_FT}.algorithm", "dpo"),
        of_rounds(PREF_FT, ["compute_reference_logps", "train_dpo", "evaluate_policy"])
        | metrics(PREF_FT)
        | TABLES
        | CONFIG,
    ),
    "a judge of a task": (
        edits.own_judge,
        of_rounds(DPO, ["judge_responses"], rounds=[2])
        | of_rounds(PREF_FT, ["judge_responses"], rounds=[2])
        | {"summarize_judgements"}
        | CONFIG,
    ),
    "a judge's flags, where no task has one": (option("stages.judge_responses", {"max_new_tokens": 4}), CONFIG),
    "an unrelated task": (option(f"tasks.{OTHER}", OTHER_TASK), ALL_OF_OTHER | TABLES | CONFIG),
    "an unrelated task of one run": (
        both(option(f"tasks.{OTHER}", OTHER_TASK), option(f"runs.{DPO}.tasks", [TASK])),
        {job for job in ALL_OF_OTHER if DPO not in job} | TABLES | CONFIG,
    ),
    # the config: the same in other words
    "every default, written out": (edits.defaults_written_out, NOTHING),
    "the order of keys": (edits.keys_reversed, NOTHING),
    "the order of runs, which is that of the tables": (edits.runs_reversed, TABLES),
    "0.0001 for 1.0e-4": (edits.in_text("1.0e-4", "0.0001"), NOTHING),
    "1 for 1.0": (edits.in_text("temperature: 1.0", "temperature: 1"), NOTHING),
    "a comment in the config": (edits.in_text("runs:", "\n# What is compared.\nruns:"), NOTHING),
    # code that counts; a statement more in every script and module is below
    "an expression in the DPO loss": (
        code(CONTRASTIVE, "(1 - label_smoothing) * logsigmoid", "1.0 * logsigmoid"),
        stale("train_dpo", "train_reward_model"),
    ),
    "a plot's title": (code("scripts/plot_margins.py", '"log-ratio of chosen"', '"chosen"'), stale("plot_margins")),
    "every plot's colours": (code("scripts/preference/report/style.py", "#0072B2", "#0072B3"), stale(*FIGURES)),
    "a word of the report": (code("scripts/preference/report/page.py", "Does preference training", "Does it"), REPORT),
    # code that does not
    "a comment in every script": (comments("scripts/**/*.py"), NOTHING),
    "a docstring": (code(CONTRASTIVE, '"""Losses', '"""Some losses'), NOTHING),
    "formatting": (
        code(CONTRASTIVE, "    label_smoothing: float = 0.0,\n)", "    label_smoothing: float = 0.0)"),
        NOTHING,
    ),
    "a comment in every rule file": (comments("workflow/rules/*.smk"), NOTHING),
    "a comment in the workflow's functions": (comments("workflow/*.py"), NOTHING),
    "how a rule's text is broken into lines": (
        code(
            "workflow/rules/training.smk",
            "{input.data:q} --policy",
            '{input.data:q}"\n            " --policy',
        ),
        NOTHING,
    ),
    "the workflow's functions, written otherwise": (
        code("workflow/runs.py", 'return config["runs"][run]["rounds"]', 'return config["runs"][run].get("rounds")'),
        NOTHING,
    ),
    "a rule's message": (code("workflow/rules/sft.smk", '"train_sft {', '"supervised fine-tuning {'), NOTHING),
    "where a rule logs": (code("workflow/rules/sft.smk", "sft/policy.log", "sft/sft.log"), NOTHING),
    "a rule's threads": (code("workflow/rules/sft.smk", 'threads: threads("train_sft")', "threads: 1"), NOTHING),
    "an edit and its undoing": (
        both(code(EVALUATE, "0.5 if", "0.4 if"), code(EVALUATE, "0.4 if", "0.5 if")),
        NOTHING,
    ),
    "an output more of a rule, which no record knows, beside DPO's beta": (
        both(
            code("workflow/rules/training.smk", "training=", 'more=f"{ROUND}/more.csv",\n            training='),
            option("stages.train_dpo.beta", 0.2),
        ),
        stale("train_dpo") | CONFIG,
    ),
    "a blank in a rule's command: a rule's text is not understood, only compared": (
        code("workflow/rules/training.smk", "{params.command} {params.data}", "{params.command}  {params.data}"),
        stale("train_dpo", "train_pref_ft"),
    ),
    # data
    "the data file's content": (edits.data(seed=1), STALE["prepare_task"]),
    "the data file, written anew as it was": (edits.data(seed=0), NOTHING),
    # time stamps, clones, what is gone
    "touch of everything": (edits.touched, NOTHING),
    "touch of everything, the data being 300 MB": (
        both(edits.resized(DATA, 300_000_000), accepted(), edits.touched),
        NOTHING,
    ),
    "a fresh clone with the results copied in": (edits.cloned, NOTHING),
    "a fresh clone without results": (edits.emptied, ALL),
    "DPO's beta where .snakemake/ was left behind: nothing is known of what was made, as `make why` says": (
        both(edits.forgotten, option("stages.train_dpo.beta", 0.2)),
        NOTHING,
    ),
    "a policy's weights, gone": (deleted(POLICY), NOTHING),
    "a policy's weights, gone, where a stage that reads them is stale": (
        both(deleted(POLICY), statement(EVALUATE)),
        stale("evaluate_policy") | of_rounds(DPO, ["train_dpo"], [1], [1]),
    ),
    "the SFT policy's weights, gone, and a run more": (
        both(deleted(f"{TASK}/seed1/sft/policy"), option("runs.dpo_offline", MORE)),
        of_seeds("train_sft", [1]) | MORE_JOBS,
    ),
    "all weights of a seed, gone, and a run more": (
        both(
            deleted(*(f"{TASK}/seed1/{model}" for model in ("base/model", "sft/policy", "reward_model/model"))),
            deleted(*(f"{TASK}/{run}/seed1/round{number}/policy" for run in (DPO, PREF_FT) for number in ROUNDS)),
            option("runs.dpo_offline", MORE),
        ),
        of_seeds("initialize_model", [1])
        | of_seeds("train_sft", [1])
        | of_seeds("train_reward_model", [1])
        | MORE_JOBS,
    ),
    "a run's weights, gone, and a round more": (
        both(
            deleted(*(f"{TASK}/{DPO}/seed1/round{number}/policy" for number in ROUNDS)), option(f"runs.{DPO}.rounds", 3)
        ),
        of_rounds(DPO, ["train_dpo"], [1]) | of_rounds(DPO, ROUND[DPO], rounds=[3]) | metrics(DPO) | TABLES | CONFIG,
    ),
    "an intermediate, gone, where what reads it is stale": (
        both(deleted(f"{TASK}/{DPO}/seed1/round1/responses.parquet"), statement("scripts/score_responses.py")),
        stale("score_responses") | of_rounds(DPO, ["generate_responses"], [1], [1]),
    ),
    "all weights, gone, and the tables stale": (
        both(deleted(POLICY, f"{TASK}/seed1/sft/policy", f"{TASK}/seed2/reward_model/model"), option("seeds", [1])),
        TABLES | CONFIG,
    ),
    "an intermediate, gone": (deleted(f"{TASK}/{DPO}/seed1/round1/responses.parquet"), NOTHING),
    "a figure, gone": (deleted("figures/rewards.svg"), stale("plot_rewards")),
    "the report, gone": (deleted("report.html"), REPORT),
    "what a kill left unfinished": (
        edits.interrupted(f"{TASK}/{DPO}/seed1/round2/evaluation.json", f"{TASK}/seed2/reward_model/model"),
        {f"evaluate_policy {TASK}, {DPO}, seed 1, round 2"}
        | metrics(DPO, seeds=[1])
        | TABLES
        | of_seeds("train_reward_model", seeds=[2])
        | onwards(DPO, "score_responses", seeds=[2])
        | of_sft(seeds=[2])
        | onwards(PREF_FT, "evaluate_policy", seeds=[2]),
    ),
    # an edit accepted as harmless
    "a harmless edit, accepted": (both(statement(CONTRASTIVE), accepted()), NOTHING),
    "a harmless edit, accepted for the files that it concerns, with something else pending": (
        both(statement(CONTRASTIVE), option("stages.evaluate_policy.temperature", 0.7), accepted(*FILES_OF_THE_LOSS)),
        stale("evaluate_policy") | CONFIG,
    ),
    "a seed more, accepted with the rest and so never made: ask for the plan first": (
        both(statement(CONTRASTIVE), option("seeds", [1, 2, 3]), accepted()),
        NOTHING,
    ),
}
ROWS |= {
    f"a statement in preference/{module}.py": (statement(f"scripts/preference/{module}.py"), stale(*stages))
    for module, stages in MODULES.items()
}
VERIFIERS = "scripts/preference/rewards/verifiers"
ROWS |= {
    "a statement in the verifier of a task": (
        statement(f"{VERIFIERS}/min_length.py"),
        stale("score_responses", "evaluate_policy"),
    ),
    "a statement in a verifier that no task has": (statement(f"{VERIFIERS}/regex.py"), NOTHING),
    "a statement in a judge of a kind that no task has": (statement("scripts/preference/judges/endpoint.py"), NOTHING),
    "a reward model that is said as it is unsaid": (option(f"tasks.{TASK}.reward_model", "trained"), NOTHING),
    "a rule beside the reward model": (
        option(f"tasks.{TASK}.reward_model", ["trained", {"name": "json"}]),
        onwards(DPO, "score_responses") | stale("evaluate_policy") | CONFIG,
    ),
    "a gold reward of another kind": (
        option(f"tasks.{TASK}.gold_reward", {"name": "regex", "pattern": "a"}),
        stale("score_responses", "evaluate_policy") | CONFIG,
    ),
}
ROWS |= {
    f"a statement in {script.name}": (statement(f"scripts/{script.name}"), stale(script.stem))
    for script in sorted((ROOT / "scripts").glob("*.py"))
    if script.stem in STALE
}


def state(folder):
    """Every result and every record of it, with its time."""
    made = [path for part in ("results", ".snakemake/metadata") for path in (folder / part).rglob("*")]
    return {path: (path.stat().st_mtime_ns, provenance.digest(path)) for path in made if path.is_file()}


@pytest.fixture(scope="module")
def state_before_plans(finished):
    return state(finished.folder)


@pytest.fixture(scope="module")
def plans(request, finished, tmp_path_factory, state_before_plans):
    """Row -> its plan to come. Only the rows that are asked for are planned, as many at a time as there are cores."""
    folder = tmp_path_factory.mktemp("edits")

    def plan(name: str, edit) -> set[str]:
        draft = edits.Draft(finished, folder / re.sub(r"\W+", "_", name))
        edit(draft)
        return draft.workflow().plan(calls)

    asked = [item.callspec.params["row"] for item in request.session.items if "row" in item.fixturenames]
    with Calls() as calls:
        yield {row: calls.submit(plan, row, ROWS[row][0]) for row in asked}


@pytest.mark.parametrize("row", ROWS)
def test_exactly_this_reruns(plans, row):
    assert plans[row].result() == ROWS[row][1]


def test_planning_leaves_the_results_and_what_is_remembered_of_them_as_they_were(plans, finished, state_before_plans):
    wait(plans.values())
    assert state(finished.folder) == state_before_plans


def test_an_edit_of_one_familys_losses_reruns_no_training_of_another():
    read = {
        name: {a for a in edits.runs.ALGORITHMS if f"preference/{name}.py" in record(f"train_{a}.py")}
        for name in (
            "losses/contrastive",
            "losses/policy_gradient",
            "losses/unpaired",
            "losses/best_of_n",
            "training/pairwise",
        )
    }
    assert read["losses/contrastive"] == {"dpo", "ipo", "slic", "simpo"}
    assert read["losses/policy_gradient"] == {"reinforce", "ppo", "grpo"}
    assert (read["losses/unpaired"], read["losses/best_of_n"]) == ({"kto"}, {"best_of_n"})
    assert read["training/pairwise"] == {"dpo", "ipo", "slic", "simpo", "pref_ft", "csft"}


def test_every_script_and_every_module_has_a_row():
    scripts = {path.stem for path in (ROOT / "scripts").glob("*.py")}
    assert scripts - NOT_RUN - OF_MORE_SAMPLES - OF_LABS - OF_OTHER_RUNS - OF_JUDGED_TASKS - OF_CLUSTERS <= set(STALE)
    imported = {file for script in STALE for file in record(f"{script}.py")}
    members = {
        str(path.relative_to(ROOT / "scripts")) for path in (ROOT / "scripts/preference/formats").glob("[a-z]*.py")
    }
    assert members < record("prepare_task.py").keys(), "each is found by its name, and counts"
    listed = {f"preference/{module}.py" for module in MODULES}
    assert listed | members == {file for file in imported if "/" in file}
