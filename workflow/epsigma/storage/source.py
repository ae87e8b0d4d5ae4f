"""A user's own data: where it may lie, and how to notice that it changed.

Imports neither torch nor numpy.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

# Folders below a data set's: of its parts, and of their classes.
_DEPTH = 2


def is_inner(path: str) -> bool:
    """Whether a path is relative, and does not go up."""
    return not PurePosixPath(path).is_absolute() and ".." not in PurePosixPath(path).parts


def locate(data_dir: Path, path: str) -> Path:
    """Find a file or a folder below the folder of data files, by its relative path.

    Raises:
        FileNotFoundError: if there is nothing.
        ValueError: if it is, or a link leads, outside `data_dir`.
    """
    found = data_dir / path
    if not is_inner(path):
        raise ValueError(f"{path!r} is not a path within data_dir: relative, and without `..`")
    _stay(found, data_dir)
    if not found.exists():
        raise FileNotFoundError(
            f"{found} is not there: put it there, or name the folder that has it: "
            "--config data_dir=FOLDER"
        )
    return found


def entries(folder: Path, data_dir: Path) -> list["os.DirEntry[str]"]:
    """List a folder by name, but what begins with a dot; ValueError if a link leaves `data_dir`."""
    with os.scandir(folder) as found:
        listed = sorted(
            (entry for entry in found if not entry.name.startswith(".")),
            key=lambda entry: entry.name,
        )
    for entry in listed:
        if entry.is_symlink():
            _stay(Path(entry.path), data_dir)
    return listed


def fingerprint(data_dir: Path, path: str) -> str:
    """Digest names, sizes and times of a file, or of a folder's images: 16 hexadecimal digits."""
    found = locate(data_dir, path)
    digest = hashlib.sha256()
    for name, status in _files(found, data_dir) if found.is_dir() else [("", found.stat())]:
        line = json.dumps([name, status.st_size, status.st_mtime_ns])
        digest.update(f"{line}\n".encode())
    return digest.hexdigest()[:16]


def _files(
    folder: Path, data_dir: Path, above: str = "", depth: int = _DEPTH
) -> Iterator[tuple[str, os.stat_result]]:
    for entry in entries(folder, data_dir):
        name = f"{above}{entry.name}"
        if not entry.is_dir():
            yield name, entry.stat()
        elif depth:
            yield from _files(Path(entry.path), data_dir, f"{name}/", depth - 1)


def _stay(found: Path, data_dir: Path) -> None:
    target = found.resolve()
    if not target.is_relative_to(data_dir.resolve()):
        raise ValueError(
            f"{found} is a link out of data_dir = {data_dir}, to {target}: put there what it "
            "leads to, or make a folder data_dir that has both"
        )
