"""Stage statistics: what the ledgers say of the same examples in different cells."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binom, norm

from epsigma.cell import Level
from epsigma.job import Job
from epsigma.storage.files import atomic_write
from epsigma.storage.ledgers import REJECTS, SCORE, read_cell, read_ledger
from epsigma.tables.detection import OUTCOMES, area, detectors_of, outcomes, roc, successes
from epsigma.tables.distortion import MEASURES, acceptance
from epsigma.tables.distortion import distortion as condense
from epsigma.tables.intervals import CONFIDENCE, wilson
from epsigma.tables.reading import read_table
from epsigma.vocabulary import AWARE, BLIND, FIXED, NO_FILTER

GRADIENT = ("single_step", "iterative")
FOOLING = "fooling"
# The counts that rates are made of, and which of them tables keep.
COUNTS = {
    "accuracy": "n_correct",
    "fallen": "n_fallen",
    "success": "n_reached",
    "accepted": "n_accepted",
    **{rate: f"n_{rate}" for rate in OUTCOMES},
    "false_positive": "n_false_positive",
    "true_positive": "n_true_positive",
}
# How robust a defence is, and to whom.
ROBUST = ("blind", "aware", "aware_8bit")
KEPT = ("success", "accepted", "false_positive", "true_positive")

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Place:
    """Where a cell stands among those of a data set, model and seed; levels as paths spell them."""

    threat: str
    attack: str
    budget: str
    filter: str
    strength: str

    @property
    def columns(self) -> dict[str, Any]:
        """The place as columns of a table, named as in `cells.csv`."""
        budget, strength = Level.parse(self.budget), Level.parse(self.strength)
        return {
            "threat": self.threat,
            "attack": self.attack,
            "budget_name": budget.name,
            "budget": budget.value,
            "filter": self.filter,
            "strength_name": strength.name,
            "strength": strength.value,
        }

    @property
    def eps(self) -> float:
        """The budget's value; 0 if there is none."""
        return Level.parse(self.budget).value or 0.0

    @property
    def is_white_box(self) -> bool:
        """Whether the attacker knows everything there is."""
        return self.threat == AWARE or self.filter == NO_FILTER


@dataclass(frozen=True)
class Attack:
    """What the statistics know of an attack: fields of its kind, and what a transfer is from.

    `source` is the attack that a transfer takes over, `source_model` the model that it is made on;
    `targeted` says whether it aims at classes.
    """

    family: str
    norm: str | None
    source: str | None = None
    minimises: str | None = None
    targeted: bool = False
    spends: str | None = None
    source_model: str | None = None

    @property
    def queries_model(self) -> bool:
        """Whether it evaluates the model that it is scored on."""
        return self.family not in ("noise", "transfer")


@dataclass(frozen=True)
class Scored:
    """What became of the examples of a cell.

    Args:
        fooled: (N,), which are misclassified, aimed at any class.
        margin: (N,), logit of the label minus the largest other; the smallest of the classes
            that were aimed at.
        index: (N,), which of the test set's they are, ascending.
        label: (N,), the true classes.
        fooled_8bit: (N,), which are misclassified when rounded to 8 bits; None if not asked.
    """

    fooled: Bools
    margin: NDArray[np.float32]
    index: NDArray[np.int32]
    label: NDArray[np.int16]
    fooled_8bit: Bools | None = None

    @classmethod
    def of(cls, columns: dict[str, NDArray[Any]]) -> "Scored":
        """Reduce a ledger's rows to examples."""
        index, first = np.unique(columns["index"], return_index=True)
        fooled, margin = ~columns["correct"], columns["margin"]
        rounded = ~columns["correct_8bit"] if "correct_8bit" in columns else None
        if len(index) < len(fooled):
            fooled = np.logical_or.reduceat(fooled, first)
            margin = np.minimum.reduceat(margin, first)
            rounded = None if rounded is None else np.logical_or.reduceat(rounded, first)
        return cls(fooled, margin, index, columns["label"][first], rounded)

    def among(self, index: NDArray[np.int32]) -> "Scored":
        """Leave out the examples that are not listed."""
        if len(index) == len(self.index):
            return self
        here = np.isin(self.index, index)
        rounded = None if self.fooled_8bit is None else self.fooled_8bit[here]
        return Scored(
            self.fooled[here], self.margin[here], self.index[here], self.label[here], rounded
        )


