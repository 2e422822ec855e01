# What the rules of the bandit lab use. Only labs that the command line asks for are read, so that the others cost
# nothing and may be broken; without one, the rules match nothing.


def targets_asked():
    """The targets of this call, and in a job on a cluster those that its rule belongs to. Snakemake keeps them to
    itself until the rules are read."""
    if not any("bandit" in word for word in sys.argv):
        return []
    options = get_argument_parser().parse_known_args()[0]
    return [*sorted(options.targets), *labs.targets_of_jobs(options.target_jobs or [])]


LABS, found = lab_validation.asked_for(targets_asked())
if found:
    print("\n".join(found), file=sys.stderr)
    sys.exit(1)

# The tree of a lab's results.
LAB = "results/{lab}"
CELL = f"{LAB}/{{experiment}}/{{cell}}"


wildcard_constraints:
    lab=one_of(LABS),
    experiment=one_of(sorted({name for lab in LABS.values() for name in lab["experiments"]})),
    cell=r"[a-z0-9_]+(\.[a-z0-9_]+)*",


def lab_stage(name, flags):
    """What makes an output of a lab's stage stale, see `stage`; `flags` is a function of the wildcards."""

    def spec(wildcards):
        return {"flags": runs.canonical(flags(wildcards)), "code": fingerprint(f"{name}.py")}

    return spec


def lab_command(name, flags):
    """A lab's stage as it is typed, see `command`."""

    def typed(wildcards, resources):
        return f"{interpreter(None)} {shlex.quote(str(SCRIPTS / name))}.py {labs.as_flags(flags(wildcards))}"

    return typed


def cell_flags(wildcards):
    return labs.flags(LABS[wildcards.lab], wildcards.experiment, tuple(wildcards.cell.split(".")))


def axes_flags(wildcards):
    return {"axes": list(labs.axes(LABS[wildcards.lab], wildcards.experiment))}


def files_of_cells(name):
    """A file of each cell of the experiments that the wildcards name: all of a lab's, or one."""

    def paths(wildcards):
        return list(labs.files_of_cells(LABS[wildcards.lab], name, wildcards.get("experiment")).values())

    return paths


def labelled_files(name):
    """The same as LABEL=PATH."""

    def typed(wildcards):
        return labelled(labs.files_of_cells(LABS[wildcards.lab], name, wildcards.get("experiment")))

    return typed
