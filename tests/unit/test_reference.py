import math

import pandas as pd
import pytest
from epsigma.registry.attacks import ATTACKS
from epsigma.registry.models import MODELS
from epsigma.stages.reference import set_beside_published
from epsigma.study import expand, validate
from epsigma.tables.reading import read_table
from epsigma.tables.reference import COLUMNS, PUBLISHED, Published, Study, scoreboard
from epsigma.vocabulary import AWARE, BLIND

ATTACK = Published("Someone", "error", 0.75, "in words", "why", ("cnn",), "fgsm", 0.25)
CLEAN = Published("Someone", "clean", 0.9, "in words", "why", ("mlp", "cnn"))
TARGETED = Published(
    "Someone", "success", 0.5, "in words", "why", ("cnn",), "jsma", 0.1, {"targets": "all"}
)

DATASETS = {"mnist": "mnist", "big": "mnist", "small": "mnist5k", "digits": "digits"}
MODELS_OF = {"net": "cnn", "wide": "cnn", "mlp": "mlp"}
BLOCKS = {
    "fgsm": {"kind": "fgsm", "loss": "cross_entropy"},
    "again": {"kind": "fgsm", "loss": "cross_entropy"},
    "margin": {"kind": "fgsm", "loss": "margin"},
    "pgd": {"kind": "pgd", "loss": "cross_entropy"},
    "jsma": {"kind": "jsma", "targets": "all", "theta": 1},
    "some": {"kind": "jsma", "targets": [1, 2], "theta": 1},
}


def cell(**where):
    """A row of a table: what a study measured at the place of the published figure."""
    return {
        "dataset": "mnist",
        "model": "net",
        "seed": 0,
        "threat": BLIND,
        "attack": "fgsm",
        "budget": 0.25,
        "filter": "none",
        "n": 100,
        "accuracy": 0.2,
        "accuracy_low": 0.125,
        "accuracy_high": 0.3,
        "confidence": 0.8,
        "success": 0.4,
        "success_low": 0.3,
        "success_high": 0.5,
        "l2_best": 1.5,
        "changed": 0.05,
        **where,
    }


def board(figure, *rows, blocks=BLOCKS):
    """What the scoreboard says of a figure, if a study has such cells (in all of its tables)."""
    table = pd.DataFrame(rows or [cell(dataset="digits")])
    study = Study(table, table, table, DATASETS, MODELS_OF, blocks)
    found = scoreboard(study, [figure])
    assert list(found.columns) == COLUMNS
    return found.to_dict("records")


def figure(quantity, attack="fgsm", budget=0.25, **parameters):
    return Published("Someone", quantity, 0.75, "", "", ("cnn",), attack, budget, parameters)


@pytest.mark.parametrize(
    ("quantity", "ours", "bounds"),
    [
        ("accuracy", 0.2, (0.125, 0.3)),
        # Errors are what accuracy leaves, and their interval is the other way round.
        ("error", 0.8, (0.7, 0.875)),
        # Of means there is no interval.
        ("confidence", 0.8, None),
        ("success", 0.4, (0.3, 0.5)),
        ("changed", 0.05, None),
        ("l2_best", 1.5, None),
    ],
)
def test_a_published_figure_has_ours_beside_it(quantity, ours, bounds):
    (row,) = board(figure(quantity), cell(), blocks={"fgsm": BLOCKS["fgsm"]})
    assert row["published"] == 0.75
    assert row["ours"] == pytest.approx(ours)
    assert row["difference"] == pytest.approx(ours - 0.75)
    found = row["ours_low"], row["ours_high"]
    if bounds is None:
        assert all(math.isnan(bound) for bound in found)
    else:
        assert found == pytest.approx(bounds)
    assert (row["n"], row["dataset"], row["model"], row["seed"], row["attack"]) == (
        *(100, "mnist", "net", 0, "fgsm"),
    )


@pytest.mark.parametrize(
    "elsewhere",
    [
        # The same images, but fewer, or others: not what was published.
        {"dataset": "small"},
        {"dataset": "digits"},
        {"model": "mlp"},
        {"threat": AWARE},
        {"filter": "gaussian"},
        {"budget": 0.3},
        {"attack": "pgd"},
        {"attack": "jsma"},
    ],
    ids=str,
)
def test_what_was_measured_otherwise_is_no_measurement_of_it(elsewhere):
    (row,) = board(ATTACK, cell(**elsewhere))
    assert math.isnan(row["ours"])
    assert math.isnan(row["difference"])
    assert (row["source"], row["published"]) == ("Someone", 0.75)
    assert "not measured" in row["why"]
    assert pd.isna(row["n"])
    assert pd.isna(row["seed"])


