"""Work that was interrupted: what was finished is kept, what is kept is checked, and nobody works on it twice."""

import pytest

from preference import artifacts
from preference.shards import Shards
from preference.stage import InputError


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


@pytest.mark.parametrize("finished", [0, 1, 3])
def test_finished_parts_are_not_made_again(tmp_path, finished, capsys):
    with pytest.raises(KeyboardInterrupt), Shards(str(tmp_path / "x"), {"a": 1}, 3) as shards:
        shards.map("squares", list(range(10)), interrupted_after(finished))
    seen = []

    def work(part, progress):
        seen.extend(part)
        return squares(part, progress)

    with Shards(str(tmp_path / "x"), {"a": 1}, 3) as shards:
        assert shards.map("squares", list(range(10)), work) == [number**2 for number in range(10)]
        shards.remove()
    assert seen == list(range(3 * finished, 10)) and list(tmp_path.iterdir()) == []
    said = capsys.readouterr().err
    assert (f"squares: {3 * finished} of 10 responses were finished before" in said) == (finished > 0)


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


def test_other_flags_start_afresh_and_what_nobody_goes_on_with_is_removed_in_the_end(tmp_path):
    with Shards(str(tmp_path / "x"), {"beta": 1}, 2) as shards:
        shards.map("squares", [1, 2], squares)
    with Shards(str(tmp_path / "x"), {"beta": 2}, 2) as shards:
        assert shards.map("squares", [1, 2], lambda part, progress: ["made", "anew"]) == ["made", "anew"]
        shards.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_a_file_manager_left_there_does_not_matter(tmp_path):
    with Shards(str(tmp_path / "x"), {}, 2) as shards:
        (tmp_path / "x.shards" / ".DS_Store").write_text("")
        assert shards.map("squares", [1, 2], squares) == [1, 4]
        shards.remove()
    assert [path.name for path in (tmp_path / "x.shards").iterdir()] == [".DS_Store"]


def test_two_processes_never_make_one_thing_and_the_line_says_who_does(tmp_path):
    with Shards(str(tmp_path / "x"), {"a": 1}, 5):
        with pytest.raises(InputError, match=r"another process \(process \d+ on .*\) is making this"):
            Shards(str(tmp_path / "x"), {"a": 1}, 5).__enter__()
        with Shards(str(tmp_path / "x"), {"a": 2}, 5) as other:
            other.remove()
        assert len(list((tmp_path / "x.shards").iterdir())) == 1, "what another process makes stays"


def test_what_a_killed_write_left_is_removed_by_the_next_one(tmp_path):
    (tmp_path / ".x.json.1.tmp").write_text("half")
    (tmp_path / ".x.json.2.tmp").mkdir()
    artifacts.write_json(tmp_path / "x.json", {})
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]
