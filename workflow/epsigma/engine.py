"""What the workflow does to Snakemake, and to the process that it runs in.

What it takes from Snakemake beside rules is here, in `lookups`, and, to print, in `messages` and
`terminal`.
"""

import atexit
import errno
import gc
import importlib
import logging
import os
import platform
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from snakemake.common import NOTHING_TO_BE_DONE_MSG
from snakemake.exceptions import WorkflowError
from snakemake.io import is_flagged
from snakemake.logging import logger

from epsigma.forkserver import ForkServer
from epsigma.job import Job
from epsigma.lookups import look_up
from epsigma.messages import find_console, keep_short, shows_line
from epsigma.plan.columns import Twin
from epsigma.plan.disk import Disk
from epsigma.plan.grid import cells
from epsigma.storage.digest import missing_packages
from epsigma.study import ConfigurationError, Study, check_keys, expand, typed, validate
from epsigma.surroundings import settle

# What stages that run in a process of their own import; the first comes first.
_IMPORTED = {
    "try": "epsigma.stages.trial",
    "train": "epsigma.stages.train",
    "cost": "epsigma.stages.cost",
    "draw": "epsigma.stages.draw",
}
# The line that shows how far this run is, if one does.
_LINES: list[logging.Handler] = []
# What cells need, and is imported while a process of its own works.
_LATER = ("epsigma.stages.gallery", "epsigma.stages.check", "epsigma.stages.tabulate")


def prepare_process() -> None:
    """Set what all jobs of this process share; before torch is first imported."""
    settle()
    # Cells wait less for the scheduler, which computes in the same interpreter: a tenth off a
    # sweep.
    sys.setswitchinterval(0.0005)
    # The DAG's objects live to the end: to look for garbage among them less often takes a sixth
    # off a no-op of 10,000 cells.
    gc.set_threshold(100_000, 50, 100)
    # Nor is what torch and the DAG have left looked through once more when the process ends.
    atexit.register(gc.freeze)
    look_up()


def read_study(workflow: Any, config: dict[str, Any], root: Path) -> Study:
    """Check the configuration, and that this Python has what jobs need.

    Args:
        workflow: Snakemake's.
        config: the merged configuration; values of the command line are read as YAML.
        root: the folder of the workflow.

    Raises:
        WorkflowError: says what is wrong and what to do.
    """
    keep_short(workflow)
    # Asked on every machine that runs jobs, and before any.
    if missing := missing_packages():
        raise WorkflowError(
            f"{sys.executable} on {platform.node()} lacks {', '.join(missing)}: install "
            f"{root}/envs/run.txt there (pip install -r), or start Snakemake from an environment "
            "that has it, and that every machine which runs jobs sees"
        )
    _check_records(Path.cwd())
    try:
        for path in workflow.configfiles:
            check_keys(path)
        given = workflow.config_settings.config
        study = validate(
            {key: typed(value) if key in given else value for key, value in config.items()}
        )
    except ConfigurationError as error:
        raise WorkflowError(str(error)) from None
    if shows_line(workflow):
        # Before the DAG is there, which takes seconds.
        logger.info(tell_study(study))
    return study


def _check_records(folder: Path) -> None:
    """Refuse a working folder in which Snakemake cannot keep its records: it would only raise."""
    records = folder / ".snakemake"
    where = records if records.exists() else folder
    if not os.access(where, os.W_OK):
        raise WorkflowError(
            f"{where} cannot be written, and Snakemake keeps its records there: make it writable, "
            "or run in another folder (--directory)"
        )


def clear_up(folder: str) -> None:
    """Clear up what a killed run or a wrong clock left in a folder, which is locked."""
    from epsigma.storage.files import tidy

    for done in tidy(folder):
        logger.warning(done)


def announce(workflow: Any, study: Study, folder: str) -> None:
    """Say how many cells a run makes, and how much disk it will want in a folder."""
    made = [
        (str(path), job.wildcards)
        for job in workflow.dag.needrun_jobs()
        for path in job.output
        if not is_flagged(path, "temp")
    ]
    scored = sum("/metrics/" in path for path, _ in made)
    if not scored:
        return
    wanted, unknown = Disk(study).estimate(made)
    # What is there is replaced.
    wanted -= sum(Path(path).stat().st_size for path, _ in made if Path(path).exists())
    free = shutil.disk_usage(".").free
    some = "1 cell" if scored == 1 else f"{scored} cells"
    said = f"{some} to make: {folder} will take about {max(wanted, 0) / 1e6:,.1f} MB more"
    if unknown:
        said += f", beside the images of {', '.join(unknown)}, whose size is not known yet"
    tell = logger.warning if wanted > free else logger.info
    tell(f"{said}; its disk has {free / 1e6:,.1f} MB free")


def tell_study(study: Study) -> str:
    """Tell of what a study consists."""
    study = expand(study)
    names = {"data set": "datasets", "model": "models", "attack": "attacks", "filter": "filters"}
    counts = {word: len(study.names(section)) for word, section in names.items()}
    counts["seed"] = len(study.seeds)
    parts = [
        f"{n} {word}" + "s" * (n != 1) for word, n in counts.items() if word != "seed" or n > 1
    ]
    return f"the study: {', '.join(parts)}: {len(list(cells(study))):,} cells"


