"""The rules of a challenge, by what was run: balls, added attacks, and what is left out."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import epsigma
import pandas as pd
import pytest
import yaml
from epsigma.cell import Level
from epsigma.challenge import page
from epsigma.challenge.making import _make_rules
from epsigma.challenge.readme import find_attacked
from epsigma.challenge.rules import Rules, scored_cells, study_of, with_filters
from epsigma.challenge.scoring import Scored
from epsigma.plan.grid import cells
from epsigma.study import ConfigurationError, Study, expand, validate
from epsigma.study.references import find_attack_kind
from epsigma.tables.atlas import COLUMNS
from epsigma.tables.reading import write_table
from running import SMALL

FGSM: dict[str, Any] = {"kind": "fgsm", "eps": [0, 0.1, 0.2]}
SQUARE: dict[str, Any] = {"kind": "square", "eps": [0, 0.1, 0.2]}
MLPS = [{"kind": "mlp", "name": name} for name in ("mlp", "wide")]
DATASETS = [{"kind": "digits"}, {"kind": "mnist5k"}]
BIG: dict[str, Any] = {**SMALL, "models": MLPS, "datasets": DATASETS}
MINE = {"kind": "median", "size": [2], "name": "mine"}
Make = Callable[[dict[str, Any]], Rules]


def list_rows(study: Study) -> Iterator[dict[str, Any]]:
    """List what `robust.csv` says of models without a filter."""
    for cell in cells(study):
        kind = find_attack_kind(study, study.find("attacks", cell.attack))
        if cell.filter == "none":
            count = 6 if kind.queries_model else None
            yield {**cell.columns, "norm": kind.norm, "aware_n": count}


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Make the rules of a study's challenge, of tables that it would leave."""

    def make_rules(config: dict[str, Any]) -> Rules:
        study = validate(config)
        tables = tmp_path / "results" / "tables"
        rows = pd.DataFrame(list_rows(expand(study))).drop(columns="attack")
        write_table(tables / "robust.csv", rows.drop_duplicates())
        for name in ("clean", "cells"):
            write_table(tables / f"{name}.csv", pd.DataFrame({"seed": study.seeds}))
        (tables / "configuration.yaml").write_text(yaml.safe_dump(study.dump()))
        return _make_rules(tmp_path / "results")[0]

    return make_rules


def list_added(rules: Rules) -> list[dict[str, Any]]:
    return [one for one in rules.study["attacks"] if one["name"].startswith("challenge_")]


def list_places(study: Study) -> set[tuple[Any, ...]]:
    """List where a filter is scored: data set, model, norm and budget."""
    found = set()
    for cell in scored_cells(study):
        norm = find_attack_kind(study, study.find("attacks", cell.attack)).norm
        found.add((cell.dataset, cell.model, norm, cell.budget))
    return found


def test_budgets_of_fractions_are_those_of_one_ball(make: Make) -> None:
    rules = make({**SMALL, "attacks": [{"kind": "fgsm", "eps": ["8/255"]}]})
    (ball,) = rules.balls
    study = with_filters(rules, MINE)
    assert study.names("attacks") == ["fgsm", "challenge_square"]
    assert {cell.budget for cell in scored_cells(study)} == {Level("eps", 8 / 255)}
    assert ball.budget == 8 / 255


@pytest.mark.parametrize(
    ("square", "wanted"),
    [
        ({}, []),
        ({"filters": ["gaussian"]}, []),
        ({"threats": ["blind"]}, [(["digits", "mnist5k"], ["mlp", "wide"], [0.1, 0.2])]),
        ({"eps": [0.1]}, [(["digits", "mnist5k"], ["mlp", "wide"], [0.2])]),
        ({"models": ["mlp"]}, [(["digits", "mnist5k"], ["wide"], [0.1, 0.2])]),
        ({"datasets": ["digits"]}, [(["mnist5k"], ["mlp", "wide"], [0.1, 0.2])]),
        (
            {"datasets": ["digits"], "models": ["wide"]},
            [(["digits"], ["mlp"], [0.1, 0.2]), (["mnist5k"], ["mlp", "wide"], [0.1, 0.2])],
        ),
    ],
)
def test_square_is_added_wherever_no_aware_attack_does_without_gradients(
    make: Make, square: dict[str, Any], wanted: list[Any]
) -> None:
    rules = make({**BIG, "attacks": [FGSM, {**SQUARE, **square}]})
    added = list_added(rules)
    assert [(one["datasets"], one["models"], one["eps"]) for one in added] == wanted
    assert [one["name"] for one in added] == ["challenge_square", "challenge_square_2"][
        : len(added)
    ]
    assert all((one["queries"], one["threats"]) == (500, ["aware"]) for one in added)


