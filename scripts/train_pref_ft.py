"""Preferred fine-tuning: pairs.parquet + policy -> policy/ of this round, and its log.

L = -log pi(y_w | x), summed over the chosen response and its EOS: maximum likelihood on what was preferred, with no
negative gradient on what was not (arXiv 2404.14367, section 3.2).
"""

import dataclasses

from preference import fit, policies, provenance, records, stage, tokens
from preference.losses.likelihood import pref_ft_loss
from preference.stage import flag


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags(fit.Training):
    pairs: str = flag("pairs.parquet: the chosen responses are learnt")
    policy: str = flag("policy folder to start from")


def main(flags: Flags) -> None:
    rows = records.read(flags.pairs, "pairs")
    tokenizer = policies.load_tokenizer(flags.policy)
    tokens.check_tokenizer(tokenizer, flags.policy)
    model = policies.load_policy(flags.policy)
    policies.check_context(model.config, flags.policy, flags.max_length)
    chosen = [tokens.encode_pair(tokenizer, row, flags.max_length)[0] for row in rows]

    def loss(micro, step):
        tensors = tokens.batch([chosen[i] for i in micro], tokenizer.pad_token_id, model.device)
        logps = policies.response_logps(model, tensors)
        return pref_ft_loss(logps).sum() / len(step), {"chosen_logps": logps.sum().item()}

    lengths = [len(prompt) + len(response) for prompt, response in chosen]
    made_by = provenance.describe(__file__, flags, {"pairs": flags.pairs, "policy": flags.policy}, rows_in=len(rows))
    log = fit.train(model, tokenizer, lengths, loss, flags, made_by)
    stage.say(f"{len(log)} steps on {len(rows)} responses, loss {log[0]['loss']:.3f} -> {log[-1]['loss']:.3f} nats")


if __name__ == "__main__":
    stage.run(main, Flags)
