"""Reading what a process left behind that ran the code of others."""

import os
import stat
from pathlib import Path


def read_left(path: Path, most: int, *, at_end: bool = False) -> bytes:
    """Read the first bytes of a file, or the last ones, if it is one: a link is not followed.

    Args:
        path: of the file.
        most: how many bytes are read.
        at_end: the last ones.

    Raises:
        OSError: if there is no file, or something else.
    """
    # Without waiting for what is no regular file.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags)
    try:
        about = os.fstat(descriptor)
        _check(path, about.st_mode, folders=False)
        with open(descriptor, "rb", closefd=False) as file:
            if at_end:
                file.seek(max(about.st_size - most, 0))
            return file.read(most)
    finally:
        os.close(descriptor)


def take_left(left: Path, folder: Path) -> None:
    """Move a folder to where the process that left it does not write, and look through it.

    Args:
        left: the folder.
        folder: its new name, in another folder.

    Raises:
        OSError: if it is not there, or has links, or what is neither file nor folder.
    """
    left.rename(folder)
    _check(folder, folder.lstat().st_mode)
    for parent, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(parent, name)
            _check(path, path.lstat().st_mode)


def _check(path: Path, mode: int, *, folders: bool = True) -> None:
    if not (stat.S_ISREG(mode) or (folders and stat.S_ISDIR(mode))):
        raise OSError(f"{path.name} is no {'file or folder' if folders else 'file'}")
