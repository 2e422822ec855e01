"""Artifacts on disk for the tests that look into them: a small chain of stages with true digests and fingerprints."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import save_file

from preference.files import conversations, provenance, records
from preference.files.artifacts import UNSEALED, seal, write_json
from preference.running import code

HOSTILE = "\x1b]0;pwned\x07\x1b[31m </script><script>document.title='pwned'</script> \u202e end"
TEXTS = ["short", "a longer answer", HOSTILE, "the longest answer of all of them, by far"]


CALL = {"id": "c1", "type": "function", "function": {"name": "clock", "arguments": '{"zone": "UTC"}'}}
TOOLS = [{"type": "function", "function": {"name": "clock", "parameters": {}}}]
CHAT = [  # a prompt of five messages, one of which calls a tool
    {"role": "system", "content": "Be short."},
    {"role": "user", "content": "What time is it?"},
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "content": "12:00", "tool_call_id": "c1", "name": "clock"},
    {"role": "user", "content": f"And there?\n{HOSTILE}"},
]


def rewards(changed: dict | None = None) -> list[dict]:
    """Two samples to each of two prompts, with rewards 0, 1, 2, 3 and 1, 2, 3, 4 tokens."""
    rows = []
    for i, text in enumerate(TEXTS):
        prompt = f"prompt {i // 2} \x1b[2J"
        row = {"prompt_id": records.prompt_id(prompt), "sample_id": i % 2, "prompt": prompt, "response": text}
        row |= {"response_ids": list(range(i + 2)), "finish_reason": "length" if i == 3 else "stop"}
        rows.append(
            {**row, "num_tokens": i + 1, "reward": float(i), "gold_reward": -float(i), **(changed or {}).get(i, {})}
        )
    return rows


def pairs() -> list[dict]:
    rows = rewards()
    return [
        {
            "prompt_id": low["prompt_id"],
            "prompt": low["prompt"],
            "chosen": high["response"],
            "rejected": low["response"],
            "chosen_reward": high["reward"],
            "rejected_reward": low["reward"],
            "chosen_finish_reason": high["finish_reason"],
            "rejected_finish_reason": low["finish_reason"],
            "chosen_tokens": high["response_ids"],
            "rejected_tokens": None,
        }
        for low, high in (rows[:2], rows[2:])
    ]


def made_by(stage: str, inputs: dict | None = None, **facts) -> dict:
    """Metadata as a stage writes them."""
    read = {name: {"path": str(path), "sha256": provenance.digest(path)} for name, path in (inputs or {}).items()}
    ran = code.record(f"{stage}.py")
    return {"stage": stage, "flags": {"seed": 1}, "code": ran, "inputs": read, "versions": {"numpy": "2"}, **facts}


def table(rows: list[dict], kind: str) -> pa.Table:
    """Rows as a table in memory, plain texts as the messages that they stand for."""
    stored = []
    for row in rows:
        texts = {name for name in records.MESSAGE_COLUMNS & row.keys() if isinstance(row[name], str)}
        read = {True: conversations.as_prompt, False: conversations.as_response}
        stored.append(row | {name: read[name == "prompt"](row[name]) for name in texts})
    return pa.Table.from_pylist(stored, schema=records.SCHEMAS[kind])


def write_rows(path: Path, kind: str, rows: list[dict], *given, **facts) -> Path:
    records.write(path, kind, rows, made_by(*given, **facts))
    return path


def write_older(path: Path, kind: str, rows: list[dict]) -> Path:
    """A table as the version wrote it that kept prompts and responses as plain texts, without tools and fields."""
    added = ("tools", "fields", "end_token", "given_reward")
    fields = [field for field in records.SCHEMAS[kind] if field.name not in added]
    fields = [field.with_type(pa.string()) if field.type == records.MESSAGES else field for field in fields]
    told = {"kind": kind, **made_by("construct_pairs"), "path": str(path)}
    found = pa.Table.from_pylist(rows, schema=pa.schema(fields))
    pq.write_table(found.replace_schema_metadata({"prefdag": json.dumps(told), "prefdag.seal": UNSEALED}), path)
    seal(path)
    return path


def write_model(folder: Path, weight=1.0, inputs: dict | None = None, stage: str = "train_sft") -> Path:
    """A folder with two tensors, a tokenizer of three entries and a manifest."""
    folder.mkdir(parents=True)
    tensors = {"a.weight": np.full((4, 3), weight, np.float32), "b.bias": np.zeros(5, np.float16)}
    save_file(tensors, folder / "model.safetensors")
    config = {"architectures": ["GPTNeoXForCausalLM"], "model_type": "gpt_neox", "hidden_size": 32, "dtype": "float32"}
    (folder / "config.json").write_text(json.dumps(config))
    tokenizer = {"model": {"vocab": {"a": 0, "b": 1}}, "added_tokens": [{"id": 2, "content": "<|endoftext|>"}]}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|endoftext|>", "pad_token": None}))
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    manifest = {"kind": "model", **made_by(stage, inputs), "files": provenance.contents(folder)}
    write_json(folder.with_name(folder.name + ".manifest.json"), manifest)
    return folder


def chain(folder: Path) -> dict[str, Path]:
    """data -> policy -> responses -> rewards -> pairs, and the prompts that two of them read."""
    sft = [{"prompt_id": row["prompt_id"], "prompt": row["prompt"], "response": "yes"} for row in rewards()[::2]]
    bare = [{key: row[key] for key in row if "reward" not in key} for row in rewards()]
    made = {"sft": write_rows(folder / "data" / "sft.parquet", "sft", sft, "prepare_task")}
    prompts = [{key: row[key] for key in ("prompt_id", "prompt")} for row in sft]
    made["prompts"] = write_rows(folder / "data" / "prompts.parquet", "prompts", prompts, "prepare_task")
    made["policy"] = write_model(folder / "sft" / "policy", inputs={"data": made["sft"], "prompts": made["prompts"]})
    read = {"policy": made["policy"], "prompts": made["prompts"]}
    made["responses"] = write_rows(folder / "responses.parquet", "responses", bare, "generate_responses", read)
    read = {"responses": made["responses"]}
    made["rewards"] = write_rows(folder / "rewards.parquet", "rewards", rewards(), "score_responses", read)
    read, facts = {"rewards": made["rewards"]}, {"rows_in": 4, "rows_out": 2, "dropped": {"ties": 3}}
    made["pairs"] = write_rows(folder / "pairs.parquet", "pairs", pairs(), "construct_pairs", read, **facts)
    return made
