"""The gate bites: each planted fault makes the check fail that is there for it."""

import copy
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from running import SMALL, Workdir, made_once

CHECKS = "results/tables/checks.csv"

# Every check has something to look at; the classifier is good enough for none to fail.
STUDY: dict[str, Any] = {
    **copy.deepcopy(SMALL),
    "attacks": [
        {"kind": "fgsm", "eps": [0, 0.1]},
        {"kind": "pgd", "eps": [0, 0.1], "steps": 10},
        {"kind": "sign_noise", "eps": [0.1]},
    ],
    "filters": [{"kind": "gaussian", "sigma": [1]}],
    "proofs": {"exact_examples": 50, "seconds": 5},
}


@pytest.fixture(scope="module")
def judged_once(tmp_path_factory: pytest.TempPathFactory) -> Workdir:
    return made_once(tmp_path_factory.getbasetemp(), "judged", STUDY, lambda made: made.run(CHECKS))


@pytest.fixture
def judged(judged_once: Workdir, tmp_path: Path) -> Workdir:
    """A folder in which the checks have passed; the test may change it."""
    return judged_once.copy(tmp_path / "judged")


def verdicts(workdir: Workdir, verdict: str) -> set[str]:
    """The names of the checks that have a verdict somewhere."""
    table = pd.read_csv(workdir.directory / CHECKS)
    return set(table[table["verdict"] == verdict]["check"])


def plant(workdir: Workdir, module: str, old: str, new: str) -> None:
    path = workdir.project / "workflow" / "epsigma" / module
    source = path.read_text()
    assert old in source
    path.write_text(source.replace(old, new))


def test_nothing_fails_where_nothing_is_wrong(judged: Workdir) -> None:
    assert not verdicts(judged, "fail")


@pytest.mark.parametrize(
    ("module", "old", "new", "checks"),
    [
        pytest.param(
            "filters/gaussian.py",
            "return down @ images @ across.T",
            "return images",
            {"formula", "response", "changes_pixels", "filter_applied"},
            id="a filter that does nothing",
        ),
        pytest.param(
            "filters/build.py",
            "whole: Tensor = module(images)",
            "whole: Tensor = images",
            {"filter_applied"},
            id="a filter that is not applied",
        ),
        pytest.param(
            "models/classifier.py",
            "return model\n\n\ndef most_probable",
            "return nn.Sequential(model, nn.Softmax(1)).eval()\n\n\ndef most_probable",
            {"logits"},
            id="softmax instead of logits",
        ),
        pytest.param(
            "attacks/direction.py",
            ".mul_(size)",
            ".mul_(1.5 * size)",
            {"in_ball"},
            id="a set outside its ball",
        ),
        pytest.param(
            "attacks/direction.py",
            ".clamp_(0, 1)",
            "",
            {"in_range"},
            id="a set that is not clipped",
        ),
        pytest.param(
            "stages/dataset.py",
            '"labels": found.labels}',
            '"labels": found.labels[::-1].copy()}',
            {"above_chance"},
            id="shuffled labels",
        ),
        pytest.param(
            "storage/checkpoint.py",
            ".eval().requires_grad_(False)",
            ".train().requires_grad_(False)",
            {"eval_mode"},
            id="a model left in training mode",
        ),
        pytest.param(
            "attacks/pgd.py",
            "for _ in range(self.steps):\n            gradient, logits",
            "for _ in range(1):\n            gradient, logits",
            {"iterative", "auto_pgd"},
            id="an attack that stops too early",
        ),
        pytest.param(
            "models/mlp.py",
            "self.layers(images)",
            "self.layers(images) * (1 if self.training else 10_000)",
            {"above_noise", "unbounded"},
            id="a masked gradient",
        ),
        pytest.param(
            "stages/certify.py",
            "eps=eps, fooled=fooled",
            "eps=0.3 * eps, fooled=fooled",
            {"proofs_hold"},
            id="a proof of a smaller ball",
        ),
        pytest.param(
            "proofs/exact.py",
            "self.found[index] = image",
            "pass",
            {"counterexamples"},
            id="a counterexample that is none",
        ),
    ],
)
def test_a_planted_fault_fails_the_check_that_is_there_for_it(
    judged: Workdir, module: str, old: str, new: str, checks: set[str]
) -> None:
    plant(judged, module, old, new)
    judged.run(CHECKS)
    assert checks <= verdicts(judged, "fail")
    # A masked gradient is also named.
    assert "unbounded" not in checks or "gradients" in verdicts(judged, "warn")


def test_steps_that_are_too_small_are_failures(judged: Workdir) -> None:
    study = copy.deepcopy(STUDY)
    study["attacks"][1] |= {"step_size": 0.002, "random_start": False}
    judged.configure(study)
    judged.run(CHECKS)
    assert {"converged", "iterative", "auto_pgd"} <= verdicts(judged, "fail")


def test_a_failure_ends_the_run_after_everything_else_is_written(judged: Workdir) -> None:
    plant(judged, "attacks/direction.py", ".mul_(size)", ".mul_(1.5 * size)")
    study = copy.deepcopy(STUDY)
    study["attacks"] = study["attacks"][:1]
    judged.configure(study)
    run = judged.snakemake()
    assert run.returncode != 0
    output = " ".join((run.stdout + run.stderr).split())
    assert "in_ball (digits mlp 0 blind fgsm none fixed)" in output
    assert "strict: false" in output
    results = judged.directory / "results"
    for path in ("tables/headline.csv", "figures/digits/mlp/fgsm/threats.svg"):
        assert (results / path).exists()
    # The figures mark what is in doubt, and say so.
    figure = (results / "figures/digits/mlp/fgsm/accuracy.svg").read_text()
    assert "in doubt" in figure
    assert not (results / "tables/verdict.txt").exists()
    assert [job.rule for job in judged.scheduled()] == ["gate"]

    judged.configure({**study, "strict": False})
    judged.run()
    assert "in_ball" in (results / "tables/verdict.txt").read_text()
