"""Trained defences: what runs, and what is trained anew when something changes."""

import copy
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from running import ScheduledJob, Workdir, made_once

QUICK = {"epochs": 2, "batch_size": 32, "learning_rate": 0.01}
STUDY: dict[str, Any] = {
    "datasets": [{"kind": "digits"}],
    "autoencoders": [
        {"kind": "convolutional", "name": "ae", "pool": None, "training": QUICK},
        {"kind": "convolutional", "name": "other", "training": QUICK},
    ],
    "detectors": [
        {"kind": "reconstruction", "name": "rec", "autoencoder": "ae", "false_positive_rate": 0.05},
        {"kind": "divergence", "name": "jsd", "autoencoder": "other", "false_positive_rate": 0.05},
        {
            "kind": "squeezing",
            "filters": [{"kind": "bitdepth", "bits": 1}],
            "false_positive_rate": 0.05,
        },
    ],
    "models": [
        {"kind": "mlp", "hidden": 16, "training": {**QUICK, "epochs": 10}},
        {
            "kind": "mlp",
            "name": "adv",
            "hidden": 16,
            "defends": "mlp",
            "training": {**QUICK, "kind": "adversarial", "method": "fast", "eps": 0.1},
        },
        {
            "kind": "mlp",
            "name": "distilled",
            "hidden": 16,
            "defends": "mlp",
            "training": {**QUICK, "kind": "distillation", "temperature": [1]},
        },
    ],
    "attacks": [
        {"kind": "fgsm", "eps": [0, 0.1]},
        {"kind": "transfer", "attack": "fgsm", "source_model": "mlp", "eps": [0.1]},
    ],
    "filters": [
        {"kind": "gaussian", "sigma": [0.5], "then": [{"kind": "median", "size": 3}]},
        {
            "kind": "reformer",
            "name": "magnet",
            "autoencoder": "ae",
            "passes": [1],
            "detectors": ["rec", "jsd"],
            "models": ["mlp"],
        },
        {
            "kind": "identity",
            "name": "watched",
            "detectors": ["squeezing"],
            "models": ["mlp"],
        },
    ],
    "requantise": True,
    "measure_cost": True,
    # So short a training convinces no check.
    "strict": False,
    "keep_filtered": False,
    "keep_aware": False,
}
# Jobs that look at what was computed, and compute nothing of a cell.
SHOWN = {
    *("collect", "tabulate", "unpack", "reference", "configuration", "check", "gate", "card"),
    *("gallery", "spectrum", "defences", "atlas", "explore", "pages"),
}


def count(jobs: list[ScheduledJob]) -> dict[str, int]:
    """Count the jobs by rule, without those that only tabulate and draw."""
    rules = Counter(job.rule for job in jobs)
    return {
        rule: n for rule, n in rules.items() if rule not in SHOWN and not rule.startswith("draw_")
    }


def of(jobs: list[ScheduledJob], rule: str, wildcard: str) -> list[str]:
    """The values of a wildcard in the jobs of a rule."""
    return sorted(job.wildcards[wildcard] for job in jobs if job.rule == rule)


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    study = copy.deepcopy(STUDY)
    change(study)
    return study


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Workdir:
    """A folder in which all kinds of defences have run; nobody changes it."""

    def finish(made: Workdir) -> None:
        # Asked here, where nothing has run yet.
        jobs = made.scheduled()
        made.run()
        (made.path / "cold").write_text(json.dumps(count(jobs)))

    return made_once(tmp_path_factory.getbasetemp(), "defences", STUDY, finish)


@pytest.fixture
def finished(done: Workdir, tmp_path: Path) -> Workdir:
    return done.copy(tmp_path / "finished")


# --- What runs


