# Where the stages run: interpreters, engines, and what a job asks of this machine or of a cluster.
#
# For all rules: CONFIG, the config with every default; SITE; program(); asks() and threads_of().
import importlib.util
import os
import shlex

from preference import engines
from workflow import cluster, stages
from workflow.cluster import demands

# A program named `python` need not be the one that this runs in.
PROJECT = Path(os.path.relpath(Path(workflow.current_basedir).parents[1]))
BY_SDM = bool(workflow.deployment_settings.deployment_method)  # in environments that Snakemake makes, of no engine


# For `--sdm apptainer`; a site builds it from envs/core.def. No path of an image may have a blank in it.
if BY_SDM:

    container: str(PROJECT / "envs" / "core.sif")


# Threads that spin while they wait for each other lose badly as soon as anything else runs beside them: training on two
# threads next to one busy process took 0.5 s a step, and 0.25 s without spinning (0.16 s and 0.24 s on idle cores).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def has_folder(traits):
    """Say whether an engine is installed in a virtual environment of its own beside the project."""
    return bool(traits.folder) and any((PROJECT / traits.folder).glob(f"lib/python*/site-packages/{traits.package}"))


def is_installed(traits):
    """Say whether an engine can sample here."""
    here = traits.package is None
    return here or (not BY_SDM and (has_folder(traits) or bool(importlib.util.find_spec(traits.package))))


ENGINE = next(name for name, traits in engines.known().items() if is_installed(traits))  # what `auto` stands for
IN_FOLDERS = {name: traits.folder for name, traits in engines.known().items() if has_folder(traits)}

# What is not said counts as if it had been said, and `auto` as the engine that it stands for here.
CONFIG = runs.complete(config, validation.DEFAULTS, ENGINE)


def interpreter(engine):
    """Return what runs a stage: the environment of the engine that it samples with, else ours."""
    own = str(PROJECT / IN_FOLDERS[engine] / "bin" / "python") if engine in IN_FOLDERS else sys.executable
    return "python" if BY_SDM else own


def program(script, engine):
    """Return how a script is started."""
    words = [interpreter(engine), *shlex.split(stages.of(script).launcher)]
    return shlex.join([*words, f"{PROJECT / 'scripts' / script}.py"])


STORE = store.folder(config)


SITE = cluster.site(workflow.resource_settings.default_resources, workflow.remote_exec)


def gpus(script):
    """Return a function of the wildcards: the GPUs that a job of a stage asks for; none on a cluster without any."""
    return lambda wildcards: demands.gpus(CONFIG, script, dict(wildcards)) if SITE.gives_gpus else 0


def threads_of(script):
    """Return a function of the wildcards: the CPU threads of a stage."""
    return lambda wildcards: demands.cpus(CONFIG, script, dict(wildcards), on_gpu=SITE.has_gpus)


def asks(script):
    """Return the resources of a stage, as functions of the wildcards and the attempt."""
    parts = len(runs.shards_of(CONFIG, script)) or 1

    def mem_mb(wildcards, attempt):
        wanted = demands.memory_mb(CONFIG, script, dict(wildcards), attempt, parts)
        return SITE.within(gpus(script)(wildcards), "memory_mb", wanted)

    def runtime(wildcards, attempt):
        wanted = demands.minutes(CONFIG, script, dict(wildcards), attempt, on_gpu=SITE.has_gpus, parts=parts)
        return SITE.within(gpus(script)(wildcards), "minutes", wanted)

    return {"mem_mb": mem_mb, "runtime": runtime, **SITE.resources(gpus(script))}


def show_efficiency():
    """Show what the jobs of a cluster took of what they asked for."""
    for folder in FOLDERS:
        if table := SITE.efficiency(folder):
            print(f"What each stage took of what it asked for: {table}", file=sys.stderr)
