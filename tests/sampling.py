"""Policies, prompts and flags for the tests that sample."""

import tempfile

import torch
from tokenizers import processors
from transformers import GPTNeoXForCausalLM, LlamaConfig, LlamaForCausalLM

import initialize_model
from preference.files import records
from preference.models import chat, policies, samplers
from preference.running.shards import Shards

WORDS = ["one", "two", "three", "red", "blue", "count", "say", "name", "hi", "there"]


def prompts(count: int) -> list[dict]:
    """Different texts of different lengths."""
    texts = [" ".join(WORDS[(i * j) % 10] for j in range(1, 2 + i % 7)) + f" {i}" for i in range(count)]
    return [{"prompt_id": records.prompt_id(text), "prompt": text} for text in texts]


def flags(**changed) -> samplers.Flags:
    chosen = {"samples_per_prompt": 1, "temperature": 1.0, "top_p": 1.0, "max_new_tokens": 24, "seed": 0}
    return samplers.Flags(**{"prompts": "prompts.parquet", "engine": "transformers", **chosen, **changed})


def respond(policy: str, rows: list[dict], flags: samplers.Flags) -> list[dict]:
    """The samples of one uninterrupted call."""
    with tempfile.TemporaryDirectory() as folder, Shards(f"{folder}/x", {}, flags.shard_size) as shards:
        return samplers.respond(policy, chat.load(policy), rows, flags, shards)


def gpt_neox(folder) -> str:
    """Heads of 32 dimensions, which vLLM's CPU attention knows."""
    shape, tokenizer = _shape_and_tokenizer()
    torch.manual_seed(0)
    model = GPTNeoXForCausalLM(initialize_model.model_config(shape, tokenizer))
    return _save(model, tokenizer, folder)


def llama(folder) -> str:
    """A tokenizer that begins every text with a BOS, and a template that does not."""
    shape, tokenizer = _shape_and_tokenizer()
    tokenizer.add_special_tokens({"bos_token": "<|bos|>"})
    bos = ("<|bos|>", tokenizer.bos_token_id)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<|bos|> $A", special_tokens=[bos]
    )
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden_size,
        intermediate_size=2 * shape.hidden_size,
        num_hidden_layers=shape.num_layers,
        num_attention_heads=shape.num_heads,
        num_key_value_heads=1,
        max_position_embeddings=shape.context_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return _save(LlamaForCausalLM(config), tokenizer, folder)


def _shape_and_tokenizer():
    shape = initialize_model.Flags(
        data="",
        output="",
        vocab_size=300,
        hidden_size=64,
        num_layers=2,
        num_heads=2,
        context_length=128,
        seed=0,
    )
    return shape, initialize_model.train_tokenizer([row["prompt"] for row in prompts(50)], shape)


def _save(model, tokenizer, folder) -> str:
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(4.0)  # far from uniform, so that the largest logit is no near tie
    policies.save(model, tokenizer, str(folder), {"stage": "test"})
    return str(folder)
