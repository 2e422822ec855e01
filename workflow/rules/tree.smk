# The tree of results: where everything lies, and which file stands for what.
#
# For all rules: the folders RESULTS, TASK, SEED, RUN_SEED, ROUND and LAB, the functions of the wildcards below, and the files
# that exist only if the config asks for them (GEOMETRIES, EXPECTATIONS, JUDGEMENTS, CLAIMS).
RESULTS = runs.results(CONFIG)
TASK = f"{RESULTS}/{{task}}"
SEED = f"{TASK}/seed{{seed}}"
RUN_SEED = f"{TASK}/{{run}}/seed{{seed}}"
ROUND = f"{RUN_SEED}/round{{round}}"
LAB = "results/{lab}"

# Only labs that the command line asks for are read, so that the others cost nothing and may be broken. The command
# line is parsed only if it can name one: that takes as long as reading all rules.
IS_OF_LABS = any("bandit" in word for word in sys.argv)
LABS, DAMAGED_LABS = lab_validation.asked_for(patches.targets() if IS_OF_LABS else [])
FOLDERS = [RESULTS] if not LABS else [f"results/{name}" for name in LABS]  # what this call makes
if refused := DAMAGED_LABS or list(filter(None, map(folders.no_folder, FOLDERS))):
    sys.exit("\n".join(refused))

FETCHED = f"{RESULTS}/hub.json"  # what was fetched from the hub


def one_of(names):
    """Return a pattern that matches these names, or nothing if there are none."""
    return "|".join(names) or "(?!)"


wildcard_constraints:
    task="|".join(CONFIG["tasks"]),
    run="|".join(CONFIG["runs"]),
    seed=r"\d+",
    round=r"[1-9]\d*",
    shard=r"\d+-of-\d+",
    split="preferences|eval_preferences",
    part=one_of(experiments.names(CONFIG)),
    lab=one_of(LABS),
    experiment=one_of(sorted({name for lab in LABS.values() for name in lab["experiments"]})),
    cell=r"[a-z0-9_]+(\.[a-z0-9_]+)*",


def at(pattern):
    """Return a function of the wildcards: a path of the tree."""
    return lambda wildcards: pattern.format(**wildcards)


def only(files, if_so):
    """Return a function of the wildcards: what another one returns, if a third says so, else nothing."""
    return lambda wildcards: files(wildcards) if if_so(wildcards) else []


def both(*files):
    """Return a function of the wildcards: all paths that some others return."""

    def paths_of(wildcards):
        several = (each(wildcards) for each in files)
        return [path for paths in several for path in ([paths] if isinstance(paths, str) else paths)]

    return paths_of


# Policies: each is a function of the wildcards that returns a folder of the tree, or the released model in its place.
def sft_policy(wildcards):
    """Return the policy that all runs of a task start from: the SFT policy, or the base model if the task has no SFT
    data. Then nothing is copied."""
    task = CONFIG["tasks"][wildcards.task]
    return f"{SEED}/sft/policy".format(**wildcards) if runs.has_sft(task) else task["base_model"]


def base_model(wildcards):
    """Return the base model of a task: the folder of the one from scratch, or a released one."""
    released = CONFIG["tasks"][wildcards.task]["base_model"]
    return f"{SEED}/base/model".format(**wildcards) if released == "from_scratch" else released


def policy_before(wildcards):
    """Return the policy that a round starts from: that of all runs, then the previous round's."""
    number = int(wildcards.round)
    return sft_policy(wildcards) if number == 1 else f"{RUN_SEED}/round{number - 1}/policy".format(**wildcards)


def reference(wildcards):
    """Return the policy that a round is compared with: that of all runs, or the one that the round starts from."""
    fixed = CONFIG["runs"][wildcards.run]["reference"] == "fixed"
    return sft_policy(wildcards) if fixed else policy_before(wildcards)


def pairs_of(split):
    """Return a function of the wildcards: the pairs of a split, of `preferences` or of `eval_preferences`."""

    def pairs(wildcards):
        is_given = wildcards.task in runs.tasks_with_preferences(CONFIG)
        path = f"{TASK}/data/{split}.parquet" if is_given else f"{SEED}/{split}/pairs.parquet"
        return path.format(**wildcards)

    return pairs


def is_skewed(wildcards):
    """Say whether the responses of a task's sampled preferences are cut to random lengths before they are labelled."""
    return runs.is_skewed(CONFIG["tasks"][wildcards.task])


def earlier_pairs(wildcards):
    """Return the pairs of the round before, which has those of the rounds before it."""
    return f"{RUN_SEED}/round{int(wildcards.round) - 1}/pairs.parquet".format(**wildcards)


def is_on_policy(wildcards):
    """Say whether a run samples from its own policy, for all of a round or for a part."""
    return runs.is_on_policy(CONFIG, wildcards.run)


def is_offline(wildcards):
    """Say whether a run takes given preferences, for all of a round or for a part."""
    return runs.is_offline(CONFIG, wildcards.run)


def scores_preferences(wildcards):
    """Say whether a run scores the responses of given preferences: its method does not read pairs."""
    return runs.trained_on(CONFIG, wildcards.run) == "rewards" and is_offline(wildcards)


def compared(run):
    """Return the table of a run's rounds that says which prompts they were trained on."""
    return f"{ROUND}/{runs.compared_by(CONFIG, run)}.parquet"


# Every (task, run, seed) of the experiment, and (task, seed).
CELLS = runs.cells(CONFIG)
BASELINES = list(dict.fromkeys((task, seed) for task, _, seed in CELLS))


def of_cell(pattern, task, run, seed, number=None):
    """Return a path of one (task, run, seed), by default of its last round."""
    return pattern.format(task=task, run=run, seed=seed, round=number or runs.rounds_of(CONFIG, run))


def of_every_round(pattern):
    """Return a function of the wildcards: a path of each round of a run."""

    def paths_of(wildcards):
        numbers = range(1, runs.rounds_of(CONFIG, wildcards.run) + 1)
        return [of_cell(pattern, **wildcards, number=number) for number in numbers]

    return paths_of


# The files that exist only if the config asks for them.
GEOMETRIES = {
    f"{task}/{seed}": f"{RESULTS}/{task}/seed{seed}/sft/geometry.json"
    for task, seed in BASELINES
    if runs.has_geometry(CONFIG, task)
}
EXPECTATIONS = [f"{RESULTS}/tables/expectations.csv"] if runs.contrasts(CONFIG) else []
JUDGED = [each for each in CELLS if each[0] in runs.judged_tasks(CONFIG)]
JUDGEMENTS = [f"{RESULTS}/tables/judgements.csv"] if JUDGED else []
CLAIMS = [f"{RESULTS}/tables/claims.{kind}" for kind in ("csv", "txt")] if "claims" in CONFIG else []
