"""Fixtures that several test files share."""

import copy as copies
import shutil

import miniature
import pytest

SENTENCES = ["count to three", "one two three", "say hi", "hi there", "name a colour", "red", "a b c d e f g"] * 3


@pytest.hookimpl(tryfirst=True)  # before marks select
def pytest_collection_modifyitems(items):
    """What reads the twins waits for two experiments, and so belongs to `make test-workflow`."""
    for item in items:
        if "twins" in item.fixturenames:
            item.add_marker("workflow")


@pytest.fixture(scope="session")
def tiny_policy(tmp_path_factory):
    """The folder of an untrained GPT-NeoX with a byte-level BPE: real files, small enough to load in a blink."""
    import torch
    from transformers import GPTNeoXForCausalLM

    import initialize_model
    from preference.models import policies

    folder = tmp_path_factory.mktemp("models") / "tiny"
    flags = initialize_model.Flags(
        data="",
        output=str(folder),
        vocab_size=300,
        hidden_size=32,
        num_layers=2,
        num_heads=2,
        context_length=128,
        seed=0,
    )
    tokenizer = initialize_model.train_tokenizer(SENTENCES, flags)
    torch.manual_seed(0)
    model = GPTNeoXForCausalLM(initialize_model.model_config(flags, tokenizer))
    policies.save(model, tokenizer, str(folder), {"stage": "test"})
    return str(folder)


@pytest.fixture(scope="session")
def twins(tmp_path_factory):
    """The finished miniature (two seeds) and a twin that made its first seed; tests read them and change copies."""
    return miniature.make_twins(tmp_path_factory.mktemp("twins"))


@pytest.fixture(scope="session")
def finished(twins):
    return twins[0]


@pytest.fixture
def copy(finished, tmp_path):
    """The finished miniature to change: a copy of it, time stamps and the engine's memory included."""
    shutil.copytree(finished.folder, tmp_path / "copy", symlinks=True)
    return miniature.Workflow(tmp_path / "copy", copies.deepcopy(finished.config))
