# The training stages of a round: one rule an algorithm, all of one form. A run's name decides which makes its policies.
for algorithm, table in runs.ALGORITHMS.items():

    rule:
        name:
            f"train_{algorithm}"
        input:
            data=training_table,
            manifest=policy_manifest(policy_before),
            policy=ancient(policy_folder(policy_before)),
            reference_manifest=policy_manifest(reference) if algorithm in runs.REFERENCED else [],
            reference=ancient(policy_folder(reference)) if algorithm in runs.REFERENCED else [],
        output:
            policy=directory(f"{ROUND}/policy"),
            manifest=f"{ROUND}/policy.manifest.json",
            training=f"{ROUND}/training.csv",
        log:
            f"{ROUND}/policy.log",
        benchmark:
            f"{ROUND}/policy.benchmark.tsv"
        wildcard_constraints:
            run=one_of(runs.runs_with(config, algorithm)),
        conda:
            "../../envs/core.yaml"
        threads: threads(f"train_{algorithm}")
        resources:
            **asked(f"train_{algorithm}"),
        params:
            stage=stage(f"train_{algorithm}"),
            command=command(f"train_{algorithm}"),
            data="--rewards" if table == "rewards" else "--pairs",
            policy=policy_path(policy_before),
            reference=policy_flag(algorithm in runs.REFERENCED, reference),
        message:
            f"train_{algorithm} {{wildcards.task}}, {{wildcards.run}}, seed {{wildcards.seed}}, round {{wildcards.round}}"
        shell:
            "{params.command} {params.data} {input.data:q} --policy {params.policy:q} {params.reference}"
            " --output {output.policy:q} --log_output {output.training:q} >> {log:q} 2> >(tee -a {log:q} >&2)"
