"""Losses and advantages against TRL's, value and gradient, on random batches.

DPO, IPO, KTO, GRPO and RLOO: TRL's trainers as they are, around a tiny model, which compares masks and shifts too.
SLiC and SimPO: the method of CPO's trainer that holds the formulas, called on a stand-in with the fields that it reads.
TRL 1.16 has no PPO with a value head, no REINFORCE and no RWR: test_estimators.py holds exact expectations of these.
"""

import math
from types import SimpleNamespace

import pytest
import torch

from preference.losses.contrastive import dpo_loss, ipo_loss, simpo_loss, slic_loss
from preference.losses.policy_gradient import grpo_loss, ppo_loss
from preference.losses.unpaired import kto_loss
from preference.models import policies, tokens
from preference.training import rollouts

pytest.importorskip("trl", reason="TRL is in envs/dev.txt")

BETA = 0.3
PAD = 1


def trainer_of(name: str, folder: str, output, rows: list[dict], *rewards, **settings):
    """One of TRL's trainers around the tiny model, and around a reference of the same weights where it takes one."""
    import trl
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer

    def load():
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)

    extra = {"reward_funcs": list(rewards)} if rewards else {"ref_model": load()}
    config = getattr(trl, f"{name}Config")
    trainer = getattr(trl, f"{name}Trainer")(
        model=load(),
        args=config(str(output), beta=BETA, report_to=[], use_cpu=True, bf16=False, **settings),
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(folder),
        **extra,
    )
    trainer.model.eval()
    return trainer


def perturb(model, generator) -> None:
    """Move the weights away from where they are: most comparisons are trivial at the reference."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))


def gradient_of(loss, model) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


def assert_equal(ours, theirs, model) -> None:
    """Two scalar losses of a model have one value and one gradient, which is not zero."""
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-5)
    found, expected = gradient_of(ours, model), gradient_of(theirs, model)
    assert max(each.abs().max() for each in expected.values()) > 1e-3, "nothing is compared"
    for name, values in expected.items():
        # float32: the ratio of a whole response is good to 3e-5, and every number of RLOO's gradient with it
        assert torch.allclose(found[name], values, rtol=1e-4, atol=1e-5), name


@pytest.fixture(scope="module")
def dpo_trainer(tiny_policy, tmp_path_factory):
    rows = [{"prompt": "a", "chosen": "b", "rejected": "c"}] * 2
    return trainer_of("DPO", tiny_policy, tmp_path_factory.mktemp("dpo"), rows)


# TRL's sigmoid loss knows no label smoothing: there, it is the mixture of the batch and the batch with labels swapped.
@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_dpo_loss_and_its_gradient_equal_trls_on_random_batches(dpo_trainer, label_smoothing):
    generator = torch.Generator().manual_seed(1)
    model, reference = dpo_trainer.model.eval(), dpo_trainer.ref_model.eval()
    perturb(model, generator)

    def trl_loss(pairs):
        examples = [{"prompt_ids": w[0], "chosen_ids": w[1], "rejected_ids": r[1]} for w, r in pairs]
        return dpo_trainer._compute_loss(model, dpo_trainer.data_collator(examples), return_outputs=False)

    for _ in range(3):
        pairs = [random_pair(generator, model.config.vocab_size) for _ in range(4)]
        model.zero_grad()
        theirs = (1 - label_smoothing) * trl_loss(pairs) + label_smoothing * trl_loss([(r, w) for w, r in pairs])
        theirs.backward()
        gradient = {name: p.grad.clone() for name, p in model.named_parameters()}
        model.zero_grad()
        with torch.no_grad():
            ref_chosen, ref_rejected = policies.pair_logps(reference, pairs, pad_id=1)
        chosen, rejected = policies.pair_logps(model, pairs, pad_id=1)
        ours = dpo_loss(chosen, rejected, ref_chosen, ref_rejected, 0.3, label_smoothing).mean()
        ours.backward()
        assert abs(ours.item() - math.log(2)) > 1e-3, "the oracle would be trivial at the reference"
        assert ours.item() == pytest.approx(theirs.item(), abs=1e-5)
        for name, parameter in model.named_parameters():
            assert torch.allclose(parameter.grad, gradient[name], atol=1e-5), name


def test_ipo_loss_of_log_probabilities_per_token_and_its_gradient_equal_trls(dpo_trainer, monkeypatch):
    # TRL divides each response's log-ratio by its length before it takes the difference; ours takes what it is given.
    generator = torch.Generator().manual_seed(2)
    model, reference = dpo_trainer.model.eval(), dpo_trainer.ref_model.eval()
    perturb(model, generator)
    monkeypatch.setattr(dpo_trainer, "loss_types", ["ipo"])
    pairs = [random_pair(generator, model.config.vocab_size) for _ in range(6)]
    examples = [{"prompt_ids": w[0], "chosen_ids": w[1], "rejected_ids": r[1]} for w, r in pairs]
    model.zero_grad()
    theirs = dpo_trainer._compute_loss(model, dpo_trainer.data_collator(examples), return_outputs=False)
    theirs.backward()
    gradient = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    lengths = [torch.tensor([len(pair[side][1]) for pair in pairs]) for side in (0, 1)]
    with torch.no_grad():
        ref_logps = policies.pair_logps(reference, pairs, pad_id=1)
    logps = policies.pair_logps(model, pairs, pad_id=1)
    per_token = (part / length for parts in (logps, ref_logps) for part, length in zip(parts, lengths, strict=True))
    ours = ipo_loss(*per_token, 0.3).mean()
    ours.backward()
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-5)
    for name, parameter in model.named_parameters():
        assert torch.allclose(parameter.grad, gradient[name], atol=1e-5), name


def test_kto_loss_and_its_gradient_equal_trls(tiny_policy, tmp_path):
    generator = torch.Generator().manual_seed(3)
    rows = [{"prompt": "a", "completion": "b", "label": True}, {"prompt": "c", "completion": "d", "label": False}] * 2
    weights = {"desirable_weight": 1.3, "undesirable_weight": 0.7}
    # TRL makes z of the responses of a batch, each to another's prompt: more than one a batch
    trainer = trainer_of("KTO", tiny_policy, tmp_path, rows, per_device_train_batch_size=4, **weights)
    model, reference = trainer.model, trainer.ref_model.eval()
    positive = []
    for _ in range(6):
        perturb(model, generator)
        sequences = [random_pair(generator, model.config.vocab_size)[0] for _ in range(6)]
        mismatched = [(prompt, sequences[i - 1][1][:12]) for i, (prompt, _) in enumerate(sequences)]
        desirable = torch.tensor([True, False, True, True, False, False])
        examples = [
            {"prompt_ids": prompt, "completion_ids": response, "KL_completion_ids": other, "label": label}
            for (prompt, response), (_, other), label in zip(sequences, mismatched, desirable.tolist(), strict=True)
        ]
        theirs = trainer._compute_loss(model, trainer.data_collator(examples), return_outputs=False)
        with torch.no_grad():
            ref_logps = logps_of(reference, sequences)
            kl = (logps_of(model, mismatched) - logps_of(reference, mismatched)).mean()
        positive.append(kl.item() > 0)
        ours = kto_loss(logps_of(model, sequences), ref_logps, desirable, kl, BETA, *weights.values()).mean()
        assert_equal(ours, theirs, model)
    assert any(positive) and not all(positive), "z is compared above zero and where it is cut"


def logps_of(model, sequences):
    return policies.response_logps(model, tokens.batch(sequences, PAD))


def cpo_loss(loss_type, beta, *logps, gamma=0.0):
    """The losses of TRL's CPO trainer, from what its method reads of it."""
    from trl.experimental.cpo import CPOTrainer

    fields = {"alpha": 0.0, "label_smoothing": 0.0, "accelerator": SimpleNamespace(device="cpu")}
    trainer = SimpleNamespace(loss_type=loss_type, beta=beta, simpo_gamma=gamma, **fields)
    return CPOTrainer.cpo_loss(trainer, *logps)[0]


