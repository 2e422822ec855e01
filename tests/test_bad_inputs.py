"""Whatever is wrong with an input is one line that says what to do: no traceback, nothing written, nothing deleted."""

import ast
import hashlib
import importlib
import io
import json
import os
import shlex
import shutil
import subprocess
import sys
import types
from pathlib import Path

import miniature
import pytest
import yaml
from calls import Calls
from corpus import COMMAND_LINES, CONFIG_TEXTS, CONFIGS, DATA, DELETE, FLAGS, MODELS, PAIRS, SFT, lines
from miniature import MINIATURE, ROOT
from snakemake import parser

from preference.files import records
from preference.models import chat
from preference.running import stage


def snapshot(folder: Path) -> dict[str, str]:
    """Every file, folder and link below a folder, with what it holds."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if ".snakemake" in path.parts:  # the log that snakemake opens for every call, empty here
            assert path.is_dir() or (path.suffix == ".log" and not path.read_bytes()), path
            continue
        held = path.read_bytes() if path.is_file() else str(path.is_symlink() and os.readlink(path)).encode()
        found[str(path.relative_to(folder))] = hashlib.sha256(held).hexdigest()
    return found


# Configs, as a person gives them to snakemake.


def config_text(changes: dict) -> bytes:
    config = yaml.safe_load(MINIATURE.read_text())
    for path, value in changes.items():
        *parents, last = path if isinstance(path, tuple) else path.split(".")
        part = config
        for key in parents:
            part = part[key]
        part[last] = value
        if value is DELETE:
            del part[last]
    return yaml.safe_dump(config, sort_keys=False).encode()


def furnish(folder: Path) -> None:
    """What the configs of the corpus may name: data, and folders that a model could be in."""
    (folder / "good.yaml").write_bytes(config_text({}))
    miniature.write_data(folder)
    (folder / "data.jsonl").write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}\n')
    (folder / "rows.pkl").write_bytes(b"\x80\x04.")
    for name, config, weights in (
        ("model", '{"max_position_embeddings": 512}', "model.safetensors"),
        ("pickled", "{}", "pytorch_model.bin"),
        ("damaged", "{", "model.safetensors"),
        ("nested", '{"a":' * 10**5, "model.safetensors"),
        ("outside", "{}", "model.safetensors"),
    ):
        (folder / name).mkdir()
        for file, content in (
            ("config.json", config),
            ("tokenizer_config.json", "{}"),
            ("tokenizer.json", '{"model": {}}'),
            (weights, ""),
        ):
            (folder / name / file).write_text(content)
    index = {"weight_map": {"a": "model.safetensors", "b": "../model/model.safetensors"}}
    (folder / "outside" / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "empty").mkdir()
    os.mkfifo(folder / "pipe.jsonl")


START, OFFLINE = ["-s", str(ROOT / "Snakefile")], {"HF_HUB_OFFLINE": "1"}
CALLS = {f"{name} (keys)": (config_text(changes), None, line) for name, (changes, line) in CONFIGS.items()}
CALLS |= {f"{name} (text)": (text, None, line) for name, (text, line) in CONFIG_TEXTS.items()}
CALLS |= {f"{name} (typed)": (None, arguments, line) for name, (arguments, line) in COMMAND_LINES.items()}


@pytest.fixture(scope="session")
def calls(tmp_path_factory):
    """Every case as it was played: name -> (exit code, what snakemake said, its folder, what that held before)."""
    folders, typed = {}, {}
    for name, (text, arguments, _) in CALLS.items():
        folders[name] = tmp_path_factory.mktemp("config")
        furnish(folders[name])
        typed[name] = arguments
        if text is not None:
            (folders[name] / "bad.yaml").write_bytes(text)
            typed[name] = ["--configfile", "bad.yaml"]
    before = {name: snapshot(folder) for name, folder in folders.items()}
    with Calls() as calls:
        waiting = [calls.submit(calls.call, [*START, *typed[name]], folders[name], OFFLINE) for name in CALLS]
        done = [each.result() for each in waiting]
    return {name: (*played, folders[name], before[name]) for name, played in zip(CALLS, done, strict=True)}


@pytest.mark.parametrize("name", CALLS)
def test_a_bad_config_is_one_line_before_any_job_and_leaves_no_trace(calls, name):
    code, said, folder, before = calls[name]
    text, _, line = CALLS[name]
    assert code == 1 and said_below_the_profile(said, folder) == [line if text is None else f"bad.yaml: {line}"]
    assert snapshot(folder) == before


def said_below_the_profile(said: str, folder: Path) -> list[str]:
    first, *rest = said.replace(f"{folder}/", "").splitlines()
    assert first.startswith("Using workflow specific profile")
    return rest


def call(folder: Path, arguments: list[str], environment: dict | None = None) -> tuple[int, str]:
    """(exit code, what it said) of one call, as it is typed."""
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *START, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env={**os.environ, **OFFLINE, "XDG_CACHE_HOME": str(folder.parent / "cache"), **(environment or {})},
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("arguments", [["--configfile", "none.yaml"], ["--configfile", "bad.yaml"]], ids=" ".join)
def test_a_call_as_it_is_typed_says_the_same(tmp_path, arguments):
    furnish(tmp_path)
    (tmp_path / "bad.yaml").write_bytes(config_text({"seeds": []}))
    before = snapshot(tmp_path)
    code, said = call(tmp_path, arguments)
    lines = {"none.yaml": "no such config file", "bad.yaml": "seeds: is empty"}
    assert code == 1 and said_below_the_profile(said, tmp_path) == [f"{arguments[1]}: {lines[arguments[1]]}"]
    assert snapshot(tmp_path) == before


# Data sets, through the script that reads them, in this process.


@pytest.fixture
def stage_says(monkeypatch, capsys):
    """What a stage says on the terminal as it fails: (exit code, its last words)."""

    def play(script: str, flags: dict[str, str]) -> tuple[int, str]:
        module = importlib.import_module(script)
        typed = [word for name, value in flags.items() if value is not None for word in (f"--{name}", value)]
        monkeypatch.setattr(sys, "argv", [f"{script}.py", *typed])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            stage.run(module.main, module.Flags)
        said, code = capsys.readouterr().err, stopped.value.code
        return (1, said + code) if isinstance(code, str) else (code, said.removesuffix("\n"))

    return play


def refused(folder: Path, played: tuple[int, str], script: str, line: str, before: dict, code: int = 1) -> None:
    """One line, exactly this one, and a folder as it was; after … come a library's own words."""
    found, wanted = played[1], f"{script}.py: {line}".replace("{here}", str(folder))
    assert "\n" not in found and played[0] == code
    assert found.startswith(wanted[:-1]) if wanted.endswith("…") else found == wanted
    assert snapshot(folder) == before


