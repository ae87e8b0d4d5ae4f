import json
import math
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from epsigma.cell import CELL_COLUMNS, FIXED_LEVEL, Cell, Level
from epsigma.loading import load
from epsigma.registry.tables import TABLES
from epsigma.stages.tabulate import tabulate
from epsigma.stages.unpack import unpack
from epsigma.storage.ledgers import write_ledger
from epsigma.tables.attacks import score_attacks
from epsigma.tables.classes import score_classes
from epsigma.tables.distortion import tabulate_distortion
from epsigma.tables.fooling import tabulate_acceptance
from epsigma.tables.headline import tabulate_headline
from epsigma.tables.intervals import agresti_min
from epsigma.tables.optimality import tabulate_optimality
from epsigma.tables.paired import compare_cells
from epsigma.tables.reading import read_table
from epsigma.tables.robust import score_defences
from epsigma.tables.scores import Attack, Scored, Scores
from epsigma.tables.seeds import add_intervals
from epsigma.tables.smallest import tabulate_fooled_shares, tabulate_minimum_budgets
from epsigma.tables.strengths import (
    choose_strength,
    choose_strengths,
    find_validation,
    mark_validation,
)
from epsigma.tables.worst_case import score_worst_cases
from epsigma.vocabulary import AWARE, BLIND
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar

ATTACKS = {
    "fgsm": Attack("single_step", "linf"),
    "pgd": Attack("iterative", "linf"),
    "pgd_l2": Attack("iterative", "l2"),
    "square": Attack("gradient_free", "linf"),
    "sign_noise": Attack("noise", "linf"),
    "uniform_noise": Attack("noise", "linf"),
    "transfer": Attack("transfer", "linf", "pgd"),
}


def at(threat=BLIND, attack="fgsm", budget=0.1, name="none", strength=None):
    """A cell; without a strength, a filter has 1."""
    if strength is None:
        strength = "fixed" if name == "none" else "sigma~1"
    level = Level.parse(strength)
    return Cell("digits", "mlp", 0, threat, attack, Level("eps", budget), name, level)


def scores_of(grid, clean=None, attacks=ATTACKS, **more):
    """A study of some cells; clean images by filter and strength."""
    by_defence = {
        ("digits", "mlp", 0, name, Level.parse(strength)): found
        for (name, strength), found in (clean or {}).items()
    }
    return Scores(cells=grid, clean=by_defence, attacks=attacks, **more)


def bits(text):
    return np.array([bit == "1" for bit in text])


def of(fooled, margin, label=None):
    """What became of the first examples of a test set."""
    index = np.arange(len(fooled), dtype=np.int32)
    label = np.zeros(len(fooled), np.int16) if label is None else np.array(label, np.int16)
    return Scored(fooled, np.asarray(margin, np.float32), index, label)


def scored(text, margin=None, label=None):
    """What became of examples: 1 is fooled. Margins, if they matter."""
    fooled = bits(text)
    if margin is None:
        margin = np.where(fooled, -1, 1)
    return of(fooled, margin, label)


def compared(this, other):
    """The row that compares two cells, the first of them filtered."""
    grid = {at(name="gaussian"): this, at(): other}
    (row,) = compare_cells(scores_of(grid)).to_dict("records")
    assert row["against"] == "none"
    return row


def wilson(count, n, z=1.959963984540054):
    """Wilson 1927, in the form of Brown, Cai & DasGupta 2001, equation 4."""
    p = count / n
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return centre - half, centre + half


# --- Pairs


@pytest.mark.parametrize(
    ("this", "other", "only_this", "only_other", "difference"),
    [
        ("1100", "1010", 1, 1, 0),
        ("1111", "0000", 4, 0, 1),
        ("0000", "1110", 0, 3, -0.75),
        ("0110", "0110", 0, 0, 0),
        ("11101000", "00101110", 2, 2, 0),
        ("11111000", "00001110", 4, 2, 0.25),
    ],
)
def test_pairs_count_the_examples_that_only_one_of_two_cells_misclassifies(
    this, other, only_this, only_other, difference
):
    row = compared(scored(this), scored(other))
    assert row["n"] == len(this)
    assert (row["only_this"], row["only_other"]) == (only_this, only_other)
    assert row["difference"] == difference


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_the_p_value_is_mcnemar_s_exact_one(pairs):
    this, other = (np.array(side) for side in zip(*pairs, strict=True))
    margin = np.zeros(len(pairs), np.float32)
    row = compared(of(this, margin), of(other, margin))
    table = [[int((this == i)[other == j].sum()) for j in (True, False)] for i in (True, False)]
    assert row["p_value"] == pytest.approx(mcnemar(table, exact=True).pvalue)
    assert row["difference"] == pytest.approx(this.mean() - other.mean())


def test_the_largest_change_is_the_farthest_that_a_margin_moves_to_either_side():
    this = scored("000", [1.0, 2.0, 3.0])
    assert compared(this, scored("000", [1.5, 2.0, 3.25]))["largest_change"] == 0.5
    assert compared(this, scored("000", [1.0, -2.0, 3.25]))["largest_change"] == 4
    assert compared(this, this)["largest_change"] == 0


def interval(more, less, n, confidence=0.95):
    low, high = agresti_min(*(np.array([float(x)]) for x in (more, less, n)), confidence)
    return low[0], high[0]


def test_the_paired_interval_is_wald_s_with_half_a_pair_more_in_each_count():
    # 15.5 and 5.5 of 100: d = 0.1, and its variance (0.21 − 0.1²) / 100 = 0.002.
    half = 1.959963984540054 * math.sqrt(0.002)
    assert interval(15, 5, 98) == pytest.approx((0.1 - half, 0.1 + half))
    half = 2.5758293035489004 * math.sqrt(0.002)
    assert interval(15, 5, 98, 0.99) == pytest.approx((0.1 - half, 0.1 + half))


