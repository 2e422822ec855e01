# Evaluation of a policy on held-out prompts and pairs; the SFT policy's is round 0 of every run.
rule evaluate_policy:
    input:
        manifest=ROUND + "/policy.manifest.json",
        policy=ancient(ROUND + "/policy"),
        reference_manifest=SEED + "/sft/policy.manifest.json",
        reference=ancient(SEED + "/sft/policy"),
        prompts=TASK + "/data/eval_prompts.parquet",
        pairs=lambda wildcards: preferences("eval_preferences", wildcards),
        reward_model_manifest=SEED + "/reward_model/model.manifest.json",
        reward_model=ancient(SEED + "/reward_model/model"),
        baseline=SEED + "/sft/evaluation.parquet",
        trained_on=ROUND + "/pairs.parquet",
    output:
        metrics=ROUND + "/evaluation.json",
        samples=ROUND + "/evaluation.parquet",
    log:
        ROUND + "/evaluation.log",
    benchmark:
        ROUND + "/evaluation.benchmark.tsv"
    params:
        stage=stage("evaluate_policy"),
        options=options("evaluate_policy"),
        baseline=given("baseline"),
        trained_on=given("trained_on"),
    message:
        "evaluate_policy {wildcards.task}, {wildcards.run}, seed {wildcards.seed}, round {wildcards.round}"
    shell:
        START
        + "{SAMPLER} {SCRIPTS}/evaluate_policy.py --policy {input.policy:q} --reference {input.reference:q}"
        " --prompts {input.prompts:q} --pairs {input.pairs:q} --reward_model {input.reward_model:q}"
        " {params.baseline} {params.trained_on}"
        " --output {output.metrics:q} --samples_output {output.samples:q} {params.options}" + LOGGED


use rule evaluate_policy as evaluate_sft_policy with:
    input:
        manifest=SEED + "/sft/policy.manifest.json",
        policy=ancient(SEED + "/sft/policy"),
        reference=ancient(SEED + "/sft/policy"),
        prompts=TASK + "/data/eval_prompts.parquet",
        pairs=lambda wildcards: preferences("eval_preferences", wildcards),
        reward_model_manifest=SEED + "/reward_model/model.manifest.json",
        reward_model=ancient(SEED + "/reward_model/model"),
        baseline=[],
        trained_on=[],
    output:
        metrics=SEED + "/sft/evaluation.json",
        samples=SEED + "/sft/evaluation.parquet",
    log:
        SEED + "/sft/evaluation.log",
    benchmark:
        SEED + "/sft/evaluation.benchmark.tsv"
    message:
        "evaluate_policy {wildcards.task}, SFT, seed {wildcards.seed}"
