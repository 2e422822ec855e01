"""Formats of published data: a source is loaded, its format is recognised by its columns, its rows are converted.

A converted row has (prompt, response) or (prompt, chosen, rejected, chosen_reward, rejected_reward), with the prompt as
the bare text that a person wrote; templates are applied later, in one place (see tokens). A conversation of several
turns becomes one prompt, the transcript "Human: ...\\n\\nAssistant: ...\\n\\nHuman: ...".
"""

import codecs
import json
import math
import os
import re
from pathlib import Path
from urllib.parse import quote

from preference import artifacts
from preference.stage import InputError

KINDS = (".parquet", ".json", ".jsonl")
PICKLES = (".pkl", ".pickle", ".pt", ".bin", ".joblib")
PICKLE = "is a pickle, which can run code as it is read; write Parquet or JSON lines instead"
NAME = r"\w[\w.-]*"
HUB = re.compile(rf"(?P<path>{NAME}/{NAME})(@(?P<config>{NAME}))?(:(?P<split>{NAME}(\[[\d:%-]+\])?))?", re.ASCII)
EOS, USER, ASSISTANT = "<|endoftext|>", "<|prompter|>", "<|assistant|>"  # of the relabelled sets
SPEAKERS = {"system": "System", "user": "Human", "assistant": "Assistant"}
HUMAN_TURN, ASSISTANT_TURN = "\n\nHuman:", "\n\nAssistant:"


def is_local(source: str) -> bool:
    """Whether a source is spelt as a path (`./x`, `/x`, `x.parquet`) and not as a hub id; the workflow's own rule."""
    return source.startswith((".", "/")) or Path(source.split(":")[0]).suffix in KINDS


def parse_hub(source: str) -> dict[str, str | None]:
    """Read `owner/name[@config][:split]`; a split may be a slice, as `train[:90%]`.

    Raises:
        InputError: the source is spelt otherwise.
    """
    match = HUB.fullmatch(source)
    if match is None:
        raise InputError(
            f"{source}: neither a path (./folder, x.parquet, x.jsonl) nor a hub id owner/name@config:split"
        )
    return match.groupdict()


def check(source: str) -> None:
    """Refuse what can be refused without reading: a path that leads to no data files, a source that is spelt wrong.

    Raises:
        InputError: the line names the source.
    """
    if is_local(source):
        _files(source)
    elif Path(source).suffix in PICKLES:
        raise InputError(f"{source}: {PICKLE}")
    else:
        parse_hub(source)


def load(source: str) -> tuple[dict[str, str], list[dict]]:
    """Load a hub data set, a file or a folder of files: its columns with the kind of their values, and its rows.

    A kind is `text`, `messages` (a list of mappings), or the name of another Python type; `null` where all is empty.

    Raises:
        InputError: there is no such data, it cannot be read, or it is empty; the line names the source.
    """
    check(source)
    rows = _load_local(source) if is_local(source) else _load_hub(source)
    if not rows:
        raise InputError(f"{source}: has no rows")
    return {name: _kind(rows, name) for name in rows[0]}, rows


def _kind(rows: list[dict], column: str) -> str:
    value = next((row[column] for row in rows if row[column] is not None), None)
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return "messages"
    return {"str": "text", "NoneType": "null"}.get(type(value).__name__, type(value).__name__)


def _load_local(source: str) -> list[dict]:
    rows = [row for file in _files(source) for row in READERS[file.suffix](file)]
    columns = dict.fromkeys(name for row in rows for name in row)
    return [{name: row.get(name) for name in columns} for row in rows] if columns else []


def _read_parquet(file: Path) -> list[dict]:
    import pyarrow.parquet

    try:
        with file.open("rb") as content:  # by its name, `x:/y` would be an address
            table = pyarrow.parquet.ParquetFile(content).read()
        names, rows = table.schema.names, table.to_pylist()
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        raise InputError(f"{file}: cannot be read: {_reason(error)}") from None
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"{file}: the column '{twice[0]}' comes twice")
    return rows


def _read_lines(file: Path) -> list[dict]:
    """JSON lines; a blank line is no row."""
    lines = enumerate(_content(file).splitlines(), 1)
    rows = {number: _parsed(file, line, number) for number, line in lines if line.strip()}
    for number, row in rows.items():
        if not isinstance(row, dict):
            raise InputError(f"{file}: line {number}: is no mapping of columns to values")
    return list(rows.values())