@pytest.mark.parametrize("n", [100, 1000])
@pytest.mark.parametrize("shares", [(0.1, 0.05), (0.02, 0.02), (0.3, 0.1), (0.05, 0.6), (0, 0)])
def test_the_paired_interval_contains_the_truth_as_often_as_it_says(n, shares):
    only_this, only_other = shares
    generator = np.random.default_rng(0)
    draws = generator.multinomial(n, [*shares, 1 - sum(shares)], size=4000).astype(float)
    low, high = agresti_min(draws[:, 0], draws[:, 1], np.full(4000, float(n)), 0.95)
    truth = only_this - only_other
    assert ((low <= truth) & (truth <= high)).mean() > 0.94


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))))
def test_the_paired_interval_holds_its_difference_and_is_one_of_differences_of_rates(case):
    n, more = case
    for less in {0, (n - more) // 2, n - more}:
        low, high = interval(more, less, n)
        assert -1 <= low <= (more - less) / n <= high <= 1
        assert low < high


# --- Which cells are compared


def study(budgets=(0, 0.1), attacks=ATTACKS):
    """Places of a study in which every attack meets a filter under all threats that it can."""
    for attack in attacks:
        for budget in budgets:
            yield at(BLIND, attack, budget)
            yield at(BLIND, attack, budget, "gaussian")
            if ATTACKS[attack].family not in ("noise", "transfer"):
                yield at(AWARE, attack, budget, "gaussian")


def comparisons(places, attacks=ATTACKS):
    """What each place is compared with: pairs of `against` and `other`, by place."""
    grid = {place: scored("10") for place in places}
    clean = {("none", "fixed"): scored("00"), ("gaussian", "sigma~1"): scored("00")}
    table = compare_cells(scores_of(grid, clean, attacks))
    found = {place: [] for place in grid}
    for row in table.to_dict("records"):
        strength = None if pd.isna(row["strength"]) else f"sigma~{row['strength']:g}"
        place = at(row["threat"], row["attack"], row["budget"], row["filter"], strength)
        found[place].append((row["against"], row["other"]))
    return found


NOISES = [("noise", "sign_noise"), ("noise", "uniform_noise")]
SMALLER = ("smaller_budget", "eps~0")


@pytest.mark.parametrize(
    ("threat", "attack", "name", "expected"),
    [
        (BLIND, "fgsm", "none", NOISES),
        (BLIND, "pgd", "none", [("single_step", "fgsm"), ("transfer", "transfer"), *NOISES]),
        (BLIND, "transfer", "none", NOISES),
        (BLIND, "square", "none", []),
        (BLIND, "sign_noise", "none", []),
        # Of another norm there is nothing to compare with.
        (BLIND, "pgd_l2", "none", []),
        # Blind, through a filter, no attack needs to be better than another.
        (BLIND, "fgsm", "gaussian", [("none", "fgsm")]),
        (BLIND, "pgd", "gaussian", [("none", "pgd")]),
        (BLIND, "square", "gaussian", [("none", "square")]),
        (BLIND, "sign_noise", "gaussian", [("none", "sign_noise")]),
        (BLIND, "transfer", "gaussian", [("none", "transfer"), *NOISES]),
        (AWARE, "fgsm", "gaussian", [("none", "fgsm"), ("blind", "fgsm"), *NOISES]),
        (
            AWARE,
            "pgd",
            "gaussian",
            [
                ("none", "pgd"),
                ("blind", "pgd"),
                ("single_step", "fgsm"),
                ("transfer", "transfer"),
                *NOISES,
            ],
        ),
        (AWARE, "square", "gaussian", [("none", "square"), ("blind", "square")]),
        (AWARE, "pgd_l2", "gaussian", [("none", "pgd_l2"), ("blind", "pgd_l2")]),
    ],
)
def test_a_cell_is_compared_with_what_it_must_not_be_weaker_than_and_nothing_else(
    threat, attack, name, expected
):
    found = comparisons(study())
    assert sorted(found[at(threat, attack, 0.1, name)]) == sorted([*expected, SMALLER])
    # Without a budget, with the clean images instead of a smaller one.
    assert sorted(found[at(threat, attack, 0, name)]) == sorted([*expected, ("clean", "")])


@pytest.mark.parametrize("missing", ["fgsm", "transfer", "sign_noise", "uniform_noise"])
def test_what_is_not_in_the_study_is_not_compared_with(missing):
    attacks = {name: about for name, about in ATTACKS.items() if name != missing}
    before = comparisons(study())
    for place, pairs in comparisons(study(attacks=attacks), attacks).items():
        assert pairs == [pair for pair in before[place] if pair[1] != missing]


def test_an_aware_cell_without_a_blind_twin_is_not_compared_with_it():
    places = [at(), at(AWARE, name="gaussian")]
    assert comparisons(places)[at(AWARE, name="gaussian")] == [("none", "fgsm")]


def test_a_transfer_is_compared_with_the_attack_that_it_takes_over_only():
    attacks = {**ATTACKS, "transfer": Attack("transfer", "linf", "fgsm")}
    found = comparisons(study(), attacks)
    assert ("transfer", "transfer") in found[at(attack="fgsm")]
    assert ("transfer", "transfer") not in found[at(attack="pgd")]


@pytest.mark.parametrize("order", [(0, 2, 10), (10, 0, 2)])
def test_the_smaller_budget_is_the_next_smaller_number_of_the_same_curve(order):
    found = comparisons(study(order, ["fgsm"]))
    for threat, name in ((BLIND, "none"), (BLIND, "gaussian"), (AWARE, "gaussian")):
        for budget, smaller in ((2, "eps~0"), (10, "eps~2")):
            pairs = found[at(threat, "fgsm", budget, name)]
            assert [other for against, other in pairs if against == "smaller_budget"] == [smaller]


def test_an_attack_without_budgets_has_neither_a_smaller_one_nor_one_of_nothing():
    grid = {replace(at(), budget=FIXED_LEVEL): scored("10")}
    assert compare_cells(scores_of(grid)).empty


def test_each_comparison_is_with_the_cell_that_it_names():
    grid = {
        at(BLIND, "pgd", 0): scored("00000000"),
        at(BLIND, "pgd"): scored("11000000"),
        at(BLIND, "pgd", 0.1, "gaussian"): scored("11100000"),
        at(AWARE, "pgd", 0, "gaussian"): scored("11110000"),
        at(AWARE, "pgd", 0.1, "gaussian"): scored("11111111"),
        at(AWARE, "fgsm", 0.1, "gaussian"): scored("11111000"),
        at(BLIND, "fgsm"): scored("00000000"),
        at(BLIND, "fgsm", 0.1, "gaussian"): scored("00000000"),
        at(BLIND, "transfer"): scored("00000000"),
        at(BLIND, "transfer", 0.1, "gaussian"): scored("11111100"),
        at(BLIND, "sign_noise"): scored("00000000"),
        at(BLIND, "sign_noise", 0.1, "gaussian"): scored("11111110"),
    }
    clean = {("none", "fixed"): scored("00000000"), ("gaussian", "sigma~1"): scored("10000000")}
    table = compare_cells(scores_of(grid, clean))
    mine = table[(table["threat"] == AWARE) & (table["attack"] == "pgd")]
    largest = mine[mine["budget"] == 0.1].set_index("against")
    # How many of the eight the other cell fools.
    assert (8 - largest["only_this"]).to_dict() == {
        "none": 2,
        "blind": 3,
        "smaller_budget": 4,
        "single_step": 5,
        "transfer": 6,
        "noise": 7,
    }
    smallest = mine[mine["budget"] == 0].set_index("against")
    assert smallest.loc["clean", "only_this"] == 3


# --- Classes


def test_each_class_has_its_accuracy_and_its_interval():
    label = [3, 7, 3, 7, 7, 7]
    unfiltered, filtered = (scored(text, label=label) for text in ("011000", "000011"))
    table = score_classes(scores_of({at(): unfiltered, at(name="gaussian"): filtered}))
    expected = [("none", 3, 2, 1), ("none", 7, 4, 3), ("gaussian", 3, 2, 2), ("gaussian", 7, 4, 2)]
    for row, (name, label, n, right) in zip(table.to_dict("records"), expected, strict=True):
        assert (row["filter"], row["label"], row["n"]) == (name, label, n)
        assert row["n_correct"] == right
        assert row["accuracy"] == right / n
        bounds = row["accuracy_low"], row["accuracy_high"]
        assert bounds == pytest.approx(wilson(right, n), abs=1e-9)


# --- Worst cases


def worst(grid, **where):
    """The rows of `worst_case.csv` of some cells."""
    table = score_worst_cases(scores_of(grid))
    for column, value in where.items():
        table = table[table[column] == value]
    return table.to_dict("records")


def test_the_worst_case_is_the_mean_of_the_worst_not_the_worst_of_the_means():
    grid = {
        at(attack="fgsm"): scored("110000"),
        at(attack="pgd"): scored("011000"),
        at(attack="square"): scored("000100"),
    }
    (row,) = worst(grid, threat=BLIND)
    assert row["attacks"] == 3
    assert row["n"] == 6
    assert row["accuracy"] == pytest.approx(2 / 6)
    assert row["accuracy"] < min(1 - cell.fooled.mean() for cell in grid.values())
    bounds = row["accuracy_low"], row["accuracy_high"]
    assert bounds == pytest.approx(wilson(2, 6), abs=1e-9)


def test_an_aware_attacker_may_do_what_a_blind_one_does():
    grid = {
        at(name="gaussian"): scored("110000"),
        at(AWARE, name="gaussian"): scored("011000"),
        at(AWARE, "pgd", name="gaussian"): scored("000010"),
    }
    (blind,) = worst(grid, threat=BLIND)
    (aware,) = worst(grid, threat=AWARE)
    assert (blind["attacks"], blind["accuracy"]) == (1, pytest.approx(4 / 6))
    assert (aware["attacks"], aware["accuracy"]) == (3, pytest.approx(2 / 6))


def test_without_an_aware_attack_a_filter_has_no_aware_worst_case_but_no_filter_has_one():
    grid = {at(): scored("10"), at(name="gaussian"): scored("11")}
    assert [(row["threat"], row["filter"]) for row in worst(grid)] == [
        (BLIND, "none"),
        (AWARE, "none"),
        (BLIND, "gaussian"),
    ]


def test_worst_cases_keep_norms_budgets_filters_and_strengths_apart():
    grid = {
        at(): scored("1000"),
        at(attack="pgd_l2"): scored("0100"),
        at(budget=0.2): scored("0011"),
        at(name="gaussian"): scored("1110"),
        at(name="gaussian", strength="sigma~2"): scored("1111"),
        at(attack="pgd"): scored("0000"),
        at(attack="pgd_l2", budget=3): scored("1111"),
    }
    found = {
        (row["norm"], row["budget"], row["filter"], row["strength"]): row["accuracy"]
        for row in score_worst_cases(scores_of(grid)).fillna({"strength": 0}).to_dict("records")
        if row["threat"] == BLIND
    }
    assert found == {
        ("linf", 0.1, "none", 0): 0.75,
        ("l2", 0.1, "none", 0): 0.75,
        ("linf", 0.2, "none", 0): 0.5,
        ("linf", 0.1, "gaussian", 1): 0.25,
        ("linf", 0.1, "gaussian", 2): 0,
        ("l2", 3, "none", 0): 0,
    }


@pytest.mark.parametrize(
    ("cells", "missed"),
    [
        ({"fgsm": "11000", "pgd": "00100", "square": "10011"}, 2),
        ({"pgd": "11111", "square": "10011"}, 0),
        # Noise and transfers don't follow the gradient of this model.
        ({"fgsm": "00000", "sign_noise": "11000", "transfer": "00100", "square": "11100"}, 3),
        ({"fgsm": "00000", "sign_noise": "11000"}, None),
        ({"square": "11000", "sign_noise": "00000", "transfer": "11000"}, None),
    ],
)
def test_what_only_an_attack_without_gradients_finds_is_counted(cells, missed):
    grid = {at(attack=name): scored(fooled) for name, fooled in cells.items()}
    (row,) = worst(grid, threat=BLIND)
    found = row["gradient_free_only"]
    assert (None if pd.isna(found) else found) == missed


# --- Smallest budgets


def minimum_budgets(scores):
    """The minimum budgets of examples: a row a curve, and the shares by budget."""
    return tabulate_minimum_budgets(scores), tabulate_fooled_shares(scores)


def curve(cells):
    """The smallest budgets of a curve: its row, and its shares by budget."""
    grid = {at(budget=budget): scored(fooled) for budget, fooled in cells.items()}
    medians, shares = minimum_budgets(scores_of(grid))
    (row,) = medians.to_dict("records")
    return row, dict(zip(shares["budget"], shares["fallen"], strict=True))


@pytest.mark.parametrize(
    ("cells", "median", "censored", "fallen"),
    [
        ({0: "0000", 0.1: "1000", 0.2: "1100", 0.3: "1111"}, 0.2, 0, [0, 0.25, 0.5, 1]),
        # What was fooled once has fallen, though a larger budget does not fool it.
        ({0.1: "1000", 0.2: "0100", 0.3: "0010"}, 0.2, 1, [0.25, 0.5, 0.75]),
        # Wrong without a budget: fallen at the left end.
        ({0: "1110", 0.1: "1110"}, 0, 1, [0.75, 0.75]),
        ({0.1: "1111"}, 0.1, 0, [1]),
        # With half of them censored the lower median is still a budget, with more it is not.
        ({0.1: "1000", 0.2: "1100"}, 0.2, 2, [0.25, 0.5]),
        ({0.1: "1000", 0.2: "1000"}, None, 3, [0.25, 0.25]),
        ({0.1: "100", 0.2: "110"}, 0.2, 1, [1 / 3, 2 / 3]),
        ({0.1: "100", 0.2: "100"}, None, 2, [1 / 3, 1 / 3]),
        ({0.1: "000"}, None, 3, [0]),
        # In the order of the numbers, not of the study nor of their spelling.
        ({10: "1111", 9: "1110", 0: "0000"}, 9, 0, [0, 0.75, 1]),
    ],
)
def test_an_example_falls_at_the_smallest_budget_that_fools_it(cells, median, censored, fallen):
    row, shares = curve(cells)
    assert (None if pd.isna(row["median"]) else row["median"]) == median
    assert row["n"] == len(next(iter(cells.values())))
    assert row["n_censored"] == censored
    assert row["largest"] == max(cells)
    assert row["budget_name"] == "eps"
    assert list(shares) == sorted(cells)
    assert list(shares.values()) == pytest.approx(fallen)


@given(st.lists(st.lists(st.booleans(), min_size=7, max_size=7), min_size=1, max_size=5))
def test_the_share_of_the_fallen_rises_to_all_that_are_not_censored(rows):
    row, shares = curve(
        {eps: "".join("01"[bit] for bit in fooled) for eps, fooled in enumerate(rows)}
    )
    values = list(shares.values())
    assert values == sorted(values)
    assert values[-1] == pytest.approx(1 - row["n_censored"] / 7)
    assert values[0] == pytest.approx(sum(rows[0]) / 7)


def test_each_curve_has_its_own_smallest_budgets():
    places = [
        at(threat, attack, 0.1, "gaussian", strength)
        for threat in (BLIND, AWARE)
        for attack in ("fgsm", "pgd")
        for strength in ("sigma~1", "sigma~2")
    ]
    grid = {place: scored("1" * i + "0" * (8 - i)) for i, place in enumerate(places)}
    medians, shares = minimum_budgets(scores_of(grid))
    names = ["threat", "attack", "filter", "strength"]
    expected = [[place.threat, place.attack, "gaussian", place.strength.value] for place in places]
    assert medians[names].to_numpy().tolist() == expected
    assert shares[names].to_numpy().tolist() == expected
    assert (8 - medians["n_censored"]).tolist() == list(range(8))
    assert (shares["fallen"] * 8).tolist() == list(range(8))


# --- The headline


def split(test, validation=None, n=200):
    """Examples of one class: of those that score such a share is right, and of those that choose.

    The second, the fourth and so on choose.
    """
    fooled = np.ones(n, bool)
    for first, share in ((0, test), (1, test if validation is None else validation)):
        part = fooled[first::2]
        part[: round(share * len(part))] = False
    return of(fooled, np.where(fooled, -1, 1))


def through(sigma, threat=BLIND, **where):
    """A cell through a Gaussian."""
    return replace(at(threat, name="gaussian", strength=f"sigma~{sigma}"), **where)


CLEAN = {("none", "fixed"): 0.95, ("gaussian", "sigma~1"): 0.9, ("gaussian", "sigma~2"): 0.7}
BOTH = {
    at(): split(0.2),
    through(1): split(0.8),
    through(2): split(0.6),
    through(1, AWARE): split(0.1),
    through(2, AWARE): split(0.3),
}


def headline(grid, clean=CLEAN, table=None):
    """The headline of some cells; such a share of the clean images is right.

    The table is `cells.csv`, which only proofs are read from.
    """
    by_defence = {
        (place.dataset, place.model, place.seed, name, Level.parse(strength)): split(right)
        for place in grid
        for (name, strength), right in clean.items()
    }
    table = pd.DataFrame() if table is None else table
    return tabulate_headline(Scores(grid, by_defence, ATTACKS, table=table)).to_dict("records")


def headline_rows(grid, clean):
    """The headline of some cells, clean images by filter and strength."""
    return tabulate_headline(scores_of(grid, clean)).to_dict("records")


def test_the_headline_is_the_best_strength_of_each_threat_with_what_the_other_makes_of_it():
    blind, aware = headline(BOTH)
    rates = ["strength", "none", "blind", "aware", "clean_none", "clean", "clean_cost"]
    assert blind["best_for"] == BLIND
    assert [blind[name] for name in rates] == pytest.approx([1, 0.2, 0.8, 0.1, 0.95, 0.9, 0.05])
    assert aware["best_for"] == AWARE
    assert [aware[name] for name in rates] == pytest.approx([2, 0.2, 0.6, 0.3, 0.95, 0.7, 0.25])
    for rate, count in (("none", 20), ("blind", 80), ("aware", 10), ("clean", 90)):
        bounds = blind[f"{rate}_low"], blind[f"{rate}_high"]
        assert bounds == pytest.approx(wilson(count, 100), abs=1e-9)


def test_a_strength_that_is_lucky_on_the_test_images_is_not_chosen():
    # By all images, and by those that score, it would be 2.
    grid = {
        at(): split(0.2, 0.3),
        through(1): split(0.5, 0.6),
        through(2): split(0.9, 0.55),
        through(1, AWARE): split(0.2, 0.1),
        through(2, AWARE): split(0.1, 0.15),
    }
    blind, aware = headline(grid)
    assert (blind["strength"], blind["best_on_test_strength"]) == (1, 2)
    assert (blind["n"], blind["n_validation"]) == (100, 100)
    names = ["none", "blind", "aware", "accuracy_validation", "best_on_test", "optimism"]
    assert [blind[name] for name in names] == pytest.approx([0.2, 0.5, 0.2, 0.6, 0.9, 0.4])
    assert (aware["strength"], aware["best_on_test_strength"]) == (2, 1)
    assert [aware[name] for name in names] == pytest.approx([0.2, 0.9, 0.1, 0.15, 0.2, 0.1])


@hypothesis_settings(max_examples=25)
@given(
    st.lists(st.lists(st.booleans(), min_size=9, max_size=9), min_size=1, max_size=5),
    st.lists(st.integers(0, 2), min_size=9, max_size=9),
    st.randoms(use_true_random=False),
)
def test_what_becomes_of_the_images_that_score_never_changes_the_choice(fooled, labels, random):
    seen = dict.fromkeys(range(3), 0)
    scores_at = []
    for position, label in enumerate(labels):
        seen[label] += 1
        if seen[label] % 2:
            scores_at.append(position)

    def chosen(outcomes):
        rows = {through(k + 1): of(np.array(one), np.zeros(9), labels) for k, one in outcomes}
        bare = of(np.zeros(9, bool), np.zeros(9), labels)
        found = tabulate_headline(scores_of({at(): bare, **rows}, {}))
        names = ["strength", "n_validation", "accuracy_validation", "n"]
        return found[names].fillna(-1).to_numpy().tolist()

    before = chosen(enumerate(fooled))
    assert before[0][-1] == len(scores_at)
    changed = [[*one] for one in fooled]
    for one in changed:
        for position in scores_at:
            one[position] = random.random() < 0.5
    assert chosen(enumerate(changed)) == before


def test_of_equal_strengths_the_smallest_is_chosen_whatever_the_order():
    places = [through(3), through(1), through(2), through(1.5)]
    for order in (places, places[::-1]):
        grid = {at(): split(0.1)}
        # The smallest is worse on the images that choose, and best on the others.
        grid |= {place: split(0.4, 0.3 if place == through(1) else 0.5) for place in order}
        (row,) = headline(grid)
        assert (row["strength"], row["best_on_test_strength"]) == (1.5, 1)
        assert row["optimism"] == 0


def test_where_no_image_chooses_the_smallest_strength_is_taken():
    grid = {at(): split(1, n=1)}
    grid |= {through(2): split(1, n=1), through(1): split(0, n=1)}
    (row,) = tabulate_headline(scores_of(grid)).to_dict("records")
    assert (row["strength"], row["n"], row["n_validation"]) == (1, 1, 0)
    assert math.isnan(row["accuracy_validation"])
    assert (row["blind"], row["best_on_test"], row["optimism"]) == (0, 1, 1)


def test_a_filter_without_a_strength_has_its_row():
    fixed = {at(name="jpeg", strength="fixed"): split(0.4, 0.5)}
    fixed |= {at(AWARE, name="jpeg", strength="fixed"): split(0.3, 0.2)}
    clean = {("none", "fixed"): 1, ("jpeg", "fixed"): 0.9}
    for row in headline({at(): split(0.2), **fixed}, clean):
        assert math.isnan(row["strength"])
        assert math.isnan(row["best_on_test_strength"])
        assert [row[name] for name in ("blind", "aware", "clean", "optimism")] == pytest.approx(
            [0.4, 0.3, 0.9, 0]
        )


def test_an_image_is_right_if_no_aim_fools_it():
    # Two images of a class, each aimed at two others; the second chooses.
    aims = rows([0, 0, 1, 1], [1, 0, 1, 1], [1, -1, 1, 1], [0, 0, 0, 0])
    grid = {at(): Scored.of(aims), through(1): Scored.of({**aims, "correct": ~aims["correct"]})}
    (row,) = tabulate_headline(scores_of(grid)).to_dict("records")
    assert (row["n"], row["n_validation"]) == (1, 1)
    assert (row["none"], row["blind"], row["accuracy_validation"]) == (0, 0, 0)


def test_without_aware_cells_the_headline_says_what_is_known_and_leaves_the_rest_empty():
    (row,) = headline({place: one for place, one in BOTH.items() if place.threat == BLIND})
    assert (row["best_for"], row["strength"], row["blind"]) == (BLIND, 1, 0.8)
    assert all(np.isnan(row[name]) for name in ("aware", "aware_low", "aware_high"))


def test_without_blind_cells_the_headline_is_the_aware_one():
    grid = {at(): BOTH[at()]}
    grid |= {place: one for place, one in BOTH.items() if place.threat == AWARE}
    (row,) = headline(grid)
    assert (row["best_for"], row["strength"], row["aware"]) == (AWARE, 2, 0.3)
    assert all(np.isnan(row[name]) for name in ("blind", "blind_low", "blind_high"))


def test_the_headline_has_the_mean_of_seeds_and_chooses_by_it():
    # One seed would choose sigma = 1, both together choose 2.
    grid = {
        replace(place, seed=seed): split(accuracy)
        for seed, rates in ((0, (0.9, 0.8, 0.2)), (1, (0.4, 0.6, 0.4)))
        for place, accuracy in zip((through(1), through(2), at()), rates, strict=True)
    }
    (row,) = headline(grid)
    # Images, not predictions.
    assert (row["strength"], row["n"], row["n_validation"], row["seeds"]) == (2, 100, 100, 2)
    assert row["blind"] == pytest.approx(0.7)
    assert row["none"] == pytest.approx(0.3)
    assert row["blind_std"] == pytest.approx(0.2 / math.sqrt(2))
    # Right in both seeds 60 images, in one 20, in none 20: the variance of the image's mean.
    variance = (0.6 * 0.3**2 + 0.2 * 0.2**2 + 0.2 * 0.7**2) / 99
    size = 0.7 * 0.3 / variance
    expected = wilson(0.7 * size, size)
    assert (row["blind_low"], row["blind_high"]) == pytest.approx(expected, abs=1e-9)
    assert (row["clean"], row["clean_std"]) == (0.7, 0)
    # Seeds that agree on every image are no more than one.
    assert (row["clean_low"], row["clean_high"]) == pytest.approx(wilson(70, 100), abs=1e-9)


def test_with_one_seed_the_headline_has_no_columns_of_seeds():
    assert not {name for name in headline(BOTH)[0] if name == "seeds" or name.endswith("_std")}


def test_an_aware_attacker_is_the_better_of_both_attacks_example_by_example():
    # Aware fools the first half, blind the second, of the images that score and that choose.
    half = np.arange(8) < 4
    margin = np.zeros(8)
    labels = [0] * 8
    grid = {
        at(): of(np.ones(8, bool), margin, labels),
        through(1): of(~half, margin, labels),
        through(1, AWARE): of(half, margin, labels),
        through(2): of(np.zeros(8, bool), margin, labels),
        through(2, AWARE): of(half | (np.arange(8) < 6), margin, labels),
    }
    aware = headline(grid)[1]
    assert (aware["best_for"], aware["strength"]) == (AWARE, 2)
    assert (aware["aware"], aware["blind"], aware["accuracy_validation"]) == (0.25, 1, 0.25)
    alone = {place: one for place, one in grid.items() if place.strength.value != 2}
    assert [row["aware"] for row in headline(alone)] == [0, 0]


def test_all_rates_of_the_headline_are_of_the_images_that_the_attack_has():
    """Of 20 images of a class the attacked ones, not the first, are easy: clean they are right."""
    labels, margin = [0] * 20, np.zeros(20)
    attacked = np.array([11, 12, 14, 17])
    everywhere = np.ones(20, bool)
    everywhere[attacked] = False
    clean = {name: of(everywhere, margin, labels) for name in CLEAN}
    few = of(np.zeros(20, bool), margin, labels).among(attacked)
    # Half of them: the sixth and the seventh of the class score, counted from none.
    fewer = few.among(attacked[:3])
    (row, _) = headline_rows({at(): few, through(1): few, through(1, AWARE): fewer}, clean)
    assert (row["n"], row["n_validation"]) == (2, 1)
    rates = [row[name] for name in ("none", "blind", "aware", "clean_none", "clean")]
    assert rates == [1] * 5
    assert row["clean_cost"] == 0
    assert row["clean_low"] == pytest.approx(wilson(2, 2)[0])


def test_the_headline_has_a_row_for_each_data_set_model_attack_budget_and_filter():
    grid = {
        replace(place, **where): one
        for place, one in BOTH.items()
        for where in (
            {},
            {"dataset": "mnist"},
            {"model": "wide"},
            {"attack": "pgd"},
            {"budget": Level("eps", 0.2)},
        )
    }
    found = headline(grid)
    keys = {
        tuple(row[name] for name in ("dataset", "model", "attack", "budget", "filter", "best_for"))
        for row in found
    }
    assert len(found) == len(keys) == 2 * 5


def test_strengths_of_another_filter_are_not_taken_for_those_of_this_one():
    band = {
        at(threat, name="band", strength="cutoff~1"): split(right)
        for threat, right in ((BLIND, 0.7), (AWARE, 0.05))
    }
    clean = {**CLEAN, ("band", "cutoff~1"): 0.5}
    found = headline({**BOTH, **band}, clean)
    by_filter = {(row["filter"], row["best_for"]): row for row in found}
    mine = by_filter["band", BLIND]
    assert (mine["blind"], mine["aware"], mine["clean"]) == pytest.approx((0.7, 0.05, 0.5))
    assert mine["best_on_test"] == pytest.approx(0.7)
    assert by_filter["gaussian", BLIND]["clean"] == pytest.approx(0.9)


# --- Which images choose


def test_of_each_class_every_second_image_chooses():
    assert mark_validation(np.array([3, 3, 5, 3, 5, 3, 9])).tolist() == [0, 1, 0, 0, 1, 1, 0]
    assert mark_validation(np.zeros(0, np.int16)).tolist() == []


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=40),
    st.sets(st.integers(0, 39)),
)
def test_an_image_chooses_for_every_attack_or_for_none(labels, examples):
    attacked = sorted(examples & set(range(len(labels)))) or [0]
    some = of(np.zeros(len(labels), bool), np.zeros(len(labels)), labels).among(attacked)
    assert len(some.index) == len(attacked)
    clean = of(np.zeros(len(labels), bool), np.zeros(len(labels)), labels)
    expected = mark_validation(np.array(labels))
    found = find_validation(scores_of({at(): some}, {("none", "fixed"): clean}))
    assert found["digits"].tolist() == np.flatnonzero(expected).tolist()
    (row,) = headline_rows({at(): some, through(1): some}, {("none", "fixed"): clean})
    assert row["n_validation"] == expected[attacked].sum()
    assert row["n"] == len(attacked) - expected[attacked].sum()


