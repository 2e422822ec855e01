"""Identity preference optimisation: reference_logps.parquet + policy -> policy/ of this round, and its log.

L = (h - 1 / (2 beta))^2, h = [log pi(y_w) - log ref(y_w)] - [log pi(y_l) - log ref(y_l)], log-probabilities summed over
the response and its EOS (arXiv 2310.12036, equation 17): the margin is drawn to 1 / (2 beta) and not beyond.
"""

from pydantic.dataclasses import dataclass

from preference.losses.contrastive import implicit_rewards, ipo_loss
from preference.running import stage
from preference.running.flags import flag
from preference.running.ranges import Positive
from preference.training import pairwise
from preference.training.pairwise import Pairs


@dataclass(frozen=True, kw_only=True)
class Flags(pairwise.Flags):
    beta: Positive = flag("strength of the KL constraint; the margin that is aimed at is 1 / (2 beta)")


def main(flags: Flags) -> None:
    def objective(pairs: Pairs):
        chosen = implicit_rewards(pairs.chosen_logps, pairs.ref_chosen_logps, flags.beta)
        rejected = implicit_rewards(pairs.rejected_logps, pairs.ref_rejected_logps, flags.beta)
        return ipo_loss(*pairs.logps, flags.beta), chosen, rejected

    pairwise.train(__file__, flags, objective, with_reference=True)


if __name__ == "__main__":
    stage.run(main, Flags)