def _read_list(file: Path) -> list[dict]:
    """A list of rows, or JSON lines under another name."""
    content = _content(file)
    if content.lstrip().startswith(b"{"):
        return _read_lines(file)
    rows = _parsed(file, content, 1) if content.strip() else []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{file}: is no list of mappings of columns to values")
    return rows


def _content(file: Path) -> bytes:
    return file.read_bytes().removeprefix(codecs.BOM_UTF8)


def _parsed(file: Path, content: bytes, line: int):
    """The value of a JSON text that begins in a line of a file. The readers of Arrow are no help here: they count the
    rows of a block, and a text that is nested without end makes them crash."""
    try:
        return json.loads(content.decode("utf-8"))
    except UnicodeDecodeError:
        reason = f"line {line}: is not UTF-8 text"
    except json.JSONDecodeError as error:
        reason = f"line {line + error.lineno - 1}: is not JSON at character {error.colno}: {error.msg}"
    except ValueError as error:  # a whole number of thousands of digits
        reason = f"line {line}: {_reason(error)}"
    except RecursionError:
        reason = f"line {line}: is nested too deeply"
    raise InputError(f"{file}: {reason}")


READERS = {".parquet": _read_parquet, ".json": _read_list, ".jsonl": _read_lines}


def _files(source: str) -> list[Path]:
    path = Path(source)
    try:
        there = path.exists()
    except OSError as error:  # a name that is too long, a folder that may not be looked into
        raise InputError(f"{source}: cannot be read: {error.strerror}") from None
    if not there and path.is_symlink():
        raise InputError(f"{source}: no such file or folder, it is a link to {os.readlink(path)}")
    if not there:
        raise InputError(f"{source}: no such file or folder")
    if not path.is_file() and not path.is_dir():  # reading a pipe would wait for ever
        raise InputError(f"{source}: is neither a file nor a folder")
    if path.is_file() and path.suffix in PICKLES:
        raise InputError(f"{source}: {PICKLE}")
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    files = [file for file in files if file.suffix in KINDS and not file.name.startswith(".")]
    suffixes = sorted({file.suffix for file in files})
    if len(suffixes) != 1:
        found = f"holds both {' and '.join(suffixes)}" if suffixes else "is or holds no .parquet, .json or .jsonl file"
        raise InputError(f"{source}: {found}")
    return files


def kept(source: str, hub: Path | str) -> Path:
    """The file in the hub's folder ($HF_HOME) that holds the rows of a data set once they were fetched."""
    return Path(hub) / "prefdag" / f"{quote(source, safe='')}.parquet"


def fetch(source: str) -> int:
    """Keep the rows of a hub data set where `load` finds them without a network; how many there are. The hub's own
    cache does not do for data sets that are programs.

    Raises:
        InputError: there is no such data, or it cannot be read; the line names the source.
    """
    from huggingface_hub import constants

    data = _of_hub(source)
    with artifacts.atomic(kept(source, constants.HF_HOME)) as temporary:
        data.to_parquet(temporary)
    return len(data)


def _load_hub(source: str) -> list[dict]:
    from huggingface_hub import constants

    here = kept(source, constants.HF_HOME)
    return _read_parquet(here) if constants.HF_HUB_OFFLINE and here.is_file() else _of_hub(source).to_list()


def _of_hub(source: str):
    hub = parse_hub(source)
    try:
        data = _from_hub(**hub)
    except Exception as error:  # the hub's client, its transport and the readers have no exception in common
        hint = f"; for the folder write ./{source}" if Path(source).exists() else ""
        raise InputError(f"{source}: cannot be loaded from the hub: {_reason(error)}{hint}") from None
    if hub["split"]:
        return data
    if len(data) > 1:
        raise InputError(f"{source}: has the splits {', '.join(data)}; name one, as {source}:{next(iter(data))}")
    return next(iter(data.values()))


def _from_hub(path: str, config: str | None, split: str | None):
    datasets = _datasets()
    try:
        return datasets.load_dataset(path, config, split=split)
    except RuntimeError as error:
        if "scripts are no longer supported" not in str(error) or split is None:
            raise
        # The hub keeps a Parquet copy of data sets that are programs, such as AlpacaFarm; no program is run here.
        name = split.split("[")[0]
        files = f"hf://datasets/{path}@refs%2Fconvert%2Fparquet/{config or 'default'}/{name}/*.parquet"
        return datasets.load_dataset("parquet", data_files={name: files}, split=split)


