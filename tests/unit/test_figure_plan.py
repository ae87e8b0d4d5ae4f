import inspect
import re
import subprocess
import sys
from itertools import product

import pytest
from epsigma.cell import FIXED_LEVEL, Cell
from epsigma.loading import load
from epsigma.plan.figures import (
    FilterRule,
    draw_modules,
    draw_settings,
    figure_paths,
    figures_of,
    filter_rules,
)
from epsigma.registry.figures import FIGURES
from running import ROOT

ENTRIES = [(scope, name) for scope, entries in FIGURES.items() for name in entries]


@pytest.mark.parametrize(("scope", "name"), ENTRIES)
def test_a_figure_is_a_function_of_its_data_with_a_caption(scope, name):
    kind = FIGURES[scope][name]
    function = load(kind.implementation)
    assert [*inspect.signature(function).parameters] == ["data"]
    assert kind.module == function.__module__
    assert (ROOT / "workflow" / "report" / f"{scope}_{name}.rst").read_text(encoding="utf-8")
    assert kind.filter in ("all", "none")
    # Only models are with or without detectors; what says so elsewhere would never be drawn.
    assert scope == "model" or not (kind.detectors or kind.smoothing)


def test_every_caption_of_a_figure_has_its_figure():
    found = {path.stem for path in (ROOT / "workflow" / "report").glob("*.rst")}
    captions = {stem for stem in found if stem.partition("_")[0] in FIGURES}
    assert captions == {f"{scope}_{name}" for scope, name in ENTRIES}


def test_the_registry_imports_nothing_that_draws_or_computes():
    heavy = ("matplotlib", "numpy", "pandas", "torch")
    code = f"import sys, epsigma.plan.figures; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT / "workflow"
    )
    assert done.stdout.strip() == "[]"


def test_a_job_is_told_the_functions_of_its_figures_and_runs_their_modules():
    figures = figures_of("filter")
    assert draw_settings(figures, norms={"fgsm": "linf"}) == {
        "functions": {
            "accuracy": "epsigma.figures.strengths:accuracy_by_strength",
            "gallery": "epsigma.figures.gallery:images_by_strength",
        },
        "norms": {"fgsm": "linf"},
    }
    modules = ["epsigma.stages.draw", "epsigma.figures.strengths", "epsigma.figures.gallery"]
    assert draw_modules(figures) == modules
    # A module that draws several figures is named once.
    found = draw_modules(figures_of("attack"))
    assert len(found) == len(set(found))


def test_the_figures_of_scopes_share_no_module():
    # So that an edited figure is redrawn, and those of other scopes are not.
    scopes = [figures_of(scope) for scope in FIGURES]
    scopes += [figures_of("model", detectors=True), figures_of("model", smoothing=True)]
    modules = [module for figures in scopes for module in draw_modules(figures)[1:]]
    assert len(modules) == len(set(modules))


def cells(met, threats=("blind", "aware"), datasets=("digits",)):
    """Cells of attacks on models: `met` has the filters by model and attack."""
    return [
        Cell(dataset, model, 0, threat, attack, FIXED_LEVEL, name, FIXED_LEVEL)
        for dataset, threat, (model, attack) in product(datasets, threats, met)
        for name in (["none"] if threat == "blind" else []) + met[model, attack]
    ]


def test_attacks_that_meet_the_same_filters_have_one_rule():
    met = {pair: ["b", "a"] for pair in product(["mlp", "cnn"], ["fgsm", "pgd"])}
    # One that meets none has nothing drawn, and one rule still is enough.
    found = filter_rules(cells({**met, ("mlp", "jsma"): []}))
    assert found == [FilterRule("draw_filters", ("b", "a"), {})]


def test_attacks_that_meet_other_filters_have_a_rule_each_for_the_models_on_which_they_do():
    met = {
        ("mlp", "fgsm"): ["a", "b"],
        ("cnn", "fgsm"): ["a", "b"],
        ("cnn/t~1", "fgsm"): ["a"],
        ("mlp", "pgd"): ["a", "b"],
    }
    assert filter_rules(cells(met)) == [
        FilterRule("draw_filters_1", ("a", "b"), {"attack": "fgsm", "model": "mlp|cnn"}),
        FilterRule("draw_filters_2", ("a",), {"attack": "fgsm", "model": re.escape("cnn/t~1")}),
        FilterRule("draw_filters_3", ("a", "b"), {"attack": "pgd", "model": "mlp"}),
    ]


@pytest.mark.parametrize("threats", [("aware",), ()])
def test_without_a_blind_attack_on_a_filter_no_rule_draws_filters(threats):
    assert filter_rules(cells({("mlp", "fgsm"): ["a"]}, threats)) == []


def test_the_figures_of_a_study_are_those_of_all_that_it_has():
    study = cells(
        {("mlp", "fgsm"): ["a", "watched"], ("cnn", "fgsm"): ["a"], ("cnn", "pgd"): []},
        datasets=("digits", "mnist"),
    )
    found = figure_paths(study, with_detectors=["watched"], measure_cost=True, smoothed=["a"])
    assert len(found) == len(set(found))
    assert {path[-3:] for path in found} == {"svg", "png"}
    folders = {
        "{d}/mlp/fgsm": figures_of("attack"),
        "{d}/cnn/fgsm": figures_of("attack"),
        "{d}/cnn/pgd": figures_of("attack"),
        "{d}/mlp/fgsm/a": figures_of("filter"),
        "{d}/mlp/fgsm/watched": figures_of("filter"),
        "{d}/cnn/fgsm/a": figures_of("filter"),
        "{d}/mlp": [*figures_of("model"), "detectors", "smoothed"],
        "{d}/cnn": [*figures_of("model"), "smoothed"],
        "{d}": ["defences"],
    }
    assert set(found) == {
        f"results/figures/{folder.format(d=dataset)}/{name}.{suffix}"
        for dataset in ("digits", "mnist")
        for folder, names in folders.items()
        for name in names
        for suffix in ("svg", "png")
    }


def test_neither_costs_nor_detectors_nor_votes_are_drawn_where_there_are_none():
    study = cells({("mlp", "fgsm"): ["a"]})
    found = figure_paths(study, with_detectors=[], measure_cost=False)
    others = ("detectors", "defences", "smoothed")
    assert not [path for path in found if any(name in path for name in others)]
