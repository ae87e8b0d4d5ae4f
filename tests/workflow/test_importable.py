"""Other workflows import this one, from a folder or from a git repository."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from running import ROOT, SMALL, run_snakemake
from test_trained_defences import STUDY as DEFENDED

# A cell of each kind.
STUDY: dict[str, Any] = {
    **SMALL,
    "attacks": [{"kind": "fgsm", "eps": [0.1]}],
    "filters": [{"kind": "gaussian", "sigma": [1]}],
}
LOCAL = f'"{ROOT}/workflow/Snakefile"'
# As in profiles/default, but for what it prints.
FAST = ("--force-use-threads", "--scheduler", "greedy", "--workflow-profile", "none")
IMPORTER = """
configfile: "study.yaml"


module epsigma:
    snakefile:
        {snakefile}
    config:
        config["epsigma"]
    {more}


use rule * from epsigma as epsigma_*


# A name that the imported workflow has, too.
def gpus(wildcards):
    raise AssertionError("the importer's function, not the imported workflow's")


rule mine:
    default_target: True
    input:
        cells=rules.epsigma_collect.output.cells,
    output:
        "mine.csv",
    shell:
        "cp {{input.cells}} {{output}}"
"""


def run(folder: Path, *arguments: str, **environment: str) -> str:
    asked = ("--cores", "2", *FAST, *arguments)
    done = run_snakemake(*asked, directory=folder, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def import_into(folder: Path, snakefile: str, more: str = "", **study: Any) -> None:
    (folder / "workflow").mkdir(parents=True)
    text = IMPORTER.format(snakefile=snakefile, more=more)
    (folder / "workflow" / "Snakefile").write_text(text)
    written = {"epsigma": {**STUDY, **study}, "another": "key, of the importer"}
    (folder / "study.yaml").write_text(yaml.safe_dump(written))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the study has been run by itself."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "study.yaml").write_text(yaml.safe_dump(STUDY))
    snakefile = str(ROOT / "workflow" / "Snakefile")
    asked = ["results/tables/cells.csv", "--snakefile", snakefile]
    run(folder, *asked, "--replace-workflow-config", "--configfile", "study.yaml")
    return folder


@pytest.fixture(scope="module")
def cells(alone: Path) -> bytes:
    return (alone / "results" / "tables" / "cells.csv").read_bytes()


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bare git repository of the project as it is now, with the tag v1."""
    folder = tmp_path_factory.mktemp("hosted")
    work, bare = folder / "work", folder / "owner" / "epsigma.git"
    shutil.copytree(
        ROOT / "workflow", work / "workflow", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ("config", "profiles", "envs"):
        shutil.copytree(ROOT / name, work / name)
    for name in ("Snakefile", "LICENSE"):
        shutil.copy(ROOT / name, work)
    (work / "config" / "config.yaml").write_text(yaml.safe_dump(STUDY))
    git = ["git", "-C", str(work), "-c", "user.name=test", "-c", "user.email=test@example.org"]
    for arguments in (
        ["init", "--quiet", "--initial-branch=main"],
        ["add", "."],
        ["commit", "--quiet", "--message=all"],
        ["tag", "v1"],
    ):
        subprocess.run([*git, *arguments], check=True)
    subprocess.run(["git", "clone", "--quiet", "--bare", str(work), str(bare)], check=True)
    return bare


def offline(repository: Path, cache: Path) -> dict[str, str]:
    """The environment in which https://github.com/owner/epsigma is the repository here."""
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.file://{repository.parent}/.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://github.com/owner/",
        "XDG_CACHE_HOME": str(cache),
        # What is imported must be what is in the repository.
        "PYTHONPATH": "",
    }


@pytest.mark.parametrize(
    ("prefix", "columns"),
    [pytest.param(None, "none", marks=pytest.mark.slow), ("robustness", "attack")],
)
def test_another_workflow_imports_this_one(
    tmp_path: Path, cells: bytes, prefix: str | None, columns: str
) -> None:
    more = f'prefix: "{prefix}"' if prefix else ""
    import_into(tmp_path, LOCAL, more, columns=columns)
    run(tmp_path, "mine", "epsigma_all")
    assert (tmp_path / "mine.csv").read_bytes() == cells
    under = tmp_path / (prefix or "")
    assert (under / "results" / "tables" / "cells.csv").read_bytes() == cells
    assert (under / "results" / "tables" / "verdict.txt").is_file()
    if prefix:
        assert not (tmp_path / "results").exists()
        assert not (tmp_path / "logs").exists()
    assert "Nothing to be done" in run(tmp_path, "--dry-run", "mine", "epsigma_all")


