# The tables that several jobs share, of a round and of the sampled preferences: each from its shards.
SHARED = {"generate_responses": "responses", "score_responses": "rewards"}

for stage_name, table in SHARED.items():
    for of, place, words in (
        ("", ROUND, "{wildcards.run}, seed {wildcards.seed}, round {wildcards.round}"),
        ("preference_", f"{SEED}/{{split}}", "seed {wildcards.seed}, {wildcards.split}"),
    ):
        if runs.shards_of(config, stage_name):

            rule:
                name:
                    f"join_{of}{table}"
                input:
                    shards(stage_name, f"{place}/{table}"),
                output:
                    f"{place}/{table}.parquet",
                log:
                    f"{place}/{table}.log",
                benchmark:
                    f"{place}/{table}.benchmark.tsv"
                conda:
                    "../../envs/core.yaml"
                resources:
                    **asked("join_shards"),
                params:
                    stage=code_of("join_shards"),
                    command=command("join_shards"),
                message:
                    f"join_{of}{table} {{wildcards.task}}, {words}"
                shell:
                    "{params.command} --shards {input:q} --output {output:q} >> {log:q} 2> >(tee -a {log:q} >&2)"
