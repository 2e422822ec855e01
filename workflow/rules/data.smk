# Data of a task: instructions, prompts, held-out prompts, and preferences where the data has them.
from preference.models import model_folders
from preference.tasks import data_files, recognised


# What comes from the hub is fetched where there is a network, before jobs that have none (docs/cluster.md).
localrules:
    fetch,
    fetch_hub,


rule fetch:
    input:
        FETCHED,


rule fetch_hub:
    output:
        output=FETCHED,
    params:
        **calls("fetch_hub", lambda wildcards: {flag: names for flag, names in runs.hub(CONFIG).items() if names}),
    shell:
        RUN


PREPARED = {f"_{table}": f"{TASK}/data/{table}.parquet" for table in ("prompts", "eval_prompts")}
SFT_DATA = {"_sft": f"{TASK}/data/sft.parquet"}
PREFERENCES = {f"_{table}": f"{TASK}/data/{table}.parquet" for table in ("preferences", "eval_preferences", "answers")}


# The files that a task's sources stand for, and those of a released base model that say how it renders a conversation.
READ = {
    "_sources": lambda wildcards: [
        str(file) for name in runs.local_data(CONFIG["tasks"][wildcards.task]) for file in data_files.files(name)
    ],
    "_base_model": lambda wildcards: [
        str(file) for file in model_folders.files_without_weights(CONFIG["tasks"][wildcards.task]["base_model"])
    ],
}


# Only the formats that the data have count.
PREPARE = calls(
    "prepare_task",
    counts=lambda wildcards: {"formats": recognised.counting(f"{TASK}/data".format(**wildcards))},
    output=at(f"{TASK}/data"),
)


rule prepare_task:
    input:
        **READ,
    output:
        **PREPARED,
        **SFT_DATA,
    wildcard_constraints:
        task=one_of(runs.tasks_with(CONFIG, sft=True, preferences=False)),
    params:
        **PREPARE,
    shell:
        RUN


rule prepare_task_with_preferences:
    input:
        **READ,
    output:
        **PREPARED,
        **SFT_DATA,
        **PREFERENCES,
    wildcard_constraints:
        task=one_of(runs.tasks_with(CONFIG, sft=True, preferences=True)),
    params:
        **PREPARE,
    shell:
        RUN


# Of tasks that start from a released policy, and so have no SFT data.
rule prepare_prompts:
    input:
        **READ,
    output:
        **PREPARED,
    wildcard_constraints:
        task=one_of(runs.tasks_with(CONFIG, sft=False, preferences=False)),
    params:
        **PREPARE,
    shell:
        RUN


rule prepare_preferences:
    input:
        **READ,
    output:
        **PREPARED,
        **PREFERENCES,
    wildcard_constraints:
        task=one_of(runs.tasks_with(CONFIG, sft=False, preferences=True)),
    params:
        **PREPARE,
    shell:
        RUN
