"""`headline.csv`: what each filter is worth at a strength that other images have chosen."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from epsigma.cell import Cell
from epsigma.tables.brackets import add_brackets
from epsigma.tables.intervals import with_bounds
from epsigma.tables.scores import Scored, Scores, defence_of
from epsigma.tables.seeds import Outcome, pool_seeds
from epsigma.tables.strengths import choose_strength, find_validation
from epsigma.vocabulary import AWARE, BLIND, NO_FILTER

ATTACKED = ["dataset", "model", "attack", "budget_name", "budget"]
RATES = ("none", BLIND, AWARE, "clean_none", "clean")
# A row of a table, by column.
Row = Mapping[Any, Any]
# Which images chose the strength, and what comes of choosing on those that score.
CHOICE = [
    *("n_validation", "accuracy_validation"),
    *("best_on_test_strength", "best_on_test", "optimism"),
]


def tabulate_headline(scores: Scores) -> pd.DataFrame:
    """Say what each filter is worth, blind and aware, and what it costs.

    Of each filter the strength is chosen by the validation images, see
    `epsigma.tables.strengths`. All rates but `accuracy_validation` are of the other test images.
    An image is right if no aim of the attack fools it, and under an aware attacker, who may also do
    what a blind one does, if neither of both attacks fools it. All rates of an attack at a budget
    are of the same images, which all of its cells have.

    Returns:
        The cell, its seeds pooled, and `best_for`, the threat under which the strength is the best
        (the paper chooses by `blind`); `n`, and with intervals (`pool_seeds`; of one seed Wilson's)
        `none` (accuracy without a filter), `blind`, `aware`, `clean_none` and `clean` (on clean
        images, without and through the filter), and `clean_cost`, their difference; empty where
        there is no such cell. How many images chose, `n_validation`, and the `accuracy_validation`
        that they chose by. The strength that is best on the images that score,
        `best_on_test_strength`, the accuracy that it would have been reported with, `best_on_test`,
        and `optimism`, by how much that is above the accuracy at the strength that was chosen. With
        proofs, the brackets of `add_brackets`. With several seeds, rates are means over them;
        `seeds`, how many there are, and the standard deviations `none_std` and so on are last.
    """
    rows = []
    for where, attacked in _score_attacked(scores).groupby(ATTACKED, dropna=False, sort=False):
        identity = dict(zip(ATTACKED, where, strict=True))
        rows += [{**identity, **best} for best in _find_best(attacked.to_dict("records"))]
    columns = [*ATTACKED, "filter", "best_for", "strength_name", "strength", "n"]
    columns += [*with_bounds(*RATES), "clean_cost", *CHOICE]
    spreads = ["seeds", *(f"{rate}_std" for rate in RATES)] if scores.has_several_seeds else []
    table = pd.DataFrame(rows, columns=[*columns, *spreads])
    table["clean_cost"] = table["clean_none"] - table["clean"]
    last = table[spreads]
    return pd.concat([add_brackets(table[columns], scores.table), last], axis=1)


def _find_best(attacked: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """Find the best strength of each filter against an attack at a budget, under each threat."""
    cells = _group(attacked, "filter")
    bare = cells.pop(NO_FILTER, [])
    for name, filtered in cells.items():
        for threat, strengths in _group(filtered, "threat").items():
            best = choose_strength(strengths, "accuracy_validation")
            best_on_test = choose_strength(strengths, "accuracy")
            here = [row for row in filtered if _is_same(row["strength"], best["strength"])]
            met_by = _group(here, "threat")
            rates = {
                "none": (bare, "accuracy"),
                BLIND: (met_by.get(BLIND), "accuracy"),
                AWARE: (met_by.get(AWARE), "accuracy"),
                "clean_none": (bare, "clean"),
                "clean": (here, "clean"),
            }
            yield {
                "filter": name,
                "best_for": threat,
                **{column: best[column] for column in ("strength_name", "strength", "n", "seeds")},
                **{
                    f"{rate}{suffix}": rows[0][f"{of}{suffix}"]
                    for rate, (rows, of) in rates.items()
                    if rows
                    for suffix in ("", "_low", "_high", "_std")
                },
                **{column: best[column] for column in ("n_validation", "accuracy_validation")},
                "best_on_test_strength": best_on_test["strength"],
                "best_on_test": best_on_test["accuracy"],
                "optimism": best_on_test["accuracy"] - best["accuracy"],
            }


def _group(rows: Iterable[Row], column: str) -> dict[Any, list[Row]]:
    """Group rows by a column, in the order in which its values first appear."""
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        groups.setdefault(row[column], []).append(row)
    return groups


def _score_attacked(scores: Scores) -> pd.DataFrame:
    """Score all cells, their seeds pooled; fooling images are of no class: they have no accuracy.

    Returns:
        A row a cell without its seed: the images that score, `n`, and that choose, `n_validation`;
        the accuracy of either, that of the former with its interval and standard deviation; and the
        same of the clean images, `clean`.
    """
    validation = find_validation(scores)
    # A filter's clean images are the same at every budget.
    pooled: dict[tuple[Any, ...], dict[str, Any]] = {}
    rows = []
    for cell, seeds in _group_seeds(_let_aware_be_blind(scores)).items():
        chooses = validation[cell.dataset]
        parts = [_split(scored, chooses) for scored in seeds.values()]
        test, chosen_by = (pool_seeds(part) for part in zip(*parts, strict=True))
        clean = {
            defence: scored.index
            for seed, scored in seeds.items()
            if (defence := defence_of(replace(cell, seed=seed))) in scores.clean
        }
        key = tuple((defence, index.tobytes()) for defence, index in clean.items())
        if key not in pooled:
            pooled[key] = _name_clean(
                [
                    _split(scores.clean[defence].among(index), chooses)[0]
                    for defence, index in clean.items()
                ]
            )
        rows.append(
            {
                **cell.columns,
                **{"n": test.n, "seeds": len(seeds), "n_validation": chosen_by.n},
                **test.columns("accuracy"),
                "accuracy_std": test.std,
                "accuracy_validation": chosen_by.mean,
                **pooled[key],
            }
        )
    table = pd.DataFrame(rows, columns=None if rows else [*ATTACKED, "filter", "strength"])
    return table.astype({"strength": float})


def _let_aware_be_blind(scores: Scores) -> dict[Cell, Scored]:
    """Take for an aware attacker, of each example, the better of its own attack and the blind one.

    Of the cells of an attack at a budget the examples that all of them have.
    """

    def find_group(cell: Cell) -> tuple[Any, ...] | None:
        is_fooling = scores.attacks[cell.attack].is_fooling
        return None if is_fooling else (cell.dataset, cell.model, cell.attack, cell.budget)

    common = scores.on_common_examples(find_group)
    found = dict(common)
    for cell, scored in common.items():
        twin = common.get(replace(cell, threat=BLIND))
        if cell.threat == AWARE and twin is not None:
            found[cell] = replace(scored, fooled=scored.fooled | twin.fooled)
    return found


def _group_seeds(cells: Mapping[Cell, Scored]) -> dict[Cell, dict[int, Scored]]:
    """Group cells that differ in their seed only, under the first of them."""
    groups: dict[Cell, tuple[Cell, dict[int, Scored]]] = {}
    for cell, scored in cells.items():
        groups.setdefault(replace(cell, seed=0), (cell, {}))[1][cell.seed] = scored
    return dict(groups.values())


def _split(scored: Scored, validation: Any) -> tuple[Outcome, Outcome]:
    """Split examples into those that score and those that choose; right ones are successes."""
    chooses = np.isin(scored.index, validation)
    test, others = (
        Outcome.of_images(scored.index[part], ~scored.fooled[part]) for part in (~chooses, chooses)
    )
    return test, others


def _name_clean(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Name the accuracy on clean images; nothing if there are none."""
    if not outcomes:
        return dict.fromkeys([*with_bounds("clean"), "clean_std"], np.nan)
    clean = pool_seeds(outcomes)
    return {**clean.columns("clean"), "clean_std": clean.std}


def _is_same(value: float, other: float) -> bool:
    """Compare, with no value equal to no value."""
    return value == other or (math.isnan(value) and math.isnan(other))
