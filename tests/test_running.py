"""`preference/running/` says how a stage runs: no edit of it changes a result or what a result is known by."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from miniature import write_data

from preference.running import code, source_text
from preference.running.source_text import RUNNING

MEMBERS = (
    "preference/formats/sft.py",
    "preference/rewards/verifiers/min_length.py",
    "preference/engines/transformers.py",
)
SCRIPTS = sorted(path.name for path in source_text.SCRIPTS.glob("*.py"))
SMALL = "--vocab_size 512 --hidden_size 32 --num_layers 2 --num_heads 2 --context_length 256"
TWO_STEPS = "--learning_rate 1e-3 --epochs 1 --batch_size 8 --micro_batch_size 4 --max_length 200"
DRAWS = "--samples_per_prompt 2 --temperature 1.0 --top_p 1.0 --max_new_tokens 16 --shard_size 6 --engine transformers"
STAGES = [  # the chain of a small experiment
    "prepare_task --sft instructions.jsonl --num_sft 16 --num_prompts 8 --num_eval_prompts 4 --seed 0 --output data",
    f"initialize_model --data data/sft.parquet {SMALL} --seed 1 --output base",
    f"train_sft --data data/sft.parquet --base_model base {TWO_STEPS} --seed 1 --output sft --log_output sft.csv",
    f"generate_responses --policy sft --prompts data/prompts.parquet {DRAWS} --seed 1 --round 1 "
    "--output responses.parquet",
    "score_responses --responses responses.parquet --gold_reward min_length --length_unit words --batch_size 4 "
    "--max_length 200 --output rewards.parquet",
    "construct_pairs --rewards rewards.parquet --seed 1 --output pairs.parquet",
]
RUN_ALL = """
import runpy, sys
for command in sys.argv[1:]:
    name, *flags = command.split()
    sys.argv = [f"scripts/{name}.py", *flags]
    runpy.run_path(sys.argv[0], run_name="__main__")
"""
TAKEN = {  # what code that counts takes of code that does not -> why no edit of it can change a result
    "stage.run": "starts `main` and turns errors into one line",
    "stage.say": "prints",
    "stage.Progress": "prints",
    "stage.InputError": "ends the stage",
    "flags.flag": "declares a flag, whose type and default count where it is declared",
    "flags.derived": "puts the given values into a copy",
    "shards.ShardFlags": "declares a flag that only chooses among rows",
    "shards.Shards": "returns what `work` made of each part, whose size is a flag that counts",
    "shards.share": "reads the number of a shard",
    "checkpoints.Checkpoints": "returns a state of the same training, after some of its steps",
    "trackers.tracked": "shows a training's log elsewhere",
    "code.record": "is the code record itself",
    "source_text.SCRIPTS": "is where the code record is read",
    "source_text.is_found_by_name": "names the modules of a code record",
}


class Edited(ast.NodeTransformer):
    """Changes all that is shown and all errors, and turns the order of a module's functions round."""

    def visit_Raise(self, node):
        if isinstance(node.exc, ast.Call) and getattr(node.exc.func, "id", "") == "InputError":
            node.exc.args = [ast.Constant("an edited error")]
        return self.generic_visit(node)

    def visit_Call(self, node):
        if getattr(node.func, "id", "") in ("say", "print") and node.args:
            node.args[0] = ast.BinOp(ast.Constant("edited: "), ast.Add(), ast.Call(ast.Name("str"), [node.args[0]], []))
        return self.generic_visit(node)

    def visit_Module(self, node):
        self.generic_visit(node)
        plain = [each for each in node.body if isinstance(each, ast.FunctionDef) and not each.decorator_list]
        others = (name for each in node.body if each not in plain for name in ast.walk(each))
        named = {name.id for name in others if isinstance(name, ast.Name)}  # the import of the module may call these
        functions = [each for each in plain if each.name not in named]
        rest = [each for each in node.body if each not in functions]
        return ast.Module([*rest, *reversed(functions)], [])


def edited(path: Path) -> str:
    text = path.read_text(encoding="utf-8").replace("seconds: float = 5.0", "seconds: float = 0.0").replace("█", "#")
    return ast.unparse(ast.fix_missing_locations(Edited().visit(ast.parse(text))))


@pytest.fixture(scope="module")
def projects(tmp_path_factory):
    """The scripts, and the same with every module of preference/running edited, each in a folder with data."""
    folders = [tmp_path_factory.mktemp(name) for name in ("before", "after")]
    for folder in folders:
        shutil.copytree(source_text.SCRIPTS, folder / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
        write_data(folder)
    for path in (folders[1] / "scripts" / RUNNING).glob("*.py"):
        path.write_text(edited(path), encoding="utf-8")
    return folders


def run(folder: Path) -> str:
    """Run the stages in one process, and return what they print."""
    command, environment = [sys.executable, "-c", RUN_ALL, *STAGES], {**os.environ, "PYTHONPATH": "scripts"}
    found = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr[-3000:]
    return found.stdout + found.stderr


def written(folder: Path) -> dict[str, bytes]:
    """Return every file of a folder, but for the scripts, by its name."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.relative_to(folder).parts[0] != "scripts")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_no_edit_of_how_a_stage_runs_changes_a_byte_that_it_writes(projects):
    before, after = map(run, projects)
    assert "edited: " in after and "edited: " not in before
    files = [written(folder) for folder in projects]
    assert {"sft/model.safetensors", "sft.csv", "responses.parquet", "rewards.parquet", "pairs.parquet"} <= files[
        0
    ].keys()
    assert files[0].keys() == files[1].keys()
    assert [name for name in files[0] if files[0][name] != files[1][name]] == []


def test_no_edit_of_how_a_stage_runs_changes_a_fingerprint(projects, monkeypatch):
    def records(folder):
        monkeypatch.setattr(source_text, "SCRIPTS", folder / "scripts")
        code.forget()
        return {
            script: (code.record(script, MEMBERS), sorted(code.Reach(script, MEMBERS).names().names))
            for script in SCRIPTS
        }

    before, after = map(records, projects)
    monkeypatch.undo()
    code.forget()
    assert before == after


def test_what_counts_takes_from_how_a_stage_runs_only_what_cannot_change_a_result():
    taken = set()
    for path in source_text.SCRIPTS.rglob("*.py"):
        file = str(path.relative_to(source_text.SCRIPTS))
        if not file.startswith(RUNNING):
            found = source_text.summary(file)
            for part in (found["statements"], *found["definitions"].values()):
                taken |= set(taken_by(part, found["bound"]))
    assert taken == TAKEN.keys(), "say in TAKEN why the new name cannot change a result, or move it out of running/"


def taken_by(part: dict, bound: dict):
    """Yield `module.name` of all that a definition uses of preference/running/."""
    for name, *attributes in part["uses"]:
        dotted = part["bound"].get(name) or bound.get(name, "")
        if f"{dotted}.".startswith(RUNNING.replace("/", ".")):
            yield ".".join([*dotted.split("."), *attributes][2:4])
