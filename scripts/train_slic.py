"""Sequence likelihood calibration: pairs.parquet + policy -> policy/ of this round, and its log.

L = max(0, delta - log pi(y_w) + log pi(y_l)) - sft_coef * log pi(y_w), log-probabilities summed over the response and
its EOS (SLiC-HF, arXiv 2305.10425, equation 1, the chosen response as the regularisation's target). No reference.
"""

from pydantic.dataclasses import dataclass

from preference.losses.contrastive import slic_loss
from preference.running import stage
from preference.running.flags import flag
from preference.running.ranges import NotNegative, Positive
from preference.training import pairwise
from preference.training.pairwise import Pairs


@dataclass(frozen=True, kw_only=True)
class Flags(pairwise.Flags):
    delta: Positive = flag("margin of log-probabilities beyond which a pair adds nothing to the loss", unit="nats")
    sft_coef: NotNegative = flag("weight of the likelihood of the chosen response")


def main(flags: Flags) -> None:
    def objective(pairs: Pairs):
        losses = slic_loss(pairs.chosen_logps, pairs.rejected_logps, flags.delta, flags.sft_coef)
        return losses, pairs.chosen_logps, pairs.rejected_logps

    pairwise.train(__file__, flags, objective, with_reference=False)


if __name__ == "__main__":
    stage.run(main, Flags)
