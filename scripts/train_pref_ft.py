"""Preferred fine-tuning: pairs.parquet + policy -> policy/ of this round, and its log.

L = -log pi(y_w | x), summed over the chosen response and its EOS: maximum likelihood on what was preferred, with no
negative gradient on what was not (arXiv 2404.14367, section 3.2).
"""

import dataclasses

from preference import fit, pairwise, policies, provenance, records, stage, tokens
from preference.losses.likelihood import pref_ft_loss
from preference.responses import Responses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags(pairwise.Flags):
    pass


def main(flags: Flags) -> None:
    rows = records.read(flags.pairs, "pairs")
    model, tokenizer = policies.load_to_train(flags.policy, flags.max_length)
    chosen = [tokens.encode_pair(tokenizer, row, flags.max_length)[0] for row in rows]
    with fit.arithmetic(flags, model.device):
        responses = Responses.of(model, chosen, tokenizer.pad_token_id, flags.micro_batch_size)

    def loss(micro, step):
        read = responses.read(model, micro)
        seen = read.seen()
        return pref_ft_loss(read.logps).sum() / len(step), {"chosen_logps": seen.pop("logps"), **seen}

    made_by = provenance.describe(__file__, flags, {"pairs": flags.pairs, "policy": flags.policy}, rows_in=len(rows))
    named = fit.Rows([row["prompt_id"] for row in rows], responses.lengths)
    log = fit.train(model, tokenizer, named, loss, flags, made_by)
    stage.say(f"{len(log)} steps on {len(rows)} responses, loss {log[0]['loss']:.3f} -> {log[-1]['loss']:.3f} nats")


if __name__ == "__main__":
    stage.run(main, Flags)
