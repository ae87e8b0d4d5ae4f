"""The results of a study, in Python: its cells, images, ledgers, classifiers and defences.

docs/library.md has examples.
"""

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import yaml

from epsigma.cell import Cell, Level
from epsigma.plan import paths
from epsigma.plan.cell_recipes import CellRecipes
from epsigma.plan.grid import cells
from epsigma.plan.settings import at_cell, locate_parts
from epsigma.storage.ledgers import read_ledger
from epsigma.study import validate
from epsigma.study.schema import expand
from epsigma.tables.reading import Tables
from epsigma.vocabulary import BLIND, NO_FILTER

if TYPE_CHECKING:
    from torch import nn

    from epsigma.storage.images import ImageSet

# Of the columns of `cells.csv`, in `attrs["units"]`. Rates are shares of 1.
UNITS = {
    "linf": "of the pixel range",
    "l2": "of the pixel range",
    "l0": "pixels",
    "accuracy": "share of n",
    "attack_success": "share of n_correct_clean",
}


class StudyResults:
    """A finished study, as `open_study` reads it. Files are read when they are asked for.

    Attributes:
        folder: the folder of results.
        configuration: what was run, defaults included.
    """

    def __init__(self, folder: Path, configuration: dict[str, Any]) -> None:
        self.folder = folder
        self.configuration = configuration
        # It is the part that was run already: `only` may name what that has not.
        self._study = expand(validate({**configuration, "only": None}, has_run=True))
        self._cells = list(cells(self._study))
        self._recipes = CellRecipes(self._study)
        self._tables = Tables(str(path) for path in sorted(folder.glob("tables/*.csv")))

    def __repr__(self) -> str:
        """Name the folder, and say how many cells there are."""
        return f"<study in {self.folder}: {len(self._cells)} cells>"

    @cached_property
    def cells(self) -> pd.DataFrame:
        """`cells.csv`: one row a cell. What is text is categorical; `attrs["units"]` has units."""
        table = self.table("cells")
        text = [str(name) for name in table if not pd.api.types.is_numeric_dtype(table[name])]
        table = table.astype(dict.fromkeys(text, "category"))
        table.attrs["units"] = UNITS
        return table

    def table(self, name: str) -> pd.DataFrame:
        """Return a table by the name of its file, as `headline`.

        Raises:
            LookupError: if there is none; lists those that there are.
        """
        try:
            return self._tables[name].copy()
        except KeyError:
            raise LookupError(f"no table {name!r} in {self.folder}; {self._listed()}") from None

    def _listed(self) -> str:
        return "there are " + ", ".join(
            sorted(path.stem for path in self.folder.glob("tables/*.csv"))
        )

    def worst_case(self, **of: Any) -> pd.DataFrame:
        """Return the rows of `worst_case.csv` in which columns have these values."""
        table = self.table("worst_case")
        for name, value in of.items():
            if name not in table:
                raise LookupError(
                    f"worst_case.csv has no column {name!r}; it has {', '.join(map(str, table))}"
                )
            table = table[table[name] == value]
        return table

    def cell(self, **of: Any) -> Cell:
        """Find the one cell of which all this is true.

        Args:
            of: `dataset`, `model`, `seed`, `threat`, `attack`, `filter`, and swept
                hyper-parameters by their name: `eps=0.1, sigma=1`. What is the same in all cells
                can be left out.

        Raises:
            LookupError: if no cell is so, or several are; names the values that there are.
        """
        found = list(self._cells)
        for name, value in of.items():
            fits = [cell for cell in found if _values(cell).get(name) == value]
            if not fits:
                known = _distinct(found, name)
                raise LookupError(f"no cell has {name}={value!r}{_such(of, name)}; {known}")
            found = fits
        if len(found) > 1:
            names = dict.fromkeys(name for cell in found for name in _values(cell))
            open_ = [name for name in names if len({_values(cell).get(name) for cell in found}) > 1]
            several = "; ".join(_distinct(found, name) for name in open_)
            raise LookupError(f"{len(found)} cells are so: say more. {several}")
        return found[0]

    def clean(self, dataset: str | None = None) -> "ImageSet":
        """Read the clean test images of a data set, by default the first, onto the CPU."""
        from epsigma.device import CPU
        from epsigma.storage.images import read_clean

        name = dataset or self._study.datasets[0].name
        return read_clean(self._at(paths.TEST, {"dataset": name}), CPU)

    def images(self, cell: Cell, *, filtered: bool = False) -> "ImageSet":
        """Read a cell's adversarial images, as they are stored, onto the CPU.

        Args:
            cell: of the study.
            filtered: as the filter leaves them, instead.

        Raises:
            FileNotFoundError: if the study did not keep them; names the key that does.
        """
        from epsigma.device import CPU
        from epsigma.storage.images import read_image_set

        blind = cell.threat == BLIND
        if filtered and cell.filter != NO_FILTER:
            pattern = paths.FILTERED_BLIND_SET if blind else paths.FILTERED_AWARE_SET
            key = "keep_filtered"
        else:
            pattern, key = (paths.BLIND_SET, "") if blind else (paths.AWARE_SET, "keep_aware")
        path = self._at(pattern, cell.wildcards)
        if not path.exists():
            kept = f"; a study with {key}: true keeps them" if key else ""
            raise FileNotFoundError(f"{path} is not there{kept}")
        return read_image_set(path, CPU)

    def ledger(self, cell: Cell) -> pd.DataFrame:
        """Read what became of each example of a cell: a row each."""
        return pd.DataFrame(read_ledger(self._at(paths.LEDGER, cell.wildcards)))

    def classifier(
        self, model: str | None = None, seed: int | None = None, *, dataset: str | None = None
    ) -> "nn.Module":
        """Load a trained classifier: images (N, C, H, W) in [0, 1] to logits (N, K), on the CPU.

        Args:
            model: its name; like what follows by default the first.
            seed: of its training.
            dataset: that it was trained on.
        """
        study = self._study
        return self._load(
            {
                "dataset": dataset or study.datasets[0].name,
                "model": model or study.models[0].name,
                "seed": str(study.seeds[0] if seed is None else seed),
            }
        )

    def defence(self, cell: Cell, *, seed: int = 0) -> "nn.Module":
        """Build what an aware attacker of a cell attacks: filter, classifier and detectors.

        Args:
            cell: of the study, of either threat.
            seed: of what a random filter draws.

        Returns:
            Images (N, C, H, W) in [0, 1] to logits (N, K), with one more for a rejection where
            there are detectors; with the gradient that an aware attacker has (BPDA, EOT).
        """
        import torch

        from epsigma.defence import build_target

        classifier = self._load(cell.wildcards)
        if cell.filter == NO_FILTER:
            return classifier
        recipe = self._recipes.attack_aware(cell.wildcards)
        settings = locate_parts(
            at_cell(recipe["settings"], cell.wildcards),
            lambda part: str(self._inside(paths.path_of_part(part, cell.wildcards))),
        )
        return build_target(settings, classifier, torch.Generator().manual_seed(seed))

    def _load(self, of: Mapping[str, str]) -> "nn.Module":
        from epsigma.device import CPU
        from epsigma.models.classifier import load_classifier

        self._study.find("models", of["model"])
        settings = self._recipes.train(of)["settings"]["model"]
        return load_classifier(self._at(paths.CHECKPOINT, of), settings, CPU)

    def _at(self, pattern: str, wildcards: Mapping[str, str]) -> Path:
        return self._inside(pattern.format(**wildcards))

    def _inside(self, path: str) -> Path:
        return self.folder / path.removeprefix(paths.RESULTS)


