"""Judges of two answers to one prompt. Each module is a kind of judge, found by its name.

A module has a class `Judge`, made of the flags of judge_responses. It has `inputs`, the files and models that it reads
by the flag that names them, `facts` for the provenance, and `judge(pairs, template, shards)`, which returns the columns
verdict, swapped_verdict, reply, swapped_reply and preference of each pair.
"""

import importlib

KINDS = ("local_model", "reward_model", "endpoint")


def load(kind: str, flags):
    """Return the judge of a kind.

    Raises:
        InputError: it cannot be asked.
    """
    return importlib.import_module(f"{__name__}.{kind}").Judge(flags)


def members(kind: str) -> list[str]:
    """Return the source files of a kind of judge, which no import statement names."""
    return [f"preference/judges/{kind}.py"]
