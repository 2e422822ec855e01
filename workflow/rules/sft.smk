# The SFT policy, which is the reference of everything after it, and the reward model that starts from it.
def base_model(wildcards):
    """A from-scratch model and a local folder are inputs, by the file that tells their content; a hub id is not."""
    model = config["tasks"][wildcards.task]["base_model"]
    if model == "from_scratch":
        return f"{SEED}/base/model.manifest.json".format(**wildcards)
    return f"{model}/config.json" if Path(model).is_dir() else []


def base_model_path(wildcards, resources):
    model = config["tasks"][wildcards.task]["base_model"]
    return f"{SEED}/base/model".format(**wildcards) if model == "from_scratch" else model


def base_model_spec(wildcards):
    return {**stage("train_sft")(wildcards), "base_model": config["tasks"][wildcards.task]["base_model"]}


rule initialize_model:
    input:
        data=TASK + "/data/sft.parquet",
    output:
        model=directory(SEED + "/base/model"),
        manifest=SEED + "/base/model.manifest.json",
    log:
        SEED + "/base/model.log",
    benchmark:
        SEED + "/base/model.benchmark.tsv"
    params:
        stage=stage("initialize_model"),
        options=options("initialize_model"),
    message:
        "initialize_model {wildcards.task}, seed {wildcards.seed}"
    shell:
        START
        + "{PYTHON} {SCRIPTS}/initialize_model.py --data {input.data:q} --output {output.model:q} {params.options}"
        + LOGGED


rule train_sft:
    input:
        data=TASK + "/data/sft.parquet",
        base_model=base_model,
    output:
        policy=directory(SEED + "/sft/policy"),
        manifest=SEED + "/sft/policy.manifest.json",
        training=SEED + "/sft/training.csv",
    log:
        SEED + "/sft/policy.log",
    benchmark:
        SEED + "/sft/policy.benchmark.tsv"
    params:
        stage=base_model_spec,
        options=options("train_sft"),
        base_model=base_model_path,
    threads: 2
    message:
        "train_sft {wildcards.task}, seed {wildcards.seed}"
    shell:
        START
        + "{PYTHON} {SCRIPTS}/train_sft.py --data {input.data:q} --base_model {params.base_model:q}"
        " --output {output.policy:q} --log_output {output.training:q} {params.options}" + LOGGED


rule train_reward_model:
    input:
        pairs=lambda wildcards: preferences("preferences", wildcards),
        eval_pairs=lambda wildcards: preferences("eval_preferences", wildcards),
        manifest=SEED + "/sft/policy.manifest.json",
        policy=ancient(SEED + "/sft/policy"),
    output:
        model=directory(SEED + "/reward_model/model"),
        manifest=SEED + "/reward_model/model.manifest.json",
        training=SEED + "/reward_model/training.csv",
        evaluation=SEED + "/reward_model/evaluation.json",
    log:
        SEED + "/reward_model/model.log",
    benchmark:
        SEED + "/reward_model/model.benchmark.tsv"
    params:
        stage=stage("train_reward_model"),
        options=options("train_reward_model"),
    threads: 2
    message:
        "train_reward_model {wildcards.task}, seed {wildcards.seed}"
    shell:
        START
        + "{PYTHON} {SCRIPTS}/train_reward_model.py --pairs {input.pairs:q} --eval_pairs {input.eval_pairs:q}"
        " --policy {input.policy:q} --output {output.model:q} --log_output {output.training:q}"
        " --evaluation_output {output.evaluation:q} {params.options}" + LOGGED
