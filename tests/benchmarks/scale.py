"""Scale: what a cell costs that computes almost nothing, from a hundred to a hundred thousand.

Softmax regression, fifty digits of 8 × 8 pixels, FGSM at many ε, a Gaussian of many σ, the blind
attacker. What is asked for is the table of all cells, so that neither figures nor checks count; and
for the smaller sizes, in a run of their own, everything.
"""

import shutil
import tempfile
from pathlib import Path

from benchmarks.rounds import interleaved
from benchmarks.workflow import column_modes, snakemake, write_study

# Cells: how many ε, and how many σ beside no filter.
# What the table of the fewest takes is the same for all: start, data, training, imports.
FEWEST = 2
GRIDS = {FEWEST: (1, 1), 100: (10, 9), 1_000: (20, 49), 10_000: (100, 99), 100_000: (200, 499)}
SMALL_GRIDS = {FEWEST: (1, 1), 20: (4, 4), 60: (6, 9)}
EXAMPLES = 50
CELLS = "results/tables/cells.csv"
# Of this many cells a single run has to do.
LARGE, LARGEST = 10_000, 100_000
MIB = 2**20


def study(eps, sigmas, mode=None):
    """A configuration of so many ε and σ."""
    return {
        "datasets": [{"kind": "digits"}],
        "models": [{"kind": "softmax", "training": {"epochs": 1}}],
        "attacks": [
            {
                "kind": "fgsm",
                "eps": [round(0.002 * step, 3) for step in range(eps)],
                "threats": ["blind"],
                "examples": EXAMPLES,
            }
        ],
        "filters": [
            {"kind": "gaussian", "sigma": [round(0.3 + 0.02 * step, 2) for step in range(sigmas)]}
        ],
        "keep_filtered": False,
        # What the checks find in cells of no account is of no account.
        "strict": False,
        **({"columns": mode} if mode else {}),
    }


def measure(rounds, small):
    runs, once = {}, set()
    for cells, grid in (SMALL_GRIDS if small else GRIDS).items():
        for mode in (None, *column_modes()):
            if mode and cells >= LARGEST:
                continue
            identity = (("cells", cells), ("mode", mode or "none"), ("asked", "cells"))
            runs[identity] = grown(grid, mode)
            if mode or cells >= LARGE:
                once.add(identity)
        if FEWEST < cells < LARGE:
            identity = (("cells", cells), ("mode", "none"), ("asked", "everything"))
            runs[identity] = grown(grid, None, targets=())
            once.add(identity)
    yield from interleaved(runs, rounds, once)


def grown(grid, mode, targets=(CELLS,)):
    """Make a run in a fresh directory: the DAG, the cells, a no-op, and what Snakemake kept."""

    def once():
        with tempfile.TemporaryDirectory(prefix="epsigma-scale-") as name:
            place = Path(name)
            file = write_study(place / "study.yaml", study(*grid, mode))
            directory = place / "run"
            directory.mkdir()
            dag = snakemake(file, directory, *targets, options=("-n",))
            cold = snakemake(file, directory, *targets)
            again = snakemake(file, directory, *targets)
            records = [path for path in (directory / ".snakemake").rglob("*") if path.is_file()]
            results = [path for path in (directory / "results").rglob("*") if path.is_file()]
            found = {
                "dag_seconds": dag.seconds,
                "seconds": cold.seconds,
                "noop_seconds": again.seconds,
                "processor_seconds": cold.processor_seconds,
                "peak_mib": cold.peak_mib,
                "noop_peak_mib": again.peak_mib,
                "records": len(records),
                "records_mib": occupied(records),
                "results": len(results),
                "results_mib": occupied(results),
            }
            shutil.rmtree(directory)
        return [found]

    return once


def occupied(paths):
    """What files take on the disk, in MiB."""
    return sum(path.stat().st_blocks * 512 for path in paths) / MIB
