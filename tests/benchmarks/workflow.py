"""Running the workflow, and what it takes: time, processor time, memory."""

import os
import resource
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import Any, get_args

import psutil
import yaml

from benchmarks import CORES
from benchmarks.builds import HERE

MIB = 2**20
SAMPLED_EVERY = 0.05
# They would reach into the workflow, which sets its own.
NOT_INHERITED = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "SNAKEMAKE_PROFILE", "PYTHONPATH")


@dataclass(frozen=True)
class Spent:
    """What a process took: seconds of wall clock and of processors, and its peak memory.

    The processors' seconds are its children's, too; the memory is the main process's alone.
    `watched` is the thread that watched it besides, if one did.
    """

    seconds: float
    processor_seconds: float
    peak_mib: float
    output: str
    watched: Any = None


def run(command, watch=None, **options):
    """Run a command to its end.

    Args:
        command: a program and its arguments.
        watch: makes of the process's number a thread that ends with it.
        options: of `subprocess.Popen`.

    Raises:
        RuntimeError: if it fails, with the end of what it said.
    """
    environment = {key: value for key, value in os.environ.items() if key not in NOT_INHERITED}
    before = _processor_seconds()
    started = time.perf_counter()
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        **options,
    )
    peak, watched = Peak(process.pid), watch(process.pid) if watch else None
    watches = [one for one in (peak, watched) if one]
    for one in watches:
        one.start()
    output, said = process.communicate()
    seconds = time.perf_counter() - started
    for one in watches:
        one.join()
    if process.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))} failed:\n{(output + said)[-3000:]}")
    return Spent(seconds, _processor_seconds() - before, peak.mib, output, watched)


def snakemake(study, directory, *targets, options=(), before=(), build=HERE, watch=None):
    """Run the workflow on a study's file in a directory; `before` is put before the command."""
    return run(
        [
            *before,
            build.python,
            *("-m", "snakemake"),
            *targets,
            *("--snakefile", build.root / "Snakefile"),
            *("--directory", directory),
            *("--cores", str(CORES)),
            *options,
            *("--configfile", study),
        ],
        watch=watch,
        cwd=build.root,
    )


def write_study(path, study):
    """Write a configuration."""
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return path


def column_modes():
    """What the configuration's key `columns` may be beside `none`."""
    from epsigma.study.schema import Study

    return [mode for mode in get_args(Study.model_fields["columns"].annotation) if mode != "none"]


class Peak(threading.Thread):
    """Watches how much memory a process has, until it ends."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid = pid
        self.mib = 0.0

    def run(self):
        try:
            process = psutil.Process(self.pid)
            while process.status() != psutil.STATUS_ZOMBIE:
                self.mib = max(self.mib, process.memory_info().rss / MIB)
                time.sleep(SAMPLED_EVERY)
        except psutil.NoSuchProcess:
            return


def _processor_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
