"""Train a reward model: pairs.parquet + SFT policy -> model/ and its accuracy on held-out pairs.

Bradley-Terry, -log sigmoid(s_w - s_l) (arXiv 2203.02155, equation 1), a linear head on the last token of the policy
that it starts from. It reads the same template and the same EOS in training as it will when it scores. It may learn
from a part of the pairs, and from labels of which some are wrong; held-out pairs are all there, and keep theirs.
"""

from typing import Any

import numpy
import torch
from pydantic.dataclasses import dataclass

from preference.analysis import intervals
from preference.files import artifacts, provenance, records
from preference.losses.contrastive import bradley_terry_loss
from preference.models import chat, chat_flags, policies
from preference.rewards import reward_models
from preference.running import stage
from preference.running.flags import flag
from preference.running.ranges import Count, Share, Smoothing
from preference.running.stage import Progress
from preference.tasks import labels
from preference.training import fit


@dataclass(frozen=True, kw_only=True)
class Flags(fit.Training):
    pairs: str = flag("pairs.parquet: the preferences to learn from", config=False)
    eval_pairs: str = flag("pairs.parquet: held-out preferences", config=False)
    policy: str = flag("policy folder to start from (the SFT policy)", config=False)
    num_pairs: Count | None = flag("pairs to learn from, drawn at random, a subset of any larger draw; else all", None)
    label_noise: Share = flag(
        "probability of a pair to learn from that its labels are swapped", 0.0, unit="share of the pairs"
    )
    label_smoothing: Smoothing = flag("assumed rate of wrong labels, as in train_dpo", 0.0, unit="share of the pairs")
    evaluation_output: str = flag("evaluation.json to write: held-out accuracy and loss with 95 % intervals")


def main(flags: Flags) -> None:
    rows, eval_rows = records.read(flags.pairs, "pairs"), records.read(flags.eval_pairs, "pairs")
    chat_format = chat.load(flags.policy, flags)
    chat_format.check_disjoint(flags.pairs, rows, flags.eval_pairs, eval_rows)
    counts: dict[str, Any] = {"rows_in": len(rows)}
    rows = labels.subset(rows, flags.num_pairs, flags.seed, flags.pairs)
    rows, counts["swapped"] = labels.noised(rows, flags.label_noise, flags.seed)
    counts["pairs"] = len(rows)
    print(f"pairs to learn from: {len(rows)} of {counts['rows_in']}, the labels of {counts['swapped']} swapped")
    torch.manual_seed(flags.seed)  # the new head's weights
    model = policies.new_reward_model(flags.policy, chat_format.pad_id)
    policies.check_context(model.config, flags.policy, flags.max_length)
    # From the texts, as they will be read when scoring.
    rows, encoded = chat.encode_pairs(flags.pairs, rows, chat_format, fit.limit(flags), drawn=False)
    chosen, rejected = ([pair[side] for pair in encoded] for side in (0, 1))

    def loss(micro, step):
        scores = reward_models.sequence_scores(model, [side[i] for side in (chosen, rejected) for i in micro], pad)
        margins = scores[: len(micro)] - scores[len(micro) :]
        chosen_scores, rejected_scores = scores.chunk(2)
        losses = bradley_terry_loss(chosen_scores, rejected_scores, flags.label_smoothing)
        return losses.sum() / len(step), {"accuracy": (margins > 0).sum().item(), "margin": margins.sum().item()}

    pad = chat_format.pad_id
    lengths = [max(sum(map(len, a)), sum(map(len, b))) for a, b in zip(chosen, rejected, strict=True)]
    inputs = {"pairs": flags.pairs, "eval_pairs": flags.eval_pairs, "policy": flags.policy, **chat_flags.inputs(flags)}
    made_by = provenance.describe(__file__, flags, inputs, **counts)
    named = fit.Rows([row["prompt_id"] for row in rows], lengths)
    fit.train(
        model, chat_format, named, loss, flags, made_by, lambda: evaluate(model, chat_format, eval_rows, flags, made_by)
    )


def evaluate(model, chat_format: chat.Chat, rows: list[dict], flags: Flags, made_by: dict) -> None:
    """Write evaluation.json: the metrics of the trained model on held-out pairs."""
    metrics = held_out_metrics(model, chat_format, rows, flags)
    content = {"kind": "evaluation", **made_by, "num_pairs": len(rows), "metrics": metrics}
    artifacts.write_json(flags.evaluation_output, content)
    accuracy = metrics["accuracy"]
    stage.say(
        f"held-out accuracy {accuracy['mean']:.3f} [{accuracy['low']:.3f}, {accuracy['high']:.3f}] "
        f"on {len(rows)} pairs of {accuracy['n']} prompts"
    )


def held_out_metrics(model, chat_format: chat.Chat, rows: list[dict], flags: Flags) -> dict:
    """Accuracy (a tie counts half), loss and margin on held-out pairs; intervals over prompts, which may repeat."""
    rows, encoded = chat.encode_pairs(flags.eval_pairs, rows, chat_format, fit.limit(flags), drawn=False)
    progress = Progress(2 * len(rows), "responses")
    chosen, rejected = (
        torch.tensor(
            reward_models.all_scores(
                model, [pair[side] for pair in encoded], chat_format.pad_id, flags.micro_batch_size, progress
            )
        )
        for side in (0, 1)
    )
    values = {
        "accuracy": (chosen > rejected).double() + 0.5 * (chosen == rejected).double(),
        "loss": bradley_terry_loss(chosen, rejected).double(),
        "margin": (chosen - rejected).double(),
    }
    rng, prompt_ids = numpy.random.default_rng(flags.seed), [row["prompt_id"] for row in rows]
    return {name: intervals.summary(value.numpy(), rng, prompt_ids) for name, value in values.items()}


if __name__ == "__main__":
    stage.run(main, Flags)
