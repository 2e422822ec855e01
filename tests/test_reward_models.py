"""The score of a reward model is read at the last real token, whatever fills a batch and whoever trained the model."""

import json
import re
from pathlib import Path

import pytest
import torch
import transformers
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

import initialize_model
import score_responses
from preference.files import conversations, records
from preference.models import chat, policies, tokens
from preference.rewards import reward_models
from preference.running.shards import Shards
from preference.running.stage import InputError, Progress

SENTENCES = ["one two three", "count to ten and say no more", "name a colour: red, blue, green"]
SHAPE = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "max_position_embeddings": 128}
SHAPE |= {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
NESTED = {
    "vision_config": {
        **{"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1},
        **{"image_size": 28, "patch_size": 14},
    },
    "mm_tokens_per_image": 4,
}
FAMILIES = {  # name -> (config class, what it is told beside the vocabulary)
    "llama": ("LlamaConfig", SHAPE),
    "gpt2": ("GPT2Config", {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 128}),
    "gpt_neox": ("GPTNeoXConfig", {key: SHAPE[key] for key in SHAPE if key not in ("num_key_value_heads", "head_dim")}),
    "gemma2": ("Gemma2Config", SHAPE),
    "gemma3_text": ("Gemma3TextConfig", SHAPE),
    "gemma3": ("Gemma3Config", SHAPE),
    "qwen3": ("Qwen3Config", SHAPE),
}


@pytest.fixture(scope="module")
def tokenizer():
    flags = initialize_model.Flags(
        **{"data": "", "output": "", "vocab_size": 300, "hidden_size": 32, "num_layers": 2, "num_heads": 2},
        **{"context_length": 128, "seed": 0},
    )
    return initialize_model.train_tokenizer(SENTENCES, flags)


def config_of(family: str, vocab_size: int, **more):
    name, told = FAMILIES[family]
    ids = {"bos_token_id": None, "eos_token_id": 0, "pad_token_id": None}
    told = {**told, "vocab_size": vocab_size, **ids}
    config_class = getattr(transformers, name)
    if family == "gemma3":
        return config_class(text_config=told, **NESTED, num_labels=1, **ids, **more)
    return config_class(**told, num_labels=1, **more)


def save(folder, tokenizer, config) -> str:
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(4.0)  # so that a score depends on every token
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


SEQUENCES = [([5, 6, 7], [8]), ([9, 9], [4] * 12), ([5], [6, 1]), ([7, 1, 1, 3], [1, 0]), ([3], [2, 0, 0])]


def scores(model, sequences: list[tokens.Sequence], pad_id: int, batch_size: int = 8) -> list[float]:
    return reward_models.all_scores(model, sequences, pad_id, batch_size, Progress(len(sequences), "responses"))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_score_depends_on_its_sequence_alone(family, tokenizer, tmp_path):
    model = policies.load_reward_model(save(tmp_path / family, tokenizer, config_of(family, len(tokenizer))))
    alone = [scores(model, [sequence], 0)[0] for sequence in SEQUENCES]
    assert len({round(score, 4) for score in alone}) == len(SEQUENCES)
    for pad_id in (0, 1, 5, len(tokenizer) - 1):  # EOS, the tokenizer's pad token, and two words
        for batch_size in (2, 8):
            assert scores(model, SEQUENCES, pad_id, batch_size) == pytest.approx(alone, abs=1e-4, rel=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_score_is_what_the_library_says_of_the_sequence_without_padding(family, tokenizer, tmp_path):
    """Where no token is taken for padding, the library reads the last one as well."""
    model = policies.load_reward_model(save(tmp_path / family, tokenizer, config_of(family, len(tokenizer))))
    with torch.no_grad():
        wanted = [model(input_ids=torch.tensor([[*prompt, *response]])).logits.item() for prompt, response in SEQUENCES]
    assert scores(model, SEQUENCES, 1) == pytest.approx(wanted, abs=1e-4, rel=1e-4)


def test_an_encoder_pools_by_itself_and_pads_do_not_count(tokenizer, tmp_path):
    told = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.BertConfig(vocab_size=len(tokenizer), max_position_embeddings=128, num_labels=1, **told)
    model = policies.load_reward_model(save(tmp_path / "bert", tokenizer, config))
    alone = [scores(model, [sequence], 0)[0] for sequence in SEQUENCES]
    assert scores(model, SEQUENCES, 5) == pytest.approx(alone, abs=1e-4)
    assert len({round(score, 4) for score in alone}) > 1


def answer(prompt: str, response: str, finish_reason: str = "stop") -> dict:
    return {
        **{"prompt_id": records.prompt_id(prompt), "sample_id": 0, "prompt": conversations.user(prompt), "tools": None},
        **{"response": conversations.assistant(response), "response_ids": [9], "num_tokens": 1},
        **{"finish_reason": finish_reason, "fields": None, "given_reward": None},
    }


ANSWERS = [answer("count", "one two"), answer("name", "red", "length"), answer("say no", "no")]


def learned(path: str, rows: list[dict], folder, max_length: int = 64, batch_size: int = 2) -> list[float]:
    with Shards(str(folder / "scores"), {"of": path, "cut": max_length, "batch": batch_size}, 8) as shards:
        return reward_models.learned_rewards(path, rows, batch_size, max_length, shards)


def test_a_text_is_rendered_with_the_reward_models_own_template_and_tokenizer(tokenizer, tmp_path):
    other = initialize_model.train_tokenizer(
        ["blue green no"] * 3,
        initialize_model.Flags(
            **{"data": "", "output": "", "vocab_size": 280, "hidden_size": 32, "num_layers": 2, "num_heads": 2},
            **{"context_length": 128, "seed": 0},
        ),
    )
    other.chat_template = (
        "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{{ eos_token }}{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    path = save(tmp_path / "model", other, config_of("llama", len(other)))
    model, chat_format = reward_models.load(path)
    text = f"[user]count{other.eos_token}[assistant]one two{other.eos_token}"
    ids = other(text, add_special_tokens=False).input_ids
    assert (
        reward_models.reward_sequence(chat_format, ANSWERS[0])[1]
        == ids[-len(ids) :][
            len(other(f"[user]count{other.eos_token}[assistant]", add_special_tokens=False).input_ids) :
        ]
    )
    found = learned(path, ANSWERS, tmp_path)
    with torch.no_grad():
        assert found[0] == pytest.approx(model(input_ids=torch.tensor([ids])).logits.item(), abs=1e-4)


def test_a_template_without_a_generation_prompt_serves_a_reward_model(tokenizer, tmp_path):
    import copy

    asking, silent = copy.deepcopy(tokenizer), copy.deepcopy(tokenizer)
    silent.chat_template = "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{{ eos_token }}{% endfor %}"
    asking.chat_template = silent.chat_template + "{% if add_generation_prompt %}[assistant]{% endif %}"
    paths = [
        save(tmp_path / each, one, config_of("llama", len(one)))
        for each, one in zip("as", (asking, silent), strict=True)
    ]
    found = [learned(path, ANSWERS, tmp_path / f"of_{path[-1]}") for path in paths]
    assert found[0] == pytest.approx(found[1], abs=1e-4)


def test_a_tokenizer_without_a_pad_token_or_whose_pad_token_is_eos_changes_no_score(tokenizer, tmp_path):
    import copy

    found = []
    for name, pad in (("own", "<|pad|>"), ("none", None), ("eos", tokenizer.eos_token)):
        changed = copy.deepcopy(tokenizer)
        if name != "own":
            changed.pad_token = pad
        path = save(tmp_path / name, changed, config_of("llama", len(tokenizer)))
        found.append(learned(path, ANSWERS, tmp_path / f"of_{name}"))
    assert found[0] == pytest.approx(found[1], abs=1e-4) and found[0] == pytest.approx(found[2], abs=1e-4)


def test_a_text_that_is_too_long_for_the_model_is_cut_where_its_context_ends(tokenizer, tmp_path, capsys):
    path = save(tmp_path / "model", tokenizer, config_of("llama", len(tokenizer)))
    long = [answer("count", "one two three " * 60)]
    assert learned(path, long, tmp_path, max_length=4096) == learned(path, long, tmp_path, max_length=128)
    assert "of at most 128 tokens: 1 responses cut" in capsys.readouterr().out


def broken(path: str, **changes) -> str:
    file = Path(path) / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return path


def test_a_classifier_of_several_labels_is_refused_with_their_number(tokenizer, tmp_path):
    config = config_of("llama", len(tokenizer))
    config.num_labels = 5
    path = save(tmp_path / "model", tokenizer, config)
    with pytest.raises(
        InputError, match=re.escape(f"{path}: has 5 labels, so it is a classifier; a reward model has 1")
    ):
        reward_models.load(path)


def test_a_reward_model_without_a_template_is_refused_with_the_file_that_it_lacks(tokenizer, tmp_path):
    path = save(tmp_path / "model", tokenizer, config_of("llama", len(tokenizer)))
    (Path(path) / "chat_template.jinja").unlink()
    with pytest.raises(InputError, match="has no chat_template; put chat_template.jinja into its folder"):
        reward_models.load(path)


def test_a_policy_is_no_reward_model(tokenizer, tmp_path):
    AutoModelForCausalLM.from_config(config_of("gpt_neox", len(tokenizer))).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    with pytest.raises(InputError, match="the weights lack 1 tensors, such as score.weight"):
        reward_models.load(str(tmp_path / "model"))


def test_a_model_that_needs_code_of_its_own_is_refused_with_the_reason(tokenizer, tmp_path):
    path = save(tmp_path / "model", tokenizer, config_of("llama", len(tokenizer)))
    broken(path, auto_map={"AutoModelForSequenceClassification": "modeling_own.OwnRewardModel"})
    (Path(path) / "modeling_own.py").write_text("open('ran', 'w')\n")
    with pytest.raises(
        InputError, match="its class OwnRewardModel is code of its own .auto_map in config.json., which is"
    ):
        reward_models.load(path)
    broken(path, auto_map={"AutoModelForSequenceClassification": "modeling_llama.LlamaForSequenceClassification"})
    assert reward_models.load(path), "the library knows this class"
    broken(path, model_type="own", auto_map={"AutoConfig": "configuration_own.OwnConfig"})
    with pytest.raises(InputError, match="config.json asks for code of its own to be run"):
        reward_models.load(path)


def test_a_reward_model_of_somebody_elses_scores_a_table_beside_a_rule(tokenizer, tmp_path):
    path = save(tmp_path / "model", tokenizer, config_of("gpt2", len(tokenizer)))
    records.write(tmp_path / "responses.parquet", "responses", ANSWERS, {})
    specs = ({"model": path, "as": "helpful"}, {"name": "regex", "pattern": "one", "weight": 10})
    score_responses.main(
        score_responses.Flags(
            responses=(f"{tmp_path}/responses.parquet",),
            output=f"{tmp_path}/rewards.parquet",
            reward_model=tuple(map(json.dumps, specs)),
            gold_reward=("min_length",),
        )
    )
    rows = records.read(tmp_path / "rewards.parquet", "rewards")
    assert [row["reward_regex"] for row in rows] == [1, 0, 0] and [row["gold_reward"] for row in rows] == [-1] * 3
    assert [row["reward"] for row in rows] == [row["reward_helpful"] + 10 * row["reward_regex"] for row in rows]
    assert [row["reward_helpful"] for row in rows] == pytest.approx(learned(path, ANSWERS, tmp_path), abs=1e-4)
    made_by = records.metadata(tmp_path / "rewards.parquet")
    assert [file["path"] for file in made_by["inputs"]["reward_files"]] == [path]
    assert "preference/rewards/verifiers/regex.py" in made_by["code"]
    assert "preference/rewards/verifiers/json.py" not in made_by["code"]


def test_the_scores_of_the_data_need_no_model(tmp_path):
    rows = [row | {"given_reward": float(number)} for number, row in enumerate(ANSWERS)]
    records.write(tmp_path / "responses.parquet", "responses", rows, {})
    flags = score_responses.Flags(
        responses=(f"{tmp_path}/responses.parquet",), output=f"{tmp_path}/rewards.parquet", given=True
    )
    score_responses.main(flags)
    assert [row["reward"] for row in records.read(flags.output, "rewards")] == [0, 1, 2]
    rows[1]["given_reward"] = None
    records.write(tmp_path / "responses.parquet", "responses", rows, {})
    with pytest.raises(
        InputError, match="1 of 3 responses have no score of the data, such as prompt_id .*, sample_id 0"
    ):
        score_responses.main(flags)


def test_a_chat_format_of_the_training_is_that_of_the_scoring(tokenizer, tmp_path):
    path = save(tmp_path / "plain", tokenizer, config_of("llama", len(tokenizer)))
    made_by = {"stage": "train_reward_model", "flags": {"special_tokens": "allow", "chat_template": "gone.jinja"}}
    policies.save(policies.load_reward_model(path), tokenizer, str(tmp_path / "model"), made_by)
    assert reward_models.load(str(tmp_path / "model"))[1].flags == chat.Flags(special_tokens="allow")
