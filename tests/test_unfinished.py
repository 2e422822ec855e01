"""Work that was interrupted: what was finished is kept, what is kept is checked, and nobody works on it twice."""

import errno
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from preference.files import artifacts
from preference.running import leftovers
from preference.running.checkpoints import Checkpoints
from preference.running.shards import Shards
from preference.running.stage import InputError

SCRIPTS = Path(leftovers.__file__).parents[2]


def squares(part, progress):
    progress.update(len(part))
    return [number**2 for number in part]


def interrupted_after(parts):
    """Work that is killed when it begins another part."""
    calls = []

    def work(part, progress):
        if len(calls) == parts:
            raise KeyboardInterrupt
        calls.append(part)
        return squares(part, progress)

    return work


@pytest.mark.parametrize("finished", [0, 1, 3, 4])  # 4 is all: the end was not noticed
def test_finished_parts_are_not_made_again(tmp_path, finished, capsys):
    with pytest.raises(KeyboardInterrupt), Shards(str(tmp_path / "x"), {"a": 1}, 3) as shards:
        shards.map("squares", list(range(10)), interrupted_after(finished))
        raise KeyboardInterrupt
    seen = []

    def work(part, progress):
        seen.extend(part)
        return squares(part, progress)

    with Shards(str(tmp_path / "x"), {"a": 1}, 3) as shards:
        assert shards.map("squares", list(range(10)), work) == [number**2 for number in range(10)]
    assert seen == list(range(3 * finished, 10))
    said = capsys.readouterr().err
    assert (f"squares: {min(3 * finished, 10)} of 10 responses were finished before" in said) == (finished > 0)


def test_work_that_fails_before_anything_is_finished_leaves_nothing(tmp_path):
    with pytest.raises(InputError), Shards(str(tmp_path / "a" / "new" / "folder"), {}, 3):
        raise InputError("the prompts are too long")
    assert list(tmp_path.iterdir()) == []


def test_numbers_come_back_to_the_last_bit(tmp_path):
    numbers = [0.1 + 0.2, 1e-300, -7.3e22, 1 / 3]
    for work in (lambda part, progress: part, None):
        with Shards(str(tmp_path / "x"), {}, 2) as shards:
            assert shards.map("numbers", numbers, work) == numbers


def test_a_damaged_part_is_made_again_and_said(tmp_path, capsys):
    with Shards(str(tmp_path / "x"), {}, 2) as shards:
        shards.map("squares", [1, 2, 3, 4], squares)
    (part,) = tmp_path.glob("x.shards/*/squares.2.json")
    part.write_text(part.read_text().replace("16", "17"))
    with Shards(str(tmp_path / "x"), {}, 2) as shards:
        assert shards.map("squares", [1, 2, 3, 4], squares) == [1, 4, 9, 16]
    assert "makes a part again" in capsys.readouterr().err


def test_other_flags_start_afresh(tmp_path):
    with Shards(str(tmp_path / "x"), {"beta": 1}, 2) as shards:
        shards.map("squares", [1, 2], squares)
    with Shards(str(tmp_path / "x"), {"beta": 2}, 2) as shards:
        assert shards.map("squares", [1, 2], lambda part, progress: ["made", "anew"]) == ["made", "anew"]


def test_a_file_that_a_file_manager_left_there_does_not_matter(tmp_path):
    with Shards(str(tmp_path / "x"), {}, 2) as shards:
        (tmp_path / "x.shards" / ".DS_Store").write_text("")
        assert shards.map("squares", [1, 2], squares) == [1, 4]
    leftovers.remove([tmp_path / "x"])
    assert [path.name for path in (tmp_path / "x.shards").iterdir()] == [".DS_Store"]


def test_two_processes_never_make_one_thing_and_the_line_says_who_does(tmp_path):
    line = r"another process \(process \d+ on .*\) is making this"
    with Shards(str(tmp_path / "x"), {"a": 1}, 5), pytest.raises(InputError, match=line):
        Shards(str(tmp_path / "x"), {"a": 1}, 5).__enter__()


def test_a_file_system_without_locks_is_one_line(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", flock)
    with pytest.raises(InputError, match=r"x\.shards/\w+: this file system has no locks"):
        Shards(str(tmp_path / "x"), {"a": 1}, 5).__enter__()


PROGRAM = """
import dataclasses
from preference.running import stage
from preference.running.flags import flag

@dataclasses.dataclass
class Flags:
    policy: str = flag("an input")
    labelled: tuple[str, ...] = flag("other inputs")
    RESULT: str = flag("what is made of them, or looked at in them")
    fail: bool = flag("end as a stage does that finds its input damaged", False, form="switch")

def main(flags):
    if flags.fail:
        raise stage.InputError("damaged")

stage.run(main, Flags)
"""


def read_by_a_program(folder, result, *more) -> int:
    """A program that reads x and y/z: what it makes is called RESULT."""
    (folder / "reader.py").write_text(PROGRAM.replace("RESULT", result))
    command = [sys.executable, "reader.py", "--policy", "x", "--labelled", "a/b=y/z", "{}", f"--{result}", "r", *more]
    return subprocess.run(command, cwd=folder, env={"PYTHONPATH": str(SCRIPTS)}, capture_output=True).returncode


def test_what_was_finished_stays_until_a_later_stage_has_read_the_output(tmp_path):
    for output in ("x", "y/z", "r"):
        for made_by in ({"beta": 1}, {"beta": 2}):
            for kind in (Shards(str(tmp_path / output), made_by, 5), Checkpoints(str(tmp_path / output), made_by)):
                with kind as unfinished:
                    artifacts.write_sealed(unfinished.folder / "something.json", {})
    foreign = tmp_path / "x.checkpoints" / "of_another_program"
    foreign.mkdir()
    everything = sorted(tmp_path.rglob("*.json"))
    assert len(everything) == 12

    assert read_by_a_program(tmp_path, "output", "--fail") == 1  # it may have to be made again
    assert read_by_a_program(tmp_path, "html") == 0  # what only looks takes nothing away
    assert sorted(tmp_path.rglob("*.json")) == everything

    with Shards(str(tmp_path / "x"), {"beta": 2}, 5) as unfinished:
        assert read_by_a_program(tmp_path, "output") == 0
        assert [path for path in everything if path.exists()] == [
            path for path in everything if path.parent == unfinished.folder or path.parents[1].name.startswith("r.")
        ], "what is being made stays, and what lies beside the outputs"
    assert read_by_a_program(tmp_path, "log_output") == 0
    assert {path.name for path in tmp_path.iterdir()} == {
        "reader.py",
        "x.checkpoints",
        "y",
        "r.checkpoints",
        "r.shards",
    }
    assert [*(tmp_path / "x.checkpoints").iterdir(), *(tmp_path / "y").iterdir()] == [foreign]


def test_readers_at_once_do_not_get_in_each_others_way(tmp_path):
    for _ in range(20):
        with Shards(str(tmp_path / "x"), {}, 1) as shards:
            for part in range(50):
                (shards.folder / f"squares.{part}.json").touch()
        with ThreadPoolExecutor(4) as readers:
            list(readers.map(leftovers.remove, [[tmp_path / "x"]] * 4))
        assert list(tmp_path.iterdir()) == []


def test_what_a_killed_write_left_is_removed_by_the_next_one(tmp_path):
    (tmp_path / ".x.json.1.tmp").write_text("half")
    (tmp_path / ".x.json.2.tmp").mkdir()
    artifacts.write_json(tmp_path / "x.json", {})
    assert {path.name for path in tmp_path.iterdir()} == {"x.json", ".x.json.origin.json"}
