"""Say whether on-policy data should help: SFT samples + held-out pairs with reference_logps -> geometry.json, .txt.

Places the task in the coverage table of arXiv 2404.14367: do the peaks of reward and reference overlap (C1), do the
preferences and the reference (C2)? C1 is of the gold reward where the task has one, as the paper's is: a learned proxy
that is flat at its top looks like a peak that is near. The learned reward's number stands beside it. Each is a
statistic with a bootstrap interval over prompts; how sure the cell is, is the share of resamples that fall into it.
Then comes what the paper found there. Nothing is sampled or trained.
"""

import dataclasses

import numpy as np
from pydantic.dataclasses import dataclass

from preference.analysis import geometry, intervals
from preference.files import artifacts, documents, provenance, records
from preference.running import stage
from preference.running.flags import flag
from preference.running.ranges import Seed
from preference.running.stage import InputError

RESAMPLES = 2000


@dataclass(frozen=True, kw_only=True)
class Flags:
    samples: str = flag("evaluation.parquet of the SFT policy: at least 8 samples of each held-out prompt")
    pairs: str = flag("reference_logps.parquet of held-out preferences of the same prompts")
    seed: Seed = flag("seed of the bootstrap")
    output: str = flag("geometry.json to write")
    text_output: str = flag("geometry.txt to write, the same to read")


@dataclasses.dataclass(frozen=True)
class Samples:
    """A row per prompt, a column per sample: shape (prompts, k)."""

    prompt_ids: list[str]
    reward: np.ndarray
    gold_reward: np.ndarray | None
    logps: np.ndarray
    lengths: np.ndarray  # in tokens, EOS being one


def main(flags: Flags) -> None:
    rows, pairs = records.read(flags.samples, "evaluation"), records.read(flags.pairs, "reference_logps")
    samples = by_prompt(rows, flags.samples)
    known = set(samples.prompt_ids)
    kept = [row for row in pairs if row["prompt_id"] in known]
    if not kept:
        raise InputError(f"--pairs {flags.pairs}: none of its prompts has samples in {flags.samples}")
    name, judged = judge(samples)
    if not np.ptp(judged, axis=1).any():
        raise InputError(f"--samples {flags.samples}: all samples of each prompt have the same {name}")
    found, cells = diagnose(samples, kept, flags.seed)
    counts = {"prompts": len(known), "samples_per_prompt": samples.reward.shape[1], "pairs": len(kept)}
    inputs = {"samples": flags.samples, "pairs": flags.pairs}
    made_by = provenance.describe(__file__, flags, inputs, rows_in=len(pairs), rows_out=len(kept))
    content = {**counts, "judged_by": name, "metrics": found, **verdict(found, cells)}
    documents.GEOMETRY.check(content)
    artifacts.write_json(flags.output, {"kind": "geometry", **made_by, **content})
    text = as_text(content)
    artifacts.write_text(flags.text_output, text, made_by)
    print(text)
    stage.say(f"{content['cell']}, sure {content['sure']:.0%}")


def by_prompt(rows: list[dict], path: str) -> Samples:
    """The samples as a row per prompt; the first k of each, k being the fewest that a prompt has."""
    groups: dict[str, list[dict]] = {}
    for row in sorted(rows, key=lambda row: (row["prompt_id"], row["sample_id"])):
        groups.setdefault(row["prompt_id"], []).append(row)
    fewest = min(map(len, groups.values()))
    if fewest < geometry.LAST:
        raise InputError(
            f"--samples {path}: has {fewest} of a prompt; what is compared within prompts wants {geometry.LAST}; "
            "set evaluate_policy's samples_per_prompt"
        )

    def table(value) -> np.ndarray:
        return np.array([[value(row) for row in group[:fewest]] for group in groups.values()], dtype=float)

    return Samples(
        prompt_ids=list(groups),
        reward=table(lambda row: row["reward"]),
        gold_reward=None if rows[0]["gold_reward"] is None else table(lambda row: row["gold_reward"]),
        logps=table(lambda row: row["logps"]),
        lengths=table(lambda row: len(row["response_ids"])),
    )


def diagnose(samples: Samples, pairs: list[dict], seed: int) -> tuple[dict, np.ndarray]:
    """(the statistics with their intervals, the cell of each resample: shape (resamples, 2) of booleans).

    One draw of prompts serves both conditions: a cell's share of resamples is that of both together.
    """
    prompts = len(samples.prompt_ids)
    rng = intervals.generator(seed, "geometry")
    draws = np.vstack([np.ones(prompts), rng.multinomial(prompts, np.full(prompts, 1 / prompts), size=RESAMPLES)])
    late, shared = late_gain(judge(samples)[1], draws), overlap(samples, pairs, draws)
    found = {"late_gain": interval(late), "overlap": interval(shared), **beside(samples, pairs, seed)}
    if samples.gold_reward is not None and np.ptp(samples.reward, axis=1).any():
        found["learned_late_gain"] = interval(late_gain(samples.reward, draws))
    return found, np.stack([late < geometry.LATE_GAIN, shared >= geometry.OVERLAP], axis=1)[1:]


def judge(samples: Samples) -> tuple[str, np.ndarray]:
    """(name, rewards) of the reward whose peak is looked for: the gold one where there is one."""
    gold = samples.gold_reward
    return ("reward", samples.reward) if gold is None else ("gold_reward", gold)


