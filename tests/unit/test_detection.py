import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from epsigma.cell import FIXED_LEVEL, Cell, Level
from epsigma.checks.detectors import LOUD, false_positives, scored_apart
from epsigma.checks.evidence import Evidence
from epsigma.checks.verdict import FAIL, PASS, WARN
from epsigma.detectors.rejection import ClassifierWithDetectors
from epsigma.filters.bitdepth import BitDepth
from epsigma.scoring import judge, summarise
from epsigma.stages.evaluate import evaluate, evaluate_clean
from epsigma.storage.files import read_json, write_json
from epsigma.storage.images import ImageSet, measure, read_clean, write_image_set
from epsigma.storage.ledgers import read_ledger
from epsigma.tables.cells import tabulate_cells
from epsigma.tables.detection import OUTCOMES, find_outcomes, tabulate_detection
from epsigma.tables.detectors import (
    RATES,
    detectors_of,
    find_successes,
    roc,
    tabulate_detectors,
    tabulate_roc,
)
from epsigma.tables.intervals import area_under_curve, wilson
from epsigma.tables.paired import compare_cells
from epsigma.tables.robust import score_defences
from epsigma.tables.scores import Attack, Scored, Scores, defence_of
from epsigma.vocabulary import AWARE, BLIND
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve
from torch import nn

CPU = torch.device("cpu")


def bits(text):
    return np.array([bit == "1" for bit in text])


def judged(rejected, right, bare, clean=None, scores=None):
    """A ledger of a cell with one detector, from what holds of each example: 1 is true."""
    rejected, right, bare = bits(rejected), bits(right), bits(bare)
    clean = np.ones_like(bare) if clean is None else bits(clean)
    scores = rejected if scores is None else np.array(scores)
    return {
        "index": np.arange(len(right), dtype=np.int32),
        "label": np.zeros(len(right), np.int16),
        "prediction": np.where(right, 0, 1).astype(np.int16),
        "rejected": rejected,
        "correct_bare": bare,
        "correct_clean": clean,
        "correct": rejected | right,
        "linf": np.full(len(right), 0.1, np.float32),
        "score_one": scores.astype(np.float32),
        "rejects_one": rejected,
    }


# --- What becomes of attacked images


def count_outcomes(columns):
    return {f"n_{name}": int(those.sum()) for name, those in find_outcomes(columns).items()}


@pytest.mark.parametrize(
    ("rejected", "right", "bare", "expected"),
    [
        # All eight combinations: what is rejected is detected, whatever else it is.
        (
            "11110000",
            "11001100",
            "10101010",
            {
                "detected": 4,
                "unharmed": 1,
                "corrected": 1,
                "through": 2,
                "detector_alone": 6,
                "filter_alone": 4,
                "both": 6,
            },
        ),
        ("0000", "1111", "0000", {"corrected": 4, "filter_alone": 4, "both": 4}),
        (
            "0000",
            "1111",
            "1111",
            {"unharmed": 4, "detector_alone": 4, "filter_alone": 4, "both": 4},
        ),
        ("1111", "0000", "0000", {"detected": 4, "detector_alone": 4, "both": 4}),
        # The filter made it worse.
        ("0000", "0000", "1111", {"through": 4, "detector_alone": 4}),
    ],
)
def test_outcomes_of_hand_made_ledgers(rejected, right, bare, expected):
    found = count_outcomes(judged(rejected, right, bare))
    assert found == {f"n_{name}": expected.get(name, 0) for name in OUTCOMES}


FLAGS = st.tuples(*[st.booleans()] * 3)


@given(st.lists(FLAGS, min_size=1, max_size=50))
def test_detected_corrected_unharmed_and_through_add_up_to_all(flags):
    columns = ("".join("01"[one] for one in column) for column in zip(*flags, strict=True))
    found = count_outcomes(judged(*columns))
    parts = ("detected", "corrected", "unharmed", "through")
    assert sum(found[f"n_{part}"] for part in parts) == len(flags)
    # Who is stopped is stopped by one of both.
    assert found["n_both"] == len(flags) - found["n_through"]
    assert found["n_both"] >= max(found["n_filter_alone"], found["n_detected"])


def test_of_images_that_the_attack_left_alone_those_that_are_rejected_are_not_kept():
    columns = judged("11110000", "11001100", "10101010")
    columns["linf"][:] = 0
    found = count_outcomes(columns)
    assert found["n_detected"] == 4
    assert (found["n_detector_alone"], found["n_filter_alone"], found["n_both"]) == (2, 4, 2)
    # One of them rejected, and attacked after all.
    columns["linf"][3] = 0.1
    found = count_outcomes(columns)
    assert (found["n_detector_alone"], found["n_both"]) == (3, 3)


