"""Slurm's controller may go away for minutes while a run goes on: what waits for it, and does not fail.

The executor asks after its jobs for as long (`slurm-status-attempts` in the profile), but a job that is submitted
meanwhile fails at once, and so does one whose step begins then.
"""

import shutil
import subprocess
import time

SECONDS = 600  # as long as running jobs are asked after
BETWEEN = 5


def wait(seconds: float = SECONDS) -> None:
    """Until the controller answers, or for so many seconds."""
    end = time.monotonic() + seconds
    while shutil.which("scontrol") and not _answers() and time.monotonic() < end:
        time.sleep(BETWEEN)


def wait_with_submissions() -> None:
    """Let the executor submit a job only when the controller answers; and let it ask only now how long the controller
    remembers finished jobs: while that is away it hears no answer, turns to `sacct` for good, and where there is no
    accounting loses every job that runs."""
    import snakemake_executor_plugin_slurm as executor

    submit, age = executor.Executor.run_job, executor.get_min_job_age()

    def patient(self, job):
        wait()
        submit(self, job)

    executor.Executor.run_job = patient
    if age is not None:
        executor.get_min_job_age = lambda: age


def _answers() -> bool:
    try:
        return subprocess.run(["scontrol", "ping"], capture_output=True, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
