# The experiments of a config: what its runs come to, side by side, and what they say of the claims. Rules as a lab's.


rule summarize_cells:
    input:
        metrics=paths(metrics_of_cells),
    output:
        output=f"{RESULTS}/tables/{{part}}.csv",
        curves_output=f"{RESULTS}/tables/curves_{{part}}.csv",
    params:
        **calls(
            "summarize_cells",
            lambda wildcards: {"axes": list(experiments.axes(CONFIG, wildcards.part))},
            labels={"metrics": metrics_of_cells},
        ),
    shell:
        RUN


rule plot_cells:
    input:
        **tables_of(figure_of_runs, f"{RESULTS}/tables", "{part}"),
    output:
        output=report(f"{RESULTS}/figures/{{part}}.svg", category="Figures"),
        _png=f"{RESULTS}/figures/{{part}}.png",
    params:
        **draws(figure_of_runs),
    shell:
        RUN


rule judge_claims:
    input:
        metrics=paths(metrics_of_claims),
    output:
        output=f"{RESULTS}/tables/claims.csv",
        text_output=f"{RESULTS}/tables/claims.txt",
    params:
        **judges(lambda wildcards: CONFIG["claims"], metrics=metrics_of_claims),
    shell:
        RUN


# The targets, `<experiment>_<name>`: snakefmt keeps a loop around a rule as it is.
for target, target_files in experiments.targets(CONFIG).items():
    if rules.has(target):
        sys.exit(f"experiments: the target {target} is a rule of the workflow; rename the experiment")

    rule:
        name:
            target
        input:
            target_files,