@pytest.mark.parametrize("name", DATA)
def test_bad_data_is_one_line_and_nothing_is_written(tmp_path, stage_says, name):
    role, file, content, others, line = DATA[name]
    if content is None:
        (tmp_path / file).mkdir()
    else:
        (tmp_path / file).write_bytes(content)
    (tmp_path / "sft.jsonl").write_bytes(lines(*SFT))
    (tmp_path / "link.jsonl").symlink_to("nowhere")
    (tmp_path / "mixed").mkdir()
    for kind in ("json", "jsonl"):
        (tmp_path / "mixed" / f"a.{kind}").write_text("[]")
    before = snapshot(tmp_path)
    flags = {"sft": f"{tmp_path}/sft.jsonl", "num_eval_prompts": "2", "seed": "0", "output": f"{tmp_path}/data"}
    flags |= {role: f"{tmp_path}/{file}"} | {key: value.format(here=tmp_path) for key, value in others.items()}
    refused(tmp_path, stage_says("prepare_task", flags), "prepare_task", line, before)


# Model folders and flags, through the stages that read them.

PROMPTS = [f"count to {number}" for number in range(4)]


@pytest.fixture(scope="session")
def tiny_reward_model(tiny_policy, tmp_path_factory):
    """The folder of a reward model with the tiny policy's weights."""
    from preference.models import policies

    folder = tmp_path_factory.mktemp("models") / "reward_model"
    model = policies.new_reward_model(tiny_policy, pad_id=1)
    policies.save(model, policies.load_tokenizer(tiny_policy), str(folder), {"stage": "test"})
    return str(folder)


