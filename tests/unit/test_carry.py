"""What is carried to a machine that has a GPU and no network."""

import subprocess
import tarfile

import pytest
from running import ROOT

CARRY = ROOT / "tests" / "gpu" / "carry.sh"


@pytest.fixture
def python(tmp_path):
    """A Python that says what it is asked, and of which version it is."""

    def make(version_status):
        made = tmp_path / "python"
        made.write_text(
            f'#!/bin/sh\ntest "$1" = -c && exit {version_status}\necho "$@" >> "$0.asked"\n'
        )
        made.chmod(0o755)
        return made

    return make


def carry(folder, python):
    return subprocess.run([CARRY, folder, python], capture_output=True, text=True, cwd=ROOT.parent)


def test_a_folder_holds_the_tree_what_it_requires_and_what_runs_it(python, tmp_path):
    folder, interpreter = tmp_path / "carried", python(0)
    done = carry(folder, interpreter)
    assert done.returncode == 0, done.stderr
    assert f"pip wheel --quiet --wheel-dir {folder}/wheels -r {ROOT}/envs/gpu.txt" in (
        interpreter.with_name("python.asked").read_text()
    )
    with tarfile.open(folder / "epsigma.tar.gz") as archive:
        names = set(archive.getnames())
    assert {"tests/gpu/test_gpu.py", "envs/run.txt", "Snakefile"} <= names
    assert (folder / "run.sh").stat().st_mode & 0o100


def test_another_python_is_refused_before_anything_is_made(python, tmp_path):
    done = carry(tmp_path / "carried", python(1))
    assert done.returncode == 1
    assert "Python 3.11" in done.stderr
    assert not (tmp_path / "carried").exists()
