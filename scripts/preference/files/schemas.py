"""The Parquet tables: the columns of each kind, with their types."""

import pyarrow as pa

from preference.files.columns import Column, Table
from preference.files.logs import HISTORY

FINISH_REASONS = ("stop", "length")  # closed by EOS; cut at max_new_tokens

IDS = pa.list_(pa.int32())
MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
# The type of a column in which some message uses tools or thinks; TRL and the templates know these names.
_FUNCTION = pa.struct([("name", pa.string()), ("arguments", pa.string())])
_TOOL_CALLS = pa.list_(pa.struct([("id", pa.string()), ("type", pa.string()), ("function", _FUNCTION)]))
FULL_MESSAGES = pa.list_(
    pa.struct(
        [
            *(("role", pa.string()), ("content", pa.string()), ("name", pa.string()), ("tool_calls", _TOOL_CALLS)),
            *(("tool_call_id", pa.string()), ("reasoning_content", pa.string())),
        ]
    )
)
JSON_COLUMNS = ("tools", "fields")
REWARD_PART = "reward_"  # begins the names of more columns of tables with rewards: each part of a mixed one, unweighted
# Of columns that other files have, too.
_TYPES: dict[object, pa.DataType] = {str: pa.string(), float: pa.float64(), bool: pa.bool_()}

_PROMPT = (
    Column("prompt_id", str, "hash of the prompt's canonical messages and tools; rows are joined by it"),
    Column("prompt", MESSAGES, "messages that the response answers"),
    Column("tools", str, "functions that the assistant may call, as JSON", optional=True),
    Column("fields", str, "other columns of the data that a reward may read, by name, as JSON", optional=True),
)
_ANSWER = Column("response", MESSAGES, "one message of the assistant")
_GIVEN = Column("given_reward", float, "the data's own score of the response, if it has one", optional=True)
_RESPONSE = (
    *_PROMPT,
    Column("sample_id", pa.int32(), "which sample of the prompt this is, from 0"),
    _ANSWER,
    Column("response_ids", IDS, "tokens as drawn, with the end token if the response is finished"),
    Column("finish_reason", str, "`stop`: an end token closes it; `length`: it was cut"),
    Column("num_tokens", pa.int32(), "length of the response without the end token", unit="tokens"),
    Column(
        "end_token", str, "token that closes it; empty if it was cut or does not come from a sampler", optional=True
    ),
    _GIVEN,
)
_PARTS = (
    Column(f"{REWARD_PART}{{name}}", float, "a part of a reward that is a sum, unweighted", optional=True),
    Column(f"{REWARD_PART}gold_{{name}}", float, "a part of a gold reward that is a sum, unweighted", optional=True),
)
_GOLD = Column("gold_reward", float, "gold reward, if the task has one", optional=True)
_PAIR = (
    *_PROMPT,
    Column("chosen", MESSAGES, "the better response"),
    Column("rejected", MESSAGES, "the worse response"),
    Column("chosen_reward", float, "training reward of the better response", optional=True),
    Column("rejected_reward", float, "training reward of the worse response", optional=True),
    Column("chosen_finish_reason", str, "why the better response ended, `stop` or `length`", optional=True),
    Column("rejected_finish_reason", str, "why the worse response ended, `stop` or `length`", optional=True),
    Column("chosen_tokens", IDS, "its tokens as drawn; empty if it does not come from a sampler", optional=True),
    Column("rejected_tokens", IDS, "its tokens as drawn; empty if it does not come from a sampler", optional=True),
    Column("round", pa.int32(), "last round of the run that made this pair; empty in given preferences", optional=True),
)
_SETTING = (
    Column("learning_rate", float, "learning rate of Adam"),
    Column("beta", float, "beta of the algorithm, if it has one", optional=True),
)
_SEED = Column("seed", pa.int32(), "seed of the run")
_DIVERGED = Column("diverged", bool, "the run is not finite any more at this step; its measures are empty")

_ROUND = "{task}/{run}/seed{seed}/round{round}"
_SPLIT = "{task}/seed{seed}/{split}"  # preferences that are sampled and labelled: preferences or eval_preferences
_CELL = "results/{lab}/{experiment}/{cell}"

