"""Two artifacts of one kind: which rows, metrics or tensors differ, and what differs in how they were made.

Rows meet by prompt_id and sample_id, never by their place in the file.
"""

import math
from collections import Counter
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pyarrow as pa

from preference.files import provenance
from preference.files.turns import Turn
from preference.inspection import artifacts, columns, documents, samples, terminal, weights
from preference.running.stage import InputError

KEYS = ("prompt_id", "sample_id")
CSV_KEYS = ("task", "run", "seed", "round", "step", "metric")
CHANGES: tuple[str, ...] = ("reward", "gold_reward", "chosen_reward", "rejected_reward", "margin", "num_tokens")
CHANGES += ("logps", "kl", "mean", "loss")
EXAMPLES = 3


@dataclass(frozen=True)
class Comparison:
    """Rows of two tables by key: those of one only, those that are equal, those that differ as (key, A's, B's)."""

    only_a: list[tuple]
    only_b: list[tuple]
    equal: int
    differing: list[tuple[tuple, dict, dict]]


def compare(a: list[dict], b: list[dict], keys: tuple[str, ...]) -> Comparison:
    """Join rows by key; several rows of one key first meet their equals, the rest in the order of their contents."""
    groups_a, groups_b = _grouped(a, keys), _grouped(b, keys)
    only_a, only_b, equal, differing = [], [], 0, []
    for key in dict.fromkeys([*groups_a, *groups_b]):
        left, right, same = _without_equals(groups_a.get(key, []), groups_b.get(key, []))
        equal += same
        differing += [(key, *pair) for pair in zip(left, right, strict=False)]
        only_a += [key] * (len(left) - len(right))
        only_b += [key] * (len(right) - len(left))
    return Comparison(only_a, only_b, equal, differing)


def _grouped(rows: list[dict], keys: tuple[str, ...]) -> dict[tuple, list[dict]]:
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    return groups


def _without_equals(left: list[dict], right: list[dict]) -> tuple[list[dict], list[dict], int]:
    if len(left) == len(right) == 1:
        return (left, right, 0) if differing(left[0], right[0]) else ([], [], 1)
    left, right = sorted(left, key=repr), sorted(right, key=repr)
    in_a, in_b = Counter(map(repr, left)), Counter(map(repr, right))
    same = (in_a & in_b).total()
    return _left_over(left, in_a - in_b), _left_over(right, in_b - in_a), same


def _left_over(rows: list[dict], counts: Counter) -> list[dict]:
    by_text = {repr(row): row for row in rows}
    return [by_text[text] for text in sorted(counts.elements())]


def differing(a: dict, b: dict) -> list[str]:
    """The columns in which two rows differ; a column that only one of them has differs, NaN equals NaN."""
    return [
        name for name in dict.fromkeys([*a, *b]) if not _equal(a.get(name), b.get(name)) or (name in a) != (name in b)
    ]


def _equal(a, b) -> bool:
    return a == b or (isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b))


def change(name: str, a: dict, b: dict) -> float | None:
    """How much larger a number is in B; None where it is not in both. The margin is that of a pair's rewards."""
    before, after = _value(name, a), _value(name, b)
    both = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (before, after))
    return after - before if both and math.isfinite(after - before) else None


def _value(name: str, row: dict) -> Any:
    return _margin(row) if name == "margin" and name not in row else row.get(name)


def _margin(row: dict) -> float | None:
    chosen, rejected = row.get("chosen_reward"), row.get("rejected_reward")
    return None if chosen is None or rejected is None else chosen - rejected


