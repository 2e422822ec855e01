"""Prepare the data of a task: sources -> sft, prompts, eval_prompts.parquet, and with preferences also preferences,
eval_preferences and answers.parquet.

A source is a file, a folder, a hub data set (owner/name@config:split), the word built_in, or JSON with a source and how
it is read; its format is recognised by its columns. A role without a source is derived from the others, training and
held-out prompts never meet, and what is dropped is counted. Without --sft there is no sft.parquet.
"""

import csv
import dataclasses
import itertools
import random
from collections import Counter
from collections.abc import Callable, Hashable
from pathlib import Path

from pydantic.dataclasses import dataclass

from preference import formats
from preference.files import artifacts, conversations, provenance, records
from preference.files.logs import BAD_ROWS
from preference.models import chat_flags, model_folders
from preference.running import stage
from preference.running.flags import flag
from preference.running.ranges import Count, NotNegative, Positive, Seed, Share
from preference.running.stage import InputError
from preference.tasks import data_files, examples, instructions, recognised, sources
from preference.tasks.sources import BUILT_IN
from preference.training.pairs import PAIRINGS

KINDS = {  # role, which is a flag and a file -> kind of table
    "sft": "sft",
    "prompts": "prompts",
    "preferences": "pairs",
    "eval_prompts": "eval_prompts",
    "eval_preferences": "pairs",
}
TRAINING, HELD_OUT = ("sft", "prompts", "preferences"), ("eval_prompts", "eval_preferences")
ANSWERS = "answers"  # the table, and its kind, of what the preferences' source says of each answer
BAD_ROWS_FILE = "bad_rows.csv"
BAD = ("drop", "refuse")
UNPAIRED = "unpaired, so in answers.parquet only"


@dataclass(frozen=True, kw_only=True)
class Flags(chat_flags.Flags):
    sft: tuple[str, ...] | None = flag(
        "sources of prompts with responses, or built_in; of pairs the chosen responses, of scored answers the best",
        None,
        config=False,
    )
    prompts: tuple[str, ...] | None = flag(
        "sources of training prompts; else those of the preferences, else those of --sft",
        None,
        config=False,
    )
    preferences: tuple[str, ...] | None = flag(
        "sources of pairs, of scored answers or of unpaired ones", None, config=False
    )
    eval_prompts: tuple[str, ...] | None = flag(
        "sources of held-out prompts; else --num_eval_prompts of the others",
        None,
        config=False,
    )
    eval_preferences: tuple[str, ...] | None = flag(
        "sources of held-out pairs; else the pairs of held-out prompts",
        None,
        config=False,
    )
    base_model: str | None = flag(
        "model folder or hub id: prompts that it sees as equal count as one; texts that differ by white space around "
        "them always do",
        None,
        config=False,
    )
    system: str | None = flag("system message of every conversation that has none", None)
    pairing: str = flag("which two of a prompt's scored answers are compared", "best_vs_worst", choices=PAIRINGS)
    min_margin: NotNegative = flag("least difference of the data's own scores of a pair", 0.0)
    bad_rows: str = flag("what to do with a row that cannot be read", "drop", choices=BAD)
    max_bad_share: Share = flag("rows of a source that may be dropped as bad", 0.05, unit="share of the rows")
    num_sft: Count | None = flag("rows of sft.parquet, at most; all where it is not given", None)
    num_prompts: Count | None = flag("rows of prompts.parquet, at most; all where it is not given", None)
    num_eval_prompts: Count | None = flag("rows of eval_prompts.parquet, at most", None)
    num_eval_preferences: Count | None = flag("rows of eval_preferences.parquet, at most", None)
    max_characters: Count | None = flag("longest prompt + response; longer rows are dropped", None, unit="characters")
    answer_words: Positive | None = flag(
        "of built_in: choose prompts whose answers have about so many words", None, unit="words"
    )
    seed: Seed = flag("seed of the order of rows and of which prompts are held out")
    output: str = flag("folder to write the tables into", folder="tables")


@dataclasses.dataclass
class Read:
    """A source as it was read."""

    source: sources.Source
    format: str
    rows_in: int
    examples: list[dict]
    bad: list[tuple[int, str]] = dataclasses.field(default_factory=list)
    unused: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Role:
    """What the sources of a role come to."""

    names: str  # of its sources, for messages
    rows: list[dict]  # those that were kept, of the role's kind
    answers: list[dict]  # of kind "answers"; of preferences only
    is_unpaired: bool  # none of its sources has pairs
    rows_in: int
    dropped: Counter
    num_answers: int = 0  # before any was dropped