def test_a_detector_is_for_what_fools_the_classifier_that_is_aimed_at():
    columns = judged("0000", "1010", "0101", clean="1100")
    assert find_successes(columns, BLIND).tolist() == [True, False, False, False]
    assert find_successes(columns, AWARE).tolist() == [False, True, False, False]
    assert detectors_of(columns) == ["one"]


# --- ROC


def scores(n, shift=0.0, seed=0, decimals=None):
    drawn = np.random.default_rng(seed).normal(shift, 1, n)
    drawn = drawn if decimals is None else drawn.round(decimals)
    return drawn.astype(np.float32)


def cases():
    yield "apart", scores(500), scores(300, 1, seed=1)
    yield "ties", scores(500, decimals=0), scores(300, 1, seed=1, decimals=0)
    yield "few", scores(7), scores(3, 0.5, seed=1)
    yield "reversed", scores(100, 2), scores(100, 0, seed=1)
    yield "perfect", scores(50), scores(50, 50, seed=1)
    yield "constant", np.ones(20, np.float32), np.ones(30, np.float32)
    yield "many", scores(10_000), scores(10_000, 1, seed=1)


CASES = [pytest.param(clean, attacked, id=name) for name, clean, attacked in cases()]


def sklearn_s(clean, attacked):
    labels = np.repeat([0, 1], [len(clean), len(attacked)])
    return labels, np.concatenate([clean, attacked])


@pytest.mark.parametrize(("clean", "attacked"), CASES)
def test_the_points_are_on_scikit_learn_s_curve(clean, attacked):
    false, true = roc(clean, attacked)
    expected = np.stack(roc_curve(*sklearn_s(clean, attacked), drop_intermediate=False)[:2], 1)
    for point in np.stack([false, true], 1):
        assert np.abs(expected - point).max(1).min() < 1e-9


@pytest.mark.parametrize(("clean", "attacked"), CASES)
def test_at_each_rate_it_is_the_best_of_scikit_learn_s_points(clean, attacked):
    false, true = roc(clean, attacked)
    theirs, gains = roc_curve(*sklearn_s(clean, attacked), drop_intermediate=False)[:2]
    for rate in RATES:
        best = gains[theirs <= rate + 1e-9].max()
        # The threshold is a score of a clean image: one between two is as good or a little better.
        ours = true[false <= rate + 1e-9].max(initial=0)
        assert ours <= best + 1e-12
        allowed = math.floor(rate * len(clean) + 1e-9)
        limit = np.append(np.sort(clean)[::-1], -np.inf)[allowed]
        assert ours == pytest.approx((attacked > limit).mean())


@pytest.mark.parametrize(("clean", "attacked"), CASES)
def test_a_curve_rises_and_ends_where_all_is_rejected(clean, attacked):
    false, true = roc(clean, attacked)
    assert (np.diff(false) >= 0).all()
    assert (np.diff(true) >= 0).all()
    assert (false[-1], true[-1]) == (1, 1)
    assert len(np.unique(np.stack([false, true]), axis=1).T) == len(false)


@pytest.mark.parametrize(("clean", "attacked"), CASES)
def test_the_area_is_scikit_learn_s_with_ties_counted_half(clean, attacked):
    middle, low, high = area_under_curve(clean, attacked, 0.95)
    assert middle == pytest.approx(roc_auc_score(*sklearn_s(clean, attacked)), abs=1e-9)
    assert 0 <= low <= middle <= high <= 1


def test_the_area_of_a_hand_computed_case_with_its_interval():
    clean, attacked = (np.array(values, np.float32) for values in ([1, 2, 4], [2, 3, 5, 6]))
    # Pairs won of 12: 2 beats 1 and ties 2, 3 beats two, 5 and 6 beat three each.
    wins = np.array([1.5, 2, 3, 3]) / 3
    losses = np.array([4, 3.5, 2]) / 4
    assert wins.mean() == pytest.approx(losses.mean()) == pytest.approx(9.5 / 12)
    delong = wins.var(ddof=1) / 4 + losses.var(ddof=1) / 3

    def newcombe(area):
        others = (1 - area) / (2 - area) + area / (1 + area)
        return area * (1 - area) / 12 * (1 + 2.5 * others)

    area, low, high = area_under_curve(clean, attacked, 0.95)
    assert area == pytest.approx(9.5 / 12)
    assert delong > newcombe(area)
    for bound in (low, high):
        error = math.sqrt(newcombe(bound) * delong / newcombe(area))
        assert abs(bound - area) == pytest.approx(1.959963984540054 * error)


