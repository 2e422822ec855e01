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
        stage=lab_stage("run_bandit", cell_flags),
        command=lab_command("run_bandit", cell_flags),
    message:
        "run_bandit {wildcards.lab}, {wildcards.experiment}, {wildcards.cell}"
    shell:
        "{params.command} --output {output.history:q} --tuning_output {output.tuning:q}"
        " --seconds_output {output.seconds:q} >> {log:q} 2> >(tee -a {log:q} >&2)"


rule summarize_bandit:
    input:
        histories=files_of_cells("history.parquet"),
        tunings=files_of_cells("tuning.parquet"),
    output:
        table=f"{LAB}/tables/{{experiment}}.csv",
        curves=f"{LAB}/tables/curves_{{experiment}}.csv",
    log:
        f"{LAB}/tables/{{experiment}}.log",
    conda:
        "../../envs/core.yaml"
    params:
        stage=lab_stage("summarize_bandit", axes_flags),
        command=lab_command("summarize_bandit", axes_flags),
        histories=labelled_files("history.parquet"),
        tunings=labelled_files("tuning.parquet"),
    message:
        "summarize_bandit {wildcards.lab}, {wildcards.experiment}"
    shell:
        "{params.command} --histories {params.histories:q} --tunings {params.tunings:q}"
        " --output {output.table:q} --curves_output {output.curves:q} >> {log:q} 2> >(tee -a {log:q} >&2)"
