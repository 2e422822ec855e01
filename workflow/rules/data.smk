# Data of a task: instructions, prompts, held-out prompts, and preferences where the data has them.


# What comes from the hub, fetched where there is a network, before jobs that have none: `snakemake --profile slurm fetch`.
HUB = {"models": runs.hub_models(config), "data": runs.hub_data(config)}
FETCHED = f"{RESULTS}/hub.json"


localrules:
    fetch,
    fetch_hub,


rule fetch:
    input:
        FETCHED,


rule fetch_hub:
    output:
        FETCHED,
    log:
        f"{RESULTS}/hub.log",
    conda:
        "../../envs/core.yaml"
    params:
        stage=code_of("fetch_hub", **HUB),
        command=command("fetch_hub"),
        flags=runs.as_flags({flag: names for flag, names in HUB.items() if names}),
    message:
        "fetch_hub"
    shell:
        "{params.command} {params.flags} --output {output:q} >> {log:q} 2> >(tee -a {log:q} >&2)"


rule prepare_task:
    input:
        local_sources,
    output:
        sft=f"{TASK}/data/sft.parquet",
        prompts=f"{TASK}/data/prompts.parquet",
        eval_prompts=f"{TASK}/data/eval_prompts.parquet",
    log:
        f"{TASK}/data/prepare_task.log",
    benchmark:
        f"{TASK}/data/prepare_task.benchmark.tsv"
    wildcard_constraints:
        task=one_of(set(config["tasks"]) - set(runs.tasks_with_preferences(config))),
    conda:
        "../../envs/core.yaml"
    resources:
        **asked("prepare_task"),
    params:
        stage=stage("prepare_task"),
        command=command("prepare_task"),
    message:
        "prepare_task {wildcards.task}"
    shell:
        "{params.command} --output $(dirname {output.sft:q}) >> {log:q} 2> >(tee -a {log:q} >&2)"


use rule prepare_task as prepare_task_with_preferences with:
    output:
        sft=f"{TASK}/data/sft.parquet",
        prompts=f"{TASK}/data/prompts.parquet",
        eval_prompts=f"{TASK}/data/eval_prompts.parquet",
        preferences=f"{TASK}/data/preferences.parquet",
        eval_preferences=f"{TASK}/data/eval_preferences.parquet",
    wildcard_constraints:
        task=one_of(runs.tasks_with_preferences(config)),
    message:
        "prepare_task_with_preferences {wildcards.task}"