def main(flags: Flags) -> None:
    check(flags)
    read = {role: [read_source(role, each, flags) for each in sources_of(role, flags)] for role in KINDS}
    read = {role: parts for role, parts in read.items() if parts}
    every = [example for parts in read.values() for part in parts for example in part.examples]
    merged = sum(examples.merge_equal(every, seen) for seen in views(flags))
    loaded = {role: settle(role, parts, flags) for role, parts in read.items()}
    if merged:
        print(f"{merged} prompts are the same to the model as another one, so each counts as that one")
    given = {role: part.rows for role, part in loaded.items()}
    check_held_out(loaded, flags)
    tables = split_built_in(given["sft"], flags) if is_built_in(flags) else split(loaded, flags)
    tables = {role: in_order(role, rows, flags) for role, rows in tables.items()}
    check_not_empty(tables, loaded)
    counted = recognised.counting(flags.output)
    write(tables, loaded, read, flags)
    recognised.keep(flags.output, counted, formats_of(read))


def formats_of(read: dict[str, list[Read]]) -> list[str]:
    """Return the formats of all sources; built-in data have none."""
    names = {part.format for parts in read.values() for part in parts}
    return sorted(names & formats.FORMATS.keys())


def check(flags: Flags) -> None:
    """Refuse what no data could mend."""
    for name in ("num_sft", "num_prompts", "num_eval_prompts", "num_eval_preferences", "max_characters"):
        value = getattr(flags, name)
        if value is not None and value < 1:
            raise InputError(f"--{name} {value}: must be at least 1")
    given = {role: [source.name for source in sources_of(role, flags)] for role in KINDS}
    made = {(Path(flags.output) / f"{table}.parquet").resolve() for table in (*KINDS, ANSWERS)}
    for role, name in ((role, name) for role, names in given.items() for name in names):
        if sources.is_local(name) and Path(name).resolve() in made:
            raise InputError(f"--output {flags.output}: would replace --{role} {name}; name another place")
    for name, reason in sources.problems({**dataclasses.asdict(flags), **given}):
        raise InputError(f"--{name}: {reason}")


def sources_of(role: str, flags: Flags) -> list[sources.Source]:
    try:
        return sources.parse_all(getattr(flags, role))
    except InputError as error:
        raise InputError(f"--{role} {error}") from None


def is_built_in(flags: Flags) -> bool:
    return [source.name for source in sources_of("sft", flags)] == [BUILT_IN]


def read_source(role: str, source: sources.Source, flags: Flags) -> Read:
    """Load, recognise and convert a source."""
    if source.name == BUILT_IN:
        return read_built_in(source, flags)
    table = formats.load(source)
    match = formats.recognise(table)
    found, bad = formats.convert(match)
    check_bad(source.name, bad, len(table.rows), flags)
    needed = [example for example in found if is_of_use(example, KINDS[role])]
    if not needed and found:
        raise InputError(f"{source.name}: {lack_of(role, match)}")
    found = [examples.named(example, flags.system) for example in found]
    return Read(source, match.name, len(table.rows), found, bad, match.unused())


def lack_of(role: str, match: formats.Match) -> str:
    """Return what a source lacks for a role, and the columns in which it may have it."""
    lack, column = f"holds no responses, so it cannot be --{role}", "response"
    if KINDS[role] == "pairs":
        lack, column = "holds no pairs of a chosen and a rejected response", "chosen"
    if unused := match.unused():
        lack += f"; format {match.name} does not use the columns {', '.join(unused)}"
        lack += f"; to use one, map it, as in columns: {{{column}: NAME}}"
    return lack


def numbers(flags: Flags) -> tuple[int, int, int]:
    """Return how many rows of SFT, prompts and held-out prompts the built-in source makes."""
    assert flags.num_sft is not None and flags.num_prompts is not None and flags.num_eval_prompts is not None
    return flags.num_sft, flags.num_prompts, flags.num_eval_prompts


def read_built_in(source: sources.Source, flags: Flags) -> Read:
    rows = instructions.generate(sum(numbers(flags)), random.Random(f"{flags.seed} {BUILT_IN}"), flags.answer_words)
    found = [
        examples.named(
            {
                "prompt": conversations.as_prompt(row["prompt"]),
                "response": conversations.as_response(row["response"]),
                "tools": None,
                "fields": None,
            },
            flags.system,
        )
        for row in rows
    ]
    return Read(source, BUILT_IN, len(found), found)


def views(flags: Flags) -> list[Callable[[dict], Hashable]]:
    """Return functions of a row; prompts of which one of them returns the same are one prompt."""
    if flags.base_model is None:
        return [conversations.stripped_key]
    from preference.models import chat  # torch: a task whose model is not there yet does without

    return [conversations.stripped_key, chat.load(flags.base_model, flags, chat.TEMPLATE).seen]


