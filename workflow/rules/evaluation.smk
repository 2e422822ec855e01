# Evaluation of a policy on held-out prompts and pairs; the SFT policy's is round 0 of every run.
rule evaluate_policy:
    input:
        manifest=f"{ROUND}/policy.manifest.json",
        policy=ancient(f"{ROUND}/policy"),
        reference_manifest=f"{SEED}/sft/policy.manifest.json",
        reference=ancient(f"{SEED}/sft/policy"),
        prompts=f"{TASK}/data/eval_prompts.parquet",
        pairs=lambda wildcards: preferences("eval_preferences", wildcards),
        reward_model_manifest=f"{SEED}/reward_model/model.manifest.json",
        reward_model=ancient(f"{SEED}/reward_model/model"),
        baseline=f"{SEED}/sft/evaluation.parquet",
        trained_on=compared_table,
    output:
        metrics=f"{ROUND}/evaluation.json",
        samples=f"{ROUND}/evaluation.parquet",
    log:
        f"{ROUND}/evaluation.log",
    benchmark:
        f"{ROUND}/evaluation.benchmark.tsv"
    priority: -1  # nothing waits for it but the tables
    conda:
        "../../envs/core.yaml"
    params:
        stage=stage("evaluate_policy"),
        command=command("evaluate_policy"),
        baseline=given("baseline"),
        trained_on=given("trained_on"),
    message:
        "evaluate_policy {wildcards.task}, {wildcards.run}, seed {wildcards.seed}, round {wildcards.round}"
    shell:
        "{params.command} --policy {input.policy:q} --reference {input.reference:q}"
        " --prompts {input.prompts:q} --pairs {input.pairs:q} --reward_model {input.reward_model:q}"
        " {params.baseline} {params.trained_on}"
        " --output {output.metrics:q} --samples_output {output.samples:q} >> {log:q} 2> >(tee -a {log:q} >&2)"


use rule evaluate_policy as evaluate_sft_policy with:
    input:
        manifest=f"{SEED}/sft/policy.manifest.json",
        policy=ancient(f"{SEED}/sft/policy"),
        reference=ancient(f"{SEED}/sft/policy"),
        prompts=f"{TASK}/data/eval_prompts.parquet",
        pairs=lambda wildcards: preferences("eval_preferences", wildcards),
        reward_model_manifest=f"{SEED}/reward_model/model.manifest.json",
        reward_model=ancient(f"{SEED}/reward_model/model"),
        baseline=[],
        trained_on=[],
    output:
        metrics=f"{SEED}/sft/evaluation.json",
        samples=f"{SEED}/sft/evaluation.parquet",
    log:
        f"{SEED}/sft/evaluation.log",
    benchmark:
        f"{SEED}/sft/evaluation.benchmark.tsv"
    message:
        "evaluate_policy {wildcards.task}, SFT, seed {wildcards.seed}"
