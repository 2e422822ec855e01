"""Group-relative policy optimisation: rewards.parquet + policy + reference -> policy/ of this round, and its log.

The advantage of a response is its reward minus the mean of its prompt's, over their standard deviation; the loss is the
clipped surrogate of each token plus kl_coef times the k3 estimate of the KL to the reference, averaged over the
response (arXiv 2402.03300, equation 3). Ratios are to the policy that the round starts from.
"""

from pydantic.dataclasses import dataclass

from preference.losses.policy_gradient import grpo_loss
from preference.running import stage
from preference.training import rollouts, scored


@dataclass(frozen=True, kw_only=True)
class Flags(scored.Penalized, scored.Clipped):
    pass


def main(flags: Flags) -> None:
    def objective(samples: scored.Samples, _):
        advantages = rollouts.grpo_advantages(samples.rewards, samples.groups).float()

        def losses(read, rows, _):
            of_rows = advantages[rows].to(read.logps)
            found = grpo_loss(
                read.logprobs,
                read.start_logprobs,
                read.ref_logprobs,
                of_rows,
                read.mask,
                flags.clip_range,
                flags.kl_coef,
            )
            return found, {"advantage": of_rows.sum().item(), "clip_fraction": read.clipped(flags.clip_range)}

        return losses

    scored.train(__file__, flags, objective)


if __name__ == "__main__":
    stage.run(main, Flags)
