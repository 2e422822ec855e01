"""The code of a stage: what its script reaches counts, wherever it stands; nothing else does."""

import json
import shutil
import subprocess
import sys
import textwrap

import pytest
from miniature import ROOT, Workflow, write_data

from preference import engines
from preference.running import code, source_text
from preference.running.source_text import RUNNING

STAGE = """
    from preference import library
    from preference.running.stage import flag, run

    class Flags:
        beta: float = flag("strength", 0.1)
        unread: int = flag("nobody asks for it", 3)

    def main(flags):
        print(library.used(flags.beta))

    if __name__ == "__main__":
        run(main, Flags)
"""
LIBRARY = """
    import math
    from preference.tables import TABLE

    FACTOR = 2
    UNUSED = 3

    def used(x):
        return _inner(x) * FACTOR

    def _inner(x):
        return math.sqrt(x)

    def unused(x):
        return x
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A function that writes a file below scripts/, and one stage with a small library."""
    folder = tmp_path / "scripts"
    monkeypatch.setattr(source_text, "SCRIPTS", folder)

    def write(file: str, text: str) -> None:
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        code.forget()

    write("preference/__init__.py", "")
    write("preference/running/__init__.py", "")
    write("preference/running/stage.py", "def run(main, flags):\n    pass\n")
    write("preference/tables.py", "TABLE = {}\n")
    write("preference/library.py", LIBRARY)
    write("make.py", STAGE)
    yield write
    code.forget()


def changed(project, file: str, old: str, new: str) -> set[str]:
    """The files whose part in the code of make.py changes by an edit."""
    text = (source_text.SCRIPTS / file).read_text()
    assert old in text
    before = code.record("make.py")
    project(file, text.replace(old, new, 1))
    after = code.record("make.py")
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


LIB = "preference/library.py"


@pytest.mark.parametrize(
    "old, new",
    [
        ("_inner(x) * FACTOR", "_inner(x) + FACTOR"),  # the function that main calls
        ("math.sqrt(x)", "math.exp(x)"),  # one that it calls
        ("FACTOR = 2", "FACTOR = 4"),  # a constant
        ("import math", "import cmath as math"),  # what a name stands for
        ("FACTOR = 2", "FACTOR = 2\nFACTOR += 1"),
        ("FACTOR = 2", "FACTOR = 2\nprint('executed by the import')"),
        ("FACTOR = 2", "for FACTOR in (2, 3):\n    pass"),
    ],
)
def test_what_is_reached_counts(project, old, new):
    assert changed(project, LIB, old, new) == {LIB}


@pytest.mark.parametrize(
    "old, new",
    [
        ("return x\n", "return x + 1\n"),  # a function that nobody calls
        ("UNUSED = 3", "UNUSED = 4"),
        ("UNUSED = 3", "UNUSED = 3\nMORE = 1"),
        ("def unused", "def new():\n    pass\n\ndef unused"),
        ("    return _inner", '    """A docstring."""\n    return _inner'),
        ("import math", "import math  # a comment"),
        ("def used(x):", "def used(x: float) -> float:"),
        ("    return _inner", "    y: float = 1.0\n    return _inner"),
    ],
)
def test_what_is_not_reached_does_not_count(project, old, new):
    expected = {LIB} if "y: float" in new else set()  # a statement more is one, an annotation is none
    assert changed(project, LIB, old, new) == expected


def test_the_type_of_a_variable_does_not_count(project):
    changed(project, LIB, "return math.sqrt(x)", "y = x\n    return math.sqrt(y)")
    assert changed(project, LIB, "    y = x", "    y: float = x") == set()
    assert changed(project, LIB, "    y: float = x", "    z: float\n    y: float = x") == {LIB}, "z is local now"


