"""Every change of Snakemake and of its Slurm executor; docs/snakemake.md says why, and what upstream does.

Each patch asserts what it changes, so that another version than the one that envs/lock.txt pins stops at once and does
not go wrong in silence. A patch of a class holds for the process, one of a workflow for that workflow.
"""

import inspect
import sys
from pathlib import Path

import snakemake
from snakemake.cli import get_argument_parser
from snakemake.dag import DAG
from snakemake.persistence import PersistenceBase
from snakemake.ruleinfo import RuleInfo
from snakemake.workflow import Workflow

WRITTEN_FOR = "9.27.1"


def expect(owner, name: str, *parameters: str) -> None:
    """Assert that a function of Snakemake has the parameters that a patch of it relies on."""
    function = getattr(owner, name, None)
    known = tuple(inspect.signature(function).parameters) if function else None
    place = f"{getattr(owner, '__name__', owner)}.{name}"
    assert known == parameters, (
        f"{place} takes {known}, not {parameters}: Snakemake {snakemake.__version__} is not {WRITTEN_FOR}, which "
        "envs/lock.txt pins"
    )


# Rules may leave out what follows from the rest of them.
def complete_rules(workflow: Workflow, folder: str, complete) -> None:
    """Call `complete(name, ruleinfo)` on every rule that a file below a folder declares, before Snakemake reads it.

    What it adds is checked, and modified by modules, as if the rule said it.
    """
    expect(Workflow, "rule", "self", "name", "lineno", "snakefile", "checkpoint")
    assert {"shellcmd", "output", "log", "params"} <= vars(RuleInfo()).keys()
    declare = workflow.rule

    def declare_complete(name=None, lineno=None, snakefile=None, checkpoint=False):
        decorate = declare(name, lineno, snakefile, checkpoint)
        if not Path(snakefile).is_relative_to(folder):  # of a workflow that uses this one as a module
            return decorate

        def decorate_complete(ruleinfo: RuleInfo):
            complete(ruleinfo.name or name, ruleinfo)
            return decorate(ruleinfo)

        return decorate_complete

    workflow.rule = declare_complete


# The targets, before the rules are read.
def targets() -> list[str]:
    """Return the targets of the command line; in a job on a cluster those that its rule and wildcards belong to."""
    options = get_argument_parser().parse_known_args()[0]
    jobs = {f"results/{job.wildcards_dict['lab']}/" for job in options.target_jobs or [] if "lab" in job.wildcards_dict}
    return [*sorted(options.targets), *sorted(jobs)]


# What Snakemake remembers of a job counts where it remembers only part of it.
def count_partial_records() -> None:
    """Compare what any output of a job has a record of, and not only what all of them have."""
    expect(PersistenceBase, "has_metadata", "self", "job")
    PersistenceBase.has_metadata = _has_metadata


def _has_metadata(self, job) -> bool:
    """Say whether any output of a job has a record; a job without outputs, such as `all`, needs none."""
    return not job.output or any(self.metadata(path) is not None for path in job.output)


# What was deleted and is needed again is made again alone.
def remake_deleted_alone() -> None:
    """Plan no job that only follows from one that makes a deleted output again."""
    if DAG.update_needrun is _plan:
        return
    expect(DAG, "update_needrun", "self", "create_inventory")
    assert {"reason", "needrun_jobs"} <= set(dir(DAG))
    DAG.update_needrun = _plan


_plan_all = DAG.update_needrun  # as Snakemake has it


async def _plan(self, create_inventory: bool = False) -> None:
    """Do what `DAG.update_needrun` does, for fewer jobs."""
    dag = self
    await _plan_all(dag, create_inventory)
    needed = await _with_all(await _with_all(await _stale_jobs(dag), _followers, dag), _makers_of_missing, dag)
    for job in dag._needrun - needed:
        dag.reason(job).clear()  # or a second pass would take it for a reason of the job's own
    dag._needrun &= needed
    dag._n_until_ready.clear()
    dag._n_until_ready.update({job: sum(other in needed for other in dag.dependencies[job]) for job in needed})
    dag._len = len(dag._finished | dag._needrun)


async def _stale_jobs(dag) -> set:
    """Return the jobs that run for a reason of their own, not for that of another job."""
    stale = {job for job in dag._needrun if not dag.reason(job).derived or dag.reason(job).forced}
    # A target such as `all` runs nothing: what it lacks is what the user asks for.
    asked_for = [await _makers_of_missing(job, dag) for job in stale if job.rule.norun]
    return stale.union(*asked_for) & dag._needrun


