# The training stage of a round, one rule an algorithm; which one makes a run's policy is decided by the run's name.
rule train_dpo:
    input:
        pairs=ROUND + "/reference_logps.parquet",
        manifest=policy_before_manifest,
        policy=ancient(policy_before),
    output:
        policy=directory(ROUND + "/policy"),
        manifest=ROUND + "/policy.manifest.json",
        training=ROUND + "/training.csv",
    log:
        ROUND + "/policy.log",
    benchmark:
        ROUND + "/policy.benchmark.tsv"
    wildcard_constraints:
        run=one_of(runs.runs_with(config, "dpo")),
    params:
        stage=stage("train_dpo"),
        options=options("train_dpo"),
    message:
        "train_dpo {wildcards.task}, {wildcards.run}, seed {wildcards.seed}, round {wildcards.round}"
    shell:
        START
        + "{PYTHON} {SCRIPTS}/train_dpo.py --pairs {input.pairs:q} --policy {input.policy:q}"
        " --output {output.policy:q} --log_output {output.training:q} {params.options}" + LOGGED


rule train_pref_ft:
    input:
        pairs=ROUND + "/pairs.parquet",
        manifest=policy_before_manifest,
        policy=ancient(policy_before),
    output:
        policy=directory(ROUND + "/policy"),
        manifest=ROUND + "/policy.manifest.json",
        training=ROUND + "/training.csv",
    log:
        ROUND + "/policy.log",
    benchmark:
        ROUND + "/policy.benchmark.tsv"
    wildcard_constraints:
        run=one_of(runs.runs_with(config, "pref_ft")),
    params:
        stage=stage("train_pref_ft"),
        options=options("train_pref_ft"),
    message:
        "train_pref_ft {wildcards.task}, {wildcards.run}, seed {wildcards.seed}, round {wildcards.round}"
    shell:
        START
        + "{PYTHON} {SCRIPTS}/train_pref_ft.py --pairs {input.pairs:q} --policy {input.policy:q}"
        " --output {output.policy:q} --log_output {output.training:q} {params.options}" + LOGGED
