"""Running the workflow as a user does: Snakemake on the command line, in a folder of its own."""

import fcntl
import json
import multiprocessing
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]

# A study that a test can afford: 360 test images of 8 x 8 pixels.
SMALL: dict[str, Any] = {
    "datasets": [{"kind": "digits"}],
    "models": [
        {
            "kind": "mlp",
            "hidden": 16,
            "training": {"epochs": 10, "batch_size": 32, "learning_rate": 0.005},
        }
    ],
    "seeds": [0],
    "attacks": [{"kind": "fgsm", "eps": [0, 0.1]}],
    "filters": [
        {"kind": "gaussian", "sigma": [0.5, 1]},
        {"kind": "highpass", "cutoff": [0.1]},
    ],
}


# Processes that have imported already what a run imports: half of the time of a short one is that.
SNAKEMAKES = multiprocessing.get_context("forkserver")
SNAKEMAKES.set_forkserver_preload(
    [
        *("snakemake.cli", "snakemake.report.html_reporter", "smart_open", "pandas", "torch"),
        *("pytorch_lightning", "torchvision", "seaborn", "statsmodels.stats.proportion"),
    ]
)


class Starter:
    """A fork of this process that starts programs of `python -c`, with what this has imported.

    Whoever forks while another of its threads imports leaves a lock behind that nobody gives back:
    Snakemake's process has such threads, and this one is made before them.
    """

    def __init__(self) -> None:
        self._requests, requests = socket.socketpair()
        with requests:
            if os.fork() == 0:
                self._requests.close()
                self._serve(requests)

    def start(self, command: list[str], stdin: int) -> int:
        """Start `python -c PROGRAM ARGUMENT…` here and now; return its process id."""
        asked = json.dumps([command[2:], os.getcwd(), dict(os.environ)]).encode()
        connection, theirs = socket.socketpair()
        with connection:
            with theirs:
                socket.send_fds(self._requests, [b"."], [theirs.fileno(), stdin])
            connection.sendall(asked)
            connection.shutdown(socket.SHUT_WR)
            with connection.makefile("rb") as stream:
                return int(stream.read())

    def _serve(self, requests: socket.socket) -> None:
        """Start what is asked for until nobody can ask any more."""
        # So that nobody has to wait for what is started.
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        while descriptors := socket.recv_fds(requests, 1, 2)[1]:
            with socket.socket(fileno=descriptors[0]) as connection:
                with connection.makefile("rb") as stream:
                    asked = json.loads(stream.read())
                pid = os.fork()
                if pid == 0:
                    self._become(*asked, descriptors[1])
                connection.sendall(str(pid).encode())
            os.close(descriptors[1])
        os._exit(0)

    def _become(
        self, program: list[str], directory: str, environment: dict[str, str], stdin: int
    ) -> None:
        """Be the program, in this process, which ends here."""
        try:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.dup2(stdin, 0)
            os.closerange(3, os.sysconf("SC_OPEN_MAX"))
            os.chdir(directory)
            os.environ.clear()
            os.environ.update(environment)
            sys.argv = ["-c", *program[1:]]
            exec(program[0], {})
        finally:
            os._exit(0)


class Started:
    """A program that `Starter` has started, as `subprocess.Popen` would show it."""

    def __init__(self, pid: int) -> None:
        self._ended = os.pidfd_open(pid)

    def terminate(self) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._ended, signal.SIGTERM)

    def wait(self) -> None:
        select.select([self._ended], [], [])


class Popen(subprocess.Popen):  # type: ignore[type-arg]
    """Forks epsigma's fork server, which imports Lightning anew otherwise: most of a short run.

    How it starts by itself is seen by tests/unit/test_forkserver.py, and wherever Snakemake is run
    as a command.
    """

    starter: Starter

    def __new__(cls, command: Any, *_: Any, **options: Any) -> Any:
        if command[1:2] == ["-c"] and "epsigma.forkserver" in command[2]:
            return Started(cls.starter.start(command, **options))
        return super().__new__(cls)


def call_snakemake(
    arguments: list[str], printed: tuple[str, str], directory: Path, environment: dict[str, str]
) -> None:
    """Call Snakemake, as on the command line, in a process of its own: this one.

    Args:
        printed: the files that standard output and standard error go to.
        environment: variables to set, beside those that are.
    """
    # That the modules are those of the folder, not those that the tests import.
    sys.path[:] = [entry for entry in sys.path if not Path(entry).is_relative_to(ROOT / "workflow")]
    for descriptor, name in enumerate(printed, start=1):
        with open(name, "wb") as file:
            os.dup2(file.fileno(), descriptor)
    os.chdir(directory)
    os.environ.update(environment)
    Popen.starter = Starter()
    from snakemake.cli import main

    subprocess.Popen = Popen  # type: ignore[misc]
    sys.argv = ["snakemake", *arguments]
    main()


