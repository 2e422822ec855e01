# Data of a task: instructions, prompts, held-out prompts, and preferences where the data has them.
def local_sources(wildcards):
    sources = runs.data_of(config["tasks"][wildcards.task]).values()
    return [source for source in sources if runs.is_file(source)]


rule prepare_task:
    input:
        local_sources,
    output:
        sft=TASK + "/data/sft.parquet",
        prompts=TASK + "/data/prompts.parquet",
        eval_prompts=TASK + "/data/eval_prompts.parquet",
    log:
        TASK + "/data/prepare_task.log",
    benchmark:
        TASK + "/data/prepare_task.benchmark.tsv"
    wildcard_constraints:
        task=one_of(set(config["tasks"]) - set(runs.tasks_with_preferences(config))),
    params:
        stage=stage("prepare_task"),
        options=options("prepare_task"),
    message:
        "prepare_task {wildcards.task}"
    shell:
        START + "{PYTHON} {SCRIPTS}/prepare_task.py --output $(dirname {output.sft:q}) {params.options}" + LOGGED


use rule prepare_task as prepare_task_with_preferences with:
    output:
        sft=TASK + "/data/sft.parquet",
        prompts=TASK + "/data/prompts.parquet",
        eval_prompts=TASK + "/data/eval_prompts.parquet",
        preferences=TASK + "/data/preferences.parquet",
        eval_preferences=TASK + "/data/eval_preferences.parquet",
    wildcard_constraints:
        task=one_of(runs.tasks_with_preferences(config)),