@pytest.mark.parametrize("m", [2, 3, 10])
def test_scores_that_are_apart_have_an_interval_which_narrows_with_the_images(m):
    area, low, high = area_under_curve(scores(200), scores(m, 50), 0.95)
    assert (area, high) == (1, 1)
    # About that of m images of m.
    assert 1 / (1 + 4 / m) - 0.1 < low < 1 - 1 / m / 4
    area, below, above = area_under_curve(scores(200, 50), scores(m), 0.95)
    assert (area, below, above) == (0, 0, pytest.approx(1 - low))


def test_the_interval_of_the_area_narrows_with_the_images_and_widens_with_the_confidence():
    widths = [
        np.subtract(*area_under_curve(scores(n), scores(n, 1, 1), 0.95)[:0:-1])
        for n in (30, 300, 3000)
    ]
    assert widths[0] > 2 * widths[1] > 4 * widths[2] > 0
    narrow = np.subtract(*area_under_curve(scores(30), scores(30, 1, 1), 0.5)[:0:-1])
    assert narrow < widths[0]


@pytest.mark.parametrize("shift", [1, 2])
@pytest.mark.parametrize("m", [2, 5, 60])
def test_the_interval_of_the_area_contains_the_truth_as_often_as_it_says(m, shift):
    # Of normal scores so far apart: Φ(shift / √2).
    truth = 0.5 * (1 + math.erf(shift / 2))
    bounds = [
        area_under_curve(scores(80, 0, 2 * i), scores(m, shift, 2 * i + 1), 0.95)
        for i in range(600)
    ]
    inside = [low <= truth <= high for _, low, high in bounds]
    assert np.mean(inside) == pytest.approx(0.96, abs=0.03)


def test_the_interval_contains_the_area_of_scores_in_two_heaps():
    # Half of the attacked images look clean: DeLong's variance is 2.5 times the other.
    truth = 0.25 + 0.5 * 0.5 * (1 + math.erf(2.5))
    inside = []
    for i in range(600):
        attacked = scores(30, 0, 2 * i + 1) + 5 * (scores(30, 0, 3000 + i) > 0)
        _, low, high = area_under_curve(scores(80, 0, 2 * i), attacked, 0.95)
        inside.append(low <= truth <= high)
    assert np.mean(inside) == pytest.approx(0.95, abs=0.03)


@pytest.mark.parametrize(("n", "m"), [(0, 5), (5, 0), (0, 0)])
def test_of_no_images_there_is_no_area(n, m):
    assert all(math.isnan(value) for value in area_under_curve(scores(n), scores(m), 0.95))


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 200), (200, 1)])
def test_of_one_image_there_is_an_area_and_no_interval(n, m):
    area, *bounds = area_under_curve(scores(n), scores(m, 50), 0.95)
    assert area == 1
    assert np.isnan(bounds).all()


# --- The tables

CELL = Cell("digits", "mlp", 0, AWARE, "pgd", Level("eps", 0.1), "magnet", FIXED_LEVEL)


def of_ledgers(ledgers, clean=None):
    """A study of cells with detectors; clean images have one ledger."""
    return Scores(
        ledgers,
        {},
        {"pgd": Attack("iterative", "linf")},
        {"magnet"},
        ledgers=ledgers,
        clean_ledgers={defence_of(cell): clean for cell in ledgers},
    )


def characteristics(ledgers, clean=None):
    """How well detectors do, and their curves."""
    scores = of_ledgers(ledgers, clean)
    return tabulate_detectors(scores), tabulate_roc(scores)


def test_the_table_of_detection_has_the_shares_of_its_outcomes():
    ledgers = {
        CELL: judged("1100", "1010", "0101"),
        replace(CELL, threat=BLIND): judged(*["1"] * 3),
    }
    table = tabulate_detection(of_ledgers(ledgers))
    assert table["threat"].tolist() == [AWARE, BLIND]
    assert table["n"].tolist() == [4, 1]
    shares = table[["detected", "corrected", "unharmed", "through"]]
    assert shares.sum(axis=1).tolist() == [1, 1]
    assert shares.iloc[0].tolist() == [0.5, 0.25, 0, 0.25]
    first = table.iloc[0]
    for rate in OUTCOMES:
        assert 0 <= first[f"{rate}_low"] <= first[rate] <= first[f"{rate}_high"] <= 1


