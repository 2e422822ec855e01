"""Direct preference optimisation: reference_logps.parquet + policy -> policy/ of this round, and its log.

L = -log sigmoid(beta * [(log pi(y_w) - log ref(y_w)) - (log pi(y_l) - log ref(y_l))]), log-probabilities summed over
the response and its EOS (arXiv 2305.18290, equation 7).
"""

from pydantic.dataclasses import dataclass

from preference.losses.contrastive import dpo_loss, implicit_rewards
from preference.running import stage
from preference.running.flags import flag
from preference.running.ranges import Positive, Smoothing
from preference.training import pairwise
from preference.training.pairwise import Pairs


@dataclass(frozen=True, kw_only=True)
class Flags(pairwise.Flags):
    beta: Positive = flag("strength of the KL constraint")
    label_smoothing: Smoothing = flag("assumed rate of wrong labels (conservative DPO)", 0.0, unit="share of the pairs")


def main(flags: Flags) -> None:
    def objective(pairs: Pairs):
        losses = dpo_loss(*pairs.logps, flags.beta, flags.label_smoothing)
        chosen = implicit_rewards(pairs.chosen_logps, pairs.ref_chosen_logps, flags.beta)
        return losses, chosen, implicit_rewards(pairs.rejected_logps, pairs.ref_rejected_logps, flags.beta)

    pairwise.train(__file__, flags, objective, with_reference=True)


if __name__ == "__main__":
    stage.run(main, Flags)
