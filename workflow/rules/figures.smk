# How an experiment is drawn and judged, one of a lab or one of the config.
#
# For both: the functions below. A `figure` is a function of the wildcards that returns the script
# that draws an experiment and its flags; `claims` is one that returns the claims, `files` one that maps labels to files.
import functools
import json


def paths(files):
    """Return a function of the wildcards: the files, without their labels."""
    return lambda wildcards: list(files(wildcards).values())


def tables_of(figure, folder, name):
    """Return the input of a figure: what the cells come to, or how they get there."""

    def table(wildcards, kind):
        is_of_curves = figure(wildcards)[0] == "plot_curves"
        path = f"{folder}/{'curves_' if kind == 'curves' else ''}{name}.csv".format(**wildcards)
        return path if is_of_curves == (kind == "curves") else []

    return {kind: functools.partial(table, kind=kind) for kind in ("table", "curves")}


def draws(figure):
    """Return the params of a rule that draws a figure."""
    return calls(lambda wildcards: figure(wildcards)[0], lambda wildcards: figure(wildcards)[1])


def judges(claims, **files):
    """Return the params of a rule that judges claims by the files of an input.

    The claims count by their ids, so that `make why` can name the one that changed; their order is that of the table.
    """

    def counts(wildcards):
        by_id = {claim["id"]: claim for claim in claims(wildcards)}
        return {"flags": runs.canonical({"claims": by_id, "order": list(by_id)})}

    return calls("judge_claims", counts=counts, labels=files, claims=lambda wildcards: json.dumps(claims(wildcards)))


# Of a lab.
def figure_of_lab(wildcards):
    return labs.figure(LABS[wildcards.lab], wildcards.experiment)


def of_cells(name):
    """Return a function of the wildcards: label -> a file of each cell of the experiment, or else of all of the lab's."""
    return lambda wildcards: labs.files_of_cells(LABS[wildcards.lab], name, wildcards.get("experiment"))


def histories_of_claims(wildcards):
    return labs.files_of_claims(LABS[wildcards.lab])


# Of the config.
def figure_of_runs(wildcards):
    return labs.figure(CONFIG, wildcards.part)


def metrics_of_cells(wildcards):
    return experiments.metrics(CONFIG, wildcards.part)


def metrics_of_claims(wildcards):
    return experiments.metrics_of_claims(CONFIG)
