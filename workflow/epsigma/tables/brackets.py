"""What proofs say of each filter, beside what attacks do: columns of `headline.csv`."""

import pandas as pd

from epsigma.tables.cells import find_exact
from epsigma.tables.intervals import add_rate, with_bounds
from epsigma.vocabulary import NO_FILTER

ATTACKED = ["dataset", "model", "attack", "budget_name", "budget"]
COUNTS = ["n_proofs", "n_certified", "n_attacked", "n_unfooled"]
BRACKET = [*with_bounds("certified", "attacked"), "exact"]
BARE = [*with_bounds("certified_none", "attacked_none"), "exact_none"]


def add_brackets(headline: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Add to the filters of the headline the brackets of proofs, means over the seeds.

    Args:
        headline: a row an attack, budget, filter and strength.
        cells: `cells.csv`.

    Returns:
        The headline, as it is where the study has no proofs. Else with `n_proofs`, how many test
        images proofs look at; `certified`, the share of them that is proved safe from an attacker
        who knows the filter, `attacked`, the share of those that attacks were run on that nothing
        fools, both with Wilson intervals, and `exact` where they meet on every seed; the same
        without a filter, `certified_none` and so on. Empty where there is no proof, as of attacks
        that ε does not bound in ℓ∞. However many seeds, the intervals are those of so many images:
        as wide as if the seeds agreed on each.
    """
    if "n_proofs" not in cells:
        return headline
    by = [*ATTACKED, "filter", "strength_name", "strength"]
    proved = cells.dropna(subset=["n_proofs"])
    brackets = proved.groupby(by, dropna=False, sort=False)[COUNTS].mean().reset_index()
    add_rate(brackets, "certified", "n_certified", "n_proofs")
    add_rate(brackets, "attacked", "n_unfooled", "n_attacked")
    brackets["exact"] = brackets["certified"].where(find_exact(brackets))
    bare = brackets[brackets["filter"] == NO_FILTER].set_index(ATTACKED)[BRACKET]
    bare = bare.set_axis(BARE, axis=1)
    known = brackets.set_index(by)[["n_proofs", *BRACKET]]
    found = headline.join(known, on=by).join(bare, on=ATTACKED)
    found["n_proofs"] = found["n_proofs"].round().astype("Int64")
    return found
