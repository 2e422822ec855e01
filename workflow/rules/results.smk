# Tables, figures and the report: what the experiment found, from the evaluations of every round.
import json

from workflow.code import flags_read


rule summarize_run:
    input:
        evaluations=both(at(f"{SEED}/sft/evaluation.json"), of_every_round(f"{ROUND}/evaluation.json")),
        trainings=of_every_round(f"{ROUND}/training.csv"),
        trained_on=lambda wildcards: of_every_round(compared(wildcards.run))(wildcards),
    output:
        output=f"{RUN_SEED}/metrics.csv",
    params:
        **calls("summarize_run"),
    shell:
        RUN


# The files of each cell that the tables and the report read, by the labels that they have there.
LABELS = [f"{task}/{run}/{seed}" for task, run, seed in CELLS]
SFT = {f"{task}/{seed}": f"{RESULTS}/{task}/seed{seed}/sft/evaluation.json" for task, seed in BASELINES}


rule summarize_experiment:
    input:
        metrics=[of_cell(f"{RUN_SEED}/metrics.csv", *each) for each in CELLS],
        samples=[of_cell(f"{ROUND}/evaluation.parquet", *each) for each in CELLS],
        baseline_samples=[f"{RESULTS}/{task}/seed{seed}/sft/evaluation.parquet" for task, seed in BASELINES],
    output:
        metrics_output=f"{RESULTS}/tables/metrics.csv",
        final_output=f"{RESULTS}/tables/final.csv",
        text_output=f"{RESULTS}/tables/final.txt",
    log:
        f"{RESULTS}/tables/tables.log",
    params:
        **calls("summarize_experiment", counts=lambda wildcards: {"order": LABELS}, runs=LABELS, baselines=list(SFT)),
    shell:
        RUN


JUDGED_LABELS = ["/".join(map(str, each)) for each in JUDGED]


if JUDGED:

    rule summarize_judgements:
        input:
            judgements=[of_cell(f"{ROUND}/judgements.parquet", *each) for each in JUDGED],
        output:
            output=f"{RESULTS}/tables/judgements.csv",
        params:
            **calls("summarize_judgements", counts=lambda wildcards: {"order": JUDGED_LABELS}, runs=JUDGED_LABELS),
        shell:
            RUN


rule plot_rewards:
    input:
        metrics=f"{RESULTS}/tables/metrics.csv",
    output:
        output=report(f"{RESULTS}/figures/rewards.svg", category="Figures"),
        _png=f"{RESULTS}/figures/rewards.png",
    params:
        **calls("plot_rewards"),
    shell:
        RUN


rule plot_margins:
    input:
        metrics=f"{RESULTS}/tables/metrics.csv",
    output:
        output=report(f"{RESULTS}/figures/margins.svg", category="Figures"),
        _png=f"{RESULTS}/figures/margins.png",
    params:
        **calls("plot_margins"),
    shell:
        RUN


rule plot_frontier:
    input:
        metrics=f"{RESULTS}/tables/metrics.csv",
    output:
        output=report(f"{RESULTS}/figures/frontier.svg", category="Figures"),
        _png=f"{RESULTS}/figures/frontier.png",
    params:
        **calls("plot_frontier"),
    shell:
        RUN


# The pairs of runs that are compared with what is expected where the task lies.
CONTRASTS = runs.contrasts(CONFIG)
DIFFERING = {"/".join(each[:-1]): each.differs for each in CONTRASTS}
CONTRASTED = {
    f"{task}/{run}/{seed}": of_cell(f"{RUN_SEED}/metrics.csv", task, run, seed)
    for task, run, seed in CELLS
    if any(each.task == task and run in (each.run, each.against) for each in CONTRASTS)
}


rule compare_expectations:
    input:
        geometries=GEOMETRIES.values(),
        metrics=CONTRASTED.values(),
    output:
        output=f"{RESULTS}/tables/expectations.csv",
        text_output=f"{RESULTS}/tables/expectations.txt",
    params:
        **calls(
            "compare_expectations",
            counts=lambda wildcards: {"flags": runs.canonical({"contrasts": DIFFERING})},
            labels={"geometries": GEOMETRIES, "metrics": CONTRASTED},
            contrasts=[f"{label}={differs}" for label, differs in DIFFERING.items()],
        ),
    shell:
        RUN


rule write_config:
    output:
        output=f"{RESULTS}/config.yaml",
    params:
        # In the words of its file, which do not count.
        **calls(
            "write_config",
            counts=lambda wildcards: {"config": runs.canonical(dict(CONFIG, stages=flags_read(CONFIG["stages"])))},
            config=json.dumps({key: value for key, value in config.items() if key != "store"}),
        ),
    shell:
        RUN


REWARD_MODELS = {
    f"{task}/{seed}": f"{RESULTS}/{task}/seed{seed}/reward_model/evaluation.json"
    for task, seed in BASELINES
    if runs.trains_reward_model(CONFIG, task)
}
# Samples of the first seed only.
SAMPLES = {
    f"{task}/sft/{seed}": f"{RESULTS}/{task}/seed{seed}/sft/evaluation.parquet"
    for task, seed in BASELINES
    if seed == CONFIG["seeds"][0]
}
SAMPLES |= {
    label: of_cell(f"{ROUND}/evaluation.parquet", *each)
    for label, each in zip(LABELS, CELLS)
    if each[-1] == CONFIG["seeds"][0]
}
# The pairs, or the scored samples, that each round was trained on.
TRAINED_ON = {
    f"{task}/{run}/{seed}/round{number}": of_cell(compared(run), task, run, seed, number)
    for task, run, seed in CELLS
    for number in range(1, runs.rounds_of(CONFIG, run) + 1)
}


rule render_report:
    input:
        config=f"{RESULTS}/config.yaml",
        metrics=f"{RESULTS}/tables/metrics.csv",
        final=f"{RESULTS}/tables/final.csv",
        figures=[
            f"{RESULTS}/figures/{name}.svg" for name in (*experiments.names(CONFIG), "rewards", "margins", "frontier")
        ],
        claims=CLAIMS[:1],
        judgements=JUDGEMENTS,
        sft=SFT.values(),
        reward_models=REWARD_MODELS.values(),
        samples=SAMPLES.values(),
        trained_on=TRAINED_ON.values(),
        expectations=EXPECTATIONS,
    output:
        output=report(f"{RESULTS}/report.html", category="Summary"),
    params:
        **calls(
            "render_report",
            labels={"sft": SFT, "reward_models": REWARD_MODELS, "samples": SAMPLES, "trained_on": TRAINED_ON},
            experiment=CONFIG["experiment"],
        ),
    shell:
        RUN
