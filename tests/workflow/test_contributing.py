"""The examples of CONTRIBUTING.md, run as they stand: a registry from outside the package."""

import re
from pathlib import Path

import pandas as pd
import pytest
from running import ROOT, Workdir

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Into epsigma")[0]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


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
    checks = pd.read_csv(outside.directory / "results/tables/checks.csv")
    assert {"two_layers", "smoothed"} == set(checks["model"].dropna())
    detectors = pd.read_csv(outside.directory / "results/tables/detectors.csv")
    assert set(detectors["detector"]) == {"farthest"}
    judged = checks.loc[checks["filter"] == "mean", ["check", "verdict"]]
    assert ("formula", "pass") in judged.itertuples(index=False, name=None)
    # What is outside is watched as what is inside: an edit reruns what it makes.
    code = outside.directory / "my_code.py"
    assert outside.scheduled() == []
    code.write_text(code.read_text().replace("(0.5 - images)", "(0.4 - images)"))
    rules = {job.rule for job in outside.scheduled()}
    assert {"train", "dataset", "attack", "attack_aware"} & rules


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
