"""Supervised fine-tuning: sft.parquet + base model -> policy/, the reference of everything after it, and its log.

Cross-entropy on the response and its end token, never on the prompt: a policy that is not taught to stop cannot be
compared by length. The tokenizer is saved with the chat template that every later stage uses.
"""

import dataclasses

from pydantic.dataclasses import dataclass

from preference.files import provenance, records
from preference.losses.likelihood import sft_loss
from preference.models import chat, chat_flags, policies, tokens
from preference.running import stage
from preference.running.flags import flag
from preference.running.stage import InputError
from preference.training import fit


@dataclass(frozen=True, kw_only=True)
class Flags(fit.Training):
    data: str = flag("sft.parquet: prompts and responses", config=False)
    base_model: str = flag("model folder or hub id to start from", config=False)
    pad_token: str | None = flag("an existing token to pad with; masks go by length, so that it changes nothing", None)
    train_on: str = flag(
        "turns of the assistant that are trained: the last, all in one sequence, or each in a sequence of its own",
        "last",
        ("last", "all", "each"),
    )


def main(flags: Flags) -> None:
    rows = records.read(flags.data, "sft")
    chat_format = load_chat(flags)
    model = policies.load_policy(flags.base_model)
    policies.check_context(model.config, flags.base_model, flags.max_length)
    model.config.pad_token_id = chat_format.pad_id
    examples = encode(chat_format, rows, flags)
    sequences, counted = [example.sequence for example in examples], [example.counted for example in examples]

    def loss(micro, step):
        masks = [counted[i] for i in micro]
        tensors = tokens.batch([sequences[i] for i in micro], chat_format.pad_id, model.device, masks)
        logprobs, mask = policies.response_logprobs(model, tensors)
        share = mask.sum() / sum(sum(counted[i]) for i in step)  # tokens here of the whole step's
        return sft_loss(logprobs, mask) * share, {}

    lengths = [len(prompt) + len(response) for prompt, response in sequences]
    inputs = {"data": flags.data, "base_model": flags.base_model, **chat_flags.inputs(flags)}
    made_by = provenance.describe(__file__, flags, inputs, rows_in=len(rows), rows_out=len(examples))
    named = fit.Rows([example.prompt_id for example in examples], lengths)
    log = fit.train(model, chat_format, named, loss, flags, made_by)
    stage.say(f"{len(log)} steps, loss {log[0]['loss']:.3f} -> {log[-1]['loss']:.3f} nats per token")


@dataclasses.dataclass(frozen=True)
class Example:
    """A sequence to learn, and which tokens of its response count."""

    prompt_id: str
    sequence: tokens.Sequence
    counted: list[bool]


def encode(chat_format: chat.Chat, rows: list[dict], flags: Flags) -> list[Example]:
    """The sequences that fit into --max_length; those of which no trained token is left are dropped and counted."""
    limit = fit.limit(flags)
    read = {"last": last_turn, "all": all_turns, "each": each_turn}[flags.train_on]
    found = chat.encode_rows(flags.data, rows, lambda row: read(chat_format, row))
    examples = []
    for row, sequences in zip(rows, found, strict=True):
        for sequence, counted in sequences:
            if (cut := limit.fit(sequence)) and any(counted[: len(cut[1])]):
                examples.append(Example(row["prompt_id"], cut, counted[: len(cut[1])]))
    limit.report("conversations", flags.data)
    if not examples:
        raise InputError(f"{flags.data}: no response is left within --max_length {flags.max_length}")
    first = examples[0]
    print(f"chat format: {chat_format.summary()}\nfirst:\n{chat_format.describe(first.sequence, first.counted)}")
    return examples


def last_turn(chat_format: chat.Chat, row: dict) -> list[tuple]:
    """The response after its prompt."""
    sequence = chat_format.encode(row["prompt"], row["response"], row["tools"])
    chat_format.check_response(sequence[1], finished=True)
    return [(sequence, [True] * len(sequence[1]))]


def all_turns(chat_format: chat.Chat, row: dict) -> list[tuple]:
    """The whole conversation as one sequence, in which every turn of the assistant counts."""
    ids, counted = chat_format.encode_turns(row["prompt"] + row["response"], row["tools"])
    begin = counted.index(True)
    return [((ids[:begin], ids[begin:]), counted[begin:])]


def each_turn(chat_format: chat.Chat, row: dict) -> list[tuple]:
    """A sequence for each turn of the assistant, as it was asked for: some templates show later ones another past."""
    messages, found = row["prompt"] + row["response"], []
    for index, message in enumerate(messages):
        if message["role"] == "assistant" and index:
            part = {**row, "prompt": messages[:index], "response": [message]}
            found += last_turn(chat_format, part)
    return found


def load_chat(flags: Flags) -> chat.Chat:
    """The base model's chat format, with the project's own template where it has none, and the pad token asked for."""
    chat_format = chat.load(flags.base_model, flags, chat.TEMPLATE)
    if flags.pad_token is not None:
        if flags.pad_token not in chat_format.tokenizer.get_vocab():
            raise InputError(f"--pad_token {flags.pad_token}: the tokenizer of {flags.base_model} has no such token")
        chat_format.tokenizer.pad_token = flags.pad_token
    return chat_format


if __name__ == "__main__":
    stage.run(main, Flags)
