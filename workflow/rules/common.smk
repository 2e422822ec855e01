# What every file of rules uses: the tree of results, how a stage is called, and what each stage reads.
found = validation.problems(config)
if found:
    files = ", ".join(map(str, workflow.configfiles)) or "config"
    for problem in found:
        print(validation.said_of(problem, files, workflow.config_settings.config), file=sys.stderr)
    sys.exit(1)

if problem := folders.unwritable(".") or folders.no_folder(runs.results(config)):
    sys.exit(problem)

# A program named `python` need not be the one that this runs in. vLLM has an environment of its own, because its
# pins and those of the cluster plugin exclude each other; where it is installed, the stages that sample use it.
PROJECT = Path(os.path.relpath(Path(workflow.current_basedir).parents[1]))
SCRIPTS = PROJECT / "scripts"
VLLM = PROJECT / ".venv-vllm"
VLLM_IS_INSTALLED = any(VLLM.glob("lib/python*/site-packages/vllm"))
BY_SDM = bool(workflow.deployment_settings.deployment_method)  # in environments that Snakemake makes, which lack vLLM


# For `--sdm apptainer`; a site builds it from envs/core.def. No path of an image may have a blank in it.
if BY_SDM:

    container: str(PROJECT / "envs" / "core.sif")


def engine_here():
    """The engine that `auto` stands for: vLLM where it is installed."""
    found = not BY_SDM and (VLLM_IS_INSTALLED or importlib.util.find_spec("vllm"))
    return "vllm" if found else "transformers"


# What is left unsaid counts as if it had been said, and `auto` as the engine that it stands for here.
WRITTEN = config
config = runs.complete(config, validation.DEFAULTS, engine_here())

# The tree of results.
RESULTS = runs.results(config)
TASK = f"{RESULTS}/{{task}}"
SEED = f"{TASK}/seed{{seed}}"
RUN = f"{TASK}/{{run}}/seed{{seed}}"
ROUND = f"{RUN}/round{{round}}"


wildcard_constraints:
    task="|".join(config["tasks"]),
    run="|".join(config["runs"]),
    seed=r"\d+",
    round=r"[1-9]\d*",
    shard=r"\d+-of-\d+",
    split="preferences|eval_preferences",


# Threads that spin while they wait for each other lose badly as soon as anything else runs beside them: training on two
# threads next to one busy process took 0.5 s a step, and 0.25 s without spinning (0.16 s and 0.24 s on idle cores).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def stage(name, flags=None):
    """What makes an output of this stage stale: its flags, and the code that it runs. One value, plain types.

    `flags` is a function of the wildcards, where they are not those of an experiment's stage.
    """
    chosen = flags or (lambda wildcards: runs.options(config, name, dict(wildcards)))

    def spec(wildcards):
        typed = chosen(wildcards)
        task = config["tasks"].get(wildcards.get("task"), {})
        released = {"policy": task["base_model"]} if task and name in runs.TOKENIZING and not runs.has_sft(task) else {}
        template = {"template": provenance.digest(typed["chat_template"])} if typed.get("chat_template") else {}
        members = runs.members(config, name, wildcards) if task else ()
        code = fingerprint(f"{name}.py", members)
        of_data = {"formats": recognised.counting(f"{TASK}/data".format(**wildcards))} if name == "prepare_task" else {}
        read = runs.canonical(read_by(f"{name}.py", typed, members))
        return {"flags": read, "code": code, **of_data, **template, **released}

    return spec


def code_of(name, **more):
    """The same for a script without options, as the tables' and the figures' are, and what more makes it stale.

    A function, so that a job reads the code of its own script only."""
    return lambda wildcards: {"code": fingerprint(f"{name}.py"), **more}