def random_logps(seed: int) -> torch.Tensor:
    """(chosen or rejected, 64)."""
    return (-10 * torch.rand(2, 64, generator=torch.Generator().manual_seed(seed)).double()).requires_grad_()


def test_slic_loss_is_trls_hinge_times_delta_with_a_beta_of_one_over_delta():
    logps = random_logps(4)
    ours, delta = slic_loss(*logps, 2.5, 0.3), 2.5
    theirs = delta * cpo_loss("hinge", 1 / delta, *logps) - 0.3 * logps[0]  # CPO's own likelihood term is per token
    assert_same(ours, theirs, logps)
    assert 0 < (ours > -0.3 * logps[0]).sum() < 64, "some pairs are beyond the margin"


def test_simpo_loss_and_its_gradient_equal_trls_of_log_probabilities_per_token():
    logps, lengths = random_logps(5), torch.randint(1, 9, (2, 64), generator=torch.Generator().manual_seed(6))
    ours = simpo_loss(*logps, *lengths, 2.0, 0.4)
    assert_same(ours, cpo_loss("simpo", 2.0, *(logps / lengths), gamma=0.4 * 2.0), logps)


def test_ipo_loss_without_a_reference_and_its_gradient_equal_trls():
    logps = random_logps(7)
    assert_same(ipo_loss(*logps, *torch.zeros(2, 64), BETA), cpo_loss("ipo", BETA, *logps), logps)


def assert_same(ours, theirs, logps) -> None:
    assert torch.allclose(ours, theirs, atol=1e-5)
    gradients = [torch.autograd.grad(losses.sum(), logps, retain_graph=True)[0] for losses in (ours, theirs)]
    assert torch.allclose(*gradients, atol=1e-5) and gradients[0].abs().max() > 0.1


