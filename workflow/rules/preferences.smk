# Offline preferences: those of the data, or two samples of the SFT policy per prompt, labelled by the gold reward.
def preferences(split, wildcards):
    """pairs.parquet of a split, `preferences` to train on or `eval_preferences` of held-out prompts."""
    given = wildcards.task in runs.tasks_with_preferences(config)
    path = f"{TASK}/data/{split}.parquet" if given else f"{SEED}/{split}/pairs.parquet"
    return path.format(**wildcards)


def prompts_of_split(wildcards):
    name = "eval_prompts" if wildcards.split == "eval_preferences" else "prompts"
    return f"{TASK}/data/{name}.parquet".format(**wildcards)


use rule generate_responses as generate_preference_responses with:
    input:
        manifest=SEED + "/sft/policy.manifest.json",
        policy=ancient(SEED + "/sft/policy"),
        prompts=prompts_of_split,
    output:
        SEED + "/{split}/responses.parquet",
    log:
        SEED + "/{split}/responses.log",
    benchmark:
        SEED + "/{split}/responses.benchmark.tsv"
    message:
        "generate_responses {wildcards.task}, seed {wildcards.seed}, {wildcards.split}"


use rule score_responses as score_preference_responses with:
    input:
        responses=SEED + "/{split}/responses.parquet",
        reward_model=[],
        manifest=[],
    output:
        SEED + "/{split}/rewards.parquet",
    log:
        SEED + "/{split}/rewards.log",
    benchmark:
        SEED + "/{split}/rewards.benchmark.tsv"
    message:
        "score_responses {wildcards.task}, seed {wildcards.seed}, {wildcards.split}"


use rule construct_pairs as construct_preference_pairs with:
    input:
        rewards=SEED + "/{split}/rewards.parquet",
        preferences=[],
    output:
        SEED + "/{split}/pairs.parquet",
    log:
        SEED + "/{split}/pairs.log",
    benchmark:
        SEED + "/{split}/pairs.benchmark.tsv"
    message:
        "construct_pairs {wildcards.task}, seed {wildcards.seed}, {wildcards.split}"
