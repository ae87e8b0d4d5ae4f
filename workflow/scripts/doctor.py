"""Say what is right and what is wrong with this machine for a study, and what to do.

    doctor.py [--study CONFIG] [--directory FOLDER]

Each line is `ok`, `warn` or `fail`, with the remedy below. The exit status is 1 if something fails.
It runs before the environment is made, by any Python 3.7 or later and its standard library; what
only the environment can tell is told once there is one (`make doctor` takes its Python then).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Iterator, NamedTuple  # noqa: UP035 (an old Python says that it is old)

ROOT = Path(__file__).resolve().parents[2]
PINS = ROOT / "envs" / "run.txt"
OK, WARN, FAIL = "ok", "warn", "fail"
# Bytes: of .venv; of memory, free and taken by the default study at its peak on two cores.
ENVIRONMENT = 6.4e9
LEAST_MEMORY, ENOUGH_MEMORY, TAKEN = 1.2e9, 2.5e9, 1.9e9
# What else than results fills a disk.
SPARE = 0.5e9
# A socket in TMPDIR has a path of 107 characters at most, and a name of up to 40.
LONGEST_TMPDIR = 67
PATIENCE = 20


class Finding(NamedTuple):
    """A line of the doctor's: how it is, what, and what to do about it."""

    mark: str
    what: str
    remedy: str = ""


def ask(*command: str, patience: float = PATIENCE) -> subprocess.CompletedProcess[str] | None:
    """Run a command; None if it cannot be run, or does not answer in time."""
    try:
        return subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            encoding="utf-8",
            errors="replace",
            timeout=patience,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


def is_environment() -> bool:
    """Whether this Python is that of an environment with Snakemake in it."""
    from importlib.util import find_spec

    return find_spec("snakemake") is not None


