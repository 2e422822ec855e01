"""The JSON files: the keys of each, with a description and a unit; and what is neither a table nor JSON."""

from preference.files.columns import Column, Table

_ROUND = "{task}/{run}/seed{seed}/round{round}"


METRICS = "measure -> `mean`, `low` and `high` (95 % bootstrap interval over prompts), `n` (prompts)"
JUDGEMENT = Table(
    (
        Column("num_prompts", int, "prompts that are judged"),
        Column(
            "metrics",
            dict,
            METRICS,
            keys=(Column("win_rate", float, "responses that win; a tie counts half", "share"),),
        ),
        Column("wins", int, "responses that win by both verdicts"),
        Column("ties", int, "responses that neither win nor lose"),
        Column("losses", int, "responses that lose by both verdicts"),
        Column("verdicts", int, "verdicts: two per response"),
        Column("unparsed", int, "verdicts that name neither response"),
        Column("position_bias", float, "verdicts for the first place, of those for either", "share", optional=True),
    ),
    "the win rate and the counts of a judge's verdicts on a round",
    paths=(f"{_ROUND}/judgements.json",),
)
OUTPUTS = Table(
    (
        Column("dataset", str, "name of the task"),
        Column("instruction", str, "the prompt as text"),
        Column("output", str, "the response as text"),
        Column("generator", str, "name of the run, or of the SFT policy"),
    ),
    "the first response to each prompt, as AlpacaEval reads it; a list",
    paths=(f"{_ROUND}/model_outputs.json", f"{_ROUND}/reference_outputs.json"),
)
ANNOTATIONS = Table(
    (
        Column("instruction", str, "the prompt as text"),
        Column("output_1", str, "response of the SFT policy"),
        Column("output_2", str, "response of the run"),
        Column("generator_1", str, "name of the SFT policy"),
        Column("generator_2", str, "name of the run"),
        Column("annotator", str, "name of the judge"),
        Column("dataset", str, "name of the task"),
        Column("preference", float, "1: `output_1` wins, 2: `output_2` wins, 1.5: a tie"),
    ),
    "the judge's verdicts, as AlpacaEval writes them; a list",
    paths=(f"{_ROUND}/annotations.json",),
)
GEOMETRY = Table(
    (
        Column("prompts", int, "held-out prompts with samples"),
        Column("samples_per_prompt", int, "samples of each"),
        Column("pairs", int, "held-out pairs of these prompts"),
        Column("judged_by", str, "reward whose peak is looked for: `gold_reward` if the task has it, else `reward`"),
        Column(
            "metrics",
            dict,
            "statistic -> `mean`, `low` and `high` (95 % bootstrap interval over prompts)",
            keys=(
                Column("late_gain", float, "C1: what the last doubling adds to best-of-8, by `judged_by`", "share"),
                Column("overlap", float, "C2: what preferences and reference share at least", "share"),
                Column("learned_late_gain", float, "`late_gain` by the learned reward", "share", optional=True),
                Column("reward_logps_correlation", float, "rank correlation of reward and log-probability"),
                Column("reward_logps_per_token_correlation", float, "the same with the log-probability per token"),
                Column("effective_share", float, "effective sample size at 1 nat from the reference", "share"),
                *(Column(f"best_of_{n}", float, f"learned reward of the best of {n} samples") for n in (1, 2, 4, 8)),
                *(
                    Column(
                        f"best_of_{n}_gold", float, f"gold reward of the best of {n} by learned reward", optional=True
                    )
                    for n in (1, 2, 4, 8)
                ),
                *(
                    Column(
                        f"{side}_{logps}_percentile",
                        float,
                        f"place of the {side} responses among the reference's samples, by `{logps}`",
                        "share",
                        optional=True,
                    )
                    for logps in ("logps", "logps_per_token")
                    for side in ("chosen", "rejected")
                ),
            ),
        ),
        Column("cell", str, "cell of the coverage table: a task of the paper, or `not studied`"),
        Column("peaks_overlap", bool, "C1 holds"),
        Column("preferences_overlap", bool, "C2 holds"),
        Column("sure", float, "resamples of the prompts that fall into the cell", "share"),
        Column("shares", dict, "cell -> resamples that fall into it", "share"),
        Column("on_policy_data", str, "how much on-policy data is expected to help, and why"),
        Column("negative_gradient", str, "how much a negative gradient is expected to help, and why"),
        Column("best_of_n_kl", dict, "n -> KL of best of n to the reference", "nats"),
    ),
    "where a task lies in the coverage table, and so whether on-policy data and a negative gradient should help",
    paths=("{task}/seed{seed}/sft/geometry.json",),
)
_PASS = (
    Column("runs", int, "runs that were trained together"),
    Column("steps", int, "steps of each run", "steps"),
    Column("seconds", float, "wall time, without the start of the program", "seconds"),
)
SECONDS = Table(
    (
        Column("tuning", dict, "cost of tuning, if the grid has more than one point", optional=True, keys=_PASS),
        Column("reporting", dict, "cost of the reported seeds", keys=_PASS),
    ),
    "the cost of a cell of a lab",
    paths=("results/{lab}/{experiment}/{cell}/seconds.json",),
)
HUB = Table(
    (
        Column("models", dict, "id of each model -> its commit"),
        Column("data", dict, "name of each data set -> its rows"),
    ),
    "the models and data that were fetched from the hub",
    paths=("hub.json",),
)
MANIFEST = Table(
    (Column("files", dict, "name of each file -> its SHA-256"),),
    "what made a file or folder, and the digest of each file in it",
    paths=("{artifact}.manifest.json",),
)
PROVENANCE = Table(
    (
        Column("kind", str, "kind of the artifact"),
        Column("stage", str, "script that made it"),
        Column("flags", dict, "its flags, without inputs and outputs"),
        Column("inputs", dict, "flag -> `sha256` of each file that was read"),
        Column("versions", dict, "library -> its version"),
        Column("rows_in", int, "rows that were read", optional=True),
        Column("rows_out", int, "rows that were written", optional=True),
        Column("dropped", dict, "reason -> rows that were dropped", optional=True),
        Column("seal", str, "SHA-256 of the file's other bytes"),
    ),
    "what made an artifact: in a Parquet file's metadata, in a JSON file, or in the manifest beside it",
)

