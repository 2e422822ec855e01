"""What stages record of their own work: the log of a training, a bandit's history, bad rows, the use of a cluster.

No stage that trains reads measures.py, so that a change there trains nothing again. Standard library only.
"""

from preference.files.columns import Column, Table

_OF_HISTORY = (  # what is measured of a bandit, in the order of the columns of its history.parquet
    Column("reward", float, "expected reward", optional=True),
    Column("reward_se", float, "standard error of `reward` if samples estimate it", optional=True),
    Column("entropy", float, "entropy of the policy", unit="nats", optional=True),
    Column("entropy_se", float, "standard error of `entropy` if samples estimate it", unit="nats", optional=True),
    Column("kl", float, "KL(π ‖ reference)", unit="nats", optional=True),
    Column("kl_se", float, "standard error of `kl` if samples estimate it", unit="nats", optional=True),
    Column("reverse_kl", float, "KL(reference ‖ π)", unit="nats", optional=True),
    Column("reverse_kl_se", float, "standard error of `reverse_kl` if samples estimate it", unit="nats", optional=True),
    Column("loss", float, "loss of the step", optional=True),
    Column("gradient_norm", float, "L2 norm of the gradient of the loss", optional=True),
    Column("chosen_logratio", float, "log π − log π_ref, mean of the chosen responses", unit="nats", optional=True),
    Column("rejected_logratio", float, "log π − log π_ref, mean of the rejected responses", unit="nats", optional=True),
    Column("margin", float, "`chosen_logratio` − `rejected_logratio`", unit="nats", optional=True),
    Column("gradient_product", float, "inner product of the gradients of log π of chosen and rejected", optional=True),
    Column("gradient_cosine", float, "cosine of the angle between these two gradients", optional=True),
)
HISTORY = {column.name: column for column in _OF_HISTORY}

TRAINING = Table(  # all that some algorithm records; none records all
    (
        Column("step", int, "optimizer step, from 1"),
        Column("learning_rate", float, "learning rate of the step"),
        Column("loss", float, "loss of the policy before the update"),
        Column("gradient_norm", float, "L2 norm of the gradient before it is clipped"),
        # Of pairs.
        Column("chosen_rewards", float, "implicit reward of the chosen response, as the loss defines it"),
        Column("rejected_rewards", float, "implicit reward of the rejected response"),
        Column("margin", float, "difference of these two; of a reward model, of its scores"),
        Column("accuracy", float, "pairs with a positive `margin`", unit="share"),
        Column("chosen_logps", float, "log-probability of the chosen response", unit="nats"),
        Column("rejected_logps", float, "log-probability of the rejected response", unit="nats"),
        # Of responses.
        Column("logps", float, "log-probability of a response", unit="nats"),
        Column("entropy", float, "entropy of the next token", unit="nats per token"),
        Column(
            "staleness", float, "log π − log π of the policy that the round starts from, of a response", unit="nats"
        ),
        Column("kl", float, "log π − log π_ref of a response", unit="nats"),
        Column("reward", float, "training reward of a response"),
        Column("advantage", float, "advantage of a response"),
        Column("weight", float, "weight of a response in the loss"),
        Column("clip_fraction", float, "tokens whose ratio to the start is beyond the clip range", unit="share"),
        Column("value_loss", float, "loss of the value function"),
        Column("desirable", float, "responses whose reward reaches the threshold", unit="share"),
        Column("kl_baseline", float, "z, the mean log-ratio of mismatched responses", unit="nats"),
        Column("chosen", float, "responses that were chosen in their pair", unit="share"),
    ),
    "the log of a training, a row per optimizer step",
    paths=(
        *("{task}/seed{seed}/sft/training.csv", "{task}/seed{seed}/reward_model/training.csv"),
        "{task}/{run}/seed{seed}/round{round}/training.csv",
    ),
)
BAD_ROWS = Table(
    (
        Column("role", str, "what the data are for, such as `sft`"),
        Column("source", str, "file or data set"),
        Column("row", int, "its row"),
        Column("reason", str, "what is wrong with it"),
    ),
    "rows of the data that could not be read; there is no file if all could",
    paths=("{task}/data/bad_rows.csv",),
)
EFFICIENCY = Table(
    (
        Column("stage", str, "rule"),
        Column("jobs", int, "its jobs"),
        Column("minutes_median", float, "median time of a job", "minutes"),
        Column("minutes_max", float, "longest time of a job", "minutes"),
        Column("minutes_asked", float, "most time that a job asked for", "minutes"),
        Column("memory_mb_max", int, "most memory that a job used", "MB"),
        Column("memory_mb_asked", int, "most memory that a job asked for", "MB"),
        Column("cpus_used_max", float, "most CPU time of a job, divided by its time", "CPUs"),
        Column("cpus_asked", int, "most CPUs that a job asked for", "CPUs"),
        Column("gres_asked", str, "GPUs that a job asked for", optional=True),
        Column("suggested_minutes", int, "time to ask for next time", "minutes"),
        Column("suggested_memory_mb", int, "memory to ask for next time", "MB"),
    ),
    "the time, memory and CPUs that the jobs on a cluster requested and used",
    paths=("tables/efficiency.csv",),
)
