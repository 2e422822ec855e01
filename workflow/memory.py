"""What Snakemake remembers of a job, made to count where it remembers only part of it.

It keeps a record for each output and compares none of them where one is not there, so that an output that a rule was
given since hides every change of the job's flags, inputs, code and command. With any record there is something to
compare; without one, nothing is known and nothing is stale, as before.
"""

from snakemake.persistence import PersistenceBase

assert hasattr(PersistenceBase, "has_metadata"), "another Snakemake than envs/lock.txt pins"


def has_metadata(self, job) -> bool:
    """Whether any output of a job has a record; a job without outputs, such as `all`, needs none."""
    return not job.output or any(self.metadata(path) is not None for path in job.output)


def count_what_is_there() -> None:
    PersistenceBase.has_metadata = has_metadata