PROVED_NONE, PROVED_1, PROVED_2 = (
    at(),
    at(AWARE, name="gaussian"),
    at(AWARE, name="gaussian", strength="sigma~2"),
)


def proved(counts):
    """Rows of `cells.csv` with what proofs count: those certified, not fooled, and all."""
    names = ("n_certified", "n_unfooled", "n_proofs")
    table = pd.DataFrame(
        [place.columns | dict(zip(names, of_cell, strict=True)) for place, of_cell in counts]
    )
    return table.assign(n_attacked=table["n_proofs"])


def test_without_proofs_the_headline_has_no_bracket():
    assert not {"n_proofs", "certified", "attacked", "exact"} & set(headline(BOTH)[0])


def test_the_headline_has_the_bracket_of_the_chosen_strength_and_of_no_filter():
    counts = [
        (PROVED_NONE, (150, 150, 1000)),
        (PROVED_1, (50, 90, 1000)),
        (PROVED_2, (250, 280, 1000)),
    ]
    of_blind, of_aware = headline(BOTH, table=proved(counts))
    assert (of_blind["n_proofs"], of_aware["n_proofs"]) == (1000, 1000)
    # At the strength of the row, whoever it is the best for.
    assert (of_blind["certified"], of_blind["attacked"]) == (0.05, 0.09)
    assert (of_aware["certified"], of_aware["attacked"]) == (0.25, 0.28)
    bounds = of_aware["attacked_low"], of_aware["attacked_high"]
    assert bounds == pytest.approx(wilson(280, 1000), abs=1e-9)
    assert math.isnan(of_aware["exact"])
    for row in (of_blind, of_aware):
        known = [row[f"{name}_none"] for name in ("certified", "attacked", "exact")]
        assert known == [0.15] * 3
        bounds = row["certified_none_low"], row["certified_none_high"]
        assert bounds == pytest.approx(wilson(150, 1000), abs=1e-9)