def show_progress(workflow: Any) -> None:
    """Say which jobs a run has and how long they take, and show how far it is."""
    if not shows_line(workflow):
        return
    from epsigma.terminal import MovingLine, announce_jobs

    jobs = list(workflow.dag.needrun_jobs())
    cores = (workflow.resource_settings.cores or 1) if workflow.local_exec else None
    estimate = announce_jobs(jobs, cores)
    seconds = estimate.of_jobs if estimate else [None] * len(jobs)
    ids = map(workflow.dag.jobid, jobs)
    console = find_console(workflow)
    _LINES.append(MovingLine(console, dict(zip(ids, seconds, strict=True)), estimate))
    logger.addHandler(_LINES[-1])


def end_progress() -> None:
    """Remove the line that shows how far a run is."""
    while _LINES:
        line = _LINES.pop()
        line.close()
        logger.removeHandler(line)


def sum_up(workflow: Any, folder: str, verdict: str) -> None:
    """Say what came of a run that ends with the verdict of the checks, and where to look."""
    from epsigma.summary import summarize

    end_progress()
    if any(verdict in job.output for job in workflow.dag.jobs):
        logger.info(summarize(Path(folder)))


def sum_up_finished(workflow: Any, folder: str, verdict: str) -> None:
    """Have `sum_up` called of a study that is finished already: then Snakemake calls no hook."""
    if shows_line(workflow):
        logger.addHandler(_WhenNothingIsLeft(lambda: sum_up(workflow, folder, verdict)))


class _WhenNothingIsLeft(logging.Handler):
    """Calls a function when Snakemake says that nothing is to be done."""

    def __init__(self, call: Callable[[], None]) -> None:
        super().__init__()
        self._call = call

    def emit(self, record: logging.LogRecord) -> None:
        if record.msg == NOTHING_TO_BE_DONE_MSG:
            self._call()


class Apart:
    """Runs stages in processes of their own, as those want that set global seeds or draw."""

    def __init__(self) -> None:
        self._server: ForkServer | None = None
        self._workflow: Any = None

    def expect_all(self, workflow: Any, folder: str) -> None:
        """Begin to import what a first run needs, which takes longer than to plan it.

        Args:
            workflow: Snakemake's, which does not know its jobs yet.
            folder: of results; if it is there, `start` finds out what is needed.
        """
        resources = workflow.resource_settings
        runs_here = workflow.is_main_process and resources.cores and not resources.nodes
        # Of a module Snakemake runs no `onstart`; a run checks the environment, `--lint` does not.
        runs_here = runs_here and not workflow.modifier.is_module and workflow.check_envvars
        if runs_here and not workflow.output_settings.dryrun and not Path(folder).exists():
            self._server = ForkServer([*_IMPORTED.values()])

    def start(self, workflow: Any) -> None:
        """Prepare a run on this machine: nothing here is done for jobs of a cluster."""
        modules = []
        if workflow.local_exec:
            lift_rate_limit(workflow)
            stop_when_full(workflow)
            rules = [job.rule.name for job in workflow.dag.needrun_jobs()]
            needed = {part for rule in rules for part in rule.split("_")}
            modules = [module for stage, module in _IMPORTED.items() if stage in needed]
            self._workflow = workflow
        if self._server and not modules:
            self._server.close()
            self._server = None
        elif modules and not self._server:
            self._server = ForkServer(modules)

    def warm_up(self) -> None:
        """Import what cells need while another process works, not when it is done."""
        for module in _LATER if self._workflow else ():
            threading.Thread(target=importlib.import_module, args=[module]).start()

    def run(self, function: str, job: Job, **files: Any) -> None:
        """Run a stage, `module:function`, to its end.

        Raises:
            WorkflowError: if it failed; says what it raised.
        """
        if self._server is None:  # in a job on another machine, or of a workflow that imports this
            self._server = ForkServer([])
        if error := self._server.run(function, job, files):
            raise WorkflowError(error)

    def run_first(self, function: str, job: Job, **files: Any) -> None:
        """Run a stage as `run` does. If it fails, a run on this machine begins no other job."""
        try:
            self.run(function, job, **files)
        except WorkflowError:
            if self._workflow:
                self._workflow.scheduler.keepgoing = False
            raise


def add_twin(workflow: Any, twin: Twin, outputs: dict[str, Any], log: str) -> None:
    """Add a rule that makes columns: the rule of its stage, with other files.

    This is what Snakemake compiles `use rule … as … with:` and `ruleorder:` to; those take names
    that are written out only, and of columns the study says which there are.
    """
    inherited = workflow.run(lambda: None)
    constrained = workflow.register_wildcard_constraints(**twin.constraints)(inherited)
    made = workflow.output(**outputs)(workflow.log(log)(constrained))
    workflow.userule(rules=[twin.stage], name_modifier=twin.rule)(made)
    workflow.ruleorder(twin.rule, twin.stage)


def lift_rate_limit(workflow: Any) -> None:
    """Let the scheduler of a local run sleep while nothing changes.

    To keep to a rate of submissions, Snakemake wakes its scheduler once a second for each job that
    it has started so far, which soon is all it does: 48 s of processor time for 1,500 jobs, 18 s
    without (Snakemake 9.27.1). No public setting turns it off.
    """
    workflow.scheduler.job_rate_limiter = None


def stop_when_full(workflow: Any) -> None:
    """End a run where a disk is full: with `keep-going` each job that is left would fail, too."""
    full = os.strerror(errno.ENOSPC)

    def look(record: logging.LogRecord) -> bool:
        if full in record.getMessage():
            workflow.scheduler.keepgoing = False
        return True

    logger.addFilter(look)
