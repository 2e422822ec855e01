"""Preferred fine-tuning: pairs.parquet + policy -> policy/ of this round, and its log.

L = -log pi(y_w | x), summed over the chosen response and its EOS: maximum likelihood on what was preferred, with no
negative gradient on what was not (arXiv 2404.14367, section 3.2).
"""

from pydantic.dataclasses import dataclass

from preference.files import provenance, records
from preference.losses.likelihood import pref_ft_loss
from preference.models import chat, chat_flags
from preference.running import stage
from preference.training import fit, pairwise
from preference.training.responses import Responses


@dataclass(frozen=True, kw_only=True)
class Flags(pairwise.Flags):
    pass


def main(flags: Flags) -> None:
    rows = records.read(flags.pairs, "pairs")
    num_rows = len(rows)
    model, chat_format = fit.start(flags)
    rows, encoded = chat.encode_pairs(flags.pairs, rows, chat_format, fit.limit(flags))
    chosen = [pair[0] for pair in encoded]
    with fit.arithmetic(flags, model.device):
        responses = Responses.of(model, chosen, chat_format.pad_id, flags.micro_batch_size)

    def loss(micro, step):
        read = responses.read(model, micro)
        seen = read.seen()
        return pref_ft_loss(read.logps).sum() / len(step), {"chosen_logps": seen.pop("logps"), **seen}

    inputs = {"pairs": flags.pairs, "policy": flags.policy, **chat_flags.inputs(flags)}
    made_by = provenance.describe(__file__, flags, inputs, rows_in=num_rows, rows_out=len(rows))
    named = fit.Rows([row["prompt_id"] for row in rows], responses.lengths)
    log = fit.train(model, chat_format, named, loss, flags, made_by)
    stage.say(f"{len(log)} steps on {len(rows)} responses, loss {log[0]['loss']:.3f} -> {log[-1]['loss']:.3f} nats")


if __name__ == "__main__":
    stage.run(main, Flags)
