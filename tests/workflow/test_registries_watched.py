"""An edit of a registry redoes what uses the edited entry: a description or a bound, nothing."""

from collections import Counter
from pathlib import Path

import pytest
from running import Workdir

JUDGED = {"check": 1, "explore": 1, "gate": 1}
DRAWINGS = {"draw_attack": 1, "draw_filters": 1, "draw_model": 1, "card": 1}
AFTER_ATTACK = {
    "differentiate": 4,
    **{"attack": 2, "attack_aware": 6, "filter": 6, "evaluate": 14, "probe_attack": 4},
    **{"gallery": 2, "draw_galleries": 1, "spectrum": 1, "draw_spectrum": 1},
    **{"collect": 1, "tabulate": 1, "unpack": 1, "reference": 1, "pages": 1},
    **JUDGED,
    **DRAWINGS,
}
AFTER_GAUSSIAN = {
    "differentiate": 2,
    **{"probe_filter": 2, "evaluate_clean": 2, "attack_aware": 4, "filter": 4, "evaluate": 8},
    **{"probe_attack": 2, "gallery": 1, "draw_galleries": 1, "spectrum": 1, "draw_spectrum": 1},
    **{"collect": 1, "tabulate": 1, "unpack": 1, "reference": 1, "pages": 1},
    **JUDGED,
    **DRAWINGS,
}


def registry(workdir: Workdir, name: str) -> Path:
    return workdir.project / "workflow" / "epsigma" / "registry" / f"{name}.py"


def edit(path: Path, old: str, new: str) -> None:
    source = path.read_text(encoding="utf-8")
    assert old in source
    path.write_text(source.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize(
    ("section", "old", "new", "expected"),
    [
        pytest.param(
            "attack_hyperparameters",
            "what the attack ascends",
            "what it goes up",
            # The card shows it.
            {"card": 1, "gate": 1},
            id="the description of an attack's parameter",
        ),
        pytest.param(
            "filter_hyperparameters",
            "standard deviation of the kernel",
            "width of the kernel",
            {},
            id="the description of a filter's parameter",
        ),
        pytest.param(
            "models", "width of the hidden layer", "neurons", {}, id="the description of a model's"
        ),
        pytest.param(
            "attack_hyperparameters",
            "ge=0, le=1",
            "ge=0, le=2",
            {},
            id="the bound of an attack's",
        ),
        pytest.param(
            "filter_hyperparameters",
            "Field(gt=0)",
            "Field(gt=0.1)",
            {},
            id="the bound of a filter's",
        ),
        pytest.param(
            "datasets",
            "Field(0, ge=0,",
            "Field(0, ge=0, le=99,",
            {},
            id="the bound of a data set's",
        ),
        pytest.param(
            "attack_hyperparameters",
            'return Field(\n        "cross_entropy"',
            'return Field(\n        "margin"',
            AFTER_ATTACK,
            id="the default of an attack that the study has",
        ),
        pytest.param(
            "attack_hyperparameters",
            "Field(40,",
            "Field(30,",
            {},
            id="the default of one it has not",
        ),
        pytest.param(
            "filter_hyperparameters",
            "        4,\n",
            "        3,\n",
            AFTER_GAUSSIAN,
            id="the default of one of its filters",
        ),
        pytest.param(
            "models", "Field(64,", "Field(32,", {}, id="a default that the study overrides"
        ),
        pytest.param(
            "attacks",
            "ATTACKS = {",
            'ATTACKS = {\n    "again": AttackKind("epsigma.attacks.fgsm:fgsm", FGSM, swept="eps"),',
            {},
            id="an attack is added",
        ),
        pytest.param(
            "filters",
            '    "gaussian": FilterKind(',
            '    "again": FilterKind("epsigma.filters.none:Identity", gradient="exact"),\n'
            '    "gaussian": FilterKind(',
            {},
            id="a filter is added",
        ),
        pytest.param(
            "models",
            "MODELS = {",
            'MODELS = {\n    "again": Kind("epsigma.models.mlp:MLP", MLP),',
            {},
            id="a model is added",
        ),
        pytest.param(
            "datasets",
            "DATASETS = {",
            'DATASETS = {\n    "again": DatasetKind("epsigma.datasets.digits:digits", Digits),',
            {},
            id="a data set is added",
        ),
        pytest.param(
            "detectors",
            "DETECTORS = {",
            'DETECTORS = {\n    "again": DetectorKind("epsigma.detectors.squeezing:Squeezing", '
            'Squeezing, filters="filters"),',
            {},
            id="a detector is added",
        ),
        pytest.param(
            "trainings",
            "TRAININGS = {",
            'TRAININGS = {\n    "again": TrainingKind("epsigma.training.standard:Standard"),',
            {},
            id="a way to train is added",
        ),
    ],
)
def test_an_edited_registry_redoes_what_uses_the_entry(
    finished: Workdir, section: str, old: str, new: str, expected: dict[str, int]
) -> None:
    edit(registry(finished, section), old, new)
    planned = Counter(job.rule for job in finished.scheduled() if job.rule != "configuration")
    assert planned == expected


@pytest.mark.parametrize(
    "module",
    ["kinds.py", "study/blocks.py", "plan/grid.py", "plan/columns.py", "engine.py"],
)
def test_what_plans_is_no_stage_s_code(finished: Workdir, module: str) -> None:
    path = finished.project / "workflow" / "epsigma" / module
    path.write_text(f"{path.read_text(encoding='utf-8')}\n\nANOTHER = 1\n", encoding="utf-8")
    assert finished.scheduled() == []
