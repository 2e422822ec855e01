"""Bootstrap intervals: by hand, by property, and by how often they hold the truth."""

import numpy as np
import pytest

from preference.analysis import intervals


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_a_constant_has_an_interval_of_no_width():
    assert intervals.bootstrap_mean([3.0, 3.0, 3.0], rng()) == pytest.approx((3, 3, 3))


def test_a_single_value_is_its_own_interval():
    assert intervals.bootstrap_mean([2.5], rng()) == pytest.approx((2.5, 2.5, 2.5))


def test_two_values_resample_to_their_four_equally_likely_means():
    # 0, 1/2, 1/2, 1: the middle 40 % are all 1/2, the middle 95 % reach to the extremes
    mean, low, high = intervals.bootstrap_mean([0.0, 1.0], rng(), resamples=20_000, level=0.4)
    assert (mean, low, high) == pytest.approx((0.5, 0.5, 0.5))
    assert intervals.bootstrap_mean([0.0, 1.0], rng(), level=0.95) == pytest.approx((0.5, 0, 1))


def test_the_interval_of_a_normal_mean_is_that_of_the_textbook():
    values = rng(1).normal(5, 2, 400)
    _, low, high = intervals.bootstrap_mean(values, rng(), resamples=20_000)
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)


def test_the_interval_holds_the_true_mean_in_about_95_of_100_draws():
    draws, truth = rng(2), 1.0
    found = [intervals.bootstrap_mean(draws.exponential(truth, 100), draws, resamples=500) for _ in range(300)]
    assert 0.90 <= np.mean([low <= truth <= high for _, low, high in found]) <= 0.98


def test_clustered_samples_are_not_counted_as_independent():
    def covers(draws: np.random.Generator) -> tuple[bool, bool]:
        prompts = np.repeat(np.arange(40), 8)
        values = draws.normal(0, 1, 40)[prompts] + draws.normal(0, 0.3, 320)
        _, low, high = intervals.bootstrap_by_prompt(values, prompts, draws, resamples=300)
        _, low_naive, high_naive = intervals.bootstrap_mean(values, draws, resamples=300)
        return low <= 0 <= high, low_naive <= 0 <= high_naive

    draws = rng(3)
    clustered, naive = np.mean([covers(draws) for _ in range(300)], axis=0)
    assert 0.90 <= clustered <= 0.98
    assert naive < 0.75


def test_one_sample_per_prompt_is_the_plain_bootstrap():
    values = [1.0, 5.0, 2.0, 8.0]
    by_prompt = intervals.bootstrap_by_prompt(values, ["a", "b", "c", "d"], rng())
    assert by_prompt == pytest.approx(intervals.bootstrap_mean(values, rng()))


def test_the_mean_by_prompt_is_the_mean_over_samples():
    mean, low, high = intervals.bootstrap_by_prompt([0, 0, 0, 4], ["a", "a", "a", "b"], rng())
    assert (mean, low, high) == pytest.approx((1, 0, 4))


def test_a_ratio_weighs_its_prompts_by_the_denominator():
    mean, low, high = intervals.bootstrap_ratio([10.0, 1.0], [5.0, 1.0], rng())
    assert mean == pytest.approx(11 / 6)
    assert (low, high) == pytest.approx((1, 2))


def test_one_seed_is_the_plain_bootstrap():
    values = rng(4).normal(size=50)
    assert intervals.bootstrap_nested([values], rng()) == pytest.approx(intervals.bootstrap_mean(values, rng()))


def test_seeds_that_agree_do_not_narrow_the_interval_over_prompts():
    values = rng(5).normal(size=50)
    _, low, high = intervals.bootstrap_nested([values] * 5, rng(), resamples=20_000)
    _, low_one, high_one = intervals.bootstrap_mean(values, rng(), resamples=20_000)
    assert high - low == pytest.approx(high_one - low_one, rel=0.05)


def test_seeds_that_differ_widen_the_interval():
    values = rng(6).normal(0, 0.1, (1, 50)) + np.array([[-1.0], [0.0], [1.0]])
    mean, low, high = intervals.bootstrap_nested(values, rng())
    assert mean == pytest.approx(values.mean())
    assert high - low > 1


def test_a_summary_counts_prompts_and_is_plain_numbers():
    found = intervals.summary(np.array([1.0, 2.0, 3.0]), rng(), ["a", "a", "b"])
    assert found["n"] == 2 and found["mean"] == pytest.approx(2)
    assert all(type(found[name]) is float for name in ("mean", "low", "high"))


def test_a_ratio_summary_is_nats_per_token():
    assert intervals.ratio_summary([6.0, 6.0], [2, 4], rng())["mean"] == pytest.approx(2)


def test_equal_generators_give_equal_intervals_and_names_part_them():
    first, again = (intervals.generator(0, "task", "run").random() for _ in range(2))
    assert first == again != intervals.generator(0, "task", "other").random()


def test_a_value_that_is_not_a_number_is_refused():
    with pytest.raises(AssertionError, match="1 of 2 values"):
        intervals.bootstrap_nested([[1.0, float("nan")]], rng())


def test_the_t_interval_of_three_seeds_is_that_of_the_table():
    # mean 2, standard error 1 / sqrt(3), t of two degrees 4.3027
    assert intervals.student([1.0, 2.0, 3.0]) == pytest.approx((2, 2 - 2.48414, 2 + 2.48414), abs=1e-5)


@pytest.mark.parametrize(
    ("freedom", "t"), [(1, 12.7062), (2, 4.30265), (3, 3.18245), (4, 2.77645), (9, 2.26216), (30, 2.04227)]
)
def test_the_quantiles_of_t_are_those_of_the_table(freedom, t):
    assert intervals.t_quantile(freedom, 0.95) == pytest.approx(t, rel=1e-5)


def test_many_degrees_of_freedom_are_the_normal_distribution():
    assert intervals.t_quantile(10_000, 0.95) == pytest.approx(1.95996, abs=5e-4)


def test_one_seed_has_no_interval_and_none_has_no_mean():
    assert intervals.student([2.5]) == pytest.approx((2.5, np.nan, np.nan), nan_ok=True)
    assert intervals.student(np.empty((0, 2)))[0].tolist() == pytest.approx([np.nan] * 2, nan_ok=True)


def test_a_difference_paired_by_seed_is_free_of_what_the_seeds_share():
    seeds = rng(7).normal(0, 10, 8)
    mean, low, high = intervals.student((seeds + 1) - seeds)
    assert (mean, low, high) == pytest.approx((1, 1, 1))


def test_t_intervals_hold_the_true_mean_in_about_95_of_100_draws_of_few_seeds():
    _, low, high = intervals.student(rng(8).normal(3, 2, (5, 4000)))
    assert 0.94 <= np.mean((low <= 3) & (high >= 3)) <= 0.96