def test_a_cold_run_trains_and_calibrates_what_is_named_and_no_more(done: Workdir) -> None:
    # The teacher of one temperature; each detector for the one model that it watches.
    assert json.loads((done.path / "cold").read_text()) == {
        "dataset": 1,
        "train": 3,
        "train_teacher": 1,
        "train_autoencoder": 2,
        "calibrate": 3,
        # Through nothing and three filters, or nothing and one.
        "evaluate_clean": 4 + 2 + 2,
        "probe_model": 3,
        "probe_filter": 4,
        "probe_attack": 4 + 2 + 2,
        # A filter that has no detectors on each model, and nothing; the transfers.
        "differentiate": 2 * 3 + 2,
        # Two budgets on each model; the transfer on all but its source.
        "attack": 3 * 2 + 2,
        # Aware ones are attacked there: no set is kept. Blind through nothing, too.
        "evaluate": 2 * (4 + 2 + 2) + 2 * 2 + 2 * (3 + 1 + 1),
        "cost": 1,
    }


def test_a_run_with_all_defences_leaves_nothing_to_do(done: Workdir) -> None:
    assert done.scheduled() == []


def test_it_ends_with_the_tables_and_figures_of_defences(done: Workdir) -> None:
    results = done.directory / "results"
    tables = {
        name: pd.read_csv(results / "tables" / f"{name}.csv")
        for name in ("cells", "detection", "detectors", "roc", "robust", "defences", "checks")
    }
    detection = tables["detection"]
    assert set(detection["filter"]) == {"magnet", "watched"}
    parts = detection[["detected", "corrected", "unharmed", "through"]].sum(axis=1)
    assert parts.tolist() == pytest.approx([1] * len(detection))
    assert set(tables["detectors"]["detector"]) == {"rec", "jsd", "squeezing"}
    assert set(tables["roc"]["detector"]) == {"rec", "jsd", "squeezing"}
    assert tables["cells"]["accuracy_8bit"].notna().all()
    watched = tables["cells"]["filter"].isin(["magnet", "watched"])
    assert (tables["cells"]["rejected"].notna() == watched).all()
    defences = tables["defences"]
    assert len(defences) == 4 + 2 + 2
    assert (defences["microseconds_1000"] > 0).all()
    # Blind to how it was trained is the transfer, so both variants have it, too.
    assert defences["blind"].notna().all()
    assert defences["aware_8bit"].notna().all()
    extra = defences.set_index(["model", "filter"])["extra_training_seconds"]
    spent = {
        path.relative_to(results).as_posix(): json.loads(path.read_text())["seconds"]
        for path in results.rglob("*.json")
        if path.name in ("training.json", "teacher.json")
    }
    trained_for = {
        ("mlp", "none"): [],
        ("mlp", "magnet"): ["ae", "other"],
        ("mlp", "watched"): [],
    }
    folder = "data/digits/autoencoders"
    for defence, autoencoders in trained_for.items():
        expected = sum(spent[f"{folder}/{name}/seed~0/training.json"] for name in autoencoders)
        assert extra[defence] == pytest.approx(expected, rel=1e-4)
    taught = "digits/distilled/temperature~1/seed~0"
    twice = spent[f"{taught}/training.json"] + spent[f"{taught}/teacher.json"]
    more = twice - spent["digits/mlp/seed~0/training.json"]
    assert extra["distilled/temperature~1", "none"] == pytest.approx(more, rel=1e-3)
    checks = tables["checks"]
    apart = checks[checks["check"] == "scored_apart"]
    assert set(apart["filter"]) == {"magnet", "watched"}
    assert set(apart["verdict"]) == {"pass"}
    assert (results / "figures" / "digits" / "defences.svg").exists()
    assert (results / "figures" / "digits" / "mlp" / "detectors.svg").exists()
    assert not (results / "figures" / "digits" / "adv" / "detectors.svg").exists()
    assert "Defences" in (results / "tables" / "defences.html").read_text()
    # Neither kind of set was to be kept.
    assert not list(results.rglob("filtered/**/*.safetensors"))
    assert not list(results.rglob("adversarial/aware/**/*.safetensors"))


# --- What is trained anew

