"""Whether the best filter differs from its rivals."""

import numpy as np
import pytest
from epsigma.cell import FIXED_LEVEL, Cell, Level
from epsigma.tables.rivals import tabulate_rivals
from epsigma.tables.scores import Attack, Scored, Scores

ATTACKS = {"fgsm": Attack(family="single_step", norm="linf")}


def cell(name="none", sigma=None, threat="blind", budget=0.1):
    strength = FIXED_LEVEL if sigma is None else Level("sigma", sigma)
    return Cell("mnist", "mlp", 0, threat, "fgsm", Level("eps", budget), name, strength)


def scored(fooled, index=None):
    """Examples, a letter each: x is misclassified."""
    wrong = np.array([letter == "x" for letter in fooled])
    n = len(wrong)
    places = np.arange(n, dtype=np.int32) if index is None else np.array(index, np.int32)
    return Scored(wrong, np.where(wrong, -1, 1).astype(np.float32), places, np.zeros(n, np.int16))


def rivals_of(cells):
    table = tabulate_rivals(Scores(cells, {}, ATTACKS))
    return table.set_index(["filter", "strength", "against"]).sort_index()


def test_each_filter_is_compared_with_none_and_the_best_and_the_best_with_another_filter():
    found = rivals_of(
        {
            cell(): scored("xxxxxx.."),
            cell("blur", 1): scored("xxx....."),
            cell("blur", 2): scored("xx......"),
            cell("median", 3): scored("..xxxx.."),
        }
    )
    # The next best filter is median, though blur 1 gets more right.
    against = {("blur", 2, "none"), ("blur", 2, "next_best")}
    against |= {("blur", 1, "none"), ("blur", 1, "best")}
    against |= {("median", 3, "none"), ("median", 3, "best")}
    assert set(found.index) == against
    row = found.loc[("blur", 2, "next_best")]
    assert (row["other_filter"], row["other_strength"]) == ("median", "sigma~3")
    assert (row["only_this"], row["only_other"], row["n"]) == (4, 2, 8)
    assert row["difference"] == pytest.approx(0.25)
    assert row["difference_low"] < 0 < row["difference_high"]
    row = found.loc[("blur", 2, "none")]
    assert (row["only_this"], row["only_other"]) == (4, 0)
    assert row["difference"] == pytest.approx(0.5)
    row = found.loc[("median", 3, "best")]
    assert row["difference"] == pytest.approx(-0.25)


def test_a_lead_on_many_images_is_beyond_chance_and_one_of_few_is_not():
    for n, is_beyond in ((4, False), (400, True)):
        found = rivals_of(
            {cell("blur", 1): scored("." * n), cell("median", 1): scored("x..." * (n // 4))}
        )
        low = found.loc[("blur", 1, "next_best"), "difference_low"]
        assert (low > 0) == is_beyond


def test_threats_and_budgets_have_rivals_of_their_own_and_no_filter_is_known_to_all():
    cells = {
        cell(): scored("xx"),
        cell("blur", 1): scored(".."),
        cell("blur", 1, "aware"): scored("x."),
        cell("blur", 1, "aware", 0.2): scored("xx"),
    }
    table = tabulate_rivals(Scores(cells, {}, ATTACKS))
    assert set(zip(table["threat"], table["budget"], table["against"], strict=True)) == {
        ("blind", 0.1, "none"),
        ("aware", 0.1, "none"),
    }


def test_rivals_are_compared_on_the_images_that_they_share():
    found = rivals_of(
        {cell("blur", 1): scored("...x", range(4)), cell("median", 1): scored("x..x", range(2, 6))}
    )
    assert set(found["n"]) == {2}
