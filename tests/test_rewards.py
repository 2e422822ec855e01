"""Gold rewards by hand; flags that lack a target, or name one to no purpose, are refused."""

import dataclasses

import pytest

from preference import rewards
from preference.stage import InputError

RESPONSES = ["", "Ein größeres Haus!", "don't a_b  42\n"]
ROWS = [{"response": text, "num_tokens": number} for text, number in zip(RESPONSES, (0, 5, 9), strict=True)]


def gold(name, **flags):
    return rewards.gold_rewards(rewards.Flags(gold_reward=name, **flags), ROWS)


@pytest.mark.parametrize(
    "flags, found",
    [
        ({"name": "min_length"}, [0, -5, -9]),
        ({"name": "max_length"}, [0, 5, 9]),
        ({"name": "mode_length", "target_length": 6}, [-6, -1, -3]),
        ({"name": "max_length", "length_unit": "characters"}, [0, 18, 14]),
        ({"name": "max_length", "length_unit": "words"}, [0, 3, 4]),  # don, t, a_b, 42
        ({"name": "mode_length", "target_length": 3, "length_unit": "words"}, [-3, 0, -1]),
    ],
)
def test_gold_rewards_by_hand(flags, found):
    assert repr(gold(**flags)) == repr([float(reward) for reward in found]), "no -0.0 either"


def test_a_length_as_far_below_the_target_as_another_above_is_as_good():
    rows = [{"response": "", "num_tokens": number} for number in range(21)]
    found = rewards.gold_rewards(rewards.Flags(gold_reward="mode_length", target_length=10), rows)
    assert found == found[::-1] and max(found) == found[10] == 0 and sorted(found[:11]) == found[:11]


def test_a_task_without_a_gold_reward_has_none():
    assert rewards.gold_rewards(rewards.Flags(reward_model="model"), ROWS) is None


@pytest.mark.parametrize(
    "changed, line",
    [
        ({"gold_reward": None}, "--reward_model, --gold_reward: give at least one"),
        ({"target_length": None}, "--gold_reward mode_length: needs --target_length"),
        ({"gold_reward": "min_length"}, "--target_length 3: only --gold_reward mode_length has a target"),
        ({"gold_reward": None, "reward_model": "m"}, "--target_length 3: only --gold_reward mode_length has a target"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(changed, line):
    good = rewards.Flags(gold_reward="mode_length", target_length=3)
    rewards.check(good)
    with pytest.raises(InputError) as refused:
        rewards.check(dataclasses.replace(good, **changed))
    assert str(refused.value) == line
