"""JSMA, Carlini & Wagner and fooling images, from the configuration to the tables."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from running import SMALL, Workdir, made_once

SEARCH = {"steps": 100, "search_steps": 6, "learning_rate": 0.05, "initial_c": 0.1}
STUDY: dict[str, Any] = {
    **SMALL,
    "attacks": [
        {"kind": "fgsm", "eps": [0, 0.2]},
        {"kind": "jsma", "gamma": [0.1, 0.3], "examples": 40},
        {"kind": "carlini_wagner", "kappa": [0], "examples": 30, **SEARCH},
        {
            "kind": "carlini_wagner",
            "name": "aimed",
            "kappa": [0],
            "targets": [0, 1],
            "examples": 10,
            "threats": ["blind"],
            **SEARCH,
        },
        {"kind": "fmn", "kappa": [0], "examples": 40, "steps": 100},
        {"kind": "fooling", "confidence": [0.9], "images": 2},
        {
            "kind": "fooling_evolution",
            "confidence": [0.6],
            "images": 1,
            "generations": 300,
            "threats": ["blind"],
        },
    ],
    "filters": [{"kind": "gaussian", "sigma": [1]}],
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = made_once(tmp_path_factory.getbasetemp(), "attacks", STUDY, Workdir.run)
    return made.directory / "results"


def rows(results: Path, table: str, **where: Any) -> pd.DataFrame:
    found = pd.read_csv(results / "tables" / f"{table}.csv")
    for column, value in where.items():
        found = found[found[column] == value]
    return found


def test_every_target_of_every_example_is_a_row_and_an_example_falls_to_the_first(
    results: Path,
) -> None:
    (cell,) = rows(results, "cells", attack="jsma", budget=0.3, filter="none").to_dict("records")
    (aimed,) = rows(results, "distortion", attack="jsma", budget=0.3, filter="none").to_dict(
        "records"
    )
    assert cell["n"] == 40
    assert aimed["n"] == 9 * cell["n_correct_clean"]
    assert cell["attack_success"] >= aimed["success"] > 0.8
    assert 0 < aimed["changed_best"] < aimed["changed"] < aimed["changed_worst"] <= 0.3
    assert cell["changed_max"] <= 0.3


def test_a_larger_budget_reaches_more_targets(results: Path) -> None:
    jsma = rows(results, "distortion", attack="jsma", filter="none")
    assert list(jsma["budget"]) == [0.1, 0.3]
    assert jsma["success"].is_monotonic_increasing


def test_the_smallest_perturbation_fools_everything_and_is_smaller_than_an_aimed_one(
    results: Path,
) -> None:
    bare = rows(results, "distortion", filter="none").set_index("attack")
    assert bare.loc["carlini_wagner", "success"] == 1
    assert 0 < bare.loc["carlini_wagner", "l2"] < bare.loc["aimed", "l2"]
    ledger = pd.read_parquet(
        results / "digits/mlp/seed~0/ledger/blind/aimed/kappa~0/none/fixed.parquet"
    )
    assert set(ledger["target"]) == {0, 1}
    assert (ledger["target"] != ledger["label"]).all()


def test_what_an_example_takes_is_told_by_a_grid_or_by_its_distance(results: Path) -> None:
    smallest = rows(results, "smallest", filter="none").set_index("attack")
    assert smallest.loc[["fgsm", "fmn"], "norm"].eq("linf").all()
    assert smallest.loc["carlini_wagner", "norm"] == "l2"
    # An ε of 0.2 is one of two; the distance is none of the grid.
    assert smallest.loc["fgsm", "median"] in (0, 0.2)
    assert 0 < smallest.loc["fmn", "median"] < 0.2
    assert smallest.loc["fmn", "n_censored"] == 0
    aware = rows(results, "fallen", attack="fmn", threat="aware")
    assert aware["fallen"].is_monotonic_increasing
    assert aware["fallen"].iloc[-1] == 1
    assert len(aware) == 101
    assert (results / "figures/digits/mlp/fmn/smallest.svg").stat().st_size > 10_000


def test_a_filter_unfools_until_the_attacker_knows_it(results: Path) -> None:
    fooling = rows(results, "cells", attack="fooling")
    share = fooling.set_index(["filter", "threat"])["attack_success"]
    assert share["none", "blind"] == 1
    assert share["gaussian", "aware"] > share["gaussian", "blind"]
    classes = rows(results, "fooling", attack="fooling", filter="none")
    assert list(classes["target"]) == list(range(10))
    assert (classes["n_accepted"] == 2).all()
    assert rows(results, "cells", attack="fooling_evolution")["attack_success"].max() > 0


def test_every_attack_has_a_card_and_is_judged(results: Path) -> None:
    for block in STUDY["attacks"]:
        name = block.get("name", block["kind"])
        card = (results / f"cards/digits/mlp/{name}.html").read_text(encoding="utf-8")
        for key in block.keys() - {"kind", "name"}:
            assert f"<code>{key}</code>" in card
        assert len(rows(results, "checks", attack=name)) > 0
    assert (results / "figures/digits/mlp/fooling/gaussian/gallery.svg").stat().st_size > 0
    assert (results / "figures/digits/mlp/carlini_wagner/convergence.png").stat().st_size > 0


def test_published_figures_of_another_data_set_are_not_compared_with(results: Path) -> None:
    reference = rows(results, "reference")
    assert len(reference) > 10
    assert reference["ours"].isna().all()
