# Offline preferences: those of the data, or two samples of the SFT policy per prompt, labelled by the gold reward, and
# cut to random lengths before that where the task says so.


use rule generate_responses as generate_preference_responses with:
    input:
        manifest=policy_manifest(sft_policy),
        policy=ancient(policy_folder(sft_policy)),
        prompts=prompts_of_split,
    output:
        part("generate_responses", f"{SEED}/{{split}}/responses", ".parquet"),
    log:
        part("generate_responses", f"{SEED}/{{split}}/responses", ".log"),
    benchmark:
        part("generate_responses", f"{SEED}/{{split}}/responses", ".benchmark.tsv")
    params:
        stage=stage("generate_responses"),
        command=command("generate_responses"),
        policy=policy_path(sft_policy),
        shard=shard_flag,
    message:
        f"generate_preference_responses {{wildcards.task}}, seed {{wildcards.seed}}, {{wildcards.split}}{shard_words('generate_responses')}"


rule skew_responses:
    input:
        responses=f"{SEED}/{{split}}/responses.parquet",
        manifest=policy_manifest(sft_policy),
        policy=ancient(policy_folder(sft_policy)),
    output:
        f"{SEED}/{{split}}/skewed_responses.parquet",
    log:
        f"{SEED}/{{split}}/skewed_responses.log",
    benchmark:
        f"{SEED}/{{split}}/skewed_responses.benchmark.tsv"
    conda:
        "../../envs/core.yaml"
    resources:
        **asked("skew_responses"),
    params:
        stage=stage("skew_responses"),
        command=command("skew_responses"),
        policy=policy_path(sft_policy),
    message:
        "skew_responses {wildcards.task}, seed {wildcards.seed}, {wildcards.split}"
    shell:
        "{params.command} --responses {input.responses:q} --policy {params.policy:q}"
        " --output {output:q} >> {log:q} 2> >(tee -a {log:q} >&2)"


use rule score_responses as score_preference_responses with:
    input:
        responses=preference_responses,
        reward_model=[],
        manifest=[],
        reward_files=reward_files("score_responses"),
    output:
        part("score_responses", f"{SEED}/{{split}}/rewards", ".parquet"),
    log:
        part("score_responses", f"{SEED}/{{split}}/rewards", ".log"),
    benchmark:
        part("score_responses", f"{SEED}/{{split}}/rewards", ".benchmark.tsv")
    message:
        f"score_preference_responses {{wildcards.task}}, seed {{wildcards.seed}}, {{wildcards.split}}{shard_words('score_responses')}"


use rule construct_pairs as construct_preference_pairs with:
    input:
        rewards=f"{SEED}/{{split}}/rewards.parquet",
        preferences=[],
        earlier=[],
    output:
        f"{SEED}/{{split}}/pairs.parquet",
    log:
        f"{SEED}/{{split}}/pairs.log",
    benchmark:
        f"{SEED}/{{split}}/pairs.benchmark.tsv"
    message:
        "construct_preference_pairs {wildcards.task}, seed {wildcards.seed}, {wildcards.split}"
