# How a stage is called. A rule names what it reads and makes; everything else follows, and is written once, here.
#
# The names of a rule's inputs and outputs are the names of its script's flags: `pairs=FILE` is typed `--pairs FILE`, and
# not at all if it has no file. A name that begins with `_` is no flag: such an input counts, or is waited for, and such
# an output is written beside the others. `params: **calls(...)` says which script, and `shell: RUN` runs it. The log and
# the benchmark lie beside the first output, or where `log:` says. `complete` adds both, the environment, the threads,
# the resources and the message.
#
# For all rules: RUN, calls(), model(), files_of(), part() and shards_of().
import functools
import hashlib
import json
import re

from preference.files import provenance
from workflow import stages
from workflow.code import fingerprint, read_by
from workflow.config import scoring

RUN = "{params.store} {params.program} {params.flags} {params.reads} {params.makes} >> {log:q} 2> >(tee -a {log:q} >&2)"


@functools.cache
def options_of(script, wildcards):
    """Return the flags of a stage that the config says; `wildcards` are pairs of names and values."""
    return runs.options(CONFIG, script, dict(wildcards)) if "task" in dict(wildcards) else {}


@functools.cache
def code_of(script, members):
    """Return the fingerprint of a script and of the modules that its flags name: many jobs share it."""
    return fingerprint(f"{script}.py", members)


def calls(script, flags=None, counts=None, labels=None, **more):
    """Return the params of a rule that runs a script.

    One of them counts, `stage`: the flags, and the code that the script runs. All others take `resources`, `input` or
    `output`, so neither another interpreter nor another folder ever triggers a rerun.

    Args:
        script: its name, or a function of the wildcards that returns it.
        flags: a function of the wildcards that returns the flags, if they are not those of a stage of the config.
        counts: a function of the wildcards that returns what else makes the outputs stale.
        labels: for each input whose files are typed LABEL=FILE, the labels, or a function of the wildcards.
        more: flags that are typed and do not count: values, or functions of the wildcards.
    """
    labels, as_flags = labels or {}, labs.as_flags if flags else runs.as_flags

    def name(wildcards):
        return script(wildcards) if callable(script) else script

    def chosen(wildcards):
        return flags(wildcards) if flags else options_of(name(wildcards), tuple(wildcards.items()))

    def released(wildcards):
        return runs.released_models(CONFIG, name(wildcards), dict(wildcards))

    def labels_of(wildcards):
        return {flag: list(of_wildcards(given, wildcards)) for flag, given in labels.items()}

    def stage(wildcards):
        counting, is_of_task = chosen(wildcards), "task" in wildcards.keys()
        members = runs.members(CONFIG, name(wildcards), wildcards) if is_of_task else ()
        code = code_of(name(wildcards), tuple(members))
        template = {"template": provenance.digest(counting["chat_template"])} if "chat_template" in counting else {}
        order = {"order": labels_of(wildcards)} if labels else {}
        also = counts(wildcards) if counts else {}
        read = runs.canonical(read_by(f"{name(wildcards)}.py", counting, members))
        return {"flags": read, "code": code, **template, **order, **released(wildcards), **also}

    def started(wildcards, resources):
        return program(name(wildcards), chosen(wildcards).get("engine"))

    def derived(wildcards):
        shard = {"shard": wildcards.shard} if "shard" in wildcards.keys() else {}
        return {flag: of_wildcards(value, wildcards) for flag, value in more.items()} | shard

    def as_typed(wildcards, resources):
        return f"{as_flags(chosen(wildcards))} {runs.as_flags(derived(wildcards))}"

    def asked(wildcards, input):
        if not (STORE and stages.of(name(wildcards)).is_kept):
            return ""
        told = [name(wildcards), stage(wildcards), derived(wildcards)]
        digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
        asking = [interpreter(chosen(wildcards).get("engine")), str(PROJECT / "workflow" / "run_once.py")]
        return shlex.join([*asking, STORE, digest, *beside_flags(input), "--"])

    def reads(wildcards, input):
        files, labelled = files_by_flag(input), {flag: given for flag, given in labels_of(wildcards).items() if given}
        typed = {flag: list(map("{}={}".format, given, files[flag])) for flag, given in labelled.items()}
        return runs.as_flags(released(wildcards) | files | typed)

    def makes(wildcards, output):
        return runs.as_flags(files_by_flag(output))

    typed = {"program": started, "flags": as_typed, "reads": reads, "makes": makes}
    return {"stage": stage, "store": asked, **typed}


def of_wildcards(value, wildcards):
    """Return a value, or what a function of the wildcards returns."""
    return value(wildcards) if callable(value) else value


def files_by_flag(files):
    """Map each flag to its file, or its files, of a job's inputs or outputs; flags without any are left out."""
    named = ((flag, paths) for flag, paths in files.items() if paths and not flag.startswith("_"))
    return {flag: paths if isinstance(paths, str) else list(paths) for flag, paths in named}


