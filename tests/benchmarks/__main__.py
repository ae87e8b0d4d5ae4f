"""Measure the parts, each in a process of its own, and write the page.

PYTHONPATH=tests python -m benchmarks [--only PART,PART…] [--rounds N] [--small] [--page]
"""

import argparse
import importlib
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import PAGE, RESULTS, conditions, data
from benchmarks.page import PARTS, write_page
from benchmarks.results import write_part

# How often each part is gone through, unless --rounds says.
ROUNDS = {"sweep": 3, "studies": 1, "filters": 7, "attacks": 3, "scale": 2, "profile": 1}


def main():
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__.split("\n")[0])
    parser.add_argument("--only", default=",".join(PARTS), help="the parts, with commas between")
    parser.add_argument("--rounds", type=int, help=f"rounds of each; left out: {ROUNDS}")
    parser.add_argument(
        "--small", action="store_true", help="try the suite on next to nothing, in a folder of /tmp"
    )
    parser.add_argument("--page", action="store_true", help="only render the page")
    parser.add_argument("--here", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    parts = given.only.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"--only: {', '.join(sorted(unknown))} is none of {', '.join(PARTS)}")
    if given.here:
        measure(parts[0], given.rounds, given.small, given.here)
        return
    folder, page = RESULTS, PAGE
    if given.small:
        folder = Path(tempfile.mkdtemp(prefix="epsigma-bench-small-"))
        page = folder / PAGE.name
    failed = [] if given.page else [one for one in parts if not apart(one, given, folder)]
    write_page(folder, page)
    print(page)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def apart(part, given, folder):
    """Measure a part in a process of its own; whether it went well."""
    rounds = given.rounds or ROUNDS[part]
    command = [sys.executable, "-m", "benchmarks", "--only", part, "--rounds", str(rounds)]
    command += ["--here", folder, *(["--small"] if given.small else [])]
    return subprocess.run(command).returncode == 0


def measure(part, rounds, small, folder):
    """Measure a part in this process."""
    about = conditions.conditions(rounds=rounds, data=data.described())
    rows = importlib.import_module(f"benchmarks.{part}").measure(rounds, small)
    write_part(part, rows, about, folder)


if __name__ == "__main__":
    main()
