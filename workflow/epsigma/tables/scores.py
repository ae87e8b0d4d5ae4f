"""What the ledgers of a study say, read once: what every table is made of."""

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from epsigma.cell import FIXED_LEVEL, Cell, Level
from epsigma.storage.class_names import name_class
from epsigma.storage.ledgers import read_cell, read_ledger, read_ledger_names
from epsigma.tables.reading import read_table
from epsigma.vocabulary import FOOLING, queries_model

Bools = NDArray[np.bool_]
# A ledger, column by column.
Columns = dict[str, NDArray[Any]]
# What is read of every ledger.
SCORED = ["index", "label", "correct", "margin"]
# What is read of the ledger of a proof.
PROVED = ["index", "certified", "status"]
# What clean images are scored by: data set, model, seed, filter and strength.
Defence = tuple[str, str, int, str, Level]
Key = TypeVar("Key")


@dataclass(frozen=True)
class Attack:
    """What tables know of an attack: its kind and parts, what a transfer is from, its gradient."""

    family: str
    norm: str | None
    source: str | None = None
    minimises: str | None = None
    targeted: bool = False
    spends: str | None = None
    source_model: str | None = None
    gradient: str = "own"
    gradient_free_parts: Sequence[str] = ()

    @property
    def queries_model(self) -> bool:
        """Whether it evaluates the model that it is scored on."""
        return queries_model(self.family, self.spends)

    @property
    def is_fooling(self) -> bool:
        """Whether it makes images of its own, that are of no class."""
        return self.family == FOOLING

    @property
    def has_distortion(self) -> bool:
        """Whether it aims at classes or keeps its perturbation small."""
        return not self.is_fooling and (self.targeted or self.minimises is not None)


@dataclass(frozen=True)
class Scored:
    """What became of the examples of a cell.

    Args:
        fooled: (N,), which are misclassified, aimed at any class.
        margin: (N,), logit of the label minus the largest other, the smallest of all aims.
        index: (N,), which of the test set's they are, ascending.
        label: (N,), the true classes.
        fooled_8bit: (N,), `fooled` when rounded to 8 bits; None if not asked.
    """

    fooled: Bools
    margin: NDArray[np.float32]
    index: NDArray[np.int32]
    label: NDArray[np.int16]
    fooled_8bit: Bools | None = None

    @classmethod
    def of(cls, columns: Columns) -> "Scored":
        """Reduce a ledger's rows to examples."""
        index, first = np.unique(columns["index"], return_index=True)
        fooled, margin = ~columns["correct"], columns["margin"]
        rounded = ~columns["correct_8bit"] if "correct_8bit" in columns else None
        if len(index) < len(fooled):
            fooled = np.logical_or.reduceat(fooled, first)
            margin = np.minimum.reduceat(margin, first)
            rounded = None if rounded is None else np.logical_or.reduceat(rounded, first)
        return cls(fooled, margin, index, columns["label"][first], rounded)

    def among(self, index: NDArray[np.int32]) -> "Scored":
        """Leave out the examples that are not listed."""
        if len(index) == len(self.index):
            return self
        here = np.isin(self.index, index)
        kept: dict[str, Any] = {
            name: None if values is None else values[here] for name, values in vars(self).items()
        }
        return Scored(**kept)


def on_common_examples(scored: Sequence[Scored]) -> list[Scored]:
    """Leave out the examples that not all of some cells have."""
    first, *others = scored
    if all(np.array_equal(first.index, one.index) for one in others):
        return list(scored)
    index = reduce(np.intersect1d, [one.index for one in scored])
    return [one.among(index) for one in scored]