def beside_flags(files):
    """Return the files that count for a job and that no flag names."""
    typed = [path for _, paths in files_by_flag(files).items() for path in listed(paths)]
    inside = (*(f"{path}/" for path in typed), *(f"{path}.manifest.json" for path in typed))
    others = [path for flag, paths in files.items() if flag.startswith("_") for path in listed(paths)]
    return [path for path in others if not path.startswith(inside) and not os.path.isdir(path)]


def listed(paths):
    """Return one path, or several, as a list."""
    return [paths] if isinstance(paths, str) else list(paths)


# What a rule leaves out. A message is the rule's name, and where in the tree of results its job is.
WORDS = {name: f"{{wildcards.{name}}}" for name in ("task", "run", "seed", "round", "split", "part")}
WORDS |= {name: f"{{wildcards.{name}}}" for name in ("lab", "experiment", "cell", "shard")}
WORDS |= {name: f"{name} {WORDS[name]}" for name in ("seed", "round", "shard")}


def complete(rule, info):
    """Add what a rule that runs a stage leaves out; `info` is what Snakemake parsed of it."""
    if info.shellcmd is None:  # a target
        return
    row, outputs = stages.OF_RULE[rule], info.output.kwpaths
    unknown = {flag for flag in info.input.kwpaths if not flag.startswith("_")} - {*row.inputs} if info.input else set()
    assert not unknown, f"{rule}: {unknown} are no inputs of {row.script} in workflow/stages.py"
    flag, first = next(iter(outputs.items()))
    folder = Path(first).parent / row.script if flag.startswith("_") else first  # of a script that writes a folder
    place = re.sub(r"\.\w+$", "", str(info.log.paths[0] if info.log else folder))
    words = ", ".join(text for name, text in WORDS.items() if f"{{{name}}}" in first)
    defaults = {
        "log": (info.log, f"{place}.log"),
        "benchmark": (info.benchmark, f"{place}.benchmark.tsv"),
        "conda": (info.conda_env, f"../../envs/{row.environment}.yaml"),
        "threads": (info.threads, threads_of(row.script)),
        "message": (info.message, f"{rule} {words}".strip()),
    }
    for directive, (given, value) in defaults.items():
        if given is None:
            getattr(workflow, directive)(value)(info)  # the decorator that Snakemake makes of the directive
    if info.resources is None:
        workflow.resources(**asks(row.script))(info)


patches.complete_rules(workflow, str(workflow.current_basedir), complete)


# Inputs of several families.
def is_made(model):
    """Say whether the workflow makes a model: its folder lies in the tree of results."""
    return model.startswith(f"{RESULTS}/")


def files_of(folder):
    """Return the files of a model's folder; of a hub id, or of None, there are none."""
    return sorted(str(path) for path in Path(folder).glob("*") if path.is_file()) if folder else []


def model(**policies):
    """Return the inputs of flags that take a policy, each a function of the wildcards that returns it.

    A policy that the workflow makes is an input by its manifest, and its folder's time stamp does not count. A folder of
    the user's is an input by its files, and a hub id is none: its name counts, see `calls`.
    """

    def folder(policy):
        return lambda wildcards: policy(wildcards) if is_made(policy(wildcards)) else []

    def counting(policy):
        def files(wildcards):
            path = policy(wildcards)
            return f"{path}.manifest.json" if is_made(path) else files_of(path)

        return files

    folders_of = {flag: ancient(folder(policy)) for flag, policy in policies.items()}
    return folders_of | {f"_{flag}_files": counting(policy) for flag, policy in policies.items()}


def rewards_by(script):
    """Return the inputs of a stage by which it scores responses: reward models, and Python files."""

    def trained(wildcards, alone):
        parts = runs.rewards_of(CONFIG, script, dict(wildcards))
        is_read = scoring.needs_training(parts) and scoring.is_trained_alone(parts) == alone
        return runs.trained_reward_model(CONFIG, dict(wildcards)) if is_read else []

    def manifest(wildcards):
        folder = trained(wildcards, alone=True) or trained(wildcards, alone=False)
        return f"{folder}.manifest.json" if folder else []

    def files(wildcards):
        parts = runs.all_rewards_of(CONFIG, script, dict(wildcards))
        of_models = [path for folder in scoring.models(parts) for path in files_of(folder)]
        return list(dict.fromkeys([*scoring.files(parts), *of_models]))

    return {
        "reward_model": ancient(functools.partial(trained, alone=True)),
        "_reward_model": ancient(functools.partial(trained, alone=False)),  # one of several, as its flag says
        "_reward_manifest": manifest,
        "_reward_files": files,
    }


# Stages that several jobs may share: each writes a shard of the table, and a rule joins them.
def part(script, table):
    """Return what a job of a stage makes of a table: all of it, or a shard in a folder of the table's name."""
    return f"{table}/{{shard}}.parquet" if runs.shards_of(CONFIG, script) else f"{table}.parquet"


def shards_of(script, table):
    """Return a function of the wildcards: the shards of a table."""
    return lambda wildcards: [
        f"{table}/{shard}.parquet".format(**wildcards) for shard in runs.shards_of(CONFIG, script)
    ]
