"""Files that can be trusted: every damage is found, and the line says how to make the file again."""

import math
import shlex
from pathlib import Path

import pytest

from preference.files import artifacts, conversations, records
from preference.running.stage import InputError


@pytest.fixture
def text(tmp_path):
    artifacts.write_text(tmp_path / "metrics.csv", "round,reward\n0,1\n", {"stage": "test"})
    return tmp_path / "metrics.csv"


def refused(path, line):
    with pytest.raises(InputError) as refusal:
        artifacts.read_text(path)
    assert str(path) in str(refusal.value) and line in str(refusal.value), refusal.value


def test_json_comes_back_in_the_order_that_it_was_given_and_knows_its_path(tmp_path):
    artifacts.write_json(tmp_path / "a.json", {"b": 1, "a": [0.1]})
    found = artifacts.read_json(tmp_path / "a.json")
    assert found == {"b": 1, "a": [0.1]} and list(found) == ["b", "a"]
    assert artifacts.metadata(tmp_path / "a.json") == {**found, "path": str(tmp_path / "a.json")}


def test_results_that_differ_in_paths_and_code_alone_are_equal_bytes_and_each_knows_its_own(tmp_path):
    made = {}
    for name in ("one", "two"):
        inputs = {"data": {"path": f"{name}/x", "sha256": "0"}, "parts": [{"path": f"{name}/y", "sha256": "1"}]}
        made[name] = {"stage": "a", "inputs": inputs, "code": {"a.py": name}}
        row = {"prompt_id": "p", "prompt": "a", "response": "b"}
        records.write(tmp_path / name / "sft.parquet", "sft", [row], made[name])
        artifacts.write_json(tmp_path / name / "a.json", made[name])
        artifacts.write_text(tmp_path / name / "a.csv", "x\n1\n", made[name])
    for file in ("sft.parquet", "a.json", "a.csv", "a.csv.manifest.json"):
        one, two = ((tmp_path / name / file).read_bytes() for name in ("one", "two"))
        assert one == two, file
    for name, made_by in made.items():
        for file in ("sft.parquet", "a.json", "a.csv"):
            found = records.metadata(tmp_path / name / file)
            assert {key: found[key] for key in made_by} == made_by
            assert found["path"] == str(tmp_path / name / file)


def test_a_file_whose_origin_is_lost_or_is_of_another_file_is_refused(tmp_path):
    for name in ("a", "b"):
        artifacts.write_json(tmp_path / f"{name}.json", {name: 1})
    (tmp_path / "a.json").replace(tmp_path / "b.json")
    with pytest.raises(InputError, match="is another artifact: it is not what was written as .*/b.json"):
        artifacts.read_json(tmp_path / "b.json")
    for damage in ("", "[]", "{}", '{"path": 1}'):
        (tmp_path / ".b.json.origin.json").write_text(damage)
        with pytest.raises(InputError, match=r"is another artifact: no .b.json.origin.json beside it says where"):
            artifacts.read_json(tmp_path / "b.json")


def test_a_flip_of_any_byte_of_json_is_found(tmp_path):
    path = tmp_path / "a.json"
    artifacts.write_json(path, {"text": "of some length", "number": 1.5})
    content = path.read_bytes()
    for position in range(len(content)):
        path.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        with pytest.raises(InputError, match="a.json: is damaged"):
            artifacts.read_json(path)


def test_a_text_that_holds_a_seal_of_its_own_does_not_confuse_it(tmp_path):
    path, claim = tmp_path / "responses.parquet", "prefdag-sha256:" + "a" * 64
    row = {"prompt_id": "p", "prompt": claim, "response": f'"seal": "{claim}"'}
    records.write(path, "sft", [row], {"stage": claim})
    (found,) = records.read(path, "sft")
    texts = {"prompt": conversations.user(row["prompt"]), "response": conversations.assistant(row["response"])}
    assert found == {**row, **texts, "tools": None, "fields": None}
    artifacts.write_json(tmp_path / "a.json", {"text": claim})
    assert artifacts.read_json(tmp_path / "a.json")["text"] == claim


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "a.json"
    artifacts.write_json(path, {"a": 1})
    with pytest.raises(ValueError):
        artifacts.write_json(path, {"a": math.nan})
    assert {p.name for p in tmp_path.iterdir()} == {"a.json", ".a.json.origin.json"}
    assert artifacts.read_json(path)["a"] == 1


