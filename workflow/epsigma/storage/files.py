"""Files that appear whole or not at all: text, JSON, Parquet."""

import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

# A name that `temporary_name` makes.
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}(\.\w+)?")


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Give the body a temporary name in the folder of `path`; rename it when the body is done.

    If the body raises, the temporary file is removed and `path` stays as it was. Nothing is forced
    onto the disk: when the power fails, a file that is just written may be empty or damaged, which
    those who read it notice. If the folder is not writable, or the disk full, the OSError says so.
    """
    with appearing(path) as temporary, naming_disk(path):
        yield temporary


@contextmanager
def appearing(path: str | Path) -> Iterator[Path]:
    """Do what `atomic_write` does, but for the errors of the body: they stay what they are."""
    path = Path(path)
    with naming_disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(path)
    try:
        with naming_disk(path):
            temporary.touch()
            mode = temporary.stat().st_mode
            temporary.unlink()
        yield temporary
        with naming_disk(path):
            # Some writers (safetensors) give their files to the owner alone, whatever the umask.
            temporary.chmod(mode)
            temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def naming_disk(path: str | Path) -> Iterator[None]:
    """Say of what goes wrong in the body, which writes a file, what file and how full its disk."""
    try:
        yield
    # safetensors and torch.save have errors of their own for a full disk.
    except (OSError, SafetensorError, RuntimeError) as error:
        raise _unwritten(Path(path), error) from error


def _unwritten(path: Path, error: Exception) -> OSError:
    """Make the error of a file that cannot be written."""
    folder = next(folder for folder in path.absolute().parents if folder.exists())
    free = shutil.disk_usage(folder).free / 1e6
    kind = type(error) if isinstance(error, OSError) else OSError
    reason = (isinstance(error, OSError) and error.strerror) or error
    return kind(
        f"{path} cannot be written ({reason}): its disk has {free:.1f} MB free; make room there, "
        "or make the folder writable, and run again"
    )


def temporary_name(path: Path) -> Path:
    """Name a file beside another as no other job does; `tidy` removes what has such a name."""
    return path.with_name(f".{path.stem}.{uuid.uuid4().hex}{path.suffix}")


def progress_path(output: str | Path) -> Path:
    """Name the file of what is done so far of an output: a hidden one beside it."""
    path = Path(output)
    return path.with_name(f".{path.stem}.progress.safetensors")


def tidy(folder: str | Path) -> Iterator[str]:
    """Clear up what killed runs and wrong clocks left in a folder; say of each file what was done.

    What has a temporary name is removed. A file whose time lies in the future
    gets the present one: Snakemake refuses whatever is made of it, and removes it.
    """
    now = time.time()
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            if _TEMPORARY.fullmatch(name):
                os.unlink(path)
                yield f"{path}: removed, it was left half written"
            elif (ahead := os.lstat(path).st_mtime - now) > 0:
                os.utime(path, (now, now), follow_symlinks=False)
                yield f"{path}: it was {ahead:.0f} s in the future, and has the present time now"


def write_text(path: str | Path, text: str) -> None:
    """Write text in UTF-8."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON, indented, keys in their order; refuses NaN."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise damaged(path, error) from error


def damaged(path: str | Path, reason: object) -> ValueError:
    """Make the error of a file that cannot be read."""
    return ValueError(f"{path} cannot be read ({reason}): delete it and run again to remake it")