def check_bad(name: str, bad: list[tuple[int, str]], rows: int, flags: Flags) -> None:
    """Refuse a source whose bad rows are not to be dropped, or too many."""
    if not bad or (flags.bad_rows == "drop" and len(bad) <= flags.max_bad_share * rows):
        return
    number, reason = bad[0]
    share = f"{len(bad)} of {rows} rows {'is' if len(bad) == 1 else 'are'} bad"
    allowed = (
        "--bad_rows drop drops them" if flags.bad_rows == "refuse" else f"--max_bad_share is {flags.max_bad_share}"
    )
    raise InputError(f"{name}: row {number}: {reason}; {share}, and {allowed}")


def is_of_use(example: dict, kind: str) -> bool:
    """Return whether an example has what a table of a kind needs."""
    if kind == "pairs":
        return "chosen" in example or "answers" in example or "given_reward" in example
    return kind != "sft" or example.get("response", True) is not None


def settle(role: str, parts: list[Read], flags: Flags) -> Role:
    """Return the rows of a role from all its sources, and print a line for each."""
    settled = [settle_source(role, part, flags) for part in parts]
    rows, doubled = examples.clean([row for each in settled for row in each.rows], KINDS[role], 0.0, None)
    answers, _ = examples.clean([row for each in settled for row in each.answers], ANSWERS, 0.0, flags.max_characters)
    whole = Role(
        names=" ".join(each.names for each in settled),
        rows=rows,
        answers=answers,
        is_unpaired=all(each.is_unpaired for each in settled),
        rows_in=sum(each.rows_in for each in settled),
        dropped=sum((each.dropped for each in settled), doubled),
        num_answers=sum(each.num_answers for each in settled),
    )
    if not rows and not (whole.is_unpaired and answers):
        reasons = listed(whole.dropped)
        raise InputError(f"--{role} {whole.names}: none of its {whole.rows_in} rows is left; dropped: {reasons}")
    return whole


def settle_source(role: str, part: Read, flags: Flags) -> Role:
    """Return the rows that a source gives to a role, and print what became of it in one line."""
    dropped = Counter({"bad row": len(part.bad)})
    found = examples.grouped(part.examples, join_unpaired=KINDS[role] in ("prompts", "eval_prompts"))
    dropped["joined with another row of its prompt"] = len(part.examples) - len(found)
    taken = drawn(found, part.source, flags)
    dropped["left out by weight"] = len(found) - len(taken)
    made = [as_row(example, role, flags) for example in taken]
    dropped.update(reason for row, reason in made if reason)
    kept, faults = examples.clean([row for row, _ in made if row], KINDS[role], flags.min_margin, flags.max_characters)
    unpaired = KINDS[role] == "pairs" and all(example.get("unpaired") for example in taken)
    rated = kept if any("chosen" in example for example in taken) else taken
    answers = [row for each in rated for row in examples.scored(each)] if KINDS[role] == "pairs" else []
    whole = Role(part.source.name, kept, answers, unpaired, part.rows_in, +(dropped + faults), len(answers))
    print(line_of(role, part, whole))
    return whole


def drawn(found: list[dict], source: sources.Source, flags: Flags) -> list[dict]:
    """Return the share of the examples that a source's weight asks for, in their order."""
    if source.weight == 1:
        return found
    number = max(1, round(source.weight * len(found)))
    places = random.Random(f"{flags.seed} weight {source.name}").sample(range(len(found)), number)
    return [found[place] for place in sorted(places)]


def as_row(example: dict, role: str, flags: Flags) -> tuple[dict | None, str | None]:
    """Return (the row that an example gives to a table, None), or (None, why it gives none)."""
    about = {name: example[name] for name in examples.NAMED}
    if KINDS[role] == "pairs":
        if example.get("unpaired"):
            return None, UNPAIRED if examples.scored(example) else "empty response"
        return examples.pair(example, flags.pairing, flags.min_margin, flags.seed)
    response = examples.answer(example)
    if KINDS[role] == "sft" and response is None:
        return None, "no answer"
    is_empty = response is None or conversations.is_empty(response)
    return {**about, "response": None if KINDS[role] != "sft" and is_empty else response}, None


def listed(dropped: Counter) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in sorted(dropped.items())) or "none"


def line_of(role: str, part: Read, whole: Role) -> str:
    name = part.source.name
    unused = f"; unused columns: {', '.join(part.unused)}" if part.unused else ""
    kept = len(whole.rows) + whole.dropped[UNPAIRED]
    dropped = listed(Counter({key: count for key, count in whole.dropped.items() if key != UNPAIRED}))
    return f"{role}: {name}: format {part.format}, {part.rows_in} rows, {kept} kept, dropped: {dropped}{unused}"


