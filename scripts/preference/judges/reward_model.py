"""A reward model: the answer with the higher score wins, and equal scores are a tie. No order is to be swapped."""

from preference.judges import verdicts
from preference.models import model_folders, policies
from preference.rewards import reward_models
from preference.running.shards import Shards


class Judge:
    """The reward model of --judge, a folder or a hub id with one label."""

    def __init__(self, flags):
        self.flags = flags
        model_folders.check_reward_model(flags.judge)
        policies.load_config(flags.judge)  # a hub id has a commit only once a file of it is in the cache
        self.inputs, self.facts = {"judge": flags.judge}, {}

    def judge(self, pairs: list[dict], template: str, shards: Shards) -> list[dict]:
        """Return the verdict of the two scores of each pair."""
        rows = [self._row(pair, side) for pair in pairs for side in ("", "baseline_")]
        longest = self.flags.max_model_len or 10**9  # what the model reads is the limit then
        scores = reward_models.learned_rewards(self.flags.judge, rows, self.flags.batch_size, longest, shards)
        return [_judgement(*both) for both in zip(scores[::2], scores[1::2], strict=True)]

    def _row(self, pair: dict, side: str) -> dict:
        """Return one side of a pair as a row of kind "responses"."""
        asked = {name: pair[name] for name in ("prompt_id", "prompt", "tools")}
        return {**asked, "response": pair[f"{side}response"], "finish_reason": pair[f"{side}finish_reason"]}


def _judgement(score: float, other: float) -> dict:
    first = verdicts.TIE if score == other else verdicts.FIRST if score > other else verdicts.SECOND
    swapped = {verdicts.FIRST: verdicts.SECOND, verdicts.SECOND: verdicts.FIRST}.get(first, verdicts.TIE)
    return {
        **{"verdict": first, "swapped_verdict": swapped, "preference": verdicts.preference(first, swapped)},
        **{"reply": f"{score:.6g} against {other:.6g}", "swapped_reply": f"{other:.6g} against {score:.6g}"},
    }
