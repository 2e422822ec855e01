"""Bad inputs, each with the one line that it must give: configs, data sets, model folders and flags.

A config is tests/miniature.yaml with some keys changed (a path of keys -> the new value, DELETE without it), or a text.
In a line, {here} is the folder that the case is played in.
"""

import datetime
import io
import json

import pyarrow
import pyarrow.parquet

DELETE = object()
RUN = {"algorithm": "dpo", "source": "offline"}
BEST_OF_N = {"learning_rate": 1.0e-4, "epochs": 1, "batch_size": 8, "micro_batch_size": 4, "max_length": 200}
SHARED_NAMES = "the name is taken by the results' own"
NO_NAME = "is not a name: use lower-case letters, digits and _, starting with a letter, 80 at most"
VERIFIERS = "exact_answer, json, max_length, min_length, mode_length, number, regex"
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
        "stages.score_responses.zzz: unknown key; known are batch_size, shard_size, max_length",
    ),
    "key that is a number": (
        {("stages", "score_responses", 1): 2},
        "stages.score_responses.1: unknown key; known are batch_size, shard_size, max_length",
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
        "runs.dpo_on_policy.algorithm: 'dpoo' is not one of pref_ft, csft, best_of_n, rwr, dpo, ipo, slic, simpo, kto, "
        "reinforce, ppo, grpo; did you mean dpo?",
    ),
    "mix without a fraction": (
        {"runs.dpo_on_policy.source": "mix"},
        "runs.dpo_on_policy.offline_fraction: is missing",
    ),
    "fraction of what is no mix": (
        {"runs.dpo_on_policy.offline_fraction": 0.5},
        "runs.dpo_on_policy.offline_fraction: its source is on_policy; only a mix has one",
    ),
    "mix of nothing": (
        {"runs.dpo_on_policy.source": "mix", "runs.dpo_on_policy.offline_fraction": 1.0e-9},
        "runs.dpo_on_policy.offline_fraction: 1e-09 of 16 prompts leaves 16 of its own and 0 preferences; "
        "a mix has both",
    ),
    "best of N with a negative gradient of no weight": (
        {"runs.dpo_on_policy.algorithm": "best_of_n", "stages.train_best_of_n": BEST_OF_N | {"negative": "worst"}},
        "stages.train_best_of_n.beta: is missing: negative is worst",
    ),
    "more kept than sampled": (
        {"runs.dpo_on_policy.algorithm": "best_of_n", "stages.train_best_of_n": BEST_OF_N | {"keep": 3}},
        "stages.generate_responses.samples_per_prompt: 2 is too few; train_best_of_n needs at least 3",
    ),
    "wrong source": (
        {"runs.dpo_on_policy.source": "web"},
        "runs.dpo_on_policy.source: 'web' is not one of offline, on_policy, mix",
    ),
    "wrong gold reward": (
        {"tasks.min_length.gold_reward": "shortest"},
        f"tasks.min_length.gold_reward: 'shortest' is not one of {VERIFIERS}",
    ),
    "gold reward as a list of nothing": (
        {"tasks.min_length.gold_reward": []},
        "tasks.min_length.gold_reward: is empty; name at least one reward",
    ),
    "gold reward in a list": (
        {"tasks.min_length.gold_reward": ["min_length", "jsn"]},
        f"tasks.min_length.gold_reward: 'jsn' is not one of {VERIFIERS}; did you mean json?",
    ),
    "gold reward that lacks a key": (
        {"tasks.min_length.gold_reward": {"name": "regex"}},
        "tasks.min_length.gold_reward: regex needs pattern, a text",
    ),
    "gold reward that is learned here": (
        {"tasks.min_length.gold_reward": {"model": "trained"}},
        "tasks.min_length.gold_reward: the reward model that is trained here learns from preferences, so it cannot be "
        "gold",
    ),
    "gold reward of a number": (
        {"tasks.min_length.gold_reward": 3},
        "tasks.min_length.gold_reward: 3 is not text or a mapping of keys to values or a list",
    ),
    "reward model of two kinds": (
        {"tasks.min_length.reward_model": {"model": "trained", "python": "own.py:score"}},
        "tasks.min_length.reward_model: has both model and python; a reward has one of model, python, name",
    ),
    "reward model that is not there": (
        {"tasks.min_length.reward_model": "./nowhere"},
        "tasks.min_length.reward_model: ./nowhere: no such model folder",
    ),
    "reward function that is not there": (
        {"tasks.min_length.reward_model": {"python": "own.py:score"}},
        "tasks.min_length.reward_model: own.py: cannot be read: No such file or directory",
    ),
    "reward with a weight in words": (
        {"tasks.min_length.reward_model": ["trained", {"name": "json", "weight": "half"}]},
        "tasks.min_length.reward_model.weight: 'half' is not a finite number",
    ),
    "scores of data without any": (
        {"runs.pref_ft_offline.reward": "given"},
        "runs.pref_ft_offline.reward: task min_length has no data.preferences, so no scores are given",
    ),
    "scores of the data for its own samples": (
        {
            "runs.dpo_on_policy.reward": "given",
            "tasks.min_length.data": {"sft": "instructions.jsonl", "preferences": "data.jsonl"},
        },
        "runs.dpo_on_policy.reward: given scores are those of the data, so its source must be offline",
    ),
    "gold reward without a name": (
        {"tasks.min_length.gold_reward": {"target": 20}},
        "tasks.min_length.gold_reward.name: is missing",
    ),
    "gold reward of nothing": (
        {"tasks.min_length.gold_reward": {}},
        "tasks.min_length.gold_reward.name: is missing",
    ),
    "gold reward with an unknown key": (
        {"tasks.min_length.gold_reward": {"name": "min_length", "units": "words"}},
        "tasks.min_length.gold_reward.units: unknown key; did you mean unit?",
    ),
    "wrong name of a gold reward": (
        {"tasks.min_length.gold_reward": {"name": "mode_lenght", "target": 20}},
        f"tasks.min_length.gold_reward.name: 'mode_lenght' is not one of {VERIFIERS}; did you mean mode_length?",
    ),
    "wrong unit": (
        {"tasks.min_length.gold_reward": {"name": "min_length", "unit": "lines"}},
        "tasks.min_length.gold_reward.unit: 'lines' is not one of tokens, characters, words",
    ),
    "half a token for a target": (
        {"tasks.min_length.gold_reward": {"name": "mode_length", "target": 20.5}},
        "tasks.min_length.gold_reward.target: 20.5 is not a whole number",
    ),
    "skew of no length": (
        {"tasks.min_length.preferences": {"skew_responses": {}}},
        "tasks.min_length.preferences.skew_responses.mean_length: is missing",
    ),
    "skew to one token, which is no draw": (
        {"tasks.min_length.preferences": {"skew_responses": {"mean_length": 1}}},
        "tasks.min_length.preferences.skew_responses.mean_length: 1 must be more than 1",
    ),
    "skew for every task": (
        {"stages.skew_responses": {"mean_length": 6}},
        "stages.skew_responses: unknown key; did you mean score_responses?",
    ),
    "more noise than labels": (
        {"stages.train_reward_model.label_noise": 1.5},
        "stages.train_reward_model.label_noise: 1.5 must be at most 1",
    ),
    "smoothing that leaves no label": (
        {"stages.train_reward_model.label_smoothing": 0.5},
        "stages.train_reward_model.label_smoothing: 0.5 must be below 0.5",
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
    "experiment that YAML takes for a date": (
        {"experiment": datetime.date(2026, 11, 25)},
        f"experiment: 2026-11-25 {NO_NAME}",
    ),
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
    "mode without a target": (
        {"tasks.min_length.gold_reward": "mode_length"},
        "tasks.min_length.gold_reward: mode_length needs a target length, as in {name: mode_length, target: 20}",
    ),
    "mode of a mapping without a target": (
        {"tasks.min_length.gold_reward": {"name": "mode_length", "unit": "words"}},
        "tasks.min_length.gold_reward: mode_length needs a target length, as in {name: mode_length, target: 20}",
    ),
    "target without a mode": (
        {"tasks.min_length.gold_reward": {"name": "max_length", "target": 20}},
        "tasks.min_length.gold_reward.target: max_length has no target length, only mode_length has",
    ),
    "skew of preferences that are given": (
        {
            "tasks.min_length.data": {"sft": "data.jsonl", "preferences": "data.jsonl"},
            "tasks.min_length.preferences": {"skew_responses": {"mean_length": 6}},
        },
        "tasks.min_length.preferences.skew_responses: data.preferences is given, so nothing is sampled",
    ),
    "more pairs than prompts to sample them on": (
        {"tasks.min_length.train_reward_model": {"num_pairs": 33}},
        "tasks.min_length.train_reward_model.num_pairs: 33 is more than a pair for each prompt of the task, "
        "prepare_task.num_prompts 32",
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
        "stages.evaluate_policy.max_new_tokens: 256 leaves no room for a prompt in the 256 tokens that the model reads",
    ),
    "replies that leave no room for a question": (
        {"tasks.min_length.judge": {"model": "model"}, "stages.judge_responses": {"max_new_tokens": 512}},
        "stages.judge_responses.max_new_tokens: 512 leaves no room for a prompt in the 512 tokens that the model reads",
    ),
    "judging without a judge": (
        {"tasks.min_length.judge_responses": {"max_new_tokens": 4}},
        "tasks.min_length.judge_responses: the task has no judge, so judge_responses never runs",
    ),
    "judge without a model": ({"tasks.min_length.judge": {}}, "tasks.min_length.judge.model: is missing"),
    "judge by its name alone": (
        {"tasks.min_length.judge": "model"},
        "tasks.min_length.judge: 'model' is not a mapping of keys to values",
    ),
    "temperature of a judge, which is greedy": (
        {"stages.judge_responses": {"temperature": 1.0}},
        "stages.judge_responses.temperature: unknown key; known are engine, max_new_tokens, concurrency, max_attempts, "
        "retry_seconds, timeout, batch_size, shard_size, dtype, tensor_parallel_size, gpu_memory_utilization, "
        "max_model_len",
    ),
    "judge at an address with a password": (
        {"tasks.min_length.judge": {"model": "m", "endpoint": "http://me:secret@host/v1"}},
        "tasks.min_length.judge.endpoint: the base URL holds a user, a password or a query; put the key into the "
        "environment",
    ),
    "judge at no address": (
        {"tasks.min_length.judge": {"model": "m", "endpoint": "host:80"}},
        "tasks.min_length.judge.endpoint: 'host:80' is not a base URL such as http://127.0.0.1:8000/v1",
    ),
    "judge with a key but no endpoint": (
        {"tasks.min_length.judge": {"model": "model", "key_variable": "KEY"}},
        "tasks.min_length.judge.key_variable: only a judge with an endpoint has a key",
    ),
    "judge that is asked and scores": (
        {"tasks.min_length.judge": {"reward_model": "model", "template": "t"}},
        "tasks.min_length.judge.template: unknown key; known are reward_model",
    ),
    "max_length of a model in a folder": (
        {"tasks.min_length.base_model": "model", "stages.train_sft.max_length": 4096},
        "stages.train_sft.max_length: 4096 is more than the 512 tokens that the base model reads",
    ),
    "another source beside built-in data": (
        {"tasks.min_length.data": {"sft": "built_in", "prompts": "data.jsonl"}},
        "tasks.min_length.data.prompts: is not needed: sft is built_in, which makes all roles itself",
    ),
    "built-in preferences": (
        {"tasks.min_length.data": {"sft": "data.jsonl", "preferences": "built_in"}},
        "tasks.min_length.data.preferences: only sft can be built_in",
    ),
    "built-in data of no number": (
        {"tasks.min_length.data": "built_in", "stages.prepare_task.num_sft": DELETE},
        "stages.prepare_task.num_sft: is missing; sft is built_in, which makes as many as it is told",
    ),
    "more built-in data than there are": (
        {"tasks.min_length.data": "built_in", "stages.prepare_task.num_sft": 9999},
        "stages.prepare_task.num_sft: is too many: with num_prompts and num_eval_prompts 10047, and built_in has 6824 "
        "prompts",
    ),
    "nothing to hold out": (
        {"stages.prepare_task.num_eval_prompts": DELETE},
        "stages.prepare_task.num_eval_prompts: is missing: how many prompts to hold out; or name a source of "
        "eval_prompts",
    ),
    "held-out pairs of no pairs": (
        {"tasks.min_length.data": {"sft": "data.jsonl", "eval_preferences": "data.jsonl"}},
        "tasks.min_length.data.eval_preferences: is of use only beside preferences",
    ),
    "held-out prompts without pairs": (
        {"tasks.min_length.data": {"sft": "data.jsonl", "preferences": "data.jsonl", "eval_prompts": "data.jsonl"}},
        "tasks.min_length.data.eval_preferences: is missing: no pair of the preferences may have one of the "
        "eval_prompts",
    ),
    # Files that it names.
    "data with a name too long for a file": (
        {"tasks.min_length.data": f"./{'a' * 300}.jsonl"},
        f"tasks.min_length.data.sft: ./{'a' * 300}.jsonl: cannot be read: File name too long",
    ),
    "data with a line in its name": (
        {"tasks.min_length.data": "./a\n\x1b[2Jb.jsonl"},
        r"tasks.min_length.data.sft: ./a \x1b[2Jb.jsonl: no such file or folder",
    ),
    "data named as a flag": (
        {"tasks.min_length.data": "--output.jsonl"},
        "tasks.min_length.data.sft: --output.jsonl: begins as a flag does; write ./--output.jsonl",
    ),
    "data at an address with a password": (
        {"tasks.min_length.data": "https://me:secret@example.org/a.jsonl"},
        f"tasks.min_length.data.sft: https://***@example.org/a.jsonl: {FORMATS}",
    ),
    "data that is a pipe": (
        {"tasks.min_length.data": "./pipe.jsonl"},
        "tasks.min_length.data.sft: ./pipe.jsonl: is neither a file nor a folder",
    ),
    "base model with a command": (
        {"tasks.min_length.base_model": "a b/c; touch x"},
        "tasks.min_length.base_model: a b/c; touch x: neither a model folder nor a hub id owner/name, "
        "owner/name@revision",
    ),
    "base model named as a flag": (
        {"tasks.min_length.base_model": "-x/--y"},
        "tasks.min_length.base_model: -x/--y: begins as a flag does; write ./-x/--y",
    ),
    "base model at an address with a password": (
        {"tasks.min_length.base_model": "https://me:secret@example.org/model"},
        "tasks.min_length.base_model: https://***@example.org/model: no such model folder",
    ),
    "base model with a name too long for a folder": (
        {"tasks.min_length.base_model": f"{'a' * 300}/b"},
        f"tasks.min_length.base_model: {'a' * 300}/b: cannot be read: File name too long",
    ),
    "base model with a config nested without end": (
        {"tasks.min_length.base_model": "nested"},
        "tasks.min_length.base_model: nested: config.json is damaged",
    ),
    "base model with weights outside": (
        {"tasks.min_length.base_model": "outside"},
        "tasks.min_length.base_model: outside: model.safetensors.index.json names ../model/model.safetensors, which is "
        "no .safetensors file of this folder",
    ),
    "data that is not there": (
        {"tasks.min_length.data": "nowhere.parquet"},
        "tasks.min_length.data.sft: nowhere.parquet: no such file or folder",
    ),
    "data with a wildcard": (
        {"tasks.min_length.data": "./{task}.jsonl"},
        "tasks.min_length.data.sft: ./{task}.jsonl: a brace begins a wildcard to Snakemake; rename it",
    ),
    "data that is no source": ({"tasks.min_length.data": "alpaca"}, f"tasks.min_length.data.sft: alpaca: {FORMATS}"),
    "data in a folder without any": (
        {"tasks.min_length.data": "./empty"},
        "tasks.min_length.data.sft: ./empty: is or holds no data file (.parquet, .json, .jsonl, .csv, .tsv, plain or "
        "with .gz or .zst)",
    ),
    "data that is a pickle": (
        {"tasks.min_length.data": "./rows.pkl"},
        "tasks.min_length.data.sft: ./rows.pkl: is a pickle, which can run code as it is read; write Parquet or JSON "
        "lines instead",
    ),
    "a misspelt key of a source": (
        {"tasks.min_length.data": {"sft": {"source": "data.jsonl", "colums": {"prompt": "q"}}}},
        "tasks.min_length.data.sft.colums: unknown key; did you mean columns?",
    ),
    "a source without a name": (
        {"tasks.min_length.data": {"sft": ["data.jsonl", {"weight": 0.5}]}},
        "tasks.min_length.data.sft.1.source: is missing",
    ),
    "a column that no format has": (
        {"tasks.min_length.data": {"sft": {"source": "data.jsonl", "columns": {"promt": "q"}}}},
        "tasks.min_length.data.sft: data.jsonl: columns.promt: no format has this column; did you mean prompt?",
    ),
    "more than a whole source": (
        {"tasks.min_length.data": {"sft": [{"source": "data.jsonl", "weight": 2}]}},
        "tasks.min_length.data.sft.0.weight: 2 must be at most 1",
    ),
    "a source named twice": (
        {"tasks.min_length.data": {"sft": ["data.jsonl", {"source": "data.jsonl", "weight": 0.5}]}},
        "tasks.min_length.data.sft: data.jsonl: is named twice; name it once",
    ),
    "a split beside a split": (
        {"tasks.min_length.data": {"sft": {"source": "lab/says:train", "split": "train"}}},
        "tasks.min_length.data.sft: lab/says:train: names a split already, so leave out split: train",
    ),
    "a split of a file": (
        {"tasks.min_length.data": {"sft": {"source": "data.jsonl", "split": "train"}}},
        "tasks.min_length.data.sft: data.jsonl:train: data.jsonl is a file, which has no splits; leave out :train",
    ),
    "a source that is a number": (
        {"tasks.min_length.data": {"sft": 3}},
        "tasks.min_length.data.sft: 3 is not text or a mapping of keys to values or a list",
    ),
    "built-in data beside other data": (
        {"tasks.min_length.data": {"sft": ["built_in", "data.jsonl"]}},
        "tasks.min_length.data.sft: built_in stands alone; leave out the other sources",
    ),
    "no data to train on": (
        {"tasks.min_length.data": {"eval_prompts": "data.jsonl"}},
        "tasks.min_length.data.sft: is missing: name a source of sft, of prompts or of preferences",
    ),
    "an unknown rule for bad rows": (
        {"stages.prepare_task.bad_rows": "keep"},
        "stages.prepare_task.bad_rows: 'keep' is not one of drop, refuse",
    ),
    "data as a list": (
        {"tasks.min_length.data": ["a.parquet"]},
        "tasks.min_length.data: ['a.parquet'] is neither a source nor a mapping of roles to sources",
    ),
    "judge that is not there": (
        {"tasks.min_length.judge": {"model": "./nowhere"}},
        "tasks.min_length.judge.model: ./nowhere: no such model folder",
    ),
    "judge of pickles": (
        {"tasks.min_length.judge": {"model": "pickled"}},
        "tasks.min_length.judge.model: pickled: pytorch_model.bin is a pickle, which can run code; convert it to "
        "safetensors",
    ),
    "template that is not there": (
        {"tasks.min_length.judge": {"model": "model", "template": "nowhere.txt"}},
        "tasks.min_length.judge.template: nowhere.txt: cannot be read: No such file or directory",
    ),
    "template that is a folder": (
        {"tasks.min_length.judge": {"model": "model", "template": "empty"}},
        "tasks.min_length.judge.template: empty: cannot be read: Is a directory",
    ),
    "template that shows no answer": (
        {"tasks.min_length.judge": {"model": "model", "template": "data.jsonl"}},
        "tasks.min_length.judge.template: data.jsonl: has no {prompt}; a judge is shown {prompt}, {first} and {second}",
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
    "aliases that unfold without end": (
        b"a: &a [x, x, x, x, x, x, x, x, x, x]\n"
        + b"".join(b"%c: &%c [%s]\n" % (b, b, b", ".join([b"*%c" % (b - 1)] * 10)) for b in b"bcdefgh"),
        "its aliases unfold into more than 100000 values",
    ),
    "lists in lists": (b"seeds: " + b"[" * 40 + b"]" * 40, "line 1, column 40: is nested more than 32 levels deep"),
    "lists in lists without end": (b"seeds: " + b"[" * 10**5, "is nested more than 32 levels deep"),
    "no date": (
        b"experiment: 2020-13-45\n",
        "line 1, column 13: 2020-13-45 is no date (month must be in 1..12); put quotes around text",
    ),
    "no date for a key": (
        b"runs:\n  2020-02-30: {}\n",
        "line 2, column 3: 2020-02-30 is no date (day is out of range for month); put quotes around text",
    ),
    "no number": (
        b"seeds: [0b_]\n",
        "line 1, column 9: 0b_ is no number (invalid literal for int() with base 2: ''); put quotes around text",
    ),
    "merged with a number": (
        b"<<: 3\nexperiment: x\n",
        "line 1, column 5: not YAML: while constructing a mapping expected a mapping or list of mappings for merging, "
        "but found scalar",
    ),
    "template, merged in": (
        b"<<: {__use_yte__: true}\nexperiment: \"?__import__('os').system('touch pwned')\"\n",
        "__use_yte__: a config is data; templates, which can run code, are not read",
    ),
    "Python tag of a key": (
        b"!!python/name:os.system : x\n",
        "line 1, column 1: the tag !!python/name:os.system; a config holds plain values only",
    ),
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
    "name too long for a file": (["--configfile", "a" * 300], f"{'a' * 300}: cannot be read: File name too long"),
    "lists in lists typed": (
        ["--configfile", "good.yaml", "--config", f"seeds={'[' * 10**4}"],
        f"--config: seeds: '{'[' * 75} ... is not a list",
    ),
    "no default config": ([], "config/config.yaml: no such config file"),
}


def lines(*rows: dict) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def parquet(columns: list[str], *rows: tuple, most: int | None = None) -> bytes:
    table = pyarrow.table([pyarrow.array(list(values)) for values in zip(*rows, strict=True)], names=columns)
    file = io.BytesIO()
    pyarrow.parquet.write_table(table.slice(0, most), file)
    return file.getvalue()


def chats(*chosen: tuple[str, str], rejected: tuple | None = None) -> bytes:
    """A pair of conversations, each message as (role, content)."""
    sides = {"chosen": chosen, "rejected": rejected or chosen}
    return lines({side: [{"role": role, "content": text} for role, text in turns] for side, turns in sides.items()})


SFT = [{"prompt": f"p{i}", "response": f"r{i}"} for i in range(6)]
PAIRS = [{"prompt": f"p{i}", "chosen": f"good{i}", "rejected": f"bad{i}"} for i in range(6)]
NO_TURN = "does not begin with a message of the user and end with an answer to one"
NO_ANSWER = "does not end with a message of the assistant that answers another one"


def bad(count: int, rows: int) -> str:
    """How a line ends that names the first of too many bad rows."""
    return f"; {count} of {rows} rows {'is' if count == 1 else 'are'} bad, and --max_bad_share is 0.05"


# case: (role, name of the file, its bytes, other flags, the line after the script's name); a line that ends with … goes
# on in a library's words. The other sources are good ones.
DATA = {
    "empty file": ("sft", "a.jsonl", b"", {}, "{here}/a.jsonl: has no rows"),
    "empty Parquet": ("sft", "a.parquet", b"", {}, "{here}/a.parquet: cannot be read: Parquet file size is 0 bytes"),
    "Parquet of no rows": (
        "sft",
        "a.parquet",
        parquet(["prompt", "response"], ("p", "r"), most=0),
        {},
        "{here}/a.parquet: has no rows",
    ),
    "blank lines only": ("sft", "a.jsonl", b"\n\n \n", {}, "{here}/a.jsonl: has no rows"),
    "rows of nothing": ("sft", "a.jsonl", b"{}\n{}\n", {}, "{here}/a.jsonl: has no rows"),
    "a row of nothing among others": (
        "sft",
        "a.jsonl",
        b"{}\n" + lines(*SFT[:1]) + b"\n",
        {},
        "--num_eval_prompts 2: --sft has only 1 prompts",
    ),
    "name like a pattern, where nothing is": (
        "sft",
        "a1.jsonl",
        lines(*SFT),
        {"sft": "{here}/a[0-9].jsonl"},
        "{here}/a[0-9].jsonl: no such file or folder",
    ),
    "name too long for a file": (
        "sft",
        "a.jsonl",
        lines(*SFT),
        {"sft": f"{{here}}/{'a' * 300}.jsonl"},
        f"{{here}}/{'a' * 300}.jsonl: cannot be read: File name too long",
    ),
    "half of a character": (
        "sft",
        "a.jsonl",
        lines({"prompt": "p\ud83d", "response": "r"}),
        {},
        r"{here}/a.jsonl: row 0: column 'prompt' holds half of a character, 'p\ud83d'" + bad(1, 1),
    ),
    "a number of thousands of digits": (
        "sft",
        "a.jsonl",
        b'{"prompt": ' + b"1" * 5000 + b"}\n",
        {},
        "{here}/a.jsonl: line 1: Exceeds the limit (4300 digits) for integer string conversion: value has 5000…",
    ),
    "lists in lists without end": (
        "sft",
        "a.jsonl",
        b'{"prompt": ' + b"[" * 10**5 + b"]" * 10**5 + b"}\n",
        {},
        "{here}/a.jsonl: line 1: is nested too deeply",
    ),
    "empty list": ("sft", "a.json", b"[]", {}, "{here}/a.json: has no rows"),
    "empty folder": (
        "sft",
        "a",
        None,
        {"sft": "{here}/a"},
        "{here}/a: is or holds no data file (.parquet, .json, .jsonl, .csv, .tsv, plain or with .gz or .zst)",
    ),
    "not there": ("sft", "a", None, {"sft": "{here}/no.jsonl"}, "{here}/no.jsonl: no such file or folder"),
    "two kinds of files": (
        "sft",
        "a",
        None,
        {"sft": "{here}/mixed"},
        "{here}/mixed: holds both .json and .jsonl",
    ),
    "link to nowhere": (
        "sft",
        "a",
        None,
        {"sft": "{here}/link.jsonl"},
        "{here}/link.jsonl: no such file or folder, it is a link to nowhere",
    ),
    "named Parquet": (
        "sft",
        "a.parquet",
        b"text " * 9,
        {},
        "{here}/a.parquet: cannot be read: Parquet magic bytes not…",
    ),
    "cut Parquet": (
        "sft",
        "a.parquet",
        parquet(["prompt", "response"], *[(f"p{i}", "r") for i in range(9)])[:-9],
        {},
        "{here}/a.parquet: cannot be read: Parquet magic bytes not…",
    ),
    "pickle": (
        "sft",
        "a.pkl",
        b"\x80\x04.",
        {},
        "{here}/a.pkl: is a pickle, which can run code as it is read; write Parquet or JSON lines instead",
    ),
    "CSV of no rows": ("sft", "a.csv", b"prompt,response\n", {}, "{here}/a.csv: has no rows"),
    "broken line": (
        "sft",
        "a.jsonl",
        lines(*SFT) + b'{"prompt": "x",\n',
        {},
        "{here}/a.jsonl: line 7: is not JSON at character 16: Expecting property name enclosed in double quotes",
    ),
    "broken list": (
        "sft",
        "a.json",
        b'[\n{"prompt": "p", "response": "r"},\noops]',
        {},
        "{here}/a.json: line 3: is not JSON at character 1: Expecting value",
    ),
    "number for a list": ("sft", "a.json", b"3", {}, "{here}/a.json: is no list of mappings of columns to values"),
    "lists for rows": (
        "sft",
        "a.jsonl",
        b"[1, 2]\n[3, 4]\n",
        {},
        "{here}/a.jsonl: line 1: is no mapping of columns to values",
    ),
    "not UTF-8": ("sft", "a.jsonl", b'{"prompt": "\xff"}\n', {}, "{here}/a.jsonl: line 1: is not UTF-8 text"),
    "NUL": (
        "sft",
        "a.jsonl",
        lines(*SFT) + b'{"prompt": "a\0b", "response": "r"}\n',
        {},
        "{here}/a.jsonl: line 7: is not JSON at character 14: Invalid control character at",
    ),
    "unknown columns": (
        "sft",
        "a.jsonl",
        lines({"query": "q", "answer": "a"}),
        {},
        "{here}/a.jsonl: unknown format with the columns query (text), answer (text); known are…",
    ),
    "column twice": (
        "sft",
        "a.parquet",
        parquet(["prompt", "response", "response"], ("p", "r", "s")),
        {},
        "{here}/a.parquet: the column 'response' comes twice",
    ),
    "no prompts": (
        "sft",
        "a.jsonl",
        lines(*[{"prompt": None, "response": "r"}] * 3),
        {},
        "{here}/a.jsonl: column 'prompt' holds null, and format sft has text or messages there",
    ),
    "blank prompts": (
        "sft",
        "a.jsonl",
        lines(*[{"prompt": " ", "response": "r"}] * 3),
        {},
        "--sft {here}/a.jsonl: none of its 3 rows is left; dropped: 3 empty prompt",
    ),
    "prompts that are numbers": (
        "sft",
        "a.jsonl",
        lines({"prompt": 1, "response": "r"}, {"prompt": 2, "response": "r"}),
        {},
        "{here}/a.jsonl: column 'prompt' holds int, and format sft has text or messages there",
    ),
    "one prompt that is a number": (
        "sft",
        "a.jsonl",
        lines(*SFT, {"prompt": 5, "response": "r"}),
        {},
        "{here}/a.jsonl: row 6: column 'prompt' is 5, not text" + bad(1, 7),
    ),
    "prompts of bytes": (
        "sft",
        "a.parquet",
        parquet(["prompt", "response"], (b"p", b"r")),
        {},
        "{here}/a.parquet: column 'prompt' holds bytes, and format sft has text or messages there",
    ),
    "no responses": (
        "sft",
        "a.jsonl",
        lines({"prompt": "p"}),
        {},
        "{here}/a.jsonl: holds no responses, so it cannot be --sft",
    ),
    "all too long": (
        "sft",
        "a.jsonl",
        lines(*SFT),
        {"max_characters": "3"},
        "--sft {here}/a.jsonl: none of its 6 rows is left; dropped: 6 longer than max_characters",
    ),
    "all held out": (
        "sft",
        "a.jsonl",
        lines(*SFT),
        {"num_eval_prompts": "6"},
        "--num_eval_prompts 6: --sft has only 6 prompts",
    ),
    "all held out elsewhere": (
        "eval_prompts",
        "a.jsonl",
        lines(*SFT),
        {},
        "--eval_prompts {here}/a.jsonl: 6 of its prompts are also in --sft {here}/sft.jsonl, such as 'p0'",
    ),
    "equal responses": (
        "preferences",
        "a.jsonl",
        lines(*[{"prompt": f"p{i}", "chosen": "c", "rejected": "c"} for i in range(4)]),
        {},
        "--preferences {here}/a.jsonl: none of its 4 rows is left; dropped: 4 identical chosen and rejected",
    ),
    "no pairs": (
        "preferences",
        "a.jsonl",
        lines(*SFT),
        {},
        "{here}/a.jsonl: holds no pairs of a chosen and a rejected response",
    ),
    "NaN score": (
        "preferences",
        "a.parquet",
        parquet(["prompt", "chosen", "rejected", "chosen_reward"], ("p", "c", "r", 1.0), ("q", "c", "r", float("nan"))),
        {},
        "{here}/a.parquet: row 1: column 'chosen_reward' is nan, not a finite number" + bad(1, 2),
    ),
    "score in words": (
        "preferences",
        "a.jsonl",
        lines(*[pair | {"chosen_reward": "high"} for pair in PAIRS]),
        {},
        "{here}/a.jsonl: row 0: column 'chosen_reward' is 'high', not a finite number" + bad(6, 6),
    ),
    "label in words": (
        "preferences",
        "a.jsonl",
        lines({"instruction": "q", "output_1": "a", "output_2": "b", "preference": "1"}),
        {},
        "{here}/a.jsonl: column 'preference' holds text, and format alpaca_preferences has int or float there",
    ),
    "one message for a list": (
        "preferences",
        "a.jsonl",
        lines({"chosen": {"role": "user", "content": "q"}, "rejected": {"role": "user", "content": "q"}}),
        {},
        "{here}/a.jsonl: column 'chosen' holds dict, and format hh has text there",
    ),
    "messages in other words": (
        "preferences",
        "a.jsonl",
        lines({side: [{"from": "human", "value": "q"}] for side in ("chosen", "rejected")}),
        {},
        f"{{here}}/a.jsonl: row 0: column 'chosen' {NO_ANSWER}" + bad(1, 1),
    ),
    "answer before the question": (
        "preferences",
        "a.jsonl",
        chats(("assistant", "a"), ("user", "q"), ("assistant", "b")),
        {},
        f"{{here}}/a.jsonl: row 0: column 'chosen' {NO_TURN}" + bad(1, 1),
    ),
    "answer to an answer": (
        "preferences",
        "a.jsonl",
        chats(("user", "q"), ("assistant", "a"), ("assistant", "b")),
        {},
        f"{{here}}/a.jsonl: row 0: column 'chosen' {NO_TURN}" + bad(1, 1),
    ),
    "different prompts": (
        "preferences",
        "a.jsonl",
        chats(("user", "q"), ("assistant", "a"), rejected=(("user", "other"), ("assistant", "b"))),
        {},
        "{here}/a.jsonl: row 0: columns 'chosen' and 'rejected' have different prompts" + bad(1, 1),
    ),
}

# case: (how the folder of a good model is broken, the line after the folder's name)
MODELS = {
    "no config": ("remove config.json", "not a model folder (no config.json)"),
    "damaged config": ("write config.json {", "config.json is damaged"),
    "config nested without end": ("write config.json " + '{"a":' * 10**5, "config.json is damaged"),
    "config that is a list": ("write config.json []", "config.json is damaged"),
    "config of nothing": ("write config.json {}", "not a model: Unrecognized model in…"),
    "unknown architecture": (
        'set config.json {"model_type": "xmodel"}',
        "not a model: The checkpoint you are trying to load has model type `xmodel`…",
    ),
    "width in words": (
        'set config.json {"hidden_size": "wide"}',
        "not a model: Validation error for field 'hidden_size':…",
    ),
    "code of its own": (
        'set config.json {"model_type": "xmodel", "auto_map": {"AutoConfig": "modeling_x.X", '
        '"AutoModelForCausalLM": "modeling_x.X", "AutoModelForSequenceClassification": "modeling_x.X"}}',
        "config.json asks for code of its own to be run (auto_map), which is never done",
    ),
    "no weights": ("remove model.safetensors", "has no weights (*.safetensors)"),
    "cut weights": ("cut model.safetensors", "cannot be loaded as a AutoModelFor…"),
    "a pickle": (
        "rename model.safetensors pytorch_model.bin",
        "pytorch_model.bin is a pickle, which can run code; convert it to safetensors",
    ),
    "index that leads out": (
        'write model.safetensors.index.json {"weight_map": {"a": "../policy/model.safetensors"}}',
        "model.safetensors.index.json names ../policy/model.safetensors, which is no .safetensors file of this folder",
    ),
    "index that names a pickle": (
        'write model.safetensors.index.json {"weight_map": {"a": "pytorch_model.bin"}}',
        "model.safetensors.index.json names pytorch_model.bin, which is no .safetensors file of this folder",
    ),
    "index of files that are not there": (
        'write model.safetensors.index.json {"weight_map": {"a": "model-2.safetensors"}}',
        "model.safetensors.index.json names model-2.safetensors, which is not there",
    ),
    "damaged index": ("write model.safetensors.index.json []", "model.safetensors.index.json is damaged"),
    "tensor missing": (
        "drop gpt_neox.layers.1.mlp.dense_h_to_4h.weight",
        "the weights lack 1 tensors, such as gpt_neox.layers.1.mlp.dense_h_to_4h.weight",
    ),
    "tensor of another shape": (
        "fill gpt_neox.final_layer_norm.weight 7 1.0",
        "weight gpt_neox.final_layer_norm.weight is [7], and config.json makes it [32]",
    ),
    "tensor of NaN": (
        "fill gpt_neox.final_layer_norm.weight 32 nan",
        "weight gpt_neox.final_layer_norm.weight is not finite",
    ),
    "no tokenizer": ("remove tokenizer_config.json", "not a model folder (no tokenizer_config.json)"),
    "no vocabulary": ("remove tokenizer.json", "its tokenizer has no vocabulary (tokenizer.json)"),
    "damaged vocabulary": ("write tokenizer.json {", "tokenizer.json is damaged"),
    "length in words": (
        'set tokenizer_config.json {"model_max_length": "long"}',
        "its tokenizer cannot be loaded: '>' not supported between instances of 'int' and 'str'",
    ),
    "no EOS": (
        'set tokenizer_config.json {"eos_token": null}',
        "neither the tokenizer's chat_template nor its eos_token closes a response; name a token with --end_of_turn",
    ),
    "token without an embedding": (
        'set tokenizer_config.json {"eos_token": "<|new|>"}',
        "'<|new|>' is id {size}, and the model has {size} embeddings",
    ),
    "no template": (
        "remove chat_template.jinja",
        "the tokenizer has no chat_template; {template}",
    ),
    "malformed template": (
        "write chat_template.jinja {% for m in messages %}{{ m.content }",
        "the tokenizer's chat_template cannot be rendered: unexpected '}'",
    ),
    "template that raises": (
        "write chat_template.jinja {{ raise_exception('only system messages') }}",
        "the tokenizer's chat_template cannot be rendered: only system messages",
    ),
    "template that reaches out": (
        "write chat_template.jinja {{ ''.__class__.__mro__ }}",
        "the tokenizer's chat_template cannot be rendered: access to attribute '__class__' of 'str' object is unsafe.",
    ),
    "template without the prompt": (
        "write chat_template.jinja {% if add_generation_prompt %}<|assistant|>{% endif %}",
        "the tokenizer's chat_template leaves the prompt out",
    ),
}

# case: (script, flags of a good call that are changed, None where they are left out, the line, the exit code)
LOST = "holds other files than a model's, which would be lost; name a new folder"
HELP = "(see --help)"
FLAGS = {
    "unknown": ("train_dpo", {"bta": "1"}, f"unrecognized arguments: --bta 1 {HELP}", 2),
    "missing": ("train_dpo", {"beta": None}, f"the following arguments are required: --beta {HELP}", 2),
    "a word for a number": ("train_dpo", {"beta": "x"}, f"argument --beta: invalid float value: 'x' {HELP}", 2),
    "a fraction for a count": (
        "train_sft",
        {"epochs": "1.5"},
        f"argument --epochs: invalid int value: '1.5' {HELP}",
        2,
    ),
    "not a number": ("train_dpo", {"beta": "nan"}, f"argument --beta: 'nan' is not a finite number {HELP}", 2),
    "infinite": (
        "train_sft",
        {"learning_rate": "inf"},
        f"argument --learning_rate: 'inf' is not a finite number {HELP}",
        2,
    ),
    "no choice": (
        "train_sft",
        {"schedule": "step"},
        f"argument --schedule: invalid choice: 'step' (choose from 'constant', 'linear', 'cosine') {HELP}",
        2,
    ),
    "negative rate": (
        "train_sft",
        {"learning_rate": "-0.001"},
        "--learning_rate -0.001: must be more than 0 and at most 1000000",
        1,
    ),
    "no epochs": ("train_sft", {"epochs": "0"}, "--epochs 0: must be from 1 to 10000", 1),
    "no batch": ("train_dpo", {"batch_size": "0"}, "--batch_size 0: must be from 1 to 1000000000", 1),
    "no beta": ("train_dpo", {"beta": "0"}, "--beta 0.0: must be more than 0", 1),
    "too much smoothing": (
        "train_dpo",
        {"label_smoothing": "0.5"},
        "--label_smoothing 0.5: must be at least 0 and less than 0.5",
        1,
    ),
    "no token": ("generate_responses", {"top_p": "0"}, "--top_p 0.0: must be more than 0 and at most 1", 1),
    "negative temperature": ("generate_responses", {"temperature": "-1"}, "--temperature -1.0: must be at least 0", 1),
    "greedy twice": (
        "generate_responses",
        {"temperature": "0"},
        "--temperature 0 is greedy, all samples of a prompt are equal: --samples_per_prompt must be 1",
        1,
    ),
    "negative round": ("generate_responses", {"round": "-1"}, "--round -1: must be at least 0", 1),
    "negative seed": ("train_sft", {"seed": "-1"}, "--seed -1: must be from 0 to 4294967295", 1),
    "seed that no generator takes": (
        "train_sft",
        {"seed": str(2**64)},
        f"--seed {2**64}: must be from 0 to 4294967295",
        1,
    ),
    "more prompts than there are": (
        "generate_responses",
        {"num_prompts": "5"},
        "--num_prompts 5: {here}/prompts.parquet has 4 prompts",
        1,
    ),
    "responses that leave no room": (
        "generate_responses",
        {"max_new_tokens": "128"},
        "{here}/prompts.parquet: prompt_id {prompt_id} has {num_tokens} tokens, more than the 0 that are left of 128 "
        "after --max_new_tokens 128, and no other prompt fits either",
        1,
    ),
    "sequences shorter than a prompt": (
        "train_sft",
        {"max_length": "3"},
        "{here}/sft.parquet: all 4 prompts have --max_length 3 tokens or more; raise it, or shorten them with "
        "--long_prompts cut",
        1,
    ),
    "sequences longer than the model reads": (
        "train_sft",
        {"max_length": "4096"},
        "--max_length 4096: {here}/policy reads at most 128 tokens",
        1,
    ),
    "an evaluation of longer sequences than the model reads": (
        "evaluate_policy",
        {"max_length": "4096"},
        "--max_length 4096: {here}/policy reads at most 128 tokens",
        1,
    ),
    "an evaluation of shorter sequences than a prompt": (
        "evaluate_policy",
        {"max_length": "3"},
        "{here}/eval_pairs.parquet: all 2 prompts have --max_length 3 tokens or more; raise it, or shorten them with "
        "--long_prompts cut",
        1,
    ),
    "heads that do not divide the width": (
        "initialize_model",
        {"num_heads": "3"},
        "--hidden_size 32: is no multiple of --num_heads 3",
        1,
    ),
    "pad token that is none": (
        "train_sft",
        {"pad_token": "<|none|>"},
        "--pad_token <|none|>: the tokenizer of {here}/policy has no such token",
        1,
    ),
    "more pairs than there are": (
        "construct_pairs",
        {"num_pairs": "5"},
        "--num_pairs 5: there are only 4 preferences",
        1,
    ),
    "more pairs to learn from than there are": (
        "train_reward_model",
        {"num_pairs": "5"},
        "--num_pairs 5: {here}/pairs.parquet has only 4 pairs",
        1,
    ),
    "more noise than labels": (
        "train_reward_model",
        {"label_noise": "1.5"},
        "--label_noise 1.5: must be from 0 to 1",
        1,
    ),
    "skew to one token, which is no draw": (
        "skew_responses",
        {"mean_length": "1"},
        "--mean_length 1.0: must be more than 1 and at most 1000000000",
        1,
    ),
    "mode without a target": (
        "score_responses",
        {"gold_reward": "mode_length"},
        "--gold_reward mode_length: needs --target_length",
        1,
    ),
    "target without a mode": (
        "evaluate_policy",
        {"target_length": "20"},
        "--target_length 20: only --gold_reward mode_length has a target",
        1,
    ),
    "nothing to evaluate by": (
        "evaluate_policy",
        {"gold_reward": None},
        "--reward_model, --gold_reward: give at least one",
        1,
    ),
    "no source of pairs": (
        "construct_pairs",
        {"preferences": None},
        "--rewards, --preferences: give at least one",
        1,
    ),
    "a verifier that does not exist": (
        "score_responses",
        {"gold_reward": "jsn"},
        f"--gold_reward: 'jsn' is not one of {VERIFIERS}; did you mean json?",
        1,
    ),
    "nothing to score by": (
        "score_responses",
        {"gold_reward": None},
        "--reward_model, --gold_reward: give at least one",
        1,
    ),
    "a file that is not there": ("train_sft", {"data": "{here}/no.parquet"}, "{here}/no.parquet: no such file", 1),
    "a folder for a file": ("train_sft", {"data": "{here}/policy"}, "{here}/policy: is a folder, not a file", 1),
    "a file for a folder": (
        "train_sft",
        {"base_model": "{here}/sft.parquet"},
        "{here}/sft.parquet: is a file, not a model folder",
        1,
    ),
    "a table of another kind": (
        "train_sft",
        {"data": "{here}/pairs.parquet"},
        "{here}/pairs.parquet: has no column 'response', so it is not a table of sft",
        1,
    ),
    "a file for a table": (
        "train_sft",
        {"data": "{here}/policy/config.json"},
        "{here}/policy/config.json: is damaged, or no stage of this workflow wrote it (it has no seal); "
        "delete it and run the workflow again",
        1,
    ),
    "a folder to write a table to": (
        "score_responses",
        {"output": "{here}/policy"},
        "--output {here}/policy: is a folder; name a file",
        1,
    ),
    "a pipe to write a table to": (
        "score_responses",
        {"output": "{here}/pipe"},
        "--output {here}/pipe: is a device or a pipe; name a file",
        1,
    ),
    "a file to write a model to": (
        "train_sft",
        {"output": "{here}/pairs.parquet"},
        "--output {here}/pairs.parquet: is a file; name a folder",
        1,
    ),
    "a folder of other things to write a model to": (
        "train_sft",
        {"output": "{here}"},
        f"--output {{here}}: {LOST}",
        1,
    ),
    "a file for the folder to write into": (
        "score_responses",
        {"output": "{here}/pairs.parquet/rewards.parquet"},
        "--output {here}/pairs.parquet/rewards.parquet: {here}/pairs.parquet is a file, not a folder",
        1,
    ),
    "what is read is what is written": (
        "construct_pairs",
        {"output": "{here}/policy/../pairs.parquet"},
        "--output {here}/policy/../pairs.parquet: would replace --preferences {here}/policy/../pairs.parquet; name "
        "another place",
        1,
    ),
    "a policy trained onto itself": (
        "train_sft",
        {"output": "{here}/policy"},
        "--output {here}/policy: would replace --base_model {here}/policy; name another place",
        1,
    ),
    "data prepared onto itself": (
        "prepare_task",
        {"sft": "{here}/sft.parquet", "output": "{here}"},
        "--output {here}: would replace --sft {here}/sft.parquet; name another place",
        1,
    ),
    "nothing for a name": ("prepare_task", {"sft": ""}, "--sft: is empty", 1),
    "not UTF-8": ("prepare_task", {"sft": "a\udcff.jsonl"}, r"--sft a\udcff.jsonl: is not UTF-8 text", 1),
    "folders without end": (
        "score_responses",
        {"output": "a/" * 999},
        f"--output {'a/' * 999}: lies more than 100 folders deep".replace("/:", ":"),
        1,
    ),
    "a table for JSON": (
        "summarize_run",
        {"evaluations": "{here}/sft.parquet"},
        "{here}/sft.parquet: holds no JSON of this workflow",
        1,
    ),
    "no bootstrap": (
        "summarize_experiment",
        {"resamples": "0"},
        "--resamples 0: must be from 1 to 1000000",
        1,
    ),
    "a name too long for a file": (
        "score_responses",
        {"output": f"{{here}}/{'a' * 300}"},
        f"{{here}}/{'a' * 300}: cannot be read or written: File name too long",
        1,
    ),
    "a link to itself": (
        "score_responses",
        {"responses": "{here}/loop", "output": "{here}/loop"},
        "--output {here}/loop: would replace --responses {here}/loop; name another place",
        1,
    ),
    "a folder for the manifest": (
        "train_sft",
        {"output": "{here}/taken"},
        "--output {here}/taken: {here}/taken.manifest.json is a folder, where its manifest must go; move it away",
        1,
    ),
    "a model at an address with a password": (
        "train_sft",
        {"base_model": "https://me:secret@example.org/model"},
        "https://***@example.org/model: no such model folder",
        1,
    ),
    "a model named as a command": (
        "train_sft",
        {"base_model": "a b/c; touch x"},
        "a b/c; touch x: neither a model folder nor a hub id owner/name, owner/name@revision",
        1,
    ),
    "a name that moves the cursor": (
        "train_sft",
        {"data": "{here}/a  b\x1b[2J"},
        "{here}/a  b\\x1b[2J: no such file",
        1,
    ),
    "two outputs in one file": (
        "train_sft",
        {"log_output": "{here}/new"},
        "--log_output {here}/new: would replace --output {here}/new; name another place",
        1,
    ),
}