@pytest.fixture
def here(tiny_policy, tmp_path):
    """A folder with a policy and a small table of each kind."""
    shutil.copytree(tiny_policy, tmp_path / "policy")
    rows = [{"prompt_id": records.prompt_id(prompt), "prompt": prompt} for prompt in PROMPTS]
    answer = {"sample_id": 0, "response": "one", "response_ids": [5, 0], "finish_reason": "stop", "num_tokens": 1}
    tables = {
        "sft": [row | {"response": "one two"} for row in rows],
        "prompts": rows,
        "eval_prompts": [row | {"response": None} for row in rows],
        "pairs": [row | {"chosen": "one", "rejected": "two"} for row in rows],
        "responses": [row | answer for row in rows],
    }
    for kind, content in tables.items():
        records.write(tmp_path / f"{kind}.parquet", kind, content, {})
    held_out = {"prompt_id": records.prompt_id("say hi"), "prompt": "say hi", "chosen": "hi", "rejected": "no"}
    records.write(tmp_path / "eval_pairs.parquet", "pairs", [held_out], {})
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "taken.manifest.json").mkdir()
    return tmp_path


TRAINING = {"learning_rate": "1e-3", "epochs": "1", "batch_size": "2", "micro_batch_size": "2", "max_length": "64"}
TRAINING |= {"seed": "1", "output": "{here}/new", "log_output": "{here}/new.csv"}
SAMPLING = {"engine": "transformers", "samples_per_prompt": "2", "temperature": "1", "top_p": "1", "seed": "1"}
GOOD = {  # script: the flags of a call that works, the model's first
    "train_sft": {"base_model": "{here}/policy", "data": "{here}/sft.parquet", **TRAINING},
    "generate_responses": {
        "policy": "{here}/policy",
        "prompts": "{here}/prompts.parquet",
        **SAMPLING,
        "max_new_tokens": "8",
        "round": "1",
        "output": "{here}/new.parquet",
    },
    "evaluate_policy": {
        **{"policy": "{here}/policy", "reference": "{here}/policy", "gold_reward": "min_length"},
        **{"prompts": "{here}/eval_prompts.parquet", "pairs": "{here}/eval_pairs.parquet", **SAMPLING},
        **{"max_new_tokens": "8", "max_length": "64"},
        **{"output": "{here}/new.json", "samples_output": "{here}/new.parquet"},
    },
    "compute_reference_logps": {
        "reference": "{here}/policy",
        "pairs": "{here}/pairs.parquet",
        "max_length": "64",
        "output": "{here}/new.parquet",
    },
    "train_pref_ft": {"policy": "{here}/policy", "pairs": "{here}/pairs.parquet", **TRAINING},
    "train_reward_model": {
        "policy": "{here}/policy",
        "pairs": "{here}/pairs.parquet",
        "eval_pairs": "{here}/eval_pairs.parquet",
        **TRAINING,
        "evaluation_output": "{here}/new.json",
    },
    "train_dpo": {"policy": "{here}/policy", "pairs": "{here}/pairs.parquet", "beta": "0.1", **TRAINING},
    "score_responses": {
        "reward_model": None,
        "responses": "{here}/responses.parquet",
        "gold_reward": "min_length",
        "output": "{here}/new.parquet",
    },
    "skew_responses": {
        **{"policy": "{here}/policy", "responses": "{here}/responses.parquet"},
        **{"mean_length": "4", "seed": "1", "output": "{here}/new.parquet"},
    },
    "construct_pairs": {"preferences": "{here}/pairs.parquet", "seed": "1", "output": "{here}/new.parquet"},
    "initialize_model": {
        **{"data": "{here}/sft.parquet", "vocab_size": "300", "hidden_size": "32", "num_layers": "2"},
        **{"num_heads": "2", "context_length": "64", "seed": "1", "output": "{here}/new"},
    },
    "summarize_run": {
        "evaluations": "{here}/evaluation.json",
        "trainings": "{here}/training.csv",
        "trained_on": "{here}/pairs.parquet",
        "output": "{here}/new.csv",
    },
    "summarize_experiment": {
        **{"runs": "a/b/1", "metrics": "{here}/m.csv", "samples": "{here}/s.parquet", "baselines": "a/1"},
        "baseline_samples": "{here}/b.parquet",
        **{f"{name}_output": f"{{here}}/{name}.csv" for name in ("metrics", "final", "text")},
    },
    "prepare_task": {"sft": "{here}/sft.parquet", "num_eval_prompts": "1", "seed": "0", "output": "{here}/new"},
}


