"""Digests of what a stage read."""

from preference.files import provenance


def test_a_folders_digest_depends_on_names_and_contents_and_not_on_hidden_files(tmp_path):
    (tmp_path / "a").write_text("1")
    first = provenance.digest(tmp_path)
    (tmp_path / ".stamp").write_text("now")
    assert provenance.digest(tmp_path) == first
    (tmp_path / "a").rename(tmp_path / "b")
    assert provenance.digest(tmp_path) != first
