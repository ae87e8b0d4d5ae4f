# What the rules share: the checked configuration, the wildcards, and the functions that turn
# wildcards into a stage's settings and the digest of its code.
import dataclasses
import gc
import hashlib
import importlib
import os
import platform
import re
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
# The DAG's objects live to the end: to look for garbage among them less often takes a sixth off a
# no-op of 10,000 cells.
gc.set_threshold(100_000, 50, 100)

# The package, and before what is installed the user's own modules: models of the kind `factory`.
sys.path[:0] = [f"{workflow.basedir}/workflow", os.getcwd()]

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from epsigma import cell, configuration, vocabulary
from epsigma.plan import grid
from epsigma.datasets.source import fingerprint, locate
from epsigma.forkserver import ForkServer
from epsigma.storage.digest import code_digest, missing_packages
from epsigma.job import Job

# Asked on every machine that runs jobs, and before any.
if missing_packages():
    raise WorkflowError(
        f"{sys.executable} on {platform.node()} lacks {', '.join(missing_packages())}: install "
        f"{workflow.basedir}/envs/run.txt there (pip install -r), or start Snakemake from an "
        "environment that has it, and that every machine which runs jobs sees"
    )

try:
    for path in workflow.configfiles:
        configuration.check_keys(path)
    for key in workflow.config_settings.config:
        config[key] = configuration.typed(config[key])
    CONFIGURED = configuration.validate(config)
except configuration.ConfigurationError as error:
    raise WorkflowError(str(error)) from None

# Each model of a swept training apart.
STUDY = configuration.expand(CONFIGURED)
CELLS = list(grid.cells(STUDY))


def names_of(section):
    """The names of a section's blocks."""
    return [block["name"] for block in STUDY[section]]


FILTERS = names_of("filters")
# Fooling images are of no test image: they have rules of their own.
FOOLING = [
    name
    for name in names_of("attacks")
    if configuration.attack_kind(STUDY, name).family == vocabulary.FOOLING
]
ATTACKS = [name for name in names_of("attacks") if name not in FOOLING]


def is_news(record):
    """Whether a line of Snakemake's log is worth printing: not one for every set removed."""
    removals = ("Removing temporary output", "Would remove temporary output")
    return not record.getMessage().startswith(removals)


logger.addFilter(is_news)


wildcard_constraints:
    dataset=cell.NAME,
    model=cell.MODEL,
    seed=r"0|[1-9]\d*",
    threat="|".join(vocabulary.THREATS),
    attack=cell.NAME,
    budget=cell.LEVEL,
    filter=cell.NAME,
    strength=cell.LEVEL,
    autoencoder=cell.NAME,
    detector=cell.NAME,


def gpus(wildcards):
    return 1 if STUDY["device"] == "cuda" else 0


def gpus_to_score(wildcards):
    """Classifiers score on the CPU; what has yet to pass a filter does so on a GPU."""
    return gpus(wildcards) if is_filtered_when_scored(wildcards) else 0


def job(wildcards, params, log):
    """What a stage is told beside its files."""
    settings = configuration.of_cell(params.settings, wildcards)
    settings = configuration.located(settings, lambda found: path_of_part(found, wildcards))
    return Job(dict(wildcards), settings, params.code, STUDY["device"], str(log))


def warm_up():
    """Import what the cells need while another process works, not when it is done."""
    if workflow.is_main_process:
        for stage in (
            "epsigma.stages.gallery",
            "epsigma.stages.check",
            "epsigma.stages.statistics",
        ):
            threading.Thread(target=importlib.import_module, args=[stage]).start()


def clear_up():
    """Clear up what a killed run or a wrong clock left; the folder is locked."""
    from epsigma.storage.files import tidy

    for done in tidy("results"):
        logger.warning(done)


# What stages that run apart import; the first comes first.
APART = {
    "train": "epsigma.stages.train",
    "cost": "epsigma.stages.cost",
    "draw": "epsigma.stages.draw",
}
SERVERS = []


def start_server():
    """Have what the run's stages apart will import imported, while other jobs run."""
    needed = {job.rule.name.partition("_")[0] for job in workflow.dag.needrun_jobs()}
    modules = [module for stage, module in APART.items() if stage in needed]
    if modules:
        SERVERS.append(ForkServer(modules))


def run_apart(function, job, **files):
    """Run a stage in a process of its own."""
    if not SERVERS:  # in a job on another machine
        SERVERS.append(ForkServer([]))
    if not SERVERS[0].run(function, job, files):
        raise WorkflowError(f"{function} failed, see {job.log}")