def _datasets():
    import datasets  # heavy, and not needed for the built-in data

    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # what is wrong is said in one line, by us
    return datasets


def _reason(error: Exception) -> str:
    cause = error.__cause__ or error
    return (str(cause).splitlines() or [type(cause).__name__])[0]


def recognise(columns: dict[str, str], source: str) -> str:
    """The name of the first format whose columns are all there with the right kind of values.

    Raises:
        InputError: it is none of them; the line names the source, its columns and the known formats.
    """
    for name, (wanted, _) in FORMATS.items():
        if all(columns.get(column) in kinds for column, kinds in wanted.items()):
            return name
    for name, (wanted, _) in FORMATS.items():
        wrong = [column for column, kinds in wanted.items() if columns.get(column) not in kinds]
        if wrong and wanted.keys() <= columns.keys():
            found, kinds = columns[wrong[0]], " or ".join(wanted[wrong[0]])
            raise InputError(f"{source}: column '{wrong[0]}' holds {found}, and format {name} has {kinds} there")
    found = ", ".join(f"{column} ({kind})" for column, kind in columns.items())
    known = "; ".join(f"{name} ({', '.join(wanted)})" for name, (wanted, _) in FORMATS.items())
    raise InputError(f"{source}: unknown format with the columns {found}; known are {known}")


def convert(rows: list[dict], format: str, source: str) -> list[dict]:
    """Convert every row; an InputError names the source, the row (from 0) and the column."""
    _, one = FORMATS[format]
    converted = []
    for number, row in enumerate(rows):
        try:
            converted.append(one(row))
        except InputError as error:
            raise InputError(f"{source}: row {number}: {error}") from None
    return converted


def from_alpaca_instructions(row: dict) -> dict:
    """AlpacaFarm's instructions: an instruction, perhaps its input, and an answer."""
    return {"prompt": _alpaca_prompt(row), "response": _text(row, "output")}


def from_alpaca_preferences(row: dict) -> dict:
    """AlpacaFarm's preferences: 1 says that output_1 won, 2 that output_2 did."""
    if row["preference"] not in (1, 2):
        raise InputError(f"column 'preference' is {row['preference']!r}, neither 1 nor 2")
    better = int(row["preference"])
    return _pair(_alpaca_prompt(row), _text(row, f"output_{better}"), _text(row, f"output_{3 - better}"))


def from_relabelled(row: dict) -> dict:
    """The paper's relabelled sets: y_w and y_l hold the rendered prompt, the answer and EOS in one text."""
    _, tag, prompt = _text(row, "prompt").partition(USER)
    if not tag:
        raise InputError(f"column 'prompt' has no {USER}")
    chosen, rejected = (_after_assistant(row, column) for column in ("y_w", "y_l"))
    return _pair(prompt.split(EOS)[0].strip(), chosen, rejected, row, ("y_w_score", "y_l_score"))


def from_ultrafeedback(row: dict) -> dict:
    """UltraFeedback-binarized: two conversations as messages, equal up to the assistant's last message."""
    prompt, chosen = _split_messages(row, "chosen")
    other_prompt, rejected = _split_messages(row, "rejected")
    if prompt != other_prompt:
        raise InputError("columns 'chosen' and 'rejected' have different prompts")
    return _pair(prompt, chosen, rejected, row, ("score_chosen", "score_rejected"))


def from_hh(row: dict) -> dict:
    """HH: two transcripts; what they share up to an Assistant turn is the prompt, and that turn is compared.

    A few rows of the published data part before their last turn; the turns after it are left out, because their
    prompts differ.
    """
    chosen, rejected = _text(row, "chosen"), _text(row, "rejected")
    for column, text in (("chosen", chosen), ("rejected", rejected)):
        if not text.startswith(HUMAN_TURN) or ASSISTANT_TURN not in text:
            raise InputError(f"column '{column}' is no transcript of a Human turn and an Assistant turn")
    prompt, turn, _ = os.path.commonprefix([chosen, rejected]).rpartition(ASSISTANT_TURN)
    if not turn:
        raise InputError("columns 'chosen' and 'rejected' have different prompts")
    start = len(prompt + turn)
    answers = (text[start:].split(HUMAN_TURN)[0].strip() for text in (chosen, rejected))
    return _pair(_bare_if_one_turn(prompt), *answers)


