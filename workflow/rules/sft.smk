# The SFT policy, which is the reference of everything after it, and the reward model that starts from it.


rule initialize_model:
    input:
        data=f"{TASK}/data/sft.parquet",
    output:
        output=directory(f"{SEED}/base/model"),
        _manifest=f"{SEED}/base/model.manifest.json",
    params:
        **calls("initialize_model"),
    shell:
        RUN


rule train_sft:
    input:
        **model(base_model=base_model),
        data=f"{TASK}/data/sft.parquet",
    output:
        output=directory(f"{SEED}/sft/policy"),
        log_output=f"{SEED}/sft/training.csv",
        _manifest=f"{SEED}/sft/policy.manifest.json",
    params:
        **calls("train_sft"),
    shell:
        RUN


rule train_reward_model:
    input:
        **model(policy=sft_policy),
        pairs=pairs_of("preferences"),
        eval_pairs=pairs_of("eval_preferences"),
    output:
        output=directory(f"{SEED}/reward_model/model"),
        log_output=f"{SEED}/reward_model/training.csv",
        evaluation_output=f"{SEED}/reward_model/evaluation.json",
        _manifest=f"{SEED}/reward_model/model.manifest.json",
    params:
        **calls("train_reward_model"),
    shell:
        RUN
