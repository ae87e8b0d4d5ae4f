"""What figures are drawn from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from epsigma.checks.verdict import concerns
from epsigma.figures.looks import color_filter
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
            `seed` of one that shows a single one; the `names` for readers.
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
    def names(self) -> Mapping[str, Any]:
        """What readers call the blocks of the study, see `epsigma.plan.names`."""
        found: Mapping[str, Any] = self.settings.get("names", {})
        return found

    def name_attack(self, attack: str) -> str:
        """Say what readers call an attack."""
        return str(self.names.get("attacks", {}).get(attack, attack))

    def name_filter(self, name: str) -> str:
        """Say what readers call a filter."""
        known = {NO_FILTER: "no filter", **self.names.get("filters", {})}
        return str(known.get(name, name))

    def name_model(self, model: str) -> str:
        """Say what readers call a model on the figure's data set."""
        of = self.names.get("models", {}).get(self.cell["dataset"], {})
        return str(of.get(model, model))

    def color(self, name: str) -> Any:
        """The colour of a filter, the same in all figures of the study."""
        return color_filter(name, self.names.get("families", {}))

    @property
    def dataset(self) -> str:
        """What readers call the data set."""
        return str(self.names.get("datasets", {}).get(self.cell["dataset"], self.cell["dataset"]))

    @property
    def subject(self) -> str:
        """The data set and the model."""
        return f"{self.dataset}, {self.name_model(self.cell['model'])}"

    @property
    def title(self) -> str:
        """The attack, the data set and the model."""
        return f"{self.name_attack(self.cell['attack'])}, {self.subject}"

    @property
    def is_fooling(self) -> bool:
        """Whether the attack makes fooling images: they have no true class."""
        return bool(self.settings.get("family") == FOOLING)
