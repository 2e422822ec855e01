"""The store: what was made is not made again, and nothing that happens to the store can spoil or stop a stage."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from preference.files import artifacts, provenance, records
from preference.running import store
from preference.running.store import Store

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "scripts"

# It makes a folder with a manifest, a sealed file and a text from what it reads, and says in `ran` that it has.
PROGRAM = """
import dataclasses, json, os, time
from pathlib import Path
from preference.files import artifacts, provenance
from preference.running import stage
from preference.running.flags import flag

@dataclasses.dataclass
class Flags:
    data: str = flag("an input")
    labelled: tuple[str, ...] = flag("other inputs")
    output: str = flag("a folder", folder="model")
    log_output: str = flag("a text")
    facts_output: str = flag("a sealed file")
    size: int = flag("bytes of each of ten files", 10)

def main(flags):
    with open("ran", "a") as file:
        file.write("once\\n")
    read = Path(flags.data).read_text()
    labelled = tuple(each.partition("=")[2] for each in flags.labelled)
    made_by = {"stage": "program", "code": {"program.py": read}}
    inputs = {"data": flags.data, "labelled": labelled}
    made_by["inputs"] = {name: provenance._read(path) for name, path in inputs.items()}
    with artifacts.atomic(flags.output) as temporary:
        temporary.mkdir()
        for number in range(10):
            (temporary / f"{number}.bin").write_bytes(read.encode() * flags.size)
    artifacts.write_manifest(flags.output, made_by)
    artifacts.write_text(flags.log_output, read, made_by)
    artifacts.write_json(flags.facts_output, {**made_by, "read": read})