# Seconds that a run of a test may take.
LONGEST = 600


def run_snakemake(
    *arguments: str, directory: Path = ROOT, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run Snakemake in a process of its own, with variables beside those of this one."""
    with tempfile.TemporaryDirectory() as folder:
        printed = f"{folder}/out", f"{folder}/err"
        process = SNAKEMAKES.Process(
            target=call_snakemake, args=(arguments, printed, directory, environment)
        )
        process.start()
        process.join(LONGEST)
        late = process.is_alive()
        process.kill()
        process.join()
        out, err = (Path(name).read_text() for name in printed)
    if late:
        err += f"killed by the test: it had not ended after {LONGEST} s\n"
    return subprocess.CompletedProcess(["snakemake", *arguments], process.exitcode, out, err)


# As in profiles/default, which itself prints no page a job.
TRIGGERS = ("--rerun-triggers", "mtime", "params", "code", "software-env")


@dataclass(frozen=True)
class ScheduledJob:
    """A job that Snakemake would run."""

    rule: str
    wildcards: dict[str, str]


@dataclass(frozen=True)
class Workdir:
    """A folder to run in, with a copy of the workflow that tests may edit."""

    path: Path

    @property
    def project(self) -> Path:
        return self.path / "project"

    @property
    def directory(self) -> Path:
        return self.path / "run"

    @property
    def cells(self) -> Path:
        return self.directory / "results" / "tables" / "cells.csv"

    def configure(self, study: dict[str, Any]) -> None:
        (self.project / "config" / "config.yaml").write_text(yaml.safe_dump(study))

    def command(self, *arguments: str) -> list[str]:
        return [
            *(sys.executable, "-m", "snakemake", "--cores", "2"),
            *("--snakefile", str(self.project / "Snakefile")),
            *("--directory", str(self.directory), *arguments),
        ]

    def snakemake(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        command = self.command(*arguments)
        if options:
            return subprocess.run(command, capture_output=True, text=True, timeout=600, **options)
        return run_snakemake(*command[3:])

    def run(self, *arguments: str) -> None:
        done = self.snakemake(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr

    def scheduled(self, *arguments: str) -> list[ScheduledJob]:
        """Ask, in a dry run, which jobs Snakemake would run.

        Left out is `all`, of which the Snakefile at the root makes `epsigma`.
        """
        looked = self.snakemake(*TRIGGERS, "--dry-run", "--workflow-profile", "none", *arguments)
        text = looked.stdout + looked.stderr
        assert looked.returncode == 0, text
        jobs = []
        for block in re.split(r"\n(?=\[)", text):
            rule = re.search(r"^(?:local)?rule (\w+):$", block, re.MULTILINE)
            if rule and rule[1] not in ("all", "epsigma"):
                found = re.search(r"^    wildcards: (.*)$", block, re.MULTILINE)
                pairs = found[1].split(", ") if found else []
                jobs.append(ScheduledJob(rule[1], dict(pair.split("=", 1) for pair in pairs)))
        return jobs

    def unlock(self) -> subprocess.CompletedProcess[str]:
        """Remove the lock of a Snakemake that is gone, as `make results` does."""
        script = self.project / "workflow" / "scripts" / "unlock.py"
        return subprocess.run(
            [sys.executable, str(script), str(self.directory)], capture_output=True, text=True
        )

    def copy(self, to: Path) -> "Workdir":
        """Copy everything, timestamps and Snakemake's records included."""
        shutil.copytree(self.path, to, symlinks=True)
        return Workdir(to)


def new_workdir(path: Path, study: dict[str, Any]) -> Workdir:
    made = Workdir(path)
    made.directory.mkdir(parents=True)
    for name in ("Snakefile", "workflow", "config", "profiles"):
        source, target = ROOT / name, made.project / name
        if source.is_dir():
            # Compiled modules, too, but for those that another process is just writing.
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.pyc.*"))
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    made.configure(study)
    return made


def made_once(
    base: Path, name: str, study: dict[str, Any], finish: Callable[[Workdir], object]
) -> Workdir:
    """Make a folder that all processes of this run of the tests share; nobody may change it.

    Args:
        base: pytest's folder for temporary files, of this process.
        finish: runs what is to be run in it.
    """
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    path, done = shared / name / "epsigma", shared / f"{name}.done"
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(path, ignore_errors=True)
            finish(new_workdir(path, study))
            done.touch()
    return Workdir(path)
