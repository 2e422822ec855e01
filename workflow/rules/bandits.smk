# The bandit lab: a job per cell, tables and a figure per experiment, and what the lab says of the claims.


rule run_bandit:
    output:
        output=f"{LAB}/{{experiment}}/{{cell}}/history.parquet",
        tuning_output=f"{LAB}/{{experiment}}/{{cell}}/tuning.parquet",
        seconds_output=f"{LAB}/{{experiment}}/{{cell}}/seconds.json",
    params:
        **calls(
            "run_bandit",
            lambda wildcards: labs.flags(LABS[wildcards.lab], wildcards.experiment, tuple(wildcards.cell.split("."))),
        ),
    shell:
        RUN


rule summarize_cells_of_lab:
    input:
        histories=paths(of_cells("history.parquet")),
        tunings=paths(of_cells("tuning.parquet")),
    output:
        output=f"{LAB}/tables/{{experiment}}.csv",
        curves_output=f"{LAB}/tables/curves_{{experiment}}.csv",
    params:
        **calls(
            "summarize_cells",
            lambda wildcards: {"axes": list(labs.axes(LABS[wildcards.lab], wildcards.experiment))},
            labels={"histories": of_cells("history.parquet"), "tunings": of_cells("tuning.parquet")},
        ),
    shell:
        RUN


rule plot_bandit:
    input:
        **tables_of(figure_of_lab, f"{LAB}/tables", "{experiment}"),
    output:
        output=report(f"{LAB}/figures/{{experiment}}.svg", category="Figures"),
        _png=f"{LAB}/figures/{{experiment}}.png",
    params:
        **draws(figure_of_lab),
    shell:
        RUN


rule judge_claims_of_lab:
    input:
        histories=paths(histories_of_claims),
    output:
        output=f"{LAB}/tables/claims.csv",
        text_output=f"{LAB}/tables/claims.txt",
    params:
        **judges(lambda wildcards: LABS[wildcards.lab]["claims"], histories=histories_of_claims),
    shell:
        RUN


rule summarize_seconds:
    input:
        seconds=paths(of_cells("seconds.json")),
    output:
        output=f"{LAB}/tables/seconds.csv",
    params:
        **calls("summarize_seconds", labels={"seconds": of_cells("seconds.json")}),
    shell:
        RUN


rule compare_kl_directions:
    output:
        output=f"{LAB}/tables/kl_directions.csv",
        checks_output=f"{LAB}/tables/kl_directions_checks.csv",
    params:
        **calls("compare_kl_directions", lambda wildcards: labs.kl_flags(LABS[wildcards.lab])),
    shell:
        RUN


rule plot_kl_directions:
    input:
        table=f"{LAB}/tables/kl_directions.csv",
    output:
        output=report(f"{LAB}/figures/kl_directions.svg", category="Figures"),
        _png=f"{LAB}/figures/kl_directions.png",
    params:
        **calls("plot_kl_directions", lambda wildcards: LABS[wildcards.lab][labs.KL_DIRECTIONS]["figure"]),
    shell:
        RUN


# The targets, `bandit` and `bandit_<experiment>`: snakefmt keeps a loop around a rule as it is.
for lab_targets in map(labs.targets, LABS.values()):
    for lab_target, lab_files in lab_targets.items():

        rule:
            name:
                lab_target
            input:
                lab_files,
