"""Make an untrained base model: sft.parquet -> model/ (a GPT-NeoX with random weights and a byte-level BPE).

The architecture is Pythia's (arXiv 2304.01373), small enough for two cores. Only tasks whose base model is
`from_scratch` have this stage; others name a model folder or a hub id.
"""

from typing import Annotated

import torch
from annotated_types import Interval
from pydantic.dataclasses import dataclass
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, PreTrainedTokenizerFast

from preference.files import provenance, records
from preference.models import chat, policies
from preference.running import stage
from preference.running.flags import flag
from preference.running.ranges import Count, Seed
from preference.running.stage import InputError

SPECIAL = {"eos": "<|endoftext|>", "pad": "<|padding|>", "user": "<|prompter|>", "assistant": "<|assistant|>"}


@dataclass(frozen=True, kw_only=True)
class Flags:
    data: str = flag("sft.parquet: the text that the tokenizer learns from", config=False)
    output: str = flag("model folder to write; <output>.manifest.json beside it", folder="model")
    vocab_size: Annotated[int, Interval(ge=260, le=10**9)] = flag("entries of the tokenizer, special tokens included")
    hidden_size: Count = flag("width of the model")
    num_layers: Count = flag("transformer blocks")
    num_heads: Count = flag("attention heads per block")
    context_length: Count = flag("longest sequence", unit="tokens")
    seed: Seed = flag("seed of the weights", config=False)


def main(flags: Flags) -> None:
    if flags.hidden_size % flags.num_heads:
        raise InputError(f"--hidden_size {flags.hidden_size}: is no multiple of --num_heads {flags.num_heads}")
    rows = records.read(flags.data, "sft")
    messages = (message for row in rows for message in row["prompt"] + row["response"])
    tokenizer = train_tokenizer((message["content"] for message in messages), flags)
    torch.manual_seed(flags.seed)
    model = GPTNeoXForCausalLM(model_config(flags, tokenizer))
    made_by = provenance.describe(__file__, flags, {"data": flags.data}, num_parameters=model.num_parameters())
    policies.save(model, tokenizer, flags.output, made_by)
    stage.say(f"{model.num_parameters():,} parameters, {len(tokenizer)} tokens")


def train_tokenizer(texts, flags: Flags) -> PreTrainedTokenizerFast:
    """A byte-level BPE with a token for each role, so that a turn's end is never split."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=flags.vocab_size,
        special_tokens=list(SPECIAL.values()),
        initial_alphabet=alphabet,
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token=SPECIAL["eos"],
        pad_token=SPECIAL["pad"],
        model_max_length=flags.context_length,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = chat.TEMPLATE
    return tokenizer


def model_config(flags: Flags, tokenizer) -> GPTNeoXConfig:
    return GPTNeoXConfig(
        vocab_size=len(tokenizer),
        hidden_size=flags.hidden_size,
        num_hidden_layers=flags.num_layers,
        num_attention_heads=flags.num_heads,
        intermediate_size=4 * flags.hidden_size,
        max_position_embeddings=flags.context_length,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


if __name__ == "__main__":
    stage.run(main, Flags)
