# Names that every rule file uses: the folders of the results, the constraints on wildcards, how a stage is called.
found = validation.problems(config)
if found:
    source = ", ".join(map(str, workflow.configfiles)) or "config"
    for problem in found:
        print(f"{source}: {problem}", file=sys.stderr)
    sys.exit(1)

RESULTS = runs.results(config)
TASK = f"{RESULTS}/{{task}}"
SEED = f"{TASK}/seed{{seed}}"
RUN = f"{TASK}/{{run}}/seed{{seed}}"
ROUND = f"{RUN}/round{{round}}"
NOTHING = "(?!)"  # a pattern that no name matches


wildcard_constraints:
    task="|".join(config["tasks"]),
    run="|".join(config["runs"]),
    seed=r"\d+",
    round=r"[1-9]\d*",
    split="preferences|eval_preferences",


# A program named `python` need not be the one that this runs in. vLLM has an environment of its own, because its
# pins and those of the cluster plugin exclude each other; where it is installed, the stages that sample use it.
PYTHON = sys.executable
PROJECT = Path(os.path.relpath(Path(workflow.current_basedir).parents[1]))
SCRIPTS = PROJECT / "scripts"
VLLM = PROJECT / ".venv-vllm" / "bin" / "python"
SAMPLER = VLLM if VLLM.exists() and config.get("engine", "auto") != "transformers" else PYTHON

# The log gets everything; the terminal gets progress, warnings and errors.
LOGGED = " >> {log:q} 2> >(tee -a {log:q} >&2)"
START = ": > {log:q}; "


def stage(name):
    """What makes an output of this stage stale: its flags, and the code that it runs. One value, plain types."""

    def spec(wildcards):
        return {"flags": runs.options(config, name, dict(wildcards)), "code": fingerprint(f"{name}.py")}

    return spec


def code_of(name):
    """The same for a script without options, as the tables' and the figures' are."""
    return {"code": fingerprint(f"{name}.py")}


def options(name):
    """The same flags as they are typed. A function of resources counts as derived, and so never triggers a rerun."""

    def typed(wildcards, resources):
        return runs.as_flags(runs.options(config, name, dict(wildcards)))

    return typed


def one_of(names):
    return "|".join(names) or NOTHING


def given(name):
    """`--name file` where the rule has an input of that name, else nothing."""

    def typed(wildcards, input):
        path = input.get(name)
        return runs.as_flags({name: str(path)}) if path else ""

    return typed
