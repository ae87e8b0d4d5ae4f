"""The examples of CONTRIBUTING.md, run as they stand: a registry from outside the package."""

import re
from pathlib import Path

import pandas as pd
import pytest
from running import ROOT, Workdir

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Into epsigma")[0]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


DARKER = """
def darker(model, images, labels, *, eps):
    return (images - eps).clamp(0, 1)
"""


@pytest.fixture
def outside(workdir: Workdir) -> Workdir:
    """A working directory with the two files and the study of CONTRIBUTING.md."""
    entries, *code = blocks("python")
    (workdir.directory / "my_kinds.py").write_text(entries, encoding="utf-8")
    (workdir.directory / "my_code.py").write_text("\n\n".join(code), encoding="utf-8")
    (workdir.project / "config/config.yaml").write_text(blocks("yaml")[0], encoding="utf-8")
    return workdir


def test_one_of_each_comes_from_outside(outside: Workdir) -> None:
    outside.run()
    cells = pd.read_csv(outside.cells)
    assert set(cells["dataset"]) == {"stripes"}
    assert set(cells["model"]) == {"two_layers", "smoothed"}
    assert set(cells.loc[cells["filter"] == "mean", "model"]) == {"two_layers"}
    assert set(cells["filter"]) == {"none", "mean"}
    bare = (cells["filter"] == "none") & (cells["model"] == "two_layers")
    grey = cells[(cells["attack"] == "to_grey") & bare]
    assert list(grey["budget"]) == [0, 0.2, 0.4]
    assert list(grey["linf_max"].round(6)) == [0, 0.2, 0.4]
    assert grey["accuracy"].iloc[0] > 0.95
    # What follows the gradient fools more than what does not.
    left = cells[bare & (cells["budget"] == 0.2)].set_index("attack")["accuracy"]
    assert left["momentum"] <= left["fgsm"] < left["to_grey"]
    checks = pd.read_csv(outside.directory / "results/tables/checks.csv")
    assert {"two_layers", "smoothed"} == set(checks["model"].dropna())
    detectors = pd.read_csv(outside.directory / "results/tables/detectors.csv")
    assert set(detectors["detector"]) == {"farthest"}
    judged = checks.loc[checks["filter"] == "mean", ["check", "verdict"]]
    assert ("formula", "pass") in judged.itertuples(index=False, name=None)
    traced = checks.loc[checks["attack"] == "momentum", ["check", "verdict"]]
    assert {("levelled", "pass"), ("converged", "pass")} <= set(
        traced.itertuples(index=False, name=None)
    )
    # What is outside is watched as what is inside: an edit reruns what it makes.
    code = outside.directory / "my_code.py"
    assert outside.scheduled() == []
    config = outside.project / "config/config.yaml"
    study = config.read_text()
    config.write_text(study.replace("[0, 0.2, 0.4]", "[0, 0.2, 0.4, 0.6]"))
    jobs = outside.scheduled()
    rules = {job.rule for job in jobs}
    # Trained, tried and attacked is no more than there is to attack.
    assert {job.wildcards["budget"] for job in jobs if job.rule == "attack"} == {"eps~0.6"}
    assert not {"dataset", "train", "train_autoencoder", "try_attack"} & rules
    config.write_text(study)
    # Of one attack, its cells alone; its trial, which is made anew, too, hides none of them.
    (outside.directory / "darker.py").write_text(DARKER)
    entries = outside.directory / "my_kinds.py"
    known = entries.read_text()
    entries.write_text(known.replace("my_code:to_grey", "darker:darker"))
    jobs = outside.scheduled()
    made = [job for job in jobs if job.rule in ("try_attack", "attack", "evaluate")]
    assert {job.wildcards["attack"] for job in made} == {"to_grey"}
    assert {job.rule for job in made} == {"try_attack", "attack", "evaluate"}
    assert "train" not in {job.rule for job in jobs}
    entries.write_text(known)
    code.write_text(code.read_text().replace("(0.5 - images)", "(0.4 - images)"))
    rules = {job.rule for job in outside.scheduled()}
    assert {"train", "dataset", "attack", "attack_aware"} & rules


def test_an_attack_with_a_typo_stops_the_run_before_anything_is_trained(outside: Workdir) -> None:
    code = outside.directory / "my_code.py"
    code.write_text(code.read_text().replace("velocity.sign()", "velosity.sign()"))
    done = outside.snakemake()
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "attack momentum: called for 2 images (1, 8, 8), with {'steps': 20, 'eps': 0.2}" in said
    assert "NameError: name 'velosity' is not defined" in said
    trials = outside.directory.glob("results/stripes/*/trials/*.json")
    assert {path.stem for path in trials} <= {"to_grey"}
    # What ran beside the trial has ended; nothing was begun after it.
    assert len(list(outside.directory.glob("results/**/*.ckpt"))) <= 1
    assert not list(outside.directory.glob("results/**/adversarial"))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("my_kinds:NOTHING", "no entry of a registry: my_kinds has no 'NOTHING'"),
        ("no_such_module:ENTRY", "No module named 'no_such_module'"),
        ("my_kinds:MEAN", "which is no AttackKind"),
        ("mine", "allowed: fgsm"),
    ],
)
def test_what_is_no_entry_is_refused_before_any_job(
    outside: Workdir, kind: str, message: str
) -> None:
    config = Path(outside.project / "config/config.yaml")
    config.write_text(config.read_text().replace("my_kinds:TO_GREY", kind))
    done = outside.snakemake("-n")
    assert done.returncode != 0
    assert message in done.stdout + done.stderr
