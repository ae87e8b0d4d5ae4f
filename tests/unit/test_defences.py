import math

import pandas as pd
import pytest
from epsigma.stages.cost import COLUMNS
from epsigma.stages.defences import set_beside_cost
from epsigma.tables.defences import tabulate_defences
from epsigma.tables.reading import read_table

DEFENCES = [
    ("mlp", "none", None, None),
    ("mlp", "gaussian", "sigma", 0.5),
    ("adv", "none", None, None),
]
BUDGETS = (0, 0.1, 0.2)


def where(model, name, strength_name, strength):
    return {
        "dataset": "digits",
        "model": model,
        "filter": name,
        "strength_name": strength_name,
        "strength": strength,
    }


def robust(seeds=(0,), defences=DEFENCES):
    rows = []
    for seed in seeds:
        for defence in defences:
            for budget in BUDGETS:
                accuracy = 0.9 - budget - 0.01 * len(rows)
                rows.append(
                    {
                        "dataset": "digits",
                        "model": defence[0],
                        "seed": seed,
                        "norm": "linf",
                        "budget_name": "eps",
                        "budget": budget,
                        **where(*defence),
                        "aware": accuracy,
                        "aware_low": accuracy - 0.02,
                        "aware_high": accuracy + 0.02,
                        "blind": accuracy + 0.05,
                    }
                )
    return pd.DataFrame(rows)


def clean(seeds=(0,), defences=DEFENCES):
    rows = [
        {
            **where(*defence),
            "seed": seed,
            "n": 100,
            "accuracy": 0.97 - 0.01 * at,
            "accuracy_low": 0.9,
            "accuracy_high": 0.99,
        }
        for seed in seeds
        for at, defence in enumerate(defences)
    ]
    return pd.DataFrame(rows)


def cost(defences=DEFENCES):
    rows = [
        {
            **dict.fromkeys(COLUMNS, 1.0),
            **where(*defence),
            "parameters": 1000 + at,
            "microseconds_1000": 2.0 + at,
        }
        for at, defence in enumerate(defences)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def test_each_row_has_its_clean_accuracy_and_its_cost():
    table = tabulate_defences(robust(), clean(), cost())
    assert len(table) == len(DEFENCES) * 2
    for at, (model, name, _, strength) in enumerate(DEFENCES):
        mine = table[(table["model"] == model) & (table["filter"] == name)]
        assert mine["budget"].tolist() == [0.1, 0.2]
        assert (mine["clean"] == 0.97 - 0.01 * at).all()
        assert (mine["parameters"] == 1000 + at).all()
        assert (mine["microseconds_1000"] == 2 + at).all()
        assert (mine["strength"].isna() if strength is None else mine["strength"] == strength).all()


def test_a_budget_of_0_attacks_nothing_and_is_left_out():
    table = tabulate_defences(robust(), clean(), cost())
    assert set(table["budget"]) == {0.1, 0.2}
    assert table["aware"].tolist() == robust()[robust()["budget"] > 0]["aware"].tolist()


def test_each_seed_has_its_own_clean_accuracy_and_the_first_one_s_cost():
    unharmed = clean((0, 1))
    unharmed.loc[unharmed["seed"] == 1, "accuracy"] = 0.5
    table = tabulate_defences(robust((0, 1)), unharmed, cost())
    assert len(table) == 2 * len(DEFENCES) * 2
    assert (table.loc[table["seed"] == 1, "clean"] == 0.5).all()
    assert (table.loc[table["seed"] == 0, "clean"] > 0.9).all()
    assert not table["microseconds_1000"].isna().any()


def test_what_is_kept_comes_first_and_what_it_costs_last():
    table = tabulate_defences(robust(), clean(), cost())
    assert list(table)[:13] == [
        *("dataset", "model", "filter", "strength_name", "strength", "seed", "norm"),
        *("budget_name", "budget", "clean_n", "clean", "clean_low", "clean_high"),
    ]
    assert (table["clean_n"] == 100).all()
    assert list(table)[-1] == "rounds"
    assert len(set(table)) == len(list(table))


def test_a_defence_without_a_cost_is_not_lost():
    table = tabulate_defences(robust(), clean(), cost(DEFENCES[:2]))
    assert len(table) == len(DEFENCES) * 2
    lost = table[table["model"] == "adv"]
    assert lost["microseconds_1000"].isna().all()
    assert lost["clean"].notna().all()


def test_the_stage_puts_the_costs_of_all_data_sets_into_one_table(tmp_path, make_job):
    paths = {}
    other = {"dataset": "other"}
    for name, table in (
        ("robust", pd.concat([robust(), robust().assign(**other)])),
        ("clean", pd.concat([clean(), clean().assign(**other)])),
        ("one", cost()),
        ("two", cost().assign(**other, microseconds_1000=7.0)),
    ):
        paths[name] = str(tmp_path / f"{name}.csv")
        table.to_csv(paths[name], index=False)
    written, page = tmp_path / "defences.csv", tmp_path / "defences.html"
    set_beside_cost(
        make_job({}),
        robust=paths["robust"],
        clean=paths["clean"],
        costs=[paths["one"], paths["two"]],
        defences=str(written),
        page=str(page),
    )
    table = read_table(str(written))
    assert table.groupby("dataset").size().to_dict() == {"digits": 6, "other": 6}
    assert set(table.loc[table["dataset"] == "other", "microseconds_1000"]) == {7}
    # A defence without a strength is joined as well as one that has one, read from files.
    assert not table["microseconds_1000"].isna().any()
    assert not table["clean"].isna().any()
    text = page.read_text(encoding="utf-8")
    assert "Defences: what they keep, and what they cost" in text
    assert text.count("gaussian") == 4


def test_where_nothing_is_attacked_the_table_is_empty():
    table = tabulate_defences(robust()[robust()["budget"] == 0], clean(), cost())
    assert table.empty
    assert {"clean", "aware", "microseconds_1000"} <= set(table)


@pytest.mark.parametrize("rate", ["clean", "clean_low", "clean_high"])
def test_the_interval_of_the_clean_accuracy_is_there(rate):
    table = tabulate_defences(robust(), clean(), cost())
    assert not any(math.isnan(value) for value in table[rate])
