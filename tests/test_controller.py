"""What the executor is told of a job that Slurm preempted, by what the queue says of it."""

import pytest

from workflow.cluster import slurm


@pytest.mark.parametrize(
    "answer, state",
    [
        ("echo PENDING", "PREEMPTED"),  # it starts again
        ("echo COMPLETING", "PREEMPTED"),
        ("echo PREEMPTED", "CANCELLED"),
        ("true", "CANCELLED"),
        ("echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1", "CANCELLED"),
        ("echo 'slurm_load_jobs error: Socket timed out on send/recv operation' >&2; exit 1", "PREEMPTED"),
    ],
)
def test_a_preempted_job_has_ended_only_where_the_queue_says_so(tmp_path, monkeypatch, answer, state):
    (tmp_path / "squeue").write_text(f"#!/bin/sh\n{answer}\n")
    (tmp_path / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert slurm.state_told("7", "PREEMPTED") == state


def test_who_cancelled_a_job_does_not_matter():
    assert slurm.state_told("7", "CANCELLED by 1000") == "CANCELLED"
    assert slurm.state_told("7", "RUNNING") == "RUNNING"
