"""Supervised fine-tuning: sft.parquet + base model -> policy/, the reference of everything after it, and its log.

Cross-entropy on the response and its EOS, never on the prompt: a policy that is not taught to stop cannot be
compared by length. The tokenizer is saved with the chat template that every later stage uses.
"""

import dataclasses

from preference import fit, policies, provenance, records, stage, tokens
from preference.losses.likelihood import sft_loss
from preference.stage import InputError, flag


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags(fit.Training):
    data: str = flag("sft.parquet: prompts and responses")
    base_model: str = flag("model folder or hub id to start from")
    pad_token: str | None = flag("an existing token to pad with, where the tokenizer names none", None)


def main(flags: Flags) -> None:
    rows = records.read(flags.data, "sft")
    tokenizer = prepared_tokenizer(flags)
    model = policies.load_policy(flags.base_model)
    policies.check_context(model.config, flags.base_model, flags.max_length)
    model.config.pad_token_id = tokenizer.pad_token_id
    sequences = [encode(tokenizer, row, flags.max_length) for row in rows]
    cut = sum(response[-1] != tokenizer.eos_token_id for _, response in sequences)
    print(f"rows {len(rows)}, responses cut at {flags.max_length} tokens: {cut}")

    def loss(micro, step):
        tensors = tokens.batch([sequences[i] for i in micro], tokenizer.pad_token_id, model.device)
        logprobs, mask = policies.response_logprobs(model, tensors)
        share = mask.sum() / sum(len(sequences[i][1]) for i in step)  # tokens here of the whole step's
        return sft_loss(logprobs, mask) * share, {}

    lengths = [len(prompt) + len(response) for prompt, response in sequences]
    inputs = {"data": flags.data, **policies.as_input("base_model", flags.base_model)}
    made_by = provenance.describe(__file__, flags, inputs, rows_in=len(rows), responses_cut=cut)
    named = fit.Rows([row["prompt_id"] for row in rows], lengths)
    log = fit.train(model, tokenizer, named, loss, flags, made_by)
    stage.say(f"{len(log)} steps, loss {log[0]['loss']:.3f} -> {log[-1]['loss']:.3f} nats per token")


def encode(tokenizer, row: dict, max_length: int) -> tokens.Sequence:
    prompt = tokens.encode_prompt(tokenizer, row["prompt"])
    return tokens.cut(prompt, tokens.encode_response(tokenizer, row["response"]), max_length, row["prompt_id"])


def prepared_tokenizer(flags: Flags):
    """The base model's tokenizer with a pad token and a template; ones it lacks are added as names, not as tokens."""
    tokenizer = policies.load_tokenizer(flags.base_model)
    if flags.pad_token is not None:
        if flags.pad_token not in tokenizer.get_vocab():
            raise InputError(f"--pad_token {flags.pad_token}: the tokenizer of {flags.base_model} has no such token")
        tokenizer.pad_token = flags.pad_token
    tokenizer.chat_template = tokenizer.chat_template or tokens.TEMPLATE
    tokens.check_tokenizer(tokenizer, flags.base_model)
    return tokenizer


if __name__ == "__main__":
    stage.run(main, Flags)