def test_rows_of_one_image_widen_the_intervals_of_outcomes_and_of_a_detector():
    one_by_one = judged("1100" * 10, "0000" * 10, "0000" * 10)
    # Of ten images, each with four targets, all alike.
    alike = judged("1111" * 5 + "0000" * 5, "0000" * 10, "0000" * 10)
    alike["index"] = np.arange(40, dtype=np.int32) // 4
    widths = []
    for columns in (one_by_one, alike):
        row = tabulate_detection(of_ledgers({CELL: columns})).iloc[0]
        assert row["detected"] == 0.5
        found = characteristics({CELL: columns}, judged(*["00"] * 3))[0].iloc[0]
        assert found["true_positive"] == 0.5
        for table, name in ((row, "detected"), (found, "true_positive")):
            widths.append(table[f"{name}_high"] - table[f"{name}_low"])
    low, high = wilson(20, 40)
    assert widths[0] == widths[1] == pytest.approx(high - low)
    low, high = wilson(4.5, 9)
    assert widths[2] == widths[3] == pytest.approx(high - low)


def test_without_detectors_the_tables_are_empty_and_have_their_columns():
    table = tabulate_detection(of_ledgers({}))
    assert table.empty
    assert {"threat", "filter", "n", "detected", "through_low", "both_high"} <= set(table)
    areas, points = characteristics({})
    assert areas.empty
    assert points.empty
    assert {"detector", "n_clean", "false_positive", "true_positive_low", "area"} <= set(areas)
    assert {"detector", "false_positive_rate", "true_positive_rate"} <= set(points)


def test_characteristics_are_of_the_successes_and_of_all_clean_images():
    # Of six attacked images, four fool the classifier alone and were right when clean.
    attacked = judged(
        "110011", "000000", "000010", clean="111101", scores=[0.9, 0.8, 0.1, 0.4, 1.0, 0.7]
    )
    clean = judged("1000", "1111", "1111", scores=[0.6, 0.3, 0.2, 0.1])
    areas, points = characteristics({replace(CELL, threat=BLIND): attacked}, clean)
    (row,) = areas.to_dict("records")
    assert (row["n_clean"], row["n_false_positive"], row["false_positive"]) == (4, 1, 0.25)
    # Rows 0 to 3 and 5; 4 is right without the detector, and was wrong when clean.
    assert (row["n_attacked"], row["n_true_positive"]) == (5, 3)
    assert row["true_positive"] == 0.6
    theirs = np.array([0.9, 0.8, 0.1, 0.4, 0.7], np.float32)
    ours = np.array([0.6, 0.3, 0.2, 0.1], np.float32)
    assert (row["area"], row["area_low"], row["area_high"]) == pytest.approx(
        area_under_curve(ours, theirs, 0.95)
    )
    assert points["detector"].unique().tolist() == ["one"]
    curve = points[["false_positive_rate", "true_positive_rate"]].to_numpy().T
    np.testing.assert_array_equal(curve, np.stack(roc(ours, theirs)))


def test_an_aware_attacker_s_images_are_those_that_fool_the_filtered_classifier():
    # The second fools the classifier alone, the third that behind the filter, the first both.
    attacked = judged("0000", "0101", "0011", scores=[0.1, 0.2, 0.3, 0.4])
    clean = judged("0", "1", "1", scores=[0.25])
    areas, _ = characteristics({CELL: attacked, replace(CELL, threat=BLIND): attacked}, clean)
    assert areas["threat"].tolist() == [AWARE, BLIND]
    assert areas["n_attacked"].tolist() == [2, 2]
    # Of 0.1 and 0.3 one is above the clean score, of 0.1 and 0.2 none.
    assert areas["area"].tolist() == [0.5, 0]


def test_where_nothing_fools_the_classifier_there_is_no_curve_but_false_positives():
    attacked, clean = judged("10", "11", "11"), judged("10", "11", "11")
    areas, points = characteristics({CELL: attacked}, clean)
    assert points.empty
    (row,) = areas.to_dict("records")
    assert (row["n_attacked"], row["false_positive"]) == (0, 0.5)
    assert math.isnan(row["true_positive"])
    assert math.isnan(row["area"])


# --- How robust a defence is, and to whom

ATTACKS = {
    "fgsm": Attack("single_step", "linf"),
    "pgd": Attack("iterative", "linf"),
    "pgd_l2": Attack("iterative", "l2"),
    "noise": Attack("noise", "linf"),
    "transfer": Attack("transfer", "linf", "pgd", source_model="mlp"),
    "elsewhere": Attack("transfer", "linf", "pgd", source_model="other"),
    "carlini_wagner": Attack("iterative", None),
}


