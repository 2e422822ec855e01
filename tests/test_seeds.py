"""Draws hang on the seed and on what they are for."""

from statistics import fmean

from preference.seeds import derive_seed, uniform


def test_seeds_of_different_uses_are_unrelated():
    found = {derive_seed(seed, "a/0", use) for seed in range(10) for use in range(10)}
    assert len(found) == 100 and all(0 <= seed < 2**63 for seed in found)
    assert derive_seed(1, "x") == derive_seed(1, "x")


def test_a_draw_is_uniform():
    draws = [uniform(0, "x", i) for i in range(4000)]
    assert 0 <= min(draws) < 0.01 and 0.99 < max(draws) < 1
    assert abs(fmean(draws) - 0.5) < 0.02  # four standard errors
    assert uniform(0, "x", 7) == draws[7] != uniform(1, "x", 7)