def check_held_out(loaded: dict[str, Role], flags: Flags) -> None:
    """Refuse sources of held-out data that share prompts with a source of training data."""
    for held, role in itertools.product(HELD_OUT, TRAINING):
        if held not in loaded or role not in loaded:
            continue
        held_ids = ids(asked_of(loaded[held]))
        shared = {row["prompt_id"]: row["prompt"] for row in asked_of(loaded[role]) if row["prompt_id"] in held_ids}
        if shared:
            example = conversations.transcript(next(iter(shared.values())))[:80]
            raise InputError(
                f"--{held} {loaded[held].names}: {len(shared)} of its prompts are also in "
                f"--{role} {loaded[role].names}, such as {example!r}"
            )


def asked_of(part: Role) -> list[dict]:
    """Return the rows of a role with all its prompts; unpaired answers are rows of no other table."""
    return part.rows + part.answers


def split_built_in(rows: list[dict], flags: Flags) -> dict[str, list[dict]]:
    """Return three disjoint sets of prompts."""
    _, num_prompts, held_out = numbers(flags)
    prompts = held_out + num_prompts
    return {"sft": rows[prompts:], "prompts": rows[held_out:prompts], "eval_prompts": rows[:held_out]}


def split(loaded: dict[str, Role], flags: Flags) -> dict[str, list[dict]]:
    """Return every role's rows: derive those that no source gives, and take what is held out from the others."""
    given = {role: part.rows for role, part in loaded.items()}
    training = {role: given[role] for role in TRAINING if role in given}
    training["prompts"] = with_prompts(origin("prompts", given), loaded)
    eval_prompts = given["eval_prompts"] if "eval_prompts" in given else hold_out(loaded, flags)
    if "preferences" in given:
        training[ANSWERS] = loaded["preferences"].answers
    held_ids = ids(eval_prompts)
    tables = {role: [row for row in rows if row["prompt_id"] not in held_ids] for role, rows in training.items()}
    tables["eval_prompts"] = eval_prompts
    if "preferences" in given:
        held_pairs = [row for row in given["preferences"] if row["prompt_id"] in held_ids]
        tables["eval_preferences"] = given.get("eval_preferences", held_pairs)
    return tables


def origin(role: str, given: dict) -> str:
    """Return the role whose source a role's rows come from; held-out pairs need prompts that have pairs."""
    if role in given:
        return role
    if role == "eval_prompts" and ("preferences" not in given or "eval_preferences" in given):
        return origin("prompts", given)
    return "preferences" if "preferences" in given else "sft"


def with_prompts(role: str, loaded: dict[str, Role]) -> list[dict]:
    """Return the rows of a role that have its prompts: its own, and unpaired answers."""
    return loaded[role].rows + [row for row in loaded[role].answers if row.get("unpaired")]


def hold_out(loaded: dict[str, Role], flags: Flags) -> list[dict]:
    """Draw the held-out prompts, with the data's own answers."""
    role = origin("eval_prompts", loaded)
    prompts = {row["prompt_id"]: row for row in reversed(loaded[role].rows or loaded[role].answers)}
    assert flags.num_eval_prompts is not None
    if flags.num_eval_prompts >= len(prompts):
        raise InputError(f"--num_eval_prompts {flags.num_eval_prompts}: --{role} has only {len(prompts)} prompts")
    names = rng_for("held out", flags).sample(sorted(prompts), flags.num_eval_prompts)
    answers = own_answers(loaded)
    about = ({key: prompts[name][key] for key in examples.NAMED} for name in names)
    return [{**row, "response": answers.get(row["prompt_id"])} for row in about]


def own_answers(loaded: dict[str, Role]) -> dict[str, conversations.Messages]:
    """Return the data's first answer to each prompt; an instruction's answer rather than a preferred response."""
    answers: dict[str, conversations.Messages] = {}
    for role in TRAINING:
        for row in asked_of(loaded[role]) if role in loaded else ():
            response = row.get("response") or row.get("chosen")
            is_good = "given_reward" not in row or (row.get("unpaired") and row["given_reward"] == 1)
            if is_good and response and not conversations.is_empty(response):
                answers.setdefault(row["prompt_id"], response)
    return answers


