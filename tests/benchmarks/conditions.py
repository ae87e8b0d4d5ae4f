"""What a measurement was made on: the machine, the versions, the data."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import distributions

from benchmarks import CORES, ROOT

GIB = 2**30


def conditions(**more):
    """Describe the moment, the machine and the environment, for a part's JSON."""
    return {
        "measured": datetime.now(UTC).isoformat(timespec="minutes"),
        "load_before": round(os.getloadavg()[0], 2),
        "machine": machine(),
        "commit": commit(),
        "versions": versions(),
        **more,
    }


def machine():
    """Describe the machine."""
    return {
        "cpu": _field("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "cores": CORES,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB, 1),
        "os": f"{platform.freedesktop_os_release()['PRETTY_NAME']}, {platform.system()} "
        f"{platform.release()}",
        "python": platform.python_version(),
    }


def versions():
    """List what is installed, by name."""
    found = {one.metadata["Name"]: one.version for one in distributions()}
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def commit():
    """Name the commit that is measured, `+` if it was changed since."""
    run = subprocess.run(
        ["git", "describe", "--always", "--dirty=+"], cwd=ROOT, capture_output=True, text=True
    )
    return run.stdout.strip() or "unknown"


def _field(path, name):
    try:
        with open(path) as lines:
            found = (line.partition(":")[2].strip() for line in lines if line.startswith(name))
            return next(found, None)
    except OSError:
        return None
