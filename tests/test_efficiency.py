"""What the stages of a run took of what they asked for, from the benchmark files that Snakemake writes."""

import csv
from pathlib import Path

import pytest

from workflow.cluster import efficiency


def wrote(path: Path, rule: str, seconds, rss, cpu, **asked) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    row = {"s": seconds, "max_rss": rss, "cpu_time": cpu, "rule_name": rule, "resources": asked}
    path.write_text("\t".join(row) + "\n" + "\t".join(map(str, row.values())) + "\n")


@pytest.fixture
def results(tmp_path):
    for seed, (seconds, rss, asked) in enumerate([(60, 900, 10), (180, 1000, 10)]):
        file = tmp_path / f"seed{seed}" / "policy.benchmark.tsv"
        wrote(file, "train_dpo", seconds, rss, 2 * seconds, runtime=asked, mem_mb=3000, _cores=2, gres="gpu:1")
    wrote(tmp_path / "rewards.benchmark.tsv", "plot_rewards", 6, "NA", "NA", runtime=5, mem_mb=2000, _cores=1)
    return tmp_path


def test_a_row_says_what_was_asked_what_was_taken_and_what_to_ask(results):
    dpo, plot = efficiency.table(results)
    assert dpo == {
        **{"stage": "train_dpo", "jobs": 2, "minutes_median": 2, "minutes_max": 3, "minutes_asked": 10},
        **{"memory_mb_max": 1000, "memory_mb_asked": 3000, "cpus_used_max": 2, "cpus_asked": 2, "gres_asked": "gpu:1"},
        **{"suggested_minutes": 11, "suggested_memory_mb": 1500},
    }
    assert plot["stage"] == "plot_rewards" and plot["memory_mb_max"] == 0 and plot["suggested_memory_mb"] == 500


def test_a_job_that_needed_a_longer_attempt_is_not_told_to_ask_for_less(results):
    wrote(results / "long.benchmark.tsv", "train_dpo", 30, 900, 30, runtime=20, mem_mb=6000, _cores=2, attempt=1)
    suggested = efficiency.table(results)[0]
    assert (suggested["suggested_minutes"], suggested["suggested_memory_mb"]) == (11, 1500)
    wrote(results / "again.benchmark.tsv", "train_dpo", 30, 900, 30, runtime=20, mem_mb=6000, _cores=2, attempt=2)
    suggested = efficiency.table(results)[0]
    assert (suggested["suggested_minutes"], suggested["suggested_memory_mb"]) == (20, 6000)


def test_what_a_partition_did_not_give_was_not_asked_for(results, monkeypatch):
    monkeypatch.setattr(efficiency.slurm, "partitions", lambda: {"short": efficiency.slurm.Partition(8, 2000, 4, {})})
    for file in results.rglob("policy.benchmark.tsv"):
        file.write_text(file.read_text().replace("'runtime'", "'slurm_partition': 'short', 'runtime'"))
    dpo = efficiency.table(results)[0]
    assert dpo["minutes_asked"] == 8 and dpo["memory_mb_asked"] == 2000


def test_the_table_is_written_whole_or_not_at_all(results, tmp_path):
    path = efficiency.write(results)
    with path.open() as file:
        assert [row["stage"] for row in csv.DictReader(file)] == ["train_dpo", "plot_rewards"]
    assert [each.name for each in path.parent.iterdir()] == ["efficiency.csv"]


@pytest.mark.parametrize("text", ["", "s\tmax_rss\n", "s\tresources\nx\t{\n", "s\tmax_rss\n1\t2\n"])
def test_benchmarks_that_say_nothing_are_passed_over(tmp_path, text):
    (tmp_path / "a.benchmark.tsv").write_text(text)
    assert efficiency.write(tmp_path) is None


def test_what_was_restored_says_nothing_of_its_stage(results):
    (results / "seed1" / "policy.log").write_text(
        "$ python scripts/train_dpo.py\nrestored from results/.store/ab/abc\n"
    )
    dpo = efficiency.table(results)[0]
    assert (dpo["jobs"], dpo["minutes_max"]) == (1, 1)
    (results / "seed1" / "policy.log").write_text(
        "restored from results/.store/ab/abc\n$ python train_dpo.py\nmade\nanew\n"
    )
    assert efficiency.table(results)[0]["jobs"] == 2