def command(name, **fixed):
    """A stage as it is typed: interpreter, script, flags. What depends on resources counts as derived, and so neither
    another interpreter nor another folder ever triggers a rerun; the flags do, through `stage`."""

    def typed(wildcards, resources):
        chosen = fixed or ({} if "task" not in wildcards.keys() else runs.options(config, name, dict(wildcards)))
        return f"{interpreter(chosen.get('engine'))} {shlex.quote(str(SCRIPTS / name))}.py {runs.as_flags(chosen)}"

    return typed


def command_with(name, flags):
    """The same for a stage whose flags are a function of the wildcards, and not those of a stage of the config."""

    def typed(wildcards, resources):
        return f"{interpreter(None)} {shlex.quote(str(SCRIPTS / name))}.py {labs.as_flags(flags(wildcards))}"

    return typed


def interpreter(engine):
    """The program that runs a stage: vLLM's environment for what it samples, else ours."""
    if BY_SDM:
        return "python"
    return shlex.quote(str(VLLM / "bin" / "python" if engine == "vllm" and VLLM_IS_INSTALLED else sys.executable))


def config_text(wildcards, resources):
    """The config as it is written beside the results: in the words of its file, which do not count (see `command`)."""
    return json.dumps(WRITTEN)


def plain(raw):
    """A default resource as it is meant. The profile quotes it, as Snakemake takes it for Python."""
    try:
        return str(ast.literal_eval(raw))
    except (SyntaxError, ValueError):
        return raw


# What a cluster's profile says of its site: the partitions, and what a GPU is called there. On one machine, nothing.
SITE = {
    name: plain(resource.raw)
    for name, resource in (workflow.resource_settings.default_resources or {}).items()
    if name in ("slurm_partition", "gpu_partition", "gpu_gres", "slurm_account")
}
GRES = SITE.get("gpu_gres")


if SITE:
    caches.keep_out_of_home(on_node=workflow.remote_exec)
    if workflow.remote_exec:
        controller.wait_as_a_job_begins()


def gpus(name, wildcards):
    """The GPUs that a job of a stage asks for; none on a cluster that has none."""
    return demands.gpus(config, name, dict(wildcards)) if GRES or not SITE else 0


def partition(name, wildcards):
    return SITE.get("gpu_partition" if gpus(name, wildcards) else "slurm_partition")


def within(name, wildcards, what, wanted):
    """What a job wants, as far as its partition gives it: the estimates are high, and a stage that is stopped goes on
    where it was. Only where jobs are submitted: a node need not ask the cluster."""
    names = partition(name, wildcards)
    limit = sites.most(names, what) if names and not workflow.remote_exec else None
    return min(wanted, limit) if limit else wanted


def threads(name):
    """The CPU threads of a stage."""
    return lambda wildcards: demands.cpus(config, name, dict(wildcards), on_gpu=bool(GRES))


def asked(name):
    """What a job of this stage asks for: GPUs as a cluster wants to be asked, or as one machine counts them."""
    parts = len(runs.shards_of(config, name)) or 1

    def mem_mb(wildcards, attempt):
        wanted = demands.memory_mb(config, name, dict(wildcards), attempt, parts)
        return within(name, wildcards, "memory_mb", wanted)

    def runtime(wildcards, attempt):
        wanted = demands.minutes(config, name, dict(wildcards), attempt, on_gpu=bool(GRES), parts=parts)
        return within(name, wildcards, "minutes", wanted)

    def gres(wildcards):
        return f"{GRES}:{gpus(name, wildcards)}" if gpus(name, wildcards) else None

    def where(wildcards):
        return partition(name, wildcards)

    return {
        "mem_mb": mem_mb,
        **({"attempt": lambda wildcards, attempt: attempt} if SITE else {}),  # for efficiency.csv
        "runtime": runtime,
        **({"gres": gres} if GRES else {"gpu": lambda wildcards: gpus(name, wildcards) or None}),
        **({"slurm_partition": where, "gpu_partition": None, "gpu_gres": None} if SITE else {}),
    }


def show_efficiency():
    """What the jobs of a cluster took of what they asked for."""
    for folder in FOLDERS if SITE else ():
        if table := efficiency.write(folder):
            print(f"What each stage took of what it asked for: {table}", file=sys.stderr)


