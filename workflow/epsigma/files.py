"""Files that appear whole or not at all: text, JSON, Parquet."""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


@contextmanager
def whole(path: str | Path) -> Iterator[Path]:
    """Give the body a temporary name in the folder of `path`; rename it when the body is done.

    If the body raises, the temporary file is removed and `path` stays as it was.

    Raises:
        OSError: if the folder is not writable, or the disk is full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex}{path.suffix}")
    try:
        temporary.touch()
        mode = temporary.stat().st_mode
        temporary.unlink()
        yield temporary
        # Some writers (safetensors) give their files to the owner alone, whatever the umask.
        temporary.chmod(mode)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


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
        pq.write_table(table, temporary, compression="zstd")


def read_ledger(path: str | Path, columns: list[str] | None = None) -> dict[str, Any]:
    """Read columns of a Parquet file as NumPy arrays (all, if None).

    Raises:
        ValueError: if the file is damaged or lacks a column; the message names the remedy.
    """
    try:
        # Cells run in threads of their own; more buy nothing for files of this size.
        table = pq.ParquetFile(path).read(columns, use_threads=False)
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


def damaged(path: str | Path, reason: object) -> ValueError:
    """Make the error of a file that cannot be read."""
    return ValueError(f"{path} cannot be read ({reason}): delete it and run again to remake it")
