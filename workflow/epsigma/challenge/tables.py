"""The rows of submissions, by the tables of a study."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from epsigma.cell import CELL_COLUMNS, Cell
from epsigma.storage.files import read_json
from epsigma.storage.ledgers import read_cell
from epsigma.tables.atlas import COLUMNS, TRAINING, tabulate_atlas
from epsigma.tables.best import COST
from epsigma.tables.cells import tabulate_cells
from epsigma.tables.classes import score_clean
from epsigma.tables.defences import DEFENCE, tabulate_defences
from epsigma.tables.reading import read_table, write_table
from epsigma.tables.robust import score_defences
from epsigma.tables.scores import read_scores
from epsigma.tables.seeds import COLUMNS as SEEDS
from epsigma.vocabulary import NO_FILTER

# Tables of a study that the rows of a challenge are made from.
TABLES = ("robust", "clean", "cells")
SCORES = ["submission", *COLUMNS]


def tabulate_study(folder: Path) -> pd.DataFrame:
    """Tabulate the atlas of a challenge's study, of one seed."""
    robust, clean, cells = (read_table(str(folder / "tables" / f"{one}.csv")) for one in TABLES)
    return _tabulate(robust, clean, read_cost(folder, clean), cells)


def _tabulate(
    robust: pd.DataFrame, clean: pd.DataFrame, cost: pd.DataFrame, cells: pd.DataFrame
) -> pd.DataFrame:
    defences = tabulate_defences(robust, clean, cost)
    return tabulate_atlas(defences, cells, pd.DataFrame(columns=SEEDS))


def read_cost(folder: Path, clean: pd.DataFrame) -> pd.DataFrame:
    """Read what the defences of `clean` cost; of a study that did not measure it, nothing."""
    path = folder / "tables" / "cost.csv"
    if path.is_file():
        return read_table(str(path))
    return clean[DEFENCE].drop_duplicates().assign(**dict.fromkeys([COST, *TRAINING], float("nan")))


def score_submission(
    folder: Path,
    facts: Mapping[str, Any],
    *,
    metrics: Sequence[Path],
    ledgers: Sequence[Path],
    clean: Sequence[Path],
    costs: Sequence[Path],
    cells: Path,
) -> pd.DataFrame:
    """Score the cells of a submission as the atlas scores those of a study.

    Args:
        folder: of the challenge.
        facts: of `epsigma.plan.recipes.Recipes.facts`: attacks and filters of the submission.
        metrics: of its cells, like what follows.
        ledgers: example by example.
        clean: of clean images: through its filters, and without one.
        costs: of its filters, measured beside no filter; none for an adversarial set.
        cells: CSV to write, the table of its cells.

    Returns:
        The columns of the atlas; the rows of `none`, too.
    """
    table = tabulate_cells([read_json(path) for path in metrics])
    write_table(cells, table.sort_values([*CELL_COLUMNS], ignore_index=True))
    of = {path: Cell.from_wildcards(read_cell(path)) for path in ledgers}
    scores = read_scores(
        facts, cells=str(cells), ledgers=[str(path) for path in of], clean=[*map(str, clean)]
    )
    robust, known = score_defences(scores), read_table(str(folder / "tables" / "clean.csv"))
    study = read_table(str(folder / "tables" / "robust.csv"))
    if not (robust["filter"] == NO_FILTER).any():
        robust = pd.concat([robust, study[study["filter"] == NO_FILTER]])
    scored = pd.concat([known, score_clean(scores)]).drop_duplicates([*DEFENCE, "seed"])
    cost = read_cost(folder, known)
    if costs:
        cost = _add_training(pd.concat([read_table(str(path)) for path in costs]), cost)
    return _tabulate(robust, scored, cost, pd.DataFrame(columns=["dataset"]))


def _add_training(measured: pd.DataFrame, study: pd.DataFrame) -> pd.DataFrame:
    """Take over what training cost: that of the model, since filters here are not trained."""
    bare = study.loc[study["filter"] == NO_FILTER, ["dataset", "model", *TRAINING]]
    return measured.drop(columns=TRAINING).merge(bare, "left", on=["dataset", "model"])


def add_scores(folder: Path, name: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Put a submission's rows into `scores.csv`, in the place of earlier ones of its name.

    Returns:
        All rows: the columns `SCORES`.
    """
    path = folder / "scores.csv"
    added = rows.assign(submission=name)[SCORES]
    if path.is_file():
        earlier = read_table(str(path))
        added = pd.concat([earlier[earlier["submission"] != name], added])
    write_table(path, added, digits=6)
    return added
