import copy
import inspect
import re
import subprocess
import sys
from pathlib import PurePosixPath

import pytest
from epsigma.loading import load
from epsigma.plan.drawing_recipes import DrawingRecipes
from epsigma.plan.figures import FigureRule, draw_modules, draw_settings, figures_of, split_rules
from epsigma.plan.names import names_of as names_for_readers
from epsigma.plan.plan import Plan
from epsigma.registry import REGISTRIES
from epsigma.registry.figures import (
    BLIND_FILTERS as BLIND,
)
from epsigma.registry.figures import (
    BOUNDED,
    BOUNDED_FILTERS,
    DETECTORS,
    DISTANCES,
    FIGURES,
    SMOOTHING,
    TRACED,
)
from epsigma.registry.figures import FILTERS as FILTERED
from epsigma.registry.labels import LABELS
from epsigma.study import validate
from running import ROOT, SMALL
from snakemake.iocontainers import Wildcards

ENTRIES = [(scope, name) for scope, entries in FIGURES.items() for name in entries]


@pytest.mark.parametrize(("scope", "name"), ENTRIES)
def test_a_figure_is_a_function_of_its_data_with_a_caption(scope, name):
    kind = FIGURES[scope][name]
    function = load(kind.implementation)
    assert [*inspect.signature(function).parameters] == ["data"]
    assert kind.module == function.__module__
    assert (ROOT / "workflow" / "report" / f"{scope}_{name}.rst").read_text(encoding="utf-8")
    assert kind.filter in ("all", "none")
    # What is needed elsewhere is never asked about, and would never be drawn.
    assert scope in ("attack", "model") or kind.needs is None


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
    of_attacks = {**figures_of("attack"), **figures_of("attack", FILTERED, BLIND, DISTANCES)}
    scopes = [of_attacks, figures_of("attack", TRACED), figures_of("filter")]
    scopes += [figures_of("model", BOUNDED, BOUNDED_FILTERS), figures_of("dataset")]
    scopes += [figures_of("model", DETECTORS), figures_of("model", SMOOTHING)]
    modules = [module for figures in scopes for module in draw_modules(figures)[1:]]
    assert len(modules) == len(set(modules))


FILTERS = [{"kind": "gaussian", "sigma": [1]}, {"kind": "median", "name": "b", "size": [3]}]


def figure_plan(**changes):
    given = {**copy.deepcopy(SMALL), "filters": FILTERS, **changes}
    return Plan(validate(given)).targets.drawings


def attack(kind="fgsm", swept="eps", **keys):
    return {"kind": kind, swept: [0.1], **keys}


def test_what_is_drawn_alike_has_one_rule():
    drawn = {("fgsm", "mlp"): ["b", "a"], ("pgd", "cnn"): ["b", "a"], ("jsma", "mlp"): []}
    # One of which nothing is drawn is never asked for, and one rule still is enough.
    found = split_rules("draw", drawn, ("attack", "model"))
    assert found == [FigureRule("draw", ("b", "a"), {})]


def test_what_is_drawn_otherwise_has_a_rule_each_for_the_models_on_which_it_is():
    drawn = {
        ("fgsm", "mlp"): ["a", "b"],
        ("fgsm", "cnn"): ["a", "b"],
        ("fgsm", "cnn/t~1"): ["a"],
        ("pgd", "mlp"): ["a", "b"],
    }
    assert split_rules("draw", drawn, ("attack", "model")) == [
        FigureRule("draw_1", ("a", "b"), {"attack": "fgsm", "model": "mlp|cnn"}),
        FigureRule("draw_2", ("a",), {"attack": "fgsm", "model": re.escape("cnn/t~1")}),
        FigureRule("draw_3", ("a", "b"), {"attack": "pgd", "model": "mlp"}),
    ]


def names_of(plan, folder):
    """The figures in a folder, without their formats."""
    found = [PurePosixPath(path.removeprefix("results/figures/digits/")) for path in plan.paths()]
    return [path.stem for path in found if str(path.parent) == folder and path.suffix == ".svg"]


ALWAYS, OF_FILTERS = ["accuracy", "spectrum"], ["success", "threats", "smallest"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, [*ALWAYS, *OF_FILTERS]),
        # Its loss is followed, if its probe runs it for the checks.
        ({"attacks": [attack("pgd")]}, [*ALWAYS, *OF_FILTERS, "convergence"]),
        ({"attacks": [attack("pgd")], "checks": "cheap"}, [*ALWAYS, *OF_FILTERS]),
        ({"attacks": [attack("pgd")], "filters": []}, [*ALWAYS, "convergence"]),
        ({"filters": []}, ALWAYS),
        # Fooling images are at no distance from anything, and nothing bounds them.
        (
            {"attacks": [attack("fooling_noise", "confidence")]},
            [*ALWAYS, "success", "threats"],
        ),
        # Of what minimises a norm there are distances if a budget ε may bound it.
        ({"attacks": [attack("fmn", "kappa")]}, [*ALWAYS, *OF_FILTERS]),
        ({"attacks": [attack("fmn_l1", "kappa")]}, [*ALWAYS, "success", "threats"]),
        # Only those who know the filter meet it.
        ({"attacks": [attack(threats=["aware"])]}, [*ALWAYS, "threats", "smallest"]),
        ({"figures": {"kinds": ["attack_threats", "filter_gallery"]}}, ["threats"]),
        ({"figures": {"kinds": []}}, []),
    ],
)
def test_an_attack_has_the_figures_that_show_something(changes, expected):
    plan = figure_plan(**changes)
    (name,) = (one["kind"] for one in changes.get("attacks", [attack()]))
    assert sorted(names_of(plan, f"mlp/{name}")) == sorted(expected)
    # The rules draw these, and no others.
    drawn = [name for rule in plan.attack_rules() for name in rule.drawn]
    assert sorted(drawn) == sorted({*expected} - {"convergence", "spectrum"})
    assert [*plan.wanted("attack", early=True)] == [one for one in expected if one == "spectrum"]
    assert plan.convergence("mlp", name) == ("convergence" in expected)