@pytest.mark.parametrize(("more", "exact"), [(0, 0.175), (2, math.nan)])
def test_brackets_of_seeds_are_their_means_and_exact_if_all_of_them_are(more, exact):
    counts = [
        (replace(place, seed=seed), (certified, certified + over, 200))
        for seed, certified, over in ((0, 10, 0), (1, 60, more))
        for place in (PROVED_NONE, PROVED_1)
    ]
    grid = {place: split(0.3) for place, _ in counts}
    (row,) = headline(grid, table=proved(counts))
    assert (row["n_proofs"], row["certified"]) == (200, 0.175)
    assert row["attacked"] == pytest.approx((70 + more) / 400)
    # Of which images is not known: no narrower than if the seeds agreed on all of them.
    bounds = row["certified_low"], row["certified_high"]
    assert bounds == pytest.approx(wilson(35, 200), abs=1e-9)
    assert row["exact"] == pytest.approx(exact, nan_ok=True)


def test_what_proofs_do_not_hold_for_has_an_empty_bracket():
    counts = [(place, (100, 200, 1000)) for place in (PROVED_NONE, PROVED_1, PROVED_2)]
    of_pgd = {replace(place, attack="pgd"): found for place, found in BOTH.items()}
    rows = headline(BOTH | of_pgd, table=proved(counts))
    by_attack = {row["attack"]: row for row in rows}
    assert by_attack["fgsm"]["certified"] == 0.1
    for name in ("n_proofs", "certified", "attacked_high", "exact", "certified_none"):
        assert pd.isna(by_attack["pgd"][name])


