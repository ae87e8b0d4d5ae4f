"""Rates over seeds: their interval is clustered by image."""

import math

import numpy as np
import pytest
from epsigma.tables.seeds import Outcome, pool_seeds
from hypothesis import given
from hypothesis import strategies as st


def wilson(count, n, z=1.959963984540054):
    """Wilson 1927, in the form of Brown, Cai & DasGupta 2001, equation 4."""
    p = count / n
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return centre - half, centre + half


def pooled(*seeds):
    """What is pooled of the images of seeds, each right (1) or not."""
    return pool_seeds(
        [Outcome.of_images(np.arange(len(one)), np.array(one, bool)) for one in seeds]
    )


# Name, seeds, and as how many independent trials they count.
EFFECTIVE = {
    "one seed": ([[1, 1, 1, 0]], 4),
    "seeds that agree": ([[1, 1, 1, 0]] * 3, 4),
    "never wrong": ([[1] * 50] * 3, 50),
    "never right": ([[0] * 50] * 3, 50),
    "one image": ([[1], [1]], 1),
    "one image, and one seed wrong": ([[1], [0]], 2),
    # Each image is right in one of two: they vary less than by chance.
    "seeds that complement each other": ([[1, 0, 1, 0], [0, 1, 0, 1]], 8),
    # Means of images 1, 1/2, 1/2, 0: variance 1/24 of their mean, where 1/4 is that of a trial.
    "seeds that agree in part": ([[1, 1, 0, 0], [1, 0, 1, 0]], 6),
}


@pytest.mark.parametrize(("seeds", "size"), EFFECTIVE.values(), ids=EFFECTIVE)
def test_the_interval_is_wilson_s_of_the_effective_sample_size(seeds, size):
    found = pooled(*seeds)
    mean = np.mean(seeds)
    assert (found.n, found.mean) == (len(seeds[0]), pytest.approx(mean))
    assert (found.low, found.high) == pytest.approx(wilson(mean * size, size), abs=1e-9)
    # Neither 0 % nor 100 % is certain.
    assert found.high - found.low > 0.01


def test_the_standard_deviation_is_that_of_the_rates_of_seeds():
    found = pooled([1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0])
    assert found.std == pytest.approx(np.std([1, 0.5, 0.75], ddof=1))
    assert math.isnan(pooled([1, 0]).std)


@given(st.lists(st.lists(st.booleans(), min_size=5, max_size=5), min_size=1, max_size=4))
def test_an_interval_holds_its_mean_and_is_never_narrower_than_that_of_independent_trials(seeds):
    found = pooled(*seeds)
    assert 0 <= found.low <= found.mean + 1e-9
    assert found.mean - 1e-9 <= found.high <= 1
    total, n = np.sum(seeds), np.size(seeds)
    independent, alone = wilson(total, n), wilson(total / len(seeds), 5)
    assert found.low <= independent[0] + 1e-9
    assert found.high >= independent[1] - 1e-9
    # Nor wider than if all seeds were one.
    assert found.low >= alone[0] - 1e-9
    assert found.high <= alone[1] + 1e-9


def test_of_trials_that_differ_from_seed_to_seed_each_seed_has_the_same_weight():
    """Attack success: the trials are the images that a seed's model gets right when clean."""
    index = np.arange(4)
    first = Outcome(index, np.array([1, 0, 0, 0]), np.array([1, 1, 0, 0]))
    second = Outcome(index, np.array([1, 1, 1, 0]), np.array([1, 1, 1, 1]))
    found = pool_seeds([first, second])
    assert (found.n, found.mean) == (4, pytest.approx((0.5 + 0.75) / 2))
    assert found.std == pytest.approx(0.25 / math.sqrt(2))


def test_a_seed_without_trials_is_left_out_and_of_none_there_is_no_rate():
    index, none = np.arange(2), np.zeros(2, np.int64)
    with_none = pool_seeds([Outcome(index, none, none), Outcome.of_images(index, index == 1)])
    alone = pool_seeds([Outcome.of_images(index, index == 1)])
    assert (with_none.n, with_none.mean, with_none.low) == (2, 0.5, alone.low)
    nothing = pool_seeds([Outcome(index, none, none)])
    assert nothing.n == 0
    assert np.isnan([nothing.mean, nothing.std, nothing.low, nothing.high]).all()


def test_images_are_matched_by_their_index_not_by_their_place():
    first = Outcome.of_images(np.array([3, 7, 9]), np.array([1, 0, 1], bool))
    second = Outcome.of_images(np.array([7, 9, 12]), np.array([0, 1, 1], bool))
    found = pool_seeds([first, second])
    assert (found.n, found.mean) == (4, pytest.approx(2 / 3))


@pytest.mark.parametrize(("n", "share"), [(100, 0.5), (300, 0.05), (40, 0.3)])
def test_the_clustered_interval_covers_as_often_as_it_says_and_the_pooled_one_does_not(n, share):
    """Images differ in how hard they are; three seeds see the same ones."""
    random = np.random.default_rng(0)
    repeats, covered, covered_if_pooled = 400, 0, 0
    for _ in range(repeats):
        hardness = random.beta(0.3 * share, 0.3 * (1 - share), n)
        seeds = random.random((3, n)) < hardness
        found = pooled(*seeds)
        covered += found.low <= share <= found.high
        low, high = wilson(seeds.sum(), seeds.size)
        covered_if_pooled += low <= share <= high
    # Three standard errors of 400 repeats are 3.3 points.
    assert 0.917 <= covered / repeats <= 0.983
    assert covered_if_pooled / repeats < 0.85


def test_a_thousand_images_and_three_seeds_are_far_from_three_thousand():
    random = np.random.default_rng(0)
    seeds = random.random((3, 1000)) < random.beta(0.4, 0.4, 1000)
    found = pooled(*seeds)
    independent = wilson(seeds.sum(), 3000)
    assert 0.024 < (found.high - found.low) / 2 < 0.031
    assert (independent[1] - independent[0]) / 2 < 0.019