TABLES = {
    "sft": Table(
        (*_PROMPT, _ANSWER),
        "prompts and the answers that supervised fine-tuning teaches, a row per prompt",
        paths=("{task}/data/sft.parquet",),
    ),
    "prompts": Table(
        _PROMPT, "prompts to sample responses to, a row per prompt", paths=("{task}/data/prompts.parquet",)
    ),
    "eval_prompts": Table(
        (*_PROMPT, Column("response", MESSAGES, "the data's own answer, if it has one", optional=True)),
        "held-out prompts, with the data's own answers where it has them; training never sees them",
        paths=("{task}/data/eval_prompts.parquet",),
    ),
    # Of scored or ranked lists, of unpaired data, and both sides of given pairs.
    "answers": Table(
        (*_PROMPT, _ANSWER, _GIVEN),
        "responses to prompts with the data's own scores, a row per response",
        paths=("{task}/data/answers.parquet",),
    ),
    "responses": Table(
        _RESPONSE,
        "the responses of a policy with the tokens that were sampled, a row per sample",
        paths=(
            *(f"{_ROUND}/responses.parquet", f"{_ROUND}/preference_responses.parquet"),
            *(f"{_SPLIT}/responses.parquet", f"{_SPLIT}/skewed_responses.parquet"),
        ),
    ),
    "rewards": Table(
        (*_RESPONSE, Column("reward", float, "training reward"), _GOLD),
        "responses with their training reward, and the gold reward where the task has one",
        paths=(f"{_ROUND}/rewards.parquet", f"{_SPLIT}/rewards.parquet"),
        families=_PARTS,
    ),
    "pairs": Table(
        _PAIR,
        "a chosen and a rejected response to each prompt",
        paths=(
            *("{task}/data/preferences.parquet", "{task}/data/eval_preferences.parquet"),
            *(f"{_ROUND}/pairs.parquet", f"{_SPLIT}/pairs.parquet"),
        ),
    ),
    "reference_logps": Table(
        (
            *_PAIR,
            Column("ref_chosen_logps", float, "log-probability of the better response by the reference", unit="nats"),
            Column("ref_rejected_logps", float, "log-probability of the worse response by the reference", unit="nats"),
        ),
        "pairs with the reference policy's log-probability of both responses",
        paths=(f"{_ROUND}/reference_logps.parquet", "{task}/seed{seed}/eval_preferences/reference_logps.parquet"),
    ),
    "evaluation": Table(
        (
            *_RESPONSE,
            Column("reward", float, "training reward; empty if nothing scores responses", optional=True),
            _GOLD,
            Column("logps", float, "log-probability of the response by the policy", unit="nats"),
            Column("ref_logps", float, "log-probability of the response by the reference", unit="nats"),
            Column("kl", float, "KL(π ‖ π_ref), exact at each position, summed over the response", unit="nats"),
            Column("entropy", float, "entropy of the next token, mean over the response", unit="nats per token"),
            Column("win", float, "1 if its reward is higher than the baseline's, 0 if lower, else 0.5", optional=True),
            Column("gold_win", float, "the same by gold reward", optional=True),
        ),
        "answers to held-out prompts with rewards, log-probabilities, KL to the reference, and wins",
        paths=(f"{_ROUND}/evaluation.parquet", "{task}/seed{seed}/sft/evaluation.parquet"),
        families=_PARTS,
    ),
    "judgements": Table(
        (
            *_PROMPT,
            Column("sample_id", pa.int32(), "which sample of the prompt is judged, from 0"),
            Column("response", MESSAGES, "what the policy answered"),
            Column("baseline_response", MESSAGES, "what the SFT policy answered"),
            Column("verdict", str, "place that the judge prefers, `response` standing first; or empty", optional=True),
            Column("swapped_verdict", str, "the same, `response` standing second", optional=True),
            Column("reply", str, "text of the judge that `verdict` was read from"),
            Column("swapped_reply", str, "text of the judge that `swapped_verdict` was read from"),
            Column("preference", float, "1 win, 0.5 tie, 0 loss of `response`"),
        ),
        "a judge's verdicts on two answers to each prompt, asked in both orders, and who wins by them",
        paths=(f"{_ROUND}/judgements.parquet",),
    ),
    "history": Table(
        (
            _SEED,
            Column("step", pa.int32(), "steps of gradient descent so far", unit="steps"),
            Column("round", pa.int32(), "round of sampling, from 1; 0 before the first step"),
            Column("queries", pa.int64(), "responses that the reward has judged so far", unit="responses"),
            *_SETTING,
            _DIVERGED,
            *HISTORY.values(),
        ),
        "a bandit's measures as it learns, a row per seed and recorded step",
        paths=(f"{_CELL}/history.parquet",),
    ),
    "tuning": Table(
        (
            *_SETTING,
            Column("seed", pa.int32(), "tuning seed"),
            Column("reward", float, "expected reward after the last step; empty if the run diverged", optional=True),
            Column("diverged", bool, "the run ended with a number that is not finite"),
            Column("chosen", bool, "this learning rate and beta train the reported seeds"),
        ),
        "the final reward of each learning rate and beta that was tried on a bandit, a row per seed",
        paths=(f"{_CELL}/tuning.parquet",),
    ),
}


def _field(column: Column) -> pa.Field:
    return pa.field(column.name, _TYPES.get(column.kind, column.kind), nullable=column.optional)


SCHEMAS = {kind: pa.schema(map(_field, table.columns)) for kind, table in TABLES.items()}
MESSAGE_COLUMNS = {field.name for schema in SCHEMAS.values() for field in schema if field.type == MESSAGES}
