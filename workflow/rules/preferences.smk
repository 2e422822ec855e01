# Offline preferences: those of the data, or two samples of the SFT policy per prompt, labelled by the gold reward.


use rule generate_responses as generate_preference_responses with:
    input:
        manifest=f"{SEED}/sft/policy.manifest.json",
        policy=ancient(f"{SEED}/sft/policy"),
        prompts=prompts_of_split,
    output:
        f"{SEED}/{{split}}/responses.parquet",
    log:
        f"{SEED}/{{split}}/responses.log",
    benchmark:
        f"{SEED}/{{split}}/responses.benchmark.tsv"
    message:
        "generate_responses {wildcards.task}, seed {wildcards.seed}, {wildcards.split}"


use rule score_responses as score_preference_responses with:
    input:
        responses=f"{SEED}/{{split}}/responses.parquet",
        reward_model=[],
        manifest=[],
    output:
        f"{SEED}/{{split}}/rewards.parquet",
    log:
        f"{SEED}/{{split}}/rewards.log",
    benchmark:
        f"{SEED}/{{split}}/rewards.benchmark.tsv"
    message:
        "score_responses {wildcards.task}, seed {wildcards.seed}, {wildcards.split}"


use rule construct_pairs as construct_preference_pairs with:
    input:
        rewards=f"{SEED}/{{split}}/rewards.parquet",
        preferences=[],
    output:
        f"{SEED}/{{split}}/pairs.parquet",
    log:
        f"{SEED}/{{split}}/pairs.log",
    benchmark:
        f"{SEED}/{{split}}/pairs.benchmark.tsv"
    message:
        "construct_pairs {wildcards.task}, seed {wildcards.seed}, {wildcards.split}"
