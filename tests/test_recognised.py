"""Which formats count for the tables of a task: those that its data have, and no other."""

import shutil

import pytest

from preference.running import code, source_text
from preference.tasks import recognised


@pytest.fixture
def formats(tmp_path, monkeypatch):
    """The folder of the formats, in a copy of the scripts that may be edited."""
    folder = tmp_path / "scripts"
    shutil.copytree(source_text.SCRIPTS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(source_text, "SCRIPTS", folder)
    code.forget()
    yield folder / "preference/formats"
    code.forget()


def edit(file) -> None:
    file.write_text((file.read_text() if file.is_file() else "") + "\nassert True\n")
    code.forget()


def test_without_a_note_no_format_counts(tmp_path):
    assert recognised.counting(tmp_path) == {}


def test_only_an_edit_of_a_used_format_counts(tmp_path, formats):
    recognised.keep(tmp_path, {}, ["nectar"])
    for other in ("shp", "newer"):
        edit(formats / f"{other}.py")
        assert recognised.counting(tmp_path) == {}
    before = (formats / "nectar.py").read_text()
    edit(formats / "nectar.py")
    counted = recognised.counting(tmp_path)
    assert counted.keys() == {"nectar"} and counted["nectar"]
    (formats / "nectar.py").write_text(before)
    code.forget()
    assert recognised.counting(tmp_path) == {}, "an edit that was undone is none"


def test_tables_that_were_made_after_an_edit_stay_fresh(tmp_path, formats):
    recognised.keep(tmp_path, {}, ["nectar"])
    edit(formats / "nectar.py")
    counted = recognised.counting(tmp_path)
    recognised.keep(tmp_path, counted, ["nectar"])
    assert recognised.counting(tmp_path) == counted
    edit(formats / "nectar.py")
    assert recognised.counting(tmp_path) != counted


def test_code_that_only_a_format_uses_counts_with_it(tmp_path, formats):
    recognised.keep(tmp_path, {}, ["nectar"])
    columns = formats.parent / "tasks/columns.py"
    columns.write_text(
        columns.read_text().replace("def mappings(", "def mappings(*more, **others):\n    pass\n\n\ndef mappings(")
    )
    code.forget()
    assert recognised.counting(tmp_path).keys() == {"nectar"}


def test_a_format_that_is_gone_counts(tmp_path, formats):
    recognised.keep(tmp_path, {}, ["nectar"])
    (formats / "nectar.py").unlink()
    code.forget()
    assert recognised.counting(tmp_path).keys() == {"nectar"}


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"used": {}}', '{"used": 1, "counting": 2}'])
def test_a_damaged_note_is_none(tmp_path, damage):
    (tmp_path / recognised.NOTE).write_text(damage)
    assert recognised.counting(tmp_path) == {}
