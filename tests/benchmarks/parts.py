"""A study of many tiny cells in parts, on a SLURM whose controller is killed in the middle of one.

PYTHONPATH=tests .venv-slurm/bin/python -m benchmarks.parts FOLDER

SLURM must run (`tests/slurm/cluster.py start`). A part is some models: softmax regression on fifty
digits of 8 x 8 pixels, FGSM at many eps, a Gaussian of many sigma and none, `columns: attack`. At
the end the whole makes its table from what is there. Prints a line a step. What is in FOLDER stays,
so that a run that was stopped goes on.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from benchmarks import ROOT
from benchmarks.scale import CELLS, study
from benchmarks.workflow import MIB, write_study

# Where recover.sh finds the Python of this environment.
BIN = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
BIN.pop("PYTHONPATH", None)
RUN = re.compile(r"SLURM run ID: (\S+)")


def command(folder, *arguments):
    """Snakemake with the profile for SLURM, on the table of all cells."""
    return [
        *(sys.executable, "-m", "snakemake", CELLS, "--workflow-profile", "slurm"),
        *("--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)),
        *("--configfile", str(folder / "study.yaml")),
        *arguments,
    ]


def run(folder, *arguments, until=None):
    """Run Snakemake to its end, or kill it as soon as `until` says so.

    Returns:
        Seconds, the peak of its memory in MiB, the SLURM jobs that it submitted.

    Raises:
        RuntimeError: if it fails without having been killed.
    """
    said, started, peak = folder / "said.txt", time.perf_counter(), 0.0
    with said.open("w") as log:
        process = subprocess.Popen(
            command(folder, *arguments),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=BIN,
            start_new_session=True,
        )
    seen, killed = psutil.Process(process.pid), False
    while process.poll() is None:
        if seen.status() != psutil.STATUS_ZOMBIE:
            peak = max(peak, seen.memory_info().rss / MIB)
        if until and until():
            os.killpg(process.pid, signal.SIGKILL)
            killed = True
        time.sleep(0.2)
    if process.returncode and not killed:
        raise RuntimeError(said.read_text()[-3000:])
    return time.perf_counter() - started, peak, submitted(said.read_text())


def submitted(said):
    """Count the jobs of a run by SLURM's accounting, which knows those of a run that was killed."""
    found = RUN.search(said)
    if not found:
        return 0
    shown = subprocess.run(
        [*("sacct", "--allocations", "--noheader", "--parsable2", "--format=JobID"),
         f"--name={found[1]}", "--starttime=now-1days"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return len(shown.stdout.split())


def ledgers(folder, model=""):
    """When each ledger was written."""
    below = folder / "results" / "digits" / model
    return {path: path.stat().st_mtime_ns for path in below.rglob("*.parquet")}


def count_changed(before, after):
    return sum(after[path] != then for path, then in before.items())


def tell(what, seconds, peak, jobs, **more):
    words = {"seconds": round(seconds), "peak_mib": round(peak), "slurm_jobs": jobs, **more}
    print(what, json.dumps(words), flush=True)


def kill(folder, what, part, models):
    """Kill the controller once a part has ledgers of cells; clear up as docs/running.md says."""

    def begun():
        return any(ledgers(folder, f"{model}/seed~0/ledger/blind") for model in models)

    tell(f"{what}, killed", *run(folder, *part, until=begun))
    started = time.perf_counter()
    subprocess.run([ROOT / "profiles/slurm/recover.sh", folder], env=BIN, check=True)
    tell(f"{what}, recover.sh", time.perf_counter() - started, 0, 0)


def measure(folder, options):
    """Run part after part, and the whole."""
    names = [f"model_{number}" for number in range(options.models)]
    made = study(options.eps, options.sigmas, "attack")
    made["models"] = [{**made["models"][0], "name": name} for name in names]
    write_study(folder / "study.yaml", made)
    for number, models in enumerate(batched(names, options.each), start=1):
        what, part = f"part {number}", ("--config", f"only={json.dumps({'models': models})}")
        if number == options.killed:
            kill(folder, what, part, models)
        before = ledgers(folder)
        seconds, peak, jobs = run(folder, *part)
        after = ledgers(folder)
        made = {"made": len(after) - len(before), "made_again": count_changed(before, after)}
        tell(what, seconds, peak, jobs, **made)
    before = ledgers(folder)
    # Nothing is left but the table, which takes less memory to plan for cells than for columns.
    seconds, peak, jobs = run(folder, "--config", "columns=none")
    again = count_changed(before, ledgers(folder))
    with (folder / CELLS).open() as lines:
        rows = sum(1 for _ in lines) - 1
    tell("the whole", seconds, peak, jobs, rows=rows, made_again=again)


def batched(names, size):
    return [names[first : first + size] for first in range(0, len(names), size)]


def main():
    parser = argparse.ArgumentParser(prog="parts", description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", type=int, default=20)
    parser.add_argument("--each", type=int, default=2, help="models a part")
    parser.add_argument("--eps", type=int, default=50)
    parser.add_argument("--sigmas", type=int, default=99)
    parser.add_argument("--killed", type=int, default=5, help="the part whose controller is killed")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    measure(options.folder.resolve(), options)


if __name__ == "__main__":
    main()
