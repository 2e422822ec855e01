# Data of a task: instructions, prompts, held-out prompts, and preferences where the data has them.


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
