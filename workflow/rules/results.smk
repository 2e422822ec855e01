# Tables, figures and the report: what the experiment found, from the evaluations of every round.


rule summarize_run:
    input:
        evaluations=evaluations_of_run,
        trainings=trainings_of_run,
        trained_on=trained_on_of_run,
    output:
        f"{RUN}/metrics.csv",
    log:
        f"{RUN}/metrics.log",
    benchmark:
        f"{RUN}/metrics.benchmark.tsv"
    conda:
        "../../envs/core.yaml"
    resources:
        **asked("summarize_run"),
    params:
        stage=code_of("summarize_run"),
        command=command("summarize_run"),
    message:
        "summarize_run {wildcards.task}, {wildcards.run}, seed {wildcards.seed}"
    shell:
        "{params.command} --evaluations {input.evaluations:q} --trainings {input.trainings:q}"
        " --trained_on {input.trained_on:q} --output {output:q} >> {log:q} 2> >(tee -a {log:q} >&2)"


rule summarize_experiment:
    input:
        metrics=[cell(f"{RUN}/metrics.csv", *each) for each in CELLS],
        samples=[cell(f"{ROUND}/evaluation.parquet", *each) for each in CELLS],
        baseline_samples=[f"{RESULTS}/{task}/seed{seed}/sft/evaluation.parquet" for task, seed in BASELINES],
    output:
        metrics=f"{RESULTS}/tables/metrics.csv",
        final=f"{RESULTS}/tables/final.csv",
        text=f"{RESULTS}/tables/final.txt",
    log:
        f"{RESULTS}/tables/tables.log",
    benchmark:
        f"{RESULTS}/tables/tables.benchmark.tsv"
    conda:
        "../../envs/core.yaml"
    resources:
        **asked("summarize_experiment"),
    params:
        stage=code_of("summarize_experiment"),
        command=command("summarize_experiment"),
        runs=LABELS,
        baselines=[f"{task}/{seed}" for task, seed in BASELINES],
    message:
        "summarize_experiment"
    shell:
        "{params.command} --runs {params.runs:q} --metrics {input.metrics:q}"
        " --samples {input.samples:q} --baselines {params.baselines:q} --baseline_samples {input.baseline_samples:q}"
        " --metrics_output {output.metrics:q} --final_output {output.final:q} --text_output {output.text:q}"
        " >> {log:q} 2> >(tee -a {log:q} >&2)"


if JUDGED:

    rule summarize_judgements:
        input:
            [cell(f"{ROUND}/judgements.parquet", *each) for each in JUDGED],
        output:
            JUDGEMENTS,
        log:
            f"{RESULTS}/tables/judgements.log",
        benchmark:
            f"{RESULTS}/tables/judgements.benchmark.tsv"
        conda:
            "../../envs/core.yaml"
        resources:
            **asked("summarize_judgements"),
        params:
            stage=code_of("summarize_judgements"),
            command=command("summarize_judgements"),
            runs=["/".join(map(str, each)) for each in JUDGED],
        message:
            "summarize_judgements"
        shell:
            "{params.command} --runs {params.runs:q} --judgements {input:q}"
            " --output {output:q} >> {log:q} 2> >(tee -a {log:q} >&2)"


rule plot_rewards:
    input:
        f"{RESULTS}/tables/metrics.csv",
    output:
        svg=report(f"{RESULTS}/figures/rewards.svg", category="Figures"),
        png=f"{RESULTS}/figures/rewards.png",
    log:
        f"{RESULTS}/figures/rewards.log",
    benchmark:
        f"{RESULTS}/figures/rewards.benchmark.tsv"
    conda:
        "../../envs/core.yaml"
    resources:
        **asked("plot_rewards"),
    params:
        stage=code_of("plot_rewards"),
        command=command("plot_rewards"),
    message:
        "plot_rewards"
    shell:
        "{params.command} --metrics {input:q} --output {output.svg:q} >> {log:q} 2> >(tee -a {log:q} >&2)"


rule plot_margins:
    input:
        f"{RESULTS}/tables/metrics.csv",
    output:
        svg=report(f"{RESULTS}/figures/margins.svg", category="Figures"),
        png=f"{RESULTS}/figures/margins.png",
    log:
        f"{RESULTS}/figures/margins.log",
    benchmark:
        f"{RESULTS}/figures/margins.benchmark.tsv"
    conda:
        "../../envs/core.yaml"
    resources:
        **asked("plot_margins"),
    params:
        stage=code_of("plot_margins"),
        command=command("plot_margins"),
    message:
        "plot_margins"
    shell:
        "{params.command} --metrics {input:q} --output {output.svg:q} >> {log:q} 2> >(tee -a {log:q} >&2)"


