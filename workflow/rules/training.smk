# The training stages of a round: a run's algorithm decides which of them makes its policies.
TRAINED = {
    "output": directory(f"{ROUND}/policy"),
    "log_output": f"{ROUND}/training.csv",
    "_manifest": f"{ROUND}/policy.manifest.json",
}


rule train_pref_ft:
    input:
        **model(policy=policy_before),
        pairs=f"{ROUND}/pairs.parquet",
    output:
        **TRAINED,
    wildcard_constraints:
        run=one_of(runs.runs_with(CONFIG, "pref_ft")),
    params:
        **calls("train_pref_ft"),
    shell:
        RUN


rule train_csft:
    input:
        **model(policy=policy_before),
        pairs=f"{ROUND}/pairs.parquet",
    output:
        **TRAINED,
    wildcard_constraints:
        run=one_of(runs.runs_with(CONFIG, "csft")),
    params:
        **calls("train_csft"),
    shell:
        RUN


rule train_slic:
    input:
        **model(policy=policy_before),
        pairs=f"{ROUND}/pairs.parquet",
    output:
        **TRAINED,
    wildcard_constraints:
        run=one_of(runs.runs_with(CONFIG, "slic")),
    params:
        **calls("train_slic"),
    shell:
        RUN


rule train_simpo:
    input:
        **model(policy=policy_before),
        pairs=f"{ROUND}/pairs.parquet",
    output:
        **TRAINED,
    wildcard_constraints:
        run=one_of(runs.runs_with(CONFIG, "simpo")),
    params:
        **calls("train_simpo"),
    shell:
        RUN


rule train_dpo:
    input:
        **model(policy=policy_before),
        pairs=f"{ROUND}/reference_logps.parquet",
    output:
        **TRAINED,
    wildcard_constraints:
        run=one_of(runs.runs_with(CONFIG, "dpo")),
    params:
        **calls("train_dpo"),
    shell:
        RUN


rule train_ipo:
    input:
        **model(policy=policy_before),
        pairs=f"{ROUND}/reference_logps.parquet",
    output:
        **TRAINED,
    wildcard_constraints:
        run=one_of(runs.runs_with(CONFIG, "ipo")),
    params:
        **calls("train_ipo"),
    shell:
        RUN


rule train_best_of_n:
    input:
        **model(policy=policy_before),
        rewards=f"{ROUND}/rewards.parquet",
    output:
        **TRAINED,
    wildcard_constraints:
        run=one_of(runs.runs_with(CONFIG, "best_of_n")),
    params:
        **calls("train_best_of_n"),
    shell:
        RUN


rule train_rwr:
    input:
        **model(policy=policy_before),
        rewards=f"{ROUND}/rewards.parquet",
    output:
        **TRAINED,
    wildcard_constraints:
        run=one_of(runs.runs_with(CONFIG, "rwr")),
    params:
        **calls("train_rwr"),
    shell:
        RUN


rule train_kto:
    input:
        **model(policy=policy_before, reference=reference),
        rewards=f"{ROUND}/rewards.parquet",
    output:
        **TRAINED,
    wildcard_constraints:
        run=one_of(runs.runs_with(CONFIG, "kto")),
    params:
        **calls("train_kto"),
    shell:
        RUN


rule train_reinforce:
    input:
        **model(policy=policy_before, reference=reference),
        rewards=f"{ROUND}/rewards.parquet",
    output:
        **TRAINED,
    wildcard_constraints:
        run=one_of(runs.runs_with(CONFIG, "reinforce")),
    params:
        **calls("train_reinforce"),
    shell:
        RUN


rule train_ppo:
    input:
        **model(policy=policy_before, reference=reference),
        rewards=f"{ROUND}/rewards.parquet",
    output:
        **TRAINED,
    wildcard_constraints:
        run=one_of(runs.runs_with(CONFIG, "ppo")),
    params:
        **calls("train_ppo"),
    shell:
        RUN


rule train_grpo:
    input:
        **model(policy=policy_before, reference=reference),
        rewards=f"{ROUND}/rewards.parquet",
    output:
        **TRAINED,
    wildcard_constraints:
        run=one_of(runs.runs_with(CONFIG, "grpo")),
    params:
        **calls("train_grpo"),
    shell:
        RUN