# The cells of one data set, model and seed, and the clean images by filter and strength.
Grid = dict[Place, Scored]
Clean = dict[tuple[str, str], Scored]
# The ledgers of cells, whole.
Ledgers = dict[Place, dict[str, NDArray[Any]]]


def make_statistics(
    job: Job,
    *,
    cells: str,
    ledgers: Sequence[str],
    clean: Sequence[str],
    paired: str,
    classes: str,
    worst_case: str,
    smallest: str,
    fallen: str,
    distortion: str,
    fooling: str,
    detection: str,
    detectors: str,
    curves: str,
    robust: str,
    clean_cells: str,
    headline: str,
) -> None:
    """Write the tables that compare cells example by example.

    Args:
        job: its settings are `attacks`, the fields of `Attack` by name; `filters`, of each its
            `detectors`; `defends`, of each model the undefended one that it is a variant of; and
            whether images were also scored with 8 bits (`requantise`).
        cells: `cells.csv`.
        ledgers: of all cells.
        clean: ledgers of the clean images, through every filter.
        paired: CSV to write, see `compare_cells`.
        classes: CSV to write, see `per_class`.
        worst_case: CSV to write, see `worst_cases`.
        smallest: CSV to write, see `smallest_budgets`.
        fallen: CSV to write, see `smallest_budgets`.
        distortion: CSV to write, see `distortions`.
        fooling: CSV to write, see `acceptances`.
        detection: CSV to write, see `detections`.
        detectors: CSV to write, see `characteristics`.
        curves: CSV to write, see `characteristics`.
        robust: CSV to write, see `robust_accuracy`.
        clean_cells: CSV to write, see `clean_accuracy`.
        headline: CSV to write, see `make_headline`.
    """
    with job.logged() as log:
        attacks = {name: Attack(**about) for name, about in job.settings["attacks"].items()}
        grids: dict[tuple[str, str, int], Grid] = defaultdict(dict)
        aimed: dict[tuple[str, str, int], Ledgers] = defaultdict(dict)
        judged: dict[tuple[str, str, int], Ledgers] = defaultdict(dict)
        watched = {name for name, about in job.settings["filters"].items() if about["detectors"]}
        names = ["index", "label", "correct", "margin"]
        more = ["correct_8bit"] if job.settings["requantise"] else []
        for path in ledgers:
            cell = read_cell(path)
            key = _of(cell)
            place = Place(*(cell[name] for name in Place.__dataclass_fields__))
            about = attacks[place.attack]
            whole_ledger = about.targeted or about.minimises or about.family == FOOLING
            is_watched = place.filter in watched
            some = names + (more if about.family != FOOLING else [])
            columns = read_ledger(path, None if whole_ledger or is_watched else some)
            grids[key][place] = Scored.of(columns)
            if whole_ledger:
                aimed[key][place] = columns
            if is_watched and about.family != FOOLING:
                judged[key][place] = columns
        unattacked: dict[tuple[str, str, int], Clean] = defaultdict(dict)
        passed: dict[tuple[str, str, int], dict[tuple[str, str], dict[str, NDArray[Any]]]]
        passed = defaultdict(dict)
        for path in clean:
            cell = read_cell(path)
            columns = read_ledger(path, None if cell["filter"] in watched else names)
            unattacked[_of(cell)][cell["filter"], cell["strength"]] = Scored.of(columns)
            passed[_of(cell)][cell["filter"], cell["strength"]] = columns
        tables: dict[str, list[pd.DataFrame]] = defaultdict(list)
        for key, grid in grids.items():
            first, rest = smallest_budgets(grid, attacks)
            of_detectors, points = characteristics(judged[key], passed[key])
            for path, table in (
                (paired, compare_cells(grid, unattacked[key], attacks, watched)),
                (classes, per_class(grid)),
                (worst_case, worst_cases(grid, attacks)),
                (smallest, first),
                (fallen, rest),
                (distortion, distortions(aimed[key], attacks)),
                (fooling, acceptances(aimed[key], attacks)),
                (detection, detections(judged[key])),
                (detectors, of_detectors),
                (curves, points),
                (robust, robust_accuracy(grid, attacks, job.settings["defends"][key[1]])),
            ):
                for position, name in enumerate(("dataset", "model", "seed")):
                    table.insert(position, name, key[position])
                tables[path].append(table)
        for path, parts in tables.items():
            _write(path, pd.concat(parts, ignore_index=True))
        table = read_table(cells)
        # Fooling images are of no class: what a filter keeps is no accuracy.
        on_images = table["attack"].map(lambda name: attacks[name].family != FOOLING)
        unharmed = clean_accuracy(unattacked)
        _write(clean_cells, unharmed)
        _write(headline, make_headline(table[on_images], unharmed))
        log.info("%d cells", sum(map(len, grids.values())))


