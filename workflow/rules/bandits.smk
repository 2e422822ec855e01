# The bandit lab: a job per cell, tables and a figure per experiment, and what the lab says of the claims.


rule run_bandit:
    output:
        history=f"{CELL}/history.parquet",
        tuning=f"{CELL}/tuning.parquet",
        seconds=f"{CELL}/seconds.json",
    log:
        f"{CELL}/history.log",
    benchmark:
        f"{CELL}/history.benchmark.tsv"
    conda:
        "../../envs/core.yaml"
    resources:
        **asked("run_bandit"),
    params:
        stage=stage("run_bandit", cell_flags),
        command=command_with("run_bandit", cell_flags),
    message:
        "run_bandit {wildcards.lab}, {wildcards.experiment}, {wildcards.cell}"
    shell:
        "{params.command} --output {output.history:q} --tuning_output {output.tuning:q}"
        " --seconds_output {output.seconds:q} >> {log:q} 2> >(tee -a {log:q} >&2)"


rule summarize_cells_of_lab:
    input:
        histories=paths(files_of_cells("history.parquet")),
        tunings=paths(files_of_cells("tuning.parquet")),
    output:
        table=f"{LAB}/tables/{{experiment}}.csv",
        curves=f"{LAB}/tables/curves_{{experiment}}.csv",
    log:
        f"{LAB}/tables/{{experiment}}.log",
    benchmark:
        f"{LAB}/tables/{{experiment}}.benchmark.tsv"
    conda:
        "../../envs/core.yaml"
    resources:
        **asked("summarize_cells"),
    params:
        stage=stage("summarize_cells", axes_flags),
        command=command_with("summarize_cells", axes_flags),
        histories=labelled_paths(files_of_cells("history.parquet")),
        tunings=labelled_paths(files_of_cells("tuning.parquet")),
    message:
        "summarize_cells_of_lab {wildcards.lab}, {wildcards.experiment}"
    shell:
        "{params.command} --histories {params.histories:q} --tunings {params.tunings:q}"
        " --output {output.table:q} --curves_output {output.curves:q} >> {log:q} 2> >(tee -a {log:q} >&2)"


rule plot_bandit:
    input:
        table_of_figure(figure, f"{LAB}/tables", "{experiment}"),
    output:
        svg=report(f"{LAB}/figures/{{experiment}}.svg", category="Figures"),
        png=f"{LAB}/figures/{{experiment}}.png",
    log:
        f"{LAB}/figures/{{experiment}}.log",
    benchmark:
        f"{LAB}/figures/{{experiment}}.benchmark.tsv"
    conda:
        "../../envs/core.yaml"
    resources:
        **asked("plot_curves"),
    params:
        stage=spec_of_figure(figure),
        command=command_of_figure(figure),
        table=input_of_figure(figure),
    message:
        "plot_bandit {wildcards.lab}, {wildcards.experiment}"
    shell:
        "{params.command} {params.table} --output {output.svg:q} >> {log:q} 2> >(tee -a {log:q} >&2)"


rule judge_claims_of_lab:
    input:
        paths(files_of_claims),
    output:
        table=f"{LAB}/tables/claims.csv",
        text=f"{LAB}/tables/claims.txt",
    log:
        f"{LAB}/tables/claims.log",
    benchmark:
        f"{LAB}/tables/claims.benchmark.tsv"
    conda:
        "../../envs/core.yaml"
    resources:
        **asked("judge_claims"),
    params:
        stage=spec_of_claims(claims_of_lab),
        command=command_of_claims(claims_of_lab),
        histories=labelled_paths(files_of_claims),
    message:
        "judge_claims_of_lab {wildcards.lab}"
    shell:
        "{params.command} --histories {params.histories:q} --output {output.table:q}"
        " --text_output {output.text:q} >> {log:q} 2> >(tee -a {log:q} >&2)"


rule summarize_seconds:
    input:
        paths(files_of_cells("seconds.json")),
    output:
        f"{LAB}/tables/seconds.csv",
    log:
        f"{LAB}/tables/seconds.log",
    benchmark:
        f"{LAB}/tables/seconds.benchmark.tsv"
    conda:
        "../../envs/core.yaml"
    resources:
        **asked("summarize_seconds"),
    params:
        stage=stage("summarize_seconds", no_flags),
        command=command_with("summarize_seconds", no_flags),
        seconds=labelled_paths(files_of_cells("seconds.json")),
    message:
        "summarize_seconds {wildcards.lab}"
    shell:
        "{params.command} --seconds {params.seconds:q} --output {output:q} >> {log:q} 2> >(tee -a {log:q} >&2)"


rule compare_kl_directions:
    output:
        table=f"{LAB}/tables/kl_directions.csv",
        checks=f"{LAB}/tables/kl_directions_checks.csv",
    log:
        f"{LAB}/tables/kl_directions.log",
    benchmark:
        f"{LAB}/tables/kl_directions.benchmark.tsv"
    conda:
        "../../envs/core.yaml"
    resources:
        **asked("compare_kl_directions"),
    params:
        stage=stage("compare_kl_directions", kl_flags),
        command=command_with("compare_kl_directions", kl_flags),
    message:
        "compare_kl_directions {wildcards.lab}"
    shell:
        "{params.command} --output {output.table:q} --checks_output {output.checks:q}"
        " >> {log:q} 2> >(tee -a {log:q} >&2)"


rule plot_kl_directions:
    input:
        f"{LAB}/tables/kl_directions.csv",
    output:
        svg=report(f"{LAB}/figures/kl_directions.svg", category="Figures"),
        png=f"{LAB}/figures/kl_directions.png",
    log:
        f"{LAB}/figures/kl_directions.log",
    benchmark:
        f"{LAB}/figures/kl_directions.benchmark.tsv"
    conda:
        "../../envs/core.yaml"
    resources:
        **asked("plot_kl_directions"),
    params:
        stage=stage("plot_kl_directions", kl_figure_flags),
        command=command_with("plot_kl_directions", kl_figure_flags),
    message:
        "plot_kl_directions {wildcards.lab}"
    shell:
        "{params.command} --table {input:q} --output {output.svg:q} >> {log:q} 2> >(tee -a {log:q} >&2)"


# The targets, `bandit` and `bandit_<experiment>`: snakefmt keeps a loop around a rule as it is.
for lab in LABS.values():
    for target, files in labs.targets(lab).items():

        rule:
            name:
                target
            input:
                files,
