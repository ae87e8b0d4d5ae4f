"""A study without filters, `filters: []`: attacks alone."""

import copy

import pytest
from epsigma.plan.plan import Plan
from epsigma.study import validate
from running import SMALL

VARIANTS = {
    "plain": {},
    "columns": {"columns": "filter"},
    "wider columns": {"columns": "attack"},
    "rounded": {"requantise": True, "keep_filtered": False, "keep_aware": False},
    "proofs": {"proofs": {"exact_examples": 2}},
    "cost": {"measure_cost": True},
    "fooling": {"attacks": [{"kind": "fooling", "confidence": [0.9]}]},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_study_without_filters_scores_every_attack_without_one(variant):
    given = {**copy.deepcopy(SMALL), "filters": [], **VARIANTS[variant]}
    study = validate(given)
    assert study.filters == validate(study).filters == []
    plan = Plan(study)
    levels = sum(len(attack.levels) for attack in study.attacks)
    assert [(cell.threat, cell.filter) for cell in plan.cells] == [("blind", "none")] * levels
    targets = plan.targets
    assert len(targets.metrics) == len(targets.ledgers) == levels
    assert len(targets.clean_ledgers()) == 1
    for early in (False, True):
        assert targets.drawings.filter_rules("draw", early=early) == []
    figures = targets.figures()
    # There is nothing to compare.
    assert not any(name in path for path in figures for name in ("worst_case", "threats"))
    assert any("spectrum" in path for path in figures)
    assert not any(path.count("/") > 5 or "filters" in path for path in figures)