# --- Examples of which there are several rows, or not all


def rows(index, correct, margin, label=None):
    """A ledger."""
    return {
        "index": np.array(index, np.int32),
        "correct": np.array(correct, bool),
        "margin": np.array(margin, np.float32),
        "label": np.array(index if label is None else label, np.int16),
    }


def test_an_example_is_fooled_if_one_of_its_rows_is_and_has_the_smallest_margin():
    found = Scored.of(rows([1, 1, 4, 4, 6], [1, 0, 1, 1, 0], [3, -2, 5, 4, -1], [7, 7, 2, 2, 9]))
    assert found.fooled.tolist() == [True, False, True]
    assert found.margin.tolist() == [-2, 4, -1]
    assert found.index.tolist() == [1, 4, 6]
    assert found.label.tolist() == [7, 2, 9]


def test_some_examples_of_a_cell_are_those_with_all_that_is_known_of_them():
    every = Scored.of(rows([1, 4, 6, 8], [1, 0, 0, 1], [3, -2, -1, 5]))
    some = every.among(np.array([4, 8, 9], np.int32))
    assert some.index.tolist() == some.label.tolist() == [4, 8]
    assert some.fooled.tolist() == [True, False]
    assert some.margin.tolist() == [-2, 5]
    assert every.among(every.index) is every


def some(text, index):
    """What became of some examples: 1 is fooled."""
    fooled = bits(text)
    margin = np.where(fooled, -1, 1).astype(np.float32)
    at_index = np.array(index, np.int32)
    return Scored(fooled, margin, at_index, at_index.astype(np.int16))


@pytest.mark.parametrize(
    ("this", "other", "n", "only_this", "only_other"),
    [
        # A prefix against all.
        (some("110", [0, 1, 2]), some("10111", range(5)), 3, 1, 1),
        (some("10111", range(5)), some("110", [0, 1, 2]), 3, 1, 1),
        # One that has no row of some examples, against a prefix; as many, but others.
        (some("101", [1, 3, 4]), some("0110", range(4)), 2, 0, 0),
        (some("111", [1, 3, 4]), some("000", [0, 1, 3]), 2, 2, 0),
    ],
)
def test_cells_are_compared_on_the_examples_that_both_have(this, other, n, only_this, only_other):
    row = compared(this, other)
    assert (row["n"], row["only_this"], row["only_other"]) == (n, only_this, only_other)
    assert row["largest_change"] == (2 if only_this or only_other else 0)


def test_cells_that_have_no_example_in_common_are_not_compared():
    grid = {at(name="gaussian"): some("11", [0, 1]), at(): some("00", [2, 3])}
    assert compare_cells(scores_of(grid)).empty


def test_the_worst_case_is_over_the_examples_that_all_attacks_have_in_common():
    grid = {
        at(attack="fgsm"): some("100010", range(6)),
        at(attack="pgd"): some("010", [0, 1, 2]),
        at(attack="square"): some("0011", [1, 2, 3, 5]),
    }
    row = worst(grid, threat=BLIND)[0]
    # Of examples 1 and 2: pgd fools the first; the search neither.
    assert (row["attacks"], row["n"], row["accuracy"]) == (3, 2, 0.5)
    assert row["gradient_free_only"] == 0


NORMLESS = {
    "cw": Attack("iterative", None, minimises="l2"),
    "cw_targeted": Attack("iterative", None, minimises="l2", targeted=True),
    "fooling": Attack("fooling", None),
    "jsma": Attack("iterative", "l0", minimises="l0", targeted=True),
    "sign_noise_l0": Attack("noise", "l0"),
}


def norm_of(attack):
    return {"fooling": "confidence", "jsma": "gamma", "sign_noise_l0": "gamma"}.get(attack, "kappa")


def free(attack, budget, name="none", threat=BLIND):
    return replace(at(threat, attack, budget, name), budget=Level(norm_of(attack), budget))


def test_attacks_without_a_norm_are_never_compared_with_each_other():
    places = [
        free(attack, budget, name, threat)
        for attack in NORMLESS
        for budget in (0, 0.5)
        for name, threat in (("none", BLIND), ("gaussian", BLIND), ("gaussian", AWARE))
    ]
    clean = {("none", "fixed"): scored("00"), ("gaussian", "sigma~1"): scored("00")}
    grid = {place: scored("10") for place in places}
    found = compare_cells(scores_of(grid, clean, NORMLESS))
    for attack in NORMLESS:
        mine = found[found["attack"] == attack]
        by_kind = mine.groupby("against")["other"].agg(set).to_dict()
        expected = {"none": {attack}, "blind": {attack}}
        # A larger confidence is another question, not a larger budget.
        if attack != "fooling":
            expected["smaller_budget"] = {f"{norm_of(attack)}~0"}
        if attack in ("jsma", "sign_noise_l0"):
            # A margin of 0 is no budget of 0, with which nothing is attacked.
            expected["clean"] = {np.nan}
        if attack == "jsma":
            expected["noise"] = {"sign_noise_l0"}
        by_kind = {key: {x or np.nan for x in value} for key, value in by_kind.items()}
        assert by_kind == expected
    assert set(score_worst_cases(scores_of(grid, attacks=NORMLESS))["norm"]) == {"l0"}
    distances = {
        place: {**rows([0, 1], [0, 1], [-1, 1]), "l2": np.array([2, 0], np.float32)}
        for place in places
    }
    medians, shares = minimum_budgets(scores_of(grid, attacks=NORMLESS, ledgers=distances))
    assert set(medians["attack"]) == set(shares["attack"]) == set(NORMLESS) - {"fooling"}


# --- Minimum budgets of attacks that minimise a norm


NEAREST = {
    "fmn": Attack("iterative", None, minimises="linf"),
    "ddn": Attack("iterative", None, minimises="l2"),
    "fmn_l0": Attack("iterative", None, minimises="l0"),
    "hopskipjump": Attack("gradient_free", "linf", minimises="linf"),
}


def distances(correct, l2, *, linf=None, index=None):
    index = list(range(len(correct))) if index is None else index
    linf = [one / 10 for one in l2] if linf is None else linf
    sizes = {"l2": np.array(l2, np.float32), "linf": np.array(linf, np.float32)}
    return {**rows(index, correct, [1 if one else -1 for one in correct]), **sizes}


def nearest(ledgers, clean=None):
    cells = {cell: Scored.of(columns) for cell, columns in ledgers.items()}
    return minimum_budgets(scores_of(cells, clean, NEAREST, ledgers=ledgers))


def test_the_minimum_budget_of_a_minimum_norm_attack_is_its_distance():
    medians, shares = nearest(
        {
            free("ddn", 0): distances([0, 0, 1, 0, 0], [1, 0.5, 0, 4, 2]),
            free("fmn", 0): distances([0, 0, 1, 1, 1], [1, 0.5, 0, 0, 0]),
            # Counts are no budget of a ball.
            free("fmn_l0", 0): distances([0, 0, 1, 0, 0], [1, 0.5, 0, 4, 2]),
        }
    )
    assert medians["attack"].tolist() == ["ddn", "fmn"]
    assert medians["norm"].tolist() == ["l2", "linf"]
    assert set(medians["budget_name"]) == set(shares["budget_name"]) == {"eps"}
    assert medians["n"].tolist() == [5, 5]
    assert medians["n_censored"].tolist() == [1, 3]
    assert medians["largest"].tolist() == [4, pytest.approx(0.1)]
    assert medians["median"][0] == 2
    assert pd.isna(medians["median"][1])
    ddn = shares[shares["attack"] == "ddn"]
    assert ddn["budget"].tolist() == pytest.approx(np.linspace(0, 4, 101))
    by_budget = dict(zip(ddn["budget"].round(2), ddn["n_fallen"], strict=True))
    assert [by_budget[at] for at in (0, 0.48, 0.52, 1, 1.96, 2, 3.96, 4)] == [
        0,
        0,
        1,
        2,
        2,
        3,
        3,
        4,
    ]


def test_what_is_wrong_when_clean_is_at_0_and_of_several_rows_and_margins_the_nearest_counts():
    twice = [0, 0, 1, 1, 2, 2]
    ledgers = {
        free("ddn", 0, "gaussian"): distances([0, 0, 1, 0, 0, 0], [3, 2, 1, 5, 9, 9], index=twice),
        free("ddn", 2, "gaussian"): distances([0, 0, 0, 0, 1, 1], [4, 4, 3, 6, 0, 0], index=twice),
    }
    clean = {("gaussian", "sigma~1"): scored("001")}
    for known, expected in ((clean, 2), (None, 3)):
        medians, shares = nearest(ledgers, known)
        (row,) = medians.to_dict("records")
        # Of 2, 3 and 0, or 9 where nobody knows what is clean.
        assert (row["n"], row["n_censored"], row["median"]) == (3, 0, expected)
        assert shares["n_fallen"].iloc[0] == (1 if known else 0)
        assert shares["n_fallen"].iloc[-1] == 3