@dataclass(frozen=True)
class Scores:
    """What the ledgers of a study say.

    Args:
        cells: what became of the examples of each cell, in the order of the study.
        clean: the same of the clean images.
        attacks: by name.
        detectors: the filters that have detectors.
        defends: of each model the undefended one that it is a variant of; None if of none.
        table: `cells.csv`.
        ledgers: those of which some table needs more than `cells`, with all columns.
        clean_ledgers: the same of the clean images, where there are detectors.
        paths: of the ledgers of all cells.
        smoothed: what is certified of the vote over the noise of a filter, with all columns.
        proofs: what is proved of a defended model at a budget.
        class_names: of each data set, by number; empty if it has none.
    """

    cells: Mapping[Cell, Scored]
    clean: Mapping[Defence, Scored]
    attacks: Mapping[str, Attack]
    detectors: Collection[str] = ()
    defends: Mapping[str, str | None] = field(default_factory=dict)
    table: pd.DataFrame = field(default_factory=pd.DataFrame)
    ledgers: Mapping[Cell, Columns] = field(default_factory=dict)
    clean_ledgers: Mapping[Defence, Columns] = field(default_factory=dict)
    paths: Mapping[Cell, str] = field(default_factory=dict)
    smoothed: Mapping[Defence, Columns] = field(default_factory=dict)
    proofs: Mapping[tuple[Defence, Level], Columns] = field(default_factory=dict)
    class_names: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def ledger(self, cell: Cell) -> Columns:
        """Return all columns of a cell's ledger."""
        return self.ledgers[cell] if cell in self.ledgers else read_ledger(self.paths[cell])

    def add_class_names(self, table: pd.DataFrame, column: str) -> pd.DataFrame:
        """Add a column of names beside one of classes, if a data set of the study has names."""
        if any(self.class_names.values()):
            classes = zip(table["dataset"], table[column], strict=True)
            names = [name_class(self.class_names.get(name, ()), of) for name, of in classes]
            table.insert(list(table).index(column) + 1, f"{column}_name", names)
        return table

    def cells_with_detectors(self) -> list[Cell]:
        """List the cells in which detectors may reject an image, but for fooling images."""
        return [
            cell
            for cell in self.cells
            if cell.filter in self.detectors and not self.attacks[cell.attack].is_fooling
        ]

    def on_common_examples(self, group: Callable[[Cell], Hashable | None]) -> dict[Cell, Scored]:
        """Leave out the examples that not all cells of a group have, of whatever attack and seed.

        Args:
            group: names the group of a cell; a cell without one is left out.
        """
        groups: dict[Hashable, list[Cell]] = {}
        for cell in self.cells:
            if (name := group(cell)) is not None:
                groups.setdefault(name, []).append(cell)
        common = {
            cell: scored
            for cells in groups.values()
            for cell, scored in zip(
                cells, on_common_examples([self.cells[cell] for cell in cells]), strict=True
            )
        }
        return {cell: common[cell] for cell in self.cells if cell in common}

    @property
    def has_several_seeds(self) -> bool:
        """Whether rates are pooled over seeds."""
        return len({cell.seed for cell in self.cells}) > 1

    def curves(self) -> dict[Cell, list[Cell]]:
        """Group the cells that differ in their budget only.

        Returns:
            Under what they share, a cell without a budget, those with one, by ascending budget.
        """
        curves: dict[Cell, list[Cell]] = {}
        for cell in self.cells:
            if cell.budget != FIXED_LEVEL:
                curves.setdefault(replace(cell, budget=FIXED_LEVEL), []).append(cell)
        return {curve: sorted(cells, key=budget_of) for curve, cells in curves.items()}


def budget_of(cell: Cell) -> float:
    """Return the value of a cell's budget; 0 if it has none."""
    return cell.budget.value or 0.0


def defence_of(cell: Cell) -> Defence:
    """Return what clean images are scored by, to be compared with a cell."""
    return cell.dataset, cell.model, cell.seed, cell.filter, cell.strength


def read_scores(
    settings: Mapping[str, Any],
    *,
    cells: str,
    ledgers: Sequence[str],
    clean: Sequence[str],
    smoothed: Sequence[str] = (),
    proofs: Sequence[str] = (),
) -> Scores:
    """Read the ledgers of a study.

    Args:
        settings: `attacks`, the fields of `Attack` by name; `filters`, of each its `detectors`;
            `defends`, see `Scores`; `requantise`, whether images were also scored with 8 bits.
        cells: `cells.csv`.
        ledgers: of all cells, in the order of the study.
        clean: of the clean images, through every filter.
        smoothed: of the stage smooth.
        proofs: of the stage certify.

    Raises:
        ValueError: if a ledger is damaged; the message names it.
    """
    attacks = {name: Attack(**about) for name, about in settings["attacks"].items()}
    detectors = {name for name, about in settings["filters"].items() if about["detectors"]}
    paths = {Cell.from_wildcards(read_cell(path)): path for path in ledgers}
    clean_paths = {_read_defence(path): path for path in clean}
    complete = {
        cell
        for cell in paths
        if cell.filter in detectors
        or attacks[cell.attack].is_fooling
        or attacks[cell.attack].has_distortion
    }
    names = [*SCORED, "correct_8bit"] if settings["requantise"] else SCORED
    scored, more = _read_ledgers(paths, names, complete)
    watched = {defence for defence in clean_paths if defence[3] in detectors}
    clean_scored, clean_more = _read_ledgers(clean_paths, SCORED, watched)
    return Scores(
        cells=scored,
        clean=clean_scored,
        attacks=attacks,
        detectors=detectors,
        defends=settings["defends"],
        table=read_table(cells),
        ledgers=more,
        clean_ledgers=clean_more,
        paths=paths,
        smoothed={_read_defence(path): read_ledger(path) for path in smoothed},
        proofs={
            (_read_defence(path), Level.parse(read_cell(path)["budget"])): read_ledger(path, PROVED)
            for path in proofs
        },
        class_names={
            name: read_ledger_names(path)
            for name, path in {defence[0]: path for defence, path in clean_paths.items()}.items()
        },
    )


def _read_defence(path: str) -> Defence:
    """Read from a ledger that is of no attack what its images were scored by."""
    of = read_cell(path)
    return of["dataset"], of["model"], int(of["seed"]), of["filter"], Level.parse(of["strength"])


def _read_ledgers(
    paths: Mapping[Key, str], names: list[str], complete: Collection[Key]
) -> tuple[dict[Key, Scored], dict[Key, Columns]]:
    """Read what became of the examples, and of some ledgers all columns."""
    ledgers = {key: read_ledger(paths[key]) for key in paths if key in complete}
    scored = {
        key: Scored.of(ledgers[key] if key in ledgers else read_ledger(path, names))
        for key, path in paths.items()
    }
    return scored, ledgers
