# One round of a run: sample from the policy as it is, score, pair. The next policy is trained on what this leaves.


rule generate_responses:
    input:
        manifest=policy_manifest(policy_before),
        policy=ancient(policy_folder(policy_before)),
        prompts=f"{TASK}/data/prompts.parquet",
    output:
        part("generate_responses", f"{ROUND}/responses", ".parquet"),
    log:
        part("generate_responses", f"{ROUND}/responses", ".log"),
    benchmark:
        part("generate_responses", f"{ROUND}/responses", ".benchmark.tsv")
    conda:
        "../../envs/core.yaml"
    threads: threads("generate_responses")
    resources:
        **asked("generate_responses"),
    params:
        stage=stage("generate_responses"),
        command=command("generate_responses"),
        policy=policy_path(policy_before),
        shard=shard_flag,
    message:
        f"generate_responses {{wildcards.task}}, {{wildcards.run}}, seed {{wildcards.seed}}, round {{wildcards.round}}{shard_words('generate_responses')}"
    shell:
        "{params.command} --policy {params.policy:q} --prompts {input.prompts:q}"
        " {params.shard} --output {output:q} >> {log:q} 2> >(tee -a {log:q} >&2)"


rule collect_responses:
    input:
        preferences=lambda wildcards: preferences("preferences", wildcards),
        manifest=policy_manifest(sft_policy),
        policy=ancient(policy_folder(sft_policy)),
    output:
        f"{ROUND}/preference_responses.parquet",
    log:
        f"{ROUND}/preference_responses.log",
    benchmark:
        f"{ROUND}/preference_responses.benchmark.tsv"
    conda:
        "../../envs/core.yaml"
    resources:
        **asked("collect_responses"),
    params:
        stage=stage("collect_responses"),
        command=command("collect_responses"),
        policy=policy_path(sft_policy),
    message:
        "collect_responses {wildcards.task}, {wildcards.run}, seed {wildcards.seed}, round {wildcards.round}"
    shell:
        "{params.command} --preferences {input.preferences:q} --policy {params.policy:q}"
        " --output {output:q} >> {log:q} 2> >(tee -a {log:q} >&2)"


rule score_responses:
    input:
        responses=round_responses,
        reward_model=ancient(reward_model("score_responses")),
        manifest=reward_model_manifest("score_responses"),
        reward_files=reward_files("score_responses"),
    output:
        part("score_responses", f"{ROUND}/rewards", ".parquet"),
    log:
        part("score_responses", f"{ROUND}/rewards", ".log"),
    benchmark:
        part("score_responses", f"{ROUND}/rewards", ".benchmark.tsv")
    conda:
        "../../envs/core.yaml"
    threads: threads("score_responses")
    resources:
        **asked("score_responses"),
    params:
        stage=stage("score_responses"),
        command=command("score_responses"),
        shard=shard_flag,
        reward_model=reward_model_flag("score_responses"),
    message:
        f"score_responses {{wildcards.task}}, {{wildcards.run}}, seed {{wildcards.seed}}, round {{wildcards.round}}{shard_words('score_responses')}"
    shell:
        "{params.command} --responses {input.responses:q} {params.reward_model}"
        " {params.shard} --output {output:q} >> {log:q} 2> >(tee -a {log:q} >&2)"


rule construct_pairs:
    input:
        rewards=round_rewards,
        preferences=round_preferences,
        earlier=earlier_pairs,
    output:
        f"{ROUND}/pairs.parquet",
    log:
        f"{ROUND}/pairs.log",
    benchmark:
        f"{ROUND}/pairs.benchmark.tsv"
    conda:
        "../../envs/core.yaml"
    resources:
        **asked("construct_pairs"),
    params:
        stage=stage("construct_pairs"),
        command=command("construct_pairs"),
        rewards=given("rewards"),
        preferences=given("preferences"),
        earlier=given("earlier"),
    message:
        "construct_pairs {wildcards.task}, {wildcards.run}, seed {wildcards.seed}, round {wildcards.round}"
    shell:
        "{params.command} {params.rewards} {params.preferences} {params.earlier}"
        " --output {output:q} >> {log:q} 2> >(tee -a {log:q} >&2)"


rule compute_reference_logps:
    input:
        pairs=f"{ROUND}/pairs.parquet",
        manifest=policy_manifest(reference),
        reference=ancient(policy_folder(reference)),
    output:
        f"{ROUND}/reference_logps.parquet",
    log:
        f"{ROUND}/reference_logps.log",
    benchmark:
        f"{ROUND}/reference_logps.benchmark.tsv"
    conda:
        "../../envs/core.yaml"
    threads: threads("compute_reference_logps")
    resources:
        **asked("compute_reference_logps"),
    params:
        stage=stage("compute_reference_logps"),
        command=command("compute_reference_logps"),
        reference=policy_path(reference),
    message:
        "compute_reference_logps {wildcards.task}, {wildcards.run}, seed {wildcards.seed}, round {wildcards.round}"
    shell:
        "{params.command} --pairs {input.pairs:q} --reference {params.reference:q}"
        " --output {output:q} >> {log:q} 2> >(tee -a {log:q} >&2)"
