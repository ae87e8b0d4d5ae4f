"""Where things stand in the report: few entries on top, the rest by what it is of."""

import copy
import re
from pathlib import Path
from types import SimpleNamespace

import jinja2
import pytest
from epsigma.plan.plan import Plan
from epsigma.plan.report import of_filters
from epsigma.study import validate
from running import SMALL

FGSM = {"dataset": "digits", "model": "mlp", "attack": "fgsm"}


def planned(**changes):
    return Plan(validate({**copy.deepcopy(SMALL), **changes})).report


def place(flagged, **wildcards):
    """The category, the subcategory and the labels of what is flagged; None if it is not shown."""
    shown = getattr(flagged, "flags", {}).get("report")
    if shown is None:
        return None
    found = (shown.category, shown.subcategory, shown.labels)
    return tuple(one(wildcards) if callable(one) else one for one in found)


def test_the_tables_that_matter_are_on_top():
    found = [
        place(planned().table(f"results/tables/{name}.html", "x")) for name in ("headline", "cells")
    ]
    assert found == [("1 Summary", None, {"what": "x"}), ("4 Tables", None, {"what": "x"})]


@pytest.mark.parametrize(
    "name", ["detection", "detectors", "smoothed", "seeds", "fooling", "distortion"]
)
def test_a_table_that_the_study_has_nothing_for_is_not_shown(name):
    path = f"results/tables/{name}.html"
    assert planned().table(path, "x") == path
    assert place(planned().table(path, "x")) is None
    fooling = {"kind": "fooling_noise", "confidence": [0.9]}
    everything = planned(
        seeds=[0, 1],
        filters=[{"kind": "noise", "std": [0.1], "name": "drawn"}],
        detectors=[{"kind": "squeezing", "filters": [{"kind": "bitdepth", "bits": 1}]}],
        attacks=[{"kind": "ddn", "kappa": [0]}, fooling],
        proofs={"smoothing": {}},
    )
    assert place(everything.table(path, "x")) is not None


@pytest.mark.parametrize(
    ("models", "category"), [(1, "1 Summary"), (2, "1 Summary"), (3, "2 Figures")]
)
def test_the_figures_of_few_models_are_on_top(models, category):
    blocks = [{**SMALL["models"][0], "name": f"m{i}"} for i in range(models)]
    (svg,) = planned(models=blocks).figures("model", ["attacks"])
    found, folder, labels = place(svg, dataset="digits", model="m0")
    assert found == category
    about = "digits (8 × 8), MLP 64–16–10 (m0)"
    if category == "1 Summary":
        assert (folder, labels) == (None, {"what": f"accuracy over budget: {about}"})
    else:
        assert (folder, labels) == (about, {"figure": "accuracy over budget", "filter": "none"})


def test_other_figures_are_by_data_set_model_and_attack():
    report, about = planned(), "digits (8 × 8), MLP 64–16–10, FGSM"
    (svg,) = report.figures("attack", ["threats"])
    assert svg == "results/figures/{dataset}/{model}/{attack}/threats.svg"
    labels = {"figure": "blind against aware", "filter": "all"}
    assert place(svg, **FGSM) == ("2 Figures", about, labels)
    (svg,) = report.figures("filter", of_filters(["highpass"], ["gallery"]))
    assert svg == "results/figures/{dataset}/{model}/{attack}/highpass/gallery.svg"
    assert place(svg, **FGSM) == ("2 Figures", about, {"figure": "gallery", "filter": "high-pass"})
    assert report.others("filter", ["highpass/gallery"]) == [f"{svg[:-4]}.png"]
    card = report.card("card.html")
    assert place(card, **FGSM) == ("3 Attack cards", None, {"what": about})


CAPTIONS = sorted(
    path
    for path in (Path(__file__).parents[2] / "workflow" / "report").glob("*.rst")
    if "snakemake.wildcards" in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("path", CAPTIONS, ids=lambda path: path.stem)
def test_a_caption_has_the_names_that_readers_know(path):
    attacks = [{"kind": "carlini_wagner", "kappa": [0]}]
    plan = Plan(validate({**copy.deepcopy(SMALL), "attacks": attacks}))
    wildcards = {"dataset": "digits", "model": "mlp", "attack": "carlini_wagner"}
    scope = path.stem.partition("_")[0].replace("filter", "filters")
    recipe = getattr(plan.recipes, f"draw_{scope}")
    made = recipe(wildcards) if scope in ("attack", "filters") else recipe()
    given = SimpleNamespace(
        wildcards=wildcards, params=SimpleNamespace(recipe=SimpleNamespace(**made))
    )
    template = jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(
        path.read_text(encoding="utf-8")
    )
    said = template.render(snakemake=given)
    assert re.search("digits \\(8 × 8\\)|MLP 64–|Carlini & Wagner", said)
    assert not re.search("carlini_wagner|mlp|~", said)