def flags_of(script: str, changes: dict, here: Path) -> dict[str, str]:
    return {name: value and value.format(here=here) for name, value in (GOOD[script] | changes).items()}


def break_model(folder: Path, how: str) -> None:
    verb, name, *rest = how.split(" ", 2)
    rest = rest[0] if rest else ""
    if verb == "remove":
        (folder / name).unlink()
    elif verb == "rename":
        (folder / name).rename(folder / rest)
    elif verb == "write":
        (folder / name).write_text(rest)
    elif verb == "cut":
        (folder / name).write_bytes((folder / name).read_bytes()[:5000])
    elif verb == "set":
        content = json.loads((folder / name).read_text()) | json.loads(rest)
        (folder / name).write_text(json.dumps({key: value for key, value in content.items() if value is not None}))
    else:
        break_tensor(folder / "model.safetensors", verb, name, rest)


def break_tensor(file: Path, verb: str, name: str, rest: str) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    tensors = load_file(file)
    del tensors[name]
    if verb == "fill":
        size, value = rest.split()
        tensors[name] = torch.full((int(size),), float(value))
    save_file(tensors, file, metadata={"format": "pt"})


READERS = ["train_sft", "generate_responses", "compute_reference_logps", "train_pref_ft", "train_reward_model"]
READERS += ["score_responses"]
TEMPLATES = {  # how a model gets a template: only a policy's can be named by a flag
    "policy": "name a file with --chat_template",
    "reward_model": "put chat_template.jinja into its folder",
}


@pytest.mark.parametrize("name", MODELS)
def test_every_stage_refuses_a_bad_model_in_one_line_and_runs_none_of_its_code(
    here, tiny_reward_model, stage_says, monkeypatch, name
):
    how, line = MODELS[name]
    shutil.copytree(tiny_reward_model, here / "reward_model")
    size = json.loads((here / "policy" / "config.json").read_text())["vocab_size"]
    for model in ("policy", "reward_model"):
        break_model(here / model, how)
        (here / model / "modeling_x.py").write_text("open('pwned', 'w')\n")
    monkeypatch.chdir(here)
    before = snapshot(here)
    for script in READERS:
        if name == "no template" and script == "train_sft":
            continue  # a base model need not have one: it gets ours
        model = "reward_model" if script == "score_responses" else "policy"
        changes = {"reward_model": f"{here}/reward_model"} if model == "reward_model" else {}
        played = stage_says(script, flags_of(script, changes, here))
        expected = line.replace("{size}", str(size)).replace("{template}", TEMPLATES[model])
        refused(here, played, script, f"{{here}}/{model}: {expected}", before)


@pytest.mark.parametrize("name", FLAGS)
def test_a_bad_flag_is_one_line_and_nothing_is_written(here, stage_says, name):
    script, changes, line, code = FLAGS[name]
    longest = {
        "prompt_id": records.prompt_id(PROMPTS[0]),
        "num_tokens": len(chat.load(str(here / "policy")).encode_prompt(PROMPTS[0])),
    }
    for key, value in longest.items():
        line = line.replace(f"{{{key}}}", str(value))
    before = snapshot(here)
    refused(here, stage_says(script, flags_of(script, changes, here)), script, line, before, code)


# Safe by default.