def test_the_user_s_own_weights_lie_where_the_importer_says(
    tmp_path: Path, alone: Path, cells: bytes
) -> None:
    model = {"kind": "mlp", "hidden": 16, "checkpoint": "weights/mine.ckpt"}
    import_into(tmp_path, LOCAL, 'prefix: "robustness"', models=[model])
    (tmp_path / "weights").mkdir()
    trained = alone / "results" / "digits" / "mlp" / "seed~0" / "checkpoint.ckpt"
    shutil.copy(trained, tmp_path / "weights" / "mine.ckpt")
    run(tmp_path)
    assert (tmp_path / "mine.csv").read_bytes() == cells


@pytest.mark.slow
def test_trained_defences_lie_under_the_prefix(tmp_path: Path) -> None:
    study = {**DEFENDED, "models": DEFENDED["models"][:1], "attacks": DEFENDED["attacks"][:1]}
    import_into(tmp_path, LOCAL, 'prefix: "robustness"', **study)
    run(tmp_path, "epsigma_all")
    assert not (tmp_path / "results").exists()
    assert (tmp_path / "robustness" / "results" / "tables" / "defences.csv").is_file()


def test_the_default_study_does_not_leak_into_an_importer_s(tmp_path: Path) -> None:
    import_into(tmp_path, LOCAL)
    planned = run(tmp_path, "--dry-run")
    assert set(re.findall(r"dataset=(\w+)", planned)) == {"digits"}
    assert "localrules directive specifies rules" not in planned


def test_both_snakefiles_ask_for_the_same_jobs(tmp_path: Path) -> None:
    planned = [
        re.findall(
            r"^(\w+) +(\d+)$",
            run(ROOT, "--directory", str(tmp_path), "--dry-run", "--quiet", "rules", *snakefile),
            re.MULTILINE,
        )
        for snakefile in ((), ("--snakefile", "workflow/Snakefile"))
    ]
    alike = [
        {("all", count) if rule == "epsigma" else (rule, count) for rule, count in jobs}
        for jobs in planned
    ]
    assert alike[0] == alike[1]
    assert ("collect", "1") in alike[0]


@pytest.mark.parametrize(
    "snakefile",
    ['github("owner/epsigma", path="workflow/Snakefile", tag="v1")',
     'github("owner/epsigma", path="workflow/Snakefile", branch="main")',
     'gitfile("{repository}", path="workflow/Snakefile", tag="v1")'],
    ids=["tag", "branch", "gitfile"],
)  # fmt: skip
def test_another_workflow_imports_a_revision_of_this_one(
    tmp_path: Path, repository: Path, cells: bytes, snakefile: str
) -> None:
    folder = tmp_path / "importer"
    import_into(
        folder, snakefile.format(repository=repository.parents[1] / "work"), 'prefix: "robustness"'
    )
    around = offline(repository, tmp_path / "cache")
    assert "rule epsigma_train" in run(folder, "--dry-run", **around)
    if "github" in snakefile and "tag" in snakefile:
        run(folder, **around)
        assert (folder / "mine.csv").read_bytes() == cells
        assert "Nothing to be done" in run(folder, "--dry-run", **around)


def test_snakedeploy_deploys_it(tmp_path: Path, repository: Path, cells: bytes) -> None:
    pytest.importorskip("snakedeploy")
    around = offline(repository, tmp_path / "cache")
    deploy = "from snakedeploy.client import main; main()"
    source = ["https://github.com/owner/epsigma", str(tmp_path / "study"), "--tag", "v1"]
    subprocess.run(
        [sys.executable, "-c", deploy, "deploy-workflow", *source],
        env={**os.environ, **around},
        check=True,
    )
    deployed = (tmp_path / "study" / "workflow" / "Snakefile").read_text()
    assert 'github("owner/epsigma", path="workflow/Snakefile", tag="v1")' in deployed
    run(tmp_path / "study", **around)
    assert (tmp_path / "study" / "results" / "tables" / "cells.csv").read_bytes() == cells
