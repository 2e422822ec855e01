"""The engine transformers: it samples in the process of the stage, a batch at a time."""

import contextlib
from collections.abc import Iterator

from preference.engines import Request, Rules, Sample, Traits, until_end
from preference.running.stage import Progress

TRAITS = Traits()


@contextlib.contextmanager
def sampling(policy: str, rules: Rules, requests: list[Request], flags) -> Iterator[Sample]:
    """Load the policy once, for all parts."""
    from transformers import GenerationConfig

    from preference.models import policies

    model = policies.load_policy(policy, flags.dtype)
    # On the model as well: what a config leaves open is filled from the folder's own generation_config.json. What
    # follows the end of a response is cut off, so any token will do as padding.
    model.generation_config = GenerationConfig(
        do_sample=False,
        max_new_tokens=flags.max_new_tokens,
        eos_token_id=list(rules.stops),
        pad_token_id=rules.stops[0],
        use_cache=True,
    )

    def sample(requests: list[Request], progress: Progress) -> list[list[int]]:
        responses = []
        for start in range(0, len(requests), flags.batch_size):
            chunk = requests[start : start + flags.batch_size]
            responses += _generate(model, rules, chunk, flags)
            progress.update(len(chunk))
        return responses

    yield sample


def _generate(model, rules: Rules, chunk: list[Request], flags) -> list[list[int]]:
    import torch
    from transformers import LogitsProcessorList

    from preference.models.draws import Draws

    width = max(len(ids) for _, ids in chunk)
    pad = rules.stops[0]
    input_ids = torch.tensor([[pad] * (width - len(ids)) + ids for _, ids in chunk], device=model.device)
    attention_mask = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for _, ids in chunk], device=model.device)
    with torch.inference_mode():
        output = model.generate(
            input_ids=input_ids,
            attention_mask=attention_mask,
            generation_config=model.generation_config,
            logits_processor=LogitsProcessorList([Draws(rules, chunk, width, flags)]),
        )
    return [until_end(ids, rules.stops) for ids in output[:, width:].tolist()]