def test_a_card_is_made_anew_where_it_gains_or_loses_its_figure():
    wildcards = Wildcards(fromdict={"dataset": "digits", "model": "mlp", "attack": "pgd"})

    def digest(**figures):
        study = validate({**copy.deepcopy(SMALL), "attacks": [attack("pgd")], "figures": figures})
        return Plan(study).targets.digest_of_card(wildcards)

    assert digest() == digest(kinds=["attack_convergence"]) == digest(font_size=8)
    assert digest() != digest(kinds=["attack_threats"]) == digest(kinds=[])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ["attacks", "worst_case"]),
        ({"filters": []}, ["attacks"]),
        ({"attacks": [attack("fooling_noise", "confidence")]}, []),
        ({"figures": {"kinds": ["model_worst_case"]}}, ["worst_case"]),
    ],
)
def test_a_model_has_the_figures_that_show_something(changes, expected):
    plan = figure_plan(**changes)
    assert names_of(plan, "mlp") == expected
    assert [name for rule in plan.model_rules() for name in rule.drawn] == expected


def test_attacks_of_other_figures_have_other_rules():
    fooling = attack("fooling_noise", "confidence")
    first, second = figure_plan(attacks=[attack(), fooling]).attack_rules()
    assert first.constraints == {"attack": "fgsm", "model": "mlp"}
    assert {*first.drawn} - {*second.drawn} == {"smallest"}


def test_filters_detectors_votes_and_costs_are_drawn_where_there_are_some():
    noise = {"kind": "noise", "std": [0.1]}
    watched = {**FILTERS[0], "name": "watched", "detectors": ["squeezing"]}
    plan = figure_plan(
        filters=[noise, watched],
        detectors=[{"kind": "squeezing", "filters": [{"kind": "bitdepth", "bits": 1}]}],
        proofs={"smoothing": {}},
        measure_cost=True,
    )
    assert names_of(plan, "mlp/fgsm/noise") == ["accuracy", "gallery"]
    for early in (False, True):
        (rule,) = plan.filter_rules("draw_them", early=early)
        assert (rule.name, rule.drawn) == ("draw_them", ("noise", "watched"))
    assert {"detectors", "smoothed"} < {*names_of(plan, "mlp")}
    assert names_of(plan, ".") == ["defences", "atlas"]
    none = figure_plan()
    assert not {"detectors", "smoothed"} & {*names_of(none, "mlp")}
    assert names_of(none, ".") == []


@pytest.mark.parametrize("formats", [[], ["png"], ["png", "pdf"]])
def test_figures_are_svg_and_in_the_formats_that_are_asked_for(formats):
    found = [*map(PurePosixPath, figure_plan(figures={"formats": formats}).paths())]
    suffixes = {path.suffix for path in found}
    assert suffixes == {".svg", *(f".{name}" for name in formats)}
    assert len(found) == len(suffixes) * len({path.with_suffix("") for path in found})


def test_what_figures_look_like_is_told_to_those_who_draw_and_to_nobody_else():
    plans = [
        Plan(validate({**copy.deepcopy(SMALL), "figures": {"font_size": size}})) for size in (8, 9)
    ]
    one, other = (plan.recipes.draw_model() for plan in plans)
    assert one["settings"]["look"] == {"formats": ["png"], "panel_width": 5.2, "font_size": 8}
    assert one != other
    for recipe in ("check", "tabulate", "unpack", "pages", "collect", "gate"):
        one, other = (getattr(plan.recipes, recipe)() for plan in plans)
        assert one == other


@pytest.mark.parametrize(
    ("section", "block", "name"),
    [
        ("attacks", {"kind": "fgsm", "eps": [0.1]}, "FGSM"),
        ("attacks", {"kind": "pgd", "eps": [0.1], "name": "pgd_40"}, "PGD (pgd_40)"),
        ("filters", {"kind": "lowpass", "cutoff": [0.1]}, "low-pass"),
        ("models", {"kind": "mlp", "hidden": 48}, "MLP 64–48–10"),
        ("models", {"kind": "maxout", "units": 9}, "maxout network 64–9–9–10"),
        ("models", {"kind": "cnn", "name": "madry"}, "CNN (madry)"),
        ("datasets", {"kind": "mnist"}, "MNIST"),
    ],
)
def test_readers_call_blocks_as_papers_do(section, block, name):
    datasets = {} if section == "datasets" else {"datasets": [{"kind": "digits"}]}
    names = names_for_readers(validate({**copy.deepcopy(SMALL), **datasets, section: [block]}))
    found = names[section]["digits"] if section == "models" else names[section]
    assert found[block.get("name", block["kind"])] == name


def test_every_kind_that_has_a_label_is_there():
    for section, labels in LABELS.items():
        assert labels.keys() <= REGISTRIES[section].keys()
        assert len({*labels.values()}) == len(labels)


@pytest.mark.parametrize("rule", ["draw_spectrum", "draw_galleries"])
def test_what_is_drawn_of_the_first_seed_is_drawn_anew_where_that_is_another(rule):
    def recipe(*seeds):
        recipes = DrawingRecipes(validate({**copy.deepcopy(SMALL), "seeds": list(seeds)}))
        return getattr(recipes, rule)({"attack": "fgsm"})

    assert recipe(0) == recipe(0, 1)
    assert recipe(0) != recipe(1)
    assert recipe(0, 1) != recipe(1, 0)
