# Tables, figures and the report: what the experiment found, from the evaluations of every round.
CELLS = runs.cells(config)
LABELS = [f"{task}/{run}/{seed}" for task, run, seed in CELLS]
BASELINES = list(dict.fromkeys((task, seed) for task, _, seed in CELLS))


def cell(pattern, task, run, seed, number=None):
    """A path of one (task, run, seed), by default of its last round."""
    return pattern.format(task=task, run=run, seed=seed, round=number or runs.rounds_of(config, run))


def evaluations_of_run(wildcards):
    last = runs.rounds_of(config, wildcards.run)
    rounds = [cell(ROUND, **wildcards, number=number) for number in range(1, last + 1)]
    return [f"{folder}/evaluation.json" for folder in [SEED.format(**wildcards) + "/sft", *rounds]]


def pairs_of_every_round():
    """task/run/seed/roundN -> the round's pairs."""
    return {
        f"{task}/{run}/{seed}/round{number}": cell(ROUND + "/pairs.parquet", task, run, seed, number)
        for task, run, seed in CELLS
        for number in range(1, runs.rounds_of(config, run) + 1)
    }


def labelled(paths):
    return [f"{label}={path}" for label, path in paths.items()]


SFT = {f"{task}/{seed}": f"{RESULTS}/{task}/seed{seed}/sft/evaluation.json" for task, seed in BASELINES}
REWARD_MODELS = {label: path.replace("/sft/", "/reward_model/") for label, path in SFT.items()}
SAMPLES = {f"{task}/sft/{seed}": f"{RESULTS}/{task}/seed{seed}/sft/evaluation.parquet" for task, seed in BASELINES}
SAMPLES |= {label: cell(ROUND + "/evaluation.parquet", *each) for label, each in zip(LABELS, CELLS)}


rule summarize_run:
    input:
        evaluations_of_run,
    output:
        RUN + "/metrics.csv",
    log:
        RUN + "/metrics.log",
    params:
        stage=code_of("summarize_run"),
    message:
        "summarize_run {wildcards.task}, {wildcards.run}, seed {wildcards.seed}"
    shell:
        START + "{PYTHON} {SCRIPTS}/summarize_run.py --evaluations {input:q} --output {output:q}" + LOGGED


rule summarize_experiment:
    input:
        metrics=[cell(RUN + "/metrics.csv", *each) for each in CELLS],
        samples=[cell(ROUND + "/evaluation.parquet", *each) for each in CELLS],
        baseline_samples=[f"{RESULTS}/{task}/seed{seed}/sft/evaluation.parquet" for task, seed in BASELINES],
    output:
        metrics=RESULTS + "/tables/metrics.csv",
        final=RESULTS + "/tables/final.csv",
        text=RESULTS + "/tables/final.txt",
    log:
        RESULTS + "/tables/tables.log",
    params:
        stage=code_of("summarize_experiment"),
        runs=LABELS,
        baselines=[f"{task}/{seed}" for task, seed in BASELINES],
    message:
        "summarize_experiment"
    shell:
        START
        + "{PYTHON} {SCRIPTS}/summarize_experiment.py --runs {params.runs:q} --metrics {input.metrics:q}"
        " --samples {input.samples:q} --baselines {params.baselines:q} --baseline_samples {input.baseline_samples:q}"
        " --metrics_output {output.metrics:q} --final_output {output.final:q} --text_output {output.text:q}" + LOGGED


rule plot_rewards:
    input:
        RESULTS + "/tables/metrics.csv",
    output:
        svg=report(RESULTS + "/figures/rewards.svg", category="Figures"),
        png=RESULTS + "/figures/rewards.png",
    log:
        RESULTS + "/figures/rewards.log",
    params:
        stage=code_of("plot_rewards"),
    message:
        "plot_rewards"
    shell:
        START + "{PYTHON} {SCRIPTS}/plot_rewards.py --metrics {input:q} --output {output.svg:q}" + LOGGED


rule plot_margins:
    input:
        RESULTS + "/tables/metrics.csv",
    output:
        svg=report(RESULTS + "/figures/margins.svg", category="Figures"),
        png=RESULTS + "/figures/margins.png",
    log:
        RESULTS + "/figures/margins.log",
    params:
        stage=code_of("plot_margins"),
    message:
        "plot_margins"
    shell:
        START + "{PYTHON} {SCRIPTS}/plot_margins.py --metrics {input:q} --output {output.svg:q}" + LOGGED


rule plot_frontier:
    input:
        RESULTS + "/tables/metrics.csv",
    output:
        svg=report(RESULTS + "/figures/frontier.svg", category="Figures"),
        png=RESULTS + "/figures/frontier.png",
    log:
        RESULTS + "/figures/frontier.log",
    params:
        stage=code_of("plot_frontier"),
    message:
        "plot_frontier"
    shell:
        START + "{PYTHON} {SCRIPTS}/plot_frontier.py --metrics {input:q} --output {output.svg:q}" + LOGGED


rule write_config:
    output:
        RESULTS + "/config.yaml",
    log:
        RESULTS + "/config.log",
    params:
        text=yaml.safe_dump(dict(config), sort_keys=False),
    message:
        "write_config"
    shell:
        "printf %s {params.text:q} > {output:q} 2> {log:q}"


rule render_report:
    input:
        config=RESULTS + "/config.yaml",
        metrics=RESULTS + "/tables/metrics.csv",
        final=RESULTS + "/tables/final.csv",
        figures=expand(RESULTS + "/figures/{name}.svg", name=["rewards", "margins", "frontier"]),
        sft=SFT.values(),
        reward_models=REWARD_MODELS.values(),
        samples=SAMPLES.values(),
        pairs=pairs_of_every_round().values(),
    output:
        report(RESULTS + "/report.html", category="Summary"),
    log:
        RESULTS + "/report.log",
    params:
        stage=code_of("render_report"),
        sft=labelled(SFT),
        reward_models=labelled(REWARD_MODELS),
        samples=labelled(SAMPLES),
        pairs=labelled(pairs_of_every_round()),
    message:
        "render_report"
    shell:
        START
        + "{PYTHON} {SCRIPTS}/render_report.py --experiment {config[experiment]:q} --config {input.config:q}"
        " --metrics {input.metrics:q} --final {input.final:q} --figures {input.figures:q} --sft {params.sft:q}"
        " --reward_models {params.reward_models:q} --samples {params.samples:q} --pairs {params.pairs:q}"
        " --output {output:q}" + LOGGED