stage.run(main, Flags)
"""


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A folder with the program and what it reads, in which the commands run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(SCRIPTS))
    Path("program.py").write_text(PROGRAM)
    write("one", "text")
    return tmp_path


def write(place: str, data: str, labelled: tuple[str, ...] = ("x", "y")) -> None:
    Path(place).mkdir(exist_ok=True)
    for name, text in {"data": data, **dict.fromkeys(labelled, "other")}.items():
        Path(place, name).write_text(text)


def command(place: str = "one", stage: str = "stage", folder: str = "kept", size: int = 10, made: str = "made"):
    """The program that reads and writes in a place, started through the store."""
    reads = ["--data", f"{place}/data", "--labelled", f"a={place}/x", f"b={place}/y", "--size", str(size)]
    makes = ["--output", f"{place}/{made}/policy", "--log_output", f"{place}/{made}/log.csv"]
    makes += ["--facts_output", f"{place}/{made}/facts.json"]
    started = [sys.executable, str(ROOT / "workflow" / "run_once.py"), folder, stage, "--"]
    return [*started, sys.executable, "program.py", *reads, *makes]


def call(*arguments, **named) -> subprocess.CompletedProcess:
    return subprocess.run(command(*arguments, **named), capture_output=True, text=True)


def runs() -> int:
    return len(Path("ran").read_text().splitlines()) if Path("ran").exists() else 0


def check(place: str = "one", made: str = "made", text: str = "text") -> None:
    """What the program makes is there, whole and as made in its place."""
    folder = Path(place, made)
    artifacts.check_manifest(folder / "policy")
    assert artifacts.read_text(folder / "log.csv") == text
    for path in (folder / "policy", folder / "log.csv", folder / "facts.json"):
        made_by = records.metadata(path)
        assert made_by["path"] == str(path) and made_by["code"] == {"program.py": text}
        assert made_by["inputs"]["data"] == {"path": f"{place}/data", "sha256": provenance.digest(f"{place}/data")}
        assert [each["path"] for each in made_by["inputs"]["labelled"]] == [f"{place}/x", f"{place}/y"]


def entries(folder: str = "kept") -> list[Path]:
    return Store(folder).entries()


def test_what_was_made_is_restored_in_another_place_and_knows_its_own_inputs(work):
    assert call().returncode == 0 and runs() == 1
    check()
    write("two", "text")
    restored = call("two", made="elsewhere")
    assert restored.returncode == 0 and runs() == 1, restored.stderr
    check("two", "elsewhere")
    assert restored.stderr.split() == ["program", "restored", "from", "kept"]
    first, second = restored.stdout.splitlines()
    assert first.startswith("$ ") and first.endswith("--facts_output two/elsewhere/facts.json")
    assert second == f"restored from {entries()[0]}"
    for name in ("policy/0.bin", "policy.manifest.json", "log.csv", "facts.json"):
        assert Path("one/made", name).samefile(Path("two/elsewhere", name)), f"{name} takes room twice"


def test_what_is_restored_over_itself_leaves_nothing_beside_it(work):
    call()
    artifacts.remove(Path("one/made/policy"))  # as Snakemake removes an output that it does not trust
    before = {path.name for path in Path("one/made").iterdir()}
    assert call().returncode == 0 and runs() == 1
    assert {path.name for path in Path("one/made").iterdir()} == before | {"policy"}
    check()


def test_a_log_of_what_was_restored_says_how_to_make_it_again(work):
    call()
    Path("one/made/policy.log").write_text(call().stdout)
    assert artifacts.remake("one/made/policy").startswith(f"{sys.executable} program.py --data one/data")


CHANGES = {
    "the content of an input": lambda: write("one", "another text"),
    "a labelled input": lambda: Path("one/y").write_text("changed"),
    "which label an input has": lambda: (Path("one/x").write_text("1"), Path("one/y").write_text("2")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_input_is_another_entry(work, change):
    call()
    CHANGES[change]()
    assert call().returncode == 0 and runs() == 2 and len(entries()) == 2


def test_other_flags_or_code_are_another_entry(work):
    call()
    assert call(stage="another stage").returncode == 0 and runs() == 2


def test_an_input_that_no_flag_names_counts(work):
    named = store.Command(command()[5:])
    Path("reward.py").write_text("1")
    before = store.key("stage", named, ["reward.py"])
    Path("reward.py").write_text("2")
    assert len({before, store.key("stage", named, ["reward.py"]), store.key("stage", named)}) == 3


def test_the_place_of_an_input_does_not_count(work):
    write("two", "text")
    keys = {store.key("stage", store.Command(command(place)[5:])) for place in ("one", "two")}
    assert len(keys) == 1


def test_a_missing_input_is_the_stages_to_refuse(work):
    Path("one/data").unlink()
    failed = call()
    assert failed.returncode == 1 and "one/data" in failed.stderr and entries() == []


def test_what_is_forced_runs_and_replaces_what_was_kept(work, monkeypatch):
    call()
    monkeypatch.setenv(store.ANEW, "1")
    before = entries()[0].stat().st_ino
    assert call().returncode == 0 and runs() == 2
    assert len(entries()) == 1 and entries()[0].stat().st_ino != before
    monkeypatch.delenv(store.ANEW)
    assert call().returncode == 0 and runs() == 2
    check()


def test_what_fails_is_not_kept(work):
    Path("one/made").mkdir()
    Path("one/made/facts.json").mkdir()
    assert call().returncode == 1 and entries() == []


def a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()  # the name in results stays as it is
    path.write_bytes(content)


def as_another_entry(entry: Path) -> None:
    """Put a whole entry of other inputs into its place."""
    write("other", "other text")
    call("other")
    (other,) = set(entries()) - {entry}
    artifacts.remove(entry)
    other.rename(entry)


DAMAGES = {
    "a byte of a file": lambda entry: a_byte(entry / "0" / "3.bin"),
    "a byte of what it says": lambda entry: a_byte(entry / store.ENTRY),
    "a file is missing": lambda entry: (entry / "0" / "3.bin").unlink(),
    "what it says is missing": lambda entry: (entry / store.ENTRY).unlink(),
    "cut": lambda entry: (a_byte(entry / store.ENTRY), os.truncate(entry / store.ENTRY, 10)),
    "another entry": as_another_entry,
    "a folder with nothing in it": lambda entry: (artifacts.remove(entry), entry.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_or_foreign_entry_is_made_again(work, damage):
    call()
    (entry,) = entries()
    DAMAGES[damage](entry)
    before = runs()
    made = call(made="again")
    assert made.returncode == 0 and runs() == before + 1, made.stderr
    check(made="again")
    assert call(made="third").returncode == 0 and runs() == before + 1, "the entry is whole again"
    check(made="third")


def test_a_result_that_was_changed_in_place_does_not_come_back(work):
    call()
    with Path("one/made/policy/0.bin").open("r+b") as file:  # the entry has the same file
        file.write(b"!")
    assert call().returncode == 0 and runs() == 2
    check()


def test_two_at_once_make_one_whole_entry(work):
    for place in "abcd":
        write(place, "text")
    processes = [subprocess.Popen(command(place, size=10_000), stdout=-3, stderr=-3) for place in "abcd"]
    assert [process.wait() for process in processes] == [0] * 4
    before = runs()
    assert len(entries()) == 1 and list(Path("kept", store.UNFINISHED).iterdir()) == []
    for place in "abcd":
        check(place)
    assert call("a", made="again", size=10_000).returncode == 0 and runs() == before
    check("a", "again")


def test_a_kill_at_any_moment_leaves_only_whole_entries_and_the_next_call_ends_well(work):
    start = time.monotonic()
    call(size=100_000)
    whole = time.monotonic() - start
    draws, killed = random.Random(0), 0
    for number in range(20):
        write("one", f"text {number}")
        for _ in range(2):  # while it is made and kept, and while it is restored or made again
            process = subprocess.Popen(command(size=100_000), stdout=-3, stderr=-3)
            time.sleep(draws.uniform(0.3, 1.1) * whole)
            process.kill()
            killed += process.wait() != 0
        assert call(size=100_000).returncode == 0
        check(text=f"text {number}")
        for entry in entries():
            found = Store("kept").read(entry.name)
            Store("kept")._check(entry.name, [store.Output(**each) for each in found["outputs"]])
    assert killed > 5


def test_what_is_removed_while_it_is_read_is_made_again(work, monkeypatch):
    call()
    kept, (entry,) = Store("kept"), entries()
    named = store.Command(command(made="again")[5:])
    monkeypatch.setattr(kept, "_check", lambda key, outputs: kept.remove(key))
    assert not kept.restore(entry.name, named)
    assert not kept.restore(entry.name, named), "it is gone"


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="needs a second file system")
def test_a_store_on_another_file_system_holds_copies(work, tmp_path_factory):
    folder = Path("/dev/shm") / f"prefdag-{os.getpid()}"
    assert os.stat("/dev/shm").st_dev != os.stat(".").st_dev
    try:
        assert call(folder=str(folder)).returncode == 0
        assert call(folder=str(folder), made="again").returncode == 0 and runs() == 1
        check(made="again")
    finally:
        artifacts.remove(folder)


def test_a_full_disk_stops_no_stage(work):
    """In a mount that nobody else sees."""
    typed = " ".join(command(folder="small", size=100_000))
    script = f"mkdir small; mount -t tmpfs -o size=100k none small; {typed}; echo rc=$?; find small/*/* -type f"
    own = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--user", "--map-root-user"]
    done = subprocess.run([*own, "bash", "-c", script], capture_output=True, text=True)
    assert "rc=0" in done.stdout and "the store cannot keep it" in done.stderr, done.stdout + done.stderr
    assert "No space left on device" in done.stderr and done.stdout.rstrip().endswith("rc=0"), done.stdout
    check()


def test_what_is_no_store_says_why(work):
    Path("file").write_text("")
    assert Store("file").problem() == "is a file, where the store must be a folder"
    assert Store("one").problem() == "is no store: it holds other files"
    assert Store("nowhere").problem() is None
    call()
    assert Store("kept").problem() is None
    for text, why in (("2", "is of a newer version, 2; this one reads up to 1"), ("x", "its file version is damaged")):
        Path("kept/version").write_text(text)
        assert Store("kept").problem() == why


def test_names_of_outputs():
    typed = ["python", "a.py", "--output", "x/policy", "--log_output", "x/a.b.csv"]
    named = store.Command(typed)
    found = {path: store.name_of(Path(path), named) for path in ("x/policy", "x/policy.manifest.json", "x/a.b.png")}
    assert found == {
        "x/policy": ("--output", "name", ""),
        "x/policy.manifest.json": ("--output", "name", ".manifest.json"),
        "x/a.b.png": ("--log_output", "stem", ".png"),
    }
    assert store.name_of(Path("x/policy.checkpoints/1/state.json"), named) is None
    assert store.name_of(Path("y/policy"), named) is None


def test_an_entry_can_be_opened_and_read(work):
    call()
    told = json.loads((entries()[0] / store.ENTRY).read_text())
    assert told["script"] == "program.py" and told["reads"] == ["one/data", "one/x", "one/y"]
