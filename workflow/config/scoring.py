"""What scores the responses of a task: the reward that its runs train on, and its gold reward. Pure functions of it."""

import json
from dataclasses import MISSING, fields

from preference.rewards import GOLD_REWARDS, specs
from preference.rewards.specs import TRAINED, Part

# The keys of a gold reward of the response's length -> the flags that say them.
GOLD_REWARD = {"name": "gold_reward", "target": "target_length", "unit": "length_unit"}


def training(task: dict) -> list[Part]:
    """Return the parts of the reward that a task's runs train on, unless a run says another one."""
    return specs.parse(task.get("reward_model", TRAINED), "reward_model", "model")


def gold(task: dict) -> list[Part]:
    """Return the parts of a task's gold reward; none if it has none."""
    return specs.parse(task["gold_reward"], "gold_reward", "name") if "gold_reward" in task else []


def needs_training(parts: list[Part]) -> bool:
    """Say whether one of the parts is the reward model that the workflow trains."""
    return any(is_trained(part) for part in parts)


def is_trained(part: Part) -> bool:
    """Say whether a part is the reward model that the workflow trains."""
    return part.kind == "model" and part.subject == TRAINED


def is_trained_alone(parts: list[Part]) -> bool:
    """Say whether the reward is the trained reward model and nothing else, whose folder is a flag's plain value."""
    return len(parts) == 1 and is_trained(parts[0]) and parts[0].weight == 1


def models(parts: list[Part]) -> list[str]:
    """Return the reward models among the parts that the workflow does not train: folders and hub ids."""
    return [part.subject for part in parts if part.kind == "model" and not is_trained(part)]


def files(parts: list[Part]) -> list[str]:
    """Return the Python files among the parts."""
    return [file for part in parts if part.kind == "python" for file in part.files()]


def verifiers(parts: list[Part]) -> list[str]:
    """Return the source files of the verifiers among the parts, below scripts/."""
    return sorted({f"preference/rewards/verifiers/{part.subject}.py" for part in parts if part.kind == "name"})


def typed(parts: list[Part], trained: str = TRAINED) -> list[str]:
    """Return the parts as a flag takes them: JSON of each, with every default filled in.

    Args:
        trained: the folder of the reward model that the workflow trains.
    """
    return [json.dumps(_whole(part, trained), sort_keys=True) for part in parts]


def _whole(part: Part, trained: str = TRAINED) -> dict:
    spec = {"model": trained} if is_trained(part) else part.spec
    defaults = {}
    if part.kind == "name":
        known = fields(part.verifier())
        defaults = {field.name: field.default for field in known if field.default is not MISSING}
    return {**defaults, **spec, "weight": part.weight, "as": part.name}


def gold_reward_of_length(task: dict) -> dict[str, object]:
    """Return a gold reward of the response's length as a mapping of name, target and unit; empty if it is another."""
    said = task.get("gold_reward")
    said = {"name": said} if isinstance(said, str) else said
    if isinstance(said, dict) and said.get("name") in GOLD_REWARDS and said.keys() <= GOLD_REWARD.keys():
        return {"unit": "tokens", **said}
    return {}


def gold_flags(task: dict) -> dict[str, object]:
    """Return a task's gold reward as the flags of the stages that score responses; empty if it has none."""
    if of_length := gold_reward_of_length(task):
        return {flag: of_length.get(key) for key, flag in GOLD_REWARD.items()}
    return {"gold_reward": typed(gold(task))} if "gold_reward" in task else {}


def complete(task: dict) -> dict[str, object]:
    """Return a task's reward_model and gold_reward with every default filled in."""
    parts = training(task)
    found: dict[str, object] = {}
    found["reward_model"] = TRAINED if is_trained_alone(parts) else [_whole(part) for part in parts]
    if "gold_reward" in task:
        found["gold_reward"] = gold_reward_of_length(task) or [_whole(part) for part in gold(task)]
    return found
