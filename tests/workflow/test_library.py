"""A finished study in Python: `epsigma.open_study`, installed or not."""

import doctest
import os
import shutil
import subprocess
import sys
from pathlib import Path

import epsigma
import numpy as np
import pytest
import torch
from epsigma.library import StudyResults
from running import ROOT, Workdir


@pytest.fixture(scope="module")
def study(finished_once: Workdir) -> StudyResults:
    return epsigma.open_study(finished_once.directory / "results")


AWARE = {"attack": "fgsm", "eps": 0.1, "filter": "gaussian", "sigma": 1, "threat": "aware"}


def test_every_cell_is_there_with_its_ledger(study: StudyResults) -> None:
    assert len(study.cells) == 14
    assert str(study.cells["filter"].dtype) == "category"
    for row in study.cells.to_dict("records"):
        swept = {row["strength_name"]: row["strength"]} if row["filter"] != "none" else {}
        named = {name: row[name] for name in ("attack", "threat", "filter")}
        cell = study.cell(**named, **swept, eps=row["budget"])
        ledger = study.ledger(cell)
        assert len(ledger) == row["n"]
        assert ledger["correct"].mean() == pytest.approx(row["accuracy"], abs=1e-9)


@pytest.mark.parametrize("filter_name", [{"filter": "none"}, {"filter": "gaussian", "sigma": 0.5},
                                         {"filter": "highpass", "cutoff": 0.1}])  # fmt: skip
@pytest.mark.parametrize("threat", ["blind", "aware"])
def test_a_defence_says_what_the_ledger_has(
    study: StudyResults, filter_name: dict[str, object], threat: str
) -> None:
    if filter_name["filter"] == "none" and threat == "aware":
        return
    cell = study.cell(attack="fgsm", eps=0.1, threat=threat, **filter_name)
    images, ledger = study.images(cell), study.ledger(cell)
    defence = study.defence(cell)
    right = defence(images.images).argmax(1) == images.labels
    assert np.array_equal(right.numpy(), ledger["correct"])
    filtered = study.images(cell, filtered=True)
    through = study.classifier()(filtered.images).argmax(1) == images.labels
    assert np.array_equal(through.numpy(), ledger["correct"])
    # An attacker can differentiate through it.
    given = study.clean().images[:4].clone().requires_grad_()
    defence(given).logsumexp(1).sum().backward()
    assert given.grad is not None
    assert given.grad.abs().sum() > 0


def test_a_classifier_is_as_accurate_as_the_table_says(study: StudyResults) -> None:
    clean = study.clean("digits")
    right = study.classifier("mlp", 0)(clean.images).argmax(1) == clean.labels
    told = study.table("clean").query("filter == 'none'")["accuracy"].item()
    assert right.float().mean().item() == pytest.approx(told, abs=1e-6)


def test_worst_cases_are_chosen_by_columns(study: StudyResults) -> None:
    rows = study.worst_case(filter="gaussian", threat="aware", budget=0.1)
    assert list(rows["strength"]) == [0.5, 1]
    with pytest.raises(
        LookupError, match=r"worst_case.csv has no column 'sigma'; it has dataset, "
    ):
        study.worst_case(sigma=1)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"attack": "pgd"}, r"no cell has attack='pgd'; attack: fgsm$"),
        (
            {"attack": "fgsm", "eps": 0.2},
            r"no cell has eps=0.2 with attack='fgsm'; eps: 0\.?0?, 0.1$",
        ),
        (
            {"sigmas": 1},
            r"no cell has sigmas=1; there are dataset, model, seed, threat, attack, .*eps",
        ),
        ({**AWARE, "sigma": 2}, r"sigma=2 with attack='fgsm', .*'; sigma: 0.5, 1"),
        (
            {"filter": "gaussian", "eps": 0.1},
            r"^4 cells are so: say more. threat: blind, aware; sigma: 0.5, 1(\.0)?$",
        ),
    ],
)
def test_what_there_is_not_is_said_with_what_there_is(
    study: StudyResults, asked: dict[str, object], said: str
) -> None:
    with pytest.raises(LookupError, match=said):
        study.cell(**asked)


def test_files_that_are_not_there_are_named(finished: Workdir, tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"configuration.yaml is not there: .* is not the results"
    ):
        epsigma.open_study(tmp_path)
    study = epsigma.open_study(finished.directory / "results")
    shutil.rmtree(finished.directory / "results/digits/mlp/seed~0/adversarial/aware")
    with pytest.raises(FileNotFoundError, match=r"a study with keep_aware: true keeps them"):
        study.images(study.cell(**AWARE))
    with pytest.raises(LookupError, match=r"no table 'cell' in .* there are attacks, cells, "):
        study.table("cell")
    with pytest.raises(ValueError, match="there is no 'cnn' among the models"):
        study.classifier("cnn")


def test_the_page_s_examples_are_true(
    finished_once: Workdir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(finished_once.directory)
    torch.manual_seed(0)
    done = doctest.testfile(str(ROOT / "docs" / "library.md"), module_relative=False)
    assert done.attempted > 10
    assert done.failed == 0


def test_it_is_installed_by_pip_and_needs_no_snakemake(
    finished_once: Workdir, tmp_path: Path
) -> None:
    source, target = tmp_path / "source", tmp_path / "installed"
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")
    shutil.copytree(ROOT / "workflow", source / "workflow", ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    install = ["install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run(
        [sys.executable, "-m", "pip", *install, "--target", str(target), str(source)], check=True
    )
    assert list((target / "epsigma" / "pages").glob("*.j2"))
    program = """
import sys, time
started = time.perf_counter()
import epsigma
assert time.perf_counter() - started < 0.3
assert not {"torch", "numpy", "pandas"} & set(sys.modules)
sys.modules["snakemake"] = None
study = epsigma.open_study(sys.argv[1])
print(epsigma.__file__, len(study.cells), "torch" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(finished_once.directory / "results")],
        env={**os.environ, "PYTHONPATH": str(target)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(target / "epsigma" / "__init__.py"), "14", "False"]
