"""A study with a model and an attack from outside, which stop where a test wants to strike."""

import base64
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from running import Workdir

STUDY: dict[str, Any] = {
    "datasets": [{"kind": "digits"}],
    "models": [
        {
            "kind": "factory",
            "name": "net",
            "factory": "halting:network",
            "training": {"epochs": 3, "batch_size": 64, "learning_rate": 0.01},
        }
    ],
    "attacks": [{"kind": "halting:PUSH", "eps": [0, 0.1]}],
    "filters": [{"kind": "gaussian", "sigma": [1]}],
}

# To grow to this one, a study reads again what is there.
EXTENDED = {**STUDY, "filters": [{"kind": "gaussian", "sigma": [1, 2]}]}

# What is struck is the making of the tables; figures and checks are made in the same way.
TABLES = ("results/tables/cells.csv", "results/tables/headline.csv")

# The user's own module. HALT says where it halts: in the attack of a level, in training, or when
# a file, written, is about to get its name. It then makes the file `halted`, and waits for its
# removal.
HALTING = """
import os
import sys
import time
from pathlib import Path

import torch
from torch import nn

from epsigma.attacks.fgsm import fgsm
from epsigma.kinds import AttackKind, Hyperparameters


class Push(Hyperparameters):
    eps: float


PUSH = AttackKind("halting:push", Push, swept="eps", norm="linf", family="single_step")


def halt(where):
    # Once: whoever comes again goes on.
    if where == os.environ.get("HALT") and os.environ.pop("HALT"):
        halted = Path("halted")
        halted.touch()
        while halted.exists():
            time.sleep(0.01)


def renamed(event, arguments):
    if event == "os.rename":
        halt(f"naming {os.path.relpath(arguments[1])}")


if os.environ.get("HALT", "").startswith("naming "):
    sys.addaudithook(renamed)


def push(model, images, labels, *, eps):
    halt(f"attack of {eps:g}")
    return fgsm(model, images, labels, eps=eps)


class Network(nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(shape[1] * shape[2], classes))

    def forward(self, images):
        if self.training:
            halt("training")
        return self.layers(images)


def network(shape, classes):
    return Network(shape, classes)
"""


@dataclass
class Running:
    """A run that has halted."""

    workdir: Workdir
    process: subprocess.Popen[str]

    def release(self) -> None:
        """Let it go on."""
        (self.workdir.directory / "halted").unlink()

    def strike(self, which: signal.Signals) -> None:
        """Send a signal, as a terminal (SIGINT) or another process sends it, and let go."""
        if which is signal.SIGINT:
            os.killpg(self.process.pid, which)
        else:
            os.kill(self.process.pid, which)
        # Long enough for the signal to arrive first.
        time.sleep(0.5)
        if which is not signal.SIGKILL:
            self.release()

    def end(self) -> str:
        """Wait for the end; return what it said."""
        return self.process.communicate(timeout=120)[0]


@contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGINT interrupt what the body starts, also if the tests run in the background.

    A shell has its background jobs ignore SIGINT, and what is ignored is inherited. A process that
    is started where the signal has a handler gets the default.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def halted(workdir: Workdir, where: str) -> Iterator[Running]:
    """Run until it halts. What is left of the run is killed at the end."""
    mark = workdir.directory / "halted"
    with interruptible():
        process = subprocess.Popen(
            workdir.command(*TABLES),
            env={**os.environ, "HALT": where},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 120
        while not mark.exists():
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline, f"it does not come to {where}"
            time.sleep(0.01)
        yield Running(workdir, process)
    finally:
        mark.unlink(missing_ok=True)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def files(workdir: Workdir, pattern: str = "**/*") -> dict[str, int]:
    """The results that have their name, with their times."""
    results = workdir.directory / "results"
    return {
        str(path.relative_to(workdir.directory)): path.stat().st_mtime_ns
        for path in results.glob(pattern)
        if path.is_file() and not path.name.startswith(".")
    }


def half_written(workdir: Workdir) -> list[Path]:
    return list((workdir.directory / "results").rglob(".*"))


def unfinished(workdir: Workdir) -> set[str]:
    """The outputs of jobs that had begun, and not ended, when Snakemake was killed."""
    marks = (workdir.directory / ".snakemake" / "incomplete").rglob("*")
    names = (path.name for path in marks if path.is_file())
    return {base64.urlsafe_b64decode(name).decode() for name in names}


def tables(workdir: Workdir) -> dict[str, bytes]:
    folder = workdir.directory / "results" / "tables"
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.csv"))}


def forget(workdir: Workdir, *patterns: str) -> None:
    """Remove results, and the tables, which are made of all of them."""
    for pattern in (*patterns, "tables"):
        found = list((workdir.directory / "results").glob(pattern))
        assert found, pattern
        for path in found:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def run(workdir: Workdir, *arguments: str, **options: Any) -> tuple[int, str]:
    """Make the tables; return the exit code, and all that was said, on one line."""
    done = workdir.snakemake(*TABLES, *arguments, **options)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def assert_as_undisturbed(workdir: Workdir, undisturbed: Workdir) -> None:
    """A plain run ends, with the tables of an undisturbed one, and leaves nothing behind."""
    code, said = run(workdir)
    assert code == 0, said
    assert tables(workdir) == tables(undisturbed)
    assert not half_written(workdir)
    assert "Traceback" not in said
