"""Tables as CSV files: reading and writing."""

import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile, ZipInfo

import pandas as pd

from epsigma.storage.files import atomic_write, damaged, write_text

# Rows of tables are found by them: they are never rounded.
LEVELS = ("budget", "radius", "strength", "other_strength", "best_on_test_strength")


def read_table(path: str) -> pd.DataFrame:
    """Read a table: an empty field is no value, and a name is text, even `null`."""
    text = dict.fromkeys(("dataset", "model", "attack", "filter"), str)
    return pd.read_csv(path, keep_default_na=False, na_values=[""], dtype=text)


def write_table(path: str | Path, table: pd.DataFrame, digits: int | None = None) -> None:
    """Write a table; its floating-point numbers but `LEVELS` with so many digits, or with all."""
    write_text(path, _spell_table(table, digits))


def pack_tables(path: str | Path, tables: Mapping[str, pd.DataFrame], digits: int) -> None:
    """Write tables, by name, as the CSV files of an archive; without times, to be the same bytes.

    Args:
        path: of the zip file to write.
        tables: by name.
        digits: that floating-point numbers have, but `LEVELS`.
    """
    with atomic_write(path) as temporary, ZipFile(temporary, "w") as packed:
        for name, table in tables.items():
            packed.writestr(ZipInfo(f"{name}.csv"), _spell_table(table, digits), ZIP_DEFLATED)


def unpack_tables(path: str | Path) -> dict[str, str]:
    """Read the text of the tables of `pack_tables`, by name.

    Raises:
        ValueError: if the file is damaged; the message names it.
    """
    try:
        with ZipFile(path) as packed:
            return {Path(name).stem: packed.read(name).decode() for name in packed.namelist()}
    except (BadZipFile, zlib.error, UnicodeDecodeError) as error:
        raise damaged(path, error) from error


def _spell_table(table: pd.DataFrame, digits: int | None) -> str:
    """Spell a table as CSV."""
    if digits is None:
        return table.to_csv(index=False)
    levels = {
        name: [_spell_level(value, digits) for value in table[name]]
        for name in LEVELS
        if name in table
    }
    return table.assign(**levels).to_csv(index=False, float_format=f"%.{digits}g")


def _spell_level(value: Any, digits: int) -> str:
    """Spell a level with so many digits, if that is all of it, else in full; text as it is."""
    if pd.isna(value):
        return ""
    if not isinstance(value, float):
        return str(value)
    short = f"{value:.{digits}g}"
    return short if float(short) == value else repr(float(value))


class Tables(dict[str, pd.DataFrame]):
    """Tables by the name of their file, each read when it is first looked up."""

    def __init__(self, paths: Iterable[str]) -> None:
        super().__init__()
        self._paths = {Path(path).stem: path for path in paths}

    def __missing__(self, name: str) -> pd.DataFrame:
        self[name] = table = read_table(self._paths[name])
        return table
