"""What figures are drawn from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from epsigma.checks.verdict import concerns
from epsigma.storage.files import read_json
from epsigma.tables.reading import read_table
from epsigma.tables.seeds import add_intervals
from epsigma.vocabulary import FIXED, FOOLING, NO_FILTER


@dataclass(frozen=True)
class FigureData:
    """What a figure is of, and what it is drawn from; a table is read when a figure asks for it.

    Args:
        cell: what the figure is of: `dataset`, and where they apply `model`, `attack`, `filter`.
        settings: the `norms` of the attacks, by name; the `family` of the figure's attack; the
            `seed` of one that shows a single one.
        files: the paths of what there is to read, by name.
        tables: those that have been read, by name.
    """

    cell: Mapping[str, str]
    settings: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Any] = field(default_factory=dict)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)

    def table(self, name: str) -> pd.DataFrame:
        """Read a table: the rows of the figure's data set, model and attack."""
        if name not in self.tables:
            rows = read_table(self.files[name])
            for column in ("dataset", "model", "attack"):
                if column in rows and column in self.cell:
                    rows = rows[rows[column] == self.cell[column]]
            self.tables[name] = rows
        return self.tables[name]

    def rates(self, name: str) -> pd.DataFrame:
        """Read a table of rates: `cells`, `attacks`, `fallen`, `smoothed` or `worst_case`.

        Returns:
            The rows of `table`, with `norm`, the attack's, and `in_doubt`, whether a failed check
            concerns them; with several seeds, of each rate the interval of their mean,
            `…_seeds_low` and `…_seeds_high`. A filter without a strength has one of 0, named
            `fixed`.
        """
        rows = self.table(name)
        if "in_doubt" in rows:
            return rows
        if rows["seed"].nunique() > 1:
            rows = add_intervals(rows, name, read_table(self.files["seeds"]))
        norms = self.settings["norms"]
        if "norm" not in rows:
            rows = rows.assign(norm=rows["attack"].map(norms))
        rows = rows.assign(in_doubt=concerns(rows, read_table(self.files["checks"]), norms))
        fixed = rows["strength"].isna() & (rows["filter"] != NO_FILTER)
        rows.loc[fixed, "strength"] = 0.0
        rows["strength_name"] = rows["strength_name"].astype(object).where(~fixed, FIXED)
        self.tables[name] = rows
        return rows

    @property
    def probes(self) -> list[dict[str, Any]]:
        """What `epsigma.stages.probe` found of the attack, a dict a target."""
        return [read_json(path) for path in self.files["probes"]]

    @property
    def title(self) -> str:
        """The attack, the model and the data set."""
        return f"{self.cell['attack']} on {self.cell['model']}, {self.cell['dataset']}"

    @property
    def is_fooling(self) -> bool:
        """Whether the attack makes fooling images: they have no true class."""
        return bool(self.settings.get("family") == FOOLING)
