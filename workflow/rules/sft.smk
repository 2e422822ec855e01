# The SFT policy, which is the reference of everything after it, and the reward model that starts from it.


rule initialize_model:
    input:
        data=f"{TASK}/data/sft.parquet",
    output:
        model=directory(f"{SEED}/base/model"),
        manifest=f"{SEED}/base/model.manifest.json",
    log:
        f"{SEED}/base/model.log",
    benchmark:
        f"{SEED}/base/model.benchmark.tsv"
    conda:
        "../../envs/core.yaml"
    resources:
        **asked("initialize_model"),
    params:
        stage=stage("initialize_model"),
        command=command("initialize_model"),
    message:
        "initialize_model {wildcards.task}, seed {wildcards.seed}"
    shell:
        "{params.command} --data {input.data:q} --output {output.model:q} >> {log:q} 2> >(tee -a {log:q} >&2)"


rule train_sft:
    input:
        data=f"{TASK}/data/sft.parquet",
        base_model=base_model,
        weights=ancient(base_model_weights),
    output:
        policy=directory(f"{SEED}/sft/policy"),
        manifest=f"{SEED}/sft/policy.manifest.json",
        training=f"{SEED}/sft/training.csv",
    log:
        f"{SEED}/sft/policy.log",
    benchmark:
        f"{SEED}/sft/policy.benchmark.tsv"
    conda:
        "../../envs/core.yaml"
    threads: threads("train_sft")
    resources:
        **asked("train_sft"),
    params:
        stage=base_model_spec,
        command=command("train_sft"),
        base_model=base_model_path,
    message:
        "train_sft {wildcards.task}, seed {wildcards.seed}"
    shell:
        "{params.command} --data {input.data:q} --base_model {params.base_model:q}"
        " --output {output.policy:q} --log_output {output.training:q} >> {log:q} 2> >(tee -a {log:q} >&2)"


rule train_reward_model:
    input:
        pairs=lambda wildcards: preferences("preferences", wildcards),
        eval_pairs=lambda wildcards: preferences("eval_preferences", wildcards),
        manifest=policy_manifest(sft_policy),
        policy=ancient(policy_folder(sft_policy)),
    output:
        model=directory(f"{SEED}/reward_model/model"),
        manifest=f"{SEED}/reward_model/model.manifest.json",
        training=f"{SEED}/reward_model/training.csv",
        evaluation=f"{SEED}/reward_model/evaluation.json",
    log:
        f"{SEED}/reward_model/model.log",
    benchmark:
        f"{SEED}/reward_model/model.benchmark.tsv"
    conda:
        "../../envs/core.yaml"
    threads: threads("train_reward_model")
    resources:
        **asked("train_reward_model"),
    params:
        stage=stage("train_reward_model"),
        command=command("train_reward_model"),
        policy=policy_path(sft_policy),
    message:
        "train_reward_model {wildcards.task}, seed {wildcards.seed}"
    shell:
        "{params.command} --pairs {input.pairs:q} --eval_pairs {input.eval_pairs:q}"
        " --policy {params.policy:q} --output {output.model:q} --log_output {output.training:q}"
        " --evaluation_output {output.evaluation:q} >> {log:q} 2> >(tee -a {log:q} >&2)"