SOURCES = sorted([*(ROOT / "scripts").rglob("*.py"), *(ROOT / "workflow").rglob("*.py")])
RULES = [ROOT / "Snakefile", ROOT / "workflow" / "Snakefile", *sorted((ROOT / "workflow" / "rules").glob("*.smk"))]
PROFILES = [*ROOT.glob("profiles/*/config.yaml"), *ROOT.glob("slurm/config.yaml")]
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
CALLS_OF_OTHERS = {"eval", "exec", "compile", "__import__", "importlib.import_module", "torch.load", "numpy.load"}
CALLS_OF_OTHERS |= {"pandas.read_pickle", "os.system", "os.popen", "subprocess.getoutput", "snakemake.shell.shell"}
CALLS_OF_OTHERS |= {"yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load"}
RUN_ON_PURPOSE = {
    "scripts/preference/rewards/functions.py": ["exec", "compile"],  # the reward of the user's own that a config names
    "scripts/preference/rewards/verifiers/__init__.py": ["importlib.import_module"],  # a module of it, by its name
    "scripts/preference/judges/__init__.py": ["importlib.import_module"],
    "scripts/preference/formats/__init__.py": ["importlib.import_module"],
    "scripts/preference/engines/__init__.py": ["importlib.import_module"],
    "workflow/generate.py": ["importlib.import_module"],  # every script
}
RISKY = {"trust_remote_code": "False", "shell": "False", "allow_pickle": "False", "weights_only": "True"}


def dangers(source: str) -> list[str]:
    """What a module does that could run the code of a file or of a value."""
    found, nodes, names = [], list(ast.walk(ast.parse(source))), {}
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            whole = [f"{getattr(node, 'module', '')}.{alias.name}".removeprefix(".") for alias in node.names]
            names |= {alias.asname or alias.name: name for alias, name in zip(node.names, whole, strict=True)}
            found += [name for name in whole if name.split(".")[0] in MODULES]
    for node in nodes:
        if isinstance(node, ast.Call):
            first, *rest = ast.unparse(node.func).split(".")
            called = ".".join([names.get(first, first), *rest])
            found += [called] if called in CALLS_OF_OTHERS else []
            found += [f"{k.arg}=" for k in node.keywords if k.arg in RISKY and ast.unparse(k.value) != RISKY[k.arg]]
    return found


@pytest.mark.parametrize(
    "source, danger",
    [
        ("import pickle", "pickle"),
        ("from pickle import loads", "pickle.loads"),
        ("eval('1')", "eval"),
        ("import torch\ntorch.load(path)", "torch.load"),
        ("from torch import load\nload(path)", "torch.load"),
        ("from torch import load as read\nread(path)", "torch.load"),
        ("import numpy as np\nnp.load(path)", "numpy.load"),
        ("import yaml\nyaml.load(text, Loader=yaml.Loader)", "yaml.load"),
        ("import os\nos.system('ls')", "os.system"),
        ("subprocess.run(x, shell=True)", "shell="),
        ("AutoModel.from_pretrained(x, trust_remote_code=flags.trust)", "trust_remote_code="),
    ],
)
def test_the_check_for_dangers_finds_them(source, danger):
    assert dangers(source) == [danger]


def test_the_check_for_dangers_lets_the_harmless_pass():
    harmless = "import ast, re\nfrom json import load\nload(x)\nmodel.eval()\nast.literal_eval('1')\nre.compile('x')"
    assert dangers(harmless + "\nyaml.safe_load('')") == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_no_module_can_run_the_code_of_a_file(path):
    on_purpose = RUN_ON_PURPOSE.get(str(path.relative_to(ROOT)), [])
    assert dangers(path.read_text(encoding="utf-8")) == on_purpose


def python_of(rules: str) -> str:
    """Rules as the Python that Snakemake runs."""
    path = types.SimpleNamespace(get_path_or_uri=lambda secret_free: "rules")
    sources = types.SimpleNamespace(open=lambda _: io.StringIO(rules))
    return parser.parse(path, types.SimpleNamespace(sourcecache=sources), {})[0]


def test_the_check_for_dangers_reads_rules():
    rules = "import os\n\nrule a:\n    output: 'x'\n    run:\n        os.system(config['x'])\n"
    assert dangers(python_of(rules)) == ["os.system"]