def scored(fooled, rounded=None, index=None):
    fooled = bits(fooled)
    index = np.arange(len(fooled), dtype=np.int32) if index is None else np.array(index, np.int32)
    rounded = None if rounded is None else bits(rounded)
    margin = np.where(fooled, -1, 1).astype(np.float32)
    return Scored(fooled, margin, index, np.zeros(len(fooled), np.int16), rounded)


def at(threat, attack, name="none", budget="eps~0.1"):
    level = Level.parse(budget)
    return Cell("digits", "mlp", 0, threat, attack, level, name, FIXED_LEVEL)


def defences(grid, defends=None):
    return score_defences(Scores(grid, {}, ATTACKS, defends={"mlp": defends}))


def robust(grid, defends=None, **where):
    table = defences(grid, defends)
    for name, value in where.items():
        table = table[table[name] == value]
    (row,) = table.to_dict("records")
    return row


def test_the_undefended_model_is_attacked_by_those_who_know_it_whatever_they_are_called():
    grid = {at(BLIND, "fgsm"): scored("1000"), at(BLIND, "pgd"): scored("0100")}
    row = robust(grid)
    # Example by example: two of four are fooled by one of both.
    for rate in ("aware", "blind"):
        assert (row[rate], row[f"{rate}_attacks"], row[f"{rate}_n"]) == (0.5, 2, 4)
        assert row[f"{rate}_n_correct"] == 2
        assert row[f"{rate}_low"] < 0.5 < row[f"{rate}_high"]


def test_the_examples_that_choose_strengths_are_counted_among_all_and_apart():
    # All of a class: the second and the fourth choose.
    row = robust({at(BLIND, "fgsm"): scored("10010"), at(BLIND, "pgd"): scored("00010")})
    for rate in ("aware", "blind"):
        counts = [row[f"{rate}_{name}"] for name in ("n", "n_correct")]
        assert counts == [5, 3]
        assert row[f"{rate}_n_validation"] == 2
        assert row[f"{rate}_n_correct_validation"] == 1


def test_an_aware_attacker_may_do_what_a_blind_one_does():
    grid = {
        at(BLIND, "fgsm"): scored("1111"),
        at(BLIND, "fgsm", "gaussian"): scored("1000"),
        at(AWARE, "fgsm", "gaussian"): scored("0110"),
    }
    row = robust(grid, filter="gaussian")
    assert (row["blind"], row["aware"]) == (0.75, 0.25)
    assert (row["blind_attacks"], row["aware_attacks"]) == (1, 2)


def test_of_a_defended_variant_only_transfers_from_the_undefended_model_are_blind():
    grid = {
        at(BLIND, "pgd"): scored("1110"),
        at(BLIND, "noise"): scored("1000"),
        at(BLIND, "transfer"): scored("0100"),
        at(BLIND, "elsewhere"): scored("0010"),
    }
    row = robust(grid, defends="mlp")
    assert (row["blind"], row["blind_attacks"]) == (0.75, 1)
    assert (row["aware"], row["aware_attacks"]) == (0.25, 4)
    # Without a variant all of them are.
    assert robust(grid)["blind_attacks"] == 4


def test_where_nobody_looks_at_the_defence_nobody_is_aware():
    grid = {
        at(BLIND, "fgsm", "gaussian"): scored("1000"),
        at(BLIND, "transfer"): scored("1000"),
        at(BLIND, "noise"): scored("1000"),
    }
    for name in ("gaussian", "none"):
        row = robust(grid, filter=name)
        assert row["blind"] == 0.75
        assert math.isnan(row["aware"])
    assert math.isnan(robust({at(BLIND, "pgd"): scored("1")}, defends="mlp")["blind"])


def test_norms_and_budgets_are_kept_apart_and_what_bounds_nothing_is_left_out():
    grid = {
        at(BLIND, "pgd"): scored("10"),
        at(BLIND, "pgd", budget="eps~0.2"): scored("11"),
        at(BLIND, "pgd_l2"): scored("00"),
        at(BLIND, "carlini_wagner"): scored("11"),
    }
    table = defences(grid)
    found = {(row["norm"], row["budget"]): row["aware"] for row in table.to_dict("records")}
    assert found == {("linf", 0.1): 0.5, ("linf", 0.2): 0, ("l2", 0.1): 1}


def test_8_bits_are_scored_by_themselves_where_all_attacks_were():
    grid = {
        at(BLIND, "fgsm"): scored("1000", "0000"),
        at(BLIND, "pgd"): scored("0110", "0100"),
    }
    row = robust(grid)
    assert (row["aware"], row["aware_8bit"]) == (0.25, 0.75)
    assert row["aware_8bit_low"] < 0.75 < row["aware_8bit_high"]
    grid[at(BLIND, "pgd")] = scored("0110")
    assert math.isnan(robust(grid)["aware_8bit"])


