"""Simple preference optimisation: pairs.parquet + policy -> policy/ of this round, and its log.

L = -log sigmoid(beta * [log pi(y_w) / |y_w| - log pi(y_l) / |y_l| - gamma_beta_ratio]), lengths in tokens with the EOS
(arXiv 2405.14734, equation 6, gamma = beta * gamma_beta_ratio). No reference.
"""

from pydantic.dataclasses import dataclass

from preference.losses.contrastive import simpo_loss
from preference.running import stage
from preference.running.flags import flag
from preference.running.ranges import NotNegative, Positive
from preference.training import pairwise
from preference.training.pairwise import Pairs


@dataclass(frozen=True, kw_only=True)
class Flags(pairwise.Flags):
    beta: Positive = flag("scale of the mean log-probabilities")
    gamma_beta_ratio: NotNegative = flag("margin of the mean log-probabilities that is aimed at", unit="nats per token")


def main(flags: Flags) -> None:
    def objective(pairs: Pairs):
        lengths = (pairs.chosen_lengths, pairs.rejected_lengths)
        losses = simpo_loss(pairs.chosen_logps, pairs.rejected_logps, *lengths, flags.beta, flags.gamma_beta_ratio)
        chosen = flags.beta * pairs.chosen_logps / pairs.chosen_lengths
        return losses, chosen, flags.beta * pairs.rejected_logps / pairs.rejected_lengths

    pairwise.train(__file__, flags, objective, with_reference=False)


if __name__ == "__main__":
    stage.run(main, Flags)
