"""Conditional supervised fine-tuning: pairs.parquet + policy -> policy/ of this round, and its log.

Cross-entropy per response token, as in train_sft, of chosen responses after a good control text and of rejected ones
after a bad one (arXiv 2302.08582; the `csft` of HALOs). The control text stands where the assistant begins to speak. It
is a condition and not learnt itself: HALOs counts its token in the loss, too. The saved chat template writes the good
text, so that whatever samples from the policy asks for good answers. A row of the training is a response.
"""

import dataclasses
from functools import partial
from typing import ClassVar

from pydantic.dataclasses import dataclass

from preference.files import provenance, records
from preference.losses.likelihood import sft_loss
from preference.models import chat, chat_flags, policies
from preference.models.tokens import Sequence
from preference.running import stage
from preference.running.flags import flag
from preference.running.rules import Different
from preference.training import fit, pairwise
from preference.training.responses import Responses


@dataclass(frozen=True, kw_only=True)
class Flags(pairwise.Flags):
    good: str = flag("control text before chosen responses, and before every answer that is sampled later", "<|good|>")
    bad: str = flag("control text before rejected responses", "<|bad|>")

    rules: ClassVar = (Different("bad", "good", "nothing tells good from bad answers"),)


def main(flags: Flags) -> None:
    pairs = records.read(flags.pairs, "pairs")
    model = policies.load_policy(flags.policy)
    policies.check_context(model.config, flags.policy, flags.max_length)
    good = chat.load(flags.policy, flags, control=flags.good)
    examples = encode(flags, pairs, good)
    with fit.arithmetic(flags, model.device):
        sequences = [example.sequence for example in examples]
        responses = Responses.of(model, sequences, good.pad_id, flags.micro_batch_size)

    def loss(micro, step):
        read = responses.read(model, micro)
        share = read.mask.sum() / sum(len(sequences[i][1]) for i in step)  # tokens here of the whole step's
        chosen = sum(examples[i].is_chosen for i in micro)
        return sft_loss(read.logprobs, read.mask) * share, read.seen() | {"chosen": chosen}

    inputs = {"pairs": flags.pairs, "policy": flags.policy, **chat_flags.inputs(flags)}
    made_by = provenance.describe(__file__, flags, inputs, rows_in=len(pairs), rows_out=len(examples))
    named = fit.Rows([example.prompt_id for example in examples], responses.lengths)
    log = fit.train(model, good, named, loss, flags, made_by)
    stage.say(f"{len(log)} steps on {len(examples)} responses, loss {log[0]['loss']:.3f} -> {log[-1]['loss']:.3f}")


@dataclasses.dataclass(frozen=True)
class Example:
    """A response to learn after the control text of its sort."""

    prompt_id: str
    sequence: Sequence
    is_chosen: bool


def encode(flags: Flags, pairs: list[dict], good: chat.Chat) -> list[Example]:
    """Return both responses of each pair, chosen ones first; those whose prompt leaves no room are dropped."""
    bad, limit, examples = chat.load(flags.policy, flags, control=flags.bad), fit.limit(flags), []
    for side, chat_format in (("chosen", good), ("rejected", bad)):
        encoded = chat.encode_rows(flags.pairs, pairs, partial(chat_format.side, side=side))
        cut = [limit.fit(sequence) for sequence in encoded]
        found = [
            Example(row["prompt_id"], each, side == "chosen") for row, each in zip(pairs, cut, strict=True) if each
        ]
        print(f"first {side}:\n{chat_format.describe(found[0].sequence)}" if found else f"no {side} response is left")
        examples += found
    limit.report("responses", flags.pairs)
    return examples


if __name__ == "__main__":
    stage.run(main, Flags)