async def _followers(job, dag) -> list:
    """Return the jobs that read what a job makes, apart from what is ancient to them and exists."""
    followers = []
    for other, files in dag.depending[job].items():
        if not all([file.is_ancient and await file.exists() for file in files]):
            followers.append(other)
    return followers


async def _makers_of_missing(job, dag) -> list:
    """Return the jobs that make those of a job's inputs that do not exist."""
    makers = []
    for other, files in dag.dependencies[job].items():
        if [file async for file in other.missing_output(files)]:
            makers.append(other)
    return makers


async def _with_all(jobs: set, neighbours, dag) -> set:
    """Return jobs that Snakemake plans, and those that are reached from them through `neighbours`."""
    reached, queue = set(jobs), list(jobs)
    while queue:
        for other in await neighbours(queue.pop(), dag):
            if other in dag._needrun and other not in reached:
                reached.add(other)
                queue.append(other)
    return reached


# The scheduler looks after its jobs once a second, and not in ever more chains.
def lift_rate_limit(workflow: Workflow) -> None:
    """Let the scheduler begin any number of jobs a second; cores limit the jobs here, and submissions on a cluster."""
    assert hasattr(workflow.scheduler, "job_rate_limiter"), f"Snakemake {snakemake.__version__} is not {WRITTEN_FOR}"
    workflow.scheduler.job_rate_limiter = None


# The Slurm executor waits for a controller that is away, and keeps jobs that it hears nothing of.
def be_patient(cluster) -> None:
    """Let the executor of this run submit a job only when the controller answers, and look after it until it ends.

    The executor asks once, now, how long the controller remembers finished jobs: while that is away it would hear no
    answer, turn to `sacct` for good, and where there is no accounting lose every job that runs.

    Args:
        cluster: the module `workflow.cluster.slurm`.
    """
    import snakemake_executor_plugin_slurm as plugin

    expect(plugin, "get_min_job_age")
    expect(plugin, "query_job_status", "command", "logger")
    expect(plugin.Executor, "run_job", "self", "job")
    expect(plugin.Executor, "cancel", "self")
    expect(plugin.Executor, "check_active_jobs", "self", "active_jobs")
    age = plugin.get_min_job_age()
    if age is not None:
        plugin.get_min_job_age = lambda: age
    plugin.Executor.run_job = _submitting(plugin.Executor.run_job, cluster)
    plugin.Executor.cancel = _stopping(plugin.Executor.cancel, cluster)
    _look_after(plugin, cluster)


def _submitting(submit, cluster):
    def patient(self, job):
        cluster.wait_for_controller()
        if not cluster.stopped.is_set():
            for name, limit in cluster.keep_within(job).items():
                job._resources[name] = limit  # of a group, which has no other way to change them
            submit(self, job)

    return patient


def _stopping(cancel, cluster):
    def stopping(self):
        cluster.stopped.set()
        cancel(self)

    return stopping


def _look_after(plugin, cluster) -> None:
    """Poll a job again if a poll says neither that it ended nor that it is active."""
    executor = plugin.Executor
    look, ask = executor.check_active_jobs, plugin.query_job_status
    reported: set[int] = set()
    active: set[str] = set()
    heard = [True]

    def noted(report):
        def reporting(self, job, *arguments, **options):
            reported.add(id(job))
            return report(self, job, *arguments, **options)

        return reporting

    async def told(command, logger):
        states, seconds = await ask(command, logger)
        if states:
            states = {job: cluster.state_told(job, state) if job in active else state for job, state in states.items()}
        return states, seconds

    async def looking(self, active_jobs):
        reported.clear()
        active.clear()
        active.update(job.external_jobid for job in active_jobs)
        async for job in look(self, active_jobs):
            reported.add(id(job))
            yield job
        left = [job for job in active_jobs if id(job) not in reported]
        if left and heard[0]:
            print(f"Slurm does not say what became of {len(left)} jobs; asks again", file=sys.stderr)
        heard[0] = not left
        for job in left:
            yield job

    executor.report_job_success = noted(executor.report_job_success)
    executor.report_job_error = noted(executor.report_job_error)
    executor.check_active_jobs, plugin.query_job_status = looking, told


# What `make why` reads of the planner, where Snakemake's API ends.
def dag_of(workflow) -> DAG:
    """Return the graph of jobs of an API workflow whose dry run has ended."""
    assert isinstance(workflow._workflow.dag, DAG)
    return workflow._workflow.dag


def incomplete(memory: PersistenceBase, outputs) -> set[str]:
    """Return those of some outputs that a job was making when it was killed, whether they exist or not."""
    expect(PersistenceBase, "_filter_incomplete_keys", "self", "keys")
    return memory._filter_incomplete_keys(map(str, outputs))