@pytest.mark.parametrize("other", ["tables", "unused"])  # a module, a definition
def test_a_local_name_does_not_stand_for_what_the_module_calls_so(project, other):
    project("preference/tables.py", "TABLE = {}\n\ndef made():\n    return 1\n")
    changed(project, LIB, "from preference.tables import TABLE", "from preference import tables")
    changed(project, LIB, "return math.sqrt(x)", f"{other} = [x]\n    return math.sqrt(len({other}))")
    edited = {"tables": ("preference/tables.py", "return 1", "return 2"), "unused": (LIB, "return x\n", "return -x\n")}
    assert changed(project, *edited[other]) == set()


def test_what_an_import_executes_counts_though_no_name_is_used(project):
    assert changed(project, "preference/tables.py", "TABLE = {}", "TABLE = {}\nprint(1)") == {"preference/tables.py"}
    assert changed(project, "preference/tables.py", "TABLE = {}", "TABLE = {1: 2}") == set()


def test_a_module_that_is_passed_as_a_value_counts_as_a_whole(project):
    assert changed(project, "make.py", "library.used(", "getattr(library, 'used')(") == {"make.py", LIB}
    assert changed(project, LIB, "UNUSED = 3", "UNUSED = 4") == {LIB}


def test_globals_reach_all_of_their_module(project):
    changed(project, LIB, "return math.sqrt(x)", "return globals()['unused'](x)")
    assert changed(project, LIB, "UNUSED = 3", "UNUSED = 4") == {LIB}


def test_an_import_inside_a_function_counts_with_the_function(project):
    project("preference/lazy.py", "def helped():\n    return 1\n")
    edit = ("return math.sqrt(x)", "from preference import lazy\n    return lazy.helped()")
    assert changed(project, LIB, *edit) == {LIB, "preference/lazy.py"}
    assert changed(project, "preference/lazy.py", "return 1", "return 2") == {"preference/lazy.py"}


def test_a_name_that_another_module_passes_on_leads_to_its_definition(project):
    project("preference/core.py", "def used(x):\n    return x\n")
    changed(project, LIB, "def used(x):\n    return _inner(x) * FACTOR\n", "from preference.core import used\n")
    assert changed(project, "preference/core.py", "return x", "return -x") == {"preference/core.py"}


def test_members_that_a_flag_names_count_as_a_whole(project):
    project("preference/kinds.py", "def f():\n    return 1\n")
    assert "preference/kinds.py" not in code.record("make.py")
    assert "preference/kinds.py" in code.record("make.py", ("preference/kinds.py",))


@pytest.mark.parametrize("edit", ["text", "more", "module"])
def test_nothing_of_how_a_stage_runs_counts(project, edit):
    text = {"text": "def run(main, flags):\n    return main(flags)\n", "more": "print('imported')\n"}
    before = code.record("make.py")
    if edit == "module":
        project("preference/running/more.py", "X = 1\n")
        project("preference/running/stage.py", "from preference.running import more\n\ndef run(main, flags): ...\n")
    else:
        project("preference/running/stage.py", text[edit])
    assert code.record("make.py") == before and not any("running" in file for file in before)


def test_the_text_of_an_error_or_a_message_does_not_count(project):
    imports = "import math\nfrom preference.running.stage import InputError, say\n"
    changed(project, LIB, "import math\n", imports)
    raising = (
        'say(f"{x}")\n    assert x, "why"\n    if x < 0:\n        raise InputError(f"{x} is negative")\n    return math'
    )
    changed(project, LIB, "return math", raising)
    for old, new in (("is negative", "is below 0"), ('"why"', '"because"'), ('say(f"{x}")', 'say("got", x)')):
        assert changed(project, LIB, old, new) == set()
    assert changed(project, LIB, "x < 0", "x <= 0") == {LIB}
    assert changed(project, LIB, "raise InputError", "raise ValueError") == {LIB}