def from_trl(row: dict) -> dict:
    """TRL's explicit prompt, and our own pairs."""
    rewards = ("chosen_reward", "rejected_reward")
    return _pair(_text(row, "prompt"), _text(row, "chosen"), _text(row, "rejected"), row, rewards)


def from_sft(row: dict) -> dict:
    """Our own instructions."""
    return {"prompt": _text(row, "prompt"), "response": _text(row, "response")}


def from_prompts(row: dict) -> dict:
    """Prompts without answers."""
    return {"prompt": _text(row, "prompt"), "response": None}


# name: its columns with the kinds of their values, and the conversion of a row. The first that fits is taken, so what
# says more comes before what says less.
TEXT = ("text",)
FORMATS = {
    "alpaca_preferences": (
        {"instruction": TEXT, "output_1": TEXT, "output_2": TEXT, "preference": ("int", "float")},
        from_alpaca_preferences,
    ),
    "alpaca_instructions": ({"instruction": TEXT, "output": ("text", "null")}, from_alpaca_instructions),
    "relabelled": ({"prompt": TEXT, "y_w": TEXT, "y_l": TEXT}, from_relabelled),
    "ultrafeedback": ({"chosen": ("messages",), "rejected": ("messages",)}, from_ultrafeedback),
    "trl": ({"prompt": TEXT, "chosen": TEXT, "rejected": TEXT}, from_trl),
    "hh": ({"chosen": TEXT, "rejected": TEXT}, from_hh),
    "sft": ({"prompt": TEXT, "response": TEXT}, from_sft),
    "prompts": ({"prompt": TEXT}, from_prompts),
}


def _text(row: dict, column: str) -> str:
    value = row[column]
    if value is None:
        return ""  # an empty answer, in many published files
    if not isinstance(value, str):
        raise InputError(f"column '{column}' is {value!r}, not text")
    if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise InputError(f"column '{column}' holds half of a character, {value[:60]!r}")
    return value


def _pair(prompt: str, chosen: str, rejected: str, row: dict | None = None, scores: tuple = ()) -> dict:
    rewards = [_reward(row, column) for column in scores] or [None, None]
    pair = {"prompt": prompt, "chosen": chosen, "rejected": rejected}
    return pair | {"chosen_reward": rewards[0], "rejected_reward": rewards[1]}


def _reward(row: dict, column: str) -> float | None:
    value = row.get(column)
    if value is None:
        return None
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"column '{column}' is {value!r}, not a finite number")
    return float(value)


def _alpaca_prompt(row: dict) -> str:
    instruction, given = _text(row, "instruction"), _text(row, "input") if "input" in row else ""
    return f"{instruction}\n{given}" if given.strip() else instruction


def _after_assistant(row: dict, column: str) -> str:
    _, tag, answer = _text(row, column).rpartition(ASSISTANT)
    if not tag:
        raise InputError(f"column '{column}' has no {ASSISTANT}")
    return answer.split(EOS)[0].strip()


def _split_messages(row: dict, column: str) -> tuple[str, str]:
    """(prompt, answer) of a conversation: its last message is the answer."""
    messages = row[column]
    if not isinstance(messages, list) or not all(
        isinstance(m, dict) and {"role", "content"} <= m.keys() for m in messages
    ):
        raise InputError(f"column '{column}' is not a list of messages (role, content)")
    *before, last = messages or [{}]
    if not before or last["role"] != "assistant":
        raise InputError(f"column '{column}' does not end with a message of the assistant that answers another one")
    for message in before:
        if message["role"] not in SPEAKERS:
            raise InputError(f"column '{column}' has a message of {message['role']!r}, not of {', '.join(SPEAKERS)}")
    speakers = [message["role"] for message in before if message["role"] != "system"]
    if not speakers or speakers[0] != "user" or speakers[-1] != "user":
        raise InputError(f"column '{column}' does not begin with a message of the user and end with an answer to one")
    turns = [f"\n\n{SPEAKERS[message['role']]}: {_text(message, 'content')}" for message in before]
    if len(before) == 1 and before[0]["role"] == "user":
        return _text(before[0], "content"), _text(last, "content")
    return "".join(turns).removeprefix("\n\n"), _text(last, "content")


def _bare_if_one_turn(transcript: str) -> str:
    if ASSISTANT_TURN in transcript or HUMAN_TURN in transcript[len(HUMAN_TURN) :]:
        return transcript.removeprefix("\n\n")
    return transcript.removeprefix(HUMAN_TURN).strip()
