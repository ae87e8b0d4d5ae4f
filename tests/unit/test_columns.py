"""How cells are cut into jobs."""

from itertools import product

import pytest
import yaml
from epsigma.configuration import block_levels, validate
from epsigma.plan.columns import cut
from epsigma.plan.grid import cells

STUDY = """
datasets: [{kind: digits}]
models: [{kind: mlp}]
attacks:
  - {kind: fgsm, eps: [0.1, 0]}
  - {kind: jsma, gamma: [0.2]}
filters:
  - {kind: gaussian, sigma: [1, 0.5]}
  - {kind: median, size: [3]}
columns: %s
"""
METRICS = "{dataset}/{model}/seed~{seed}/{threat}/{attack}/{budget}/{filter}/{strength}.json"
SET = "{dataset}/{model}/seed~{seed}/{attack}/{budget}.safetensors"
CLEAN = "{dataset}/{model}/seed~{seed}/clean/{filter}/{strength}.parquet"
HAS = {METRICS: {"budgets": True, "strengths": True}, SET: {"budgets": True}}
HAS[CLEAN] = {"strengths": True}


def study(columns):
    return validate(yaml.safe_load(STUDY % columns))


def jobs(columns, pattern):
    """What the jobs write that make all cells of a study: a list a job, by rule."""
    made = {}
    for cell in cells(study(columns)):
        for column in cut(study(columns), "stage", **HAS[pattern]):
            if column.constraints.items() <= cell.wildcards.items():
                swept = {name for member in column.members for name in member}
                fixed = {k: v for k, v in cell.wildcards.items() if k not in swept}
                made[column.rule, tuple(sorted(fixed.items()))] = [
                    path.format(**fixed) for path in column.over(pattern)
                ]
    return made


def test_a_cell_a_job_is_one_rule_with_all_wildcards():
    (column,) = cut(study("none"), "stage", budgets=True, strengths=True)
    assert (column.rule, column.constraints, column.members) == ("stage", {}, ({},))
    assert column.over(METRICS) == [METRICS]
    assert column.cells({"seed": "0"}) == [{"seed": "0"}]


@pytest.mark.parametrize("pattern", [METRICS, SET, CLEAN])
@pytest.mark.parametrize("columns", ["none", "filter", "attack"])
def test_every_file_is_made_by_one_job_whatever_the_cut(columns, pattern):
    written = [path for paths in jobs(columns, pattern).values() for path in set(paths)]
    # A set is of many cells: the same job makes it for all of them.
    found = {}
    for (rule, wildcards), paths in jobs(columns, pattern).items():
        known = {k: v for k, v in wildcards if f"{{{k}}}" in pattern}
        for path in paths:
            found.setdefault(path, set()).add((rule, tuple(known.items())))
    assert all(len(makers) == 1 for makers in found.values())
    assert set(written) == {pattern.format(**cell.wildcards) for cell in cells(study("none"))}


def test_a_column_is_a_filter_at_all_its_strengths_or_all_budgets_of_an_attack_too():
    by_filter = {column.rule: column for column in cut(study("filter"), "s", strengths=True)}
    assert list(by_filter) == ["s_gaussian", "s_median", "s_none"]
    assert by_filter["s_gaussian"].members == ({"strength": "sigma~0.5"}, {"strength": "sigma~1"})
    assert by_filter["s_none"].members == ({"strength": "fixed"},)
    assert cut(study("filter"), "s", budgets=True)[0].members == ({},)
    both = {c.rule: c for c in cut(study("attack"), "s", budgets=True, strengths=True)}
    assert list(both) == [
        f"s_{attack}_{filter_}"
        for attack, filter_ in product(("fgsm", "jsma"), ("gaussian", "median", "none"))
    ]
    assert both["s_fgsm_gaussian"].constraints == {"attack": "fgsm", "filter": "gaussian"}
    assert [tuple(member.values()) for member in both["s_fgsm_gaussian"].members] == [
        *product(
            block_levels(study("none"), "attacks", "fgsm"),
            block_levels(study("none"), "filters", "gaussian"),
        )
    ]


def test_a_job_reads_each_file_of_its_cells_once_in_their_order():
    columns = {c.rule: c for c in cut(study("attack"), "s", budgets=True, strengths=True)}
    read = columns["s_fgsm_gaussian"].each(lambda cell: cell["budget"] + cell["seed"])
    assert read({"seed": "0"}) == ["eps~00", "eps~0.10"]
    written = columns["s_fgsm_gaussian"].over("{seed}/{budget}/{strength}")
    made = columns["s_fgsm_gaussian"].cells({"seed": "0"})
    # The same order: a job tells by it which file is which cell's.
    assert [path.format(seed=0) for path in written] == [
        "{seed}/{budget}/{strength}".format(**cell) for cell in made
    ]
