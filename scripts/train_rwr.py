"""Reward-weighted regression: rewards.parquet + policy -> policy/ of this round, and its log.

L = -w(A) log pi(y | x), log-probabilities summed over the response and its EOS, A the reward minus a baseline, w one of
exp(A / beta), sigmoid(A / beta), and 1 where A >= 0 else 0 (Peters and Schaal 2007; arXiv 2404.14367, section 3.2). No
weight is negative, so no response is pushed down.
"""

from typing import ClassVar

from pydantic.dataclasses import dataclass

from preference.losses.likelihood import WEIGHTINGS, rwr_loss, rwr_weights
from preference.models import policies
from preference.running import stage
from preference.running.flags import flag
from preference.running.ranges import Positive
from preference.running.rules import ReadUnless
from preference.training import rollouts, scored


@dataclass(frozen=True, kw_only=True)
class Flags(scored.Flags):
    weighting: str = flag("weight of a response by its advantage", "exp", WEIGHTINGS)
    beta: Positive | None = flag("temperature of exp and sigmoid; the larger, the more equal the weights", None)
    max_weight: Positive | None = flag("larger weights are cut to it", None)
    baseline: str | None = flag("what is taken from the rewards first; without it nothing", None, rollouts.BASELINES)

    rules: ClassVar = (ReadUnless("beta", "weighting", "filter"),)


def main(flags: Flags) -> None:
    memory = rollouts.recalled(policies.recall(flags.policy, "train_rwr"))

    def objective(samples: scored.Samples, _):
        advantages = rollouts.group_advantages(samples.rewards, samples.groups, flags.baseline, memory)
        weights = rwr_weights(advantages, flags.beta, flags.weighting, flags.max_weight).float()

        def losses(read, rows, _):
            of_rows = weights[rows].to(read.logps)
            return rwr_loss(read.logps, of_rows), {"weight": of_rows.sum().item()}

        return losses

    scored.train(__file__, flags, objective, lambda: rollouts.plain(memory))


if __name__ == "__main__":
    stage.run(main, Flags)