# What depends on how `magnet` decides, of two budgets.
MAGNET = {"evaluate": 4, "evaluate_clean": 1, "probe_attack": 1, "cost": 1}
# What depends on a variant's weights. Transfers are made on another model.
VARIANT = {
    "evaluate_clean": 2,
    "probe_model": 1,
    "probe_attack": 2,
    "differentiate": 2,
    "attack": 2,
    "evaluate": 2 * 2 + 2 + 2,
    "cost": 1,
}


def test_another_order_of_the_keys_of_a_training_redoes_nothing(finished: Workdir) -> None:
    study = copy.deepcopy(STUDY)
    for block in (*study["autoencoders"], *study["models"]):
        block["training"] = dict(reversed(block["training"].items()))
    finished.configure(study)
    assert not count(finished.scheduled())


def test_another_training_of_an_autoencoder_redoes_what_uses_it_and_no_classifier(
    finished: Workdir,
) -> None:
    finished.configure(
        changed(lambda study: study["autoencoders"][0].update(training={**QUICK, "epochs": 3}))
    )
    jobs = finished.scheduled()
    assert count(jobs) == {"train_autoencoder": 1, "calibrate": 1, "probe_filter": 1, **MAGNET}
    assert of(jobs, "train_autoencoder", "autoencoder") == ["ae"]
    assert of(jobs, "calibrate", "detector") == ["rec"]
    assert set(of(jobs, "evaluate", "filter")) == {"magnet"}


def test_an_autoencoder_that_only_a_detector_uses_leaves_the_filters_alone(
    finished: Workdir,
) -> None:
    finished.configure(changed(lambda study: study["autoencoders"][1].update(channels=2)))
    jobs = finished.scheduled()
    assert of(jobs, "train_autoencoder", "autoencoder") == ["other"]
    assert of(jobs, "calibrate", "detector") == ["jsd"]
    assert count(jobs) == {"train_autoencoder": 1, "calibrate": 1, **MAGNET}


def test_another_eps_of_adversarial_training_retrains_that_model_only(finished: Workdir) -> None:
    finished.configure(changed(lambda study: study["models"][1]["training"].update(eps=0.2)))
    jobs = finished.scheduled()
    assert count(jobs) == {"train": 1, **VARIANT}
    redone = {
        job.wildcards["model"]
        for job in jobs
        if job.rule in (*VARIANT, "train") and "model" in job.wildcards
    }
    assert redone == {"adv"}
    assert "transfer" not in of(jobs, "attack", "attack")


def test_another_temperature_trains_one_teacher_and_one_student(finished: Workdir) -> None:
    finished.configure(
        changed(lambda study: study["models"][2]["training"].update(temperature=[1, 20]))
    )
    jobs = finished.scheduled()
    # New, it needs a transfer to it, too.
    of_transfer = {"differentiate": 2 + 1, "attack": 2 + 1}
    assert count(jobs) == {"train_teacher": 1, "train": 1, **VARIANT, **of_transfer}
    for rule in ("train_teacher", "train", "attack", "evaluate"):
        assert set(of(jobs, rule, "model")) == {"distilled/temperature~20"}


def test_another_false_positive_rate_calibrates_that_detector_and_redoes_what_it_watches(
    finished: Workdir,
) -> None:
    finished.configure(changed(lambda study: study["detectors"][0].update(false_positive_rate=0.1)))
    jobs = finished.scheduled()
    assert count(jobs) == {"calibrate": 1, **MAGNET}
    assert of(jobs, "calibrate", "detector") == ["rec"]
    assert set(of(jobs, "evaluate", "filter")) == {"magnet"}


