# The experiments of a config: what its runs come to, side by side, and what they say of the claims. Rules as a lab's.


wildcard_constraints:
    part=one_of(experiments.names(config)),


rule summarize_cells:
    input:
        paths(metrics_of_cells),
    output:
        table=f"{RESULTS}/tables/{{part}}.csv",
        curves=f"{RESULTS}/tables/curves_{{part}}.csv",
    log:
        f"{RESULTS}/tables/{{part}}.log",
    benchmark:
        f"{RESULTS}/tables/{{part}}.benchmark.tsv"
    conda:
        "../../envs/core.yaml"
    resources:
        **asked("summarize_cells"),
    params:
        stage=stage("summarize_cells", axes_of_runs),
        command=command_with("summarize_cells", axes_of_runs),
        metrics=labelled_paths(metrics_of_cells),
    message:
        "summarize_cells {wildcards.part}"
    shell:
        "{params.command} --metrics {params.metrics:q}"
        " --output {output.table:q} --curves_output {output.curves:q} >> {log:q} 2> >(tee -a {log:q} >&2)"


rule plot_cells:
    input:
        table_of_figure(figure_of_runs, f"{RESULTS}/tables", "{part}"),
    output:
        svg=report(f"{RESULTS}/figures/{{part}}.svg", category="Figures"),
        png=f"{RESULTS}/figures/{{part}}.png",
    log:
        f"{RESULTS}/figures/{{part}}.log",
    benchmark:
        f"{RESULTS}/figures/{{part}}.benchmark.tsv"
    conda:
        "../../envs/core.yaml"
    resources:
        **asked("plot_curves"),
    params:
        stage=spec_of_figure(figure_of_runs),
        command=command_of_figure(figure_of_runs),
        table=input_of_figure(figure_of_runs),
    message:
        "plot_cells {wildcards.part}"
    shell:
        "{params.command} {params.table} --output {output.svg:q} >> {log:q} 2> >(tee -a {log:q} >&2)"


rule judge_claims:
    input:
        paths(metrics_of_claims),
    output:
        table=f"{RESULTS}/tables/claims.csv",
        text=f"{RESULTS}/tables/claims.txt",
    log:
        f"{RESULTS}/tables/claims.log",
    benchmark:
        f"{RESULTS}/tables/claims.benchmark.tsv"
    conda:
        "../../envs/core.yaml"
    resources:
        **asked("judge_claims"),
    params:
        stage=spec_of_claims(claims_of_runs),
        command=command_of_claims(claims_of_runs),
        metrics=labelled_paths(metrics_of_claims),
    message:
        "judge_claims"
    shell:
        "{params.command} --metrics {params.metrics:q} --output {output.table:q}"
        " --text_output {output.text:q} >> {log:q} 2> >(tee -a {log:q} >&2)"


# The targets, `<experiment>_<name>`: snakefmt keeps a loop around a rule as it is.
for target, files in experiments.targets(config).items():
    if rules.has(target):
        sys.exit(f"experiments: the target {target} is a rule of the workflow; rename the experiment")

    rule:
        name:
            target
        input:
            files,
