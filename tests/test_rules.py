"""The rule files: a grammar that all use, and families whose names are their own."""

import ast
import re

import pytest
from miniature import ROOT
from test_bad_inputs import python_of

from workflow import patches, stages

RULES = ROOT / "workflow" / "rules"
GRAMMAR = ("site", "tree", "calls", "figures")  # what these set is for all rules
FAMILIES = sorted(path.stem for path in RULES.glob("*.smk") if path.stem not in GRAMMAR)


def tree_of(name):
    return ast.parse(python_of((RULES / f"{name}.smk").read_text(encoding="utf-8")))


def names_set(name):
    """Return what a rule file sets for those that are read after it; rules themselves are no such names."""
    found = []
    for node in tree_of(name).body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("__rule_"):
            found.append(node.name)
        for each in ast.walk(node) if not isinstance(node, ast.FunctionDef) else ():
            is_set = isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
            found += [each.id] if is_set and not _is_inner(node, each) else []
    return set(found)


def _is_inner(node, name):
    """Say whether a name is set by a comprehension only, and so forgotten after it."""
    inner = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
    return any(name in ast.walk(each) for each in ast.walk(node) if isinstance(each, inner))


def names_read(name):
    read = (each for each in ast.walk(tree_of(name)) if isinstance(each, ast.Name))
    return {each.id for each in read if isinstance(each.ctx, ast.Load)}


@pytest.mark.parametrize("name", FAMILIES)
def test_no_family_sets_a_name_that_another_file_reads_or_sets(name):
    others = [other for other in (*GRAMMAR, *FAMILIES) if other != name]
    for other in others:
        assert not names_set(name) & (names_read(other) | names_set(other)), other


@pytest.mark.parametrize("name", GRAMMAR)
def test_no_name_of_the_grammar_is_set_twice(name):
    for other in GRAMMAR:
        assert other == name or not names_set(name) & names_set(other)
    assert not names_set(name) & {"config", "rules", "workflow"}


def test_every_rule_that_runs_a_stage_has_a_row_and_every_row_a_rule():
    texts = "".join((RULES / f"{name}.smk").read_text(encoding="utf-8") for name in FAMILIES)
    named = set(re.findall(r"^ *rule (\w+):", texts, re.MULTILINE))
    assert named - {"fetch"} == set(stages.OF_RULE)  # which is a target


def test_the_documented_table_is_that_of_the_stages():
    assert stages.described() in (ROOT / "docs" / "snakemake.md").read_text(encoding="utf-8")


def test_every_command_is_the_same_constant():
    for name in FAMILIES:
        text = (RULES / f"{name}.smk").read_text(encoding="utf-8")
        assert set(re.findall(r"shell:\n +(.*)", text)) <= {"RUN"}


def test_a_patch_of_what_is_not_there_says_which_version_it_is_written_for():
    with pytest.raises(AssertionError, match="which envs/lock.txt pins"):
        patches.expect(patches.Workflow, "rule", "self", "name")
    with pytest.raises(AssertionError, match="which envs/lock.txt pins"):
        patches.expect(patches.DAG, "update_needs", "self")


def test_two_rows_of_one_stage_are_one_line():
    row = stages.of("train_dpo")
    with pytest.raises(SystemExit, match="workflow/stages.py: two rows define train_dpo, which makes policy"):
        stages.by_name([("train_dpo", row), ("train_ipo", row), ("train_dpo", row)])
