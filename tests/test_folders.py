"""The folders that a run writes to."""

import pytest

from workflow import folders


@pytest.mark.parametrize("link", ["results", "results/miniature"])
def test_a_link_to_nothing_where_results_go_is_named(tmp_path, monkeypatch, link):
    monkeypatch.chdir(tmp_path)
    (tmp_path / link).parent.mkdir(exist_ok=True)
    (tmp_path / link).symlink_to(tmp_path / "disk")
    wrong = f"{link}: is a link to {tmp_path / 'disk'}, which does not exist; make that folder"
    assert folders.no_folder("results/miniature") == wrong
    (tmp_path / "disk").mkdir()
    assert folders.no_folder("results/miniature") is None
