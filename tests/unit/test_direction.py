"""Attacks that step along one direction, whatever their budget."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from epsigma.attacks.direction import find_directions, step_along
from epsigma.attacks.rows import attacked_rows
from epsigma.loading import load
from epsigma.plan.columns import cells_of_job
from epsigma.plan.inputs import has_direction
from epsigma.plan.plan import Plan
from epsigma.registry.attacks import ATTACKS
from epsigma.stages.attack import attack
from epsigma.stages.differentiate import differentiate
from epsigma.storage.images import read_tensors
from epsigma.study import validate
from snakemake.iocontainers import Wildcards

CELL = {"dataset": "digits", "model": "mlp", "seed": "0", "attack": "fgsm"}
DIRECTION = {"implementation": "epsigma.attacks.fgsm:fgsm_direction", "parameters": {}}
BLUR = {
    "implementation": "epsigma.filters.gaussian:Gaussian",
    "parameters": {"sigma": 1},
    "gradient": "exact",
}


@pytest.mark.parametrize("name", [name for name, kind in ATTACKS.items() if kind.direction])
@pytest.mark.parametrize("eps", [0, 0.05, 0.3])
def test_a_step_along_the_direction_is_the_attack(trained, name, eps):
    given = trained.model, trained.images, trained.labels
    direction = load(ATTACKS[name].direction)(*given)
    made = load(ATTACKS[name].implementation)(*given, eps=eps)
    assert torch.equal(step_along(direction.clone(), trained.images, eps), made)
    assert set(direction.unique().tolist()) <= {-1, 0, 1}


@pytest.mark.parametrize("known", [{}, {"filter": BLUR}], ids=["blind", "aware"])
@pytest.mark.parametrize("examples", [None, 11])
def test_the_stage_makes_the_same_set_along_directions_of_a_file(
    known, examples, trained, clean_file, checkpoint, make_job, tmp_path
):
    of_all = {"model": trained.settings, **known}
    finder = make_job({**of_all, "direction": DIRECTION, "examples": examples}, **CELL)
    found = str(tmp_path / "direction.safetensors")
    given = {"test": str(clean_file), "checkpoint": str(checkpoint)}
    differentiate(finder, **given, direction=found)
    assert read_tensors(found, ("images",), torch.device("cpu"))["images"].dtype == torch.int8
    for eps in (0, 0.1, 0.2):
        how = {"implementation": "epsigma.attacks.fgsm:fgsm", "parameters": {"eps": eps}}
        how |= {"bounded_by": "eps", "examples": examples}
        job = make_job({**of_all, "attack": how}, **CELL, budget=f"eps~{eps}")
        paths = [str(tmp_path / f"{name}.safetensors") for name in ("once", "each")]
        # No model is evaluated.
        attack(job, test=str(clean_file), checkpoint="none", direction=found, adversarial=paths[0])
        attack(job, **given, adversarial=paths[1])
        once, each = (read_tensors(path, ("images",), torch.device("cpu")) for path in paths)
        assert once.keys() == each.keys()
        assert all(torch.equal(once[name], each[name]) for name in each)
        assert len(once["images"]) == (examples or len(trained.images))


def test_a_direction_that_is_no_sign_is_refused(trained, monkeypatch):
    halves = lambda model, images, labels: torch.full_like(images, 0.5)  # noqa: E731
    monkeypatch.setattr("epsigma.attacks.direction.load", lambda implementation: halves)
    rows = attacked_rows(trained.labels, 10, examples=3, targets="untargeted")
    with pytest.raises(ValueError, match="-1, 0 or 1"):
        list(find_directions(DIRECTION, trained.model, trained.images, rows))


STUDY = {
    "datasets": [{"kind": "digits"}],
    "models": [{"kind": "mlp"}],
    "attacks": [
        {"kind": "fgsm", "eps": [0.1]},
        {"kind": "pgd", "eps": [0.1]},
        {"kind": "transfer", "attack": "fgsm", "source_seed": 1, "eps": [0.1]},
        {"kind": "transfer", "name": "of_pgd", "attack": "pgd", "source_seed": 1, "eps": [0.1]},
        {"kind": "sign_noise", "eps": [0.1]},
    ],
    "autoencoders": [{"kind": "convolutional", "name": "ae"}],
    "detectors": [{"kind": "reconstruction", "name": "watch", "autoencoder": "ae"}],
    "filters": [
        {"kind": "gaussian", "sigma": [1], "then": [{"kind": "median", "size": 3}]},
        {"kind": "noise", "std": [0.1]},
        {"kind": "gaussian", "name": "hidden", "sigma": [1], "then": [{"kind": "noise", "std": 1}]},
        {"kind": "median", "name": "watched", "size": [3], "detectors": ["watch"]},
    ],
}


@pytest.mark.parametrize(
    ("attack_name", "threat", "filter_name", "expected"),
    [
        ("fgsm", "blind", "none", True),
        ("transfer", "blind", "none", True),
        ("pgd", "blind", "none", False),
        ("of_pgd", "blind", "none", False),
        # What it draws, it draws in each cell.
        ("sign_noise", "blind", "none", False),
        ("fgsm", "aware", "gaussian", True),
        ("fgsm", "aware", "noise", False),
        ("fgsm", "aware", "hidden", False),
        # Which of two sets is taken depends on the budget.
        ("fgsm", "aware", "watched", False),
        # They know nothing of the filter.
        ("fgsm", "blind", "noise", True),
        ("fgsm", "blind", "watched", True),
    ],
)
def test_who_steps_along_a_direction(attack_name, threat, filter_name, expected):
    cell = {**CELL, "attack": attack_name, "threat": threat, "filter": filter_name}
    assert has_direction(validate(STUDY), cell) == expected
    for key, value in (("keep_directions", False), ("columns", "filter")):
        assert not has_direction(validate({**STUDY, key: value}), cell)


class Named(dict):
    """A job's files by name, as Snakemake hands them over: a path of an index, too."""

    def __iter__(self):
        return (path for paths in self.values() for path in paths)

    def __getitem__(self, index):
        return list(self)[index]


