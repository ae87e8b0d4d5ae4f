"""A SLURM, and a small study to run on it."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cluster import UNAVAILABLE, Cluster, output
from running import Workdir, new_workdir

STUDY: dict[str, Any] = {
    "datasets": [{"kind": "digits"}],
    "models": [
        {
            "kind": "mlp",
            "hidden": 16,
            "training": {"epochs": 10, "batch_size": 32, "learning_rate": 0.005},
        }
    ],
    "attacks": [{"kind": "struck:PUSH", "eps": [0, 0.1, 0.2, 0.3, 0.4]}],
    "filters": [{"kind": "gaussian", "sigma": [1], "threats": ["blind"]}],
}
CELLS = "results/tables/cells.csv"
MODEL = "results/digits/mlp/seed~0"


@dataclass(frozen=True)
class Accounted:
    """A job as SLURM's accounting shows it; one that was requeued is there twice."""

    comment: str
    state: str
    memory: str
    limit: str
    partition: str
    allocated: str

    @property
    def rule(self) -> str:
        found = re.match(r"rule_(\w+?)_wildcards", self.comment)
        assert found, self.comment
        return found[1]


def adversarial(eps: float) -> str:
    return f"{MODEL}/adversarial/blind/push/eps~{eps:g}.safetensors"


def unfiltered(*budgets: float) -> list[str]:
    """The cells without a filter: an attack and an evaluation each."""
    return [f"{MODEL}/metrics/blind/push/eps~{eps:g}/none/fixed.json" for eps in budgets]


def command(workdir: Workdir, *arguments: str) -> list[str]:
    """Snakemake with the project's own profile, as the documentation has it, but less patient."""
    return [
        *(sys.executable, "-m", "snakemake", *arguments),
        *("--workflow-profile", "slurm", "--snakefile", str(workdir.project / "Snakefile")),
        *("--directory", str(workdir.directory), "--latency-wait", "10"),
        # A little more than a job takes here.
        *("--slurm-init-seconds-before-status-checks", "12"),
    ]


def submit(workdir: Workdir, *arguments: str) -> subprocess.Popen[str]:
    """Start a run on SLURM."""
    return subprocess.Popen(
        command(workdir, *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def run(workdir: Workdir, *arguments: str, seconds: float = 300) -> tuple[int, str]:
    """Run on SLURM to the end: the return code, and what Snakemake said."""
    done = subprocess.run(
        command(workdir, *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
    )
    return done.returncode, done.stdout


def run_id(said: str) -> str:
    found = re.search(r"SLURM run ID: (\S+)", said)
    assert found, said
    return found[1]


def accounted(said: str) -> list[Accounted]:
    """The jobs of a run, in the order in which they were submitted."""
    fields = ("Comment", "State", "ReqMem", "Timelimit", "Partition", "AllocTRES")
    shown = output(
        *("sacct", "--allocations", "--duplicates", "--parsable2", "--noheader"),
        *(f"--name={run_id(said)}", f"--format={','.join(fields)}", "--starttime=now-1days"),
    )
    return [Accounted(*line.split("|")) for line in shown.splitlines()]


def prepare(path: Path, study: dict[str, Any]) -> Workdir:
    workdir = new_workdir(path, study)
    shutil.copy(Path(__file__).with_name("struck.py"), workdir.directory)
    (workdir.directory / "strikes").mkdir()
    return workdir


@pytest.fixture(scope="session", autouse=True)
def cluster() -> Iterator[None]:
    """A SLURM that runs; one that ran before stays."""
    ran = Cluster().running("slurmd") is not None
    script = str(Path(__file__).with_name("cluster.py"))
    started = subprocess.run([sys.executable, script, "start"], capture_output=True, text=True)
    if started.returncode == UNAVAILABLE:
        pytest.skip(started.stderr.strip())
    try:
        assert started.returncode == 0, started.stdout + started.stderr
        yield
    finally:
        if not ran:
            subprocess.run([sys.executable, script, "stop"], check=True)


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Workdir:
    """A folder in which the study ran to its tables without SLURM."""
    made = prepare(tmp_path_factory.mktemp("local") / "epsigma", STUDY)
    made.run(CELLS)
    return made


@pytest.fixture
def finished(local: Workdir, tmp_path: Path) -> Workdir:
    """The same, for the test to change."""
    return local.copy(tmp_path / "finished")


@pytest.fixture(scope="session")
def trained_once(local: Workdir, tmp_path_factory: pytest.TempPathFactory) -> Workdir:
    made = local.copy(tmp_path_factory.mktemp("trained") / "epsigma")
    for name in ("adversarial", "filtered", "metrics", "ledger/blind"):
        shutil.rmtree(made.directory / MODEL / name, ignore_errors=True)
    (made.directory / CELLS).unlink()
    return made


@pytest.fixture
def trained(trained_once: Workdir, tmp_path: Path) -> Workdir:
    """A folder in which nothing is attacked yet."""
    return trained_once.copy(tmp_path / "trained")
