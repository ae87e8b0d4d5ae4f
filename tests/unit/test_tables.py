import csv
import math

import numpy as np
import pandas as pd
import pytest
import yaml
from epsigma.stages.collect import collect
from epsigma.stages.configuration import write_configuration
from epsigma.storage.files import write_json
from epsigma.study import validate
from epsigma.tables.cells import tabulate_cells
from epsigma.tables.reading import LEVELS, pack_tables, read_table, unpack_tables, write_table
from hypothesis import given
from hypothesis import strategies as st

# A stable interface: others read this table.
COLUMNS = [
    "dataset",
    "model",
    "seed",
    "threat",
    "attack",
    "budget_name",
    "budget",
    "filter",
    "strength_name",
    "strength",
    "n",
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "n_correct_clean",
    "attack_success",
    "attack_success_low",
    "attack_success_high",
    "linf",
    "l2",
    "l0",
    "linf_max",
    "l2_max",
    "outside_max",
    "changed_max",
    "confidence",
    "n_correct",
    "n_fooled",
]


def row(n=100, n_correct=50, n_correct_clean=80, n_fooled=30, **other):
    """A cell as evaluate writes it."""
    return {
        "dataset": "digits",
        "model": "mlp",
        "seed": 0,
        "threat": "blind",
        "attack": "fgsm",
        "budget_name": "eps",
        "budget": 0.1,
        "filter": "none",
        "strength_name": None,
        "strength": None,
        "n": n,
        "n_correct": n_correct,
        "accuracy": n_correct / n,
        "n_correct_clean": n_correct_clean,
        "n_fooled": n_fooled,
        "attack_success": n_fooled / n_correct_clean if n_correct_clean else None,
        "linf": 0.1,
        "l2": 2.8,
        "l0": 700.0,
        "linf_max": 0.1,
        "l2_max": 2.9,
        "outside_max": 0.0,
        "changed_max": 0.0,
        "confidence": 0.9,
        "made_by": {"code": "0"},
        **other,
    }


def wilson(count, n, z=1.959963984540054):
    """Wilson 1927, in the form of Brown, Cai & DasGupta 2001, equation 4."""
    p = count / n
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return centre - half, centre + half


def test_the_columns_are_the_interface_in_its_order():
    assert list(tabulate_cells([row()]).columns) == COLUMNS


def test_rates_that_are_asked_for_follow_each_with_its_interval_and_its_count():
    counts = {"n_correct_8bit": 40, "n_fooled_8bit": 32, "n_rejected": 5}
    table = tabulate_cells([row(**counts)])
    rates = {"accuracy_8bit": 0.4, "attack_success_8bit": 0.4, "rejected": 0.05}
    expected = [
        name
        for rate, count in zip(rates, counts, strict=True)
        for name in (rate, f"{rate}_low", f"{rate}_high", count)
    ]
    assert list(table.columns) == [*COLUMNS, *expected]
    assert table.loc[0, [*rates, *counts]].to_dict() == {**rates, **counts}


def test_rows_keep_the_order_of_the_cells():
    budgets = [0.2, 0, 0.1]
    table = tabulate_cells([row(budget=budget) for budget in budgets])
    assert table["budget"].tolist() == budgets


@given(st.integers(1, 20000).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))))
def test_intervals_are_wilson_s(case):
    n, count = case
    table = tabulate_cells([row(n=n, n_correct=count, n_correct_clean=n, n_fooled=n - count)])
    for rate, successes in (("accuracy", count), ("attack_success", n - count)):
        low, high = wilson(successes, n)
        assert table[f"{rate}_low"][0] == pytest.approx(low, abs=1e-9)
        assert table[f"{rate}_high"][0] == pytest.approx(high, abs=1e-9)


@pytest.mark.parametrize(("count", "rate"), [(0, 0.0), (100, 1.0), (37, 0.37)])
def test_an_interval_lies_in_the_unit_interval_and_holds_its_rate(count, rate):
    cell = tabulate_cells([row(n_correct=count)]).iloc[0]
    assert 0 <= cell["accuracy_low"] <= cell["accuracy"] == rate <= cell["accuracy_high"] <= 1
    assert cell["accuracy_low"] < cell["accuracy_high"]