class Sampled:
    """Responses that a trainer of TRL drew and scored: its inputs, and the same in our terms."""

    def __init__(self, trainer, rewards: torch.Tensor, prompts: list[str]):
        self.inputs = trainer._generate_and_score_completions([{"prompt": prompt} for prompt in prompts])
        names = ("prompt", "completion")
        ids, masks = ([self.inputs[f"{name}_{what}"] for name in names] for what in ("ids", "mask"))
        both = zip(*ids, *masks, strict=True)
        self.sequences = [(p[m.bool()].tolist(), c[n.bool()].tolist()) for p, c, m, n in both]
        self.groups = torch.arange(len(prompts)) // GENERATIONS
        self.rewards = rewards[: len(prompts)]

    def logprobs(self, model):
        return policies.response_logprobs(model, tokens.batch(self.sequences, PAD))

    def of_completions(self, logprobs, mask):
        """Our (batch, tokens - 1), left-aligned as TRL's completions are."""
        rows = [row[kept] for row, kept in zip(logprobs, mask, strict=True)]
        width = self.inputs["completion_ids"].shape[1]
        return torch.stack([torch.nn.functional.pad(row, (0, width - len(row))) for row in rows])


GENERATIONS = 4
PROMPTS = [prompt for prompt in ("say hi", "count to three", "red") for _ in range(GENERATIONS)]


@pytest.fixture(params=["GRPO", "RLOO"])
def sampled(request, tiny_policy, tmp_path):
    """Samples of a trainer whose policy had left the reference, and has left the one that sampled since then."""
    generator = torch.Generator().manual_seed(8)
    rewards = torch.randn(len(PROMPTS), generator=generator)
    # TRL's default multiplies the KL's estimate by the ratio (arXiv 2512.02556); equation 3 of GRPO's paper does not.
    of_grpo = {"loss_type": "grpo", "use_bias_correction_kl": False}
    settings = of_grpo if request.param == "GRPO" else {"normalize_advantages": False}
    trainer = trainer_of(
        request.param,
        tiny_policy,
        tmp_path,
        [{"prompt": prompt} for prompt in PROMPTS],
        lambda completions, **_: rewards[: len(completions)].tolist(),
        num_generations=GENERATIONS,
        num_generations_eval=GENERATIONS,
        per_device_train_batch_size=len(PROMPTS),
        per_device_eval_batch_size=len(PROMPTS),
        max_completion_length=60,  # EOS comes once in about 300 tokens
        epsilon=0.2,
        seed=0,
        **settings,
    )
    perturb(trainer.model, generator)
    found = Sampled(trainer, rewards, PROMPTS)
    with torch.no_grad():
        old_logprobs, ref_logprobs = (found.logprobs(model)[0] for model in (trainer.model, trainer.ref_model))
    perturb(trainer.model, generator)
    return request.param, trainer, found, old_logprobs, ref_logprobs


def test_advantages_and_losses_of_grpo_and_rloo_equal_trls_with_their_gradients(sampled):
    name, trainer, found, old_logprobs, ref_logprobs = sampled
    logprobs, mask = found.logprobs(trainer.model)
    assert len({len(response) for _, response in found.sequences}) > 1, "lengths differ"
    if name == "GRPO":
        advantages = rollouts.grpo_advantages(found.rewards, found.groups)
        found.inputs["old_per_token_logps"] = found.of_completions(old_logprobs, mask)
        ours = grpo_loss(logprobs, old_logprobs, ref_logprobs, advantages, mask, 0.2, BETA)
    else:  # a PPO of whole responses, its KL in the reward (k1)
        logps, old_logps, ref_logps = (each.sum(-1) for each in (logprobs, old_logprobs, ref_logprobs))
        shaped = rollouts.kl_shaped(found.rewards, old_logps, ref_logps, BETA)
        advantages = rollouts.group_advantages(shaped, found.groups, "leave_one_out", {})
        assert torch.allclose(found.inputs["old_logps"], old_logps, atol=1e-4)
        ours = ppo_loss(logps, old_logps, advantages, 0.2)
    assert torch.allclose(found.inputs["advantages"], advantages, atol=1e-4)
    ratios = (logprobs - old_logprobs)[mask].exp()
    assert (ratios > 1.2).any() and (ratios < 0.8).any(), "some are cut"
    assert_equal(ours.mean(), trainer._compute_loss(trainer.model, found.inputs), trainer.model)


def random_pair(generator, vocab_size):
    def ids(longest):
        length = int(torch.randint(1, longest, (), generator=generator))
        return torch.randint(2, vocab_size, (length,), generator=generator).tolist()

    prompt = ids(6)
    return (prompt, ids(12)), (prompt, ids(12))