def one_of(names):
    """A pattern that matches these names, or nothing where there are none."""
    return "|".join(names) or "(?!)"


def given(name):
    """`--name file` where the rule has an input of that name, else nothing."""

    def typed(wildcards, input):
        path = input.get(name)
        return runs.as_flags({name: str(path)}) if path else ""

    return typed


# Stages that several jobs may share: each writes a shard of the table, and `join_shards` the table.
def part(stage, table, suffix):
    """What a job of a stage makes of a table: all of it, or a shard in a folder of the table's name."""
    return f"{table}/{{shard}}{suffix}" if runs.shards_of(config, stage) else f"{table}{suffix}"


def shards(stage, table):
    """The shards of a table, as the input of what joins them."""
    return lambda wildcards: [f"{table}/{shard}.parquet".format(**wildcards) for shard in runs.shards_of(config, stage)]


def shard_flag(wildcards):
    return runs.as_flags({"shard": wildcards.shard}) if "shard" in wildcards.keys() else ""


def shard_words(stage):
    """How a message says which of the jobs it is."""
    return ", shard {wildcards.shard}" if runs.shards_of(config, stage) else ""


def local_sources(wildcards):
    """The files that a task's sources stand for; those of a hub are no inputs."""
    names = [name for name in runs.names_of_data(config["tasks"][wildcards.task]) if sources.is_local(name)]
    return [str(file) for name in names for file in data_files.files(name)]


def base_model_texts(wildcards):
    """The files of a released base model that say how it renders a conversation: all but its weights."""
    return list(map(str, model_folders.files_without_weights(config["tasks"][wildcards.task]["base_model"])))


def base_model(wildcards):
    """A from-scratch model is an input by its manifest, a local folder by its files; a hub id is none."""
    model = config["tasks"][wildcards.task]["base_model"]
    if model == "from_scratch":
        return f"{SEED}/base/model.manifest.json".format(**wildcards)
    return files_of(model)


def files_of(model):
    """The files of a model's folder; of a hub id there are none."""
    return sorted(str(path) for path in Path(model).glob("*") if path.is_file())


def base_model_path(wildcards, resources):
    model = config["tasks"][wildcards.task]["base_model"]
    return f"{SEED}/base/model".format(**wildcards) if model == "from_scratch" else model


def base_model_weights(wildcards):
    """The folder of a from-scratch model, which is made again if somebody has deleted it; of another model none."""
    from_scratch = config["tasks"][wildcards.task]["base_model"] == "from_scratch"
    return f"{SEED}/base/model".format(**wildcards) if from_scratch else []


def base_model_spec(wildcards):
    return {**stage("train_sft")(wildcards), "base_model": config["tasks"][wildcards.task]["base_model"]}


def judge_files(wildcards):
    """The files of a judge's folder; a hub id has none, and an endpoint's model is elsewhere."""
    task = config["tasks"][wildcards.task]
    return [] if runs.judged_by(task) == "endpoint" else files_of(runs.judge_of(task))


def judge_path(wildcards, resources):
    return runs.judge_of(config["tasks"][wildcards.task])


def judge_template(wildcards):
    return config["tasks"][wildcards.task]["judge"].get("template", [])


def judge_spec(wildcards):
    return {**stage("judge_responses")(wildcards), "judge": runs.judge_of(config["tasks"][wildcards.task])}


def preferences(split, wildcards):
    """pairs.parquet of a split, `preferences` to train on or `eval_preferences` of held-out prompts."""
    given = wildcards.task in runs.tasks_with_preferences(config)
    path = f"{TASK}/data/{split}.parquet" if given else f"{SEED}/{split}/pairs.parquet"
    return path.format(**wildcards)


def prompts_of_split(wildcards):
    name = "eval_prompts" if wildcards.split == "eval_preferences" else "prompts"
    return f"{TASK}/data/{name}.parquet".format(**wildcards)


