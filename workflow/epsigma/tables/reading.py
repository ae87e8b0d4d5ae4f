"""Tables as CSV files: reading and writing."""

from collections.abc import Iterable, Iterator, Mapping
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


class Tables(Mapping[str, pd.DataFrame]):
    """Tables by the name of their file, each read when it is first used."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = {Path(path).stem: path for path in paths}
        self._read: dict[str, pd.DataFrame] = {}

    def __getitem__(self, name: str) -> pd.DataFrame:
        """Read a table, if it has not been."""
        if name not in self._read:
            self._read[name] = read_table(self._paths[name])
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._paths)

    def __len__(self) -> int:
        """Count the tables."""
        return len(self._paths)