def test_attacks_on_different_examples_are_compared_on_those_of_all():
    grid = {
        at(BLIND, "pgd"): scored("1000", "1000"),
        at(BLIND, "fgsm"): scored("01", "00", index=[0, 3]),
    }
    row = robust(grid)
    assert (row["aware_n"], row["aware"], row["aware_8bit"]) == (2, 0, 0.5)
    grid[at(BLIND, "fgsm")] = scored("01", index=[7, 8])
    assert math.isnan(robust(grid)["aware"])


def test_8_bits_of_several_rows_an_example_are_the_worst_of_them():
    columns = {
        "index": np.array([0, 0, 1, 1], np.int32),
        "label": np.zeros(4, np.int16),
        "margin": np.array([1, -1, 1, 1], np.float32),
        "correct": bits("1011"),
        "correct_8bit": bits("1101"),
    }
    found = Scored.of(columns)
    assert found.fooled.tolist() == [True, False]
    assert found.fooled_8bit.tolist() == [False, True]
    assert found.among(np.array([1], np.int32)).fooled_8bit.tolist() == [True]


def test_a_budget_of_0_is_not_compared_with_another_where_detectors_look_on():
    """What they reject is wrong when it is clean, and right when it was perturbed."""

    def smaller(watched):
        budgets = ("eps~0", "eps~0.1", "eps~0.2")
        grid = {at(AWARE, "pgd", "magnet", budget): scored("10") for budget in budgets}
        grid |= {at(BLIND, "pgd", "none", budget): scored("10") for budget in budgets}
        clean = {defence_of(cell): scored("00") for cell in grid}
        table = compare_cells(Scores(grid, clean, ATTACKS, watched))
        rows = table[(table["against"] == "smaller_budget") & (table["filter"] == "magnet")]
        return rows["other"].tolist()

    assert smaller({"magnet"}) == ["eps~0.1"]
    assert smaller(()) == ["eps~0", "eps~0.1"]


# --- Scoring with detectors


class Values(nn.Module):
    """A classifier whose logits are the first two of three values."""

    def forward(self, images):
        return images.flatten(1)[:, :2]


class Third(nn.Module):
    """A detector that scores by the third."""

    def forward(self, images, logits, model):
        return images.flatten(1)[:, 2]


def test_a_judge_s_columns_of_hand_computed_values():
    swapped = nn.Sequential(Swap(), Values())
    model = ClassifierWithDetectors(swapped, Values(), [Third()], [0.5])
    images = torch.tensor([[1.0, 0.0, 0.25], [0.0, 1.0, 0.25], [0.0, 1.0, 2.0]])[:, None, None]
    found = judge(model, ["third"], images, torch.tensor([0, 0, 1]))
    # Behind the filter, which swaps the values; and without.
    assert found["prediction"].tolist() == [1, 0, 0]
    assert found["correct_bare"].tolist() == [True, False, True]
    assert found["score_third"].tolist() == [0.25, 0.25, 2]
    assert found["rejects_third"].tolist() == [False, False, True]
    assert found["rejected"].tolist() == [False, False, True]
    # The largest logit, 1, is ½ above the mean. With score / threshold = ½, the logit of rejection
    # is 1 − ½ log 2, more than that of the label; with 4 it is 1 + ½ log 4.
    half = 0.5 * math.log(2)
    assert found["margin"].tolist() == pytest.approx([-half, 1, 0.5 * math.log(4)])
    assert {found[name].dtype for name in ("score_third", "margin")} == {np.dtype(np.float32)}


class Swap(nn.Module):
    def forward(self, images):
        return images[..., [1, 0, 2]]


WHERE = {
    "dataset": "digits",
    "model": "mlp",
    "seed": "3",
    "threat": "blind",
    "attack": "pgd",
    "budget": "eps~0.1",
    "filter": "magnet",
    "strength": "fixed",
}
ROUGH = {"implementation": "test_rejection:Rough", "parameters": {}}