def preference_responses(wildcards):
    """The responses that preferences are made of: those that were sampled, or what a skew left of them."""
    skewed = runs.is_skewed(config["tasks"][wildcards.task])
    path = f"{SEED}/{{split}}/{'skewed_' if skewed else ''}responses.parquet"
    return path.format(**wildcards)


def sft_policy(wildcards):
    """Return the policy that all runs of a task start from: the SFT policy, or the base model if the task has no SFT
    data. Then nothing is copied."""
    task = config["tasks"][wildcards.task]
    return f"{SEED}/sft/policy".format(**wildcards) if runs.has_sft(task) else task["base_model"]


def policy_before(wildcards):
    """Return the policy that a round starts from: that of all runs, then the previous round's."""
    number = int(wildcards.round)
    return sft_policy(wildcards) if number == 1 else f"{RUN}/round{number - 1}/policy".format(**wildcards)


# A policy that the workflow makes is an input by its manifest, and its folder by its time stamp alone is none. A model
# folder of the user's is an input by its files, and a hub id is none: its name counts, see `stage`.
def is_made(policy):
    return policy.startswith(f"{RESULTS}/")


def policy_folder(policy):
    """Return a function of the wildcards: the folder of a policy, as an input, if the workflow makes it."""
    return lambda wildcards: policy(wildcards) if is_made(policy(wildcards)) else []


def policy_manifest(policy):
    """Return a function of the wildcards: what of a policy is an input whose change counts."""

    def found(wildcards):
        path = policy(wildcards)
        return f"{path}.manifest.json" if is_made(path) else files_of(path)

    return found


def policy_path(policy):
    """Return a function of the wildcards: a policy as it is typed, a folder or a hub id. It does not count (see
    `command`)."""
    return lambda wildcards, resources: policy(wildcards)


def policy_flag(is_read, policy):
    """Return the same for the flag --reference of the stages that have one, and for the others nothing."""

    def typed(wildcards, resources):
        return runs.as_flags({"reference": policy(wildcards)}) if is_read else ""

    return typed


def reward_model(name):
    """Return a function of the wildcards: the reward model that is trained here, if a stage scores responses by it."""

    def found(wildcards):
        parts = runs.rewards_of(config, name, dict(wildcards))
        return runs.trained_reward_model(config, dict(wildcards)) if scoring.needs_training(parts) else []

    return found


def reward_model_manifest(name):
    """Return a function of the wildcards: the manifest of that model, whose change counts."""

    def found(wildcards):
        model = reward_model(name)(wildcards)
        return f"{model}.manifest.json" if model else []

    return found


def reward_files(name):
    """Return a function of the wildcards: the Python files, and the files of model folders, that a stage scores by."""

    def found(wildcards):
        parts = runs.all_rewards_of(config, name, dict(wildcards))
        folders = [path for model in scoring.models(parts) for path in files_of(model)]
        return list(dict.fromkeys([*scoring.files(parts), *folders]))

    return found


def reward_model_flag(name):
    """Return `--reward_model` of the model that is trained here, where it is all of the reward. Others are flags of the
    stage (see `runs.options`)."""

    def typed(wildcards, input):
        alone = scoring.is_trained_alone(runs.rewards_of(config, name, dict(wildcards)))
        return runs.as_flags({"reward_model": str(input.reward_model)}) if alone else ""

    return typed


def round_responses(wildcards):
    """The samples of a round that are scored: its own, and for methods that do not read pairs the preferences', too."""
    own = [f"{ROUND}/responses.parquet"] if runs.is_on_policy(config, wildcards.run) else []
    scored = runs.trained_on(config, wildcards.run) == "rewards"
    given = [f"{ROUND}/preference_responses.parquet"] if scored and runs.is_offline(config, wildcards.run) else []
    return [path.format(**wildcards) for path in (*own, *given)]


