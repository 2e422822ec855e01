"""The layout of each family as published: how conversations read, and which tokens end a response."""

import dataclasses
from collections.abc import Callable

SYSTEM = {"role": "system", "content": "Be brief."}
ASKED = [{"role": "user", "content": "Hi"}]
TURNS = [*ASKED, {"role": "assistant", "content": "Hello."}, {"role": "user", "content": "Why?"}]
ANSWER = "Because."


def _as_it_is(answer: str) -> str:
    return answer


@dataclasses.dataclass(frozen=True)
class Layout:
    """The expected text of conversations, up to where the response begins."""

    end: str  # the token that closes a response
    stops: set[str]  # the tokens that end a response in sampling
    asked: str  # of ASKED
    briefed: str | None  # of SYSTEM and ASKED; None if the template refuses system prompts
    turns: str  # of TURNS
    answered: str  # what ANSWER adds, up to and with the end token
    said: Callable[[str], str] = _as_it_is  # what the template leaves of the text of an answer
    adds_bos: str = ""  # what the tokenizer puts before the rendered text


def _chatml(*turns: tuple[str, str]) -> str:
    rendered = [f"<|im_start|>{role}\n{content}<|im_end|>\n" for role, content in turns]
    return "".join(rendered) + "<|im_start|>assistant\n"


def _of_chatml(default: str | None, **other) -> Layout:
    before = [("system", default)] if default else []
    return Layout(
        end="<|im_end|>",
        asked=_chatml(*before, ("user", "Hi")),
        briefed=_chatml(("system", "Be brief."), ("user", "Hi")),
        turns=_chatml(*before, ("user", "Hi"), ("assistant", "Hello."), ("user", "Why?")),
        **{"stops": {"<|im_end|>"}, "answered": "Because.<|im_end|>", **other},
    )


def _llama3(begin: str, system: str, stops: set[str]) -> Layout:
    def turn(role: str, content: str) -> str:
        return f"<|start_header_id|>{role}<|end_header_id|>\n\n{content}"

    user, assistant, again = turn("user", "Hi<|eot_id|>"), turn("assistant", ""), turn("user", "Why?<|eot_id|>")
    return Layout(
        end="<|eot_id|>",
        stops=stops | {"<|eot_id|>", "<|end_of_text|>"},
        asked=begin + user + assistant,
        briefed=system + user + assistant,
        turns=begin + user + assistant + "Hello.<|eot_id|>" + again + assistant,
        answered="Because.<|eot_id|>",
        said=str.strip,
    )


def _gemma(briefed: str | None) -> Layout:
    asked = "<bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n"
    return Layout(
        end="<end_of_turn>",
        stops={"<end_of_turn>", "<eos>"},
        asked=asked,
        briefed=briefed,
        turns=asked + "Hello.<end_of_turn>\n<start_of_turn>user\nWhy?<end_of_turn>\n<start_of_turn>model\n",
        answered="Because.<end_of_turn>",
        said=str.strip,
    )


_DATES = "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"
_HEADER = "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n"
_PROJECT = Layout(  # the project's own template, for tokenizers that have none
    end="<|endoftext|>",
    stops={"<|endoftext|>"},
    asked="<|prompter|>Hi<|endoftext|><|assistant|>",
    briefed="<|system|>Be brief.<|endoftext|><|prompter|>Hi<|endoftext|><|assistant|>",
    turns="<|prompter|>Hi<|endoftext|><|assistant|>Hello.<|endoftext|><|prompter|>Why?<|endoftext|><|assistant|>",
    answered="Because.<|endoftext|>",
)

LAYOUTS = {
    "llama2": Layout(
        end="</s>",
        stops={"</s>"},
        asked="<s>[INST] Hi [/INST]",
        briefed="<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST]",
        turns="<s>[INST] Hi [/INST] Hello. </s><s>[INST] Why? [/INST]",
        answered=" Because. </s>",
        said=str.strip,
    ),
    "llama3": _llama3("<|begin_of_text|>", f"{_HEADER}Be brief.<|eot_id|>", set()),
    "llama3_1": _llama3(f"{_HEADER}{_DATES}<|eot_id|>", f"{_HEADER}{_DATES}Be brief.<|eot_id|>", {"<|eom_id|>"}),
    "mistral": Layout(
        end="</s>",
        stops={"</s>"},
        asked="<s> [INST] Hi [/INST]",
        briefed="<s> [INST] Be brief.\n\nHi [/INST]",
        turns="<s> [INST] Hi [/INST] Hello.</s> [INST] Why? [/INST]",
        answered=" Because.</s>",
    ),
    "mistral_v3": Layout(
        end="</s>",
        stops={"</s>"},
        asked="<s>[INST] Hi[/INST]",
        briefed="<s>[INST] Be brief.\n\nHi[/INST]",
        turns="<s>[INST] Hi[/INST] Hello.</s>[INST] Why?[/INST]",
        answered=" Because.</s>",
        said=str.strip,
    ),
    "zephyr": Layout(
        end="</s>",
        stops={"</s>"},
        asked="<|user|>\nHi</s>\n<|assistant|>\n",
        briefed="<|system|>\nBe brief.</s>\n<|user|>\nHi</s>\n<|assistant|>\n",
        turns="<|user|>\nHi</s>\n<|assistant|>\nHello.</s>\n<|user|>\nWhy?</s>\n<|assistant|>\n",
        answered="Because.</s>",
        adds_bos="<s>",
    ),
    "qwen2_5": _of_chatml(
        "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.", stops={"<|im_end|>", "<|endoftext|>"}
    ),
    "qwen3": _of_chatml(
        None,
        stops={"<|im_end|>", "<|endoftext|>"},
        answered="<think>\n\n</think>\n\nBecause.<|im_end|>",
        said=lambda answer: answer.lstrip("\n"),
    ),
    "gemma2": _gemma(None),
    "gemma3": _gemma("<bos><start_of_turn>user\nBe brief.\n\nHi<end_of_turn>\n<start_of_turn>model\n"),
    "gemma3_nested": _gemma("<bos><start_of_turn>user\nBe brief.\n\nHi<end_of_turn>\n<start_of_turn>model\n"),
    "phi3": Layout(
        end="<|end|>",
        stops={"<|end|>", "<|endoftext|>", "<|assistant|>"},
        asked="<|user|>\nHi<|end|>\n<|assistant|>\n",
        briefed="<|system|>\nBe brief.<|end|>\n<|user|>\nHi<|end|>\n<|assistant|>\n",
        turns="<|user|>\nHi<|end|>\n<|assistant|>\nHello.<|end|>\n<|user|>\nWhy?<|end|>\n<|assistant|>\n",
        answered="Because.<|end|>",
        said=str.lstrip,  # its tokens swallow the white space after them
    ),
    "smollm2": _of_chatml("You are a helpful AI assistant named SmolLM, trained by Hugging Face"),
    "pythia": _PROJECT,
    "gpt2": _PROJECT,
    # The odd ones.
    **dict.fromkeys(
        ("plain", "no_pad", "pad_is_eos", "pad_is_a_word", "bos_is_eos", "many_rows", "pad_without_row"),
        _of_chatml(None),
    ),
    "eos_is_not_the_end": _of_chatml(None, stops={"<|im_end|>", "<|endoftext|>"}),
    "trims": _of_chatml(None, said=str.strip),
    "drops_thinking": _of_chatml(None),
}