def portrait(a: Path, b: Path, most: int = 600) -> tuple[list[str], list[str]]:
    """How B differs from A, texts in excerpts of at most `most` characters, and what is wrong with either.

    Raises:
        InputError: they are of different kinds.
    """
    kind, other = artifacts.kind(a), artifacts.kind(b)
    if kind != other:
        raise InputError(f"{a} is {kind}, {b} is {other}: only artifacts of one kind can be compared")
    lines = [f"A {a}", f"B {b}", f"both: {kind}, {artifacts.HOLDS[kind]}", *made_differently(a, b)]
    wrong: list[str] = []
    if provenance.digest(a) == provenance.digest(b) and kind != "model":
        return [*lines, "", "their contents are equal, byte by byte"], wrong
    if kind in artifacts.TABLES:
        (rows_a, wrong_a), (rows_b, wrong_b) = (_table(path) for path in (a, b))
        keys = tuple(key for key in KEYS if all(key in rows[0] for rows in (rows_a, rows_b) if rows))
        return [*lines, *rows(rows_a, rows_b, keys, most)], wrong_a + wrong_b
    if kind in ("model", "weights"):
        found, wrong = models(a, b)
        return lines + found, wrong
    if kind in ("table", "training", "metrics"):
        rows_a, rows_b = (_metrics(path) if kind == "metrics" else _csv(path) for path in (a, b))
        keys = tuple(key for key in CSV_KEYS if rows_a and rows_b and key in rows_a[0] and key in rows_b[0])
        return [*lines, *rows(rows_a, rows_b, keys, most)], wrong
    return [*lines, "", f"their contents differ ({a.stat().st_size:,} and {b.stat().st_size:,} bytes)"], wrong


def _table(path: Path) -> tuple[list[dict], list[str]]:
    table, damaged = samples.load(path)
    if not damaged and (broken := artifacts.unsealed(path)):
        damaged = [f"{broken}: its seal does not match{artifacts.remake(path)}"]
    return _rows(table), [f"{path}: {line}" for line in damaged]


def _rows(table: pa.Table) -> list[dict]:
    """The rows, with a text or a tuple of turns in the place of a conversation, however the file spells it."""
    texts = columns.readable(table)
    read = {
        name: map(_said, columns.cells(table, name)) if name in texts else table.column(name).to_pylist()
        for name in table.schema.names
    }
    return [dict(zip(read, values, strict=True)) for values in zip(*read.values(), strict=True)]


def _said(cell: list[Turn] | None) -> str | tuple[Turn, ...] | None:
    if cell is None:
        return None
    return cell[0].text if len(cell) == 1 and not cell[0].label else tuple(cell)


def _csv(path: Path) -> list[dict]:
    return documents.read_table(path).to_dict("records")


def _metrics(path: Path) -> list[dict]:
    content = artifacts.part(documents.read_json(path), "metrics")
    return [{"metric": name, **cells} for name, cells in content.items() if isinstance(cells, dict)]


def made_differently(a: Path, b: Path) -> list[str]:
    """Where the metadata of two artifacts differ: stage, flags, code, inputs, versions, counts."""
    left, right = artifacts.made_by(a), artifacts.made_by(b)
    if not left.get("stage") or not right.get("stage"):
        says = [label for label, content in (("A", left), ("B", right)) if content.get("stage")]
        return [f"only {says[0]} says what made it" if says else "neither says what made it"]
    lines = []
    unknown = {"code"} - (left.keys() & right.keys())  # its record was not copied along
    for name in sorted((left.keys() | right.keys()) - {"inputs", "metrics", "files", "path", *unknown}):
        lines += _differences(name, left.get(name), right.get(name))
    (shas_a, paths_a), (shas_b, paths_b) = (_inputs(content) for content in (left, right))
    for name in sorted(name for name in shas_a.keys() | shas_b.keys() if shas_a.get(name) != shas_b.get(name)):
        lines.append(f"  input {name}: {paths_a.get(name, 'not read')} → {paths_b.get(name, 'not read')}")
    return ["made with the same flags, code and inputs"] if not lines else ["made differently (A → B):", *lines]


def _differences(name: str, a, b) -> list[str]:
    if isinstance(a, dict) and isinstance(b, dict):
        keys = sorted(key for key in a.keys() | b.keys() if a.get(key) != b.get(key) and not key.endswith("output"))
        if name in ("code", "older_code"):
            return [f"  code of {key}" for key in keys]
        return [f"  {name} {key}: {_shown(a.get(key))} → {_shown(b.get(key))}" for key in keys]
    return [] if a == b else [f"  {name}: {_shown(a)} → {_shown(b)}"]


