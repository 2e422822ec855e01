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
FOLDERS = [RESULTS] if not LABS else [f"results/{name}" for name in LABS]  # what this call makes
if found := found or list(filter(None, map(folders.no_folder, FOLDERS))):
    print("\n".join(found), file=sys.stderr)
    sys.exit(1)

# The tree of a lab's results.
LAB = "results/{lab}"
CELL = f"{LAB}/{{experiment}}/{{cell}}"


wildcard_constraints:
    lab=one_of(LABS),
    experiment=one_of(sorted({name for lab in LABS.values() for name in lab["experiments"]})),
    cell=r"[a-z0-9_]+(\.[a-z0-9_]+)*",


def cell_flags(wildcards):
    return labs.flags(LABS[wildcards.lab], wildcards.experiment, tuple(wildcards.cell.split(".")))


def axes_flags(wildcards):
    return {"axes": list(labs.axes(LABS[wildcards.lab], wildcards.experiment))}


def files_of_cells(name):
    """A file of each cell of the experiment that the wildcards name, or else of all of the lab's: label -> path."""

    def found(wildcards):
        return labs.files_of_cells(LABS[wildcards.lab], name, wildcards.get("experiment"))

    return found


def kl_flags(wildcards):
    return labs.kl_flags(LABS[wildcards.lab])


def kl_figure_flags(wildcards):
    return LABS[wildcards.lab]["kl_directions"]["figure"]


def no_flags(wildcards):
    return {}


def figure(wildcards):
    """(script, flags) of an experiment's figure."""
    return labs.figure(LABS[wildcards.lab], wildcards.experiment)


def files_of_claims(wildcards):
    return labs.files_of_claims(LABS[wildcards.lab])


def claims_of_lab(wildcards):
    return LABS[wildcards.lab]["claims"]