def check_python() -> Iterator[Finding]:
    """Look at the version, and at what makes an environment."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] != (3, 11):
        found = shutil.which("python3.11")
        remedy = f"make doctor PYTHON={found}, and the same for the other targets"
        yield Finding(
            FAIL,
            f"Python {version} ({sys.executable}): the pinned versions are for 3.11",
            remedy if found else "install Python 3.11 and name it: make doctor PYTHON=python3.11",
        )
    else:
        yield Finding(OK, f"Python {version}")
    if is_environment():
        return
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError as error:
        yield Finding(
            FAIL,
            f"no environment can be made: {error}",
            "on Debian and Ubuntu: apt install python3.11-venv",
        )


def check_registry() -> Iterator[Finding]:
    """Fetch a small package as `make environment` would, if that is still to be done."""
    if is_environment() or sys.version_info[:2] != (3, 11):
        return
    if not _has("pip"):
        yield Finding(WARN, "package registry: not tried, for this Python has no pip of its own")
        return
    (pin,) = [line for line in _read_pins() if line.startswith("PyYAML==")]
    with tempfile.TemporaryDirectory() as folder:
        pip = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--retries", "1")
        done = ask(*pip, "--dest", folder, pin, patience=3 * PATIENCE)
    if done is not None and done.returncode == 0:
        yield Finding(OK, "package registry: answers")
    else:
        said = "no answer" if done is None else (done.stdout.strip().splitlines() or ["?"])[-1]
        yield Finding(
            FAIL,
            f"package registry: {pin} cannot be fetched ({said})",
            "name one that can be reached: export PIP_INDEX_URL=…, and HTTPS_PROXY=… if need be",
        )


def _has(module: str) -> bool:
    from importlib.util import find_spec

    return find_spec(module) is not None


def _read_pins() -> list[str]:
    bare = (line.partition("#")[0].strip() for line in PINS.read_text("utf-8").splitlines())
    return [line for line in bare if "==" in line]


def check_packages() -> Iterator[Finding]:
    """Hold what is installed against envs/run.txt."""
    from importlib.metadata import PackageNotFoundError, version

    if not is_environment():
        yield Finding(WARN, "environment: there is none yet", "make environment")
        return
    others = []
    for pin in _read_pins():
        name, _, wanted = pin.partition("==")
        try:
            found = version(name)
        except PackageNotFoundError:
            found = "none"
        # A local version, as 2.14.1+cpu, is the same one.
        if found.partition("+")[0] != wanted:
            others.append(f"{name} {found}, not {wanted}")
    if others:
        yield Finding(
            WARN if all(" none," not in other for other in others) else FAIL,
            f"packages: {'; '.join(others)}",
            f"{sys.executable} -m pip install -r {PINS}",
        )
    else:
        yield Finding(OK, f"packages: as {PINS.relative_to(ROOT)} pins them")


def check_disk(folder: Path, study: Path | None) -> Iterator[Finding]:
    """Hold the disk against what environment and study will take."""
    wanted = 0.0 if is_environment() else ENVIRONMENT
    parts = [] if is_environment() else [f"the environment {_gigabytes(ENVIRONMENT)}"]
    if is_environment():
        try:
            size, unknown = estimate_study(folder, study)
        except Exception as error:
            yield Finding(
                FAIL,
                f"study: {str(error).strip() or repr(error)}",
                "mend the configuration: config/README.md explains every key",
            )
            return
        wanted += size
        parts.append(f"the study {_gigabytes(size)}")
        if unknown:
            parts.append(f"and the images of {', '.join(unknown)}, whose size is not known yet")
    free = shutil.disk_usage(str(folder)).free
    what = f"disk: {_gigabytes(free)} free in {folder}; wanted: {', '.join(parts)}"
    if free > wanted + SPARE:
        yield Finding(OK, what)
    else:
        yield Finding(
            FAIL,
            what,
            "run elsewhere (snakemake --directory FOLDER), or keep fewer images: "
            "keep_filtered: false and keep_aware: false (config/README.md)",
        )


def estimate_study(folder: Path, given: Path | None) -> tuple[float, list[str]]:
    """Estimate how many bytes a study's images will take beside those that are there.

    Returns:
        The bytes, and the data sets whose size is not known yet.
    """
    # As workflow/rules/package.smk does it: with the user's own modules.
    sys.path[:0] = [str(ROOT / "workflow"), str(folder)]
    import yaml
    from epsigma.plan import paths
    from epsigma.plan.disk import Disk
    from epsigma.plan.grid import cells
    from epsigma.study import expand, validate
    from snakemake.utils import update_config

    config = yaml.safe_load((ROOT / "config" / "config.yaml").read_text("utf-8"))
    if given is not None:
        update_config(config, yaml.safe_load(given.read_text("utf-8")))
    with contextlib.chdir(folder):
        study = expand(validate(config))
    made: dict[str, Any] = {}
    for cell in cells(study):
        of = cell.wildcards
        kept = [paths.LEDGER, paths.METRICS, paths.TRAIN, paths.TEST]
        if cell.threat == "blind":
            kept.append(paths.BLIND_SET)
        elif study.keep_aware:
            kept.append(paths.AWARE_SET)
        if study.keep_filtered and cell.filter != "none":
            is_blind = cell.threat == "blind"
            kept.append(paths.FILTERED_BLIND_SET if is_blind else paths.FILTERED_AWARE_SET)
        made.update({pattern.format(**of): of for pattern in kept})
    missing = [(path, of) for path, of in made.items() if not (folder / path).exists()]
    with contextlib.chdir(folder):
        return Disk(study).estimate(missing)


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.1f} GB"


def check_memory() -> Iterator[Finding]:
    """Look at what memory is free, and at what a container or a job may take."""
    free = _read_free_memory()
    if free is None:
        yield Finding(WARN, "memory: this system does not say how much is free")
        return
    free = min([free, *_read_limits()])
    mark = FAIL if free < LEAST_MEMORY else WARN if free < ENOUGH_MEMORY else OK
    remedy = (
        f"the default study takes {_gigabytes(TAKEN)} on two cores: end other programs, or "
        "run less at a time (make results CORES=1)"
    )
    yield Finding(mark, f"memory: {_gigabytes(free)} free", remedy if mark != OK else "")


def _read_free_memory() -> float | None:
    with contextlib.suppress(OSError):
        found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
        return int(found[1]) * 1024 if found else None
    return None


def _read_limits() -> Iterator[float]:
    """Read how much more the control groups of this process, in either version, let it take."""
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        with contextlib.suppress(OSError, ValueError):
            groups = Path("/sys/fs/cgroup")
            yield int((groups / limit).read_text()) - int((groups / used).read_text())


def check_cores() -> Iterator[Finding]:
    """Count the cores that this process may use."""
    there = os.cpu_count() or 1
    may = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else there
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        may = max(min(may, int(int(quota) / int(period))), 1)
    what = f"cores: {may}" + (
        f" of {there}, which is all that this process may use" * (may < there)
    )
    if may < there:
        # Snakemake's `all` counts the cores that it may use, but knows of no quota.
        yield Finding(WARN, what, f"make results CORES={may}")
    else:
        yield Finding(OK, what)


def check_temporary() -> Iterator[Finding]:
    """Try the folder of temporary files."""
    named = os.environ.get("TMPDIR")
    try:
        folder = tempfile.gettempdir()
    except OSError as error:
        yield Finding(
            FAIL, f"TMPDIR: {error}", "export TMPDIR=… to a folder that can be written to"
        )
        return
    free = shutil.disk_usage(folder).free
    what = f"TMPDIR: {folder}, {_gigabytes(free)} free"
    if named and os.path.abspath(named) != folder:
        yield Finding(
            WARN,
            f"TMPDIR: {named} cannot be written to; Python takes {folder}",
            f"export TMPDIR={folder}",
        )
    elif len(folder) > LONGEST_TMPDIR:
        yield Finding(
            WARN,
            f"{what}; {len(folder)} characters are too many for sockets in it, which some programs "
            "make (a run of epsigma makes none)",
            "export TMPDIR=/tmp, or another short one",
        )
    elif free < SPARE:
        yield Finding(WARN, what, "export TMPDIR=… to a folder with more room")
    else:
        yield Finding(OK, what)


def check_file_system(folder: Path) -> Iterator[Finding]:
    """Try what results need of their file system: renaming over a file, locks, its clock."""
    try:
        import fcntl

        with tempfile.TemporaryDirectory(dir=str(folder), prefix=".doctor-") as inside:
            one, other = Path(inside, "one"), Path(inside, "other")
            before = time.time()
            one.write_text("1")
            ahead = one.stat().st_mtime - before
            other.write_text("2")
            os.replace(str(one), str(other))
            with other.open("r+") as file:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        yield Finding(
            FAIL,
            f"file system of {folder}: {error}",
            "run on another one: snakemake --directory FOLDER",
        )
        return
    if abs(ahead) > 2:
        yield Finding(
            WARN,
            f"file system of {folder}: its clock differs from this machine's by {ahead:.0f} s",
            "set both by NTP: Snakemake compares the times of files",
        )
    else:
        yield Finding(OK, f"file system of {folder}: renames, locks and tells the time")


def check_slurm() -> Iterator[Finding]:
    """Ask SLURM, where its commands are installed."""
    if shutil.which("scontrol") is None:
        yield Finding(OK, "SLURM: none here; it is not needed (docs/running.md, On a cluster)")
        return
    done = ask("scontrol", "ping")
    is_up = done is not None and done.returncode == 0 and " UP" in done.stdout
    plugin = _has("snakemake_executor_plugin_slurm")
    if is_up:
        missing = "" if plugin or not is_environment() else "; for a job each: make cluster"
        yield Finding(OK, f"SLURM: its controller answers{missing}")
    elif plugin:
        yield Finding(
            WARN,
            "SLURM: is installed, but no controller answers; every start of Snakemake waits for it",
            f"{sys.executable} -m pip uninstall snakemake-executor-plugin-slurm, or start SLURM",
        )
    else:
        yield Finding(
            WARN,
            "SLURM: is installed, but no controller answers",
            "only a run with --workflow-profile slurm needs it: try scontrol ping",
        )


def check_gpu() -> Iterator[Finding]:
    """See whether there is a GPU, and whether torch sees it."""
    listed = ask("nvidia-smi", "-L")
    there = listed is not None and listed.returncode == 0 and "GPU 0" in listed.stdout
    if not _has("torch"):
        what = listed.stdout.splitlines()[0] if there and listed else "none found"
        yield Finding(OK, f"GPU: {what}; whether torch sees it is told once torch is there")
        return
    probe = "import torch; print(torch.cuda.is_available(), torch.version.cuda)"
    done = ask(sys.executable, "-c", probe, patience=3 * PATIENCE)
    if done is None or done.returncode:
        last = "no answer" if done is None else (done.stdout.splitlines() or ["?"])[-1]
        yield Finding(
            FAIL,
            f"torch cannot be imported: {last}",
            f"{sys.executable} -m pip install --force-reinstall -r {PINS}",
        )
        return
    sees, built_for = done.stdout.split()[-2:]
    if sees == "True":
        yield Finding(OK, "GPU: torch sees one, and a study takes it (device: auto)")
    elif there:
        yield Finding(
            WARN,
            f"GPU: there is one, and torch does not see it (torch is built for CUDA {built_for})",
            "update the driver (nvidia-smi names the CUDA it has), or look at CUDA_VISIBLE_DEVICES",
        )
    else:
        yield Finding(OK, "GPU: none; everything runs on the CPU")


def check_results(folder: Path) -> Iterator[Finding]:
    """See whether results/ is locked, and whether other versions have made what is in it."""
    if any((folder / ".snakemake" / "locks").glob("*")):
        yield Finding(
            WARN,
            f"results: {folder} is locked: a Snakemake works there, or was killed",
            "wait for it; make results removes the lock of one that is gone",
        )
    found = next((folder / "results").glob("data/*/test.safetensors"), None)
    if found is None:
        yield Finding(OK, "results: none yet")
        return
    others = _list_other_versions(found)
    if others:
        yield Finding(
            WARN,
            f"results: made with {', '.join(others)}; a run keeps what is there",
            "to have all of one: make clean, or another folder (snakemake --directory FOLDER)",
        )
    else:
        yield Finding(OK, "results: made with the versions that are here")


def _list_other_versions(path: Path) -> list[str]:
    """List the versions that made a file, and are others than those here."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        made = json.loads(header["__metadata__"]["versions"])
    except (OSError, ValueError, LookupError):
        return ["a version that left no record"]
    text = (ROOT / "workflow" / "epsigma" / "__init__.py").read_text("utf-8")
    here = {"epsigma": (re.search(r'__version__ = "(.*)"', text) or ["", "?"])[1]}
    here["python"] = ".".join(map(str, sys.version_info[:3]))
    for package in set(made) - set(here):
        with contextlib.suppress(PackageNotFoundError):
            here[package] = version(package)
    return [
        f"{package} {old} (here {here[package]})"
        for package, old in made.items()
        if package in here and here[package] != old
    ]


def main() -> None:
    """Read the command line, look, and say."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--study", type=Path, help="a configuration (default: the default study)")
    parser.add_argument("--directory", type=Path, default=Path(), help="where results/ lies")
    given = parser.parse_args()
    folder = given.directory.resolve()
    marks = []
    for findings in (
        *(check_python(), check_registry(), check_packages()),
        *(check_disk(folder, given.study), check_memory(), check_cores(), check_temporary()),
        *(check_file_system(folder), check_slurm(), check_gpu(), check_results(folder)),
    ):
        for mark, what, remedy in findings:
            marks.append(mark)
            told = "\n".join([what, *([f"→ {remedy}"] if remedy else [])])
            print(f"{mark:<4}  " + told.replace("\n", "\n      "))
    print(
        f"{len(marks)} looked at: " + ", ".join(f"{marks.count(m)} {m}" for m in (OK, WARN, FAIL))
    )
    sys.exit(FAIL in marks)


if __name__ == "__main__":
    main()
