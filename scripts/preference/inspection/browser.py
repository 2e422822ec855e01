"""One offline page that searches, sorts and filters the rows of a table: conversations, or pairs side by side.

What a model wrote is untrusted. It enters the page as JSON in which no `<` is left, so that no text can end the
element that holds it; the page's script writes it as text, never as markup; and the page's policy allows exactly its
own script and style, by their digests, and nothing from the network.
"""

import base64
import hashlib
import json
import math
import os
from pathlib import Path

import jinja2
import numpy as np
import pyarrow as pa
from markupsafe import Markup

from preference.files import artifacts as sealed
from preference.files import records
from preference.files.turns import Turn
from preference.inspection import artifacts, columns, samples
from preference.running.stage import InputError

HERE = Path(__file__).parent
MARK = '<meta name="generator" content="prefdag inspect_artifact">'  # stands before anything of the data


def check_place(output: Path) -> None:
    """Refuse to write a page over anything but an older page, or among the files of a model folder.

    Raises:
        InputError: the line names the place and what is there.
    """
    if output.suffix != ".html":
        raise InputError(f"--html {output}: give a name that ends in .html, so that no artifact is written over")
    if os.path.lexists(output) and not _is_page(output):
        raise InputError(f"--html {output}: is there already and no page of this program's; give another name")
    for folder in output.absolute().parents:
        weights = (folder / "config.json").is_file() and any(folder.glob("*.safetensors"))
        if weights or (folder.name and sealed.manifest_of(folder).is_file()):
            raise InputError(f"--html {output}: lies in the model folder {folder}, which it would damage")


def _is_page(path: Path) -> bool:
    if not path.is_file() or sealed.manifest_of(path).is_file():
        return False
    with path.open("rb") as file:
        return MARK.encode() in file.read(4096)


def render(path: Path, kind: str) -> str:
    """The page of a table.

    Raises:
        InputError: the artifact has no rows with texts, or is damaged.
    """
    if kind not in artifacts.TABLES:
        raise InputError(f"{path}: a page can be made of a table with texts, not of {kind}")
    table, damaged = samples.load(path)
    if damaged:
        raise InputError(f"{path}: {damaged[0]}{artifacts.remake(path)}")
    texts = columns.readable(table)
    if not texts:
        raise InputError(f"{path}: has no column of conversations or texts, so there is nothing to read")
    style, script = (_source(HERE / f"browser.{suffix}") for suffix in ("css", "js"))
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(_source(HERE / "browser.html")).render(
        mark=Markup(MARK),
        title=path.name,
        policy=f"default-src 'none'; script-src {_allowed(script)}; style-src {_allowed(style)};"
        " base-uri 'none'; form-action 'none'",
        style=Markup(style),
        script=Markup(script),
        data=Markup(embedded(content(path, kind, table, texts))),
    )


def content(path: Path, kind: str, table: pa.Table, texts: list[str]) -> dict:
    """What the page's script reads: columns by name, and which of them are texts, numbers and labels."""
    measured = {name: _numbers(values) for name, values in samples.measures(table).items()}
    labels = columns.categories(table)
    read = {name: [_said(cell) for cell in columns.cells(table, name)] for name in texts}
    read |= {name: columns.strings(table.column(name)).to_pylist() for name in labels}
    read |= {name: table.column(name).to_pylist() for name in ("prompt_id", "sample_id") if name in table.schema.names}
    made_by = artifacts.made_by(path)
    return {
        "path": str(path),
        "kind": kind,
        "facts": [f"made by {made_by['stage']}" if made_by.get("stage") else "", *artifacts.flags(made_by)],
        "rows": table.num_rows,
        "columns": read | measured,
        "texts": texts,
        "optional": [name for name in texts if name in records.JSON_COLUMNS],
        "numbers": [name for name, values in measured.items() if any(value is not None for value in values)],
        "labels": [name for name in labels if table.column(name).null_count < table.num_rows],
    }


def _said(cell: list[Turn] | None) -> str | list[Turn] | None:
    """A text as it is, and of a conversation (label, text) of each turn."""
    return cell[0].text if cell and len(cell) == 1 and not cell[0].label else cell


def _numbers(values: np.ndarray) -> list[float | int | None]:
    """JSON has no NaN; whole numbers are shorter without '.0'."""
    return [None if not math.isfinite(v) else int(v) if v == int(v) else v for v in values.tolist()]


def embedded(content: dict) -> str:
    """JSON that can stand inside a script element whatever is in it: `<`, `>` and `&` only as escapes."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _allowed(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


def _source(path: Path) -> str:
    return path.read_text(encoding="utf-8")
