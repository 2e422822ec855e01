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
    params:
        stage=stage("run_bandit", cell_flags),
        command=lab_command("run_bandit", cell_flags),
    message:
        "run_bandit {wildcards.lab}, {wildcards.experiment}, {wildcards.cell}"
    shell:
        "{params.command} --output {output.history:q} --tuning_output {output.tuning:q}"
        " --seconds_output {output.seconds:q} >> {log:q} 2> >(tee -a {log:q} >&2)"


rule summarize_bandit:
    input:
        histories=paths(files_of_cells("history.parquet")),
        tunings=paths(files_of_cells("tuning.parquet")),
    output:
        table=f"{LAB}/tables/{{experiment}}.csv",
        curves=f"{LAB}/tables/curves_{{experiment}}.csv",
    log:
        f"{LAB}/tables/{{experiment}}.log",
    conda:
        "../../envs/core.yaml"
    params:
        stage=stage("summarize_bandit", axes_flags),
        command=lab_command("summarize_bandit", axes_flags),
        histories=labelled_paths(files_of_cells("history.parquet")),
        tunings=labelled_paths(files_of_cells("tuning.parquet")),
    message:
        "summarize_bandit {wildcards.lab}, {wildcards.experiment}"
    shell:
        "{params.command} --histories {params.histories:q} --tunings {params.tunings:q}"
        " --output {output.table:q} --curves_output {output.curves:q} >> {log:q} 2> >(tee -a {log:q} >&2)"


rule plot_bandit:
    input:
        figure_table,
    output:
        svg=report(f"{LAB}/figures/{{experiment}}.svg", category="Figures"),
        png=f"{LAB}/figures/{{experiment}}.png",
    log:
        f"{LAB}/figures/{{experiment}}.log",
    conda:
        "../../envs/core.yaml"
    params:
        stage=figure_spec,
        command=figure_command,
        table=figure_input,
    message:
        "plot_bandit {wildcards.lab}, {wildcards.experiment}"
    shell:
        "{params.command} {params.table} --output {output.svg:q} >> {log:q} 2> >(tee -a {log:q} >&2)"


rule judge_claims:
    input:
        paths(files_of_claims),
    output:
        table=f"{LAB}/tables/claims.csv",
        text=f"{LAB}/tables/claims.txt",
    log:
        f"{LAB}/tables/claims.log",
    conda:
        "../../envs/core.yaml"
    params:
        stage=claims_spec,
        command=lab_command("judge_claims", claims_flags),
        histories=labelled_paths(files_of_claims),
    message:
        "judge_claims {wildcards.lab}"
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
    conda:
        "../../envs/core.yaml"
    params:
        stage=stage("summarize_seconds", no_flags),
        command=lab_command("summarize_seconds", no_flags),
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
    conda:
        "../../envs/core.yaml"
    params:
        stage=stage("compare_kl_directions", kl_flags),
        command=lab_command("compare_kl_directions", kl_flags),
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
    conda:
        "../../envs/core.yaml"
    params:
        stage=stage("plot_kl_directions", kl_figure_flags),
        command=lab_command("plot_kl_directions", kl_figure_flags),
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