def round_rewards(wildcards):
    on_policy = runs.is_on_policy(config, wildcards.run)
    return f"{ROUND}/rewards.parquet".format(**wildcards) if on_policy else []


def round_preferences(wildcards):
    return preferences("preferences", wildcards) if runs.is_offline(config, wildcards.run) else []


def earlier_pairs(wildcards):
    """The pairs of the round before, which has those of the rounds before it, where a run's `history` asks for them."""
    before = f"{RUN}/round{int(wildcards.round) - 1}/pairs.parquet".format(**wildcards)
    return before if runs.uses_history(config, dict(wildcards)) else []


def collected_preferences(wildcards):
    """The pairs whose responses a round is trained on; none if it takes the data's answers with their own scores."""
    return [] if runs.uses_given_reward(config, wildcards.run) else preferences("preferences", wildcards)


def collected_answers(wildcards):
    """The data's answers with their own scores, if a run trains on these."""
    uses_given = runs.uses_given_reward(config, wildcards.run)
    return f"{TASK}/data/answers.parquet".format(**wildcards) if uses_given else []


def training_table(wildcards):
    """What a round's training reads."""
    return f"{ROUND}/{runs.trained_on(config, wildcards.run)}.parquet".format(**wildcards)


def compared(run):
    """Where a run's rounds have what says which prompts they were trained on."""
    return f"{ROUND}/{runs.compared_by(config, run)}.parquet"


def compared_table(wildcards):
    """What says which prompts a round was trained on."""
    return compared(wildcards.run).format(**wildcards)


def reference(wildcards):
    """Return the policy that a round is compared with: that of all runs, or the one that the round starts from."""
    fixed = config["runs"][wildcards.run]["reference"] == "fixed"
    return sft_policy(wildcards) if fixed else policy_before(wildcards)


def this_policy(wildcards):
    """Return the policy that a round makes."""
    return f"{ROUND}/policy".format(**wildcards)


def cell(pattern, task, run, seed, number=None):
    """A path of one (task, run, seed), by default of its last round."""
    return pattern.format(task=task, run=run, seed=seed, round=number or runs.rounds_of(config, run))


def of_every_round(pattern, wildcards):
    last = runs.rounds_of(config, wildcards.run)
    return [cell(pattern, **wildcards, number=number) for number in range(1, last + 1)]


def evaluations_of_run(wildcards):
    return [f"{SEED}/sft/evaluation.json".format(**wildcards), *of_every_round(f"{ROUND}/evaluation.json", wildcards)]


def trainings_of_run(wildcards):
    return of_every_round(f"{ROUND}/training.csv", wildcards)


def trained_on_of_run(wildcards):
    return of_every_round(compared(wildcards.run), wildcards)


def data_of_every_round():
    """task/run/seed/roundN -> the pairs, or the scored samples, that the round was trained on."""
    return {
        f"{task}/{run}/{seed}/round{number}": cell(compared(run), task, run, seed, number)
        for task, run, seed in CELLS
        for number in range(1, runs.rounds_of(config, run) + 1)
    }


def labelled(paths):
    return [f"{label}={path}" for label, path in paths.items()]


def paths(files):
    """The paths of such files, which are a function of the wildcards, as a rule's input."""
    return lambda wildcards: list(files(wildcards).values())


def labelled_flag(name, paths):
    """`--name LABEL=PATH ...` where there are any, else nothing."""
    return lambda wildcards, input: runs.as_flags({name: labelled(paths)}) if paths else ""


def labelled_paths(files):
    """The same as a script takes them, LABEL=PATH."""
    return lambda wildcards: labelled(files(wildcards))


# How an experiment is drawn and judged, a lab's or one of the config: `figure` is a function of the wildcards that
# returns the script and its flags, `claims` one that returns the claims.
def table_of_figure(figure, folder, name):
    """What a figure shows: what the cells come to, or how they get there."""

    def found(wildcards):
        curves = figure(wildcards)[0] == "plot_curves"
        return f"{folder}/{'curves_' if curves else ''}{name}.csv".format(**wildcards)

    return found


