# Offline preferences: those of the data, or two samples of the SFT policy per prompt, labelled by the gold reward, and
# cut to random lengths before that where the task says so.
PROMPTS = {"preferences": "prompts", "eval_preferences": "eval_prompts"}  # of a split


rule generate_preference_responses:
    input:
        **model(policy=sft_policy),
        prompts=lambda wildcards: f"{TASK}/data/{PROMPTS[wildcards.split]}.parquet".format(**wildcards),
    output:
        output=part("generate_responses", f"{SEED}/{{split}}/responses"),
    params:
        **calls("generate_responses"),
    shell:
        RUN


if runs.shards_of(CONFIG, "generate_responses"):

    rule join_preference_responses:
        input:
            shards=shards_of("generate_responses", f"{SEED}/{{split}}/responses"),
        output:
            output=f"{SEED}/{{split}}/responses.parquet",
        params:
            **calls("join_shards"),
        shell:
            RUN


rule skew_responses:
    input:
        **model(policy=sft_policy),
        responses=f"{SEED}/{{split}}/responses.parquet",
    output:
        output=f"{SEED}/{{split}}/skewed_responses.parquet",
    params:
        **calls("skew_responses"),
    shell:
        RUN


rule score_preference_responses:
    input:
        **rewards_by("score_responses"),
        responses=both(
            only(at(f"{SEED}/{{split}}/responses.parquet"), lambda wildcards: not is_skewed(wildcards)),
            only(at(f"{SEED}/{{split}}/skewed_responses.parquet"), is_skewed),
        ),
    output:
        output=part("score_responses", f"{SEED}/{{split}}/rewards"),
    params:
        **calls("score_responses"),
    shell:
        RUN


if runs.shards_of(CONFIG, "score_responses"):

    rule join_preference_rewards:
        input:
            shards=shards_of("score_responses", f"{SEED}/{{split}}/rewards"),
        output:
            output=f"{SEED}/{{split}}/rewards.parquet",
        params:
            **calls("join_shards"),
        shell:
            RUN


rule construct_preference_pairs:
    input:
        rewards=f"{SEED}/{{split}}/rewards.parquet",
    output:
        output=f"{SEED}/{{split}}/pairs.parquet",
    params:
        **calls("construct_pairs"),
    shell:
        RUN
