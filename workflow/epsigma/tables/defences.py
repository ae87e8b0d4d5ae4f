"""`defences.csv`: what each defence keeps, and what it costs."""

import pandas as pd

from epsigma.tables.intervals import with_bounds

# What tells a defence from another.
DEFENCE = ["dataset", "model", "filter", "strength_name", "strength"]
# Columns of `clean.csv`, and what they are called here.
CLEAN = {"n": "clean_n", **dict(zip(with_bounds("accuracy"), with_bounds("clean"), strict=True))}


def tabulate_defences(
    robust: pd.DataFrame, clean: pd.DataFrame, cost: pd.DataFrame
) -> pd.DataFrame:
    """Set what each defence keeps beside what it costs, from tables of these names.

    Returns:
        The rows of `robust`, a defence, seed, norm and budget each (those of 0, where nothing is
        attacked, left out), with the accuracy on all `clean_n` `clean` images and its Wilson
        interval after what says which defence it is, and the columns of `cost` at the end.
    """
    attacked = robust[robust["budget"] != 0]
    harmless = clean.rename(columns=CLEAN)[[*DEFENCE, "seed", *CLEAN.values()]]
    table = attacked.merge(harmless, "left", on=[*DEFENCE, "seed"]).merge(cost, "left", on=DEFENCE)
    identity = [*DEFENCE, "seed", "norm", "budget_name", "budget"]
    first = [*identity, *CLEAN.values()]
    return table[[*first, *(name for name in table if name not in first)]]
