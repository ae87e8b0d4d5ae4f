"""Which checks a study asks for, and what is measured for them."""

from typing import Any

import pytest
from epsigma.plan.plan import Plan
from epsigma.registry.checks import CHECKS, COSTLY, COSTS
from epsigma.study import ConfigurationError, validate

STUDY: dict[str, Any] = {
    "datasets": [{"kind": "digits"}],
    "models": [{"kind": "mlp"}],
    "attacks": [
        {"kind": "fgsm", "eps": [0.1]},
        {"kind": "pgd", "eps": [0, 0.1]},
        {"kind": "pgd", "name": "slow", "eps": [0, 0.1], "steps": 99},
        {"kind": "square", "eps": [0.1]},
        {"kind": "sign_noise", "eps": [0.1]},
    ],
    "filters": [{"kind": "gaussian", "sigma": [1]}, {"kind": "noise", "std": [0.1]}],
}
PROBED = {"dataset": "digits", "model": "mlp", "seed": "0"}


class Wildcards(dict[str, str]):
    __getattr__ = dict.__getitem__


def plan_with(checks: Any) -> Plan:
    return Plan(validate({**STUDY, "checks": checks}))


def wildcards(attack: str, filter_name: str, threat: str = "aware") -> Wildcards:
    strength = {"none": "fixed", "gaussian": "sigma~1", "noise": "std~0.1"}[filter_name]
    level = {"threat": threat, "filter": filter_name, "strength": strength, "budget": "eps~0.1"}
    return Wildcards(**PROBED, attack=attack, **level)


@pytest.mark.parametrize(
    ("checks", "models", "filters", "attacks"),
    [
        # Of attacks there are three targets: bare, and through two filters.
        ("all", 1, 3, 12),
        (["surrogate"], 0, 0, 4),
        # Of one filter that draws, by two attacks.
        (["draws"], 0, 0, 2),
        ("cheap", 1, 3, 9),
        (["above_chance"], 1, 0, 0),
        (["formula", "in_ball"], 0, 3, 0),
        (["auto_pgd"], 0, 0, 6),
        (["converged"], 0, 0, 9),
        ([], 0, 0, 0),
    ],
)
def test_only_what_a_wanted_check_needs_is_measured(
    checks: Any, models: int, filters: int, attacks: int
) -> None:
    targets = plan_with(checks).targets
    found = targets.model_probes(), targets.filter_probes(), targets.attack_probes()
    assert tuple(map(len, found)) == (models, filters, attacks)


def test_cheap_checks_run_no_attack() -> None:
    cheap = plan_with("cheap").study.wanted_checks
    assert set(CHECKS) - set(cheap) == {
        *("unbounded", "half_range", "auto_pgd", "surrogate", "draws"),
        *("converged", "converged_size", "levelled"),
    }
    assert {check.needs for check in CHECKS.values()} == {None, *COSTS}
    assert set(COSTLY) < set(COSTS)


@pytest.mark.parametrize("checks", ["quick", ["logits", "lodgits"], ["all"]])
def test_a_check_that_there_is_not_is_refused_with_those_that_there_are(checks: Any) -> None:
    with pytest.raises(ConfigurationError) as raised:
        plan_with(checks)
    assert all(name in str(raised.value) for name in ("cheap", *CHECKS))
    assert len(str(raised.value).splitlines()) == 2


def test_other_checks_are_judged_on_the_same_cells() -> None:
    every, few = plan_with("all").recipes, plan_with(["gradients"]).recipes
    here = wildcards("pgd", "gaussian")
    for name in ("dataset", "train", "attack", "attack_aware", "filter", "evaluate", "gallery"):
        assert getattr(every, name)(here) == getattr(few, name)(here), name
    assert every.tabulate() == few.tabulate()
    # What is told of those that are wanted is another thing.
    assert few.probe_attack(here)["settings"]["parts"] == ["gradients"]
    assert list(few.check()["settings"]["checks"]) == ["gradients"]
    assert set(few.check()["settings"]["left_out"]) == set(CHECKS) - {"gradients"}
    assert every.check()["settings"]["left_out"] == []


def test_auto_pgd_runs_beside_one_of_the_attacks_with_the_same_ball() -> None:
    recipes = plan_with("all").recipes
    told = [recipes.probe_attack(wildcards(name, "none", "blind")) for name in ("pgd", "slow")]
    assert [one["settings"]["is_held"] for one in told] == [True, False]


@pytest.mark.parametrize(
    ("first", "second", "beside_first", "beside_second"),
    [
        ({}, {}, True, False),
        # The first is not there: another one takes its place.
        ({"models": ["cnn"]}, {}, False, True),
        ({"datasets": ["mnist5k"]}, {}, False, True),
        ({"filters": []}, {}, False, True),
        ({"filters": ["gaussian/sigma~1"]}, {}, False, True),
        ({"filters": ["gaussian/sigma~1"]}, {"filters": ["gaussian/sigma~2"]}, True, True),
    ],
)
def test_auto_pgd_runs_wherever_an_attack_is_met(
    first: Any, second: Any, beside_first: bool, beside_second: bool
) -> None:
    study = validate(
        {
            "datasets": [{"kind": "digits"}, {"kind": "mnist5k"}],
            "models": [{"kind": "mlp"}, {"kind": "cnn"}],
            "attacks": [
                {"kind": "pgd", "name": "first", "eps": [0.1], **first},
                {"kind": "pgd", "name": "second", "eps": [0.1], "loss": "margin", **second},
            ],
            "filters": [{"kind": "gaussian", "sigma": [1, 2]}],
        }
    )
    recipes = Plan(study).recipes
    held = [
        recipes.probe_attack(wildcards(name, "gaussian"))["settings"]["is_held"]
        for name in ("first", "second")
    ]
    assert held == [beside_first, beside_second]


@pytest.mark.parametrize(
    ("checks", "attack", "filter_name", "is_read"),
    [
        ("all", "pgd", "gaussian", True),
        ("all", "square", "gaussian", True),
        # Its attacker averages over draws; a cell draws once.
        ("all", "pgd", "noise", False),
        # It is run neither as it is nor for longer.
        ("all", "fgsm", "gaussian", False),
        ("cheap", "pgd", "gaussian", False),
    ],
)
def test_a_probe_reads_its_cell_where_that_saves_a_run(
    checks: str, attack: str, filter_name: str, is_read: bool
) -> None:
    here = wildcards(attack, filter_name)
    del here["budget"]
    found = plan_with(checks).inputs.probed_cells(here)
    path = f"results/digits/mlp/seed~0/ledger/aware/{attack}/eps~0.1/gaussian/sigma~1.parquet"
    assert found == ([path] if is_read else [])
