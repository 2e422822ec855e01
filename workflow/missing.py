"""What was deleted and is needed again is made again alone.

Snakemake runs whatever depends on a job that runs. If somebody deletes the SFT policy's weights for room and then adds
a run, the new run needs the weights again, and every finished run would be planned again with them. Here a job that
runs only because somebody lacks its output triggers nothing. What it makes again has the bytes that it had. If the
bytes do differ, the next call of Snakemake finds it out from the recorded checksums and reruns what read them.
"""

from snakemake.dag import DAG

plan_all = DAG.update_needrun

assert {"update_needrun", "reason", "needrun_jobs"} <= set(dir(DAG)), "another Snakemake than envs/lock.txt pins"


def make_again_alone() -> None:
    """Plan no job that only follows from one that makes a deleted output again."""
    DAG.update_needrun = plan


async def plan(dag, create_inventory: bool = False) -> None:
    """Do what `DAG.update_needrun` does, for fewer jobs."""
    await plan_all(dag, create_inventory)
    needed = await with_all(await with_all(await stale_jobs(dag), followers, dag), makers_of_missing, dag)
    for job in dag._needrun - needed:
        dag.reason(job).clear()  # or a second pass would take it for a reason of the job's own
    dag._needrun &= needed
    dag._n_until_ready.clear()
    dag._n_until_ready.update({job: sum(other in needed for other in dag.dependencies[job]) for job in needed})
    dag._len = len(dag._finished | dag._needrun)


async def stale_jobs(dag) -> set:
    """Return the jobs that run for a reason of their own, not for that of another job."""
    found = {job for job in dag._needrun if not dag.reason(job).derived or dag.reason(job).forced}
    # A target such as `all` runs nothing: what it lacks is what the user asks for.
    asked_for = [await makers_of_missing(job, dag) for job in found if job.rule.norun]
    return found.union(*asked_for) & dag._needrun


async def followers(job, dag) -> list:
    """Return the jobs that read what a job makes, apart from what is ancient to them and exists."""
    found = []
    for other, files in dag.depending[job].items():
        if not all([file.is_ancient and await file.exists() for file in files]):
            found.append(other)
    return found


async def makers_of_missing(job, dag) -> list:
    """Return the jobs that make those of a job's inputs that do not exist."""
    found = []
    for other, files in dag.dependencies[job].items():
        if [file async for file in other.missing_output(files)]:
            found.append(other)
    return found


async def with_all(jobs: set, neighbours, dag) -> set:
    """Return jobs that Snakemake plans, and those that are reached from them through `neighbours`."""
    found, queue = set(jobs), list(jobs)
    while queue:
        for other in await neighbours(queue.pop(), dag):
            if other in dag._needrun and other not in found:
                found.add(other)
                queue.append(other)
    return found