def _of(cell: dict[str, str]) -> tuple[str, str, int]:
    return cell["dataset"], cell["model"], int(cell["seed"])


def compare_cells(
    grid: Grid, clean: Clean, attacks: dict[str, Attack], watched: Collection[str] = ()
) -> pd.DataFrame:
    """Compare each cell with those that it ought to be compared with, on the same examples.

    Args:
        grid: the cells.
        clean: the clean images.
        attacks: by name.
        watched: filters with detectors. What they reject is wrong at a budget of 0 and right at
            others, so these are not compared.

    Returns:
        The cell; `against`, one of `none` (the same attack without the filter, blind), `blind`
        (the attacker who doesn't know the filter), `clean` (for a budget of 0), `smaller_budget`,
        `single_step`, `transfer`, `noise` (of the same norm and budget), and `other`, the other
        cell's attack or budget; `n`; `only_this` and `only_other`, the examples that only one of
        them misclassifies; `largest_change`, by which the logit margin of an example differs;
        `difference`, of the error rates, this minus other, with a 95 % interval
        (`difference_low`, `difference_high`; Agresti & Min 2005) and McNemar's `p_value` (exact,
        two-sided).
    """
    rows = []
    smaller = _next_smaller(
        # A fooling image is judged by its own budget, the confidence.
        {at: found for at, found in grid.items() if attacks[at.attack].family != FOOLING}
    )
    for place, this in grid.items():
        counterparts = [
            (against, there.attack, grid[there])
            for against, there in _counterparts(place, grid, attacks)
        ]
        if place in smaller and (smaller[place].eps or place.filter not in watched):
            before = smaller[place]
            counterparts.append(("smaller_budget", before.budget, grid[before]))
        if attacks[place.attack].norm and place.budget != FIXED and place.eps == 0:
            counterparts.append(("clean", "", clean[place.filter, place.strength]))
        for against, name, other in counterparts:
            found = _compared(this, other)
            # Of attacks on different examples there may be nothing to compare.
            if found["n"]:
                rows.append({**place.columns, "against": against, "other": name, **found})
    columns = [*Place("", "", FIXED, "", FIXED).columns, "against", "other", "n"]
    table = pd.DataFrame(rows, columns=[*columns, "only_this", "only_other", "largest_change"])
    more, less = table["only_this"].to_numpy(float), table["only_other"].to_numpy(float)
    n = table["n"].to_numpy(float)
    table["difference"] = (more - less) / n
    low, high = paired_interval(more, less, n, CONFIDENCE)
    table["difference_low"], table["difference_high"] = low, high
    discordant = more + less
    table["p_value"] = np.minimum(1, 2 * binom.cdf(np.minimum(more, less), discordant, 0.5))
    return table


def _compared(this: Scored, other: Scored) -> dict[str, Any]:
    """Compare two cells on the examples that both have."""
    if not np.array_equal(this.index, other.index):
        index = np.intersect1d(this.index, other.index)
        this, other = this.among(index), other.among(index)
    change = np.abs(this.margin - other.margin)
    return {
        "n": len(change),
        "only_this": int((this.fooled & ~other.fooled).sum()),
        "only_other": int((other.fooled & ~this.fooled).sum()),
        "largest_change": float(change.max(initial=0)),
    }


