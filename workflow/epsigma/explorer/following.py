"""Following examples through the ledgers and the images of a study."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any

import pyarrow.parquet as pq
import torch
from safetensors import safe_open

from epsigma.explorer.examples import COLUMNS, REJECTED, SHOWN, choose_examples, find_rows, follow
from epsigma.explorer.sprites import Sprites, read_rows
from epsigma.filters.build import apply_filter, build_filter
from epsigma.storage.ledgers import read_ledger
from epsigma.vocabulary import AWARE, NO_FILTER

# Of a file's metadata, what says who made it.
MADE = ("settings", "code", "versions")
# Which set the images of a cell are in: those that a blind attacker's cells share.
Place = tuple[str, ...]


@dataclass(frozen=True)
class File:
    """A ledger or a set of images: its path and its metadata."""

    path: str
    metadata: Mapping[str, str]
    columns: tuple[str, ...] = ()

    @cached_property
    def cell(self) -> dict[str, str]:
        """The wildcards of the file."""
        found: dict[str, str] = json.loads(self.metadata["cell"])
        return found

    @cached_property
    def place(self) -> Place:
        """The set of images that it is, or is of."""
        cell = self.cell
        names = ["dataset", "model", "seed", "attack", "budget"]
        if cell.get("threat", AWARE) == AWARE and "filter" in cell:
            names += ["filter", "strength"]
        return tuple(cell[name] for name in names)

    @property
    def made(self) -> dict[str, str]:
        """Who made it: settings, code and versions."""
        return {name: self.metadata[name] for name in MADE if name in self.metadata}


def open_ledgers(paths: Iterable[str]) -> list[File]:
    """Read the metadata of ledgers, those without a filter first."""
    files = []
    for path in paths:
        schema = pq.read_schema(path)
        held = {key.decode(): value.decode() for key, value in (schema.metadata or {}).items()}
        files.append(File(path, held, tuple(schema.names)))
    return sorted(files, key=lambda file: file.cell["filter"] != NO_FILTER)


def open_sets(paths: Iterable[str]) -> list[File]:
    """Read the metadata of sets of images, those of blind attackers first."""
    files = []
    for path in paths:
        with safe_open(path, framework="pt") as file:
            files.append(File(path, file.metadata()))
    return sorted(files, key=lambda file: len(file.place))


def choose_by_dataset(ledgers: Sequence[File]) -> dict[str, list[int]]:
    """Choose the examples of each data set, by attacks on its first model without a filter."""
    chosen = {}
    for dataset in dict.fromkeys(file.cell["dataset"] for file in ledgers):
        bare = [
            file
            for file in ledgers
            if (file.cell["dataset"], file.cell["filter"]) == (dataset, NO_FILTER)
        ]
        model = [file.place[:3] for file in bare][:1]
        columns = [*COLUMNS, "correct_clean"]
        chosen[dataset] = choose_examples(
            [read_ledger(file.path, columns) for file in bare if file.place[:3] in model]
        )
    return chosen


def list_clean_right(
    ledgers: Sequence[File], examples: Mapping[str, Sequence[int]]
) -> list[list[Any]]:
    """List which examples are right without an attack.

    Args:
        ledgers: of clean images through filters.
        examples: by data set, indices of test images.

    Returns:
        Of each ledger its data set, model, seed, filter and strength, and of each example 0 or 1.
    """
    found = []
    for file in ledgers:
        named = [file.cell[name] for name in ("dataset", "model", "seed", "filter", "strength")]
        correct = read_ledger(file.path, ["correct"])["correct"]
        right = correct[list(examples.get(named[0], ()))].astype(int).tolist()
        found.append([*named, right])
    return found


class Following:
    """What becomes of the chosen examples.

    Args:
        ledgers: of all cells in which test images are attacked, as `open_ledgers` returns them.

    Attributes:
        examples: by data set, indices of test images.
        labels: by data set, their classes.
        rows: by set of images, the row of each example, None if it has none.
        followed: by path of the ledger, what `follow` returns.
    """

    def __init__(self, ledgers: Sequence[File]) -> None:
        self.examples = choose_by_dataset(ledgers)
        self.labels: dict[str, list[int]] = {}
        self.rows: dict[Place, list[int | None]] = {}
        self.followed: dict[str, dict[str, list[Any]]] = {}
        for file in ledgers:
            is_known = file.place in self.rows
            names = [*(SHOWN if is_known else COLUMNS)]
            names += [REJECTED] if REJECTED in file.columns else []
            ledger = read_ledger(file.path, names)
            dataset = file.cell["dataset"]
            if not is_known:
                self.rows[file.place] = find_rows(ledger, self.examples[dataset])
            if dataset not in self.labels:
                found = [row for row in self.rows[file.place] if row is not None]
                self.labels[dataset] = ledger["label"][found].tolist()
            self.followed[file.path] = follow(ledger, self.rows[file.place])


class Pictures:
    """The images of the followed examples: sprites, in the order of what matters most.

    Attributes:
        sprites: made so far.
        clean: by data set, the number of a sprite, like what follows; None if the budget is spent.
        attacked: by set of images.
        filtered: by path of the cell's ledger.
    """

    def __init__(self, following: Following) -> None:
        self._following = following
        self.sprites = Sprites()
        self.clean: dict[str, int | None] = {}
        self.attacked: dict[Place, int | None] = {}
        self.filtered: dict[str, int | None] = {}

    def add_clean(self, tests: Sequence[str]) -> None:
        """Add the clean images of data sets."""
        for path in tests:
            with safe_open(path, framework="pt") as file:
                dataset = json.loads(file.metadata()["cell"])["dataset"]
            if examples := self._following.examples.get(dataset):
                self.clean[dataset] = self.sprites.add(read_rows(path, examples))

    def add_attacked(self, sets: Sequence[File]) -> None:
        """Add the images of adversarial sets."""
        for file in sets:
            if file.place in self._following.rows:
                images = read_rows(file.path, self._following.rows[file.place])
                self.attacked[file.place] = self.sprites.add(images)

    def add_filtered(
        self,
        sets: Sequence[File],
        ledgers: Sequence[File],
        filters: Sequence[Mapping[str, Any]],
        generator: torch.Generator,
    ) -> None:
        """Add adversarial images as filters leave them.

        Args:
            sets: of images.
            ledgers: of the cells.
            filters: each with `filter`, `strength`, and what `build_filter` wants.
            generator: of what random filters draw.
        """
        paths = {file.place: file.path for file in sets}
        built = {
            (one["filter"], one["strength"]): build_filter(dict(one), generator) for one in filters
        }
        # The cells of a set together: it is read once.
        for place, cells in groupby(sorted(ledgers, key=_place_of), _place_of):
            known = [file for file in cells if _level_of(file) in built]
            if known and self.attacked.get(place) is not None:
                images = read_rows(paths[place], self._following.rows[place])
                for file in known:
                    filtered = apply_filter(built[_level_of(file)], images)
                    self.filtered[file.path] = self.sprites.add(filtered)


def _place_of(file: File) -> Place:
    return file.place


def _level_of(file: File) -> tuple[str, str]:
    return file.cell["filter"], file.cell["strength"]
