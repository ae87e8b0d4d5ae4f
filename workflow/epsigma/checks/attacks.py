"""Checks of the attacks: inside their ball, and as strong as they ought to be."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from epsigma.checks.evidence import FEW, SIGNIFICANCE, Evidence, curves
from epsigma.checks.verdict import FAIL, PASS, WARN, Verdict, at_most, judged
from epsigma.tables.cells import PARTS
from epsigma.tables.intervals import wilson
from epsigma.vocabulary import (
    ABSOLUTE,
    BLIND,
    FLOAT32,
    FOOLING,
    GRADIENT_FREE,
    IDENTITY,
    ITERATIVE,
    NOISE,
    RELATIVE,
    SINGLE_STEP,
    TRANSFER,
    is_white_box,
    queries_model,
)

# Rounding of float32, in the units of the pixel range; relative for the l2 norm.
ROUNDING = ABSOLUTE
# The column of `cells.csv` that a norm's budget bounds.
BOUNDED = {"linf": "linf_max", "l2": "l2_max", "l0": "changed_max"}
# Examples that only a gradient-free attack fools, as a share of all.
MISSED = 0.005
# Successes that rounding a set to its type may undo, as a share.
LOST = 0.05
# What rounding changes of logits, as a share of the largest logit margin.
ALIKE = 1e-5


def in_ball(evidence: Evidence) -> Iterator[Verdict]:
    """No perturbation is longer than the budget allows."""
    for subject, curve in curves(evidence.tables["cells"]):
        bound = evidence.attacks[subject["attack"]]["norm"]
        if bound is not None:
            over = float((curve[BOUNDED[bound]] - curve["budget"] * (1 + RELATIVE)).max())
            sentence = f"The longest perturbation is {max(over, 0):.2g} over its budget ({bound})."
            yield at_most("in_ball", subject, over, ABSOLUTE, sentence)


def in_range(evidence: Evidence) -> Iterator[Verdict]:
    """No pixel is outside [0, 1]."""
    for subject, curve in curves(evidence.tables["cells"]):
        outside = float(curve["outside_max"].max())
        sentence = f"Attacked pixels leave [0, 1] by at most {outside:.2g}."
        yield at_most("in_range", subject, outside, ROUNDING, sentence)


def stored(evidence: Evidence) -> Iterator[Verdict]:
    """Sets have the type that the study says, and rounding to it undoes few successes.

    It does where the budget is not some steps of the type. Rounded towards the clean image or to
    the nearest, what an attack left just beyond the boundary is lost.
    """
    cells = evidence.tables["cells"]
    if evidence.stored_as == FLOAT32 and "stored_as" not in cells:
        return
    types = cells.get("stored_as", pd.Series(index=cells.index, dtype=object)).fillna(FLOAT32)
    for subject, curve in curves(cells):
        others = sorted({str(one) for one in types[curve.index]} - {evidence.stored_as})
        if others:
            sentence = f"Sets are {', '.join(others)}; the study says {evidence.stored_as}."
            yield Verdict("stored", subject, FAIL, len(others), 0, sentence)
        elif "n_lost" in curve and curve["n_fooled_unrounded"].sum():
            counts = curve[["n_lost", "n_fooled_unrounded"]].sum()
            share = float(counts["n_lost"] / counts["n_fooled_unrounded"])
            sentence = (
                f"Rounding to {evidence.stored_as} undid {share:.1%} of the successes, over all "
                "budgets, against what was attacked."
            )
            yield at_most("stored", subject, share, LOST, sentence, WARN)
        else:
            is_made = evidence.attacks[subject["attack"]]["family"] == FOOLING
            what = (
                "what rounding undoes is not counted" if is_made else "there was no success to undo"
            )
            sentence = f"All sets are {evidence.stored_as}; {what}."
            yield Verdict("stored", subject, PASS, 0, 0, sentence)


def clean_at_zero(evidence: Evidence) -> Iterator[Verdict]:
    """With a budget of 0 nothing is attacked: each example scores as the clean one does."""
    for subject, curve in evidence.compared_with("clean"):
        if evidence.filters.get(subject["filter"], {}).get("random"):
            continue
        most = float(curve["largest_change"].max())
        sentence = (
            "At a budget of 0 logit margins differ from those of the clean images, through the "
            f"same filter, by at most {most:.2g}."
        )
        allowed = max(1e-4, ALIKE * float(curve["largest_margin"].max()))
        yield at_most("clean_at_zero", subject, most, allowed, sentence)


def monotone(evidence: Evidence) -> Iterator[Verdict]:
    """A larger budget does not make an attack weaker.

    That of a single step may be, and any that meets a filter it does not know.
    """
    for subject, curve in evidence.compared_with("smaller_budget"):
        about = evidence.attacks[subject["attack"]]
        is_stronger = (
            about["family"] == ITERATIVE
            and about["norm"] is not None
            and is_white_box(subject["threat"], subject["filter"])
        )
        otherwise = FAIL if is_stronger else WARN
        what = "A budget against the next smaller one"
        yield _not_below(evidence, "monotone", subject, curve, otherwise, what)


def iterative(evidence: Evidence) -> Iterator[Verdict]:
    """An iterative attack is at least as strong as a single step."""
    for subject, curve in evidence.compared_with(SINGLE_STEP):
        yield _not_below(evidence, "iterative", subject, curve, FAIL, "Against a single step")


def above_transfer(evidence: Evidence) -> Iterator[Verdict]:
    """Knowing the model is worth more than knowing another."""
    for subject, curve in evidence.compared_with(TRANSFER):
        yield _not_below(evidence, "above_transfer", subject, curve, FAIL, "Against transfer")


def above_noise(evidence: Evidence) -> Iterator[Verdict]:
    """Knowing the model is worth more than noise; so is knowing another, unless it knows nothing.

    A transfer is as good as the model that it was made on, which may be a poor one.
    """
    for subject, curve in evidence.compared_with(NOISE):
        is_transfer = evidence.attacks[subject["attack"]]["family"] == TRANSFER
        otherwise = WARN if is_transfer else FAIL
        yield _not_below(evidence, "above_noise", subject, curve, otherwise, "Against noise")


def aware(evidence: Evidence) -> Iterator[Verdict]:
    """An attacker who knows the filter does no worse than one who doesn't.

    Some may: a gradient-free attack, whose first success a random filter can undo; one of these
    that walks along a boundary (it minimises), where a filter rounds (BPDA) and the boundary has
    steps; and a single step along a gradient that holds nearby only: a surrogate's (BPDA), that of
    a learnt autoencoder, or one that detectors have a part in.
    """
    for subject, curve in evidence.compared_with(BLIND):
        attack = evidence.attacks[subject["attack"]]
        family, about = attack["family"], evidence.filters.get(subject["filter"], {})
        steps = about.get("gradient") == "bpda"
        walks = steps and attack.get("minimises")
        blinded = family == GRADIENT_FREE and (about.get("random") or walks)
        approximate = family == SINGLE_STEP and (
            steps or about.get("learnt") or about.get("detectors")
        )
        otherwise = WARN if blinded or approximate else FAIL
        yield _not_below(evidence, "aware", subject, curve, otherwise, "Aware against blind")


def accepted(evidence: Evidence) -> Iterator[Verdict]:
    """Images that are made to be accepted are: by what they were made on, with the confidence.

    Noise that nobody works on, the control, is left out.
    """
    for subject, curve in curves(evidence.tables["cells"]):
        about = evidence.attacks[subject["attack"]]
        is_made = about["family"] == FOOLING and queries_model(FOOLING, about["spends"])
        if not is_made or not is_white_box(subject["threat"], subject["filter"]):
            continue
        least = float(curve["attack_success"].min())
        sentence = (
            f"Of the fooling images {least:.1%} are accepted by what they were made on, with the "
            "confidence asked for."
        )
        yield Verdict("accepted", subject, judged(least >= 1, WARN), least, 1, sentence)


def gradient_free(evidence: Evidence) -> Iterator[Verdict]:
    """An attack without gradients finds nothing that those with gradients missed.

    Nor does one among the parts of an ensemble. Where gradients know what they meet, not beyond
    chance. One may be lucky through a random filter.
    """
    rows = evidence.tables["worst_case"].dropna(subset=["gradient_free_only"])
    for subject, group in curves(rows):
        counts = group["gradient_free_only"].astype(float)
        yield _judge_missed(evidence, subject, group, counts, "a gradient-free attack", "none")
    cells = evidence.tables["cells"]
    for subject, group in curves(cells):
        parts = evidence.attacks[subject["attack"]].get("gradient_free_parts", ())
        columns = [name for part in parts if (name := f"{PARTS}{part}") in cells]
        # Blind, an ensemble attacks the bare model.
        has_run = group[columns].notna().any(axis=None)
        if has_run and is_white_box(subject["threat"], subject["filter"]):
            counts = group[columns].sum(axis=1).astype(float)
            what = f"{' and '.join(parts)} of {subject['attack']}"
            yield _judge_missed(evidence, subject, group, counts, what, "no part")


def _judge_missed(
    evidence: Evidence,
    subject: dict[str, Any],
    curve: pd.DataFrame,
    counts: "pd.Series[float]",
    what: str,
    others: str,
) -> Verdict:
    """Judge how many examples of a curve attacks that follow gradients have missed."""
    shares = counts / curve["n"]
    worst, least = float(shares.max()), float(wilson(counts, curve["n"])[0].max())
    is_random = evidence.filters.get(subject["filter"], {}).get("random")
    is_sure = is_white_box(subject["threat"], subject["filter"]) and not is_random
    is_beyond = least > MISSED and float(counts.max()) >= FEW
    budget = float(curve["budget"].iloc[int(shares.to_numpy().argmax())])
    sentence = (
        f"{worst:.2%} of the examples (at a budget of {budget:g}) fall to {what} and to {others} "
        "that follows gradients: those are not as strong as they could be."
    )
    otherwise = FAIL if is_sure and is_beyond else WARN
    return at_most("gradient_free", subject, worst, MISSED, sentence, otherwise)


def _not_below(
    evidence: Evidence,
    check: str,
    subject: dict[str, Any],
    curve: pd.DataFrame,
    otherwise: str,
    what: str,
) -> Verdict:
    """Judge that no difference of a curve is below zero beyond chance (McNemar, Bonferroni).

    What the rounding of its sets may have undone is no failure, but a warning; so is that an attack
    by the gradient of the identity is the weaker one, which stands beside that by the filter's own.
    """
    level = SIGNIFICANCE / len(curve)
    below = (curve["difference"] < 0) & (curve["p_value"] < level)
    unexplained = below
    if below.any():
        unexplained = below & (curve["difference"] + _undone(evidence, subject, curve) < 0)
    # At a budget of 0 nothing is attacked, and nothing differs: that tells nothing.
    told = curve[(curve["budget"] != 0) | (curve["difference"] != 0)]
    told = told if len(told) else curve
    worst = told.iloc[int(told["difference"].to_numpy().argmin())]
    figure, at = float(worst["difference"]), f"{worst['budget_name']} = {worst['budget']:g}"
    sentence = (
        f"{what}, on the same images: the smallest difference of error rates is "
        f"{figure * 100:+.2f} points (at {at}); {int(below.sum())} of {len(curve)} comparisons "
        "are below 0 beyond chance."
    )
    if evidence.attacks.get(subject["attack"], {}).get("gradient") == IDENTITY:
        otherwise = WARN
    if below.any() and not unexplained.any():
        otherwise = WARN
        sentence += f" Rounding to {evidence.stored_as} undid as many successes, or more."
    return Verdict(check, subject, judged(not below.any(), otherwise), figure, 0, sentence)


def _undone(evidence: Evidence, subject: dict[str, Any], curve: pd.DataFrame) -> pd.Series:
    """Say which share of the examples of each row of a curve rounding its set undid: at most."""
    cells = evidence.tables.get("cells")
    if cells is None or "n_lost" not in cells:
        return pd.Series(0.0, index=curve.index)
    for found, group in curves(cells):
        if {name: found[name] for name in subject if name in found} == subject:
            shares = (group["n_lost"] / group["n"]).fillna(0)
            return curve["budget"].map(dict(zip(group["budget"], shares, strict=True))).fillna(0)
    return pd.Series(0.0, index=curve.index)
