import math

import numpy as np
import pytest
from epsigma.tables.distortion import measure_distortion
from epsigma.tables.fooling import count_accepted


def ledger(index, l2, reached=None, correct=None, correct_clean=None):
    """The ledger of an attack: rows of examples; changed is a tenth of l2."""
    n = len(index)
    columns = {
        "index": np.array(index, np.int32),
        "l2": np.array(l2, np.float32),
        "changed": np.array(l2, np.float32) / 10,
        "correct": np.zeros(n, bool) if correct is None else np.array(correct, bool),
        "correct_clean": np.ones(n, bool)
        if correct_clean is None
        else np.array(correct_clean, bool),
    }
    return columns if reached is None else {**columns, "reached": np.array(reached, bool)}


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        # Two examples, three classes each: the easiest and the hardest of each.
        (
            ledger([0, 0, 0, 4, 4, 4], [1, 2, 6, 3, 4, 8], reached=[1] * 6),
            {"n": 6, "n_reached": 6, "n_worst": 2, "": 4, "_all": 4, "_best": 2, "_worst": 7},
        ),
        # What was not reached cost nothing, and its example has no hardest class.
        (
            ledger([0, 0, 4, 4], [1, 9, 3, 5], reached=[1, 0, 1, 1]),
            {"n": 4, "n_reached": 3, "n_worst": 1, "": 3, "_all": 4.5, "_best": 2, "_worst": 5},
        ),
        # An example of which no class was reached has no easiest one either.
        (
            ledger([0, 0, 4, 4], [7, 9, 3, 5], reached=[0, 0, 1, 1]),
            {"n": 4, "n_reached": 2, "n_worst": 1, "": 4, "_all": 6, "_best": 3, "_worst": 5},
        ),
        # Of examples that are wrong when clean nothing counts.
        (
            ledger([0, 0, 4, 4], [7, 9, 3, 5], [1] * 4, correct_clean=[0, 0, 1, 1]),
            {"n": 2, "n_reached": 2, "n_worst": 1, "": 4, "_all": 4, "_best": 3, "_worst": 5},
        ),
        # Untargeted, any wrong class will do; whether another was named is not asked.
        (
            ledger([0, 1, 2], [1, 2, 9], correct=[0, 0, 1]),
            {"n": 3, "n_reached": 2, "n_worst": 2, "": 1.5, "_all": 4, "_best": 1.5, "_worst": 1.5},
        ),
    ],
)
def test_what_an_attack_costs_is_a_mean_over_what_it_reaches(columns, expected):
    found = measure_distortion(columns)
    for name, value in expected.items():
        if name.startswith("n"):
            assert found[name] == value
        else:
            assert found[f"l2{name}"] == pytest.approx(value)
            assert found[f"changed{name}"] == pytest.approx(value / 10)


@pytest.mark.parametrize(
    ("columns", "empty"),
    [
        (ledger([0, 0], [1, 2], reached=[0, 0]), {"", "_best", "_worst"}),
        (ledger([0, 0], [1, 2], [1, 1], correct_clean=[0, 0]), {"", "_all", "_best", "_worst"}),
    ],
)
def test_a_mean_over_nothing_is_no_number(columns, empty):
    found = measure_distortion(columns)
    assert (found["n_reached"], found["n_worst"]) == (0, 0)
    assert {of for of in ("", "_all", "_best", "_worst") if math.isnan(found[f"l2{of}"])} == empty


def test_fooling_images_are_counted_class_by_class():
    columns = {
        "target": np.array([1, 1, 1, 0, 0, 0], np.int16),
        # Not accepted is what ledgers call correct.
        "correct": np.array([0, 0, 1, 1, 1, 1], bool),
        "reached": np.array([1, 1, 1, 1, 0, 0], bool),
        "probability": np.array([0.99, 0.95, 0.5, 0.25, 1, 0.75], np.float32),
    }
    assert count_accepted(columns) == [
        {"target": 0, "n": 3, "n_accepted": 0, "n_named": 1, "confidence": 0.75},
        {
            "target": 1,
            "n": 3,
            "n_accepted": 2,
            "n_named": 3,
            "confidence": pytest.approx(0.95),
        },
    ]
