"""Reruns are as precise as the change: each edit of a finished experiment, and exactly the jobs that it makes stale.

EDITS makes the changes, tests/reruns.yaml says what each of them reruns, and the planner has to agree. A row that grows
when a rule is added is right to grow; a row that grows otherwise is a rerun that somebody has to wait for.
"""

import itertools
import re
from concurrent.futures import wait

import edits
import pytest
import yaml
from calls import Calls
from edits import accepted, added, both, code, comments, deleted, in_function, option, statement, swapped, unreached
from miniature import ROOT

from preference.files import provenance
from preference.running import source_text
from preference.running.code import Reach
from preference.running.source_text import RUNNING


def jobs(row: dict[str, str]) -> set[str]:
    """Return the messages that a row of reruns.yaml stands for."""
    found = set()
    for place, stages in row.items():
        words = [] if place == "the experiment" else [choices(word) for word in place.split(", ")]
        for stage, *where in itertools.product(stages.split(), *words):
            found.add(f"{stage} {', '.join(where)}".strip())
    return found


def choices(word: str) -> list[str]:
    """Return what a word of a place stands for: `seeds 1 2` for seed 1 and seed 2."""
    numbered = re.fullmatch(r"(seed|round)s? ([\d ]+)", word)
    return [f"{numbered[1]} {each}" for each in numbered[2].split()] if numbered else word.split(" and ")


EXPECTED = {row: jobs(said) for row, said in yaml.safe_load((ROOT / "tests" / "reruns.yaml").read_text()).items()}


def in_rule(name, directive):
    """Say in a rule what it leaves to the call grammar."""
    return code("workflow/rules/sft.smk", f"rule {name}:\n", f"rule {name}:\n    {directive}\n")


DPO, PREF_FT = "dpo_on_policy", "pref_ft_offline"
TASK, SEEDS, ROUNDS, DATA = "min_length", (1, 2), (1, 2), "instructions.jsonl"
OTHER, OTHER_TASK = "max_length", {"data": "built_in", "base_model": "from_scratch", "gold_reward": "max_length"}
TRAINED = {"learning_rate": 1.0e-4, "epochs": 1, "batch_size": 8, "micro_batch_size": 4, "max_length": 200}
ADDED = {  # algorithm -> source, its own flags
    "ipo": ("on_policy", {"beta": 0.1}),
    "csft": ("on_policy", {}),
    "slic": ("offline", {"delta": 1.0, "sft_coef": 0.1}),
    "simpo": ("mix", {"beta": 2.0, "gamma_beta_ratio": 0.3}),
    "best_of_n": ("on_policy", {}),
    "rwr": ("offline", {"beta": 1.0}),
    "kto": ("mix", {"beta": 0.1}),
    "reinforce": ("on_policy", {"kl_coef": 0.1}),
    "ppo": ("on_policy", {"clip_range": 0.2, "kl_coef": 0.1}),
    "grpo": ("on_policy", {"clip_range": 0.2, "kl_coef": 0.1}),
}


def added_run(algorithm):
    source, own = ADDED[algorithm]
    mix = {"offline_fraction": 0.5} if source == "mix" else {}
    return {"algorithm": algorithm, "source": source, **mix, f"train_{algorithm}": TRAINED | own}


def is_known(path):
    """Say whether the reach of a module's definitions is decided; of what is found by name, or runs code, it is not."""
    file = str(path.relative_to(source_text.SCRIPTS))
    found = source_text.summary(file)
    is_dynamic = any(part["is_dynamic"] for part in (found["statements"], *found["definitions"].values()))
    return not is_dynamic and not source_text.is_found_by_name(file)