def _shown(value) -> str:
    return "none" if value is None else terminal.one_line(str(value), 200)


def _inputs(content: dict) -> tuple[dict[str, list[str]], dict[str, str]]:
    shas: dict[str, list[str]] = {}
    paths: dict[str, str] = {}
    for name, path, sha256 in artifacts.inputs(content):
        shas.setdefault(name, []).append(sha256)
        paths[name] = f"{paths[name]}, {path}" if name in paths else f"{path} ({sha256[:8]})"
    return shas, paths


def rows(a: list[dict], b: list[dict], keys: tuple[str, ...], most: int) -> list[str]:
    """The comparison of two tables' rows: counts, counts per column, the largest changes, examples, and every key."""
    found = compare(a, b, keys)
    pairs = found.differing
    lines = ["", f"rows by {', '.join(keys) or 'their contents'}: {len(a):,} in A, {len(b):,} in B"]
    only = f"{len(found.only_a):,} only in A, {len(found.only_b):,} only in B"
    lines.append(f"  {found.equal:,} equal, {len(pairs):,} differing, {only}")
    columns = [differing(left, right) for _, left, right in pairs]
    counts = Counter(name for names in columns for name in names)
    if counts:
        lines += ["", *terminal.aligned([["column", "rows that differ"], *([n, f"{c:,}"] for n, c in counts.items())])]
    lines += _largest_changes(pairs, keys)
    # a text that differs says more than a number that does
    for key, left, right in sorted(pairs, key=lambda pair: not _texts_differ(*pair[1:]))[:EXAMPLES]:
        lines += ["", f"example {_key(keys, key)}", *_example(left, right, most)]
    return lines + (_every_key(found, columns, keys) if keys else [])


def _texts_differ(a: dict, b: dict) -> bool:
    names = [name for name in differing(a, b) if not name.endswith((*KEYS, *columns.CATEGORIES))]
    return any(isinstance(row.get(name), str | tuple) for name in names for row in (a, b))


def _every_key(found: Comparison, columns: list[list[str]], keys: tuple[str, ...]) -> list[str]:
    """Each row that differs or is on one side only, by name, together with those that differ in the same columns."""
    groups: dict[str, list[tuple]] = {}
    pairs = zip(found.differing, columns, strict=True)
    for (key, _, _), names in sorted(pairs, key=lambda pair: not _texts_differ(*pair[0][1:])):
        groups.setdefault(f"differing in {', '.join(names)}", []).append(key)
    groups |= {f"only in {label}": only for label, only in (("A", found.only_a), ("B", found.only_b)) if only}
    lines, nested = [], keys == KEYS
    by = "prompt_id[sample_id]" if nested else "/".join(keys)
    for what, named in groups.items():
        count = terminal.counted(len(named), "row")
        count += f" of {terminal.counted(len({key[0] for key in named}), 'prompt')}" if nested else ""
        lines += ["", *terminal.folded(count, f"{what}, by {by}:".split())]
        lines += terminal.folded("   ", _names(named) if nested else ["/".join(map(str, key)) for key in named])
    return lines


def _names(keys: list[tuple]) -> list[str]:
    """The samples of a prompt together, `1f00[0, 2]`, as words between which a line may end."""
    samples: dict = {}
    for prompt, sample in keys:
        samples.setdefault(prompt, []).append(str(sample))
    return [word for prompt, found in samples.items() for word in f"{prompt}[{', '.join(found)}]".split(" ")]


def _key(keys: tuple[str, ...], key: tuple) -> str:
    return terminal.one_line(" ".join(f"{name} {value}" for name, value in zip(keys, key, strict=True)), 200)


def _largest_changes(pairs: list[tuple[tuple, dict, dict]], keys: tuple[str, ...]) -> list[str]:
    table = [["largest change of", "A", "B", "B - A", "row"]]
    for name in CHANGES:
        changes = [(abs(d), key, a, b) for key, a, b in pairs if (d := change(name, a, b))]
        if changes:
            _, key, a, b = max(changes, key=lambda found: found[0])
            before, after = _value(name, a), _value(name, b)
            table.append([name, *map(terminal.number, (before, after, after - before)), _key(keys, key)])
    return ["", *terminal.aligned(table)] if len(table) > 1 else []


