"""REINFORCE: rewards.parquet + policy + reference -> policy/ of this round, and its log.

L = -A log pi(y | x) + kl_coef KL, log-probabilities summed over the response and its EOS, A the reward minus a baseline
(Williams 1992). The KL to the reference is estimated of whole responses: k1 = log pi - log ref belongs into the reward,
as its own expected gradient is zero; k2 = (log pi - log ref)^2 / 2, whose expected gradient is that of KL(pi || ref),
and k3 = ref / pi - 1 - log(ref / pi), whose is that of KL(ref || pi), are terms of the loss. There is no importance
ratio: more than one pass over the samples is off-policy.
"""

from pydantic.dataclasses import dataclass

from preference.losses.policy_gradient import KL_ESTIMATORS, reinforce_loss
from preference.models import policies
from preference.running import stage
from preference.running.flags import flag
from preference.running.ranges import Positive
from preference.training import rollouts, scored
from preference.training.responses import Responses


@dataclass(frozen=True, kw_only=True)
class Flags(scored.Penalized):
    kl_estimator: str = flag("how the KL is estimated", "k2", KL_ESTIMATORS)
    baseline: str | None = flag("what is taken from the rewards; without it nothing", None, rollouts.BASELINES)
    max_advantage: Positive | None = flag("larger advantages, of either sign, are cut to it", None)


def main(flags: Flags) -> None:
    memory = rollouts.recalled(policies.recall(flags.policy, "train_reinforce"))

    def objective(samples: scored.Samples, responses: Responses):
        weights = advantages(flags, samples, responses, memory)

        def losses(read, rows, _):
            of_rows = weights[rows].to(read.logps)
            ref_logps = read.ref_logprobs.sum(-1)
            found = reinforce_loss(read.logps, of_rows, ref_logps, flags.kl_coef, flags.kl_estimator)
            return found, {"advantage": of_rows.sum().item()}

        return losses

    scored.train(__file__, flags, objective, lambda: rollouts.plain(memory))


def advantages(flags: Flags, samples: scored.Samples, responses: Responses, memory: rollouts.Memory):
    """One per sample, from rewards that the KL has shaped where its estimator is k1."""
    rewards = samples.rewards
    if flags.kl_estimator == "k1":
        assert responses.reference is not None
        start, reference = (
            rewards.new_tensor([sum(logprobs) for logprobs in of]) for of in (responses.start, responses.reference)
        )
        rewards = rollouts.kl_shaped(rewards, start, reference, flags.kl_coef)
    found = rollouts.group_advantages(rewards, samples.groups, flags.baseline, memory).float()
    return found if flags.max_advantage is None else found.clamp(-flags.max_advantage, flags.max_advantage)


if __name__ == "__main__":
    stage.run(main, Flags)
