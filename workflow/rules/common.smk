# What the rules share: the checked configuration, the wildcards, and the functions that turn
# wildcards into a stage's settings and the digest of its code.
import dataclasses
import importlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

# One core a cell; Snakemake runs the cells in parallel. Set before torch is first imported, it
# also makes results independent of how many cores there are.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
# Cells wait less for the scheduler, which computes in the same interpreter: a tenth off a sweep.
sys.setswitchinterval(0.0005)

# The package, and before what is installed the user's own modules: models of the kind `factory`.
sys.path[:0] = [f"{workflow.basedir}/workflow", os.getcwd()]

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from epsigma import configuration, grid
from epsigma.datasets.source import fingerprint, locate
from epsigma.provenance import code_digest
from epsigma.stages.job import Job

try:
    STUDY = configuration.validate(config)
except configuration.ConfigurationError as error:
    raise WorkflowError(str(error)) from None

CELLS = list(grid.cells(STUDY))


def names_of(section):
    """The names of a section's blocks."""
    return [block["name"] for block in STUDY[section]]


FILTERS = names_of("filters")


def is_news(record):
    """Whether a line of Snakemake's log is worth printing: not one for every set removed."""
    return not record.getMessage().startswith("Removing temporary output")


logger.addFilter(is_news)


wildcard_constraints:
    dataset=grid.NAME,
    model=grid.NAME,
    seed=r"0|[1-9]\d*",
    threat="|".join(grid.THREATS),
    attack=grid.NAME,
    budget=grid.LEVEL,
    filter=grid.NAME,
    strength=grid.LEVEL,


def gpus(wildcards):
    return 1 if STUDY["device"] == "cuda" else 0


def job(wildcards, params, log):
    """What a stage is told beside its files."""
    return Job(dict(wildcards), params.settings, params.code, STUDY["device"], str(log))


def warm_up():
    """Import what the cells need while another process works, not when it is done."""
    if workflow.is_main_process:
        for stage in ("epsigma.stages.gallery", "epsigma.stages.collect"):
            threading.Thread(target=importlib.import_module, args=[stage]).start()


def run_apart(function, job, **files):
    """Run a stage in a process of its own."""
    arguments = json.dumps({"job": dataclasses.asdict(job), "files": files})
    script = f"{workflow.basedir}/workflow/scripts/stage.py"
    if subprocess.run([sys.executable, script, function, arguments]).returncode:
        raise WorkflowError(f"{function} failed, see {job.log}")