def in_order(role: str, rows: list[dict], flags: Flags) -> list[dict]:
    """Return rows in seeded order, no prompt twice in a table of prompts, no more rows than asked for."""
    if KINDS.get(role) in ("prompts", "eval_prompts"):
        rows = list({row["prompt_id"]: row for row in reversed(rows)}.values())  # the first row of each prompt
        rows.reverse()
    limit = getattr(flags, f"num_{role}", None)
    return rng_for(role, flags).sample(rows, len(rows))[:limit]


def check_not_empty(tables: dict[str, list[dict]], loaded: dict[str, Role]) -> None:
    for role, rows in tables.items():
        if rows or (KINDS.get(role) == "pairs" and loaded["preferences"].is_unpaired):
            continue
        if loaded[origin(role, loaded)].is_unpaired:
            raise InputError(f"--{role} {loaded[role].names}: holds no pairs, and --preferences does; give pairs")
        raise InputError(f"--{role}: no row is left; every prompt that it could have is held out")


def ids(rows: list[dict]) -> set[str]:
    return {row["prompt_id"] for row in rows}


def rng_for(purpose: str, flags: Flags) -> random.Random:
    """Return a stream of its own for each purpose: more prompts do not change the order of the SFT data."""
    return random.Random(f"{flags.seed} {purpose}")


def write(tables: dict[str, list[dict]], loaded: dict[str, Role], read: dict[str, list[Read]], flags: Flags) -> None:
    """Write all tables, after the last check: a breach leaves no file behind."""
    training, held = ((*TRAINING, ANSWERS), HELD_OUT)
    trained_on, held_out = ({i for role in roles for i in ids(tables.get(role, []))} for roles in (training, held))
    assert not trained_on & held_out, f"{len(trained_on & held_out)} prompts are both trained on and held out"
    files = inputs_of(read) | chat_flags.inputs(flags) | texts_of_model(flags)
    used = [recognised.file_of(name) for name in formats_of(read)]
    made_by = provenance.describe(__file__, flags, files, used, **read_as(read))
    for role, rows in tables.items():
        kind = KINDS.get(role, role)
        columns = set(records.SCHEMAS[kind].names)
        rows = [{name: value for name, value in row.items() if name in columns} for row in rows]
        counts = counts_of(role, len(rows), loaded)
        records.write(Path(flags.output) / f"{role}.parquet", kind, rows, {**made_by, **counts})
    write_bad_rows(read, flags)
    print(f"{len(trained_on)} prompts to train on, {len(held_out)} held out, none in both")
    stage.say(", ".join(f"{len(rows)} {role}" for role, rows in tables.items()))


def inputs_of(read: dict[str, list[Read]]) -> dict:
    """Return role -> the file or folder that was read, or a tuple of them."""
    found = {}
    for role, parts in read.items():
        paths = tuple(data_files.place(part.source.name) for part in parts if sources.is_local(part.source.name))
        if paths:
            found[role] = paths if len(paths) > 1 else paths[0]
    return found


def texts_of_model(flags: Flags) -> dict:
    """Return what was read of the base model: its files without its weights."""
    if flags.base_model is None or not Path(flags.base_model).is_dir():
        return {"base_model": flags.base_model}
    return {"base_model": tuple(model_folders.files_without_weights(flags.base_model))}


def read_as(read: dict[str, list[Read]]) -> dict:
    """Return what the inputs do not say of sources that are more than one file: how each is read."""
    plain = {role: [part.source for part in parts] for role, parts in read.items()}
    said = {role: each for role, each in plain.items() if each != [sources.Source(each[0].name)]}
    return {"sources": {role: [dataclasses.asdict(one) for one in each] for role, each in said.items()}} if said else {}


def counts_of(role: str, rows_out: int, loaded: dict[str, Role]) -> dict:
    """Return what became of the rows of a table's source."""
    part = loaded["preferences" if role == ANSWERS else origin(role, loaded)]
    rows_in, dropped = (part.num_answers, {}) if role == ANSWERS else (part.rows_in, dict(part.dropped))
    if rest := rows_in - sum(dropped.values()) - rows_out:
        dropped["in another role, repeated prompt, or over the limit"] = rest
    return {"rows_in": rows_in, "rows_out": rows_out, "dropped": dropped}


def write_bad_rows(read: dict[str, list[Read]], flags: Flags) -> None:
    """Write bad_rows.csv, a row for each that could not be read; no file if all could."""
    bad = [
        (role, part.source.name, number, reason)
        for role, parts in read.items()
        for part in parts
        for number, reason in part.bad
    ]
    path = Path(flags.output) / BAD_ROWS_FILE
    if not bad:
        return artifacts.remove(path)
    with artifacts.atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([BAD_ROWS.names, *bad])
    print(f"{path}: {len(bad)} bad rows with their reasons")


if __name__ == "__main__":
    stage.run(main, Flags)
