"""List what results/ holds that the study no longer names, and remove it if told to.

    prune.py [--remove] [--directory FOLDER] [--study CONFIG]... [OPTION OF SNAKEMAKE]...

Without `--remove` nothing changes. Several studies in one folder: `--study` for each, else the
files of those that are left out count as no longer named. Only files that Snakemake has recorded
as made by its rules are listed, and only below results/; links are neither followed nor removed.
"""

import argparse
import base64
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MEGABYTE = 1e6


def recorded(directory: Path) -> Iterator[tuple[str, Path]]:
    """Yield the files that Snakemake made in a folder, as it named them, and its record of each."""
    records = directory / ".snakemake" / "metadata"
    for record in records.rglob("*"):
        if record.is_file():
            # A long name is cut into folders; theirs begin with @.
            parts = record.relative_to(records).parts
            encoded = "".join(part.removeprefix("@") for part in parts)
            try:
                yield base64.urlsafe_b64decode(encoded).decode(), record
            except ValueError:  # no record of Snakemake's
                continue


def named(directory: Path, study: str | None, options: list[str]) -> set[str]:
    """List the files that a study names, as Snakemake plans it.

    Raises:
        SystemExit: if Snakemake does not accept the study; it has said why.
    """
    snakefile = Path(__file__).resolve().parents[2] / "Snakefile"
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), "--summary"]
    command += ["--directory", str(directory), *(["--configfile", study] if study else [])]
    done = subprocess.run([*command, *options], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    lines = done.stdout.splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("output_file\t"))
    return {line.split("\t", 1)[0] for line in lines[start + 1 :]}


def is_inside(path: Path, folder: Path) -> bool:
    """Whether a path is a plain file whose folder really lies in another."""
    is_plain = path.is_file() and not path.is_symlink()
    return is_plain and path.parent.resolve().is_relative_to(folder.resolve())


def read_record(record: Path) -> dict[str, Any]:
    """Read Snakemake's record of a file; one that a kill cut short says nothing."""
    try:
        return dict(json.loads(record.read_bytes()))
    except ValueError:
        return {}


def read_logs(record: Path) -> set[str]:
    """Read from Snakemake's record of a file which logs its job wrote."""
    return set(read_record(record).get("log") or [])


def remove(directory: Path, file: str, record: Path, kept_logs: set[str]) -> None:
    """Remove a file, its logs that are no kept file's, its record, and folders that are empty."""
    logs = read_logs(record) - kept_logs
    for name, top in ((file, "results"), *((log, "logs") for log in logs)):
        path, folder = directory / name, directory / top
        if is_inside(path, folder):
            path.unlink()
            while (path := path.parent) != folder and not any(path.iterdir()):
                path.rmdir()
    record.unlink()


def main() -> None:
    """Read the command line, list, and remove if told to."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0], allow_abbrev=False)
    parser.add_argument("--remove", action="store_true", help="remove what is listed")
    parser.add_argument("--directory", type=Path, default=Path(), help="where results/ lies")
    parser.add_argument("--study", action="append", help="a configuration; several may be given")
    given, options = parser.parse_known_args()
    directory = given.directory.resolve()
    if given.remove and any((directory / ".snakemake" / "locks").glob("*")):
        sys.exit(f"{directory} is locked: a Snakemake works there, or was killed (make results)")
    studies: list[str | None] = [os.path.abspath(one) for one in given.study or ()]
    kept = {file for study in studies or [None] for file in named(directory, study, options)}
    records = sorted(recorded(directory))
    found = [
        (file, record, (directory / file).stat().st_size)
        for file, record in records
        if file not in kept and is_inside(directory / file, directory / "results")
    ]
    # A job may have made files that are kept and files that are not.
    kept_logs = {log for file, record in records if file in kept for log in read_logs(record)}
    rules: dict[str, int] = defaultdict(int)
    for file, record, size in found:
        print(f"{size / MEGABYTE:10.3f} MB  {file}")
        rules[read_record(record).get("rule", "unknown")] += 1
        if given.remove:
            remove(directory, file, record, kept_logs)
    whose = ", ".join(given.study or ["the study"])
    total = sum(size for _, _, size in found) / MEGABYTE
    made = f" (of {', '.join(f'{rule}: {n}' for rule, n in rules.items())})" if rules else ""
    done = "removed" if given.remove else "found; --remove (make prune REMOVE=yes) removes them"
    print(f"{len(found)} files, {total:.1f} MB, that {whose} names no longer{made}: {done}")


if __name__ == "__main__":
    main()
