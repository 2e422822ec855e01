"""Fingerprints: what the code does counts, how it looks does not."""

import shutil
from pathlib import Path

import pytest

from preference.files import provenance


@pytest.fixture
def scripts(tmp_path, monkeypatch):
    folder = tmp_path / "scripts"
    shutil.copytree(provenance.SCRIPTS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(provenance, "SCRIPTS", folder)
    provenance._parse.cache_clear()
    yield folder
    provenance._parse.cache_clear()


def edited(path: Path, old: str, new: str, script: str) -> tuple[dict, dict]:
    before = provenance.fingerprint(script)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    provenance._parse.cache_clear()
    return before, provenance.fingerprint(script)


def test_it_covers_imports_of_imports_and_packages(scripts):
    found = provenance.fingerprint("train_dpo.py")
    assert {
        "train_dpo.py",
        "preference/__init__.py",
        "preference/losses/contrastive.py",
        "preference/training/fit.py",
    } <= set(found)
    assert "preference/losses/likelihood.py" not in found and "preference/training/pairs.py" not in found


def test_a_loss_counts_for_those_who_import_it_only(scripts):
    loss = scripts / "preference" / "losses" / "contrastive.py"
    before, after = edited(
        loss, "(1 - label_smoothing) * logsigmoid(logits)", "1.0 * logsigmoid(logits)", "train_dpo.py"
    )
    assert [name for name in before if before[name] != after[name]] == ["preference/losses/contrastive.py"]
    assert "preference/losses/contrastive.py" not in provenance.fingerprint("train_pref_ft.py")


def test_an_import_inside_a_function_counts(scripts):
    assert "preference/rewards/reward_models.py" in provenance.fingerprint("score_responses.py")


@pytest.mark.parametrize(
    "old, new",
    [
        ('"""Losses on pairs', '"""Other words on pairs'),
        ("import torch\n", "import torch  # a comment\n"),
        ("import torch\n", "\n\nimport torch\n"),
        ("label_smoothing: float = 0.0,\n)", "label_smoothing: float = 0.0)"),
    ],
)
def test_docstrings_comments_and_formatting_do_not_count(scripts, old, new):
    before, after = edited(scripts / "preference" / "losses" / "contrastive.py", old, new, "train_dpo.py")
    assert before == after


def test_a_folders_digest_depends_on_names_and_contents_and_not_on_hidden_files(tmp_path):
    (tmp_path / "a").write_text("1")
    first = provenance.digest(tmp_path)
    (tmp_path / ".stamp").write_text("now")
    assert provenance.digest(tmp_path) == first
    (tmp_path / "a").rename(tmp_path / "b")
    assert provenance.digest(tmp_path) != first
