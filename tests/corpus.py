"""Bad inputs, each with the one line that it must give: configs, data sets, model folders and flags.

A config is tests/miniature.yaml with some keys changed (a path of keys -> the new value, DELETE without it), or a text.
In a line, {here} is the folder that the case is played in.
"""

DELETE = object()
RUN = {"algorithm": "dpo", "source": "offline"}
SHARED_NAMES = "the name is taken by the results' own"
NO_NAME = "is not a name: use lower-case letters, digits and _, starting with a letter, 80 at most"
FORMATS = "neither a path (./folder, x.parquet, x.jsonl) nor a hub id owner/name@config:split"

# case: (changes, what follows the name of the config file)
CONFIGS = {
    # Keys.
    "unknown key at the top": ({"experimnt": "x"}, "experimnt: unknown key; did you mean experiment?"),
    "unknown stage": ({"stages.train_dop": {}}, "stages.train_dop: unknown key; did you mean train_dpo?"),
    "unknown flag": ({"stages.train_dpo.betta": 0.1}, "stages.train_dpo.betta: unknown key; did you mean beta?"),
    "unknown key of a task": (
        {"tasks.min_length.gold_rewrd": "min_length"},
        "tasks.min_length.gold_rewrd: unknown key; did you mean gold_reward?",
    ),
    "unknown role": (
        {"tasks.min_length.data": {"sft": "built_in", "promts": "built_in"}},
        "tasks.min_length.data.promts: unknown key; did you mean prompts?",
    ),
    "unknown key of a run": (
        {"runs.dpo_on_policy.round": 2},
        "runs.dpo_on_policy.round: unknown key; did you mean rounds?",
    ),
    "key that nothing is like": (
        {"stages.score_responses.zzz": 1},
        "stages.score_responses.zzz: unknown key; known are batch_size, max_length",
    ),
    "key that is a number": (
        {("stages", "score_responses", 1): 2},
        "stages.score_responses.1: unknown key; known are batch_size, max_length",
    ),
    "missing key": ({"seeds": DELETE}, "seeds: is missing"),
    "missing algorithm": ({"runs.dpo_on_policy.algorithm": DELETE}, "runs.dpo_on_policy.algorithm: is missing"),
    "missing base model": ({"tasks.min_length.base_model": DELETE}, "tasks.min_length.base_model: is missing"),
    "missing stage": ({"stages.train_reward_model": DELETE}, "stages.train_reward_model: is missing"),
    "missing flag": ({"stages.train_dpo.beta": DELETE}, "stages.train_dpo.beta: is missing"),
    "missing seed of the data": ({"stages.prepare_task.seed": DELETE}, "stages.prepare_task.seed: is missing"),
    # Values.
    "number as YAML's text": (
        {"stages.train_sft.learning_rate": "5e-7"},
        "stages.train_sft.learning_rate: '5e-7' is text to YAML; write a number with a dot and no quotes, such as "
        "5.0e-07",
    ),
    "quoted whole number": ({"seeds": ["1"]}, "seeds.0: '1' is text to YAML; write 1, without quotes"),
    "words for a number": ({"stages.train_dpo.beta": "small"}, "stages.train_dpo.beta: 'small' is not a finite number"),
    "not a number": ({"stages.train_dpo.beta": float("nan")}, "stages.train_dpo.beta: nan is not a finite number"),
    "infinite": (
        {"stages.train_sft.learning_rate": float("inf")},
        "stages.train_sft.learning_rate: inf is not a finite number",
    ),
    "half an epoch": ({"stages.train_sft.epochs": 1.5}, "stages.train_sft.epochs: 1.5 is not a whole number"),
    "float for a count": (
        {"stages.train_sft.epochs": 3.0},
        "stages.train_sft.epochs: 3.0 is not a whole number; write 3",
    ),
    "yes for a count": ({"stages.train_sft.epochs": True}, "stages.train_sft.epochs: True is not a whole number"),
    "no value": ({"stages.train_dpo.beta": None}, "stages.train_dpo.beta: nothing (null) is not a finite number"),
    "no value for a stage": (
        {"stages.train_dpo": None},
        "stages.train_dpo: nothing (null) is not a mapping of keys to values",
    ),
    "zero": ({"stages.train_sft.batch_size": 0}, "stages.train_sft.batch_size: 0 must be at least 1"),
    "negative": ({"stages.train_dpo.beta": -0.1}, "stages.train_dpo.beta: -0.1 must be more than 0"),
    "negative margin": (
        {"stages.construct_pairs.min_margin": -1},
        "stages.construct_pairs.min_margin: -1 must be at least 0",
    ),
    "huge": ({"stages.train_sft.epochs": 10**12}, "stages.train_sft.epochs: 1000000000000 must be at most 10000"),
    "too big a share": ({"stages.train_sft.warmup_ratio": 2}, "stages.train_sft.warmup_ratio: 2 must be at most 1"),
    "no token at all": (
        {"stages.generate_responses.top_p": 0},
        "stages.generate_responses.top_p: 0 must be more than 0",
    ),
    "top_p over 1": ({"stages.evaluate_policy.top_p": 2}, "stages.evaluate_policy.top_p: 2 must be at most 1"),
    "no rounds": ({"runs.dpo_on_policy.rounds": 0}, "runs.dpo_on_policy.rounds: 0 must be at least 1"),
    "no seeds": ({"seeds": []}, "seeds: is empty"),
    "a seed twice": ({"seeds": [1, 1]}, "seeds: [1, 1] names one of its entries twice"),
    "seed with a fraction": ({"seeds": [1.5]}, "seeds.0: 1.5 is not a whole number"),
    "negative seed": ({"seeds": [-1]}, "seeds.0: -1 must be at least 0"),
    "seed that no generator takes": ({"seeds": [2**64]}, "seeds.0: 18446744073709551616 must be at most 4294967295"),
    "one seed and no list": ({"seeds": 1}, "seeds: 1 is not a list"),
    "no runs": ({"runs": {}}, "runs: is empty"),
    "runs as a list": ({"runs": ["dpo"]}, "runs: ['dpo'] is not a mapping of keys to values"),
    "wrong word": (
        {"stages.construct_pairs.pairing": "best_vs_wrost"},
        "stages.construct_pairs.pairing: 'best_vs_wrost' is not one of best_vs_worst, best_vs_random, random, "
        "closest_above_margin; did you mean best_vs_worst?",
    ),
    "wrong algorithm": (
        {"runs.dpo_on_policy.algorithm": "dpoo"},
        "runs.dpo_on_policy.algorithm: 'dpoo' is not one of dpo, pref_ft; did you mean dpo?",
    ),
    "wrong source": (
        {"runs.dpo_on_policy.source": "web"},
        "runs.dpo_on_policy.source: 'web' is not one of offline, on_policy",
    ),
    "wrong gold reward": (
        {"tasks.min_length.gold_reward": "shortest"},
        "tasks.min_length.gold_reward: 'shortest' is not one of min_length, max_length",
    ),
    "wrong engine": ({"engine": "vlm"}, "engine: 'vlm' is not one of auto, vllm, transformers; did you mean vllm?"),
    "a value that goes on and on": (
        {"engine": "x" * 999},
        f"engine: '{'x' * 75} ... is not one of auto, vllm, transformers",
    ),
    # Names, which become folders and labels.
    "name with a command": ({("runs", "a; touch x"): RUN}, f"runs: 'a; touch x' {NO_NAME}"),
    "name with a substitution": ({("runs", "$(touch x)"): RUN}, f"runs: '$(touch x)' {NO_NAME}"),
    "name that leads out": ({("runs", "../up"): RUN}, f"runs: '../up' {NO_NAME}"),
    "name with a folder": ({("runs", "a/b"): RUN}, f"runs: 'a/b' {NO_NAME}"),
    "name with a space": (
        {("tasks", "A B"): {"data": "built_in", "base_model": "from_scratch"}},
        f"tasks: 'A B' {NO_NAME}",
    ),
    "name of nothing": ({("runs", ""): RUN}, f"runs: '' {NO_NAME}"),
    "name that ends with a line": ({("runs", "a\n"): RUN}, rf"runs: 'a\n' {NO_NAME}"),
    "name too long for a folder": ({("runs", "a" * 300): RUN}, f"runs: '{'a' * 75} ... {NO_NAME}"),
    "name that is a number": ({("runs", 1): RUN}, f"runs: 1 {NO_NAME}"),
    "name of a seed's folder": ({"runs.seed1": RUN}, f"runs.seed1: {SHARED_NAMES}"),
    "name of the SFT policy": ({"runs.sft": RUN}, f"runs.sft: {SHARED_NAMES}"),
    "name of the tables": (
        {"tasks.tables": {"data": "built_in", "base_model": "from_scratch", "gold_reward": "min_length"}},
        f"tasks.tables: {SHARED_NAMES}",
    ),
    "experiment somewhere else": ({"experiment": "../elsewhere"}, f"experiment: '../elsewhere' {NO_NAME}"),
    "experiment that YAML takes for no": ({"experiment": False}, f"experiment: False {NO_NAME}"),
    # What the parts say of each other.
    "task that is not there": (
        {"runs.dpo_on_policy.tasks": ["max_length"]},
        "runs.dpo_on_policy.tasks: there is no task max_length; there are min_length",
    ),
    "stage of another algorithm": (
        {"runs.dpo_on_policy.train_pref_ft": {"epochs": 2}},
        "runs.dpo_on_policy.train_pref_ft: its algorithm is dpo, so train_pref_ft never runs",
    ),
    "gold reward that the task lacks": (
        {
            "runs.dpo_on_policy.reward": "gold",
            "tasks.min_length.gold_reward": DELETE,
            "tasks.min_length.data": {"sft": "data.jsonl", "preferences": "data.jsonl"},
        },
        "runs.dpo_on_policy.reward: task min_length has no gold_reward",
    ),
    "nothing that could label": (
        {"tasks.min_length.gold_reward": DELETE},
        "tasks.min_length: has neither data.preferences nor gold_reward, so no pair could be labelled",
    ),
    "greedy pairs": (
        {"stages.generate_responses.temperature": 0},
        "stages.generate_responses.temperature: 0 is greedy, so that all 2 samples of a prompt would be equal",
    ),
    "greedy evaluation, several times": (
        {"stages.evaluate_policy.temperature": 0.0, "stages.evaluate_policy.samples_per_prompt": 3},
        "stages.evaluate_policy.temperature: 0.0 is greedy, so that all 3 samples of a prompt would be equal",
    ),
    "a pair of one": (
        {"runs.dpo_on_policy.generate_responses": {"samples_per_prompt": 1}},
        "runs.dpo_on_policy.generate_responses.samples_per_prompt: 1 is too few; a pair needs at least 2",
    ),
    "preferences of one": (
        {"tasks.min_length.preferences": {"generate_responses": {"samples_per_prompt": 1}}},
        "tasks.min_length.preferences.generate_responses.samples_per_prompt: 1 is too few; a pair needs at least 2",
    ),
    "more prompts a round than there are": (
        {"tasks.min_length.generate_responses": {"num_prompts": 33}},
        "tasks.min_length.generate_responses.num_prompts: 33 is more than the prompts of the task, "
        "prepare_task.num_prompts 32",
    ),
    "heads that do not divide the width": (
        {"stages.initialize_model.num_heads": 3},
        "stages.initialize_model.hidden_size: 32 is no multiple of num_heads, which is 3",
    ),
    "sequences longer than the model reads": (
        {"stages.train_dpo.max_length": 257},
        "stages.train_dpo.max_length: 257 is more than the 256 tokens that the base model reads",
    ),
    "responses that leave no room for a prompt": (
        {"stages.evaluate_policy.max_new_tokens": 256},
        "stages.evaluate_policy.max_new_tokens: 256 leaves no room for a prompt in the 256 tokens that the policy "
        "reads",
    ),
    "max_length of a model in a folder": (
        {"tasks.min_length.base_model": "model", "stages.train_sft.max_length": 4096},
        "stages.train_sft.max_length: 4096 is more than the 512 tokens that the base model reads",
    ),
    # Files that it names.
    "data that is not there": (
        {"tasks.min_length.data": "nowhere.parquet"},
        "tasks.min_length.data.sft: nowhere.parquet: no such file or folder",
    ),
    "data that is no source": ({"tasks.min_length.data": "alpaca"}, f"tasks.min_length.data.sft: alpaca: {FORMATS}"),
    "data in a folder without any": (
        {"tasks.min_length.data": "./empty"},
        "tasks.min_length.data.sft: ./empty: is or holds no .parquet, .json or .jsonl file",
    ),
    "data that is a pickle": (
        {"tasks.min_length.data": "./rows.pkl"},
        "tasks.min_length.data.sft: ./rows.pkl: is a pickle, which can run code as it is read; write Parquet or JSON "
        "lines instead",
    ),
    "data as a list": (
        {"tasks.min_length.data": ["a.parquet"]},
        "tasks.min_length.data: ['a.parquet'] is neither a source nor a mapping of roles to sources",
    ),
    "base model that is not there": (
        {"tasks.min_length.base_model": "./nowhere"},
        "tasks.min_length.base_model: ./nowhere: no such model folder",
    ),
    "base model that is a file": (
        {"tasks.min_length.base_model": "data.jsonl"},
        "tasks.min_length.base_model: data.jsonl: is a file, not a model folder",
    ),
    "base model that is no model": (
        {"tasks.min_length.base_model": "empty"},
        "tasks.min_length.base_model: empty: not a model folder (no config.json)",
    ),
    "base model of pickles": (
        {"tasks.min_length.base_model": "pickled"},
        "tasks.min_length.base_model: pickled: pytorch_model.bin is a pickle, which can run code; convert it to "
        "safetensors",
    ),
    "base model with a damaged config": (
        {"tasks.min_length.base_model": "damaged"},
        "tasks.min_length.base_model: damaged: config.json is damaged",
    ),
}