def spec_of_figure(figure):
    def spec(wildcards):
        script, flags = figure(wildcards)
        return stage(script, lambda _: flags)(wildcards)

    return spec


def command_of_figure(figure):
    def typed(wildcards, resources):
        script, flags = figure(wildcards)
        return command_with(script, lambda _: flags)(wildcards, resources)

    return typed


def input_of_figure(figure):
    def typed(wildcards, input):
        curves = figure(wildcards)[0] == "plot_curves"
        return runs.as_flags({"curves" if curves else "table": str(input)})

    return typed


def spec_of_claims(claims):
    """What makes the claims stale, by their ids, so that `make why` can name the one that changed; their order is that
    of the table."""

    def spec(wildcards):
        said = claims(wildcards)
        flags = {"claims": {claim["id"]: claim for claim in said}, "order": [claim["id"] for claim in said]}
        return {"flags": runs.canonical(flags), **code_of("judge_claims")(wildcards)}

    return spec


def command_of_claims(claims):
    return command_with("judge_claims", lambda wildcards: {"claims": json.dumps(claims(wildcards))})


# The experiments of the config.
def axes_of_runs(wildcards):
    return {"axes": list(experiments.axes(config, wildcards.part))}


def metrics_of_cells(wildcards):
    return experiments.metrics(config, wildcards.part)


def figure_of_runs(wildcards):
    return labs.figure(config, wildcards.part)


def claims_of_runs(wildcards):
    return config["claims"]


def metrics_of_claims(wildcards):
    return experiments.metrics_of_claims(config)


CLAIMS = [f"{RESULTS}/tables/claims.{kind}" for kind in ("csv", "txt")] if "claims" in config else []


# Every (task, run, seed), and the files of each that the tables and the report read.
CELLS = runs.cells(config)
LABELS = [f"{task}/{run}/{seed}" for task, run, seed in CELLS]
BASELINES = list(dict.fromkeys((task, seed) for task, _, seed in CELLS))
SFT = {f"{task}/{seed}": f"{RESULTS}/{task}/seed{seed}/sft/evaluation.json" for task, seed in BASELINES}
REWARD_MODELS = {
    f"{task}/{seed}": f"{RESULTS}/{task}/seed{seed}/reward_model/evaluation.json"
    for task, seed in BASELINES
    if runs.trains_reward_model(config, task)
}
# What is judged beside that, and the table of it.
JUDGED = [each for each in CELLS if each[0] in runs.judged_tasks(config)]
JUDGEMENTS = [f"{RESULTS}/tables/judgements.csv"] if JUDGED else []
# The report shows samples of the first seed only.
SAMPLES = {
    f"{task}/sft/{seed}": f"{RESULTS}/{task}/seed{seed}/sft/evaluation.parquet"
    for task, seed in BASELINES
    if seed == config["seeds"][0]
}
SAMPLES |= {
    label: cell(f"{ROUND}/evaluation.parquet", *each)
    for label, each in zip(LABELS, CELLS)
    if each[-1] == config["seeds"][0]
}

# Where the tasks lie, where the samples say it, and the pairs of runs that are compared with what is expected there.
GEOMETRIES = {
    f"{task}/{seed}": f"{RESULTS}/{task}/seed{seed}/sft/geometry.json"
    for task, seed in BASELINES
    if runs.has_geometry(config, task)
}
CONTRASTS = runs.contrasts(config)
DIFFERING = {"/".join(each[:-1]): each.differs for each in CONTRASTS}
CONTRASTED = {
    f"{task}/{run}/{seed}": cell(f"{RUN}/metrics.csv", task, run, seed)
    for task, run, seed in CELLS
    if any(each.task == task and run in (each.run, each.against) for each in CONTRASTS)
}
EXPECTATIONS = [f"{RESULTS}/tables/expectations.csv"] if CONTRASTS else []
