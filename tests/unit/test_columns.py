"""How cells become columns: which rules make them, and which cells a job has."""

import re
from itertools import product
from pathlib import Path

import pytest
import yaml
from epsigma.plan.columns import (
    STAGES,
    STAGES_OF_FOOLING,
    STAGES_OF_SETS,
    STAGES_ON_IMAGES,
    cells_of_job,
    list_twins,
)
from epsigma.plan.grid import cells
from epsigma.plan.jobs import _file_of
from epsigma.plan.outputs import fill, fill_log
from epsigma.plan.paths import CLEAN_LEDGER, METRICS
from epsigma.plan.plan import Plan
from epsigma.plan.settings import block_levels
from epsigma.study import validate
from snakemake.iocontainers import Wildcards

STUDY = """
datasets: [{kind: digits}]
models: [{kind: mlp}]
attacks:
  - {kind: fgsm, eps: [0.1, 0]}
  - {kind: jsma, gamma: [0.2]}
  - {kind: fooling, confidence: [0.5, 0.9]}
filters:
  - {kind: gaussian, sigma: [1, 0.5]}
  - {kind: median, size: [3]}
columns: %s
"""


def study(columns):
    return validate(yaml.safe_load(STUDY % columns))


def twins(columns, stage):
    return {twin.rule: twin for twin in list_twins(study(columns)) if twin.stage == stage}


def test_a_study_without_columns_has_no_twins_and_a_job_its_own_cell_only():
    assert list_twins(study("none")) == []
    wildcards = {"attack": "fgsm", "budget": "eps~0", "filter": "gaussian", "strength": "sigma~1"}
    assert cells_of_job(study("none"), wildcards) == [wildcards]


@pytest.mark.parametrize(
    ("stages", "pattern"),
    [(("evaluate", "evaluate_fooling"), METRICS), (("evaluate_clean",), CLEAN_LEDGER)],
)
@pytest.mark.parametrize("columns", ["filter", "attack"])
def test_every_file_is_made_by_one_twin(columns, stages, pattern):
    makers = {}
    for twin in [twin for stage in stages for twin in twins(columns, stage).values()]:
        for path in fill(twin, pattern):
            for cell in cells(study(columns)):
                told = {key: rule.split("|") for key, rule in twin.constraints.items()}
                found = cell.wildcards
                filled = all(found[key] in names for key, names in told.items())
                if filled and path.format(**found) == pattern.format(**found):
                    makers.setdefault(path.format(**found), set()).add(twin.rule)
    assert all(len(rules) == 1 for rules in makers.values())
    assert set(makers) == {pattern.format(**cell.wildcards) for cell in cells(study("none"))}


def test_a_column_is_a_filter_at_all_its_strengths_or_all_budgets_of_an_attack_too():
    by_filter = twins("filter", "evaluate")
    assert list(by_filter) == ["evaluate_gaussian", "evaluate_median", "evaluate_none"]
    gaussian = by_filter["evaluate_gaussian"]
    assert gaussian.members == ({"strength": "sigma~0.5"}, {"strength": "sigma~1"})
    assert gaussian.constraints == {"attack": "fgsm|jsma", "filter": "gaussian"}
    assert by_filter["evaluate_none"].members == ({"strength": "fixed"},)
    # What has no filter has no columns over one.
    assert twins("filter", "attack") == {}
    both = twins("attack", "evaluate")
    assert list(both) == [
        f"evaluate_{attack}_{filter_}"
        for attack, filter_ in product(("fgsm", "jsma"), ("gaussian", "median", "none"))
    ]
    column = both["evaluate_fgsm_gaussian"]
    assert column.constraints == {"attack": "fgsm", "filter": "gaussian"}
    assert [tuple(member.values()) for member in column.members] == [
        *product(
            block_levels(study("none"), "attacks", "fgsm"),
            block_levels(study("none"), "filters", "gaussian"),
        )
    ]
    # The convergence of an attack is looked at at one budget.
    assert twins("attack", "probe_attack")["probe_attack_gaussian"].members == gaussian.members


@pytest.mark.parametrize("columns", ["filter", "attack"])
def test_an_attack_at_some_strengths_of_a_filter_has_no_column_of_it(columns):
    told = yaml.safe_load(STUDY % columns)
    told["attacks"][0]["filters"] = ["gaussian/sigma~1", "median"]
    for twin in list_twins(validate(told)):
        attacks = twin.constraints.get("attack", "").split("|")
        assert ("fgsm" in attacks) <= (twin.constraints.get("filter") != "gaussian")
    found = {twin.rule for twin in list_twins(validate(told))}
    others = {"evaluate_fgsm_median", "evaluate_jsma_gaussian"}
    assert (others if columns == "attack" else {"evaluate_median", "evaluate_gaussian"}) <= found


def test_fooling_images_have_columns_of_their_own():
    made = {twin.stage: twin for twin in list_twins(study("attack"))}
    assert set(made) == {*STAGES, *STAGES_OF_SETS, *STAGES_ON_IMAGES, *STAGES_OF_FOOLING}
    assert list(twins("attack", "fool")) == ["fool_fooling"]


def test_a_job_s_cells_are_in_the_order_of_its_files():
    column = twins("attack", "evaluate")["evaluate_fgsm_gaussian"]
    wildcards = {"seed": "0", "attack": "fgsm", "filter": "gaussian"}
    made = cells_of_job(study("attack"), wildcards)
    pattern = "{seed}/{budget}/{strength}"
    assert [path.format(seed=0) for path in fill(column, pattern)] == [
        pattern.format(**cell) for cell in made
    ]
    assert len(made) == 4
    # A probe of an attack has no budget in its path, whatever the column.
    (probe,) = cells_of_job(study("none"), {**wildcards, "strength": "sigma~1"}, ["strength"])
    assert probe == {**wildcards, "strength": "sigma~1"}


def test_a_column_has_one_log_whose_wildcards_are_those_of_its_files():
    for columns in ("filter", "attack"):
        for twin in twins(columns, "evaluate").values():
            log = fill_log(twin, METRICS.replace("results/", "logs/").replace(".json", ".log"))
            files = {re.sub(r"[^{}]*({\w+})[^{}]*", r"\1", path) for path in fill(twin, METRICS)}
            assert files == {re.sub(r"[^{}]*({\w+})[^{}]*", r"\1", log)}


@pytest.mark.parametrize("columns", ["filter", "attack"])
def test_a_set_that_cells_have_in_common_is_listed_once_and_given_to_each(columns):
    column = {"dataset": "digits", "model": "mlp", "seed": "0", "threat": "blind"}
    column |= {"attack": "fgsm", "filter": "gaussian"}
    if columns == "filter":
        column["budget"] = "eps~0.1"
    plan = Plan(validate({**yaml.safe_load(STUDY % columns), "keep_filtered": False}))
    sets = plan.inputs.unfiltered_set(Wildcards(fromdict=column))
    budgets = ["eps~0", "eps~0.1"] if columns == "attack" else ["eps~0.1"]
    listed = [sets] if isinstance(sets, str) else sets
    assert [Path(one).stem for one in listed] == budgets
    cells_ = cells_of_job(plan.study, column)
    given = [_file_of(sets, index, len(cells_)) for index in range(len(cells_))]
    assert [Path(one).stem for one in given] == [cell["budget"] for cell in cells_]