def open_study(results: str | Path = "results") -> StudyResults:
    """Open a study's folder of results.

    Args:
        results: the folder, as `make results` writes it.

    Raises:
        FileNotFoundError: if no study has been run in the folder.
        epsigma.study.ConfigurationError: if its configuration is not one of this version.
    """
    folder = Path(results)
    path = folder / "tables" / "configuration.yaml"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is not there: {folder} is not the results of a study: name the folder that "
            "`make results` wrote"
        )
    return StudyResults(folder, yaml.safe_load(path.read_text(encoding="utf-8")))


def _values(cell: Cell) -> dict[str, Any]:
    """Say of a cell what can be asked for: its names, and its levels by their own."""
    levels = {"budget": cell.budget, "strength": cell.strength}
    named = {level.name: level.value for level in levels.values() if level.name}
    return {
        **{name: value for name, value in vars(cell).items() if not isinstance(value, Level)},
        **named,
    }


def _distinct(cells: Iterable[Cell], name: str) -> str:
    """List the values that cells have of something."""
    found = dict.fromkeys(_values(cell)[name] for cell in cells if name in _values(cell))
    if not found:
        names = dict.fromkeys(known for cell in cells for known in _values(cell))
        return f"there are {', '.join(names)}"
    return f"{name}: {', '.join(map(str, found))}"


def _such(of: Mapping[str, Any], last: str) -> str:
    """Say what has been asked for before."""
    before = [f"{name}={of[name]!r}" for name in list(of)[: list(of).index(last)]]
    return f" with {', '.join(before)}" if before else ""
