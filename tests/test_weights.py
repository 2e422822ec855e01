"""Model folders without torch: headers, digests and differences are those of the bytes, and damage is named."""

import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from artifact_files import write_model
from safetensors.torch import save_file

from preference.inspection import weights
from preference.running.stage import InputError


def portrait(path) -> tuple[str, list[str]]:
    lines, wrong = weights.portrait(path)
    return "\n".join(lines), wrong


def test_a_model_says_what_it_is_made_of(tmp_path):
    shown, wrong = portrait(write_model(tmp_path / "policy"))
    assert not wrong and "all 5 files match the manifest's digests" in shown
    assert "17 parameters in 2 tensors: 12 in F32, 5 in F16" in shown and "4 × 3" in shown
    assert "GPTNeoXForCausalLM (gpt_neox)" in shown and "hidden_size=32" in shown
    assert "tokenizer: 3 entries, a chat template" in shown and "eos_token: <|endoftext|>" in shown


def test_a_real_policy_is_counted_as_torch_counts_it(tiny_policy):
    found, damaged = weights.tensors(Path(tiny_policy))
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_policy)
    assert not damaged and sum(tensor.count for tensor in found.values()) == model.num_parameters()


def test_files_that_are_not_those_of_the_manifest_are_named(tmp_path):
    folder = write_model(tmp_path / "policy")
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer.json").unlink()
    (folder / "extra.bin").write_bytes(b"pickle")
    shown, wrong = portrait(folder)
    assert "tokenizer.json is missing: the manifest has it" in wrong
    assert "config.json has changed since the manifest was written" in wrong
    assert "extra.bin is not in the manifest" in wrong and "extra.bin is a pickle" in shown


def header_only(content: dict, length: int | None = None, data: bytes = b"") -> bytes:
    text = json.dumps(content).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    "content, said",
    [
        (b"", "header"),
        (b"\xff" * 20, "a header of"),
        (header_only({"a": ENTRY}), "promises"),
        (header_only({"a": {**ENTRY, "shape": [3]}}, data=bytes(8)), r"a tensor \[3\] of F32 in 8 bytes"),
        (header_only({"a": {**ENTRY, "data_offsets": [8, 0]}}, data=bytes(8)), "header"),
        (header_only({"a": 1}), "header"),
        (header_only([1]), "header"),
    ],
)
def test_damaged_weights_are_named_and_the_rest_is_shown(tmp_path, content, said):
    folder = write_model(tmp_path / "policy")
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=said):
        weights.header(folder / "model.safetensors")
    shown, wrong = portrait(folder)
    assert any("model.safetensors" in line for line in wrong) and "GPTNeoXForCausalLM" in shown


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.bool])
def test_differences_are_exact_in_every_dtype(tmp_path, monkeypatch, dtype):
    monkeypatch.setattr(weights, "CHUNK", 7)  # a tensor of several chunks
    generator = torch.Generator().manual_seed(0)
    some, other = ((torch.randn(5, 9, generator=generator) * 3).to(dtype) for _ in range(2))
    for name, tensor in (("a", some), ("b", other)):
        save_file({"w": tensor}, tmp_path / f"{name}.safetensors")
    left, right = (weights.header(tmp_path / f"{name}.safetensors")["w"] for name in "ab")
    assert weights.difference(left, right) == (some.double() - other.double()).abs().max().item()
    assert weights.difference(left, left) == 0.0


def test_nan_and_other_shapes_are_words(tmp_path):
    for name, tensor in (("a", torch.ones(2)), ("b", torch.tensor([1.0, torch.nan])), ("c", torch.ones(3))):
        save_file({"w": tensor}, tmp_path / f"{name}.safetensors")
    a, b, c = (weights.header(tmp_path / f"{name}.safetensors")["w"] for name in "abc")
    assert weights.difference(a, b) == "NaN or infinite values" and weights.difference(a, c) == "shape [2] and [3]"


def test_looking_needs_no_torch():
    code = (
        "import sys, inspect_artifact, preference.inspection.browser as b; print(*{'torch', 'pandas'} & {*sys.modules})"
    )
    scripts = Path(__file__).parents[1] / "scripts"
    said = subprocess.run([sys.executable, "-c", code], cwd=scripts, capture_output=True, text=True, check=True)
    assert said.stdout == "\n"
