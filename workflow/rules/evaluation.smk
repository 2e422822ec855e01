# Evaluation of a policy on held-out prompts and pairs; the SFT policy's is round 0 of every run.
rule evaluate_policy:
    input:
        manifest=f"{ROUND}/policy.manifest.json",
        policy=ancient(f"{ROUND}/policy"),
        reference_manifest=policy_manifest(sft_policy),
        reference=ancient(policy_folder(sft_policy)),
        prompts=f"{TASK}/data/eval_prompts.parquet",
        pairs=lambda wildcards: preferences("eval_preferences", wildcards),
        reward_model_manifest=reward_model_manifest("evaluate_policy"),
        reward_model=ancient(reward_model("evaluate_policy")),
        reward_files=reward_files("evaluate_policy"),
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
    threads: threads("evaluate_policy")
    resources:
        **asked("evaluate_policy"),
    params:
        stage=stage("evaluate_policy"),
        command=command("evaluate_policy"),
        policy=policy_path(this_policy),
        reference=policy_path(sft_policy),
        reward_model=reward_model_flag("evaluate_policy"),
        baseline=given("baseline"),
        trained_on=given("trained_on"),
    message:
        "evaluate_policy {wildcards.task}, {wildcards.run}, seed {wildcards.seed}, round {wildcards.round}"
    shell:
        "{params.command} --policy {params.policy:q} --reference {params.reference:q}"
        " --prompts {input.prompts:q} --pairs {input.pairs:q} {params.reward_model}"
        " {params.baseline} {params.trained_on}"
        " --output {output.metrics:q} --samples_output {output.samples:q} >> {log:q} 2> >(tee -a {log:q} >&2)"


use rule evaluate_policy as evaluate_sft_policy with:
    input:
        manifest=policy_manifest(sft_policy),
        policy=ancient(policy_folder(sft_policy)),
        reference=ancient(policy_folder(sft_policy)),
        prompts=f"{TASK}/data/eval_prompts.parquet",
        pairs=lambda wildcards: preferences("eval_preferences", wildcards),
        reward_model_manifest=reward_model_manifest("evaluate_policy"),
        reward_model=ancient(reward_model("evaluate_policy")),
        reward_files=reward_files("evaluate_policy"),
        baseline=[],
        trained_on=[],
    output:
        metrics=f"{SEED}/sft/evaluation.json",
        samples=f"{SEED}/sft/evaluation.parquet",
    log:
        f"{SEED}/sft/evaluation.log",
    benchmark:
        f"{SEED}/sft/evaluation.benchmark.tsv"
    params:
        stage=stage("evaluate_policy"),
        command=command("evaluate_policy"),
        policy=policy_path(sft_policy),
        reference=policy_path(sft_policy),
        reward_model=reward_model_flag("evaluate_policy"),
        baseline="",
        trained_on="",
    message:
        "evaluate_sft_policy {wildcards.task}, seed {wildcards.seed}"


# What a run ends with against the SFT policy, by the judge of a task that says one.
rule judge_responses:
    input:
        samples=f"{ROUND}/evaluation.parquet",
        baseline=f"{SEED}/sft/evaluation.parquet",
        judge=judge_files,
        template=judge_template,
    output:
        judgements=f"{ROUND}/judgements.parquet",
        metrics=f"{ROUND}/judgements.json",
        model=f"{ROUND}/model_outputs.json",
        reference=f"{ROUND}/reference_outputs.json",
        annotations=f"{ROUND}/annotations.json",
    log:
        f"{ROUND}/judgements.log",
    benchmark:
        f"{ROUND}/judgements.benchmark.tsv"
    wildcard_constraints:
        task=one_of(runs.judged_tasks(config)),
    priority: -1  # nothing waits for it but the tables
    conda:
        "../../envs/core.yaml"
    threads: threads("judge_responses")
    resources:
        **asked("judge_responses"),
    params:
        stage=judge_spec,
        command=command("judge_responses"),
        judge=judge_path,
        template=given("template"),
    message:
        "judge_responses {wildcards.task}, {wildcards.run}, seed {wildcards.seed}, round {wildcards.round}"
    shell:
        "{params.command} --samples {input.samples:q} --baseline {input.baseline:q} --judge {params.judge:q}"
        " {params.template} --output {output.judgements:q} --metrics_output {output.metrics:q}"
        " --model_output {output.model:q} --reference_output {output.reference:q}"
        " --annotations_output {output.annotations:q} >> {log:q} 2> >(tee -a {log:q} >&2)"


# Where a task lies in the paper's table, from what the SFT policy's evaluation left: part of all where that is enough.
use rule compute_reference_logps as compute_eval_reference_logps with:
    input:
        pairs=lambda wildcards: preferences("eval_preferences", wildcards),
        manifest=policy_manifest(sft_policy),
        reference=ancient(policy_folder(sft_policy)),
    output:
        f"{SEED}/eval_preferences/reference_logps.parquet",
    log:
        f"{SEED}/eval_preferences/reference_logps.log",
    benchmark:
        f"{SEED}/eval_preferences/reference_logps.benchmark.tsv"
    params:
        stage=stage("compute_reference_logps"),
        command=command("compute_reference_logps"),
        reference=policy_path(sft_policy),
    message:
        "compute_eval_reference_logps {wildcards.task}, seed {wildcards.seed}"


rule diagnose_geometry:
    input:
        samples=f"{SEED}/sft/evaluation.parquet",
        pairs=f"{SEED}/eval_preferences/reference_logps.parquet",
    output:
        json=f"{SEED}/sft/geometry.json",
        text=f"{SEED}/sft/geometry.txt",
    log:
        f"{SEED}/sft/geometry.log",
    benchmark:
        f"{SEED}/sft/geometry.benchmark.tsv"
    conda:
        "../../envs/core.yaml"
    resources:
        **asked("diagnose_geometry"),
    params:
        stage=stage("diagnose_geometry"),
        command=command("diagnose_geometry"),
    message:
        "diagnose_geometry {wildcards.task}, seed {wildcards.seed}"
    shell:
        "{params.command} --samples {input.samples:q} --pairs {input.pairs:q}"
        " --output {output.json:q} --text_output {output.text:q} >> {log:q} 2> >(tee -a {log:q} >&2)"
