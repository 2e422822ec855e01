# The training stage of a round, one rule an algorithm; which one makes a run's policy is decided by the run's name.
rule train_dpo:
    input:
        pairs=f"{ROUND}/reference_logps.parquet",
        manifest=policy_before_manifest,
        policy=ancient(policy_before),
    output:
        policy=directory(f"{ROUND}/policy"),
        manifest=f"{ROUND}/policy.manifest.json",
        training=f"{ROUND}/training.csv",
    log:
        f"{ROUND}/policy.log",
    benchmark:
        f"{ROUND}/policy.benchmark.tsv"
    wildcard_constraints:
        run=one_of(runs.runs_with(config, "dpo")),
    conda:
        "../../envs/core.yaml"
    params:
        stage=stage("train_dpo"),
        command=command("train_dpo"),
    message:
        "train_dpo {wildcards.task}, {wildcards.run}, seed {wildcards.seed}, round {wildcards.round}"
    shell:
        "{params.command} --pairs {input.pairs:q} --policy {input.policy:q}"
        " --output {output.policy:q} --log_output {output.training:q} >> {log:q} 2> >(tee -a {log:q} >&2)"


rule train_pref_ft:
    input:
        pairs=f"{ROUND}/pairs.parquet",
        manifest=policy_before_manifest,
        policy=ancient(policy_before),
    output:
        policy=directory(f"{ROUND}/policy"),
        manifest=f"{ROUND}/policy.manifest.json",
        training=f"{ROUND}/training.csv",
    log:
        f"{ROUND}/policy.log",
    benchmark:
        f"{ROUND}/policy.benchmark.tsv"
    wildcard_constraints:
        run=one_of(runs.runs_with(config, "pref_ft")),
    conda:
        "../../envs/core.yaml"
    params:
        stage=stage("train_pref_ft"),
        command=command("train_pref_ft"),
    message:
        "train_pref_ft {wildcards.task}, {wildcards.run}, seed {wildcards.seed}, round {wildcards.round}"
    shell:
        "{params.command} --pairs {input.pairs:q} --policy {input.policy:q}"
        " --output {output.policy:q} --log_output {output.training:q} >> {log:q} 2> >(tee -a {log:q} >&2)"