@pytest.mark.parametrize(
    ("module", "old", "new", "trained", "calibrated"),
    [
        ("figures/defences.py", "SIZE = 6", "SIZE = 7", [], []),
        ("figures/detectors.py", "linthresh=1e-3", "linthresh=1e-2", [], []),
        ("tables/defences.py", "!= 0]", "> 0]", [], []),
        ("stages/cost.py", "ROUNDS = 9", "ROUNDS = 8", [], []),
        ("attacks/square.py", "HALVINGS = (10,", "HALVINGS = (11,", [], []),
        ("attacks/transfer.py", "def ", "EDITED = True\n\n\ndef ", [], []),
        # What is trained against is part of how it is trained.
        ("attacks/fgsm.py", "gradient.sign_()", "gradient.neg_().sign_()", ["adv"], []),
        (
            "training/distillation.py",
            ".softmax(1)",
            ".softmax(-1)",
            ["distilled/temperature~1"],
            [],
        ),
        ("training/denoising.py", ".clamp_(0, 1)", ".clamp_(0, 0.9)", [], ["jsd", "rec"]),
        ("detectors/squeezing.py", ".amax(0)", ".mean(0)", [], ["squeezing"]),
    ],
)
def test_an_edited_module_retrains_what_is_trained_by_it(
    finished: Workdir, module: str, old: str, new: str, trained: list[str], calibrated: list[str]
) -> None:
    path = finished.project / "workflow" / "epsigma" / module
    source = path.read_text()
    assert old in source
    path.write_text(source.replace(old, new, 1))
    jobs = finished.scheduled()
    assert of(jobs, "train", "model") == trained
    assert of(jobs, "train_teacher", "model") == [name for name in trained if "distilled" in name]
    assert len(of(jobs, "train_autoencoder", "autoencoder")) == (2 if "jsd" in calibrated else 0)
    assert of(jobs, "calibrate", "detector") == calibrated


def test_a_model_is_trained_through_a_filter_and_anew_when_that_changes(finished: Workdir) -> None:
    autoencoder = {"kind": "reformer", "autoencoder": "other", "passes": 1}
    through = {**QUICK, "kind": "filtered", "filters": [{"kind": "bitdepth", "bits": 1}]}
    model = {"kind": "mlp", "name": "through", "hidden": 16, "training": through}
    finished.configure(changed(lambda study: study["models"].append(model)))
    checkpoint = "results/digits/through/seed~0/checkpoint.ckpt"
    assert count(finished.scheduled(checkpoint)) == {"train": 1}
    finished.run(checkpoint)
    assert finished.scheduled(checkpoint) == []
    # An autoencoder that is there already; one that is to be trained anew.
    through["filters"].append(autoencoder)
    finished.configure(changed(lambda study: study["models"].append(model)))
    assert count(finished.scheduled(checkpoint)) == {"train": 1}
    finished.run(checkpoint)
    assert finished.scheduled(checkpoint) == []

    def widened(study: dict[str, Any]) -> None:
        study["models"].append(model)
        study["autoencoders"][1].update(channels=2)

    finished.configure(changed(widened))
    assert count(finished.scheduled(checkpoint)) == {"train_autoencoder": 1, "train": 1}
    finished.configure(changed(lambda study: study["models"].append(model)))
    path = finished.project / "workflow" / "epsigma" / "filters" / "bitdepth.py"
    path.write_text(path.read_text() + "\nEDITED = True\n")
    assert count(finished.scheduled(checkpoint)) == {"train": 1}


def test_one_filter_more_of_an_atlas_plans_its_cells_only(finished: Workdir) -> None:
    box = {"kind": "box", "radius": [1], "models": ["mlp", "adv"]}
    finished.configure(changed(lambda study: study["filters"].append(box)))
    jobs = finished.scheduled()
    # On either model: fgsm at two budgets, blind and aware, and on adv the transfer at one, blind.
    assert count(jobs) == {
        "differentiate": 2,
        "evaluate": 2 * 2 * 2 + 1,
        "evaluate_clean": 2,
        "probe_filter": 1,
        "probe_attack": 2,
        "cost": 1,
    }
    of_a_filter = [job.wildcards["filter"] for job in jobs if "filter" in job.wildcards]
    assert set(of_a_filter) == {"box"}
    assert {job.rule for job in jobs} >= {"defences", "atlas"}


def test_naming_no_cost_any_more_measures_and_redoes_nothing(finished: Workdir) -> None:
    finished.configure(changed(lambda study: study.update(measure_cost=False)))
    assert count(finished.scheduled()) == {}