# case: (the file's bytes, what follows its name)
CONFIG_TEXTS = {
    "empty": (b"", "is empty; config/README.md explains the keys"),
    "only a comment": (b"# later\n", "is empty; config/README.md explains the keys"),
    "list at the top": (b"- a\n- b\n", "is no mapping of keys to values; config/README.md explains the keys"),
    "tab": (
        b"experiment: x\n\tseeds: [1]\n",
        "line 2, column 1: not YAML: while scanning for the next token found character '\\t' that cannot start any "
        "token; YAML indents with spaces, not with tabs",
    ),
    "unclosed bracket": (
        b"seeds: [1, 2\ntasks: {}\n",
        "line 2, column 6: not YAML: while parsing a flow sequence expected ',' or ']', but got ':'",
    ),
    "a block twice": (
        b"experiment: x\nstages:\n  train_dpo: {beta: 0.1}\n  train_dpo: {beta: 0.2}\n",
        "line 4, column 3: the key train_dpo is already in line 3; keep one of the two",
    ),
    "two documents": (
        b"experiment: x\n---\nexperiment: y\n",
        "line 2, column 1: not YAML: expected a single document in the stream but found another document",
    ),
    "not UTF-8": (b"experiment: \xff\n", "is not UTF-8 text (byte 0xff at 12); save it as UTF-8"),
    "NUL": (b"experiment: \0\n", "not YAML: unacceptable character #x0000: special characters are not allowed"),
    "Python tag": (
        b'experiment: !!python/object/apply:os.system ["touch pwned"]\n',
        "line 1, column 13: the tag !!python/object/apply:os.system; a config holds plain values only",
    ),
    "template": (
        b"__use_yte__: true\nexperiment: \"?__import__('os').system('touch pwned')\"\n",
        "__use_yte__: a config is data; templates, which can run code, are not read",
    ),
    "alias inside of itself": (b"seeds: &a [*a]\n", "line 1, column 8: an alias inside of what it refers to"),
    "key that is a list": (b"? [a]\n: 1\n", "line 1, column 3: a key is a word, not a list or a mapping"),
}

