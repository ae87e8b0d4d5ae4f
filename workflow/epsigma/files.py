"""Files that appear whole or not at all: text, JSON, Parquet."""

import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from safetensors import SafetensorError

# A temporary name, as `whole` makes them.
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}(\.\w+)?")


@contextmanager
def whole(path: str | Path) -> Iterator[Path]:
    """Give the body a temporary name in the folder of `path`; rename it when the body is done.

    If the body raises, the temporary file is removed and `path` stays as it was. Nothing is forced
    onto the disk: when the power fails, a file that is just written may be empty or damaged, which
    those who read it notice.

    Raises:
        OSError: if the folder is not writable, or the disk is full; the message names the file and
            says how much room there is.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritten(path, error) from error
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex}{path.suffix}")
    try:
        temporary.touch()
        mode = temporary.stat().st_mode
        temporary.unlink()
        yield temporary
        # Some writers (safetensors) give their files to the owner alone, whatever the umask.
        temporary.chmod(mode)
        temporary.replace(path)
    # safetensors and torch.save have errors of their own for a full disk.
    except (OSError, SafetensorError, RuntimeError) as error:
        found = _unwritten(path, error)
        temporary.unlink(missing_ok=True)
        raise found from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


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


def tidy(folder: str | Path) -> Iterator[str]:
    """Clear up what killed runs and wrong clocks left in a folder in which nobody works.

    What has a temporary name of `whole` is removed. A file whose time lies in the future gets the
    present one: Snakemake refuses whatever is made of it, and removes it.

    Yields:
        For each such file, what was done.
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
    with whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON, indented, keys in their order; refuses NaN."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read JSON.

    Raises:
        ValueError: if the file is damaged; the message names it and the remedy.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise damaged(path, error) from error


def write_ledger(path: str | Path, columns: dict[str, Any], metadata: dict[str, str]) -> None:
    """Write a Parquet file, one row an example.

    Args:
        path: where to.
        columns: (N,) NumPy arrays by name.
        metadata: strings by string, kept in the file's schema.
    """
    table = pa.table(columns).replace_schema_metadata(metadata)
    with whole(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)


def read_ledger(path: str | Path, columns: list[str] | None = None) -> dict[str, Any]:
    """Read columns of a Parquet file as NumPy arrays (all, if None).

    Raises:
        ValueError: if the file is damaged or lacks a column; the message names the remedy.
    """
    try:
        # Cells run in threads of their own; more buy nothing for files of this size.
        file = pq.ParquetFile(path, page_checksum_verification=True)
        table = file.read(columns, use_threads=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise damaged(path, error) from error
    missing = set(columns or ()) - set(table.column_names)
    if missing:
        raise damaged(path, f"it has no column {', '.join(sorted(missing))}")
    return {name: table[name].to_numpy() for name in table.column_names}


def read_cell(path: str | Path) -> dict[str, str]:
    """Read which cell a Parquet file belongs to, out of its metadata.

    Raises:
        ValueError: if the file is damaged, or does not say; the message names the remedy.
    """
    try:
        cell: dict[str, str] = json.loads(pq.read_schema(path).metadata[b"cell"])
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(path, error) from error
    return cell


def checksums(tensors: Mapping[str, NDArray[Any]]) -> dict[str, str]:
    """Say, as metadata of a safetensors file, which has none of its own, what is in its tensors.

    The sum of the 64-bit words of each, modulo 2⁶⁴: no altered bit leaves it as it was, and it
    takes a tenth of a cyclic redundancy check's time, which is a tenth of a cell's.

    Returns:
        `checksums`, JSON of the sums by name, in hexadecimal.
    """
    return {"checksums": json.dumps({name: _sum(value) for name, value in tensors.items()})}


def verify(tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str] | None) -> None:
    """Hold what was read against the checksums of the file's metadata, if it has some.

    Raises:
        ValueError: names the tensors that are others.
    """
    expected = json.loads((metadata or {}).get("checksums", "{}"))
    others = [name for name, value in expected.items() if _sum(tensors[name]) != value]
    if others:
        raise ValueError(f"altered since it was written: {', '.join(others)}")


def _sum(values: NDArray[Any]) -> str:
    octets = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
    words = len(octets) // 8 * 8
    total = int(octets[:words].view(np.uint64).sum(dtype=np.uint64))
    total += int.from_bytes(octets[words:].tobytes(), "little")
    return f"{total % 2**64:016x}"


def damaged(path: str | Path, reason: object) -> ValueError:
    """Make the error of a file that cannot be read."""
    return ValueError(f"{path} cannot be read ({reason}): delete it and run again to remake it")
