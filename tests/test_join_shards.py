"""However many jobs share a stage, the table is the one that a single job writes, to the last byte."""

import json

import pyarrow.parquet as pq
import pytest
from sampling import prompts

import generate_responses
import join_shards
import score_responses
from preference.files import records
from preference.running.shards import Shards, share
from preference.running.stage import InputError


@pytest.fixture
def folder(tmp_path):
    records.write(tmp_path / "prompts.parquet", "prompts", prompts(9), {"stage": "test"})
    return tmp_path


def generate(folder, policy, output, shard=None, **changed) -> str:
    path = str(folder / output)
    chosen = {"samples_per_prompt": 2, "temperature": 1.0, "top_p": 1.0, "max_new_tokens": 12, "seed": 3}
    chosen |= {"batch_size": 4, "shard_size": 4, "engine": "transformers", "round": 1, **changed}
    flags = generate_responses.Flags(
        policy=policy, prompts=str(folder / "prompts.parquet"), output=path, shard=shard, **chosen
    )
    generate_responses.main(flags)
    return path


def shards_of(folder, policy, count, **changed) -> list[str]:
    names = [f"{number}-of-{count}" for number in range(1, count + 1)]
    return [generate(folder, policy, f"responses/{name}.parquet", name, **changed) for name in names]


def join(folder, paths, output="responses.parquet"):
    join_shards.main(join_shards.Flags(shards=tuple(paths), output=str(folder / output)))
    return (folder / output).read_bytes()


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7])  # 18 responses are five parts of 4: seven jobs are too many
def test_responses_do_not_depend_on_the_number_of_jobs(folder, tiny_policy, count):
    (folder / "responses").mkdir()
    whole = generate(folder, tiny_policy, "responses.parquet")
    alone = (folder / "responses.parquet").read_bytes()
    assert join(folder, reversed(shards_of(folder, tiny_policy, count))) == alone
    assert len(records.read(whole, "responses")) == 18


@pytest.mark.parametrize("count", [2, 7])
def test_rewards_do_not_depend_on_the_number_of_jobs(folder, tiny_policy, count):
    responses = generate(folder, tiny_policy, "responses.parquet")

    def score(output, shard=None):
        chosen = {"responses": (responses,), "gold_reward": ("min_length",), "shard_size": 4, "shard": shard}
        score_responses.main(score_responses.Flags(output=str(folder / output), **chosen))
        return str(folder / output)

    score("rewards.parquet")
    alone = (folder / "rewards.parquet").read_bytes()
    paths = [score(f"{number}.parquet", f"{number}-of-{count}") for number in range(1, count + 1)]
    assert join(folder, paths, "rewards.parquet") == alone


def test_a_job_takes_whole_parts_and_every_part_is_somebodys(tmp_path):
    for total in (0, 1, 10, 11):
        taken = []
        for number in (1, 2, 3):
            with Shards(f"{tmp_path}/x{number}", {}, 4, f"{number}-of-3") as shards:
                own = shards.own(list(range(total)))
            assert not own or own[0] % 4 == 0
            taken += own
        assert taken == list(range(total))


@pytest.mark.parametrize("shard", ["0-of-2", "3-of-2", "1of2", "1-of-0", "", "-1-of-2", "1-of-2\n"])
def test_a_share_that_is_none_is_refused(shard):
    with pytest.raises(InputError, match="2-of-4"):
        share(shard)


def test_shards_that_lack_one_have_one_twice_or_are_of_other_work_are_refused(folder, tiny_policy):
    (folder / "responses").mkdir()
    first, second, third = shards_of(folder, tiny_policy, 3)
    for paths in ((first, second), (first, third)):
        with pytest.raises(InputError, match="2 shards of 3"):
            join(folder, paths)
    other = generate(folder, tiny_policy, "other.parquet", "2-of-3", temperature=0.5)
    with pytest.raises(InputError, match=r"other\.parquet: is not of the same work as .* differ in flags"):
        join(folder, (first, other, third))
    whole = generate(folder, tiny_policy, "whole.parquet")
    with pytest.raises(InputError, match=r"whole\.parquet: is no shard"):
        join(folder, (first, second, whole))
    again = generate(folder, tiny_policy, "again.parquet", "1-of-3")
    with pytest.raises(InputError, match="twice"):
        join(folder, (first, again, second, third))
    assert not (folder / "responses.parquet").exists()


def test_rows_that_are_missing_or_twice_are_seen_whatever_the_shards_say(folder, tiny_policy):
    (folder / "responses").mkdir()
    paths = shards_of(folder, tiny_policy, 2)
    rows, facts = records.read(paths[1], "responses"), records.metadata(paths[1])
    for changed, said in (
        (rows[:-1], "17 rows together, not 18"),
        (rows + records.read(paths[0], "responses")[:1], "two shards"),
    ):
        records.write(paths[1], "responses", changed, {**facts, "rows_out": len(changed)})
        with pytest.raises(InputError, match=said):
            join(folder, paths)


def test_a_table_says_nothing_of_the_jobs_that_made_it(folder, tiny_policy):
    (folder / "responses").mkdir()
    join(folder, shards_of(folder, tiny_policy, 2))
    facts = json.loads(pq.read_schema(folder / "responses.parquet").metadata[b"prefdag"])
    assert facts["stage"] == "generate_responses" and facts["rows_out"] == 18 and "shard" not in facts["flags"]