def steps_of_a_column(tmp_path, columns, budgets, fails=None):
    """Run the aware cells of a column with stages that note what they are given, or fail."""
    attack = {"kind": "fgsm", "eps": budgets}
    filters = [{"kind": "gaussian", "sigma": [1, 2]}]
    plan = Plan(validate({**STUDY, "attacks": [attack], "filters": filters, "columns": columns}))
    wildcards = Wildcards(fromdict={**CELL, "filter": "gaussian"})
    cells = cells_of_job(plan.study, dict(wildcards))
    folder = tmp_path / "results"
    folder.mkdir()
    sets = [str(folder / f"{cell['budget']}_{cell['strength']}.safetensors") for cell in cells]
    seen = []

    def differentiate(job, **files):
        Path(files["direction"]).touch()
        seen.append(
            ("differentiate", job.cell["strength"], Path(files["direction"]), job.continues)
        )

    def attack_one(job, **files):
        path = Path(files["direction"]) if "direction" in files else None
        assert path is None or path.exists()
        if fails:
            raise fails
        seen.append((job.cell["budget"], job.cell["strength"], path, job.continues))

    plan.jobs.attack_each(
        *(attack_one, differentiate, wildcards),
        *(Named(test="t", checkpoint="c"), Named(filtered=sets)),
        *(SimpleNamespace(recipe=plan.recipes.attack_aware(wildcards)), "a.log"),
    )
    assert list(folder.iterdir()) == []
    return seen


def test_a_column_of_all_budgets_finds_a_direction_once_a_strength(tmp_path):
    seen = steps_of_a_column(tmp_path, "attack", [0, 0.1, 0.2])
    first, second = seen[:4], seen[4:]
    for strength, steps in (("sigma~1", first), ("sigma~2", second)):
        names = ["differentiate", "eps~0", "eps~0.1", "eps~0.2"]
        assert [step[:2] for step in steps] == [(name, strength) for name in names]
        assert len({path for _, _, path, _ in steps}) == 1
    assert first[0][2] != second[0][2]
    # All in one log, which the first begins.
    assert [continues for *_, continues in seen] == [False] + [True] * 7


@pytest.mark.parametrize(("columns", "budgets"), [("attack", [0.1]), ("filter", [0.1])])
def test_what_only_one_cell_would_step_along_is_not_found(tmp_path, columns, budgets):
    seen = steps_of_a_column(tmp_path, columns, budgets)
    assert [step[:3] for step in seen] == [("eps~0.1", f"sigma~{s}", None) for s in (1, 2)]


def test_a_column_leaves_no_direction_behind_when_an_attack_fails(tmp_path):
    with pytest.raises(RuntimeError, match="full"):
        steps_of_a_column(tmp_path, "attack", [0, 0.1], fails=RuntimeError("full"))
    assert list((tmp_path / "results").iterdir()) == []
