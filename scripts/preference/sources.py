"""The sources of a task before any is read: which do not go together. Standard library only: planning asks too."""

from collections.abc import Iterator

from preference import instructions

BUILT_IN = "built_in"
ROLES = ("sft", "prompts", "preferences", "eval_prompts", "eval_preferences")


def problems(given: dict) -> Iterator[tuple[str, str]]:
    """(flag, what is wrong with it), for what no data could mend.

    Args:
        given: flags of prepare_task by name; one that is not given is None, or not there.
    """
    others = [role for role in ROLES[1:] if given.get(role)]
    if given["sft"] == BUILT_IN:
        for role in others:
            yield role, f"is not needed: sft is {BUILT_IN}, which makes all roles itself"
        yield from _numbers(given)
    else:
        if given.get("answer_words") is not None:
            yield "answer_words", f"is of {BUILT_IN} only, which sft is not"
        for role in others:
            if given[role] == BUILT_IN:
                yield role, f"only sft can be {BUILT_IN}"
        if "eval_prompts" not in others and given.get("num_eval_prompts") is None:
            yield "num_eval_prompts", "is missing: how many prompts to hold out; or name a source of eval_prompts"
    if "eval_preferences" in others and "preferences" not in others:
        yield "eval_preferences", "is of use only beside preferences"
    if {"preferences", "eval_prompts"} <= set(others) and "eval_preferences" not in others:
        yield "eval_preferences", "is missing: no pair of the preferences may have one of the eval_prompts"


def _numbers(given: dict) -> Iterator[tuple[str, str]]:
    numbers = {name: given.get(name) for name in ("num_sft", "num_prompts", "num_eval_prompts")}
    missing = [name for name, number in numbers.items() if number is None]
    for name in missing:
        yield name, f"is missing; sft is {BUILT_IN}, which makes as many as it is told"
    if not missing and (total := sum(numbers.values())) > (there := instructions.available()):
        yield (
            "num_sft",
            f"is too many: with num_prompts and num_eval_prompts {total}, and {BUILT_IN} has {there} prompts",
        )