def test_of_an_attack_that_minimises_what_its_budget_bounds_the_nearest_within_any_counts():
    medians, shares = nearest(
        {
            at(attack="hopskipjump", budget=0): distances([1, 1, 1, 0], [0, 0, 0, 0]),
            at(attack="hopskipjump", budget=0.1): distances([0, 1, 1, 0], [0.3, 0, 0, 0]),
            at(attack="hopskipjump", budget=0.3): distances([0, 0, 1, 0], [0.7, 2.5, 0, 0]),
        },
        {("none", "fixed"): scored("0001")},
    )
    (row,) = medians.to_dict("records")
    assert (row["budget_name"], row["norm"]) == ("eps", "linf")
    assert (row["n"], row["n_censored"]) == (4, 1)
    # A tenth of the l2 lengths: 0 of what is wrong when clean, 0.03, 0.25, and none.
    assert (row["median"], row["largest"]) == pytest.approx((0.03, 0.25))
    assert shares["n_fallen"].iloc[[0, 13, -1]].tolist() == [1, 2, 3]
    assert len(shares) == 101


def test_all_curves_of_a_minimum_norm_attack_share_their_budgets():
    medians, shares = nearest(
        {
            free("ddn", 0): distances([0, 1], [1, 0]),
            free("ddn", 0, "gaussian"): distances([0, 0], [8, 2]),
            free("fmn", 0): distances([1, 1], [0, 0]),
        }
    )
    budgets = {name: one["budget"].tolist() for name, one in shares.groupby(["attack", "filter"])}
    assert budgets["ddn", "none"] == budgets["ddn", "gaussian"]
    assert budgets["ddn", "none"][-1] == 8
    # Where nothing is fooled there is one budget, and nothing falls.
    assert budgets["fmn", "none"] == [0]
    assert shares["n_fallen"].iloc[-1] == 0
    assert medians["n_censored"].tolist() == [1, 0, 2]


# --- Optimality


def optimality_of(grid, clean=None, attacks=ATTACKS, **more):
    """The table by attack."""
    table = tabulate_optimality(scores_of(grid, clean, attacks, **more))
    return table.set_index("attack")


def test_an_attack_is_held_to_the_best_of_all_at_every_budget():
    attacks = {**ATTACKS, **NEAREST}
    near = {free("fmn", 0): distances([0, 0, 1, 0], [1, 4, 0, 0.5])}
    grid = {
        **{cell: Scored.of(columns) for cell, columns in near.items()},
        **{
            at(attack="pgd", budget=eps): scored(one)
            for eps, one in {0.2: "1000", 0.4: "1110"}.items()
        },
        # Of another norm, of which it is the only one.
        at(attack="pgd_l2", budget=1): scored("1111"),
    }
    # In ℓ∞ fmn needs 0.1, 0.4, ∞ and 0.05, and pgd 0.2, 0.4, 0.4 and ∞: so the best needs 0.1, 0.4,
    # 0.4 and 0.05.
    found = optimality_of(grid, attacks=attacks, ledgers=near)
    assert found["largest"].to_dict() == {
        "fmn": pytest.approx(0.4),
        "pgd": pytest.approx(0.4),
        "pgd_l2": 1,
    }
    assert found["attacks"].to_dict() == {"fmn": 2, "pgd": 2, "pgd_l2": 1}
    best = 0.3 + 0 + 0 + 0.35
    assert found["optimality"]["fmn"] == pytest.approx((0.3 + 0 + 0 + 0.35) / best)
    assert found["optimality"]["pgd"] == pytest.approx(0.2 / best)
    assert pd.isna(found["optimality"]["pgd_l2"])
    assert set(found["n"]) == {4}

    # What is wrong when clean says nothing of attacks: here the last example.
    clean = {("none", "fixed"): scored("0001")}
    found = optimality_of(grid, clean, attacks, ledgers=near)
    assert set(found["n"]) == {3}
    assert found["optimality"]["pgd"] == pytest.approx(0.2 / 0.3)


def test_optimality_is_of_the_examples_that_all_attacks_were_run_on():
    few = Scored(
        bits("11"),
        np.array([-1, -1], np.float32),
        np.array([1, 3], np.int32),
        np.zeros(2, np.int16),
    )
    grid = {at(attack="fgsm", budget=1): scored("0101"), at(attack="pgd", budget=1): few}
    grid |= {
        at(attack="fgsm", budget=0.5): scored("1000"),
        at(attack="pgd", budget=0.5): replace(few, fooled=bits("10")),
    }
    found = optimality_of(grid)
    assert set(found["n"]) == {2}
    assert found["optimality"].to_dict() == {"fgsm": 0, "pgd": 1}


@pytest.mark.parametrize("few", [{0.4: "1111"}, {0: "0000", 0.4: "1111"}])
def test_of_an_attack_at_one_budget_there_is_no_optimality(few):
    near = {free("fmn", 0): distances([0, 0, 0, 0], [0.1, 0.2, 0.3, 0.4])}
    grid = {
        **{cell: Scored.of(columns) for cell, columns in near.items()},
        **{at(attack="pgd", budget=eps): scored(one) for eps, one in few.items()},
    }
    found = optimality_of(grid, attacks={**ATTACKS, **NEAREST}, ledgers=near)
    assert found["optimality"]["fmn"] == 1
    assert pd.isna(found["optimality"]["pgd"])


@pytest.mark.parametrize("fooled", ["0000", "1111"])
def test_where_nothing_is_fooled_at_a_distance_no_attack_is_better(fooled):
    grid = {at(attack=name, budget=0): scored(fooled) for name in ("fgsm", "pgd")}
    assert optimality_of(grid)["optimality"].isna().all()


def test_each_defended_model_and_threat_has_its_own_best_attack():
    places = [(BLIND, "none"), (BLIND, "gaussian"), (AWARE, "gaussian")]
    grid = {
        at(threat, attack, 0.1 * eps, name): scored(
            "1" * (i + (attack == "pgd") * eps) + "0" * (8 - i - (attack == "pgd") * eps)
        )
        for i, (threat, name) in enumerate(places, 1)
        for attack in ("fgsm", "pgd")
        for eps in (1, 2)
    }
    table = tabulate_optimality(scores_of(grid))
    assert table[table["attack"] == "pgd"]["optimality"].tolist() == [1, 1, 1]
    assert table[table["attack"] == "fgsm"]["optimality"].tolist() == pytest.approx(
        [1 / 2, 2 / 3, 3 / 4]
    )


# --- Distortion and acceptance


def of_ledgers(table, ledgers=None):
    """A table of cells whose ledgers it needs."""
    ledgers = LEDGERS if ledgers is None else ledgers
    cells = {cell: Scored.of(columns) for cell, columns in ledgers.items()}
    return table(Scores(cells, {}, NORMLESS, ledgers=ledgers))


LEDGERS = {
    free("cw", 0): {
        **rows([0, 1, 2, 3], [0, 0, 0, 1], [-1, -1, -1, 1]),
        "correct_clean": np.array([1, 1, 0, 1], bool),
        "l2": np.array([1, 3, 100, 5], np.float32),
        "changed": np.array([0.1, 0.3, 1, 0.5], np.float32),
    },
    free("fooling", 0.9): {
        **rows([0, 1, 2, 3], [0, 1, 0, 0], [-1, -1, -1, 1], [0, 0, 1, 1]),
        "target": np.array([0, 0, 1, 1], np.int16),
        "reached": np.array([1, 0, 1, 1], bool),
        "probability": np.array([1, 0.5, 0.75, 1], np.float32),
    },
}


def test_a_cell_of_an_attack_that_minimises_has_its_cost_and_its_success_with_its_interval():
    (row,) = of_ledgers(tabulate_distortion).to_dict("records")
    assert (row["attack"], row["budget_name"], row["budget"]) == ("cw", "kappa", 0)
    assert (row["n"], row["n_reached"], row["targeted"]) == (3, 2, False)
    assert (row["l2"], row["l2_all"]) == (2, 3)
    assert row["success"] == pytest.approx(2 / 3)
    assert (row["success_low"], row["success_high"]) == pytest.approx(wilson(2, 3), abs=1e-9)


def test_a_class_of_fooling_images_has_its_acceptance_with_its_interval():
    first, second = of_ledgers(tabulate_acceptance).to_dict("records")
    assert (first["budget_name"], first["budget"]) == ("confidence", 0.9)
    assert (first["target"], first["accepted"], second["accepted"]) == (0, 0.5, 1)
    assert (first["n_accepted"], first["n_named"], first["confidence"]) == (1, 1, 0.75)
    assert (first["accepted_low"], first["accepted_high"]) == pytest.approx(wilson(1, 2), abs=1e-9)


@pytest.mark.parametrize("table", [tabulate_distortion, tabulate_acceptance])
def test_a_table_of_nothing_has_the_columns_of_a_table_of_something(table):
    assert list(of_ledgers(table, {}).columns) == list(of_ledgers(table).columns)


def test_of_examples_that_are_all_wrong_when_clean_there_is_no_success():
    place, columns = next(iter(LEDGERS.items()))
    columns = {**columns, "correct_clean": np.zeros(4, bool)}
    (row,) = of_ledgers(tabulate_distortion, {place: columns}).to_dict("records")
    assert row["n"] == 0
    assert all(math.isnan(row[f"success{bound}"]) for bound in ("", "_low", "_high"))