# case: (arguments, the whole line)
COMMAND_LINES = {
    "no such file": (["--configfile", "none.yaml"], "none.yaml: no such config file"),
    "a folder": (["--configfile", "empty"], "empty: is a folder; name a file"),
    "one good, one missing": (["--configfile", "good.yaml", "none.yaml"], "none.yaml: no such config file"),
    "wrong type typed": (["--configfile", "good.yaml", "--config", "seeds=3"], "--config: seeds: 3 is not a list"),
    "name typed": (
        ["--configfile", "good.yaml", "--config", "experiment=a b"],
        f"--config: experiment: 'a b' {NO_NAME}",
    ),
    "unknown key typed": (
        ["--configfile", "good.yaml", "--config", "engin=vllm"],
        "--config: engin: unknown key; did you mean engine?",
    ),
    "number typed below a key": (
        ["--configfile", "good.yaml", "--config", "stages={train_dpo: {beta: 0.2}}"],
        "--config: stages.train_dpo.beta: '0.2' is text to YAML; write a number with a dot and no quotes, such as 0.2; "
        "--config reads what lies below a key as text, so put it into a file",
    ),
    "no value typed": (
        ["--configfile", "good.yaml", "--config", "seeds"],
        "--config seeds: is not of the form NAME=VALUE",
    ),
    "no default config": ([], "config/config.yaml: no such config file"),
}
