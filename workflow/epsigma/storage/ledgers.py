"""Ledgers: Parquet files, one row an example."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from epsigma.storage.class_names import decode_names
from epsigma.storage.files import atomic_write, damaged


def write_ledger(path: str | Path, columns: dict[str, Any], metadata: dict[str, str]) -> None:
    """Write a Parquet file, one row an example, of (N,) NumPy arrays by name."""
    table = pa.table(columns).replace_schema_metadata(metadata)
    with atomic_write(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)


def read_ledger(path: str | Path, columns: list[str] | None = None) -> dict[str, Any]:
    """Read columns of a Parquet file as NumPy arrays (all, if None)."""
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
    """Read which cell a Parquet file belongs to, out of its metadata."""
    try:
        cell: dict[str, str] = json.loads(pq.read_schema(path).metadata[b"cell"])
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(path, error) from error
    return cell


def read_ledger_names(path: str | Path) -> list[str]:
    """Read what a ledger calls the classes, by number; nothing if they have no names."""
    try:
        held = pq.read_schema(path).metadata or {}
        return decode_names({key.decode(): value.decode() for key, value in held.items()})
    except (pa.ArrowException, OSError, ValueError, TypeError) as error:
        raise damaged(path, error) from error


# What a ledger calls the score of a detector, and whether it exceeds the threshold.
SCORE, REJECTS = "score_", "rejects_"