rule plot_frontier:
    input:
        f"{RESULTS}/tables/metrics.csv",
    output:
        svg=report(f"{RESULTS}/figures/frontier.svg", category="Figures"),
        png=f"{RESULTS}/figures/frontier.png",
    log:
        f"{RESULTS}/figures/frontier.log",
    benchmark:
        f"{RESULTS}/figures/frontier.benchmark.tsv"
    conda:
        "../../envs/core.yaml"
    resources:
        **asked("plot_frontier"),
    params:
        stage=code_of("plot_frontier"),
        command=command("plot_frontier"),
    message:
        "plot_frontier"
    shell:
        "{params.command} --metrics {input:q} --output {output.svg:q} >> {log:q} 2> >(tee -a {log:q} >&2)"


rule compare_expectations:
    input:
        geometries=GEOMETRIES.values(),
        metrics=CONTRASTED.values(),
    output:
        csv=f"{RESULTS}/tables/expectations.csv",
        text=f"{RESULTS}/tables/expectations.txt",
    log:
        f"{RESULTS}/tables/expectations.log",
    benchmark:
        f"{RESULTS}/tables/expectations.benchmark.tsv"
    conda:
        "../../envs/core.yaml"
    resources:
        **asked("compare_expectations"),
    params:
        stage=code_of("compare_expectations", flags=runs.canonical({"contrasts": DIFFERING})),
        command=command("compare_expectations"),
        geometries=labelled(GEOMETRIES),
        metrics=labelled(CONTRASTED),
        contrasts=labelled(DIFFERING),
    message:
        "compare_expectations"
    shell:
        "{params.command} --geometries {params.geometries:q}"
        " --metrics {params.metrics:q} --contrasts {params.contrasts:q}"
        " --output {output.csv:q} --text_output {output.text:q} >> {log:q} 2> >(tee -a {log:q} >&2)"


rule write_config:
    output:
        f"{RESULTS}/config.yaml",
    log:
        f"{RESULTS}/config.log",
    benchmark:
        f"{RESULTS}/config.benchmark.tsv"
    conda:
        "../../envs/core.yaml"
    resources:
        **asked("write_config"),
    params:
        stage=code_of("write_config", config=runs.canonical(dict(config))),
        command=command("write_config"),
        config=config_text,
    message:
        "write_config"
    shell:
        "{params.command} --config {params.config:q} --output {output:q} >> {log:q} 2> >(tee -a {log:q} >&2)"


rule render_report:
    input:
        config=f"{RESULTS}/config.yaml",
        metrics=f"{RESULTS}/tables/metrics.csv",
        final=f"{RESULTS}/tables/final.csv",
        figures=[
            f"{RESULTS}/figures/{name}.svg" for name in (*experiments.names(config), "rewards", "margins", "frontier")
        ],
        claims=f"{RESULTS}/tables/claims.csv" if "claims" in config else [],
        judgements=JUDGEMENTS,
        sft=SFT.values(),
        reward_models=REWARD_MODELS.values(),
        samples=SAMPLES.values(),
        trained_on=data_of_every_round().values(),
        expectations=EXPECTATIONS,
    output:
        report(f"{RESULTS}/report.html", category="Summary"),
    log:
        f"{RESULTS}/report.log",
    benchmark:
        f"{RESULTS}/report.benchmark.tsv"
    conda:
        "../../envs/core.yaml"
    resources:
        **asked("render_report"),
    params:
        stage=code_of("render_report"),
        command=command("render_report", experiment=config["experiment"]),
        judgements=given("judgements"),
        sft=labelled(SFT),
        reward_models=labelled_flag("reward_models", REWARD_MODELS),
        samples=labelled(SAMPLES),
        trained_on=labelled(data_of_every_round()),
        claims=given("claims"),
        expectations=given("expectations"),
    message:
        "render_report"
    shell:
        "{params.command} --config {input.config:q}"
        " --metrics {input.metrics:q} --final {input.final:q} {params.judgements}"
        " --figures {input.figures:q} --sft {params.sft:q}"
        " {params.reward_models} --samples {params.samples:q} --trained_on {params.trained_on:q}"
        " {params.claims} {params.expectations}"
        " --output {output:q} >> {log:q} 2> >(tee -a {log:q} >&2)"
