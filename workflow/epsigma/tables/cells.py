"""The table of cells."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from epsigma.cell import CELL_COLUMNS
from epsigma.tables.intervals import add_rate, with_bounds

# A stable interface: others read this table.
COLUMNS = [
    *(*CELL_COLUMNS, "n", *with_bounds("accuracy")),
    *("n_correct_clean", *with_bounds("attack_success")),
    *("linf", "l2", "l0", "linf_max", "l2_max", "outside_max", "changed_max"),
    *("confidence", "n_correct", "n_fooled"),
]
RATES = (("accuracy", "n_correct", "n"), ("attack_success", "n_fooled", "n_correct_clean"))
# What an ensemble's attacks fooled: this and the name of each.
PARTS = "n_fooled_by_"
# What follows them where the study asks for it: with 8 bits a value, with detectors, and of what
# fooled the model before it was rounded, to be stored.
OPTIONAL_RATES = (
    ("accuracy_8bit", "n_correct_8bit", "n"),
    ("attack_success_8bit", "n_fooled_8bit", "n_correct_clean"),
    ("rejected", "n_rejected", "n"),
    ("lost", "n_lost", "n_fooled_unrounded"),
)
# What proofs say of the test images: what nothing fools is between the two.
PROVED_RATES = (
    ("certified", "n_certified", "n_proofs"),
    ("attacked", "n_unfooled", "n_attacked"),
)


def tabulate_cells(
    rows: Sequence[dict[str, Any]], proofs: Sequence[dict[str, Any]] = ()
) -> pd.DataFrame:
    """Put cells' figures, of `identify` and `summarise`, into a table, with intervals on rates.

    Args:
        rows: of each cell.
        proofs: what the stage certify has counted, with the `cells` that it holds for.

    Returns:
        The columns `COLUMNS`; those of `OPTIONAL_RATES` and `PROVED_RATES` of which a cell has the
        count, each with its count; `n_fooled_unrounded` and `stored_as` of sets that are no
        float32; and, if there are ensembles, how many examples each of their
        attacks fooled. Intervals are Wilson's (1927), 95 %, and empty where the rate is.
        With proofs `certified`, the share of the `n_proofs` test images that are proved safe,
        `attacked`, of the `n_attacked` that some attack was run on the share that neither an attack
        that knows the filter, at that ε in ℓ∞, nor a counterexample fools, `exact`, where all were
        and both meet, and `n_refuted`, counterexamples that are none: faults of the code.
    """
    known = {_key(cell): one for one in proofs for cell in one["cells"]}
    counts = ("n_certified", "n_unfooled", "n_proofs", "n_attacked", "n_refuted")
    cells = pd.DataFrame(
        [
            row | ({name: known[_key(row)][name] for name in counts} if _key(row) in known else {})
            for row in rows
        ]
    )
    optional = [rate for rate in (*OPTIONAL_RATES, *PROVED_RATES) if rate[1] in cells]
    for rate in (*RATES, *optional):
        add_rate(cells, *rate)
    names = [name for rate, count, _ in optional for name in (*with_bounds(rate), count)]
    if "n_proofs" in cells:
        cells["exact"] = cells["certified"].where(find_exact(cells))
        names += ["n_proofs", "n_attacked", "n_refuted", "exact"]
    names += [name for name in ("n_fooled_unrounded", "stored_as") if name in cells]
    parts = [str(name) for name in cells if str(name).startswith(PARTS)]
    for name in parts:
        # Cells of other attacks have none.
        cells[name] = cells[name].astype("Int64")
    return cells[[*COLUMNS, *names, *parts]]


def find_exact(table: pd.DataFrame) -> "pd.Series[bool]":
    """Find the rows in which what is proved and what attacks leave meet, of the same examples."""
    meets = table["n_certified"] == table["n_unfooled"]
    return meets & (table["n_attacked"] == table["n_proofs"])


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in CELL_COLUMNS)
