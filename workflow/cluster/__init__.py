"""What jobs ask of machines. Each type of cluster is a module, whose `Site` has the methods of `one_machine.Site`.

The profile of a type sets default resources that no other sets, `Site.KEYS`: they tell which cluster a run is on.
"""

from workflow.cluster import one_machine, slurm

TYPES = (slurm.Site,)


def site(default_resources: dict | None, on_node: bool):
    """Return the site that a run is on, by the default resources of its profile."""
    for kind in TYPES:
        if default_resources and set(kind.KEYS) & set(default_resources):
            return kind(default_resources, on_node)
    return one_machine.Site(default_resources, on_node)
