"""Stage defences: what each defence keeps, to whom, and what it costs."""

from collections.abc import Sequence

import pandas as pd

from epsigma.job import Job
from epsigma.pages import table_page
from epsigma.storage.files import atomic_write, write_text
from epsigma.tables.reading import read_table

# What a defence is told by.
DEFENCE = ["dataset", "model", "filter", "strength_name", "strength"]
# Of `clean.csv`, and what it is called here.
CLEAN = {
    "n": "clean_n",
    "accuracy": "clean",
    "accuracy_low": "clean_low",
    "accuracy_high": "clean_high",
}


def set_beside_cost(
    job: Job, *, robust: str, clean: str, costs: Sequence[str], defences: str, page: str
) -> None:
    """Write the table of defences.

    Args:
        job: identity and log.
        robust: `robust.csv`.
        clean: `clean.csv`.
        costs: tables of `epsigma.stages.cost`, of each data set.
        defences: CSV to write, see `table_of_defences`.
        page: HTML to write, that shows it.
    """
    with job.logged():
        table = table_of_defences(
            read_table(robust), read_table(clean), pd.concat([read_table(path) for path in costs])
        )
        with atomic_write(defences) as temporary:
            table.to_csv(temporary, index=False, float_format="%.6g")
        write_text(page, table_page(table, "Defences: what they keep, and what they cost"))


def table_of_defences(
    robust: pd.DataFrame, clean: pd.DataFrame, cost: pd.DataFrame
) -> pd.DataFrame:
    """Set what each defence keeps beside what it costs.

    Returns:
        The rows of `robust`, a defence, seed, norm and budget each (those of 0, where nothing is
        attacked, left out), with the defence's accuracy on all `clean_n` `clean` images and its
        Wilson interval after what says which it is, and the columns of `cost` at the end.
    """
    attacked = robust[robust["budget"] != 0]
    harmless = clean.rename(columns=CLEAN)[[*DEFENCE, "seed", *CLEAN.values()]]
    table = attacked.merge(harmless, "left", on=[*DEFENCE, "seed"]).merge(cost, "left", on=DEFENCE)
    identity = ["dataset", "model", "filter", "strength_name", "strength", "seed", "norm"]
    first = [*identity, "budget_name", "budget", *CLEAN.values()]
    return table[[*first, *(name for name in table if name not in first)]]
