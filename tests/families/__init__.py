"""Tiny models of published families: their special tokens, templates and generation configs, and random weights.

`make` writes the folder of one. Nothing in them is published material: the templates render the published layouts.
"""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, PreTrainedTokenizerFast

from families import templates
from families.vocabularies import byte_level, pieces, train_sentencepiece

# Heads of 32 dimensions are the smallest that vLLM's CPU attention knows.
LLAMA_LIKE = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2}
LLAMA_LIKE |= {"num_key_value_heads": 1, "max_position_embeddings": 512}
GEMMA_LIKE = LLAMA_LIKE | {"head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 64}
VISION = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
VISION |= {"image_size": 28, "patch_size": 14}
SHAPES = {
    "llama": LLAMA_LIKE,
    "mistral": LLAMA_LIKE | {"sliding_window": 64},
    "qwen2": LLAMA_LIKE,
    "qwen3": LLAMA_LIKE | {"head_dim": 32},
    "gemma2": GEMMA_LIKE,
    "gemma3_text": GEMMA_LIKE,
    "gemma3": {"vision_config": VISION, "mm_tokens_per_image": 4},
    "phi3": LLAMA_LIKE,
    "gpt_neox": {key: value for key, value in LLAMA_LIKE.items() if key != "num_key_value_heads"},
    "gpt2": {"n_embd": 64, "n_layer": 2, "n_head": 2, "n_positions": 512},
}


@dataclasses.dataclass(frozen=True)
class Family:
    """What a model folder is made of; tokens are given by their text."""

    model_type: str
    tokenizer: Callable[[], Tokenizer]
    template: str | None
    special: dict[str, str]  # of the tokenizer: bos_token, eos_token, pad_token, unk_token
    generation_ends: tuple[str, ...] = ()  # EOS of generation_config.json
    config_end: str | None = None  # EOS of config.json; by default the tokenizer's
    rows: int = 0  # of the embeddings, more than the tokenizer has entries
    tied: bool = False  # input and output embeddings are one


def _llama2(tokenizer: Callable[[], Tokenizer] = lambda: pieces(("<unk>", "<s>", "</s>"), bos="<s>")) -> dict:
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return {"tokenizer": tokenizer, "special": special, "generation_ends": ("</s>",)}


LLAMA3_TOKENS = ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>")
LLAMA3_TOKENS += ("<|eot_id|>", "<|reserved_special_token_0|>")
CHATML_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
GEMMA_TOKENS = ("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>")
PHI3_TURNS = ("<|assistant|>", "<|system|>", "<|end|>", "<|user|>")

_LLAMA3 = {
    "tokenizer": lambda: byte_level(LLAMA3_TOKENS, bos="<|begin_of_text|>"),
    "special": {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"},
}
_QWEN = {
    "special": {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
    "generation_ends": ("<|im_end|>", "<|endoftext|>"),
    "rows": 60,
    "tied": True,
}
_GEMMA = {
    "tokenizer": lambda: pieces(GEMMA_TOKENS, bos="<bos>", dummy_prefix=False),
    "special": {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>"},
    "generation_ends": ("<eos>", "<end_of_turn>"),
    "tied": True,
}
_ONE_TOKEN = {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}

FAMILIES = {
    "llama2": Family("llama", template=templates.LLAMA2, **_llama2()),
    "llama3": Family(
        "llama", template=templates.LLAMA3, generation_ends=("<|end_of_text|>", "<|eot_id|>"), tied=True, **_LLAMA3
    ),
    "llama3_1": Family(
        "llama",
        template=templates.LLAMA3_1,
        generation_ends=("<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"),
        config_end="<|end_of_text|>",
        **_LLAMA3,
    ),
    "mistral": Family("mistral", template=templates.MISTRAL, **_llama2()),
    "mistral_v3": Family(
        "mistral",
        template=templates.MISTRAL_V3,
        **_llama2(lambda: pieces(("<unk>", "<s>", "</s>", "[INST]", "[/INST]"), bos="<s>")),
    ),
    "zephyr": Family(
        "mistral",
        tokenizer=lambda: pieces(("<unk>", "<s>", "</s>"), bos="<s>"),
        template=templates.ZEPHYR,
        special={"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "</s>"},
        generation_ends=("</s>",),
    ),
    "qwen2_5": Family("qwen2", lambda: byte_level(CHATML_TOKENS), templates.QWEN2_5, **_QWEN),
    "qwen3": Family(
        "qwen3", lambda: byte_level(CHATML_TOKENS, plain=("<think>", "</think>")), templates.QWEN3, **_QWEN
    ),
    "gemma2": Family("gemma2", template=templates.GEMMA2, **_GEMMA),
    "gemma3": Family("gemma3_text", template=templates.GEMMA3, **_GEMMA),
    "gemma3_nested": Family("gemma3", template=templates.GEMMA3, **_GEMMA),
    "phi3": Family(
        "phi3",
        tokenizer=lambda: pieces(("<unk>", "<s>", "</s>", "<|endoftext|>"), strip_right=PHI3_TURNS),
        template=templates.PHI3,
        special={"bos_token": "<s>", "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>", "unk_token": "<unk>"},
        generation_ends=("<|endoftext|>", "<|assistant|>", "<|end|>"),
        rows=40,
    ),
    "smollm2": Family(
        "llama",
        tokenizer=lambda: byte_level(CHATML_TOKENS),
        template=templates.SMOLLM2,
        special={"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<|im_end|>"}
        | {"unk_token": "<|endoftext|>"},
        generation_ends=("<|im_end|>",),
        tied=True,
    ),
    "pythia": Family("gpt_neox", lambda: byte_level(("<|endoftext|>", "<|padding|>")), None, _ONE_TOKEN, rows=27),
    "gpt2": Family("gpt2", lambda: byte_level(("<|endoftext|>",)), None, _ONE_TOKEN, tied=True),
}

_PLAIN = Family(
    "llama",
    tokenizer=lambda: byte_level((*CHATML_TOKENS, "<|pad|>")),
    template=templates.CHATML,
    special={"eos_token": "<|im_end|>", "pad_token": "<|pad|>"},
)


def _plain(**changed) -> Family:
    return dataclasses.replace(_PLAIN, **changed)


ODD = {
    "plain": _PLAIN,
    "no_pad": _plain(special={"eos_token": "<|im_end|>"}),
    "pad_is_eos": _plain(special={"eos_token": "<|im_end|>", "pad_token": "<|im_end|>"}),
    "pad_is_a_word": _plain(special={"eos_token": "<|im_end|>", "pad_token": "!"}),
    "bos_is_eos": _plain(special={"bos_token": "<|im_end|>", "eos_token": "<|im_end|>", "pad_token": "<|pad|>"}),
    "eos_is_not_the_end": _plain(special={"eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}),
    "many_rows": _plain(rows=128),
    "pad_without_row": _plain(rows=-1),  # the tokenizer was extended and the model was not
    "end_without_row": _plain(rows=-2),
    "no_generation_prompt": _plain(template=templates.NO_GENERATION_PROMPT),
    "trims": _plain(template=templates.TRIMS),
    "drops_thinking": _plain(template=templates.DROPS_THINKING),
    "forces_thinking": _plain(template=templates.FORCES_THINKING),
}

# vLLM's nested Gemma 3 needs torchvision, which its environment here does not have.
VLLM_FAMILIES = tuple(name for name in FAMILIES if name != "gemma3_nested") + ("many_rows", "pad_without_row")


def make(name: str, folder: Path | str) -> str:
    """Write the model folder of a family, or of an odd one, and return its path."""
    family = (FAMILIES | ODD)[name]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=family.tokenizer(), clean_up_tokenization_spaces=False, **family.special
    )
    tokenizer.chat_template = family.template
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(_config(family, tokenizer))
    _spread(model)
    _name_ends(model, family, tokenizer)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def make_sentencepiece(folder: Path | str) -> str:
    """Write a Llama 2 whose tokenizer is a `tokenizer.model` alone, as SentencePiece trains it, and return its path."""
    make("llama2", folder)
    train_sentencepiece(Path(folder) / "tokenizer.model")
    (Path(folder) / "tokenizer.json").unlink()
    settings = Path(folder) / "tokenizer_config.json"
    kept = {key: value for key, value in json.loads(settings.read_text()).items() if key != "backend"}
    settings.write_text(json.dumps(kept | {"tokenizer_class": "LlamaTokenizer"}))
    return str(folder)


def _config(family: Family, tokenizer):
    size = {"vocab_size": len(tokenizer) + family.rows, "tie_word_embeddings": family.tied, "pad_token_id": None}
    if family.model_type == "gemma3":
        image = {f"{each}_token_index": tokenizer.unk_token_id for each in ("boi", "eoi", "image")}
        return AutoConfig.for_model("gemma3", text_config=GEMMA_LIKE | size, **SHAPES["gemma3"], **image)
    return AutoConfig.for_model(family.model_type, **SHAPES[family.model_type], **size)


def _name_ends(model, family: Family, tokenizer) -> None:
    """Write the special ids into the configs; the pad token only now, or its embedding would be zero."""
    text_config = model.config.get_text_config()
    text_config.bos_token_id = tokenizer.bos_token_id
    text_config.eos_token_id = tokenizer.convert_tokens_to_ids(family.config_end or family.special["eos_token"])
    pad = tokenizer.pad_token_id
    if text_config is model.config and pad is not None and pad < text_config.vocab_size:  # nested configs leave it null
        text_config.pad_token_id = pad
    ends = tokenizer.convert_tokens_to_ids(list(family.generation_ends))
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=ends or text_config.eos_token_id, pad_token_id=pad
    )


def _spread(model) -> None:
    """Take the logits far from uniform, so that the largest is no near tie."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(4.0)