def _example(a: dict, b: dict, most: int) -> list[str]:
    lines = []
    for name in differing(a, b):
        values = a.get(name), b.get(name)
        if any(isinstance(value, tuple) for value in values):
            lines += _turns(name, _as_turns(values[0]), _as_turns(values[1]), most)
        elif any(isinstance(value, str) for value in values):
            texts = ["nothing" if value is None else str(value) for value in values]
            lines += _excerpts([f"{name} in {label}" for label in "AB"], texts, most)
        else:
            lines.append(f"  {name}: {' → '.join(map(_short, values))}")
    return lines


def _as_turns(value) -> tuple[Turn, ...]:
    return value if isinstance(value, tuple) else () if value is None else (Turn("", str(value)),)


def _turns(name: str, a: tuple[Turn, ...], b: tuple[Turn, ...], most: int) -> list[str]:
    """The first message in which two conversations differ, and how many do."""
    both = list(zip_longest(a, b))
    places = [i for i, (left, right) in enumerate(both) if left != right]
    turns = [turn or Turn("no message", "nothing") for turn in both[places[0]]]
    heads = [f"{name} in {label}, message {places[0] + 1}" for label in "AB"]
    heads = [head + (f", {turn.label}" if turn.label else "") for head, turn in zip(heads, turns, strict=True)]
    lines = _excerpts(heads, [turn.text for turn in turns], most)
    return lines + ([f"  and {terminal.counted(len(places) - 1, 'message')} more of {name}"] if places[1:] else [])


def _excerpts(heads: list[str], texts: list[str], most: int) -> list[str]:
    """Two texts from shortly before the first place where they differ."""
    start, lines = _start(texts[0], texts[1], most), []
    for head, text in zip(heads, texts, strict=True):
        where = f", from character {start + 1:,} on: they are equal before" if start else ""
        lines += [f"  {terminal.one_line(head, 200)}{where}", *terminal.quoted(text[start:], most)]
    return lines


def _start(a: str, b: str, most: int) -> int:
    """Where excerpts of two texts begin so that the first place where they differ is in them, with some of what leads
    there; 0 where it lies in the first half of `most` characters anyway."""
    same = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    return 0 if same < max(1, most // 2) else same - most // 4


def _short(value) -> str:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return terminal.number(value) if number else terminal.one_line(str(value))


def models(a: Path, b: Path) -> tuple[list[str], list[str]]:
    """Which files and tensors differ, and by how much at most."""
    (left, wrong_a), (right, wrong_b) = weights.tensors(a), weights.tensors(b)
    lines = _files(a, b) if a.is_dir() else []
    gaps = {name: weights.difference(left[name], right[name]) for name in left if name in right}
    far = {name: gap for name, gap in gaps.items() if gap != 0}
    lines += ["", f"tensors: {len(gaps) - len(far):,} equal, {len(far):,} differing"]
    for label, names in (("A", left.keys() - right.keys()), ("B", right.keys() - left.keys())):
        lines += [f"  only in {label}: {name}" for name in sorted(names)]
    words = [[name, gap] for name, gap in far.items() if isinstance(gap, str)]
    ranked = sorted(((name, gap) for name, gap in far.items() if isinstance(gap, float)), key=lambda found: -found[1])
    shown = words + [[name, f"{gap:.3g}"] for name, gap in ranked[:20]]
    if shown:
        lines += terminal.aligned([["tensor", "largest absolute difference"], *shown])
    return lines + (
        [f"  and {len(ranked) - 20:,} more that differ less"] if len(ranked) > 20 else []
    ), wrong_a + wrong_b


def _files(a: Path, b: Path) -> list[str]:
    left, right = provenance.contents(a), provenance.contents(b)
    lines = ["", f"files: {sum(left[name] == right.get(name) for name in left):,} equal"]
    for name in sorted(left.keys() | right.keys()):
        if left.get(name) != right.get(name):
            lines.append(
                f"  {name} " + ("differs" if name in left and name in right else f"only in {'AB'[name in right]}")
            )
    return lines
