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


PREPARED = {table: f"{TASK}/data/{table}.parquet" for table in ("prompts", "eval_prompts")}
SFT_DATA = {"sft": f"{TASK}/data/sft.parquet"}
PREFERENCES = {table: f"{TASK}/data/{table}.parquet" for table in ("preferences", "eval_preferences", "answers")}


rule prepare_task:
    input:
        local_sources,
        base_model=base_model_texts,
    output:
        **PREPARED,
        **SFT_DATA,
    log:
        f"{TASK}/data/prepare_task.log",
    benchmark:
        f"{TASK}/data/prepare_task.benchmark.tsv"
    wildcard_constraints:
        task=one_of(runs.tasks_with(config, sft=True, preferences=False)),
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
        "{params.command} --output $(dirname {output.prompts:q}) >> {log:q} 2> >(tee -a {log:q} >&2)"


use rule prepare_task as prepare_task_with_preferences with:
    output:
        **PREPARED,
        **SFT_DATA,
        **PREFERENCES,
    wildcard_constraints:
        task=one_of(runs.tasks_with(config, sft=True, preferences=True)),
    message:
        "prepare_task_with_preferences {wildcards.task}"


# Of tasks that start from a released policy, and so have no SFT data.
use rule prepare_task as prepare_prompts with:
    output:
        **PREPARED,
    wildcard_constraints:
        task=one_of(runs.tasks_with(config, sft=False, preferences=False)),
    message:
        "prepare_prompts {wildcards.task}"


use rule prepare_task as prepare_preferences with:
    output:
        **PREPARED,
        **PREFERENCES,
    wildcard_constraints:
        task=one_of(runs.tasks_with(config, sft=False, preferences=True)),
    message:
        "prepare_preferences {wildcards.task}"