def test_a_column_counts_by_its_name_and_its_kind(project):
    declared = """
        columns = Table(
            (Column("beta", float, "strength", "nats", optional=True),), "a table", paths=("a.csv",)
        )
    """
    imports = "import math\nfrom preference.files.columns import Column, Table\n"
    project("preference/files/__init__.py", "")
    project("preference/files/columns.py", "class Column:\n    pass\n\nclass Table:\n    pass\n")
    changed(project, LIB, "import math\n", imports + textwrap.dedent(declared))
    changed(project, LIB, "* FACTOR", "* len(columns)")
    for old, new in (
        ('"strength"', '"weight"'),
        ('"nats"', '"bits"'),
        ('"a table"', '"a list"'),
        ('"a.csv"', '"b.csv"'),
    ):
        assert changed(project, LIB, old, new) == set()
    for old, new in (('"beta"', '"eta"'), ("float", "int"), ("optional=True", "optional=False")):
        assert changed(project, LIB, old, new) == {LIB}


def test_a_flag_counts_by_its_default_and_only_if_it_is_read(project):
    assert changed(project, "make.py", '"strength"', '"strength of it"') == set()
    assert changed(project, "make.py", 'of it", 0.1', 'of it", 0.2') == {"make.py"}
    assert changed(project, "make.py", 'asks for it", 3', 'asks for it", 4') == set()
    assert changed(project, "make.py", "    unread:", '    newer: int = flag("new", 1)\n    unread:') == set()


@pytest.mark.parametrize(
    "reading",
    [
        "flags.unread",
        "getattr(flags, 'unread')",
        "[getattr(flags, f'un{part}') for part in flags.parts]",
        "dataclasses.fields(Flags)",
        "dataclasses.fields(library.Setting)",
    ],
)
def test_a_flag_is_read_by_its_name_a_text_or_a_list_of_all(project, reading):
    names = code.flags_read("make.py")
    assert "beta" in names and "unread" not in names
    changed(project, LIB, "FACTOR = 2", "class Setting:\n    unread: int\n\nFACTOR = 2")
    changed(project, "make.py", "library.used(flags.beta)", f"library.used({reading})")
    assert "unread" in code.flags_read("make.py")


def test_a_file_that_code_reads_counts(project):
    (source_text.SCRIPTS / "preference/page.html").write_text("<p>")
    changed(project, LIB, "return math.sqrt(x)", "return open(FOLDER / 'page.html')")
    before = code.record("make.py")
    assert "preference/page.html" in before
    project("preference/page.html", "<b>")
    assert code.record("make.py") != before


def test_two_definitions_of_one_name_both_count(project):
    edit = (
        "def _inner(x):\n    return math.sqrt(x)\n",
        "def _inner(x):\n    return 1\n\ndef _inner(x):\n    return 2\n",
    )
    changed(project, LIB, *edit)
    assert changed(project, LIB, "return 1", "return 3") == {LIB}
    assert changed(project, LIB, "return 2", "return 3") == {LIB}


def test_summaries_are_kept_on_the_disk_by_content(project, monkeypatch):
    first = code.record("make.py")
    assert (source_text.SCRIPTS / "preference/__pycache__/summaries.json").is_file()
    code.forget()
    monkeypatch.setattr(source_text, "_summarized", None)  # nothing has to be parsed again
    assert code.record("make.py") == first


@pytest.mark.parametrize("damage", ["", "{", '{"version": 1}', "[]"])
def test_a_damaged_cache_is_made_again(project, damage):
    first = code.record("make.py")
    (source_text.SCRIPTS / "preference/__pycache__/summaries.json").write_text(damage)
    code.forget()
    assert code.record("make.py") == first