def test_a_headline_of_nothing_has_the_columns_of_a_headline_of_something():
    something = list(headline(BOTH)[0])
    clean = {("none", "fixed"): scored("01")}
    nothing = tabulate_headline(scores_of({}, clean))
    assert list(nothing.columns) == something
    # Nor has one of cells without a filter a row.
    assert headline({at(): split(0.2)}) == []


# --- The stage


STUDIES = [
    (dataset, model, seed)
    for dataset in ("digits", "mnist")
    for model in ("mlp", "wide")
    for seed in (0, 3)
]
SIZES = {"digits": 40, "mnist": 60}
CLASSES = 4
STAGE_ATTACKS = {
    "fgsm": {"family": "single_step", "norm": "linf", "source": None},
    "pgd": {"family": "iterative", "norm": "linf", "source": None},
}


@dataclass
class Written:
    """Files that the stage reads, by its arguments, and what they hold.

    Fooled examples by data set, model, seed and place; for a filter's name, on clean images.
    """

    files: dict
    fooled: dict


def ledger(path, fooled, about):
    columns = {
        "index": np.arange(len(fooled), dtype=np.int32),
        "label": (np.arange(len(fooled)) % CLASSES).astype(np.int16),
        "correct": ~fooled,
        "margin": np.where(fooled, -1, 1).astype(np.float32),
    }
    write_ledger(path, columns, {"cell": json.dumps(about)})
    return str(path)


@pytest.fixture
def written(tmp_path):
    generator = np.random.default_rng(0)
    ledgers, clean, rows, held = [], [], [], {}
    for key in STUDIES:
        dataset, model, seed = key
        about = {"dataset": dataset, "model": model, "seed": str(seed)}
        n = SIZES[dataset]
        for name, strength in (("none", "fixed"), ("gaussian", "sigma~1")):
            held[(*key, name)] = fooled = generator.random(n) < 0.1
            path = tmp_path / f"clean{len(clean)}.parquet"
            clean.append(ledger(path, fooled, {**about, "filter": name, "strength": strength}))
        for place in study((0, 0.2), list(STAGE_ATTACKS)):
            held[(*key, place)] = fooled = generator.random(n) < 0.4
            path = tmp_path / f"{len(ledgers)}.parquet"
            cell = replace(place, dataset=dataset, model=model, seed=seed)
            ledgers.append(ledger(path, fooled, cell.wildcards))
            rows.append({**cell.columns, "n": n, "n_correct": int((~fooled).sum())})
    pd.DataFrame(rows).to_csv(tmp_path / "cells.csv", index=False)
    files = {"cells": str(tmp_path / "cells.csv"), "ledgers": ledgers, "clean": clean}
    return Written(files, held)


def settings(attacks):
    """Settings of a study without detectors and defended models."""
    return {
        "attacks": attacks,
        "filters": {"gaussian": {"detectors": []}},
        "defends": {"mlp": None, "wide": None},
        "requantise": False,
        "tables": {name: kind.implementation for name, kind in TABLES.items()},
    }


def run(files, tmp_path, make_job):
    outputs = {name: str(tmp_path / "tables" / f"{name}.csv") for name in TABLES}
    packed = str(tmp_path / "tables.zip")
    tabulate(make_job(settings(STAGE_ATTACKS)), **files, tables=packed)
    unpack(make_job({}), packed=packed, tables=list(outputs.values()))
    return {name: read_table(path) for name, path in outputs.items()}


def one(table, **where):
    """The only row of a table with such values."""
    for column, value in where.items():
        table = table[table[column] == value]
    (row,) = table.to_dict("records")
    return row


@pytest.mark.parametrize("key", STUDIES, ids=str)
def test_the_tables_say_what_the_ledgers_of_a_data_set_model_and_seed_hold(
    written, tmp_path, make_job, key
):
    tables = run(written.files, tmp_path, make_job)
    for name, table in tables.items():
        if name not in ("headline", "seeds"):
            assert list(table.columns[:3]) == ["dataset", "model", "seed"]
    where = dict(zip(("dataset", "model", "seed"), key, strict=True))
    n = SIZES[where["dataset"]]

    def fooled(*place):
        return written.fooled[(*key, at(*place))]

    aware = {**where, "threat": AWARE, "filter": "gaussian", "budget": 0.2}
    pgd, fgsm = (fooled(AWARE, name, 0.2, "gaussian") for name in ("pgd", "fgsm"))
    row = one(tables["paired"], **aware, attack="pgd", against="single_step")
    assert row["n"] == n
    assert row["only_this"] == (pgd & ~fgsm).sum()
    assert row["only_other"] == (fgsm & ~pgd).sum()

    nothing = {**aware, "threat": BLIND, "budget": 0}
    row = one(tables["paired"], **nothing, attack="pgd", against="clean")
    clean = written.fooled[(*key, "gaussian")]
    assert row["only_other"] == (clean & ~fooled(BLIND, "pgd", 0, "gaussian")).sum()

    row = one(tables["worst_case"], **aware)
    blind = [fooled(BLIND, name, 0.2, "gaussian") for name in ("pgd", "fgsm")]
    assert row["attacks"] == 4
    assert row["accuracy"] == pytest.approx(1 - (pgd | fgsm | blind[0] | blind[1]).mean())

    row = one(tables["robust"], **where, filter="gaussian", budget=0.2)
    assert (row["aware_attacks"], row["aware_n"], row["blind_attacks"]) == (4, n, 2)
    assert row["aware"] == pytest.approx(1 - (pgd | fgsm | blind[0] | blind[1]).mean())
    assert row["blind"] == pytest.approx(1 - (blind[0] | blind[1]).mean())
    # There are no detectors.
    assert not any(len(tables[name]) for name in ("detection", "detectors", "roc"))

    curve = {**where, "threat": BLIND, "attack": "fgsm", "filter": "none"}
    fallen = fooled(BLIND, "fgsm", 0) | fooled(BLIND, "fgsm", 0.2)
    assert one(tables["smallest"], **curve)["n_censored"] == (~fallen).sum()
    row = one(tables["fallen"], **curve, budget=0.2)
    assert row["fallen"] == pytest.approx(fallen.mean())

    row = one(tables["classes"], **aware, attack="pgd", label=2)
    assert row["n"] == n / CLASSES
    assert row["accuracy"] == pytest.approx(1 - pgd[2::CLASSES].mean())


def test_the_headline_is_of_all_seeds_of_a_model(written, tmp_path, make_job):
    table = run(written.files, tmp_path, make_job)["headline"]
    row = one(table, dataset="mnist", model="wide", attack="pgd", budget=0.2, best_for=AWARE)
    # The classes take turns: of each the second, the fourth and so on choose.
    chooses = np.arange(SIZES["mnist"]) // CLASSES % 2 == 1
    assert (row["n"], row["n_validation"]) == ((~chooses).sum(), chooses.sum())
    for rate, what in (
        ("none", at(attack="pgd", budget=0.2)),
        ("blind", at(attack="pgd", budget=0.2, name="gaussian")),
        ("clean_none", "none"),
        ("clean", "gaussian"),
    ):
        fooled = [written.fooled["mnist", "wide", seed, what] for seed in (0, 3)]
        wrong = [of_seed[~chooses].mean() for of_seed in fooled]
        assert row[rate] == pytest.approx(1 - np.mean(wrong))
    both = (at(BLIND, "pgd", 0.2, "gaussian"), at(AWARE, "pgd", 0.2, "gaussian"))
    fooled = [
        np.logical_or(*(written.fooled["mnist", "wide", seed, place] for place in both))
        for seed in (0, 3)
    ]
    assert row["aware"] == pytest.approx(1 - np.mean([one[~chooses].mean() for one in fooled]))
    assert row["clean_cost"] == pytest.approx(row["clean_none"] - row["clean"])
    wrong = [one[chooses].mean() for one in fooled]
    assert row["accuracy_validation"] == pytest.approx(1 - np.mean(wrong))
    # Of one strength there is nothing to choose.
    assert (row["best_on_test_strength"], row["optimism"]) == (row["strength"], 0)


def test_rates_over_seeds_are_of_all_seeds_of_a_model(written, tmp_path, make_job):
    tables = run(written.files, tmp_path, make_job)
    where = {"dataset": "digits", "model": "mlp", "filter": "gaussian", "budget": 0.2}
    places = {
        (threat, name): at(threat, name, 0.2, "gaussian")
        for threat in (BLIND, AWARE)
        for name in STAGE_ATTACKS
    }
    fooled = {
        key: np.array([written.fooled["digits", "mlp", seed, place] for seed in (0, 3)])
        for key, place in places.items()
    }
    wrong = np.array([written.fooled["digits", "mlp", seed, "none"] for seed in (0, 3)])
    success = fooled[AWARE, "pgd"] & ~wrong
    worst = np.logical_or.reduce([*fooled.values()])
    expected = {
        ("cells", "accuracy", "pgd"): 1 - fooled[AWARE, "pgd"].mean(1),
        ("cells", "attack_success", "pgd"): success.sum(1) / (~wrong).sum(1),
        ("worst_case", "accuracy", None): 1 - worst.mean(1),
    }
    for (table, rate, attack), rates in expected.items():
        found = tables["seeds"]
        found = found[(found["table"] == table) & (found["threat"] == AWARE)]
        found = found if attack is None else found[found["attack"] == attack]
        row = one(found, **where, rate=rate)
        assert row["seeds"] == 2
        assert row["mean"] == pytest.approx(rates.mean())
        assert row["std"] == pytest.approx(rates.std(ddof=1))
        assert row["low"] < row["mean"] < row["high"]
    robust = tables["seeds"][tables["seeds"]["table"] == "robust"]
    row = one(robust, **where, rate="aware_test")
    # The classes take turns: half of them score.
    chooses = np.arange(SIZES["digits"]) // CLASSES % 2 == 1
    assert (row["n"], row["mean"]) == (
        (~chooses).sum(),
        pytest.approx(1 - worst[:, ~chooses].mean()),
    )


