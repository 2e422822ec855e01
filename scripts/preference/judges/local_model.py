"""A language model that is sampled here, greedily, through an engine."""

import dataclasses

from preference import engines
from preference.files import conversations
from preference.judges import verdicts
from preference.models import chat, chat_flags, samplers
from preference.running.shards import Shards
from preference.running.stage import InputError

PLAIN = (
    "{% for message in messages %}{{ message['content'] }}{% endfor %}"  # the chat template of a judge that has none
)


class Judge:
    """The model folder or hub id of --judge."""

    def __init__(self, flags):
        self.flags, self.chat_format = flags, chat.load(flags.judge, flags, PLAIN)
        self.inputs = {"judge": flags.judge, **chat_flags.inputs(flags)}
        self.facts = {"engine": engines.resolve(flags.engine)}

    def judge(self, pairs: list[dict], template: str, shards: Shards) -> list[dict]:
        """Return the judge's verdict on each pair, asked for in both orders."""
        rows = [
            {"prompt_id": f"{pair['prompt_id']}/{pair['sample_id']}/{place}", "prompt": question}
            for pair in pairs
            for place, question in zip(
                (verdicts.FIRST, verdicts.SECOND), verdicts.questions(template, pair), strict=True
            )
        ]
        found = samplers.respond(self.flags.judge, self.chat_format, rows, self._asking(), shards)
        if len(found) < len(rows):
            missing = len(rows) - len(found)
            raise InputError(f"{self.flags.samples}: {missing} questions do not fit into what {self.flags.judge} reads")
        replies = [conversations.text(row["response"]) for row in found]
        return [verdicts.judgement(*both) for both in zip(replies[::2], replies[1::2], strict=True)]

    def _asking(self) -> samplers.Flags:
        engine = {field.name: getattr(self.flags, field.name) for field in dataclasses.fields(samplers.Engine)}
        return samplers.Flags(
            prompts=self.flags.samples,
            max_new_tokens=self.flags.max_new_tokens,
            seed=self.flags.seed,
            samples_per_prompt=1,
            temperature=0.0,  # greedy
            top_p=1.0,
            **engine,
        )
