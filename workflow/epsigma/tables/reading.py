"""Tables as CSV files: reading and writing."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from epsigma.storage.files import atomic_write


def read_table(path: str) -> pd.DataFrame:
    """Read a table: an empty field is no value, and a name is text, even `null`."""
    text = dict.fromkeys(("dataset", "model", "attack", "filter"), str)
    return pd.read_csv(path, keep_default_na=False, na_values=[""], dtype=text)


def write_table(path: str | Path, table: pd.DataFrame, digits: int | None = None) -> None:
    """Write a table; its floating-point numbers with so many digits, or with all."""
    with atomic_write(path) as temporary:
        table.to_csv(temporary, index=False, float_format=f"%.{digits}g" if digits else None)


class Tables(dict[str, pd.DataFrame]):
    """Tables by the name of their file, each read when it is first looked up."""

    def __init__(self, paths: Iterable[str]) -> None:
        super().__init__()
        self._paths = {Path(path).stem: path for path in paths}

    def __missing__(self, name: str) -> pd.DataFrame:
        self[name] = table = read_table(self._paths[name])
        return table