def test_reading_code_imports_standard_library_only():
    heavy = "{'torch', 'transformers', 'pyarrow', 'pandas', 'numpy'} & set(sys.modules)"
    reading = f"import sys; from preference.running import code; code.record('train_dpo.py'); assert not {heavy}"
    subprocess.run([sys.executable, "-c", reading], check=True, cwd=source_text.SCRIPTS)


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of this project's scripts."""
    folder = tmp_path / "scripts"
    shutil.copytree(source_text.SCRIPTS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(source_text, "SCRIPTS", folder)
    code.forget()
    yield folder
    code.forget()


def test_the_bradley_terry_loss_is_no_part_of_dpo(copy):
    dpo, reward_model = code.record("train_dpo.py"), code.record("train_reward_model.py")
    path = copy / "preference/losses/contrastive.py"
    text = path.read_text()
    assert "def bradley_terry_loss" in text
    before, after = text.split("def bradley_terry_loss")
    path.write_text(before + "def bradley_terry_loss" + after.replace("logsigmoid", "2 * logsigmoid", 1))
    code.forget()
    assert code.record("train_dpo.py") == dpo and code.record("train_reward_model.py") != reward_model


SAMPLING = ("generate_responses.py", "evaluate_policy.py", "judge_responses.py")
OTHER_ENGINE = {"transformers": "vllm", "vllm": "transformers"}


@pytest.mark.parametrize("script", SAMPLING)
@pytest.mark.parametrize("engine, other", OTHER_ENGINE.items())
def test_an_engine_counts_for_what_it_samples_alone(copy, script, engine, other):
    def records():
        code.forget()
        judge = ["preference/judges/local_model.py"] if script == "judge_responses.py" else []
        return [code.record(script, [*engines.members(each), *judge]) for each in (engine, other)]

    before = records()
    path = copy / f"preference/engines/{engine}.py"
    path.write_text(path.read_text() + "\n\nMORE = 1\n")
    after = records()
    changed = {file for file in before[0] if before[0][file] != after[0][file]}
    assert changed == set(engines.members(engine)) and after[0].keys() == before[0].keys()
    assert after[1] == before[1]


def test_planning_reads_the_traits_of_engines_without_the_libraries_that_sample():
    heavy = "{'torch', 'transformers', 'vllm'} & set(sys.modules)"
    reading = f"import sys; from preference import engines; assert engines.known() and not {heavy}"
    subprocess.run([sys.executable, "-c", reading], check=True, cwd=source_text.SCRIPTS)


CHOSEN_BY_NAME = [  # modules that a flag names
    str(path.relative_to(source_text.SCRIPTS))
    for package in ("engines", "judges", "rewards/verifiers", "formats")
    for path in (source_text.SCRIPTS / "preference" / package).glob("[a-z]*.py")
]
SCRIPTS = sorted(path.name for path in source_text.SCRIPTS.glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_flag_of_a_script_is_read_by_its_code(script):
    reach = code.Reach(script, CHOSEN_BY_NAME)
    names = reach.names()
    assert [flag for flag in reach.fields_of(script, "Flags") if flag not in names] == []


@pytest.mark.workflow
def test_what_a_run_executes_is_among_what_is_reached(tmp_path):
    """Of every stage of the miniature: what counts calls nothing that does not count, but for how the stage runs."""
    workflow = Workflow(tmp_path)
    workflow.config["seeds"] = [1]
    write_data(tmp_path)
    (tmp_path / "trace").mkdir()
    traced = {"PYTHONPATH": str(ROOT / "tests/trace"), "TRACE": str(tmp_path / "trace")}
    environment = {**workflow.environment(), **traced, "SCRIPTS": str(source_text.SCRIPTS)}
    workflow.environment = lambda: environment
    workflow.call()
    seen = [json.loads(path.read_text()) for path in (tmp_path / "trace").iterdir()]
    for each in seen:
        reach = code.Reach(each["script"], CHOSEN_BY_NAME)
        calls = [[tuple(place) for place in call] for call in each["calls"]]
        called = {place for caller, place in calls if caller in reach.reached}
        unknown = {each for each in called - reach.reached if not each[1].startswith("<") and RUNNING not in each[0]}
        assert unknown == set(), each["script"]
    assert {each["script"] for each in seen} > {"prepare_task.py", "train_dpo.py", "render_report.py"}