@pytest.fixture
def score(tmp_path, trained, clean_file, checkpoint, make_job):
    """Score an adversarial set that a detector rejects a half of; ledgers and metrics."""
    write_json(tmp_path / "threshold.json", {"threshold": 0.18})
    detector = {"detector": "rough", **ROUGH, "threshold": str(tmp_path / "threshold.json")}
    identity = {"implementation": "epsigma.filters.none:Identity", "parameters": {}}
    settings = {"model": trained.settings, "filter": identity}
    plain, watched = (str(tmp_path / name) for name in ("plain.parquet", "watched.parquet"))
    given = {"test": str(clean_file), "checkpoint": str(checkpoint)}
    evaluate_clean(make_job(settings, **WHERE), **given, ledger=plain)
    clean = read_clean(clean_file, CPU).images

    def score(perturbed, detectors=True, **more):
        told = {**settings, **({"detectors": [detector]} if detectors else {}), **more}
        job = make_job(told, **WHERE)
        evaluate_clean(job, **given, ledger=watched)
        path = tmp_path / "adversarial.safetensors"
        found = ImageSet(perturbed, trained.labels, measure(perturbed, clean))
        write_image_set(path, found, {})
        ledger, metrics = tmp_path / "cell.parquet", tmp_path / "cell.json"
        evaluate(
            job,
            checkpoint=str(checkpoint),
            clean=plain,
            metrics=str(metrics),
            ledger=str(ledger),
            adversarial=str(path),
        )
        return read_ledger(watched), read_ledger(ledger), read_json(metrics)

    return score


def half_perturbed(trained):
    perturbed = trained.images.clone()
    perturbed[::2] = (perturbed[::2] + 0.1).clamp(0, 1)
    return perturbed


def test_what_is_rejected_is_wrong_if_it_was_not_perturbed_and_right_if_it_was(score, trained):
    clean, attacked, metrics = score(half_perturbed(trained))
    right = clean["prediction"] == clean["label"]
    assert 20 < clean["rejected"].sum() < 340
    np.testing.assert_array_equal(clean["correct"], right & ~clean["rejected"])
    right, moved = attacked["prediction"] == attacked["label"], attacked["linf"] > 0
    assert moved.sum() == 180
    expected = np.where(moved, right | attacked["rejected"], right & ~attacked["rejected"])
    np.testing.assert_array_equal(attacked["correct"], expected)
    assert (moved & attacked["rejected"] & ~right).any()
    assert metrics["n_rejected"] == attacked["rejected"].sum()
    assert metrics["n_correct"] == expected.sum()


def test_a_success_is_counted_against_the_undefended_model_on_clean_images(score, trained):
    _, attacked, metrics = score(half_perturbed(trained))
    right = trained.model(trained.images).argmax(1) == trained.labels
    assert attacked["correct_clean"].tolist() == right.tolist()
    assert metrics["n_fooled"] == (right.numpy() & ~attacked["correct"]).sum()


def test_without_detectors_nothing_is_rejected(score, trained):
    clean, attacked, metrics = score(half_perturbed(trained), detectors=False)
    for columns in (clean, attacked):
        assert "rejected" not in columns
        assert "correct_bare" not in columns
    assert not {"n_rejected", "n_correct_8bit", "n_fooled_8bit"} & set(metrics)


# --- Rounding to 8 bits


@pytest.mark.parametrize("detectors", [False, True])
def test_requantised_images_are_those_of_files(score, trained, detectors):
    generator = torch.Generator().manual_seed(0)
    noise = 0.6 * torch.rand(trained.images.shape, generator=generator) - 0.3
    perturbed = (trained.images + noise).clamp(0, 1)
    _, attacked, metrics = score(perturbed, detectors=detectors, requantise=True)
    on_disk = (perturbed * 255).round().byte().float() / 255
    _, rounded, _ = score(on_disk, detectors=detectors)
    np.testing.assert_array_equal(attacked["correct_8bit"], rounded["correct"])
    assert metrics["n_correct_8bit"] == rounded["correct"].sum()
    before = attacked["correct_clean"]
    assert metrics["n_fooled_8bit"] == (before & ~rounded["correct"]).sum()


def test_a_perturbation_of_less_than_half_a_level_is_rounded_away(score, trained):
    # Three bits tell 18.3 levels of 255 from 18: 18.2 are half of a seventh.
    dark = trained.images < 18 / 255
    perturbed = torch.where(dark, 18.3 / 255, trained.images)
    on_disk = torch.where(dark, 18 / 255, trained.images)
    rough = BitDepth(bits=3)
    assert rough(perturbed[dark]).min() > rough(on_disk[dark]).max()
    told = {"implementation": "epsigma.filters.bitdepth:BitDepth", "parameters": {"bits": 3}}
    _, attacked, metrics = score(perturbed, detectors=False, requantise=True, filter=told)
    right, rounded = (
        (trained.model(rough(images)).argmax(1) == trained.labels).tolist()
        for images in (perturbed, on_disk)
    )
    assert attacked["correct"].tolist() == right
    assert attacked["correct_8bit"].tolist() == rounded
    assert metrics["n_correct_8bit"] == sum(rounded) > sum(right)


