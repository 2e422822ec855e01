# One round of a run: sample from the policy as it is, score, pair. The next policy is trained on what this leaves.


rule generate_responses:
    input:
        **model(policy=policy_before),
        prompts=f"{TASK}/data/prompts.parquet",
    output:
        output=part("generate_responses", f"{ROUND}/responses"),
    params:
        **calls("generate_responses"),
    shell:
        RUN


if runs.shards_of(CONFIG, "generate_responses"):

    rule join_responses:
        input:
            shards=shards_of("generate_responses", f"{ROUND}/responses"),
        output:
            output=f"{ROUND}/responses.parquet",
        params:
            **calls("join_shards"),
        shell:
            RUN


rule collect_responses:
    input:
        **model(policy=sft_policy),
        preferences=only(pairs_of("preferences"), lambda wildcards: not runs.uses_given_reward(CONFIG, wildcards.run)),
        answers=only(
            at(f"{TASK}/data/answers.parquet"), lambda wildcards: runs.uses_given_reward(CONFIG, wildcards.run)
        ),
    output:
        output=f"{ROUND}/preference_responses.parquet",
    params:
        **calls("collect_responses"),
    shell:
        RUN


rule score_responses:
    input:
        **rewards_by("score_responses"),
        responses=both(
            only(at(f"{ROUND}/responses.parquet"), is_on_policy),
            only(at(f"{ROUND}/preference_responses.parquet"), scores_preferences),
        ),
    output:
        output=part("score_responses", f"{ROUND}/rewards"),
    params:
        **calls("score_responses"),
    shell:
        RUN


if runs.shards_of(CONFIG, "score_responses"):

    rule join_rewards:
        input:
            shards=shards_of("score_responses", f"{ROUND}/rewards"),
        output:
            output=f"{ROUND}/rewards.parquet",
        params:
            **calls("join_shards"),
        shell:
            RUN


rule construct_pairs:
    input:
        rewards=only(at(f"{ROUND}/rewards.parquet"), is_on_policy),
        preferences=only(pairs_of("preferences"), is_offline),
        earlier=only(earlier_pairs, lambda wildcards: runs.uses_history(CONFIG, dict(wildcards))),
    output:
        output=f"{ROUND}/pairs.parquet",
    params:
        **calls("construct_pairs"),
    shell:
        RUN


rule compute_reference_logps:
    input:
        **model(reference=reference),
        pairs=f"{ROUND}/pairs.parquet",
    output:
        output=f"{ROUND}/reference_logps.parquet",
    params:
        **calls("compute_reference_logps"),
    shell:
        RUN