def test_what_is_added_attacks_nothing_that_the_study_does_not(make: Make) -> None:
    attacks = [
        {**FGSM, "eps": [0.1], "datasets": ["digits"]},
        {"kind": "pgd", "eps": [0.05], "datasets": ["mnist5k"], "models": ["wide"]},
        {"kind": "pgd_l2", "eps": [1], "models": ["mlp"], "examples": 5},
        {"kind": "sign_noise", "eps": [0.3]},
    ]
    rules = make({**BIG, "attacks": attacks})
    own = [one for one in rules.study["attacks"] if one not in list_added(rules)]
    without = rules.model_copy(update={"study": {**rules.study, "attacks": own}})
    places = list_places(with_filters(without, MINE))
    assert list_places(with_filters(rules, MINE)) == places
    checked = {
        (one["kind"], *one["datasets"], *one["models"], *one["eps"]) for one in list_added(rules)
    }
    assert checked == {
        ("square", "digits", "mlp", "wide", 0.1),
        ("square", "mnist5k", "wide", 0.05),
        ("square_l2", "digits", "mnist5k", "mlp", 1),
    }


def test_a_ball_of_noise_alone_is_none(make: Make) -> None:
    noise = {"kind": "sign_noise", "eps": [0.1, 0.3]}
    rules = make({**SMALL, "attacks": [{**FGSM, "eps": [0.1]}, noise]})
    assert [ball.budget for ball in rules.balls] == [0.1]


@pytest.mark.parametrize(
    "only", [{"filters": ["gaussian"]}, {"attacks": ["fgsm"]}, {"models": ["mlp"]}]
)
def test_a_challenge_of_a_part_of_a_study_takes_what_is_submitted(
    make: Make, only: dict[str, Any]
) -> None:
    attacks = [FGSM, {**FGSM, "name": "other", "models": ["wide"]}]
    rules = make({**BIG, "attacks": attacks, "only": only})
    study = with_filters(rules, MINE)
    assert "challenge_square" in study.names("attacks")
    assert study.names("filters") == ["mine"]
    assert study.names("models") == only.get("models", ["mlp", "wide"])


def test_the_example_of_the_readme_is_of_a_model_that_is_attacked(make: Make) -> None:
    larger = {**FGSM, "name": "larger", "eps": [0.3], "datasets": ["mnist5k"]}
    attacks = [{**FGSM, "models": ["wide"], "datasets": ["mnist5k"]}, larger]
    assert find_attacked(make({**BIG, "attacks": attacks})) == ("mnist5k", "wide")


def test_a_part_that_took_an_attack_with_it_is_opened(make: Make, tmp_path: Path) -> None:
    attacks = [FGSM, {**FGSM, "name": "other", "models": ["wide"]}]
    only = {"models": ["mlp"], "attacks": ["fgsm", "other"]}
    make({**BIG, "attacks": attacks, "only": only})
    assert epsigma.open_study(tmp_path / "results").configuration["only"]["models"] == ["mlp"]


def test_of_several_seeds_transfers_go_that_are_from_the_first_one_s_own_model(make: Make) -> None:
    transfer = {"kind": "transfer", "attack": "fgsm", "eps": [0.1], "source_seed": 0}
    other = {**transfer, "name": "other", "source_seed": 1}
    rules = make({**SMALL, "seeds": [0, 1], "attacks": [FGSM, {**transfer}, other]})
    assert study_of(rules).names("attacks") == ["fgsm", "other", "challenge_square"]
    assert study_of(rules).seeds == [0]


def test_results_are_read_where_the_weights_that_they_were_made_from_are_not(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.pt").touch()
    config = {**SMALL, "models": [{"kind": "mlp", "checkpoint": "w.pt"}]}
    make(config)
    (tmp_path / "w.pt").unlink()
    with pytest.raises(ConfigurationError, match=r"w\.pt does not exist"):
        validate(config)
    assert epsigma.open_study(tmp_path / "results").cell(
        attack="fgsm", eps=0.1, filter="none", threat="blind"
    )
    rules, _ = _make_rules(tmp_path / "results")
    assert study_of(rules).models[0].checkpoint == "w.pt"
    assert with_filters(rules, MINE).names("filters") == ["mine"]


def test_where_no_model_is_scored_without_a_filter_nothing_is_said_of_it(tmp_path: Path) -> None:
    row = {
        **dict.fromkeys(COLUMNS),
        **{"dataset": "digits", "model": "mlp", "norm": "linf", "budget_name": "eps"},
        **{"budget": 0.1, "filter": "mine", "n": 6, "attacks": 1, "clean_cost": 0.1},
    }
    rows = pd.DataFrame([row])
    write_table(tmp_path / "tables" / "atlas.csv", rows.assign(model="wide", filter="none"))
    (said,) = page.describe(Scored("mine", rows, is_filter=True), tmp_path)
    assert said.endswith("place 1 of 1")
