# Evaluation of a policy on held-out prompts and pairs; the SFT policy's is round 0 of every run.


rule evaluate_policy:
    input:
        **model(policy=at(f"{ROUND}/policy"), reference=sft_policy),
        **rewards_by("evaluate_policy"),
        prompts=f"{TASK}/data/eval_prompts.parquet",
        pairs=pairs_of("eval_preferences"),
        baseline=f"{SEED}/sft/evaluation.parquet",
        trained_on=lambda wildcards: compared(wildcards.run).format(**wildcards),
    output:
        output=f"{ROUND}/evaluation.json",
        samples_output=f"{ROUND}/evaluation.parquet",
    priority: -1  # nothing waits for it but the tables
    params:
        **calls("evaluate_policy"),
    shell:
        RUN


rule evaluate_sft_policy:
    input:
        **model(policy=sft_policy, reference=sft_policy),
        **rewards_by("evaluate_policy"),
        prompts=f"{TASK}/data/eval_prompts.parquet",
        pairs=pairs_of("eval_preferences"),
    output:
        output=f"{SEED}/sft/evaluation.json",
        samples_output=f"{SEED}/sft/evaluation.parquet",
    priority: -1
    params:
        **calls("evaluate_policy"),
    shell:
        RUN


# What a run ends with against the SFT policy, by the judge of a task that says one.
rule judge_responses:
    input:
        samples=f"{ROUND}/evaluation.parquet",
        baseline=f"{SEED}/sft/evaluation.parquet",
        template=lambda wildcards: CONFIG["tasks"][wildcards.task]["judge"].get("template", []),
        _judge=lambda wildcards: files_of(runs.judge_folder(CONFIG["tasks"][wildcards.task])),
    output:
        output=f"{ROUND}/judgements.parquet",
        metrics_output=f"{ROUND}/judgements.json",
        model_output=f"{ROUND}/model_outputs.json",
        reference_output=f"{ROUND}/reference_outputs.json",
        annotations_output=f"{ROUND}/annotations.json",
    wildcard_constraints:
        task=one_of(runs.judged_tasks(CONFIG)),
    priority: -1  # nothing waits for it but the tables
    params:
        **calls("judge_responses"),
    shell:
        RUN


# Where a task lies: the SFT policy's samples, and the log-probabilities of held-out pairs.
rule compute_eval_reference_logps:
    input:
        **model(reference=sft_policy),
        pairs=pairs_of("eval_preferences"),
    output:
        output=f"{SEED}/eval_preferences/reference_logps.parquet",
    params:
        **calls("compute_reference_logps"),
    shell:
        RUN


rule diagnose_geometry:
    input:
        samples=f"{SEED}/sft/evaluation.parquet",
        pairs=f"{SEED}/eval_preferences/reference_logps.parquet",
    output:
        output=f"{SEED}/sft/geometry.json",
        text_output=f"{SEED}/sft/geometry.txt",
    params:
        **calls("diagnose_geometry"),
    shell:
        RUN
