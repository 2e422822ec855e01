# One round of a run: sample from the policy as it is, score, pair. The next policy is trained on what this leaves.
def policy_before(wildcards):
    """The folder of the policy that a round starts from: the SFT policy, then the previous round's."""
    number = int(wildcards.round)
    path = f"{SEED}/sft/policy" if number == 1 else f"{RUN}/round{number - 1}/policy"
    return path.format(**wildcards)


def policy_before_manifest(wildcards):
    return policy_before(wildcards) + ".manifest.json"


def reward_model(wildcards):
    """The reward model that labels a run's samples; none where the run trains on the gold reward."""
    return [] if runs.uses_gold_reward(config, wildcards.run) else f"{SEED}/reward_model/model".format(**wildcards)


def reward_model_manifest(wildcards):
    model = reward_model(wildcards)
    return f"{model}.manifest.json" if model else []


def round_rewards(wildcards):
    on_policy = runs.source_of(config, wildcards.run) == "on_policy"
    return f"{ROUND}/rewards.parquet".format(**wildcards) if on_policy else []


def round_preferences(wildcards):
    offline = runs.source_of(config, wildcards.run) == "offline"
    return preferences("preferences", wildcards) if offline else []


def reference(wildcards):
    """The folder of the policy that a round is compared with: the SFT policy, or the one that the round starts from."""
    fixed = config["runs"][wildcards.run].get("reference", "fixed") == "fixed"
    return f"{SEED}/sft/policy".format(**wildcards) if fixed else policy_before(wildcards)


def reference_manifest(wildcards):
    return reference(wildcards) + ".manifest.json"


rule generate_responses:
    input:
        manifest=policy_before_manifest,
        policy=ancient(policy_before),
        prompts=TASK + "/data/prompts.parquet",
    output:
        ROUND + "/responses.parquet",
    log:
        ROUND + "/responses.log",
    benchmark:
        ROUND + "/responses.benchmark.tsv"
    params:
        stage=stage("generate_responses"),
        options=options("generate_responses"),
    message:
        "generate_responses {wildcards.task}, {wildcards.run}, seed {wildcards.seed}, round {wildcards.round}"
    shell:
        START
        + "{SAMPLER} {SCRIPTS}/generate_responses.py --policy {input.policy:q} --prompts {input.prompts:q}"
        " --output {output:q} {params.options}" + LOGGED


rule score_responses:
    input:
        responses=ROUND + "/responses.parquet",
        reward_model=ancient(reward_model),
        manifest=reward_model_manifest,
    output:
        ROUND + "/rewards.parquet",
    log:
        ROUND + "/rewards.log",
    benchmark:
        ROUND + "/rewards.benchmark.tsv"
    params:
        stage=stage("score_responses"),
        options=options("score_responses"),
        reward_model=given("reward_model"),
    message:
        "score_responses {wildcards.task}, {wildcards.run}, seed {wildcards.seed}, round {wildcards.round}"
    shell:
        START
        + "{PYTHON} {SCRIPTS}/score_responses.py --responses {input.responses:q} {params.reward_model}"
        " --output {output:q} {params.options}" + LOGGED


rule construct_pairs:
    input:
        rewards=round_rewards,
        preferences=round_preferences,
    output:
        ROUND + "/pairs.parquet",
    log:
        ROUND + "/pairs.log",
    benchmark:
        ROUND + "/pairs.benchmark.tsv"
    params:
        stage=stage("construct_pairs"),
        options=options("construct_pairs"),
        rewards=given("rewards"),
        preferences=given("preferences"),
    message:
        "construct_pairs {wildcards.task}, {wildcards.run}, seed {wildcards.seed}, round {wildcards.round}"
    shell:
        START
        + "{PYTHON} {SCRIPTS}/construct_pairs.py {params.rewards} {params.preferences}"
        " --output {output:q} {params.options}" + LOGGED


rule compute_reference_logps:
    input:
        pairs=ROUND + "/pairs.parquet",
        manifest=reference_manifest,
        reference=ancient(reference),
    output:
        ROUND + "/reference_logps.parquet",
    log:
        ROUND + "/reference_logps.log",
    benchmark:
        ROUND + "/reference_logps.benchmark.tsv"
    params:
        stage=stage("compute_reference_logps"),
        options=options("compute_reference_logps"),
    message:
        "compute_reference_logps {wildcards.task}, {wildcards.run}, seed {wildcards.seed}, round {wildcards.round}"
    shell:
        START
        + "{PYTHON} {SCRIPTS}/compute_reference_logps.py --pairs {input.pairs:q} --reference {input.reference:q}"
        " --output {output:q} {params.options}" + LOGGED