def test_figures_find_the_interval_of_each_row_whatever_wrote_its_numbers(
    written, tmp_path, make_job
):
    tables = run(written.files, tmp_path, make_job)
    cells = read_table(written.files["cells"])
    # All digits of 0.1 + 0.1 + …, as of 8 / 255: tables of ledgers have twelve.
    cells["budget"] *= 1 + 1e-15
    for table, rate in ((cells, "accuracy"), (tables["fallen"], "fallen")):
        name = "cells" if rate == "accuracy" else rate
        found = add_intervals(table, name, tables["seeds"])
        assert len(found) == len(table)
        keys = [key for key in CELL_COLUMNS if key != "seed"]
        if rate == "fallen":
            mean = found.groupby(keys, dropna=False)[rate].transform("mean")
            assert (found[f"{rate}_seeds_low"] <= mean).all()
            assert (found[f"{rate}_seeds_high"] >= mean).all()
        assert not found[[f"{rate}_seeds_low", f"{rate}_seeds_high"]].isna().any(axis=None)


def planted(counts):
    """Cells of two attacks: of FGSM all 10 images, of PGD those that `counts` lists.

    The images are ever harder: FGSM fools the last 4, PGD the last 7. Those that PGD has are easy.
    """
    place, labels = np.arange(10), [0] * 10
    right = of(place >= 9, place, labels)
    clean = {("none", "fixed"): right, ("gaussian", "sigma~1"): right}
    grid = {}
    for threat, name in ((BLIND, "none"), (BLIND, "gaussian"), (AWARE, "gaussian")):
        grid[at(threat, "fgsm", 0.1, name)] = of(place >= 6, place, labels)
        grid[at(threat, "pgd", 0.1, name)] = of(place >= 3, place, labels).among(counts)
    return scores_of(grid, clean)


@pytest.mark.parametrize("counts", [[0, 1, 4, 5], [1, 3, 4]])
def test_attacks_on_different_images_compare_on_those_that_both_have(counts):
    scores, counts = planted(np.array(counts)), np.array(counts)
    n, kept = len(counts), {"fgsm": (counts < 6).mean(), "pgd": (counts < 3).mean()}
    # On its own images FGSM seems stronger than PGD is on its own, or nearly so.
    table = score_attacks(scores).set_index("attack")
    for attack, accuracy in kept.items():
        row = table.loc[attack]
        assert (row["n"], row["accuracy"]) == (n, pytest.approx(accuracy))
    assert table["examples"].to_dict() == {"fgsm": 10, "pgd": n}
    for row in score_worst_cases(scores).to_dict("records"):
        assert (row["n"], row["accuracy"]) == (n, pytest.approx(kept["pgd"]))
    for row in score_defences(scores).to_dict("records"):
        assert (row["aware_n"], row["blind_n"]) == (n, n)
    for row in tabulate_headline(scores).to_dict("records"):
        total = row["n"] + row["n_validation"]
        assert total == (n if row["attack"] == "pgd" else 10)
        assert row["aware"] <= row["blind"] <= row["clean"]


def test_defences_that_meet_different_attacks_compare_on_the_same_images():
    """A second attack has three images, and is on one filter only."""
    grid = {at(): scored("0000001111"), at(AWARE, name="gaussian"): scored("0000011111")}
    few = scored("1111111111").among(np.array([0, 7, 9]))
    grid[at(AWARE, "pgd", name="gaussian")] = few
    found = score_defences(scores_of(grid)).set_index("filter")
    assert found["aware_n"].tolist() == [3, 3]
    assert found["aware"].to_dict() == {"none": pytest.approx(1 / 3), "gaussian": 0}


def test_a_ledger_that_does_not_say_whose_it_is_is_named(written, tmp_path, make_job):
    path = tmp_path / "mine.parquet"
    write_ledger(path, {"label": np.zeros(1)}, {})
    with pytest.raises(ValueError, match=r"mine\.parquet cannot be read"):
        run({**written.files, "ledgers": [str(path)]}, tmp_path, make_job)
    assert not (tmp_path / "tables").exists()


def test_a_study_of_attacks_without_norm_has_all_tables(tmp_path, make_job):
    about = {"dataset": "digits", "model": "mlp", "seed": "0"}
    clean = [
        ledger(tmp_path / f"{name}.parquet", bits("0001"), {**about, "filter": name, "strength": s})
        for name, s in (("none", "fixed"), ("gaussian", "sigma~1"))
    ]
    places = {
        replace(place, filter=name, strength=Level.parse(strength)): columns
        for place, columns in LEDGERS.items()
        for name, strength in (("none", "fixed"), ("gaussian", "sigma~1"))
    }
    ledgers, cells = [], []
    for i, (place, columns) in enumerate(places.items()):
        ledgers.append(str(tmp_path / f"{i}.parquet"))
        write_ledger(ledgers[-1], columns, {"cell": json.dumps(place.wildcards)})
        cells.append({**place.columns, "n": 4, "n_correct": columns["correct"].sum()})
    pd.DataFrame(cells).to_csv(tmp_path / "cells.csv", index=False)
    attacks = {name: vars(attack) for name, attack in NORMLESS.items()}
    outputs = {name: str(tmp_path / "tables" / f"{name}.csv") for name in TABLES}
    for chosen, with_rows in (
        (
            "cw",
            {
                *("paired", "rivals", "classes", "distortion", "smallest", "fallen"),
                "optimality",
                *("clean", "headline"),
            },
        ),
        ("fooling", {"paired", "rivals", "classes", "fooling", "clean"}),
    ):
        table = pd.DataFrame(cells)
        table[table["attack"] == chosen].to_csv(tmp_path / "cells.csv", index=False)
        tabulate(
            make_job(settings(attacks)),
            cells=str(tmp_path / "cells.csv"),
            ledgers=[
                path for path, place in zip(ledgers, places, strict=True) if place.attack == chosen
            ],
            clean=clean,
            tables=str(tmp_path / "tables.zip"),
        )
        unpack(make_job({}), packed=str(tmp_path / "tables.zip"), tables=list(outputs.values()))
        tables = {name: read_table(path) for name, path in outputs.items()}
        assert {name for name, table in tables.items() if len(table)} == with_rows
        assert all("dataset" in table for table in tables.values())
        # Clean images have rates whatever is attacked.
        assert tables["clean"]["accuracy"].tolist() == [0.75, 0.75]


@pytest.mark.parametrize("fails", [False, True])
def test_tables_of_before_are_not_left_beside_what_comes_or_fails(
    written, tmp_path, make_job, fails
):
    folder = tmp_path / "tables"
    folder.mkdir()
    for name in ("headline", "paired", "cells"):
        (folder / f"{name}.csv").write_text("of before")
    files = written.files | ({"clean": [str(tmp_path / "missing.parquet")]} if fails else {})
    job = make_job(settings(STAGE_ATTACKS))
    with pytest.raises((OSError, ValueError)) if fails else nullcontext():
        tabulate(job, **files, tables=str(folder / "tables.zip"))
    # That of the cells is another stage's.
    assert [path.name for path in folder.glob("*.csv")] == ["cells.csv"]
    assert (folder / "tables.zip").exists() == (not fails)


# --- A table that is added


def most_certain(scores):
    """The largest margin of each cell, and the class that the model names for its first row."""
    return pd.DataFrame(
        {
            **cell.columns,
            "margin": float(found.margin.max()),
            "label": int(scores.ledger(cell)["label"][0]),
        }
        for cell, found in scores.cells.items()
    )


def test_a_table_is_a_function_of_the_scores_and_an_entry(written, tmp_path, make_job):
    entry = {"most_certain": f"{__name__}:most_certain"}
    job = make_job({**settings(STAGE_ATTACKS), "tables": entry})
    path = tmp_path / "most_certain.csv"
    packed = str(tmp_path / "tables.zip")
    tabulate(job, **written.files, tables=packed)
    unpack(make_job({}), packed=packed, tables=[str(path)])
    table = read_table(str(path))
    assert list(table) == [*CELL_COLUMNS, "margin", "label"]
    assert len(table) == len(written.files["ledgers"])
    assert set(table["margin"]) == {1}
    assert set(table["label"]) == {0}


@pytest.mark.parametrize(
    ("rates", "strengths", "chosen"),
    [
        ([0.1, 0.3, 0.2], [1, 2, 3], 2),
        ([0.3, 0.3, 0.2], [2, 1, 3], 1),
        ([math.nan, 0.0, 0.0], [1, 3, 2], 2),
        ([math.nan, math.nan], [2, 1], 1),
        ([0.5, 0.5], [math.nan, 1], 1),
    ],
)
def test_one_filter_s_strength_is_chosen_as_those_of_several_are(rates, strengths, chosen):
    table = pd.DataFrame({"filter": "blur", "strength": strengths, "rate": rates})
    (row,) = choose_strengths(table, "rate", ["filter"]).to_dict("records")
    alone = choose_strength(table.to_dict("records"), "rate")
    assert row["strength"] == alone["strength"] == chosen


@pytest.mark.parametrize("name", TABLES)
def test_every_table_of_the_registry_has_a_maker_and_of_the_report_a_caption(name):
    kind = TABLES[name]
    assert callable(load(kind.implementation))
    caption = Path(__file__).parents[2] / "workflow/report" / f"{name}.rst"
    assert kind.label is None or caption.is_file()