def cell_row(**more):
    """The figures of a cell as the stage evaluate writes them."""
    columns = {
        "index": np.arange(4),
        "probability": np.ones(4, np.float32),
        "correct": bits("1100"),
        "correct_clean": bits("1110"),
        **{name: np.zeros(4, np.float32) for name in ImageSet.MEASURES},
        **more,
    }
    names = ("dataset", "model", "threat", "attack", "filter", "budget_name", "strength_name")
    where = {**dict.fromkeys(names, "x"), "seed": 0, "budget": 0.1, "strength": 1}
    return {**where, **summarise(columns)}


def test_the_table_of_cells_has_columns_for_8_bits_and_rejections_only_if_a_cell_has_them():
    plain = tabulate_cells([cell_row()])
    assert not any("8bit" in name or "rejected" in name for name in plain)
    more = {"correct_8bit": bits("1000"), "rejected": bits("0100")}
    table = tabulate_cells([cell_row(), cell_row(**more)])
    first, second = table.to_dict("records")
    assert (second["accuracy_8bit"], second["rejected"]) == (0.25, 0.25)
    assert second["attack_success_8bit"] == pytest.approx(2 / 3)
    for rate in ("accuracy_8bit", "attack_success_8bit", "rejected"):
        assert second[f"{rate}_low"] < second[rate] < second[f"{rate}_high"]
        assert math.isnan(first[rate])


def test_an_example_of_several_rows_is_rejected_if_all_of_them_are():
    more = {"rejected": bits("1101"), "index": np.array([0, 0, 1, 1])}
    assert cell_row(**more)["n_rejected"] == 1


# --- Checks


def evidence(**changed):
    where = {"dataset": "digits", "model": "mlp", "seed": 0, "filter": "magnet"}
    rows = [
        {
            **where,
            "detector": name,
            "n_clean": 1000,
            "false_positive": rate,
            "false_positive_low": rate - 0.005,
        }
        for name, rate in (("one", 0.01), ("two", 0.02))
    ]
    return Evidence(
        {"detection": pd.DataFrame([where]), "detectors": pd.DataFrame(rows), **changed},
        {},
        {"magnet": {"detectors": ["one", "two"]}, "gaussian": {"detectors": []}},
        {"one": 0.01, "two": 0.01},
    )


def test_where_detected_and_corrected_are_counted_apart_the_check_passes():
    (verdict,) = scored_apart(evidence())
    assert (verdict.verdict, verdict.subject) == (PASS, {"filter": "magnet"})
    assert (verdict.figure, verdict.threshold) == (2, 2)


@pytest.mark.parametrize(
    "lost",
    [
        pytest.param({"detection": pd.DataFrame()}, id="not counted"),
        pytest.param({"detectors": pd.DataFrame()}, id="no ROC at all"),
        pytest.param({"detectors": evidence().tables["detectors"].iloc[:1]}, id="no ROC of one"),
        pytest.param(
            {"detection": evidence().tables["detection"].assign(filter="other")},
            id="of another filter",
        ),
        pytest.param(
            {"detectors": evidence().tables["detectors"].assign(filter="other")},
            id="ROC of another filter",
        ),
    ],
)
def test_what_is_not_scored_apart_fails(lost):
    (verdict,) = scored_apart(evidence(**lost))
    assert verdict.verdict == FAIL


def test_a_detector_that_rejects_far_more_than_was_asked_is_warned_of():
    found = {verdict.sentence.split()[0]: verdict for verdict in false_positives(evidence())}
    assert found["one"].verdict == PASS
    assert found["two"].verdict == PASS
    loud = evidence()
    loud.tables["detectors"]["false_positive"] = [0.01, 0.03]
    loud.tables["detectors"]["false_positive_low"] = [0.005, LOUD * 0.01 + 0.001]
    found = {verdict.sentence.split()[0]: verdict for verdict in false_positives(loud)}
    assert found["one"].verdict == PASS
    assert found["two"].verdict == WARN
    assert found["two"].subject == {
        "dataset": "digits",
        "model": "mlp",
        "seed": 0,
        "filter": "magnet",
    }
    assert "3.00%" in found["two"].sentence
    assert "1.00%" in found["two"].sentence


def test_without_detectors_the_checks_have_nothing_to_say():
    nothing = replace(
        evidence(detection=pd.DataFrame(), detectors=pd.DataFrame()),
        filters={"gaussian": {"detectors": []}},
    )
    assert [*scored_apart(nothing), *false_positives(nothing)] == []