def late_gain(rewards: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """C1, a ratio of sums over the prompts of each draw: shape (draws,); NaN where a draw has nothing to gain."""
    last, whole = (draws @ part for part in geometry.late_gains(rewards))
    return np.divide(last, whole, out=np.full(len(draws), np.nan), where=whole > 0)


def overlap(samples: Samples, pairs: list[dict], draws: np.ndarray) -> np.ndarray:
    """C2: the least overlap, of summed logps or of logps per token; NaN where a draw has no prompt with a pair.

    Either alone is fooled by length: a short response has a high sum, one that is cut and closed a low mean.
    """
    found = []
    for per_token in (False, True) if tokens_known(pairs) else (False,):
        scale = samples.lengths if per_token else np.ones_like(samples.lengths)
        counts = np.zeros((len(scale), scale.shape[1] + 1))
        for row, values in of_pairs(samples, pairs, per_token):
            counts[row] += geometry.percentile_counts(values, samples.logps[row] / scale[row])
        found.append(geometry.overlaps(counts, draws))
    return np.min(found, axis=0)


def tokens_known(pairs: list[dict]) -> bool:
    return all(row["chosen_tokens"] is not None and row["rejected_tokens"] is not None for row in pairs)


def of_pairs(samples: Samples, pairs: list[dict], per_token: bool):
    """(row of its prompt, the reference's logps of chosen and rejected, of a token where asked) of each pair."""
    place = {prompt_id: row for row, prompt_id in enumerate(samples.prompt_ids)}
    for pair in pairs:
        values = np.array([pair["ref_chosen_logps"], pair["ref_rejected_logps"]])
        lengths = [len(pair[f"{side}_tokens"]) for side in ("chosen", "rejected")] if per_token else [1, 1]
        yield place[pair["prompt_id"]], values / np.array(lengths)


def beside(samples: Samples, pairs: list[dict], seed: int) -> dict:
    """What no cell hangs on: correlations, best-of-n, tilting, percentiles; means with intervals over prompts."""
    per_token = samples.logps / samples.lengths
    values = {
        "reward_logps_correlation": geometry.spearman(samples.reward, samples.logps),
        "reward_logps_per_token_correlation": geometry.spearman(samples.reward, per_token),
        "effective_share": [
            geometry.effective_share(geometry.tilting_weights(row, geometry.KL)) for row in samples.reward
        ],
    }
    for n in geometry.SIZES:
        values[f"best_of_{n}"] = geometry.best_of_n(samples.reward, n)
        if samples.gold_reward is not None:
            values[f"best_of_{n}_gold"] = geometry.best_of_n(samples.reward, n, samples.gold_reward)
    groups = {name: samples.prompt_ids for name in values}
    for name, by_token in [("logps", False)] + [("logps_per_token", True)] * tokens_known(pairs):
        among = per_token if by_token else samples.logps
        found = [geometry.percentiles(v, among[row]) for row, v in of_pairs(samples, pairs, by_token)]
        for side, column in zip(("chosen", "rejected"), np.transpose(found), strict=True):
            values[f"{side}_{name}_percentile"] = column
            groups[f"{side}_{name}_percentile"] = [row["prompt_id"] for row in pairs]
    return {
        name: intervals.summary(value, intervals.generator(seed, name), groups[name]) for name, value in values.items()
    }


def interval(draws: np.ndarray) -> dict[str, float]:
    """A statistic of all prompts (the first) and the 95 % percentile interval of its resamples."""
    low, high = np.nanquantile(draws[1:], [0.025, 0.975])
    return {"mean": float(draws[0]), "low": float(low), "high": float(high)}


def verdict(found: dict, cells: np.ndarray) -> dict:
    """The cell, the share of resamples in it and in each other, and what the paper expects there."""
    cell = (found["late_gain"]["mean"] < geometry.LATE_GAIN, found["overlap"]["mean"] >= geometry.OVERLAP)
    shares = {name: float((cells == np.array(each)).all(axis=1).mean()) for each, name in geometry.CELLS.items()}
    return {
        "cell": geometry.CELLS[cell],
        "peaks_overlap": bool(cell[0]),
        "preferences_overlap": bool(cell[1]),
        "sure": shares[geometry.CELLS[cell]],
        "shares": shares,
        **dict(zip(geometry.QUESTIONS, map(str, geometry.EXPECTED[cell]), strict=True)),
        "best_of_n_kl": {str(n): geometry.best_of_n_kl(n) for n in geometry.SIZES},
    }


def as_text(content: dict) -> str:
    """geometry.txt: the cell, why, what to expect, and every statistic a line."""
    peaks = "overlap" if content["peaks_overlap"] else "are disjoint"
    preferences = "overlap" if content["preferences_overlap"] else "do not overlap"
    lines = [
        f"cell: peaks of reward and reference {peaks}, preferences and reference {preferences}: {content['cell']}",
        f"sure: {content['sure']:.0%} of resamples of the prompts fall into this cell",
        f"C1: peaks overlap where late_gain, here of {content['judged_by']}, is below {geometry.LATE_GAIN}",
        f"C2: preferences overlap where overlap is {geometry.OVERLAP} or more",
        f"on-policy data, by arXiv 2404.14367: {content['on_policy_data']}",
        f"negative gradient, by arXiv 2404.14367: {content['negative_gradient']}",
        f"from {content['samples_per_prompt']} samples of {content['prompts']} prompts and {content['pairs']} pairs",
        "",
        f"{'statistic':<36}{'mean':>9}{'low':>9}{'high':>9}",
    ]
    for name, at in content["metrics"].items():
        lines.append(f"{name:<36}{at['mean']:>9.3f}{at['low']:>9.3f}{at['high']:>9.3f}")
    lines += [f"KL of best of {n}: {kl:.3f} nats" for n, kl in content["best_of_n_kl"].items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    stage.run(main, Flags)