ORIGIN = Table(
    (
        Column("path", str, "path that the artifact was made for"),
        Column("seal", str, "seal of the artifact, or of its manifest"),
        Column("inputs", dict, "flag -> path of each file that was read"),
        Column("code", dict, "source file -> digest of what the stage reaches of it", optional=True),
    ),
    "where an artifact was made, from which files and by which code; not in its bytes, so that equal results are equal",
    paths=(".{artifact}.origin.json",),
)

# Neither tables nor JSON: path -> description.
OTHERS = {
    "{task}/seed{seed}/base/model/": "the base model of a task that starts from scratch",
    "{task}/seed{seed}/sft/policy/": "the SFT policy, which every run starts from",
    "{task}/seed{seed}/reward_model/model/": "the learned reward model",
    f"{_ROUND}/policy/": "the policy after a round",
    "{task}/seed{seed}/sft/geometry.txt": "`geometry.json` to read",
    "tables/final.txt": "the main columns of `final.csv` to read",
    "tables/expectations.txt": "`expectations.csv` to read",
    "tables/claims.txt": "`claims.csv` to read; a lab has it, too",
    "figures/{figure}.svg": "a figure, with a `.png` beside it; a lab has them, too",
    "config.yaml": "the config with every default filled in",
    "report.html": "the report, one page that needs nothing else",
    "{artifact}.log": "the output of the latest attempt, after the command that makes the artifact again",
    "{artifact}.benchmark.tsv": "time and memory of each attempt, as Snakemake measured them",
}