@pytest.mark.parametrize("path", RULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_rule_can_run_the_code_of_a_file(path):
    assert dangers(python_of(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.parent.name)
def test_no_profile_can_run_the_code_of_a_file(path):
    profile = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert [found for part in profile.pop("__definitions__", []) for found in dangers(part)] == []
    assert [found for expression in expressions(profile) for found in dangers(expression)] == []


def expressions(part) -> list[str]:
    """What the template of a profile evaluates, in a key (`?if x`) or a value (`?x`)."""
    if isinstance(part, dict):
        return [found for pair in part.items() for each in pair for found in expressions(each)]
    if isinstance(part, list):
        return [found for each in part for found in expressions(each)]
    text = str(part)
    assert "?" not in text[1:], f"{text}: an expression, which is not looked into"
    return [text[1:].removeprefix("if ")] if text.startswith("?") else []


def test_the_check_of_profiles_reads_keys_and_values():
    profile = {"a": [{"?if os.system('x')": {"b": "?eval(c)"}}], "d": "e"}
    assert [found for each in expressions(profile) for found in dangers("import os\n" + each)] == ["os.system", "eval"]


def test_models_are_loaded_without_their_code_wherever_they_are_loaded():
    calls = [
        node
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("from_pretrained")
    ]
    safe = [call for call in calls if "trust_remote_code=False" in ast.unparse(call)]
    assert calls and safe == calls


UNRULY = "a b; touch pwned 'c' \"d\" $(touch pwned) `touch pwned` & é"


def test_paths_with_spaces_quotes_and_commands_are_paths_and_nothing_is_run(tmp_path, tiny_policy):
    here = tmp_path / UNRULY
    here.mkdir()
    shutil.copytree(tiny_policy, here / "model")
    (here / "sft.jsonl").write_bytes(lines(*SFT))
    (here / "preferences.jsonl").write_bytes(lines(*PAIRS))
    config = {
        "tasks.min_length.data": {"sft": f"{here}/sft.jsonl", "preferences": f"{here}/preferences.jsonl"},
        "tasks.min_length.base_model": f"{here}/model",
        "stages.prepare_task": {"num_eval_prompts": 2, "seed": 0},
    }
    config |= {f"stages.{stage}.max_length": 96 for stage in SHORTENED}
    (tmp_path / "good.yaml").write_bytes(config_text(config))
    data = "results/miniature/min_length/data/sft.parquet"
    code, said = call(tmp_path, [data, "--configfile", "good.yaml"])
    assert code == 0 and len(records.read(tmp_path / data, "sft")) == 4, said
    typed = (tmp_path / data).with_name("prepare_task.log").read_text().splitlines()[0]
    words = shlex.split(typed.removeprefix("$ "))
    assert words[words.index("--sft") + 1] == f"{here}/sft.jsonl"
    assert not [path for path in tmp_path.rglob("*") if path.name == "pwned"]
    planned = call(tmp_path, ["--configfile", "good.yaml", "--dry-run", "--printshellcmds"])
    assert planned[0] == 0 and f"--base_model {shlex.quote(f'{here}/model')}" in planned[1]


SHORTENED = (
    "train_sft",
    "train_reward_model",
    "compute_reference_logps",
    "train_dpo",
    "train_pref_ft",
    "evaluate_policy",
)
SECRETS = {"HF_TOKEN": "hf_sentinel", "WANDB_API_KEY": "wandb-sentinel", "AWS_SECRET_ACCESS_KEY": "aws-sentinel"}


def test_secrets_of_the_environment_reach_no_artifact_log_or_report(tmp_path):
    (tmp_path / "good.yaml").write_bytes(config_text({}))
    miniature.write_data(tmp_path)
    targets = ["results/miniature/config.yaml", "results/miniature/min_length/seed1/base/model.manifest.json"]
    arguments = [*targets, "--printshellcmds", "--verbose", "--configfile", "good.yaml"]
    code, said = call(tmp_path, arguments, SECRETS)
    assert code == 0, said
    written = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert len(written) > 10
    for secret in SECRETS.values():
        assert secret not in said and not [path for path, held in written.items() if secret.encode() in held]
