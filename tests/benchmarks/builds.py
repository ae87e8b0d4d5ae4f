"""Builds of epsigma to measure: this one, and an earlier one with an environment of its own."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks import ROOT

# What this build has to be twice as fast as.
REVISION = "029c6fc"
# Ignored by git, and kept: installing takes minutes.
FOLDER = ROOT / ".bench" / REVISION


@dataclass(frozen=True)
class Build:
    """A working tree, and the Python that runs it.

    Args:
        name: what its rows are called.
    """

    name: str
    root: Path
    python: str


HERE = Build("workflow", ROOT, sys.executable)
EARLIER = Build(f"workflow, {REVISION}", FOLDER / "tree", str(FOLDER / "venv" / "bin" / "python"))


def make_earlier():
    """Clone the earlier build and install what it pins, unless that is done already.

    Raises:
        CalledProcessError: if this is no clone of the repository, or what is pinned cannot be had.
    """
    done = FOLDER / "installed"
    if not done.exists():
        _call("git", "clone", "--quiet", "--no-checkout", ROOT, EARLIER.root)
        _call("git", "-C", EARLIER.root, "checkout", "--quiet", REVISION)
        _call(sys.executable, "-m", "venv", FOLDER / "venv")
        install = ROOT / "workflow" / "scripts" / "install.py"
        _call(EARLIER.python, install, EARLIER.root / "envs" / "run.txt")
        done.touch()
    return EARLIER


def _call(*command):
    subprocess.run(command, check=True)
