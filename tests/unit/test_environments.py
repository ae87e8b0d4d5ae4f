"""Environments, containers and profiles agree with the pinned requirements and with the rules."""

import os
import re
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from epsigma.plan.figures import split_rules

ROOT = Path(__file__).parents[2]
REQUIREMENTS = sorted((ROOT / "envs").glob("*.txt"))
RECIPES = [ROOT / "containers" / name for name in ("Dockerfile", "apptainer.def")]
PROFILES = sorted((ROOT / "profiles").glob("*/profile.yaml"))
PYTHON = "3.11"


def lines(path: Path) -> list[str]:
    """The lines of a file of requirements, without comments."""
    bare = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return [line for line in bare if line]


def pins(path: Path) -> dict[str, str]:
    """The versions that a file itself pins."""
    return dict(line.split("==") for line in lines(path) if "==" in line)


def rules() -> set[str]:
    text = "".join(path.read_text() for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    # Numbered where subjects have different figures.
    drawing = {
        rule.name
        for name in ("draw_attack", "draw_filters", "draw_galleries", "draw_model")
        for rule in split_rules(name, {("fgsm",): ["accuracy"]}, ["attack"])
    }
    return {*re.findall(r"^ *rule (\w+):", text, re.MULTILINE), *drawing}


def test_a_run_is_pinned_to_the_last_digit() -> None:
    assert all(re.fullmatch(r"[\w-]+==[\d.]+", line) for line in lines(ROOT / "envs" / "run.txt"))


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.name)
def test_what_adds_to_a_run_changes_no_version_of_it(path: Path) -> None:
    run = pins(ROOT / "envs" / "run.txt")
    assert path.name == "run.txt" or "-r run.txt" in lines(path)
    assert path.name == "run.txt" or not run.keys() & pins(path).keys()


def test_packages_of_several_environments_have_one_version() -> None:
    versions: dict[str, set[str]] = {}
    for path in REQUIREMENTS:
        for name, version in pins(path).items():
            versions.setdefault(name, set()).add(version)
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


def test_the_slurm_plugin_is_in_an_environment_of_its_own() -> None:
    having = {path.name for path in REQUIREMENTS if "executor-plugin-slurm" in path.read_text()}
    assert having == {"cluster.txt"}


def test_the_conda_environment_installs_the_pinned_requirements() -> None:
    conda = yaml.safe_load((ROOT / "envs" / "epsigma.yaml").read_text())
    python, pip, packages = conda["dependencies"]
    assert (python, pip) == (f"python={PYTHON}", "pip")
    # Relative to the file, as conda reads it.
    assert packages == {"pip": ["-r run.txt"]}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_a_container_has_the_pinned_requirements_and_all_that_runs(path: Path) -> None:
    text = "\n".join(line for line in path.read_text().splitlines() if not line.startswith("#"))
    assert re.search(rf"^(?:FROM|From:) python:{re.escape(PYTHON)}-slim", text, re.MULTILINE)
    assert re.findall(r"pip install .*--requirement (\S+)", text) == ["/opt/epsigma/envs/run.txt"]
    assert not re.search(r"==\d", text), "versions are pinned in envs/run.txt, and nowhere else"
    for needed in ("envs/run.txt", "Snakefile", "config", "profiles", "workflow"):
        assert (ROOT / needed).exists()
        assert re.search(rf"^\s*(?:COPY )?{needed} /opt/epsigma/", text, re.MULTILINE), needed


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.parent.name)
def test_every_line_of_a_profile_is_explained(path: Path) -> None:
    text = path.read_text().splitlines()
    within = ("  - ", "    ")
    for before, line in pairwise(text):
        if line and not line.lstrip().startswith("#") and not line.startswith(within):
            assert before.lstrip().startswith("# "), f"{path.parent.name}: {line}"


def test_no_key_of_a_profile_is_given_twice() -> None:
    def keys(node: yaml.Node) -> Iterator[list[str]]:
        if isinstance(node, yaml.MappingNode):
            yield [key.value for key, _ in node.value]
            for _, value in node.value:
                yield from keys(value)

    for path in PROFILES:
        found = list(keys(yaml.compose(path.read_text())))
        assert found
        for names in found:
            assert len(names) == len(set(names)), f"{path.parent.name}: {names}"


def test_a_folder_is_unlocked_after_a_run_that_was_killed_before_it_named_itself(
    tmp_path: Path,
) -> None:
    (tmp_path / ".snakemake" / "log").mkdir(parents=True)
    (tmp_path / ".snakemake" / "log" / "a.log").write_text("Building DAG of jobs...\n")
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$@"\n')
    python.chmod(0o755)
    script = ROOT / "profiles" / "slurm" / "recover.sh"
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run([script, tmp_path], env=path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"unlock.py {tmp_path}\n")


def test_the_slurm_profile_names_rules_that_there_are_and_grows_with_each_attempt() -> None:
    profile = yaml.safe_load((ROOT / "profiles" / "slurm" / "profile.yaml").read_text())
    assert set(profile["set-resources"]) <= rules()
    requests = [profile["default-resources"], *profile["set-resources"].values()]
    for request in requests:
        assert request
        for name, value in request.items():
            assert name in ("runtime", "mem_mb")
            for threat in ("blind", "aware"):
                known = {"wildcards": SimpleNamespace(threat=threat)}
                once, twice = (eval(value, {**known, "attempt": n}) for n in (1, 2))
                assert twice == 2 * once
    assert profile["retries"] > 0


def test_profiles_agree_on_what_has_nothing_to_do_with_slurm() -> None:
    default, slurm = (yaml.safe_load(path.read_text()) for path in PROFILES)
    # Progress bars belong to a terminal, and SLURM counts its GPUs itself.
    same = default.keys() - {"logger", "resources"}
    assert {key: default[key] for key in same} == {key: slurm[key] for key in same}
