"""What `sinfo` says of partitions, and what jobs may ask of them."""

import json
import re

import pytest

from workflow.cluster import slurm

SINFO = """short|4:00:00|128000|64|(null)
gpu|2-00:00:00|512000|96|gpu:a100:4(S:0-1),gpu:v100:2(S:2)
gpu|2-00:00:00|256000|32|craynetwork:4(S:0),gpu:8
long|infinite|64000|16|(null)
quick|30:00|64000|16|gpu:nvidia_a100-sxm4-80gb:4
"""


@pytest.fixture
def cluster(monkeypatch):
    monkeypatch.setattr(slurm, "partitions", lambda: slurm.parsed(SINFO))


def test_a_partition_offers_the_most_of_its_nodes():
    found = slurm.parsed(SINFO)
    assert found["short"] == slurm.Partition(240, 128_000, 64, {})
    assert found["gpu"].gres == {"gpu": 8, "gpu:a100": 4, "gpu:v100": 2, "craynetwork": 4}
    assert found["gpu"][:3] == (2880, 512_000, 96)
    assert found["long"].minutes is None and found["quick"].minutes == 30


@pytest.mark.parametrize(
    "names, minutes, memory",
    [("short", 240, 128_000), ("short,quick", 240, 128_000), ("short,long", None, 128_000), ("none", None, None)],
)
def test_a_job_of_several_partitions_may_have_the_most_of_any(cluster, names, minutes, memory):
    assert slurm.most(names, "minutes") == minutes and slurm.most(names, "memory_mb") == memory


def of(partition, gres=None):
    return [("train_dpo", {"slurm_partition": partition, "gres": gres}), ("plot_rewards", {"slurm_partition": "long"})]


def test_what_is_there_is_no_problem(cluster):
    for asked in (of("gpu", "gpu:a100:4"), of("gpu", "gpu:8"), of("short,long"), of("gpu,quick", "gpu:8")):
        offered = slurm.partitions()
        assert slurm._of_partitions(asked, offered) is None and slurm._of_gpus(asked, offered) is None


@pytest.mark.parametrize(
    "partition, gres, line",
    [
        ("gpu", "gpu:h100:1", "no node of the partition gpu has 'gpu:h100:1'"),
        ("gpu", "gpu:a100:8", "no node of the partition gpu has 'gpu:a100:8'"),
        ("short", "gpu:1", "its GRES are none"),
        ("quick", "gpu:nvidia_a100-sxm4-80gb:1", "gpu_gres: 'gpu:nvidia_a100-sxm4-80gb' is more than"),
    ],
)
def test_gpus_that_no_node_has_are_one_line(cluster, partition, gres, line):
    assert line in slurm._of_gpus(of(partition, gres), slurm.partitions())


@pytest.mark.parametrize(
    "resources, line",
    [
        ({"_cores": 65}, "train_dpo: asks for 65 CPUs, and the partition short gives 64 at most"),
        ({"mem_mb": 200_000}, "train_dpo: asks for 200000 MB, and the partition short gives 128000 at most"),
        ({"runtime": 300}, "train_dpo: asks for 300 minutes, and the partition short gives 240 at most"),
        ({"_cores": 64, "mem_mb": 128_000, "runtime": 240}, None),
    ],
)
def test_what_no_node_gives_is_one_line(cluster, resources, line):
    assert slurm._of_limits([("train_dpo", {"slurm_partition": "short", **resources})]) == line


def test_only_what_was_not_fetched_is_missed(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    fetched, hub = tmp_path / "hub.json", {"models": ["lab/a"], "data": ["lab/b:train"]}

    def missed(*rules: str) -> str | None:
        return slurm.unfetched([(rule, {}) for rule in rules], hub, str(fetched))

    model = tmp_path / "hub" / "models--lab--a" / "snapshots" / "0"
    model.mkdir(parents=True)
    (model / "config.json").touch()
    (model.parents[1] / "refs").mkdir()
    (model.parents[1] / "refs" / "main").write_text("0")
    assert re.search("lab/a comes from the hub; .* fetch \\(it is not in", missed("train_sft", "plot_rewards"))
    fetched.write_text(json.dumps({"models": {"lab/a": "0"}, "data": {}}))
    assert "lab/b:train comes from the hub" in missed("train_sft")
    (tmp_path / "prefdag").mkdir()
    (tmp_path / "prefdag" / "lab%2Fb%3Atrain.parquet").touch()
    fetched.write_text(json.dumps({"models": {"lab/a": "0"}, "data": {"lab/b:train": 3}}))
    assert missed("train_sft") is None
    (model / "config.json").unlink()
    (model / "config.json").symlink_to(tmp_path / "blob")  # as in a scratch that was cleared of old files
    assert "lab/a comes from the hub" in missed("train_sft") and "--forcerun fetch_hub" in missed("train_sft")
    assert missed("plot_rewards") is None
    (model / "config.json").unlink()
    (model / "config.json").touch()
    assert missed("train_sft") is None
    hub["models"] = ["lab/a@v1"]
    assert "lab/a@v1 comes from the hub" in missed("train_sft")
