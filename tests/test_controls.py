"""A control text before an answer: in a chat template, and kept by a policy that was trained with one."""

import pytest
import torch
from transformers import AutoTokenizer

import evaluate_policy
from preference.files import conversations
from preference.models import chat, controls, policies
from preference.running.shards import Shards

ASKED = [*conversations.user("hi"), *conversations.assistant("hello"), *conversations.user("how are you")]
ANSWERED = [*ASKED, *conversations.assistant("fine")]
TEMPLATES = {
    "the project's own": chat.TEMPLATE,
    "with line breaks": "{% for message in messages %}\n{{ message.role }}: {{ message.content }}\n{% endfor %}\n"
    "{% if add_generation_prompt %}\nassistant: {% endif %}\n",
    "that begins with a line break and ends in text": "\n{% for message in messages %}{{ message.role }}: "
    "{{ message.content }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}",
    "with a system prompt of its own": "{% if messages[0].role != 'system' %}{% set messages = "
    "[{'role': 'system', 'content': 'Be kind.'}] + messages %}{% endif %}{% for message in messages %}"
    "[{{ message.role }}]{{ message.content }}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}",
}


@pytest.fixture(scope="module")
def tokenizer(tiny_policy):
    return AutoTokenizer.from_pretrained(tiny_policy)


def render(tokenizer, template, messages, ask=False):
    tokenizer.chat_template = template
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=ask)


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=list(TEMPLATES))
def test_a_control_text_stands_before_the_answer_alone_asked_for_or_given(tokenizer, template):
    controlled = controls.with_control(template, "<|good|>")
    plain, asked = (render(tokenizer, each, ASKED, True) for each in (template, controlled))
    assert asked == plain + "<|good|>"
    given = render(tokenizer, controlled, ANSWERED)
    assert given == render(tokenizer, template, ANSWERED).replace("fine", "<|good|>fine") and given.startswith(asked)
    assert render(tokenizer, controlled, ASKED) == render(tokenizer, template, ASKED)


@pytest.mark.parametrize("text", ["<|good|>", 'a "quoted" \\ one\n', "{{ it }} {% is %} text", "gut für 😀", " "])
def test_a_control_text_may_be_any_text_and_comes_off_again(tokenizer, text):
    for template in TEMPLATES.values():
        controlled = controls.with_control(template, text)
        assert render(tokenizer, controlled, ASKED, True) == render(tokenizer, template, ASKED, True) + text
        bare, found = controls.without_control(controlled)
        assert found == text and bare == template.removesuffix("\n")
        assert controls.without_control(bare) == (bare, None) and controls.with_control(bare, None) == bare


def test_of_several_templates_each_writes_it():
    named = {"default": chat.TEMPLATE, "tool_use": TEMPLATES["with a system prompt of its own"]}
    controlled = controls.with_control(named, "good: ")
    assert all(each.endswith(controls.END) for each in controlled.values())
    assert controls.without_control(controlled) == (named, "good: ") and controls.without_control(named) == (
        named,
        None,
    )


@pytest.fixture(scope="module")
def good_policy(tiny_policy, tmp_path_factory):
    """A policy that asks for good answers."""
    folder = str(tmp_path_factory.mktemp("models") / "good")
    chat_format = chat.load(tiny_policy, control="good: ")
    policies.save(policies.load_policy(tiny_policy), chat_format.tokenizer, folder, {"stage": "test"})
    return folder


def test_a_policy_keeps_its_control_text_and_its_answers_are_those_of_the_model_without_it(tiny_policy, good_policy):
    bare, good = chat.load(tiny_policy), chat.load(good_policy)
    prompt, answer = bare.encode("say hi", "hi there")
    controlled, same = good.encode("say hi", "hi there")
    text = bare.tokenizer("good: ", add_special_tokens=False).input_ids
    assert controlled == prompt + text == good.encode_prompt("say hi")
    assert good.text_of(same) == "hi there" and good.tokenizer.decode(same) == bare.tokenizer.decode(answer)


def test_another_control_text_takes_its_place_and_another_template_keeps_it(good_policy, tmp_path):
    def ending(**choices):
        chat_format = chat.load(good_policy, **choices)
        return chat_format.tokenizer.decode(chat_format.encode_prompt("say hi"))

    assert ending().endswith("<|assistant|>good: ")
    assert ending(control="bad: ").endswith("<|assistant|>bad: ")
    (tmp_path / "mine.jinja").write_text(TEMPLATES["with a system prompt of its own"])
    assert ending(flags=chat.Flags(chat_template=str(tmp_path / "mine.jinja"))).endswith("[assistant]good: ")


def test_an_evaluation_asks_the_policy_with_the_control_text_and_the_reference_without(
    tiny_policy, good_policy, tmp_path
):
    bare, good = chat.load(tiny_policy), chat.load(good_policy)
    model, samples = policies.load_policy(tiny_policy), []
    for prompt, answer in (("say hi", "hi there"), ("count to three", "one two three")):
        ids = bare.encode(prompt, answer)[1]
        samples.append({"prompt": conversations.user(prompt), "tools": None, "response_ids": ids})
    prompts = {"samples_per_prompt": 1, "temperature": 1.0, "top_p": 1.0, "max_new_tokens": 8, "max_length": 64}
    files = {"policy": good_policy, "reference": tiny_policy, "prompts": "", "pairs": "", "samples_output": ""}
    flags = evaluate_policy.Flags(**prompts, **files, output=str(tmp_path / "evaluation.json"), seed=1)
    with Shards(flags.output, {}, 64) as shards:
        evaluate_policy.compare(policies.load_policy(good_policy), model, good, bare, samples, flags, shards)
    for sample in samples:
        ids = sample["response_ids"]
        logp, ref_logp = (distributions(model, each.encode_prompt(sample["prompt"]), ids) for each in (good, bare))
        kl = (logp.exp() * (logp - ref_logp)).sum().item()
        assert sample["kl"] == pytest.approx(kl, rel=1e-4) and kl > 1e-4
        assert sample["logps"] == pytest.approx(sum(logp[i, token].item() for i, token in enumerate(ids)), rel=1e-5)
        assert sample["ref_logps"] == pytest.approx(
            sum(ref_logp[i, token].item() for i, token in enumerate(ids)), rel=1e-5
        )


def distributions(model, prompt: list[int], response: list[int]) -> torch.Tensor:
    """Log-probabilities of all tokens at each token of a response."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([prompt + response])).logits[0]
    return logits[len(prompt) - 1 : -1].log_softmax(-1)
