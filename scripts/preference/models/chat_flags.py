"""The flags that say how a model's conversations become token ids. Light: no library is imported for them."""

import dataclasses

from preference.running.flags import flag


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    """The flags of every stage that tokenizes conversations."""

    chat_template: str | None = flag(
        "file with a Jinja chat template, used in place of the tokenizer's own", None, config=False
    )
    chat_template_kwargs: str | None = flag(
        'JSON object of variables for the template, such as {"enable_thinking": false}',
        None,
        config=False,
    )
    end_of_turn: str | None = flag(
        "token that closes a response; by default what the template writes after one", None, config=False
    )
    special_tokens: str = flag(
        "special tokens that texts of the data spell: read as text, or allowed, for data that is rendered already",
        "text",
        ("text", "allow"),
        config=False,
    )
    rewritten_prompt: str = flag(
        "if the template renders a prompt differently once an answer follows, as those do that drop thinking: refuse "
        "it, or append the answer to the prompt as it was sampled from",
        "refuse",
        ("refuse", "append"),
        config=False,
    )


def inputs(flags: Flags) -> dict[str, str]:
    """Return the files among the flags, for the provenance of an artifact."""
    return {"chat_template": flags.chat_template} if flags.chat_template else {}
