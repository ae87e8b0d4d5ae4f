"""The examples that the explorer follows through all cells."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epsigma.scoring import by_example

# How many of a data set are followed, at most.
EXAMPLES = 20
# Columns of a ledger: of what is shown, and of which rows that is.
SHOWN = ("prediction", "probability", "correct")
COLUMNS = ("index", "label", *SHOWN)
REJECTED = "rejected"


def choose_examples(ledgers: Sequence[Mapping[str, NDArray[Any]]]) -> list[int]:
    """Choose examples by a rule that looks at no filter: of each class some that fall and stand.

    Args:
        ledgers: of attacks without a filter, `COLUMNS` and `correct_clean`; at least one.

    Returns:
        Indices of at most `EXAMPLES` test images that all attacks have tried, sorted by class. Of
        those of a class that are right when clean (of all, if none is) first the one that falls
        first, then the one that falls last, then those between.
    """
    shared = set.intersection(*(set(one["index"].tolist()) for one in ledgers))
    standing = dict.fromkeys(shared, 0)
    for one in ledgers:
        indices = np.unique(one["index"]).tolist()
        for index, right in zip(indices, by_example(dict(one)), strict=True):
            if index in shared:
                standing[index] += int(right)
    first = ledgers[0]
    classes: dict[int, dict[bool, list[int]]] = {}
    known = zip(first["index"], first["label"], first["correct_clean"], strict=True)
    for index, label, right in sorted({tuple(map(int, row)) for row in known}):
        if index in shared:
            classes.setdefault(label, {True: [], False: []})[bool(right)].append(index)
    ordered = {
        label: _spread(sorted(found[True] or found[False], key=lambda one: (standing[one], one)))
        for label, found in sorted(classes.items())
    }
    rounds = max(map(len, ordered.values()), default=0)
    chosen = [
        (label, which[turn])
        for turn in range(min(rounds, EXAMPLES))
        for label, which in ordered.items()
        if turn < len(which)
    ]
    return [index for _, index in sorted(chosen[:EXAMPLES], key=lambda one: one[0])]


def _spread(values: list[int]) -> list[int]:
    """Order values so that the first ones are spread: the first, the last, the middle ones."""
    places = np.unique(np.linspace(0, len(values) - 1, min(len(values), EXAMPLES)).astype(int))
    chosen = [values[place] for place in places]
    return [*chosen[:1], *chosen[:0:-1]]


def find_rows(ledger: Mapping[str, NDArray[Any]], examples: Sequence[int]) -> list[int | None]:
    """Find the row of a ledger that shows each example, None if it has none.

    Of several, as of an attack that aims at several classes, the first that fools the model.
    """
    index, correct = ledger["index"], ledger["correct"]
    found: list[int | None] = []
    for start, end in zip(
        np.searchsorted(index, examples, "left"),
        np.searchsorted(index, examples, "right"),
        strict=True,
    ):
        fooled = np.flatnonzero(~correct[start:end])
        found.append(int(start + (fooled[0] if len(fooled) else 0)) if end > start else None)
    return found


def follow(ledger: Mapping[str, NDArray[Any]], rows: Sequence[int | None]) -> dict[str, list[Any]]:
    """Say what the model makes of rows: None where there is none.

    Returns:
        `prediction`; `probability` in percent; `right`, 0 or 1; with detectors `rejected`, 0 or 1.
    """
    columns = {
        "prediction": ledger["prediction"],
        "probability": np.rint(ledger["probability"] * 100),
        "right": ledger["correct"],
    }
    if REJECTED in ledger:
        columns[REJECTED] = ledger[REJECTED]
    return {
        name: [None if row is None else int(values[row]) for row in rows]
        for name, values in columns.items()
    }
