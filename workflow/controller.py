"""Slurm's controller, or its accounting, may be away for a while as a run goes on: what waits for it and does not fail.

Left to itself the executor lets a job fail that is submitted meanwhile, and forgets those that run. It also waits for
ever for one that was cancelled, as accounting says that, and for one that was preempted where that ends it.
"""

import os
import shutil
import subprocess
import sys
import threading
import time

import sites

SECONDS = 600  # that a submission, or a job that begins on a node, waits
BETWEEN = 5

stopped = threading.Event()  # the run was interrupted: nothing is submitted any more
_given_up = threading.Event()  # it was waited for in vain: the next ones need not


def wait() -> None:
    """Until the controller answers, for ten minutes at most."""
    end, said = time.monotonic() + SECONDS, False
    while shutil.which("scontrol") and not stopped.is_set():
        if _answers():
            return _given_up.clear()
        if _given_up.is_set() or time.monotonic() > end:
            return _given_up.set()
        if not said:
            said = _say(f"Slurm's controller does not answer; waits for it for {SECONDS // 60} minutes")
        stopped.wait(BETWEEN)


def wait_as_a_job_begins() -> None:
    """Before a job makes its first step; what runs in that step need not wait."""
    if "SLURM_STEP_ID" not in os.environ:
        wait()


def be_patient() -> None:
    """Let the executor of this run submit a job only when the controller answers, and keep jobs that it hears nothing
    of. It also asks only now how long the controller remembers finished jobs: while that is away it would hear no
    answer, turn to `sacct` for good, and where there is no accounting lose every job that runs.
    """
    import snakemake_executor_plugin_slurm as plugin

    age = plugin.get_min_job_age()
    if age is not None:
        plugin.get_min_job_age = lambda: age
    plugin.Executor.run_job = _submitting(plugin.Executor.run_job)
    plugin.Executor.cancel = _stopping(plugin.Executor.cancel)
    _look_after(plugin)


def _submitting(submit):
    def patient(self, job):
        wait()
        if not stopped.is_set():
            sites.keep_within(job)
            submit(self, job)

    return patient


def _stopping(cancel):
    def stopping(self):
        stopped.set()
        cancel(self)

    return stopping


def _look_after(plugin) -> None:
    """A job that a look neither reports nor hands back was not heard of, and is looked after further."""
    executor = plugin.Executor
    look, ask = executor.check_active_jobs, plugin.query_job_status
    reported, active, heard = set(), set(), [True]

    def noted(report):
        def reporting(self, job, *arguments, **options):
            reported.add(id(job))
            return report(self, job, *arguments, **options)

        return reporting

    async def told(command, logger):
        states, seconds = await ask(command, logger)
        return states and {job: _told(job, state) if job in active else state for job, state in states.items()}, seconds

    async def looking(self, jobs):
        reported.clear()
        active.clear()
        active.update(job.external_jobid for job in jobs)
        async for job in look(self, jobs):
            reported.add(id(job))
            yield job
        left = [job for job in jobs if id(job) not in reported]
        if left and heard[0]:
            _say(f"Slurm does not say what became of {len(left)} jobs; asks again")
        heard[0] = not left
        for job in left:
            yield job

    executor.report_job_success = noted(executor.report_job_success)
    executor.report_job_error = noted(executor.report_job_error)
    executor.check_active_jobs, plugin.query_job_status = looking, told


def _told(job: str, state: str) -> str:
    """A state in the executor's words: `CANCELLED by 1000` is CANCELLED, and so is what was preempted for good."""
    word = state.partition(" ")[0]
    return "CANCELLED" if word == "PREEMPTED" and _is_over(job) else word


def _is_over(job: str) -> bool:
    """Whether a preempted job has left the queue; one that starts again waits there under its number."""
    asked = ["squeue", "--noheader", "--states=all", "--format=%T", f"--jobs={job}"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return set(done.stdout.split()) <= {"PREEMPTED"} if done.returncode == 0 else "Invalid job id" in done.stderr


def _answers() -> bool:
    try:
        return subprocess.run(["scontrol", "ping"], capture_output=True, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _say(line: str) -> bool:
    print(line, file=sys.stderr)
    return True
