"""Intervals of shares whose trials are not independent: rows of one image are alike."""

import numpy as np
import pandas as pd
import pytest
from epsigma.tables.intervals import add_rate, count_independent, wilson


def rows(random, images, each, share, alike):
    """Make the rows of images whose own shares are beta-distributed around one."""
    own = np.full(images, share)
    if alike:
        own = random.beta(share * (1 / alike - 1), (1 - share) * (1 / alike - 1), images)
    return (random.random((images, each)) < own[:, None]).ravel(), np.arange(images).repeat(each)


@pytest.mark.parametrize("hits", ["1010", "1111", "0000", "1", ""])
def test_one_row_an_image_counts_once(hits):
    found = np.array([hit == "1" for hit in hits], bool)
    assert count_independent(found, np.arange(len(hits))[::-1]) == len(hits)


def test_the_design_effect_is_that_of_rao_and_scott():
    hits, index = np.array([1, 1, 0, 1, 0, 0], bool), np.array([4, 4, 7, 7, 7, 9])
    # Of the share 1/2 the images have 2 of 2, 1 of 3 and 0 of 1: 1, -1/2 and -1/2 beyond it.
    variance = 3 / 2 * (1 + 1 / 4 + 1 / 4)
    assert count_independent(hits, index) == pytest.approx(6 / (variance / (6 / 4)))


@pytest.mark.parametrize("hit", [False, True])
def test_where_all_came_to_the_same_images_count(hit):
    assert count_independent(np.full(12, hit), np.arange(4).repeat(3)) == 4


def test_rows_that_differ_less_than_chance_count_as_independent_ones():
    assert count_independent(np.array([1, 0] * 6, bool), np.arange(6).repeat(2)) == 12


@pytest.mark.parametrize("alike", [0, 0.1, 0.4])
def test_the_interval_covers_the_share(alike):
    random, covered, naive = np.random.default_rng(0), 0, 0
    for _ in range(400):
        hits, index = rows(random, images=60, each=9, share=0.7, alike=alike)
        n = count_independent(hits, index)
        low, high = wilson(hits.mean() * n, n)
        covered += low <= 0.7 <= high
        low, high = wilson(hits.sum(), len(hits))
        naive += low <= 0.7 <= high
    assert covered / 400 > 0.92
    assert (naive / 400 > 0.92) == (alike == 0)


def test_a_rate_keeps_its_value_and_gets_wider_bounds():
    table = pd.DataFrame({"n": [90, 0], "hits": [45, 0]})
    add_rate(table, "rate", "hits", independent=pd.Series([30.0, 0.0]))
    low, high = wilson(15, 30)
    assert table.loc[0, ["rate", "rate_low", "rate_high"]].tolist() == [0.5, low, high]
    assert table.loc[1, ["rate", "rate_low", "rate_high"]].isna().all()
