"""Tables on disk: one schema per kind, checked on write and on read.

A table carries in its Parquet metadata, under the key `prefdag`, what made it (see provenance.describe), its kind and
its path, and under `prefdag.seal` the digest of its own bytes (see artifacts). Rows are joined by prompt_id, never by
position.
"""

import hashlib
import json
import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from preference import artifacts
from preference.stage import InputError

FINISH_REASONS = ("stop", "length")  # closed by EOS; cut at max_new_tokens


def _required(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


_IDS = pa.list_(pa.int32())
_PROMPT = [_required("prompt_id", pa.string()), _required("prompt", pa.string())]
_RESPONSE = [
    _required("prompt_id", pa.string()),
    _required("sample_id", pa.int32()),
    _required("prompt", pa.string()),
    _required("response", pa.string()),
    _required("response_ids", _IDS),  # the tokens as sampled, with the EOS where the response was finished
    _required("finish_reason", pa.string()),
    _required("num_tokens", pa.int32()),  # without EOS
]
_REWARD = [*_RESPONSE, _required("reward", pa.float64()), pa.field("gold_reward", pa.float64())]
_PAIR = [
    *_PROMPT,
    _required("chosen", pa.string()),
    _required("rejected", pa.string()),
    pa.field("chosen_reward", pa.float64()),
    pa.field("rejected_reward", pa.float64()),
    pa.field("chosen_finish_reason", pa.string()),
    pa.field("rejected_finish_reason", pa.string()),
    pa.field("chosen_tokens", _IDS),  # null where the text did not come from a sampler
    pa.field("rejected_tokens", _IDS),
]
_MEASURES = [  # of a bandit's policy; all null where the run is not finite any more
    # with a standard error where there is no closed form
    *("reward", "reward_se", "entropy", "entropy_se", "kl", "kl_se", "reverse_kl", "reverse_kl_se"),
    *("loss", "gradient_norm"),
    *("chosen_logratio", "rejected_logratio", "margin", "gradient_product", "gradient_cosine"),
]
_SETTING = [_required("learning_rate", pa.float64()), pa.field("beta", pa.float64())]
SCHEMAS = {
    "sft": pa.schema([*_PROMPT, _required("response", pa.string())]),
    "prompts": pa.schema(_PROMPT),
    "eval_prompts": pa.schema([*_PROMPT, pa.field("response", pa.string())]),
    "responses": pa.schema(_RESPONSE),
    "rewards": pa.schema(_REWARD),
    "pairs": pa.schema(_PAIR),
    "reference_logps": pa.schema(
        [*_PAIR, _required("ref_chosen_logps", pa.float64()), _required("ref_rejected_logps", pa.float64())]
    ),
    "evaluation": pa.schema(
        [
            *_REWARD,
            _required("logps", pa.float64()),
            _required("ref_logps", pa.float64()),
            _required("kl", pa.float64()),
            _required("entropy", pa.float64()),
            pa.field("win", pa.float64()),
            pa.field("gold_win", pa.float64()),
        ]
    ),
    "judgements": pa.schema(
        [
            _required("prompt_id", pa.string()),
            _required("sample_id", pa.int32()),
            _required("prompt", pa.string()),
            _required("response", pa.string()),
            _required("baseline_response", pa.string()),
            pa.field("verdict", pa.string()),  # a place of preference.verdicts, the response standing first
            pa.field("swapped_verdict", pa.string()),  # the same, the response standing second; null: it named none
            _required("reply", pa.string()),  # of the judge, which the verdict was read from
            _required("swapped_reply", pa.string()),
            _required("preference", pa.float64()),  # 1 win, 0.5 tie, 0 loss
        ]
    ),
    "history": pa.schema(
        [
            _required("seed", pa.int32()),
            _required("step", pa.int32()),
            _required("round", pa.int32()),
            _required("queries", pa.int64()),  # of the reward, so far
            *_SETTING,
            _required("diverged", pa.bool_()),
            *(pa.field(name, pa.float64()) for name in _MEASURES),
        ]
    ),
    "tuning": pa.schema(
        [
            *_SETTING,
            _required("seed", pa.int32()),
            pa.field("reward", pa.float64()),
            _required("diverged", pa.bool_()),
            _required("chosen", pa.bool_()),
        ]
    ),
}


def prompt_id(prompt: str) -> str:
    """The name of a prompt: 16 hex digits of its text's SHA-256, so equal prompts meet whatever file they come from."""
    return hashlib.sha256(prompt.encode()).hexdigest()[:16]


def write(path: Path | str, kind: str, rows: list[dict], made_by: dict) -> None:
    """Write rows as a table of a kind, atomically; every key of a row must be a column of that kind.

    Raises:
        AssertionError: a row does not fit the schema, or a number is NaN or infinite. Nothing is written then.
    """
    schema = SCHEMAS[kind]
    for row in rows:
        unknown = row.keys() - set(schema.names)
        assert not unknown, f"{path}: a table of {kind} has no columns {unknown}"
    table = pa.Table.from_pylist(rows, schema=schema)
    _check_values(table, path)
    made_by = json.dumps({"kind": kind, **made_by, "path": str(path)}, sort_keys=True)
    table = table.replace_schema_metadata({"prefdag": made_by, "prefdag.seal": artifacts.UNSEALED})
    with artifacts.atomic(path) as temporary:
        with temporary.open("wb") as file:  # by its name, `x:/y` would be an address
            pq.write_table(table, file, write_page_checksum=True)  # which column is damaged can be told then
        artifacts.seal(temporary)


def read(path: Path | str, kind: str, may_be_empty: bool = False) -> list[dict]:
    """Read a table of a kind, or of one that has all its columns, as rows in file order.

    Raises:
        InputError: the file is missing, damaged, made for another path, of another kind, or empty where it must
            not be; the line names it.
    """
    artifacts.check(path)
    table = _open(path)
    artifacts.check_place(path, _made_by(table))
    for field in SCHEMAS[kind]:
        if field.name not in table.schema.names:
            raise InputError(f"{path}: has no column '{field.name}', so it is not a table of {kind}")
        found = table.schema.field(field.name).type
        if found != field.type:
            raise InputError(f"{path}: column '{field.name}' is {found}, not {field.type}")
    if table.num_rows == 0 and not may_be_empty:
        raise InputError(f"{path}: has no rows")
    try:
        _check_values(table.select(SCHEMAS[kind].names).cast(SCHEMAS[kind]), path)
    except (AssertionError, ValueError) as error:
        raise InputError(str(error) if str(path) in str(error) else f"{path}: {error}") from None
    return table.to_pylist()


def check_disjoint(path: Path | str, rows: list[dict], eval_path: Path | str, eval_rows: list[dict]) -> None:
    """Raise an InputError where a prompt of the first table is also in the second, which is kept for evaluation."""
    shared = {row["prompt_id"] for row in rows} & {row["prompt_id"] for row in eval_rows}
    if shared:
        raise InputError(f"{path}: {len(shared)} prompts are also in {eval_path}, such as {min(shared)}")


def metadata(path: Path | str) -> dict:
    """What made an artifact of any sort: kind, path, stage, flags, code, inputs, versions, counts."""
    if Path(path).suffix != ".parquet":
        return artifacts.metadata(path)
    artifacts.check(path)
    return _made_by(_open(path))


def _made_by(table: pa.Table) -> dict:
    return json.loads((table.schema.metadata or {}).get(b"prefdag", b"{}"))


def _open(path: Path | str) -> pa.Table:
    try:
        with Path(path).open("rb") as file:
            return pq.ParquetFile(file).read()  # `read_table` imports what reads folders: 0.2 s of each stage
    except (pa.ArrowException, OSError, ValueError) as error:
        raise artifacts.damaged(path, f"is not Parquet ({str(error).splitlines()[0]})") from None


def _check_values(table: pa.Table, path: Path | str) -> None:
    for field in table.schema:
        column = table.column(field.name)
        if not field.nullable:
            assert column.null_count == 0, f"{path}: column '{field.name}' has {column.null_count} empty values"
        if pa.types.is_floating(field.type):
            for row, value in enumerate(column.to_pylist()):
                assert value is None or math.isfinite(value), f"{path}: row {row}: column '{field.name}' is {value}"
