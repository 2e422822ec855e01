"""Join the tables of jobs that shared a stage: responses/1-of-2.parquet, responses/2-of-2.parquet -> responses.parquet.

The same of rewards.parquet. Shards are known by what they say of themselves, whatever their order; no sample of a
prompt may be there twice, and none may be missing. Nothing of the table says how many jobs made it: it is the one that
a single job would have written, to the last byte.
"""

from collections import Counter

from pydantic.dataclasses import dataclass

from preference.files import records
from preference.running import stage
from preference.running.flags import flag
from preference.running.shards import share
from preference.running.stage import InputError

COUNTS = ("rows_out", "finished")  # what a shard counts of its own rows
OWN = ("path", "shard", *COUNTS)


@dataclass(frozen=True, kw_only=True)
class Flags:
    shards: tuple[str, ...] = flag("the shards' tables, in any order")
    output: str = flag("the table to write: responses.parquet or rewards.parquet")


def main(flags: Flags) -> None:
    made = {path: records.metadata(path) for path in flags.shards}
    paths = in_order(made)
    kind = made[paths[0]]["kind"]
    rows = [row for path in paths for row in records.read(path, kind, may_be_empty=True)]
    made_by = of_whole(made, paths)
    check_complete(rows, made_by, flags)
    records.write(flags.output, kind, rows, made_by)
    stage.say(f"{len(paths)} shards, {len(rows)} rows")


def in_order(made: dict[str, dict]) -> list[str]:
    """The shards' paths by their numbers.

    Raises:
        InputError: a file is no shard, or one is missing, is there twice, or is of other work than the first.
    """
    places = {}
    first = next(iter(made))
    for path, facts in made.items():
        if "shard" not in facts:
            raise InputError(f"{path}: is no shard of a table")
        if differing := [
            key for key in made[first] | facts if key not in OWN and made[first].get(key) != facts.get(key)
        ]:
            raise InputError(f"{path}: is not of the same work as {first}: they differ in {', '.join(differing)}")
        places[share(facts["shard"])] = path
    wanted = [(number, max(places)[1]) for number in range(1, max(places)[1] + 1)]
    if sorted(places) != wanted or len(places) != len(made):
        raise InputError(f"{first}: {len(made)} shards of {max(places)[1]}, or one of them twice")
    return [places[each] for each in wanted]


def of_whole(made: dict[str, dict], paths: list[str]) -> dict:
    """What made the table: what made each shard, with the rows of all."""
    shared = {key: value for key, value in made[paths[0]].items() if key not in OWN}
    return shared | {key: sum(made[path][key] for path in paths) for key in COUNTS if key in made[paths[0]]}


def check_complete(rows: list[dict], made_by: dict, flags: Flags) -> None:
    """Refuse shards that lack a row: every prompt has as many samples as were asked for, every response its reward."""
    samples = Counter((row["prompt_id"], row["sample_id"]) for row in rows)
    if twice := [key for key, count in samples.items() if count > 1]:
        raise InputError(f"{flags.shards[0]}: prompt_id {twice[0][0]} has sample {twice[0][1]} in two shards")
    wanted = made_by["rows_in"]
    if "prompts" in made_by:
        wanted = made_by["prompts"] * made_by["flags"]["samples_per_prompt"]
    if len(rows) != wanted:
        raise InputError(f"{flags.shards[0]}: the shards have {len(rows)} rows together, not {wanted}")


if __name__ == "__main__":
    stage.run(main, Flags)
