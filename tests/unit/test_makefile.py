"""The Makefile hands names of files on as they are, spaces included."""

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize("target", ["results", "report", "prune"])
def test_folders_with_a_space_in_their_names_reach_snakemake(target: str) -> None:
    given = ["CONFIG=a b/c.yaml", "DATA_DIR=my data"]
    command = ["make", "--dry-run", "--always-make", target, *given]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    lines = done.stdout.replace("\\\n", " ").splitlines()
    last = shlex.split([line for line in lines if "--config " in line][-1])
    assert last[last.index("--config") + 1] == "data_dir=my data"
    assert "a b/c.yaml" in last


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize(
    ("given", "told"),
    [([], ["make", "results", "challenge"]), (["a b.py"], ["score", "challenge", "a b.py"])],
)
def test_a_submission_is_scored_and_without_one_the_folder_is_made(
    given: list[str], told: list[str]
) -> None:
    named = [f"SUBMISSION={name}" for name in given]
    command = ["make", "--no-print-directory", "--dry-run", "--always-make", "challenge", *named]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    last = shlex.split(done.stdout.replace("\\\n", " ").splitlines()[-1])
    assert last[-len(told) - 1 :] == ["epsigma.challenge", *told]


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_the_doctor_comes_before_there_is_an_environment(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)

    def find_python() -> str:
        given = ["PYTHON=/a/python", "CONFIG=a b.yaml"]
        command = ["make", "--dry-run", "--no-print-directory", "doctor", *given]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        python, script, *options = shlex.split(done.stdout)
        assert [script, *options] == ["workflow/scripts/doctor.py", "--study", "a b.yaml"]
        return python

    assert find_python() == "/a/python"
    environment = tmp_path / ".venv" / "bin" / "python"
    environment.parent.mkdir(parents=True)
    # Of one whose Python is gone, as after an upgrade, nothing can be run.
    environment.symlink_to(tmp_path / "gone")
    assert find_python() == "/a/python"
    environment.unlink()
    environment.touch(mode=0o755)
    assert find_python() == ".venv/bin/python"