def paired_interval(
    more: NDArray[np.float64], less: NDArray[np.float64], n: NDArray[np.float64], confidence: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bound the difference of two rates on the same examples.

    Args:
        more: pairs in which only the first is true.
        less: pairs in which only the second is.
        n: all pairs.
        confidence: in (0, 1).

    Returns:
        Lower and upper bounds, in [-1, 1]: Wald's, after half a pair was added to each of the four
        counts (Agresti & Min 2005, Statistics in Medicine 24:729, section 3).
    """
    b, c, total = more + 0.5, less + 0.5, n + 2
    difference = (b - c) / total
    half = norm.ppf(0.5 + confidence / 2) * np.sqrt((b + c) / total - difference**2)
    half = half / np.sqrt(total)
    return np.maximum(difference - half, -1), np.minimum(difference + half, 1)


def _counterparts(
    place: Place, grid: Grid, attacks: dict[str, Attack]
) -> Iterator[tuple[str, Place]]:
    """List the other attacks and threats that a cell is compared with."""
    own = attacks[place.attack]
    if place.filter != NO_FILTER:
        none = Place(BLIND, place.attack, place.budget, NO_FILTER, FIXED)
        yield "none", none
    twin = replace(place, threat=BLIND)
    if place.threat == AWARE and twin in grid:
        yield "blind", twin
    for name, attack in attacks.items():
        if own.norm is None or attack.norm != own.norm or name == place.attack:
            continue
        same = replace(place, attack=name)
        # Through a filter that neither knows, a single step can be the better guess.
        climbs = own.family == "iterative" and place.is_white_box
        if climbs and attack.family == "single_step" and same in grid:
            yield "single_step", same
        unaware = replace(same, threat=BLIND)
        if unaware not in grid:
            continue
        if own.family in GRADIENT and place.is_white_box:
            if attack.family == "noise" or (
                attack.family == "transfer" and attack.source == place.attack
            ):
                yield attack.family, unaware
        elif own.family == "transfer" and attack.family == "noise":
            yield "noise", unaware


def _next_smaller(grid: Grid) -> dict[Place, Place]:
    """Find the cell of the next smaller budget of the same curve."""
    return {
        place: before for places in _curves(grid).values() for before, place in pairwise(places)
    }


def _curves(grid: Grid) -> dict[Place, list[Place]]:
    """Group the cells that differ in budget only, in ascending order, under what they share."""
    curves: dict[Place, list[Place]] = defaultdict(list)
    for place in grid:
        if place.budget != FIXED:
            curves[replace(place, budget=FIXED)].append(place)
    return {curve: sorted(places, key=lambda place: place.eps) for curve, places in curves.items()}


def per_class(grid: Grid) -> pd.DataFrame:
    """Score each cell class by class.

    Returns:
        The cell; `label`, `n`, `accuracy` and its Wilson interval (`accuracy_low`,
        `accuracy_high`).
    """
    rows = [
        {
            **place.columns,
            "label": label,
            "n": n,
            "n_correct": int((~scored.fooled[scored.label == label]).sum()),
        }
        for place, scored in grid.items()
        for label, n in zip(*np.unique(scored.label, return_counts=True), strict=True)
    ]
    return _with_rates(pd.DataFrame(rows))


def worst_cases(grid: Grid, attacks: dict[str, Attack]) -> pd.DataFrame:
    """Score each filter against the best of all attacks of a norm and budget, example by example.

    The mean over examples (those that all of them attacked) of the worst over attacks. An aware
    attacker may also do what a blind one does, so the aware worst case is over both.

    Returns:
        `threat`, `norm`, `budget_name`, `budget`, `filter`, `strength_name`, `strength`,
        `attacks` (how many), `n`, `accuracy` with its Wilson interval, and `gradient_free_only`:
        of the examples that a gradient-free attack fools, those that no attack that follows
        gradients does (empty where there are not both).
    """
    groups: dict[tuple[str, str, str, str, str], list[Place]] = defaultdict(list)
    for place in grid:
        bound = attacks[place.attack].norm
        threats = [place.threat] if place.threat == AWARE else [BLIND, AWARE]
        for threat in threats if bound else ():
            groups[threat, str(bound), place.budget, place.filter, place.strength].append(place)
    rows = []
    for (threat, bound, budget, filter_name, strength), places in groups.items():
        if (
            threat == AWARE
            and filter_name != NO_FILTER
            and not any(p.threat == AWARE for p in places)
        ):
            continue
        index = reduce(np.intersect1d, [grid[place].index for place in places])
        found = {place: grid[place].among(index).fooled for place in places}
        fooled = np.logical_or.reduce(list(found.values()))
        by_family = {
            kind: [found[place] for place in places if attacks[place.attack].family in families]
            for kind, families in (("gradient", GRADIENT), ("free", ("gradient_free",)))
        }
        missed = None
        if all(by_family.values()):
            followed, free = (np.logical_or.reduce(these) for these in by_family.values())
            missed = int((free & ~followed).sum())
        where = Place(threat, "", budget, filter_name, strength).columns
        del where["attack"], where["threat"]
        rows.append(
            {
                "threat": threat,
                "norm": bound,
                **where,
                "attacks": len(places),
                "n": len(fooled),
                "n_correct": int((~fooled).sum()),
                "gradient_free_only": missed,
            }
        )
    columns = ["threat", "norm", "budget_name", "budget", "filter", "strength_name", "strength"]
    columns += ["attacks", "n", "n_correct", "gradient_free_only"]
    table = _with_rates(pd.DataFrame(rows, columns=columns))
    table["gradient_free_only"] = table.pop("gradient_free_only").astype("Int64")
    return table


def robust_accuracy(grid: Grid, attacks: dict[str, Attack], defends: str | None) -> pd.DataFrame:
    """Score each defence against the best of all attacks that know it, and of those that don't.

    A defence is the model with what stands in front of it. As in `worst_cases`, the worst is over
    attacks of a norm and budget, example by example.

    Args:
        grid: the cells of a data set, model and seed.
        attacks: by name.
        defends: the undefended model of which this one is a variant; None if it is none.

    Returns:
        `norm`, `budget_name`, `budget`, `filter`, `strength_name`, `strength`; `aware`, accuracy
        against all attacks; `aware_8bit`, the same of images rounded to 8 bits; `blind`, against
        attackers who know neither the filter nor how the model was trained: on a defended variant
        these are transfers from the undefended model. Each with its Wilson interval, and the
        numbers of attacks and examples, `…_attacks` and `…_n`; empty where there is no such cell.
    """
    groups: dict[tuple[str, str, str, str], list[Place]] = defaultdict(list)
    for place in grid:
        if bound := attacks[place.attack].norm:
            groups[bound, place.budget, place.filter, place.strength].append(place)
    rows = []
    for (bound, budget, filter_name, strength), places in groups.items():
        where = Place("", "", budget, filter_name, strength).columns
        del where["attack"], where["threat"]
        knows = any(place.is_white_box and attacks[place.attack].queries_model for place in places)
        unaware = [
            place
            for place in places
            if place.threat == BLIND
            and (defends is None or attacks[place.attack].source_model == defends)
        ]
        worst = {
            **_worst(grid, places if knows else [], "aware"),
            **_worst(grid, unaware, "blind"),
        }
        rows.append({"norm": bound, **where, **worst})
    names = ["norm", "budget_name", "budget", "filter", "strength_name", "strength"]
    for rate in ROBUST:
        names += [f"{rate}{of}" for of in ("_attacks", "_n", "", "_low", "_high")]
    return pd.DataFrame(rows, columns=names)


def _worst(grid: Grid, places: Sequence[Place], name: str) -> dict[str, Any]:
    """Score cells by the worst of them, example by example; nothing if there are none."""
    if not places:
        return {}
    index = reduce(np.intersect1d, [grid[place].index for place in places])
    scored = [grid[place].among(index) for place in places]
    every = {name: [one.fooled for one in scored]}
    rounded = [one.fooled_8bit for one in scored if one.fooled_8bit is not None]
    if f"{name}_8bit" in ROBUST and len(rounded) == len(scored):
        every[f"{name}_8bit"] = rounded
    found: dict[str, Any] = {}
    if not len(index):
        return found
    for rate, fooled in every.items():
        right = int((~np.logical_or.reduce(fooled)).sum())
        low, high = wilson(right, len(index))
        found |= {
            f"{rate}_attacks": len(places),
            f"{rate}_n": len(index),
            rate: right / len(index),
            f"{rate}_low": low,
            f"{rate}_high": high,
        }
    return found


def smallest_budgets(grid: Grid, attacks: dict[str, Attack]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Find the smallest budget of the grid at which each example is misclassified.

    Of attacks whose budget bounds the perturbation.
    An example that is right at every budget is censored: its budget is above the largest. One that
    is wrong at the smallest may have been so below it.

    Returns:
        A row a curve (`threat`, `attack`, `budget_name`, `filter`, `strength_name`, `strength`):
        `n`, `n_censored`, `largest` (budget), and `median` (the lower one; empty if more than half
        are censored); and a row a curve and `budget`: `fallen`, the share of examples whose
        smallest budget is at most that, with its Wilson interval.
    """
    medians, shares = [], []
    bounded = {place: found for place, found in grid.items() if attacks[place.attack].norm}
    for curve, places in _curves(bounded).items():
        fallen = np.logical_or.accumulate([grid[place].fooled for place in places])
        smallest = np.where(fallen, [[place.eps] for place in places], np.inf).min(0)
        # A budget of the grid, at which half of the examples or more have fallen.
        median = float(np.sort(smallest)[(len(smallest) - 1) // 2])
        where = {**curve.columns, "budget_name": Level.parse(places[0].budget).name}
        del where["budget"]
        medians.append(
            {
                **where,
                "n": len(smallest),
                "n_censored": int(np.isinf(smallest).sum()),
                "largest": places[-1].eps,
                "median": median if np.isfinite(median) else None,
            }
        )
        shares += [
            {**where, "budget": place.eps, "n": len(smallest), "n_fallen": int(row.sum())}
            for place, row in zip(places, fallen, strict=True)
        ]
    names = ["threat", "attack", "budget_name", "filter", "strength_name", "strength"]
    return (
        pd.DataFrame(medians, columns=[*names, "n", "n_censored", "largest", "median"]),
        _with_rates(pd.DataFrame(shares, columns=[*names, "budget", "n", "n_fallen"]), "fallen"),
    )


def distortions(ledgers: Ledgers, attacks: dict[str, Attack]) -> pd.DataFrame:
    """Say what attacks come to that aim at classes, or keep their perturbation small.

    Returns:
        A row a cell: where it is; what `epsigma.tables.distortion.distortion` says of it; and
        `success`,        n_reached / n, with its Wilson interval.
    """
    rows = [
        {**place.columns, "targeted": attacks[place.attack].targeted, **condense(columns)}
        for place, columns in ledgers.items()
        if attacks[place.attack].family != FOOLING
    ]
    nowhere = Place("", "", FIXED, "", FIXED).columns
    columns = [*nowhere, "targeted", "n", "n_reached", "n_worst"]
    columns += [f"{name}{of}" for name in MEASURES for of in ("", "_all", "_best", "_worst")]
    return _with_rates(pd.DataFrame(rows, columns=columns), "success")


def acceptances(ledgers: Ledgers, attacks: dict[str, Attack]) -> pd.DataFrame:
    """Say how many fooling images of each class the model accepts.

    Returns:
        A row a cell and class: where it is; what `epsigma.tables.distortion.acceptance` says of it;
        and        `accepted`, n_accepted / n, with its Wilson interval.
    """
    rows = [
        {**place.columns, **found}
        for place, columns in ledgers.items()
        if attacks[place.attack].family == FOOLING
        for found in acceptance(columns)
    ]
    nowhere = Place("", "", FIXED, "", FIXED).columns
    columns = [*nowhere, "target", "n", "n_accepted", "n_named", "confidence"]
    return _with_rates(pd.DataFrame(rows, columns=columns), "accepted")


def detections(ledgers: Ledgers) -> pd.DataFrame:
    """Say what becomes of attacked images where detectors look on.

    Returns:
        A row a cell with detectors: where it is, and shares of its n rows with their Wilson
        intervals, see `epsigma.tables.detection.outcomes`: `detected`, `corrected`, `unharmed` and
        `through`, which add up to 1; and `detector_alone`, `filter_alone` and `both`, what the
        parts keep.
    """
    nowhere = Place("", "", FIXED, "", FIXED).columns
    rows = [{**place.columns, **outcomes(columns)} for place, columns in ledgers.items()]
    table = pd.DataFrame(rows, columns=[*nowhere, "n", *(f"n_{rate}" for rate in OUTCOMES)])
    for rate in OUTCOMES:
        table = _with_rates(table, rate)
    return table


def characteristics(
    ledgers: Ledgers, clean: dict[tuple[str, str], dict[str, NDArray[Any]]]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Say how well each detector tells attacked images from clean ones.

    Attacked images are those that fool the classifier alone, of examples that it gets right when
    clean; clean ones are all of the test set.

    Args:
        ledgers: of the cells with detectors.
        clean: the ledgers of the clean images, by filter and strength.

    Returns:
        A row a cell and detector: where it is; `detector`; of the `n_clean` the share that it
        rejects at its threshold, `false_positive`, of the `n_attacked` that, `true_positive`, with
        Wilson intervals; `area` under the curve with its 95 % interval (DeLong). And a row for each
        point of a curve,
        `false_positive_rate` and `true_positive_rate`.
    """
    areas, points = [], []
    for place, columns in ledgers.items():
        unattacked = clean[place.filter, place.strength]
        fooling = successes(columns)
        for name in detectors_of(columns):
            ours, theirs = unattacked[f"{SCORE}{name}"], columns[f"{SCORE}{name}"][fooling]
            middle, low, high = area(ours, theirs, CONFIDENCE)
            where = {**place.columns, "detector": name}
            areas.append(
                {
                    **where,
                    "n_clean": len(ours),
                    "n_false_positive": int(unattacked[f"{REJECTS}{name}"].sum()),
                    "n_attacked": len(theirs),
                    "n_true_positive": int(columns[f"{REJECTS}{name}"][fooling].sum()),
                    "area": middle,
                    "area_low": low,
                    "area_high": high,
                }
            )
            if len(theirs):
                points += [
                    {**where, "false_positive_rate": false, "true_positive_rate": true}
                    for false, true in zip(*roc(ours, theirs), strict=True)
                ]
    names = [*Place("", "", FIXED, "", FIXED).columns, "detector"]
    counts = ["n_clean", "n_false_positive", "n_attacked", "n_true_positive"]
    rates = ["false_positive_rate", "true_positive_rate"]
    table = pd.DataFrame(areas, columns=[*names, *counts, "area", "area_low", "area_high"])
    table = _with_rates(table, "false_positive", "n_clean")
    table = _with_rates(table, "true_positive", "n_attacked")
    return table, pd.DataFrame(points, columns=[*names, *rates])


def clean_accuracy(clean: dict[tuple[str, str, int], Clean]) -> pd.DataFrame:
    """Score the clean images.

    Returns:
        A row for each data set, model, seed, filter and strength: `n`, and `accuracy` with its
        Wilson interval.
    """
    rows = []
    for (dataset, model, seed), by_filter in clean.items():
        for (name, level), scored in by_filter.items():
            strength = Level.parse(level)
            rows.append(
                {
                    "dataset": dataset,
                    "model": model,
                    "seed": seed,
                    "filter": name,
                    "strength_name": strength.name,
                    "strength": strength.value,
                    "n": len(scored.fooled),
                    "n_correct": int((~scored.fooled).sum()),
                }
            )
    return _with_rates(pd.DataFrame(rows))


def make_headline(cells: pd.DataFrame, clean: pd.DataFrame) -> pd.DataFrame:
    """Say what each filter is worth at its best strength, blind and aware, and what it costs.

    Args:
        cells: `cells.csv`.
        clean: what `clean_accuracy` returns.

    Returns:
        `dataset`, `model`, `attack`, `budget_name`, `budget`, `filter`, `best_for` (the threat
        under which the strength is the best: the paper chooses by `blind`), `strength_name`,
        `strength`; `n`, and with Wilson intervals `none` (accuracy without a filter), `blind`,
        `aware`, `clean_none` and `clean` (on clean images, without and through the filter), and
        `clean_cost`, the difference of these two; empty where there is no such cell. Seeds are
        pooled.
    """
    cells = _pooled(cells, ["threat", "attack", "budget_name", "budget"])
    clean = _pooled(clean, [])
    rows = []
    groups = ["dataset", "model", "attack", "budget_name", "budget"]
    for where, attacked in cells.groupby(groups, dropna=False, sort=False):
        identity = dict(zip(groups, where, strict=True))
        about = clean[
            (clean["dataset"] == identity["dataset"]) & (clean["model"] == identity["model"])
        ]
        none = attacked[attacked["filter"] == NO_FILTER]
        clean_none = about[about["filter"] == NO_FILTER]
        for name, filtered in attacked[attacked["filter"] != NO_FILTER].groupby(
            "filter", sort=False
        ):
            for best_for, found in filtered.groupby("threat", sort=False):
                best = found.iloc[int(found["accuracy"].to_numpy().argmax())]
                here = filtered[_equal(filtered["strength"], best["strength"])]
                alone = about[
                    (about["filter"] == name) & _equal(about["strength"], best["strength"])
                ]
                rates = {
                    "none": none,
                    BLIND: here[here["threat"] == BLIND],
                    AWARE: here[here["threat"] == AWARE],
                    "clean_none": clean_none,
                    "clean": alone,
                }
                rows.append(
                    {
                        **identity,
                        "filter": name,
                        "best_for": best_for,
                        "strength_name": best["strength_name"],
                        "strength": best["strength"],
                        "n": best["n"],
                        **{
                            f"{rate}{bound}": cell[f"accuracy{bound}"].iloc[0]
                            for rate, cell in rates.items()
                            if len(cell)
                            for bound in ("", "_low", "_high")
                        },
                    }
                )
    columns = [*groups, "filter", "best_for", "strength_name", "strength", "n"]
    for rate in ("none", BLIND, AWARE, "clean_none", "clean"):
        columns += [f"{rate}{bound}" for bound in ("", "_low", "_high")]
    table = pd.DataFrame(rows, columns=columns)
    table["clean_cost"] = table["clean_none"] - table["clean"]
    return table


def _pooled(table: pd.DataFrame, more: list[str]) -> pd.DataFrame:
    """Add up the seeds of cells, and make rates with Wilson intervals of the sums."""
    keys = ["dataset", "model", *more, "filter", "strength_name", "strength"]
    counts = table.assign(n_correct=(table["accuracy"] * table["n"]).round())
    sums = counts.groupby(keys, dropna=False, sort=False)[["n", "n_correct"]].sum()
    return _with_rates(sums.reset_index())


def _equal(values: pd.Series, value: float) -> pd.Series:
    """Compare, with no value equal to no value."""
    return values.isna() if pd.isna(value) else values == value


def _with_rates(table: pd.DataFrame, rate: str = "accuracy", of: str = "n") -> pd.DataFrame:
    """Make a rate with its Wilson interval out of a count, of so many."""
    name = COUNTS[rate]
    count = (table[name] if rate in KEPT else table.pop(name)).astype(float)
    # Of no trials there is no rate.
    trials = table[of].astype(float).where(table[of] > 0)
    table[rate] = count / trials
    table[f"{rate}_low"], table[f"{rate}_high"] = wilson(count, trials)
    return table


def _write(path: str | Path, table: pd.DataFrame) -> None:
    with atomic_write(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.12g")
