"""All that the page of the explorer is told, as one value that JSON has."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from epsigma.explorer.following import File, Following, Pictures, Place
from epsigma.explorer.tables import (
    IDENTITY,
    count_by_class,
    key_of,
    list_cells,
    list_checks,
    list_clean,
    list_rivals,
)
from epsigma.explorer.views import add_views


def gather(
    tables: Mapping[str, pd.DataFrame],
    ledgers: Sequence[File],
    sets: Sequence[File],
    following: Following,
    pictures: Pictures,
    attacks: Mapping[str, dict[str, Any]],
) -> dict[str, Any]:
    """Put together what the page is told.

    Args:
        tables: those of `epsigma.plan.explorer.EXPLORED`, by name.
        ledgers: of the cells, fooling images among them.
        sets: of adversarial images.
        following: what becomes of the examples.
        pictures: their images.
        attacks: by name their `family` and `norm`.

    Returns:
        `cells`, see `list_cells` and `add_views`; `attacks`; in the order of the cells `by_class`,
        `rivals`, `followed`, `made` (numbers of `makers`: who scored a cell, and who attacked) and
        `images` (numbers of `sprites`: attacked, filtered), None where there is nothing; `clean`,
        `checks`; `examples`,
        their `labels` and `clean_images` by data set; `left_out`, how many sprites are too many.
    """
    table, worst_cases = add_views(tables["cells"], tables["worst_case"], tables["seeds"])
    cells = list_cells(table)
    by_key = {key_of(file.cell): file for file in ledgers}
    made_sets = {file.place: file.made for file in sets}
    makers = _Makers()
    identities = [tuple(row[: len(IDENTITY)]) for row in cells["rows"]]
    files = [by_key.get(identity) for identity in identities]
    return {
        "identity": list(IDENTITY),
        "cells": cells,
        "attacks": {**attacks, **worst_cases},
        "clean": list_clean(tables["clean"]),
        "checks": list_checks(tables["checks"]),
        "by_class": count_by_class(tables["classes"], identities),
        "rivals": list_rivals(tables["rivals"], identities),
        "followed": [file and following.followed.get(file.path) for file in files],
        "made": [file and makers.number_both(file, made_sets) for file in files],
        "makers": makers.known,
        "images": [
            file and [pictures.attacked.get(file.place), pictures.filtered.get(file.path)]
            for file in files
        ],
        "sprites": pictures.sprites.made,
        "left_out": pictures.sprites.left_out,
        "examples": following.examples,
        "labels": following.labels,
        "clean_images": pictures.clean,
    }


class _Makers:
    """Who made files, each told once: by number."""

    def __init__(self) -> None:
        self.known: list[dict[str, str]] = []
        self._numbers: dict[tuple[str, ...], int] = {}

    def number(self, made: dict[str, str]) -> int:
        key = tuple(made.values())
        if key not in self._numbers:
            self._numbers[key] = len(self.known)
            self.known.append(made)
        return self._numbers[key]

    def number_both(self, ledger: File, sets: Mapping[Place, dict[str, str]]) -> list[int | None]:
        attacked = sets.get(ledger.place)
        return [self.number(ledger.made), None if attacked is None else self.number(attacked)]
