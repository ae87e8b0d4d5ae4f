"""Worst cases and means over seeds, as the explorer shows them."""

import pandas as pd
from epsigma.explorer.tables import list_cells
from epsigma.explorer.views import add_views
from epsigma.tables.seeds import COLUMNS

WHERE = {
    **{"dataset": "mnist", "model": "mlp", "seed": 0, "threat": "blind", "attack": "fgsm"},
    **{"budget_name": "eps", "budget": 0.1, "filter": "none", "strength_name": None},
    "strength": None,
}
RATE = {"accuracy": 0.5, "accuracy_low": 0.4, "accuracy_high": 0.6, "n": 100, "n_correct": 50}


def worst(norm, attacks, **more):
    rest = {name: value for name, value in WHERE.items() if name != "attack"}
    return {**rest, **RATE, "norm": norm, "attacks": attacks, "accuracy": 0.25, **more}


def views(worst_cases, means=()):
    cells = pd.DataFrame([{**WHERE, **RATE}])
    return add_views(cells, pd.DataFrame(worst_cases), pd.DataFrame(means, columns=COLUMNS))


def test_all_attacks_of_a_norm_that_several_have_are_one_attack_more():
    aware = {"filter": "blur", "strength_name": "sigma", "strength": 1.0, "threat": "aware"}
    table, attacks = views(
        [
            worst("linf", 2),
            # The same cell without a filter once more, which nobody can know more about.
            worst("linf", 2, threat="aware"),
            worst("linf", 4, **aware),
            worst("l2", 1),
        ]
    )
    assert attacks == {"worst case, linf": {"family": "worst_case", "norm": "linf"}}
    found = table[["attack", "threat", "filter", "accuracy"]].values.tolist()
    assert found == [
        ["fgsm", "blind", "none", 0.5],
        ["worst case, linf", "blind", "none", 0.25],
        ["worst case, linf", "aware", "blur", 0.25],
    ]


def test_means_over_seeds_are_a_seed_more_and_those_of_other_rates_are_not():
    rest = {name: value for name, value in WHERE.items() if name != "seed"}
    pooled = {**rest, "n": 100, "seeds": 3, "mean": 0.3, "std": 0.1, "low": 0.2, "high": 0.4}
    table, _ = views(
        [worst("linf", 2)],
        [
            {**pooled, "table": "cells", "rate": "accuracy"},
            {**pooled, "table": "cells", "rate": "attack_success", "mean": 0.7},
            {**pooled, "table": "worst_case", "rate": "accuracy", "norm": "linf", "mean": 0.1},
        ],
    )
    listed = list_cells(table)
    rows = [dict(zip(listed["columns"], row, strict=True)) for row in listed["rows"]]
    assert [(row["seed"], row["attack"], row["accuracy"]) for row in rows] == [
        (0, "fgsm", 0.5),
        (0, "worst case, linf", 0.25),
        ("mean", "fgsm", 0.3),
        ("mean", "worst case, linf", 0.1),
    ]
    assert rows[2]["accuracy_high"] == 0.4
    assert {row["budget"] for row in rows} == {"eps~0.1"}