MORE = {"algorithm": "dpo", "source": "offline"}
CONTRASTIVE, EVALUATE = "scripts/preference/losses/contrastive.py", "scripts/evaluate_policy.py"
POLICY = f"{TASK}/{DPO}/seed1/round1/policy"
FILES_OF_THE_LOSS = [f"{TASK}/{DPO}/seed{seed}/round2/policy.manifest.json" for seed in SEEDS]
FILES_OF_THE_LOSS += [f"{TASK}/seed{seed}/reward_model/model.manifest.json" for seed in SEEDS]
LOSSES = {  # each function of each module -> the trainings that use it, of language models and of bandits
    "best_of_n": {"best_of_n_loss": "best_of_n bandits", "_log_complement": "best_of_n bandits"},
    "contrastive": {
        "dpo_loss": "dpo bandits",
        "ipo_loss": "ipo bandits",
        "slic_loss": "slic",
        "simpo_loss": "simpo",
        "implicit_rewards": "dpo ipo",
        "bradley_terry_loss": "reward_model",
    },
    "likelihood": {
        "sft_loss": "sft csft",
        "pref_ft_loss": "pref_ft best_of_n bandits",
        "rwr_loss": "rwr bandits",
        "rwr_weights": "rwr bandits",
    },
    "policy_gradient": {
        "reinforce_loss": "reinforce bandits",
        "ppo_loss": "ppo grpo bandits",
        "value_loss": "ppo",
        "kl_estimate": "reinforce grpo bandits",
        "grpo_loss": "grpo",
    },
    "unpaired": {"kto_loss": "kto"},
}
MEMBERS = ["preference/rewards/verifiers/min_length.py", "preference/formats/sft.py"]  # what the miniature names
MEMBERS += ["preference/engines/transformers.py"]
RUN = {  # scripts that the miniature runs
    *("prepare_task", "initialize_model", "train_sft", "generate_responses", "score_responses", "construct_pairs"),
    *("train_reward_model", "compute_reference_logps", "train_dpo", "train_pref_ft", "evaluate_policy"),
    *("summarize_run", "summarize_experiment", "plot_rewards", "plot_margins", "plot_frontier"),
    *("write_config", "render_report"),
}
NOT_RUN = {
    "inspect_artifact",  # no rule runs it
    *("collect_responses", "skew_responses"),  # rows here add runs and tasks that need these
    *(f"train_{algorithm}" for algorithm in edits.runs.ALGORITHMS if algorithm not in ("dpo", "pref_ft")),
    *("diagnose_geometry", "compare_expectations"),  # tests/test_expectations.py
    *("run_bandit", "summarize_cells", "plot_axis", "plot_curves", "judge_claims"),  # tests/test_bandit_lab.py
    *("summarize_seconds", "compare_kl_directions", "plot_kl_directions"),
    *("judge_responses", "summarize_judgements"),  # rows here give the task a judge
    *("join_shards", "fetch_hub"),  # tests/test_slurm.py
}
FORMAT = """
COLUMNS = {"question_of_newer": ("text",), "answer_of_newer": ("text",)}


def example(row):
    return {"prompt": row.prompt("question_of_newer"), "response": row.response("answer_of_newer")}
"""
ENGINE = """
from preference.engines import Traits

TRAITS = Traits(package="not_installed", per_second=1e15)


def sampling(policy, rules, requests, flags): ...
"""
EXPERIMENT = {
    "title": "Methods",
    "axes": {"run": [PREF_FT, DPO]},
    "figure": {"kind": "curves", "metric": "gold_reward", "x": "step", "panels": "task", "lines": "run"},
}
GAIN = {"experiment": "methods", "value": "final gold_reward", "of": f"{TASK}.{DPO} - {TASK}.{PREF_FT}"}
CLAIM = {"id": "gain", "claim": "DPO gains more.", "source": "us", "statistic": GAIN, "passes": {"above": 0}}