def test_names_do_not_matter_but_kinds():
    rows = [
        cell(**{"seed": seed, "model": model, "dataset": dataset, "attack": attack})
        for attack in ("fgsm", "again", "pgd")
        for dataset in ("mnist", "big", "digits")
        for model in ("net", "wide", "mlp")
        for seed in (0, 5)
    ]
    found = board(ATTACK, *rows)
    names = ["attack", "dataset", "model", "seed"]
    assert [[row[name] for name in names] for row in found] == [
        [attack, dataset, model, seed]
        for attack in ("fgsm", "again")
        for dataset in ("mnist", "big")
        for model in ("net", "wide")
        for seed in (0, 5)
    ]
    assert {row["why"] for row in found} == {"why"}


@pytest.mark.parametrize(("attack", "is_comparable"), [("jsma", True), ("some", False)])
def test_what_else_must_be_so_in_the_attack_s_block_is_asked(attack, is_comparable):
    (row,) = board(TARGETED, cell(attack=attack, budget=0.1))
    assert math.isnan(row["ours"]) == (not is_comparable)


def test_figures_of_clean_images_are_looked_up_without_an_attack():
    first, second = board(CLEAN, cell(model="mlp"), cell(), cell(filter="gaussian"))
    assert [row["model"] for row in (first, second)] == ["mlp", "net"]
    assert first["attack"] is None or math.isnan(first["attack"])
    assert first["difference"] == pytest.approx(0.2 - 0.9)


# How to train, by what a label says of it.
TRAINED = {
    "adversarial pgd": {"kind": "adversarial", "method": "pgd", "eps": 0.3},
    "distillation 100": {"kind": "distillation", "temperature": [100]},
}


def labelled(kind, **block):
    """The label of a model of a study."""
    study = {
        "datasets": [{"kind": "mnist"}],
        "models": [{"kind": kind, "name": "mine", **block}],
        "attacks": [{"kind": "fgsm", "eps": [0]}],
        "filters": [{"kind": "gaussian", "sigma": [1]}],
    }
    made = expand(validate(study))
    return made.find("models", made["models"][0]["name"]).label


def test_a_model_is_labelled_by_its_kind_and_by_how_it_is_trained():
    assert labelled("cnn") == labelled("cnn", training={"epochs": 2}) == "cnn"
    for how, training in TRAINED.items():
        assert labelled("mlp", training=training) == f"mlp {how}"
    # How weights from a file were trained, nobody knows.
    assert labelled("mlp", training=TRAINED["adversarial pgd"], checkpoint=__file__) == "mlp"


def test_what_is_published_can_be_looked_up():
    for published in PUBLISHED:
        for label in published.model:
            kind, _, how = label.partition(" ")
            assert kind in MODELS
            assert not how or labelled(kind, training=TRAINED[how]) == label
        assert all((published.source, published.setting, published.why))
        if published.attack is not None:
            kind = ATTACKS[published.attack]
            assert set(published.parameters) <= set(kind.schemas) - {kind.swept}
            # One who ran the attack as it was published finds a row.
            block = {"kind": published.attack, **published.parameters}
            row = cell(attack="mine", budget=published.budget, model="mine")
            study = Study(
                *[pd.DataFrame([row])] * 3, DATASETS, {"mine": published.model[0]}, {"mine": block}
            )
            (found,) = scoreboard(study, [published]).to_dict("records")
            assert not math.isnan(found["ours"])
        if published.quantity != "l2_best":
            assert 0 <= published.figure <= 1


def test_fgsm_on_another_loss_is_not_what_was_published():
    fgsm = [published for published in PUBLISHED if published.attack == "fgsm"]
    table = pd.DataFrame(
        [cell(attack="margin", budget=one.budget, model=kind) for one in fgsm for kind in one.model]
    )
    study = Study(table, table, table, DATASETS, {kind: kind for kind in MODELS}, BLOCKS)
    assert scoreboard(study, fgsm)["ours"].isna().all()


def test_the_stage_writes_all_figures_also_of_a_study_that_measured_none(tmp_path, make_job):
    settings = {"datasets": DATASETS, "models": MODELS_OF, "attacks": BLOCKS}
    tables = {}
    for name in ("cells", "clean", "distortion"):
        tables[name] = str(tmp_path / f"{name}.csv")
        pd.DataFrame(
            [cell(seed=3)] if name == "cells" else [cell()][:0], columns=list(cell())
        ).to_csv(tables[name], index=False)
    path = str(tmp_path / "reference.csv")
    set_beside_published(make_job(settings), **tables, reference=path, page=f"{path}.html")
    found = read_table(path)
    assert list(found.columns) == COLUMNS
    assert len(found) >= len(PUBLISHED)
    measured = found[found["ours"].notna()]
    # The PyTorch tutorial's, of a network of that kind, by two attacks of that kind.
    assert measured["attack"].isin(["fgsm"]).all()
    assert set(measured["quantity"]) == {"accuracy"}
    assert set(measured["seed"]) == {3}

    pd.DataFrame([cell(dataset="digits")]).to_csv(tables["cells"], index=False)
    set_beside_published(make_job(settings), **tables, reference=path, page=f"{path}.html")
    found = read_table(path)
    assert len(found) == len(PUBLISHED)
    assert found["ours"].isna().all()
    assert found["why"].str.contains("not measured").all()
