"""`atlas.csv`: every filter at its best strength, what it keeps and what it costs."""

import pandas as pd

from epsigma.tables.best import COST, KEYS, best_strengths
from epsigma.tables.intervals import add_rate, with_bounds
from epsigma.tables.seeds import add_intervals
from epsigma.vocabulary import AWARE, BLIND, NO_FILTER

DEFENCE = ["dataset", "model", "filter", "strength"]
TRAINING = ["training_seconds", "extra_training_seconds"]
CLEAN = with_bounds("clean")
COLUMNS = [
    *("dataset", "model", "norm", "budget_name", "budget", "filter", "strength_name", "strength"),
    *("clean_n", *CLEAN, "clean_cost", "n", *with_bounds(BLIND, AWARE)),
    *("n_proofs", *with_bounds("certified"), COST, "filter_microseconds", *TRAINING, "attacks"),
]


def tabulate_atlas(
    defences: pd.DataFrame, cells: pd.DataFrame, seeds: pd.DataFrame
) -> pd.DataFrame:
    """Set all filters of a model side by side, each at the strength that validation images choose.

    Args:
        defences: `defences.csv`.
        cells: `cells.csv`, for what is proved.
        seeds: `seeds.csv`; empty for one seed.

    Returns:
        The columns `COLUMNS`, a row a filter (and one without any), sorted by what is left of it
        `aware`, within a data set, model, norm and budget. The strength is the one that keeps most
        from an aware attacker on validation images; only strengths that as many attacks met as any
        other of the filter compete. `blind` and `aware` are the worst case over all attacks at
        that strength, on the `n` other test images; `clean` is of all `clean_n`, and `clean_cost`
        what it is less than without the filter. `certified` is the share of `n_proofs` images that
        is proved safe, empty where nothing is proved. `microseconds_1000` is what an image takes
        with the filter, `filter_microseconds` how much more that is than without. Rates have 95 %
        intervals. `attacks` are those that the worst case is over.
    """
    if defences["seed"].nunique() > 1:
        defences = add_intervals(defences, "robust", seeds)
    best = best_strengths(defences).merge(_average(defences), "left", on=[*KEYS, "strength"])
    best = best.merge(_score_proofs(cells), "left", on=[*DEFENCE, "budget_name", "budget"])
    best.loc[best["norm"] != "linf", ["n_proofs", *with_bounds("certified")]] = float("nan")
    with_none = _beside_none(best)
    order = ["dataset", "model", "norm", "budget"]
    first = {name: at for at, name in enumerate(dict.fromkeys(defences["model"]))}
    table = with_none.sort_values(
        [*order, AWARE, "clean"],
        ascending=[*[True] * len(order), False, False],
        key=lambda column: column.map(first) if column.name == "model" else column,
        kind="stable",
    )
    counts = {name: table[name].round().astype("Int64") for name in ("n", "clean_n", "n_proofs")}
    return table.assign(**counts)[COLUMNS].reset_index(drop=True)


def _average(defences: pd.DataFrame) -> pd.DataFrame:
    """Average over the seeds what does not depend on how strengths are chosen.

    Of several seeds the interval of `clean` is the widest that theirs span.
    """
    groups = defences.groupby([*KEYS, "strength"], dropna=False, sort=False)
    images = groups[f"{AWARE}_n"].max() - groups[f"{AWARE}_n_validation"].max()
    blind = groups[f"{BLIND}_n"].max() - groups[f"{BLIND}_n_validation"].max()
    return pd.DataFrame(
        {
            "strength_name": groups["strength_name"].first(),
            "n": images.fillna(blind),
            "clean_n": groups["clean_n"].first(),
            "clean": groups["clean"].mean(),
            "clean_low": groups["clean_low"].min(),
            "clean_high": groups["clean_high"].max(),
            **{name: groups[name].first() for name in TRAINING},
            "attacks": groups[f"{AWARE}_attacks"].max().fillna(groups[f"{BLIND}_attacks"].max()),
        }
    ).reset_index()


def _score_proofs(cells: pd.DataFrame) -> pd.DataFrame:
    """Score what is proved of each defence at each budget; a mean over seeds."""
    by = [*DEFENCE, "budget_name", "budget"]
    if "n_proofs" not in cells:
        return pd.DataFrame(columns=[*by, "n_proofs", *with_bounds("certified")])
    # What is proved does not depend on the attack.
    groups = cells.dropna(subset=["n_proofs"]).groupby(by, dropna=False, sort=False)
    proved = groups[["n_proofs", "n_certified"]].mean().reset_index()
    return add_rate(proved, "certified", "n_certified", "n_proofs").drop(columns="n_certified")


def _beside_none(best: pd.DataFrame) -> pd.DataFrame:
    """Add what each filter costs beside no filter: accuracy on clean images, and time."""
    on = [name for name in KEYS if name != "filter"]
    bare = best.loc[best["filter"] == NO_FILTER, [*on, "clean", COST]]
    both = best.merge(bare, "left", on=on, suffixes=("", "_none"))
    return both.assign(
        clean_cost=both["clean_none"] - both["clean"],
        filter_microseconds=both[COST] - both[f"{COST}_none"],
    )
