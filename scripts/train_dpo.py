"""Direct preference optimisation: reference_logps.parquet + policy -> policy/ of this round, and its log.

L = -log sigmoid(beta * [(log pi(y_w) - log ref(y_w)) - (log pi(y_l) - log ref(y_l))]), log-probabilities summed over
the response and its EOS (arXiv 2305.18290, equation 7).
"""

import dataclasses

import torch

from preference import fit, policies, provenance, records, stage, tokens
from preference.losses.contrastive import dpo_loss, implicit_rewards
from preference.stage import flag

STEP_0_TOLERANCE = 1e-2  # nats per response: float32 sums in differently padded batches


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags(fit.Training):
    pairs: str = flag("reference_logps.parquet: pairs with the reference's log-probabilities")
    policy: str = flag("policy folder to start from")
    beta: float = flag("strength of the KL constraint")
    label_smoothing: float = flag("assumed rate of wrong labels (conservative DPO)", 0.0)


def main(flags: Flags) -> None:
    rows = records.read(flags.pairs, "reference_logps")
    tokenizer = policies.load_tokenizer(flags.policy)
    tokens.check_tokenizer(tokenizer, flags.policy)
    model = policies.load_policy(flags.policy)
    policies.check_context(model.config, flags.policy, flags.max_length)
    encoded = [tokens.encode_pair(tokenizer, row, flags.max_length) for row in rows]
    reference = torch.tensor([[row["ref_chosen_logps"], row["ref_rejected_logps"]] for row in rows])
    check_step_0(flags, model, encoded, reference, tokenizer.pad_token_id)

    def loss(micro, step):
        chosen, rejected = policies.pair_logps(model, [encoded[i] for i in micro], tokenizer.pad_token_id)
        ref_chosen, ref_rejected = reference[micro].to(chosen).unbind(-1)
        losses = dpo_loss(chosen, rejected, ref_chosen, ref_rejected, flags.beta, flags.label_smoothing)
        chosen_rewards = implicit_rewards(chosen.detach(), ref_chosen, flags.beta)
        rejected_rewards = implicit_rewards(rejected.detach(), ref_rejected, flags.beta)
        return losses.sum() / len(step), {
            "chosen_rewards": chosen_rewards.sum().item(),
            "rejected_rewards": rejected_rewards.sum().item(),
            "margin": (chosen_rewards - rejected_rewards).sum().item(),
            "accuracy": (chosen_rewards > rejected_rewards).sum().item(),
            "chosen_logps": chosen.sum().item(),
            "rejected_logps": rejected.sum().item(),
        }

    lengths = [max(len(prompt) + len(response) for prompt, response in pair) for pair in encoded]
    made_by = provenance.describe(__file__, flags, {"pairs": flags.pairs, "policy": flags.policy}, rows_in=len(rows))
    log = fit.train(model, tokenizer, lengths, loss, flags, made_by)
    stage.say(
        f"{len(log)} steps on {len(rows)} pairs, loss {log[0]['loss']:.3f} -> {log[-1]['loss']:.3f}, "
        f"margin {log[-1]['margin']:.3f}, accuracy {log[-1]['accuracy']:.2f}"
    )


def check_step_0(flags: Flags, model, encoded, reference: torch.Tensor, pad: int) -> None:
    """Where the policy is the reference, both must give the same log-probabilities before the first step."""
    made_by = records.metadata(flags.pairs)["inputs"]["reference"]
    if made_by["sha256"] != provenance.digest(flags.policy):
        print("step 0: the policy has moved away from the reference already, nothing to compare")
        return
    some = list(range(min(len(encoded), flags.micro_batch_size)))
    with torch.no_grad():
        logps = torch.stack(policies.pair_logps(model, [encoded[i] for i in some], pad), dim=-1).cpu()
    gap = (logps - reference[some]).abs().max().item()
    print(f"step 0: policy and reference differ by at most {gap:.2e} nats on {len(some)} pairs")
    assert gap < STEP_0_TOLERANCE, f"{flags.pairs}: policy and reference differ by {gap} nats at step 0"


if __name__ == "__main__":
    stage.run(main, Flags)