def test_a_text_is_what_its_manifest_says_or_is_refused(text):
    assert artifacts.read_text(text) == "round,reward\n0,1\n"
    text.write_text("round,reward\n0,2\n")
    refused(text, "is damaged: metrics.csv is not what was written")
    artifacts.manifest_of(text).unlink()
    refused(text, "has no metrics.csv.manifest.json beside it")
    text.unlink()
    refused(text, "no such file")


def test_a_manifest_that_was_changed_is_refused_too(text):
    manifest = artifacts.manifest_of(text)
    manifest.write_text(manifest.read_text().replace("csv", "txt", 1))
    with pytest.raises(InputError, match="metrics.csv.manifest.json: is damaged"):
        artifacts.read_text(text)


def test_a_folder_is_its_files_no_more_and_no_less(tmp_path):
    folder = tmp_path / "policy"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_text(name)
    artifacts.write_manifest(folder, {})
    (folder / ".snakemake_timestamp").write_text("now")
    artifacts.check_manifest(folder)
    (folder / "modeling.py").write_text("print()")
    with pytest.raises(InputError, match="policy: holds modeling.py, which is not in its manifest"):
        artifacts.check_manifest(folder)
    (folder / "modeling.py").unlink()
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match="policy: lacks model.safetensors"):
        artifacts.check_manifest(folder)


@pytest.mark.parametrize("path", ["a/x.json", "./a/x.json", "b/../a/x.json"])
def test_a_path_may_be_written_in_any_way_and_read_from_anywhere(tmp_path, monkeypatch, path):
    (tmp_path / "b").mkdir()
    monkeypatch.chdir(tmp_path)
    artifacts.write_json(path, {})
    artifacts.read_json("a/x.json")
    monkeypatch.chdir(tmp_path / "b")
    artifacts.read_json("../a/x.json")
    artifacts.read_json(tmp_path / "a" / "x.json")