EDITS = {
    "nothing": lambda draft: None,
    # the config: each family of keys
    **{f"a run of {algorithm} more": option(f"runs.{algorithm}", added_run(algorithm)) for algorithm in ADDED},
    "the data's seed": option("stages.prepare_task.seed", 1),
    "the number of held-out prompts": option("stages.prepare_task.num_eval_prompts", 8),
    "the model's width": option("stages.initialize_model.hidden_size", 64),
    "SFT's learning rate": option("stages.train_sft.learning_rate", 2.0e-2),
    "a task's own SFT": option(f"tasks.{TASK}.train_sft.epochs", 1),
    "a task's own Pref-FT and reference log-probabilities": both(
        option(f"tasks.{TASK}.train_pref_ft.epochs", 2),
        option(f"tasks.{TASK}.compute_reference_logps.batch_size", 16),
    ),
    "the base model": option(f"tasks.{TASK}.base_model", "owner/name"),
    "the data": option(f"tasks.{TASK}.data", "built_in"),
    "prompts of their own": option(f"tasks.{TASK}.data", {"sft": DATA, "prompts": DATA, "eval_prompts": DATA}),
    "preferences of the data's own, which are sampled no more": both(
        edits.preferences("a.jsonl"),
        option(f"tasks.{TASK}.data", {"sft": DATA, "preferences": "a.jsonl", "eval_preferences": "a.jsonl"}),
    ),
    "a file of a base model's own folder": both(
        edits.own_base_model, accepted(), edits.resized("own model/model.safetensors", 1000)
    ),
    "the gold reward": option(f"tasks.{TASK}.gold_reward", "max_length"),
    "the gold reward's unit": option(f"tasks.{TASK}.gold_reward", {"name": "min_length", "unit": "words"}),
    "a gold reward with a target": option(f"tasks.{TASK}.gold_reward", {"name": "mode_length", "target": 20}),
    "a skew of the preferences": option(f"tasks.{TASK}.preferences.skew_responses", {"mean_length": 6.0}),
    "the reward model's number of pairs": option("stages.train_reward_model.num_pairs", 20),
    "the reward model's label noise": option(f"tasks.{TASK}.train_reward_model.label_noise", 0.25),
    "the reward model's label smoothing": option("stages.train_reward_model.label_smoothing", 0.1),
    "the reward model's epochs": option("stages.train_reward_model.epochs", 2),
    "the temperature of samples": option("stages.generate_responses.temperature", 0.7),
    "the prompts of a round": option("stages.generate_responses.num_prompts", 8),
    "the reward model's batches, which the gold reward has not": option("stages.score_responses.batch_size", 32),
    "the pairing rule": option("stages.construct_pairs.pairing", "random"),
    "pairs of earlier rounds, which the first has none of": option("stages.construct_pairs.history", "all"),
    "the pairing rule of a run": option(f"runs.{DPO}.construct_pairs.min_margin", 0.5),
    "a run's own Pref-FT, another's reference log-probabilities": both(
        option(f"runs.{PREF_FT}.train_pref_ft.epochs", 2),
        option(f"runs.{DPO}.compute_reference_logps.batch_size", 16),
    ),
    "a run's own evaluation, another's scores": both(
        option(f"runs.{PREF_FT}.evaluate_policy.temperature", 0.7),
        option(f"runs.{DPO}.score_responses.max_length", 100),
    ),
    "the pairing rule of an offline run, which pairs nothing": option(
        f"runs.{PREF_FT}.construct_pairs.pairing", "random"
    ),
    "the pairs of an offline round": option(f"runs.{PREF_FT}.construct_pairs.num_pairs", 6),
    "the pairing rule of the preferences": option(f"tasks.{TASK}.preferences.construct_pairs.min_margin", 0.5),
    "the samples of the preferences, and their batches of a reward model, which they have not": both(
        option(f"tasks.{TASK}.preferences.generate_responses.temperature", 0.7),
        option(f"tasks.{TASK}.preferences.score_responses.batch_size", 8),
    ),
    "the reference's batches": option("stages.compute_reference_logps.batch_size", 16),
    "DPO's beta": option("stages.train_dpo.beta", 0.2),
    "DPO's beta in one run": option(f"runs.{DPO}.train_dpo.beta", 0.2),
    "two flags of DPO, swapped": swapped("train_dpo", "batch_size", "micro_batch_size"),
    "Pref-FT's epochs": option("stages.train_pref_ft.epochs", 2),
    "the evaluation's samples": option("stages.evaluate_policy.samples_per_prompt", 2),
    "how often training saves its state": option("stages.train_dpo.checkpoint_steps", 1),
    "where training shows its log": option("stages.train_dpo.report_to", "tensorboard"),
    "the engine": option("engine", "vllm"),
    "the engine of a run's samples": option(f"runs.{DPO}.generate_responses.engine", "vllm"),
    "auto for the engine that it stands for": both(edits.without_vllm, option("engine", "auto")),
    "no engine, which is auto, where vLLM has been installed since": both(edits.with_vllm, option("engine", None)),
    "the experiment's name": option("experiment", "other"),
    # the config: more, fewer, other
    "a seed more": option("seeds", [1, 2, 3]),
    "a seed fewer": option("seeds", [1]),
    "a run more": option("runs.dpo_offline", MORE),
    "a run fewer": option(f"runs.{PREF_FT}", None),
    "an experiment more, which compares runs that there are": option("experiments", {"methods": EXPERIMENT}),
    "an experiment and a claim about it": both(
        option("experiments", {"methods": EXPERIMENT}), option("claims", [CLAIM])
    ),
    "a round more": option(f"runs.{DPO}.rounds", 3),
    "an offline round more": option(f"runs.{PREF_FT}.rounds", 3),
    "a round fewer": option(f"runs.{DPO}.rounds", 1),
    "the reference, which in round 1 is SFT in any case": option(f"runs.{DPO}.reference", "previous"),
    "the reward that labels samples": option(f"runs.{DPO}.reward", "gold"),
    "a run's source": option(f"runs.{DPO}.source", "offline"),
    "a run's algorithm": option(f"runs.{PREF_FT}.algorithm", "dpo"),
    "a judge of a task": edits.own_judge,
    "a judge's flags, where no task has one": option("stages.judge_responses", {"max_new_tokens": 4}),
    "an unrelated task": option(f"tasks.{OTHER}", OTHER_TASK),
    "an unrelated task of one run": both(option(f"tasks.{OTHER}", OTHER_TASK), option(f"runs.{DPO}.tasks", [TASK])),
    # the config: the same in other words
    "every default, written out": edits.defaults_written_out,
    "the order of keys": edits.keys_reversed,
    "the order of runs, which is that of the tables": edits.runs_reversed,
    "0.0001 for 1.0e-4": edits.in_text("1.0e-4", "0.0001"),
    "1 for 1.0": edits.in_text("temperature: 1.0", "temperature: 1"),
    "a comment in the config": edits.in_text("runs:", "\n# What is compared.\nruns:"),
    # code that counts; tests/reruns.yaml has a row for a statement more in each script and module
    "an expression in the DPO loss": code(
        CONTRASTIVE, "(1 - label_smoothing) * logsigmoid(logits)", "1.0 * logsigmoid(logits)"
    ),
    "a plot's title": code("scripts/plot_margins.py", "nats per response", "nats"),
    "every plot's colours": code("scripts/preference/report/style.py", "#0072B2", "#0072B3"),
    "a word of the report": code("scripts/preference/report/page.py", "Does preference training", "Does it"),
    **{
        f"{function} of losses/{name}.py": in_function(f"scripts/preference/losses/{name}.py", function)
        for name, functions in LOSSES.items()
        for function in functions
    },
    # code that does not
    "a definition more that nothing reaches, in every script and module whose reach is known": both(
        *(unreached(str(path.relative_to(ROOT))) for path in sorted((ROOT / "scripts").rglob("*.py")) if is_known(path))
    ),
    "the text of an error": code("scripts/preference/files/records.py", "has no rows", "is empty"),
    "the glyphs of a progress bar": code("scripts/preference/running/stage.py", "█", "#"),
    "what a flag is said to be for": code("scripts/train_dpo.py", "strength of the KL", "weight of the KL"),
    "a flag more, which nothing reads": both(
        code(
            "scripts/train_dpo.py", "    beta: Positive =", '    newer: int = flag("a number", 1)\n    beta: Positive ='
        ),
        code(
            "workflow/schemas/config.schema.yaml",
            "label_smoothing: {",
            "newer: {default: 1}\n      label_smoothing: {",
        ),
    ),
    "a format more": added("scripts/preference/formats/newer.py", FORMAT),
    "a gold reward more": unreached("scripts/preference/rewards/verifiers/newer.py"),
    "a judge more": unreached("scripts/preference/judges/newer.py"),
    "an engine more": added("scripts/preference/engines/newer.py", ENGINE),
    "what the jobs of an engine ask of a machine": code(
        "scripts/preference/engines/transformers.py", "Traits()", "Traits(per_second=2e12)"
    ),
    "an algorithm more": unreached("scripts/train_newer.py"),
    "a comment in every script": comments("scripts/**/*.py"),
    "a docstring": code(CONTRASTIVE, '"""Losses', '"""Some losses'),
    "formatting": code(CONTRASTIVE, "    label_smoothing: float = 0.0,\n)", "    label_smoothing: float = 0.0)"),
    "a comment in every rule file": comments("workflow/rules/*.smk"),
    "a comment in the workflow's functions": comments("workflow/**/*.py"),
    "how a rule's text is broken into lines": code(
        "workflow/rules/calls.smk", "{params.reads} {params.makes}", '{params.reads}" " {params.makes}'
    ),
    "the workflow's functions, written otherwise": code(
        "workflow/config/runs.py", 'return config["runs"][run]["rounds"]', 'return config["runs"][run].get("rounds")'
    ),
    "a rule's message": in_rule("train_sft", "message: 'supervised fine-tuning'"),
    "where a rule logs": in_rule("train_sft", 'log: f"{SEED}/sft/sft.log"'),
    "a rule's threads": in_rule("train_sft", "threads: 1"),
    "an edit and its undoing": both(code(EVALUATE, "0.5 if", "0.4 if"), code(EVALUATE, "0.4 if", "0.5 if")),
    "an output more of a rule, which no record knows, beside DPO's beta": both(
        code("workflow/rules/training.smk", '"log_output":', '"_more": f"{ROUND}/more.csv",\n    "log_output":'),
        option("stages.train_dpo.beta", 0.2),
    ),
    "a blank in a rule's command: a rule's text is not understood, only compared": code(
        "workflow/rules/training.smk", "        RUN\n", '        RUN + " "\n'
    ),
    # data
    "the data file's content": edits.data(seed=1),
    "the data file, written anew as it was": edits.data(seed=0),
    # time stamps, clones, what is gone
    "touch of everything": edits.touched,
    "touch of everything, the data being 300 MB": both(edits.resized(DATA, 300_000_000), accepted(), edits.touched),
    "a fresh clone with the results copied in": edits.cloned,
    "a fresh clone without results": edits.emptied,
    "DPO's beta where .snakemake/ was left behind: nothing is known of what was made, as `make why` says": both(
        edits.forgotten, option("stages.train_dpo.beta", 0.2)
    ),
    "a policy's weights, gone": deleted(POLICY),
    "a policy's weights, gone, where a stage that reads them is stale": both(deleted(POLICY), statement(EVALUATE)),
    "the SFT policy's weights, gone, and a run more": both(
        deleted(f"{TASK}/seed1/sft/policy"), option("runs.dpo_offline", MORE)
    ),
    "all weights of a seed, gone, and a run more": both(
        deleted(*(f"{TASK}/seed1/{model}" for model in ("base/model", "sft/policy", "reward_model/model"))),
        deleted(*(f"{TASK}/{run}/seed1/round{number}/policy" for run in (DPO, PREF_FT) for number in ROUNDS)),
        option("runs.dpo_offline", MORE),
    ),
    "a run's weights, gone, and a round more": both(
        deleted(*(f"{TASK}/{DPO}/seed1/round{number}/policy" for number in ROUNDS)), option(f"runs.{DPO}.rounds", 3)
    ),
    "an intermediate, gone, where what reads it is stale": both(
        deleted(f"{TASK}/{DPO}/seed1/round1/responses.parquet"), statement("scripts/score_responses.py")
    ),
    "all weights, gone, and the tables stale": both(
        deleted(POLICY, f"{TASK}/seed1/sft/policy", f"{TASK}/seed2/reward_model/model"), option("seeds", [1])
    ),
    "an intermediate, gone": deleted(f"{TASK}/{DPO}/seed1/round1/responses.parquet"),
    "a figure, gone": deleted("figures/rewards.svg"),
    "the report, gone": deleted("report.html"),
    "what a kill left unfinished": edits.interrupted(
        f"{TASK}/{DPO}/seed1/round2/evaluation.json", f"{TASK}/seed2/reward_model/model"
    ),
    # an edit accepted as harmless
    "a harmless edit, accepted": both(statement(CONTRASTIVE), accepted()),
    "a harmless edit, accepted for the files that it concerns, with something else pending": both(
        statement(CONTRASTIVE), option("stages.evaluate_policy.temperature", 0.7), accepted(*FILES_OF_THE_LOSS)
    ),
    "a seed more, accepted with the rest and so never made: ask for the plan first": both(
        statement(CONTRASTIVE), option("seeds", [1, 2, 3]), accepted()
    ),
}
VERIFIERS = "scripts/preference/rewards/verifiers"
EDITS |= {
    "a statement in a verifier that no task has": statement(f"{VERIFIERS}/regex.py"),
    "a statement in a judge of a kind that no task has": statement("scripts/preference/judges/endpoint.py"),
    "a reward model that is said as it is unsaid": option(f"tasks.{TASK}.reward_model", "trained"),
    "a rule beside the reward model": option(f"tasks.{TASK}.reward_model", ["trained", {"name": "json"}]),
    "a gold reward of another kind": option(f"tasks.{TASK}.gold_reward", {"name": "regex", "pattern": "a"}),
}
EDITS |= {
    row: statement(f"scripts/{row.removeprefix('a statement in ')}")
    for row in EXPECTED
    if row.startswith("a statement in ") and row.endswith(".py")
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
        yield {row: calls.submit(plan, row, EDITS[row]) for row in asked}


@pytest.mark.parametrize("row", EDITS)
def test_exactly_this_reruns(plans, row):
    assert plans[row].result() == EXPECTED[row]


def test_planning_leaves_the_results_and_what_is_remembered_of_them_as_they_were(plans, finished, state_before_plans):
    wait(plans.values())
    assert state(finished.folder) == state_before_plans


def test_every_row_is_expected_and_every_expectation_has_a_row():
    assert EDITS.keys() == EXPECTED.keys()


def test_every_function_of_a_loss_counts_for_the_trainings_that_use_it_and_for_no_other():
    scripts = {script.stem.removeprefix("train_"): script.name for script in (ROOT / "scripts").glob("train_*.py")}
    reaches = {name: Reach(script) for name, script in {**scripts, "bandits": "run_bandit.py"}.items()}
    for name, functions in LOSSES.items():
        file = f"preference/losses/{name}.py"
        defined = {node for node in source_text.summary(file)["definitions"] if not node.isupper()}
        assert defined == functions.keys()
        for function, algorithms in functions.items():
            reading = {name for name, reach in reaches.items() if (file, function) in reach.reached}
            assert reading == {*algorithms.split()}, function


def test_every_script_and_module_that_the_miniature_runs_has_a_row():
    reaches = [Reach(f"{stage}.py", MEMBERS) for stage in RUN]
    files = {file for reach in reaches for file in reach.executed}
    files |= {str(path.relative_to(source_text.SCRIPTS)) for path in (source_text.SCRIPTS / RUNNING).glob("*.py")}
    rows = {row.removeprefix("a statement in ") for row in EXPECTED if row.startswith("a statement in ")}
    assert {row for row in rows if row.endswith(".py")} >= files
    scripts = {path.stem for path in (ROOT / "scripts").glob("*.py")}
    assert scripts == RUN | NOT_RUN, "a new script is run by the miniature, or a test elsewhere has its rows"
