"""One machine, without a cluster: what a job asks for is what Snakemake counts."""

from pathlib import Path


class Site:
    """The methods that every type of cluster has."""

    def __init__(self, default_resources: dict | None, on_node: bool):
        self.default_resources = default_resources

    has_gpus = False  # so that estimates are those of CPUs, which are enough for both
    gives_gpus = True  # jobs may ask for them: the default profile says that there is one

    def within(self, gpus: int, what: str, wanted: int) -> int:
        """Return what a job asks for of what it wants."""
        return wanted

    def resources(self, gpus) -> dict:
        """Return the resources by which jobs ask for GPUs; `gpus` counts a job's GPUs by its wildcards."""
        return {"gpu": lambda wildcards: gpus(wildcards) or None}

    def problem(self, dag, hub: dict[str, list[str]], fetched: str) -> str | None:
        """Return what is wrong with what the jobs of a run ask for, if anything."""
        return None

    def begin(self) -> None:
        """Do what a run needs before its first job."""

    def efficiency(self, folder: str) -> Path | None:
        """Write what the jobs of a folder took of what they asked for, if the site measures it."""
        return None
