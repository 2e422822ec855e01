"""The data of a task: roles that are given or derived, what is held out, what is dropped, and what is refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import prepare_task
from preference.files import conversations, provenance, records
from preference.models import chat
from preference.running.flags import derived
from preference.running.stage import InputError
from preference.tasks import examples

ROOT = Path(__file__).parents[1]
REAL = ROOT.parent / "shared" / "data"


def prepare(folder, **options):
    """Run the stage in this process; its tables by role."""
    options = {"seed": 0, "output": str(folder / "data")} | options
    prepare_task.main(derived(prepare_task.Flags(seed=0, output=""), **options))
    return tables(folder / "data")


def tables(folder):
    """Rows by role, their messages as texts."""
    kinds = {**prepare_task.KINDS, "answers": "answers"}
    files = sorted(folder.glob("*.parquet"))
    return {
        path.stem: [plain(row) for row in records.read(path, kinds[path.stem], may_be_empty=True)] for path in files
    }


def plain(row):
    """A row with the transcript of its prompt and the texts of its answers."""
    shown = {name: conversations.text(row[name]) for name in ("response", "chosen", "rejected") if row.get(name)}
    return {**row, **shown, "prompt": conversations.transcript(row["prompt"])}


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
        "p.main(p.Flags(sft=('built_in',), num_sft=5, num_prompts=5, num_eval_prompts=5, seed=0, output=sys.argv[1])); "
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
        "answers": 10,
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
    dropped = "1 empty chosen response, 1 identical chosen and rejected"
    assert lines[1].endswith(f"format trl, 6 rows, 4 kept, dropped: {dropped}")
    metadata = records.metadata(tmp_path / "data" / "sft.parquet")
    assert metadata["dropped"]["empty response"] == 1 and metadata["flags"]["num_eval_prompts"] == 1
    assert metadata["inputs"]["preferences"]["sha256"] == provenance.digest(paths["preferences"])
    for role in made:
        counts = records.metadata(tmp_path / "data" / f"{role}.parquet")
        assert counts["rows_in"] == counts["rows_out"] + sum(counts["dropped"].values())


def test_an_empty_answer_is_never_the_preferred_one(tmp_path, capsys):
    odd = [{"prompt": "x", "chosen": " ", "rejected": "b"}, {"prompt": "y", "chosen": "a", "rejected": ""}]
    path = source(tmp_path, "pairs", [*pairs(*range(4)), *odd, {"prompt": "z", "chosen": None, "rejected": "b"}])
    made = prepare(tmp_path, preferences=path, num_eval_prompts=1)
    assert "dropped: 2 empty chosen response" in capsys.readouterr().out
    assert all(row["chosen"].strip() for row in made["preferences"] + made["eval_preferences"])
    rows = [{"prompt": f"p{i}", "completion": ["a", ""][i % 2], "label": i < 2} for i in range(4)]
    made = prepare(tmp_path, preferences=source(tmp_path, "unpaired", rows), num_eval_prompts=1)
    assert "3 kept, dropped: 1 empty response" in capsys.readouterr().out
    assert all(row["prompt"] != "p1" for row in made["answers"] + made["prompts"] + made["eval_prompts"])


def test_equal_flags_give_equal_bytes_and_another_seed_another_order(tmp_path):
    flags = ["--sft", source(tmp_path, "sft", sft(*range(40))), "--num_eval_prompts", 5]
    flags += ["--preferences", source(tmp_path, "preferences", pairs(*range(40)))]
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):  # processes with different hashes of texts
        done = call(*flags, "--seed", seed, "--output", tmp_path / name, PYTHONHASHSEED=str(ord(name)))
        assert done.returncode == 0, done.stderr
    files = [same_place(tmp_path / name) for name in "abc"]
    assert files[0] == files[1] and len(files[0]) == 6
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
        path.name: (pq.read_table(path).to_pylist(), records.metadata(path) | {"path": ""})
        for path in folder.glob("*.parquet")
    }


def test_what_is_held_out_does_not_depend_on_the_order_of_the_source(tmp_path):
    for name, numbers in (("up", range(20)), ("down", reversed(range(20)))):
        prepare(tmp_path, sft=source(tmp_path, name, sft(*numbers)), num_eval_prompts=4, output=str(tmp_path / name))
    up, down = (prompts(tables(tmp_path / name)["eval_prompts"]) for name in ("up", "down"))
    assert up == down


def test_of_the_held_out_pairs_as_many_are_kept_as_are_asked_for(tmp_path):
    path = source(tmp_path, "pairs", pairs(*range(8)))
    whole = prepare(tmp_path, preferences=path, num_eval_prompts=4)
    some = prepare(tmp_path, preferences=path, num_eval_prompts=4, num_eval_preferences=3)
    assert some["eval_preferences"] == whole["eval_preferences"][:3] and some["preferences"] == whole["preferences"]


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
        (
            {"sft": "{named}", "num_eval_prompts": 1},
            "cannot be --sft; format prompts does not use the columns reply; to use one, map it, as in columns: "
            "{{response: NAME}}",
        ),
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
        (
            {"preferences": "{pairs}", "eval_preferences": "{unpaired}", "num_eval_prompts": 1},
            "--eval_preferences {unpaired}: holds no pairs, and --preferences does",
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
        "unpaired": source(tmp_path, "unpaired", [{"prompt": "z", "completion": "a", "label": True}]),
        "named": source(tmp_path, "named", [{"prompt": "p", "reply": "r"}]),
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


def ask(path, **more):
    return json.dumps({"source": path, **more})


def answers(*scores, prompt="p"):
    """A row for each answer to a prompt, as HelpSteer 2 has it."""
    return [{"prompt": prompt, "response": f"{prompt}{score}", "helpfulness": score} for score in scores]


def unpaired(*numbers):
    rows = [{"prompt": f"p{i}", "completion": f"{word}{i}", "label": word == "good"} for i in numbers for word in WORDS]
    return [*rows, {"prompt": "never good", "completion": "bad", "label": False}]


WORDS = ("good", "bad")


def test_sft_takes_the_best_rated_answer_of_a_prompt(tmp_path):
    rows = [*answers(1, 3, 2, prompt="a"), *answers(4, 0, prompt="b"), *answers(2, prompt="c")]
    made = prepare(tmp_path, sft=source(tmp_path, "sft", rows), num_eval_prompts=1)
    best = {"a": "a3", "b": "b4", "c": "c2"}
    assert {row["prompt"]: row["response"] for row in made["sft"] + made["eval_prompts"]} == best
    counts = records.metadata(tmp_path / "data" / "sft.parquet")
    assert counts["rows_in"] == counts["rows_out"] + sum(counts["dropped"].values()) == 6


def test_scored_answers_become_a_pair_and_all_of_them_are_kept_with_their_scores(tmp_path):
    rows = [row for name in "abc" for row in answers(1, 3, 2, prompt=name)]
    made = prepare(tmp_path, preferences=source(tmp_path, "rows", rows), num_eval_prompts=1)
    assert set(made) == {"prompts", "preferences", "eval_prompts", "eval_preferences", "answers"}
    assert [row["chosen"] for row in made["preferences"]] == [f"{row['prompt']}3" for row in made["preferences"]]
    assert {(row["chosen_reward"], row["rejected_reward"]) for row in made["preferences"]} == {(3, 1)}
    assert len(made["answers"]) == 6 and prompts(made["answers"]) == prompts(made["preferences"])
    assert all(row["response"] == f"{row['prompt']}{row['given_reward']:.0f}" for row in made["answers"])
    assert made["eval_prompts"][0]["prompt"] not in prompts(made["answers"])


@pytest.mark.parametrize(
    "flags, margins",
    [
        ({"pairing": "closest_above_margin"}, {1}),
        ({"pairing": "closest_above_margin", "min_margin": 1.5}, {2}),
        ({"pairing": "random"}, {1, 2}),
        ({"pairing": "best_vs_random"}, {1, 2}),
    ],
)
def test_scored_answers_are_paired_by_the_rule_that_is_asked_for(tmp_path, flags, margins):
    rows = [row for name in "abcdefghijklmnop" for row in answers(1, 2, 3, prompt=name)]
    made = prepare(tmp_path, preferences=source(tmp_path, "rows", rows), num_eval_prompts=1, **flags)
    assert {row["chosen_reward"] - row["rejected_reward"] for row in made["preferences"]} == margins


def test_answers_without_two_scores_or_with_a_tie_make_no_pair_and_are_counted(tmp_path, capsys):
    rows = [*answers(1, 3, prompt="a"), *answers(1, 3, prompt="b"), *answers(2, prompt="c"), *answers(2, 2, prompt="d")]
    rows[-1]["response"] = "another"
    made = prepare(tmp_path, preferences=source(tmp_path, "rows", rows), num_eval_prompts=1)
    assert prompts(made["preferences"] + made["eval_preferences"]) == {"a", "b"}
    line = capsys.readouterr().out.splitlines()[0]
    assert line.endswith(
        "format helpsteer2, 7 rows, 2 kept, dropped: 1 fewer than two scored answers, "
        "3 joined with another row of its prompt, 1 tie or margin below min_margin"
    )


def test_ties_inverted_scores_and_small_margins_of_given_pairs_are_dropped_and_counted(tmp_path, capsys):
    scores = [(3, 1), (5, 4.5), (2, 2), (1, 2), (None, None), (9, 1)]
    names = ("chosen_reward", "rejected_reward")
    rows = [{**row, **dict(zip(names, each, strict=True))} for row, each in zip(pairs(*range(6)), scores, strict=True)]
    made = prepare(tmp_path, preferences=source(tmp_path, "rows", rows), num_eval_prompts=1, min_margin=1.0)
    assert prompts(made["preferences"] + made["eval_preferences"]) == {"p0", "p4", "p5"}
    line = capsys.readouterr().out.splitlines()[0]
    assert line.endswith("6 rows, 3 kept, dropped: 1 inverted scores, 1 margin below min_margin, 1 tie")


def test_both_sides_of_a_given_pair_are_answers_with_their_score_or_one_and_zero(tmp_path):
    rows = [*pairs(0, 1), {**pairs(2)[0], "chosen_reward": 7, "rejected_reward": 3}]
    paths = {"preferences": source(tmp_path, "rows", rows), "eval_preferences": source(tmp_path, "other", pairs(9))}
    made = prepare(tmp_path, eval_prompts=source(tmp_path, "held", sft(8)), **paths)
    wanted = {"good0": 1, "bad0": 0, "good1": 1, "bad1": 0, "good2": 7, "bad2": 3}
    assert {row["response"]: row["given_reward"] for row in made["answers"]} == wanted


def test_unpaired_answers_have_no_pairs_and_are_answers(tmp_path, capsys):
    made = prepare(tmp_path, preferences=source(tmp_path, "rows", unpaired(*range(5))), num_eval_prompts=2)
    assert made["preferences"] == made["eval_preferences"] == []
    assert "format trl_unpaired, 11 rows, 11 kept, dropped: none" in capsys.readouterr().out
    held_out = prompts(made["eval_prompts"])
    assert len(held_out) == 2 and prompts(made["answers"]) == prompts(made["prompts"])
    assert not held_out & prompts(made["prompts"]) and len(held_out | prompts(made["prompts"])) == 6
    assert all(row["given_reward"] == row["response"].startswith("good") for row in made["answers"])
    for row in made["eval_prompts"]:
        assert row["response"] == (None if row["prompt"] == "never good" else row["prompt"].replace("p", "good"))
    for role in made:
        counts = records.metadata(tmp_path / "data" / f"{role}.parquet")
        assert counts["rows_in"] == counts["rows_out"] + sum(counts["dropped"].values())


def test_sft_on_unpaired_answers_takes_the_good_ones(tmp_path):
    made = prepare(tmp_path, sft=source(tmp_path, "rows", unpaired(*range(5))), num_eval_prompts=1)
    assert {row["response"] for row in made["sft"] + made["eval_prompts"]} == {f"good{i}" for i in range(5)}


def test_as_evaluation_data_unpaired_answers_are_references_if_they_are_good(tmp_path):
    held = source(tmp_path, "held", [{"prompt": "p7", "completion": "bad", "label": 0}, *unpaired(7)])
    made = prepare(tmp_path, sft=source(tmp_path, "sft", sft(0, 1)), eval_prompts=held)
    assert {row["prompt"]: row["response"] for row in made["eval_prompts"]} == {"p7": "good7", "never good": None}


def test_a_task_may_start_from_prompts_alone(tmp_path):
    path = source(tmp_path, "rows", [{"prompt": f"p{i}"} for i in range(5)])
    made = prepare(tmp_path, prompts=path, num_eval_prompts=2)
    assert {role: len(rows) for role, rows in made.items()} == {"prompts": 3, "eval_prompts": 2}


def test_several_sources_of_a_role_are_read_together_and_what_is_in_both_is_taken_once(tmp_path, capsys):
    paths = (source(tmp_path, "one", sft(0, 1, 2)), source(tmp_path, "two", sft(2, 3)))
    made = prepare(tmp_path, sft=paths, num_eval_prompts=1)
    assert prompts(made["sft"] + made["eval_prompts"]) == {"p0", "p1", "p2", "p3"} and len(made["sft"]) == 3
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(": format")[0] for line in lines[:2]] == [f"sft: {path}" for path in paths]
    counts = records.metadata(tmp_path / "data" / "sft.parquet")
    assert (counts["rows_in"], counts["rows_out"], counts["dropped"]["duplicate"]) == (5, 3, 1)
    assert [each["sha256"] for each in counts["inputs"]["sft"]] == [provenance.digest(path) for path in paths]


def test_a_weight_is_the_share_of_a_sources_rows_and_draws_by_the_seed(tmp_path):
    path, other = source(tmp_path, "one", sft(*range(100))), source(tmp_path, "two", sft(*range(200, 210)))
    drawn = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        sources = (ask(path, weight=0.25), other)
        made = prepare(tmp_path, sft=sources, num_eval_prompts=1, seed=seed, output=str(tmp_path / name))
        made = tables(tmp_path / name)
        drawn.append(prompts(made["sft"] + made["eval_prompts"]))
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(drawn[0]) == 35 and len(drawn[0] & prompts(sft(*range(100)))) == 25
    counts = records.metadata(tmp_path / "a" / "sft.parquet")
    assert counts["dropped"]["left out by weight"] == 75
    assert counts["sources"]["sft"][0]["weight"] == 0.25


def test_columns_fields_and_a_split_of_a_source_are_as_its_mapping_says(tmp_path, capsys):
    (tmp_path / "folder").mkdir()
    rows = [{"question": f"p{i}", "reply": f"r{i}", "gold": i, "more": "x"} for i in range(4)]
    source(tmp_path / "folder", "train", rows)
    source(tmp_path / "folder", "test", rows)
    given = ask(
        f"{tmp_path}/folder", split="train", columns={"prompt": "question", "response": "reply"}, fields=["gold"]
    )
    made = prepare(tmp_path, sft=given, num_eval_prompts=1)
    assert all(row["fields"] == {"gold": int(row["prompt"][1:])} for rows in made.values() for row in rows)
    line = capsys.readouterr().out.splitlines()[0]
    assert line == f"sft: {tmp_path}/folder:train: format sft, 4 rows, 4 kept, dropped: none; unused columns: more"


def test_a_system_message_is_put_before_conversations_that_have_none(tmp_path):
    rows = [{"prompt": "p", "response": "r"}, {"prompt": "q", "response": "r", "system": "own"}]
    prepare(tmp_path, sft=source(tmp_path, "sft", rows), num_eval_prompts=1, system="given")
    rows = [
        row for role in ("sft", "eval_prompts") for row in records.read(tmp_path / f"data/{role}.parquet", "prompts")
    ]
    assert {row["prompt"][1]["content"]: row["prompt"][0]["content"] for row in rows} == {"p": "given", "q": "own"}
    assert all(row["prompt_id"] == records.prompt_id(row["prompt"]) for row in rows)


def test_a_system_message_alone_asks_nothing(tmp_path, capsys):
    prepare(tmp_path, sft=source(tmp_path, "sft", [*sft(0, 1), {"prompt": " ", "response": "r"}]), num_eval_prompts=1)
    prepare(tmp_path, sft=f"{tmp_path}/sft.jsonl", num_eval_prompts=1, system="s")
    assert capsys.readouterr().out.count("3 rows, 2 kept, dropped: 1 empty prompt") == 2


def test_prompts_that_differ_in_white_space_only_are_one_prompt(tmp_path, capsys):
    given = {"sft": sft(0, 1, 2), "prompts": [{"prompt": " p0 "}, {"prompt": "p7\n"}, {"prompt": "p7"}]}
    paths = {role: source(tmp_path, role, rows) for role, rows in given.items()}
    made = prepare(tmp_path, num_eval_prompts=1, **paths)
    assert "2 prompts are the same to the model as another one" in capsys.readouterr().out
    assert prompts(made["prompts"] + made["eval_prompts"]) == {"p0", "p7\n"}


def test_a_held_out_prompt_with_a_trailing_blank_is_a_training_prompt(tmp_path):
    paths = {"sft": source(tmp_path, "sft", sft(0, 1)), "eval_prompts": source(tmp_path, "eval", [{"prompt": "p1 "}])}
    with pytest.raises(InputError, match="1 of its prompts are also in --sft"):
        prepare(tmp_path, **paths)


def test_prompts_that_the_base_model_reads_as_one_are_one_prompt(tmp_path, tiny_policy):
    template = tmp_path / "calm.jinja"
    template.write_text(chat.TEMPLATE.replace("{{ message['content'] }}", "{{ message['content'].rstrip('!') }}"))
    paths = {"sft": source(tmp_path, "sft", sft(0, 1)), "eval_prompts": source(tmp_path, "eval", [{"prompt": "p1!"}])}
    assert prompts(prepare(tmp_path, base_model=tiny_policy, **paths)["eval_prompts"]) == {"p1!"}
    with pytest.raises(InputError, match="1 of its prompts are also in --sft"):
        prepare(tmp_path, base_model=tiny_policy, chat_template=str(template), **paths)


def test_prompts_are_merged_by_what_the_model_is_said_to_see():
    rows = [examples.named({"prompt": [{"role": "user", "content": text}], "tools": None}) for text in "aAbB"]
    first = rows[0]["prompt_id"]
    assert examples.merge_equal(rows, lambda row: row["prompt"][0]["content"].lower()) == 2
    assert [row["prompt"][0]["content"] for row in rows] == ["a", "a", "b", "b"]
    assert rows[1]["prompt_id"] == first != rows[2]["prompt_id"] == rows[3]["prompt_id"]


def test_prompts_with_other_tools_are_other_prompts(tmp_path):
    rows = [{"prompt": "p", "response": "r", "tools": json.dumps([{"name": name}])} for name in "abc"]
    made = prepare(tmp_path, sft=source(tmp_path, "sft", rows), num_eval_prompts=1)
    assert len({row["prompt_id"] for row in made["sft"] + made["eval_prompts"]}) == 3
    assert all(len(row["tools"]) == 1 for row in made["sft"])


def test_bad_rows_are_dropped_counted_and_told_in_a_table(tmp_path, capsys):
    path = source(tmp_path, "sft", [*sft(*range(30)), {"prompt": 5, "response": "r"}])
    made = prepare(tmp_path, sft=path, num_eval_prompts=1)
    assert len(made["sft"]) == 29
    assert "31 rows, 30 kept, dropped: 1 bad row" in capsys.readouterr().out
    table = (tmp_path / "data" / "bad_rows.csv").read_text().splitlines()
    assert table == ["role,source,row,reason", f"sft,{path},30,\"column 'prompt' is 5, not text\""]
    counts = records.metadata(tmp_path / "data" / "sft.parquet")
    assert counts["dropped"]["bad row"] == 1 and counts["rows_in"] == 31
    prepare(tmp_path, sft=source(tmp_path, "sft", sft(*range(30))), num_eval_prompts=1)
    assert not (tmp_path / "data" / "bad_rows.csv").exists()


@pytest.mark.parametrize(
    "options, words",
    [
        ({"bad_rows": "refuse"}, "; 2 of 30 rows are bad, and --bad_rows drop drops them"),
        ({}, "; 2 of 30 rows are bad, and --max_bad_share is 0.05"),
    ],
)
def test_bad_rows_stop_the_stage_if_asked_for_or_if_there_are_many(tmp_path, options, words):
    path = source(tmp_path, "sft", [*sft(*range(28)), {"prompt": 5, "response": "r"}, {"prompt": 6, "response": "r"}])
    with pytest.raises(InputError) as error:
        prepare(tmp_path, sft=path, num_eval_prompts=1, **options)
    assert str(error.value) == f"{path}: row 28: column 'prompt' is 5, not text{words}"
    assert not (tmp_path / "data").exists()
    assert len(prepare(tmp_path, sft=path, num_eval_prompts=1, max_bad_share=0.07)["sft"]) == 27


def test_all_pairs_that_are_ties_are_refused_with_the_counts(tmp_path):
    rows = [{**row, "chosen_reward": 1, "rejected_reward": 1 + i % 2} for i, row in enumerate(pairs(0, 1, 2))]
    with pytest.raises(InputError, match="none of its 3 rows is left; dropped: 1 inverted scores, 2 tie"):
        prepare(tmp_path, preferences=source(tmp_path, "rows", rows), num_eval_prompts=1)


def test_what_is_written_is_read_again_as_a_source(tmp_path):
    rows = [{"prompt": f"p{i}", "completion": "r", "label": i % 2 == 0, "tools": '[{"name": "f"}]'} for i in range(9)]
    path = ask(source(tmp_path, "rows", rows), fields=["label"])
    prepare(tmp_path, sft=path, preferences=source(tmp_path, "pairs", pairs(*range(20, 29))), num_eval_prompts=2)
    again = {"sft": f"{tmp_path}/data/sft.parquet", "preferences": f"{tmp_path}/data/preferences.parquet"}
    made = prepare(tmp_path, **again, num_eval_prompts=1, output=str(tmp_path / "again"))
    first, second = tables(tmp_path / "data"), tables(tmp_path / "again")
    assert made and sorted(map(str, second["sft"])) == sorted(map(str, first["sft"]))
    assert second["sft"][0]["fields"] == {"label": True} and second["sft"][0]["tools"] == [{"name": "f"}]


@pytest.mark.parametrize(
    "options, line",
    [
        ({"num_eval_prompts": 1}, "--sft: is missing: name a source of sft, of prompts or of preferences"),
        ({"sft": ("built_in", "{sft}"), "num_eval_prompts": 1}, "--sft: built_in stands alone"),
        ({"sft": ("{sft}", "{sft}"), "num_eval_prompts": 1}, "--sft {sft}: is named twice; name it once"),
        ({"sft": '{{"source": "{sft}", "weight": 0}}', "num_eval_prompts": 1}, "--sft {sft}: weight is 0; it must be"),
        ({"sft": '{{"source": "{sft}", "columns": {{"promt": "x"}}}}', "num_eval_prompts": 1}, "did you mean prompt?"),
    ],
)
def test_what_is_wrong_with_how_sources_are_named_is_said(tmp_path, options, line):
    path = source(tmp_path, "sft", sft(*range(4)))
    filled = {
        key: tuple(each.format(sft=path) for each in value) if isinstance(value, tuple) else value
        for key, value in options.items()
    }
    filled = {key: value.format(sft=path) if isinstance(value, str) else value for key, value in filled.items()}
    with pytest.raises(InputError) as error:
        prepare(tmp_path, **filled)
    assert line.format(sft=path) in str(error.value) and not (tmp_path / "data").exists()


def test_sources_on_the_command_line_may_be_several_and_json(tmp_path):
    one, two = source(tmp_path, "one", sft(0, 1)), source(tmp_path, "two", [{"q": "p2", "response": "r2"}])
    flags = ["--num_eval_prompts", 1, "--seed", 0, "--output", tmp_path / "data"]
    done = call("--sft", one, ask(two, columns={"prompt": "q"}), *flags)
    assert done.returncode == 0, done.stderr
    made = tables(tmp_path / "data")
    assert prompts(made["sft"] + made["eval_prompts"]) == {"p0", "p1", "p2"}


def test_a_source_is_never_written_over(tmp_path):
    prepare(tmp_path, sft=source(tmp_path, "sft", sft(*range(4))), num_eval_prompts=1)
    path = str(tmp_path / "data" / "sft.parquet")
    with pytest.raises(InputError, match=f"would replace --prompts {path}; name another place"):
        prepare(tmp_path, prompts=ask(path), num_eval_prompts=1)