def test_more_examples_make_narrower_intervals():
    table = tabulate_cells([row(n=n, n_correct=n // 2) for n in (10, 100, 1000)])
    assert (table["accuracy_high"] - table["accuracy_low"]).is_monotonic_decreasing


@pytest.mark.parametrize("others", [[], [row()]], ids=["alone", "beside others"])
def test_of_no_trials_there_is_no_rate_and_no_interval(tmp_path, make_job, others):
    paths = []
    for index, cell in enumerate([row(n_correct_clean=0, n_fooled=0), *others]):
        paths.append(str(tmp_path / f"{index}.json"))
        write_json(paths[-1], cell)
    collect(make_job({}), metrics=paths, table=str(tmp_path / "cells.csv"))
    with open(tmp_path / "cells.csv", newline="", encoding="utf-8") as file:
        first, *rest = csv.DictReader(file)
    assert [first[f"attack_success{bound}"] for bound in ("", "_low", "_high")] == ["", "", ""]
    assert first["accuracy"] == "0.5"
    assert first["accuracy_low"] != ""
    assert [cell["attack_success"] for cell in rest] == ["0.375"] * len(others)


def test_the_table_of_cells_is_read_back_as_it_was(tmp_path, make_job):
    cells = [row(), row(filter="gaussian", strength_name="sigma", strength=1.5, n_correct=49)]
    paths = [str(tmp_path / f"{index}.json") for index in range(2)]
    for path, cell in zip(paths, cells, strict=True):
        write_json(path, cell)
    collect(make_job({}), metrics=paths, table=str(tmp_path / "cells.csv"))
    table = pd.read_csv(tmp_path / "cells.csv")
    assert list(table.columns) == COLUMNS
    assert table["filter"].tolist() == ["none", "gaussian"]
    assert np.isnan(table["strength"][0])
    assert table["strength"][1] == 1.5
    assert table["accuracy"].tolist() == [0.5, 0.49]
    assert table["seed"].tolist() == [0, 0]
    assert table["accuracy_low"][1] == pytest.approx(wilson(49, 100)[0], abs=1e-9)


# Names that a configuration may give, and that a reader of CSV may take for something else.
@pytest.mark.parametrize("name", ["null", "nan", "true", "inf"])
def test_a_name_is_a_name_whatever_it_looks_like(tmp_path, name):
    cell = {"dataset": name, "model": name, "attack": name, "filter": name}
    tabulate_cells([row(**cell), row()]).to_csv(tmp_path / "cells.csv", index=False)
    table = read_table(str(tmp_path / "cells.csv"))
    assert table.loc[0, list(cell)].tolist() == [name] * 4
    # What is empty is no value.
    assert table["strength_name"].isna().all()
    assert table["strength"].isna().all()


def test_a_damaged_cell_is_named(tmp_path, make_job):
    path = tmp_path / "metrics.json"
    path.write_text('{"n": 1')
    with pytest.raises(ValueError, match=r"metrics\.json cannot be read"):
        collect(make_job({}), metrics=[str(path)], table=str(tmp_path / "cells.csv"))
    assert not (tmp_path / "cells.csv").exists()


def test_the_configuration_that_is_written_down_is_the_one_that_was_run(tmp_path, make_job):
    study = validate(
        {
            "datasets": [{"kind": "digits"}],
            "models": [{"kind": "mlp"}],
            "attacks": [{"kind": "fgsm", "eps": [0, 0.00001, 0.1]}],
            "filters": [{"kind": "gaussian", "sigma": [1, 1.5]}],
        }
    )
    path = tmp_path / "configuration.yaml"
    write_configuration(make_job(study.dump()), configuration=str(path))
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert found == study.dump()
    assert list(found) == list(study.dump())
    assert validate(found).dump() == study.dump()


def test_what_the_attacks_of_an_ensemble_fooled_comes_last_and_is_empty_for_others():
    parts = {"n_fooled_by_apgd_ce": 27, "n_fooled_by_square": 3}
    table = tabulate_cells([row(), row(n_rejected=5, **parts)])
    assert list(table.columns)[-2:] == list(parts)
    assert table[list(parts)].isna().all(axis=1).tolist() == [True, False]
    # Whole numbers, though others have none.
    assert table.to_csv(index=False).splitlines()[2].endswith(",27,3")


@pytest.mark.parametrize("digits", [6, 12])
def test_levels_are_never_rounded_as_rates_are(tmp_path, digits):
    # Rows of one table are found by the levels of another.
    levels = [8 / 255, 1 / 3, 0.1, 1.0, 1e-7, None]
    table = pd.DataFrame({**dict.fromkeys(LEVELS, levels), "accuracy": 1 / 3})
    write_table(tmp_path / "written.csv", table, digits)
    pack_tables(tmp_path / "packed.zip", {"one": table}, digits)
    packed = unpack_tables(tmp_path / "packed.zip")["one"]
    assert (tmp_path / "written.csv").read_text() == packed
    read = read_table(tmp_path / "written.csv")
    for name in LEVELS:
        assert read[name].dropna().tolist() == levels[:-1]
        assert math.isnan(read[name].iloc[-1])
    assert set(read["accuracy"]) == {round(1 / 3, digits)}
    assert packed.splitlines()[3].startswith("0.1,")


def test_levels_that_are_spelled_stay_as_they_are(tmp_path):
    table = pd.DataFrame({"strength": ["sigma~1", None], "budget": [1, 30000000]})
    write_table(tmp_path / "checks.csv", table, 6)
    assert (tmp_path / "checks.csv").read_text() == "strength,budget\nsigma~1,1\n,30000000\n"