def test_a_whole_folder_can_be_moved_and_a_part_of_it_cannot(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    artifacts.write_json("results/one/x.json", {})
    (tmp_path / "results").rename(tmp_path / "elsewhere")
    (tmp_path / "archive").mkdir()
    (tmp_path / "elsewhere").rename(tmp_path / "archive" / "results")
    artifacts.read_json(tmp_path / "archive/results/one/x.json")
    (tmp_path / "archive/results/one").rename(tmp_path / "archive/results/two")
    with pytest.raises(InputError, match="x.json: is another artifact: it was made as results/one/x.json"):
        artifacts.read_json(tmp_path / "archive/results/two/x.json")


@pytest.mark.parametrize("link", ["results", "results/one"])
@pytest.mark.parametrize("made_as", ["results/one/x.json", "{project}/results/one/x.json", "{disk}/x.json"])
def test_results_may_be_a_link_to_another_disk(tmp_path, monkeypatch, link, made_as):
    project, disk = tmp_path / "project", tmp_path / "disk"
    (project / link).parent.mkdir(parents=True)
    inside = disk if link == "results/one" else disk / "one"
    inside.mkdir(parents=True)
    (project / link).symlink_to(disk)
    monkeypatch.chdir(project)
    artifacts.write_json(made_as.format(project=project, disk=inside), {})
    for path in ("results/one/x.json", project / "results/one/x.json", inside / "x.json"):
        artifacts.read_json(path)
    monkeypatch.chdir(tmp_path)
    artifacts.read_json("project/results/one/x.json")


@pytest.mark.parametrize("link", ["results", "results/one"])
def test_behind_a_link_the_file_of_another_run_is_refused_as_well(tmp_path, monkeypatch, link):
    project = tmp_path / "project"
    (project / link).parent.mkdir(parents=True)
    (tmp_path / "disk").mkdir()
    (project / link).symlink_to(tmp_path / "disk")
    monkeypatch.chdir(project)
    artifacts.write_json("results/one/x.json", {})
    (project / "results/two").mkdir()
    Path("results/one/x.json").rename("results/two/x.json")
    with pytest.raises(InputError, match="x.json: is another artifact: no .x.json.origin.json beside it says where"):
        artifacts.read_json("results/two/x.json")
    Path("results/one/.x.json.origin.json").rename("results/two/.x.json.origin.json")
    with pytest.raises(InputError, match="x.json: is another artifact: it was made as results/one/x.json"):
        artifacts.read_json("results/two/x.json")


def test_a_project_that_is_moved_with_its_link_keeps_its_results(tmp_path, monkeypatch):
    (tmp_path / "project").mkdir()
    (tmp_path / "disk").mkdir()
    (tmp_path / "project/results").symlink_to("../disk")
    monkeypatch.chdir(tmp_path / "project")
    artifacts.write_json("results/x.json", {})
    (tmp_path / "project").rename(tmp_path / "moved")
    monkeypatch.chdir(tmp_path / "moved")
    artifacts.read_json("results/x.json")
    artifacts.read_json(tmp_path / "moved/results/x.json")


def test_results_may_be_moved_to_another_disk_and_a_link_put_in_their_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    artifacts.write_json("results/one/x.json", {})
    Path("results").rename("disk")
    Path("results").symlink_to("disk")
    artifacts.read_json("results/one/x.json")
    artifacts.read_json(tmp_path / "results/one/x.json")


@pytest.mark.parametrize("flag", ["--output", "--samples_output"])
def test_the_error_has_the_last_command_that_wrote_the_file(tmp_path, flag):
    path = tmp_path / "a file.parquet"
    path.write_text("damaged")
    command = shlex.join(["python", "scripts/x.py", "--beta", "0.1", flag, str(path)])
    (tmp_path / "x.log").write_text(f"$ python older.py {flag} {path}\nError\n$ {command}\n")
    (tmp_path / "a.log").write_text(f"$ python reader.py --responses '{path}' --output other\n")
    (tmp_path / "b.log").write_text("$ python 'cut within a wo")
    with pytest.raises(InputError) as refusal:
        records.read(path, "sft")
    assert str(refusal.value).endswith(f"; make it again with: {command}")


@pytest.mark.parametrize("damaged", ["tables/a.parquet", "figures/a.png"])
def test_the_command_is_found_by_any_path_and_says_where_it_works(tmp_path, monkeypatch, damaged):
    output = damaged.replace(".png", ".svg")  # a figure's .png is written beside it
    run = tmp_path / "a run"
    path = run / "results" / damaged
    path.parent.mkdir(parents=True)
    path.write_text("damaged")
    command = f"python scripts/x.py --output results/{output}"
    (path.parent / "x.log").write_text(f"$ {command}\n")
    monkeypatch.chdir(run)
    assert artifacts.remake(f"results/{damaged}") == artifacts.remake(path) == command
    monkeypatch.chdir(path.parent)
    assert artifacts.remake(path.name) == artifacts.remake(path) == f"cd '{run}' && {command}"


def test_a_link_to_a_model_folder_is_replaced_and_what_it_led_to_stays(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "weights").write_text("old")
    (tmp_path / "policy").symlink_to("elsewhere")
    (tmp_path / "dangling").symlink_to("nowhere")
    for name in ("policy", "dangling"):
        with artifacts.atomic(tmp_path / name) as temporary:
            temporary.mkdir()
            (temporary / "weights").write_text("new")
        assert not (tmp_path / name).is_symlink() and (tmp_path / name / "weights").read_text() == "new"
    assert (tmp_path / "elsewhere" / "weights").read_text() == "old"


def test_a_model_folder_may_be_named_from_within(tmp_path, monkeypatch):
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "weights").write_text("w")
    artifacts.write_manifest(tmp_path / "policy", {})
    monkeypatch.chdir(tmp_path / "policy")
    artifacts.check_manifest(".")
    (tmp_path / "policy" / "weights").write_text("x")
    with pytest.raises(InputError, match=r"^\.: is damaged: weights"):
        artifacts.check_manifest(".")


def test_without_a_log_the_error_says_what_to_do(tmp_path):
    (tmp_path / "a.parquet").write_text("damaged")
    with pytest.raises(InputError, match="a.parquet: .*; delete it and run the workflow again$"):
        records.read(tmp_path / "a.parquet", "sft")
