"""The data of a task: roles that are given or derived, what is held out, what is dropped, and what is refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import prepare_task
from preference import provenance, records
from preference.stage import InputError

ROOT = Path(__file__).parents[1]
REAL = ROOT.parent / "shared" / "data"


def prepare(folder, **options):
    """Run the stage in this process; its tables by role."""
    options = {"seed": 0, "output": str(folder / "data")} | options
    prepare_task.main(prepare_task.Flags(**options))
    return tables(folder / "data")


def tables(folder):
    return {p.stem: records.read(p, prepare_task.KINDS[p.stem]) for p in sorted(folder.glob("*.parquet"))}


def source(folder, name, rows):
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def sft(*numbers):
    return [{"prompt": f"p{i}", "response": f"r{i}"} for i in numbers]


def pairs(*numbers):
    return [{"prompt": f"p{i}", "chosen": f"good{i}", "rejected": f"bad{i}"} for i in numbers]


def prompts(rows):
    return {row["prompt"] for row in rows}


def call(*arguments, **environment):
    return subprocess.run(
        [sys.executable, ROOT / "scripts" / "prepare_task.py", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1", **environment},
    )


def test_built_in_makes_three_disjoint_sets_of_prompts_of_the_sizes_asked_for(tmp_path):
    made = prepare(tmp_path, sft="built_in", num_sft=30, num_prompts=20, num_eval_prompts=10)
    assert {role: len(rows) for role, rows in made.items()} == {"sft": 30, "prompts": 20, "eval_prompts": 10}
    assert len(prompts(made["sft"]) | prompts(made["prompts"]) | prompts(made["eval_prompts"])) == 60
    assert all(row["response"] for row in made["eval_prompts"])
    assert all(row["prompt_id"] == records.prompt_id(row["prompt"]) for rows in made.values() for row in rows)


def test_built_in_starts_without_the_heavy_libraries(tmp_path):
    code = (
        "import sys, prepare_task as p; "
        "p.main(p.Flags(sft='built_in', num_sft=5, num_prompts=5, num_eval_prompts=5, seed=0, output=sys.argv[1])); "
        "assert not {'datasets', 'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path], check=True, cwd=ROOT / "scripts")


def test_prompts_come_from_the_sft_data_where_there_are_no_preferences(tmp_path):
    path = source(tmp_path, "sft", sft(*range(10)))
    made = prepare(tmp_path, sft=path, num_eval_prompts=3, num_sft=5)
    assert set(made) == {"sft", "prompts", "eval_prompts"}
    held_out = prompts(made["eval_prompts"])
    assert len(made["sft"]) == 5 and len(made["prompts"]) == 7 and len(held_out) == 3
    assert not held_out & (prompts(made["sft"]) | prompts(made["prompts"]))
    assert all(row["response"] == row["prompt"].replace("p", "r") for row in made["eval_prompts"])


def test_prompts_and_held_out_pairs_come_from_the_preferences(tmp_path):
    given = {"sft": sft(*range(8)), "preferences": pairs(*range(4, 12)) + pairs(4, 5)}
    given["preferences"][-1]["rejected"] = "other"
    made = prepare(tmp_path, num_eval_prompts=3, **{role: source(tmp_path, role, rows) for role, rows in given.items()})
    held_out = prompts(made["eval_prompts"])
    assert len(held_out) == 3 and held_out <= prompts(given["preferences"])
    assert prompts(made["eval_preferences"]) == held_out
    assert prompts(made["preferences"]) == prompts(made["prompts"]) == prompts(given["preferences"]) - held_out
    assert prompts(made["sft"]) == prompts(given["sft"]) - held_out
    assert len(made["prompts"]) == 5
    answers = {row["prompt"]: row["response"] for row in given["sft"]}
    for row in made["eval_prompts"]:
        assert row["response"] == answers.get(row["prompt"], row["prompt"].replace("p", "good"))


def test_given_roles_are_taken_and_limited(tmp_path):
    given = {
        "sft": sft(*range(5)),
        "prompts": [{"prompt": f"p{i}"} for i in range(5, 10)],
        "preferences": pairs(*range(5)),
        "eval_prompts": [{"prompt": f"p{i}"} for i in range(20, 25)],
        "eval_preferences": pairs(30, 31),
    }
    paths = {role: source(tmp_path, role, rows) for role, rows in given.items()}
    made = prepare(tmp_path, num_prompts=4, num_eval_prompts=2, **paths)
    assert {role: len(rows) for role, rows in made.items()} == {
        "sft": 5,
        "prompts": 4,
        "preferences": 5,
        "eval_prompts": 2,
        "eval_preferences": 2,
    }
    assert all(prompts(made[role]) <= prompts(given[role]) for role in given)
    assert [row["response"] for row in made["eval_prompts"]] == [None, None]


def test_a_source_of_pairs_serves_as_sft_data_by_its_chosen_responses(tmp_path):
    made = prepare(tmp_path, sft=source(tmp_path, "pairs", pairs(*range(4))), num_eval_prompts=1)
    assert len(made["sft"]) == 3
    assert all(row["response"] == row["prompt"].replace("p", "good") for row in made["sft"])


def test_useless_rows_are_dropped_counted_and_printed(tmp_path, capsys):
    rows = [*sft(0, 1, 2, 3), *sft(3), {"prompt": "p9", "response": " "}, {"prompt": "", "response": "r"}]
    rows.append({"prompt": "p10", "response": "x" * 100})
    pair_rows = [*pairs(0, 1, 2, 3), {"prompt": "p1", "chosen": "same", "rejected": "same"}]
    pair_rows.append({"prompt": "p2", "chosen": "", "rejected": "bad"})
    paths = {"sft": source(tmp_path, "sft", rows), "preferences": source(tmp_path, "preferences", pair_rows)}
    made = prepare(tmp_path, num_eval_prompts=1, max_characters=50, **paths)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        f"sft: {paths['sft']}: format sft, 8 rows, 4 kept, "
        "dropped: 1 duplicate, 1 empty prompt, 1 empty response, 1 longer than max_characters"
    )
    assert lines[1].endswith("format trl, 6 rows, 5 kept, dropped: 1 identical chosen and rejected")
    assert "" in {row["chosen"] for row in made["preferences"] + made["eval_preferences"]}
    metadata = records.metadata(tmp_path / "data" / "sft.parquet")
    assert metadata["dropped"]["empty response"] == 1 and metadata["flags"]["num_eval_prompts"] == 1
    assert metadata["inputs"]["preferences"]["sha256"] == provenance.digest(paths["preferences"])
    for role in made:
        counts = records.metadata(tmp_path / "data" / f"{role}.parquet")
        assert counts["rows_in"] == counts["rows_out"] + sum(counts["dropped"].values())


def test_equal_flags_give_equal_bytes_and_another_seed_another_order(tmp_path):
    flags = ["--sft", source(tmp_path, "sft", sft(*range(40))), "--num_eval_prompts", 5]
    flags += ["--preferences", source(tmp_path, "preferences", pairs(*range(40)))]
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):  # processes with different hashes of texts
        done = call(*flags, "--seed", seed, "--output", tmp_path / name, PYTHONHASHSEED=str(ord(name)))
        assert done.returncode == 0, done.stderr
    files = [same_place(tmp_path / name) for name in "abc"]
    assert files[0] == files[1] and len(files[0]) == 5
    first, other = (tables(tmp_path / name) for name in "ac")
    assert [row["prompt"] for row in first["sft"]] != [row["prompt"] for row in other["sft"]]
    assert prompts(first["eval_prompts"]) != prompts(other["eval_prompts"])


def test_built_in_data_is_the_same_bytes_run_after_run(tmp_path):
    for name in "ab":
        prepare(tmp_path, sft="built_in", num_sft=9, num_prompts=9, num_eval_prompts=9, output=str(tmp_path / name))
    assert same_place(tmp_path / "a") == same_place(tmp_path / "b")


def same_place(folder: Path) -> dict[str, tuple]:
    """Rows and metadata of every table, but for where they lie: the path, and the seal that follows from it."""
    return {
        path.name: (pq.read_table(path).to_pylist(), records.metadata(path) | {"path": ""}) for path in folder.iterdir()
    }


def test_what_is_held_out_does_not_depend_on_the_order_of_the_source(tmp_path):
    for name, numbers in (("up", range(20)), ("down", reversed(range(20)))):
        prepare(tmp_path, sft=source(tmp_path, name, sft(*numbers)), num_eval_prompts=4, output=str(tmp_path / name))
    up, down = (prompts(tables(tmp_path / name)["eval_prompts"]) for name in ("up", "down"))
    assert up == down


def test_held_out_prompts_come_from_the_given_prompts_where_pairs_to_evaluate_on_are_given(tmp_path):
    given = {"sft": sft(0, 1), "prompts": sft(*range(10, 30)), "preferences": pairs(0, 1), "eval_preferences": pairs(9)}
    paths = {role: source(tmp_path, role, rows) for role, rows in given.items()}
    made = prepare(tmp_path, num_eval_prompts=5, **paths)
    assert prompts(made["eval_prompts"]) <= prompts(given["prompts"]) and len(made["prompts"]) == 15
    counts = records.metadata(tmp_path / "data" / "eval_prompts.parquet")
    assert (counts["rows_in"], counts["rows_out"]) == (20, 5) and sum(counts["dropped"].values()) == 15


@pytest.mark.parametrize(
    "options, line",
    [
        ({"sft": "built_in"}, "--num_sft: is missing; sft is built_in"),
        (
            {"sft": "built_in", "num_sft": 9999, "num_prompts": 1, "num_eval_prompts": 1},
            "--num_sft: is too many: with num_prompts and num_eval_prompts 10001",
        ),
        ({"sft": "{sft}"}, "--num_eval_prompts: is missing: how many prompts to hold out"),
        ({"sft": "{sft}", "num_eval_prompts": 0}, "--num_eval_prompts 0: must be at least 1"),
        ({"sft": "{sft}", "num_eval_prompts": 10}, "--num_eval_prompts 10: --sft has only 10 prompts"),
        ({"sft": "{sft}", "prompts": "built_in", "num_eval_prompts": 1}, "--prompts: only sft can be built_in"),
        ({"sft": "{prompts}", "num_eval_prompts": 1}, "holds no responses, so it cannot be --sft"),
        ({"sft": "{sft}", "preferences": "{sft}", "num_eval_prompts": 1}, "holds no pairs"),
        ({"sft": "{empty}", "num_eval_prompts": 1}, "none of its 3 rows is left; dropped: 3 empty response"),
        ({"sft": "{sft}", "eval_prompts": "{some}"}, "2 of its prompts are also in --sft {sft}, such as 'p"),
        (
            {"sft": "{sft}", "prompts": "{other}", "eval_prompts": "{other}"},
            "--eval_prompts {other}: 3 of its prompts are also in --prompts {other}, such as 'p50'",
        ),
        (
            {"sft": "{sft}", "preferences": "{pairs}", "eval_preferences": "{pairs}", "num_eval_prompts": 1},
            "--eval_preferences {pairs}: 10 of its prompts are also in --sft {sft}, such as 'p0'",
        ),
        (
            {"sft": "{sft}", "preferences": "{pairs}", "eval_prompts": "{other}"},
            "--eval_preferences: is missing: no pair of the preferences may",
        ),
        (
            {"sft": "{sft}", "eval_preferences": "{pairs}", "num_eval_prompts": 1},
            "is of use only beside preferences",
        ),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(tmp_path, options, line):
    paths = {
        "sft": source(tmp_path, "sft", sft(*range(10))),
        "prompts": source(tmp_path, "prompts", [{"prompt": "p"}]),
        "pairs": source(tmp_path, "pairs", pairs(*range(10))),
        "some": source(tmp_path, "some", sft(3, 50, 4)),
        "other": source(tmp_path, "other", sft(50, 51, 52)),
        "empty": source(tmp_path, "empty", [{"prompt": f"p{i}", "response": ""} for i in range(3)]),
    }
    with pytest.raises(InputError) as error:
        prepare(tmp_path, **{k: v.format(**paths) if isinstance(v, str) else v for k, v in options.items()})
    assert line.format(**paths) in str(error.value)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    "given, line",
    [
        ("none.parquet", "none.parquet: no such file or folder"),
        ("nobody/nothing:train", "nobody/nothing:train: cannot be loaded from the hub: "),
        ("nothing", "nothing: neither a path"),
        ("{bad}", "{bad}: row 1: column 'preference' is 3, neither 1 nor 2"),
        ("{unknown}", "{unknown}: unknown format with the columns question (text); known are "),
    ],
)
def test_a_wrong_source_is_one_line_on_the_terminal_and_nothing_in_the_home_folder(tmp_path, given, line):
    row = {"instruction": "Q", "input": "", "output_1": "a", "output_2": "b", "preference": 1}
    paths = {"bad": source(tmp_path, "bad", [row, row | {"preference": 3}])}
    paths["unknown"] = source(tmp_path, "unknown", [{"question": "Q"}])
    home = tmp_path / "home"
    home.mkdir()
    flags = ["--num_eval_prompts", 1, "--seed", 0, "--output", tmp_path / "data"]
    done = call("--sft", given.format(**paths), *flags, HOME=str(home), HF_HOME=str(home / "hf"))
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    assert line.format(**paths) in done.stderr
    assert not (tmp_path / "data").exists()
    if "/nothing" not in given:
        assert not list(home.iterdir())


def test_real_preferences_become_five_tables_with_no_prompt_on_both_sides(tmp_path):
    if not REAL.is_dir():
        pytest.skip("the folder of real preference data is not beside this project")
    flags = ["--num_eval_prompts", 50, "--seed", 0, "--output", tmp_path / "data"]
    flags += ["--sft", REAL / "alpaca_instructions" / "train.parquet"]
    done = call(*flags, "--preferences", REAL / "alpaca_preferences" / "train.parquet")
    assert done.returncode == 0, done.stderr
    assert "preferences: " in done.stdout and "format alpaca_preferences, 4163 rows" in done.stdout
    made = tables(tmp_path / "data")
    held_out = prompts(made["eval_prompts"])
    assert len(held_out) == 50 and prompts(made["eval_preferences"]) == held_out
    assert not held_out & (prompts(made["sft"]) | prompts(made["prompts"]) | prompts(made["preferences"]))
    assert len(made["sft"]) == 655 and len(made["preferences"]) > 3500


def test_real_conversations_serve_as_sft_data_preferences_and_given_held_out_pairs(tmp_path):
    if not REAL.is_dir():
        pytest.skip("the folder of real preference data is not beside this project")
    train, test = (str(REAL / "ultrafeedback_schema" / f"{part}_prefs.parquet") for part in ("train", "test"))
    made = prepare(tmp_path, sft=train, preferences=train, eval_preferences=test, num_eval_prompts=40)
    assert len(made["eval_prompts"]) == 40 and len(prompts(made["eval_preferences"])) == 100
    assert all(row["response"] for row in made["eval_prompts"])
    trained_on = prompts(made["sft"]) | prompts(made["preferences"]) | prompts(made["prompts"])
    assert not trained_on & (prompts(made["eval_prompts"]) | prompts(made["eval_preferences"]))
