"""Checks of the attacks: inside their ball, and as strong as they ought to be."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from epsigma.checks.evidence import SIGNIFICANCE, Evidence, curves
from epsigma.checks.verdict import FAIL, WARN, Verdict, judged
from epsigma.tables.intervals import wilson
from epsigma.vocabulary import (
    BLIND,
    FOOLING,
    GRADIENT_FREE,
    ITERATIVE,
    NOISE,
    SINGLE_STEP,
    TRANSFER,
    is_white_box,
    queries_model,
)

# Rounding of float32, in the units of the pixel range; relative for the l2 norm.
ROUNDING = 1e-6
# The column of `cells.csv` that a norm's budget bounds.
BOUNDED = {"linf": "linf_max", "l2": "l2_max", "l0": "changed_max"}
RELATIVE = 1e-5
# What trying twice as long may change of the success rate, and of the mean l2 norm, as a share.
CONVERGED = 0.01
SHORTER = 0.02
# How much of its rise a loss may still make in the last tenth of the steps.
LEVEL = 0.05
# Examples that only a gradient-free attack fools, as a share of all.
MISSED = 0.005
# Accuracy that an attack without bounds may leave.
LEFT = 0.01


def in_ball(evidence: Evidence) -> Iterator[Verdict]:
    """No perturbation is longer than the budget allows, no pixel outside [0, 1]."""
    for subject, curve in curves(evidence.tables["cells"]):
        bound = evidence.attacks[subject["attack"]]["norm"]
        if bound is not None:
            over = (curve[BOUNDED[bound]] - curve["budget"] * (1 + RELATIVE)).max()
            yield Verdict(
                "in_ball",
                subject,
                judged(over <= ROUNDING),
                float(over),
                ROUNDING,
                f"The longest perturbation is {max(over, 0):.2g} over its budget ({bound}).",
            )
        outside = float(curve["outside_max"].max())
        yield Verdict(
            "in_range",
            subject,
            judged(outside <= ROUNDING),
            outside,
            ROUNDING,
            f"Attacked pixels leave [0, 1] by at most {outside:.2g}.",
        )


def clean_at_zero(evidence: Evidence) -> Iterator[Verdict]:
    """With a budget of 0 nothing is attacked: each example scores as the clean one does."""
    for subject, curve in evidence.compared_with("clean"):
        if evidence.filters.get(subject["filter"], {}).get("random"):
            continue
        most = float(curve["largest_change"].max())
        yield Verdict(
            "clean_at_zero",
            subject,
            judged(most <= 1e-4),
            most,
            1e-4,
            f"At a budget of 0 logit margins differ from those of the clean images, through the "
            f"same filter, by at most {most:.2g}.",
        )


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
        yield _not_below(
            "monotone",
            subject,
            curve,
            FAIL if is_stronger else WARN,
            "a budget fools {share} more or fewer than the next smaller one",
        )


def iterative(evidence: Evidence) -> Iterator[Verdict]:
    """An iterative attack is at least as strong as a single step."""
    for subject, curve in evidence.compared_with(SINGLE_STEP):
        yield _not_below("iterative", subject, curve, FAIL, "against a single step: {share}")


def white_box(evidence: Evidence) -> Iterator[Verdict]:
    """Knowing the model is worth more than knowing another, and that more than noise."""
    for against in (TRANSFER, NOISE):
        for subject, curve in evidence.compared_with(against):
            yield _not_below(
                f"above_{against}", subject, curve, FAIL, f"against {against}: {{share}}"
            )


def aware(evidence: Evidence) -> Iterator[Verdict]:
    """An attacker who knows the filter does no worse than one who doesn't.

    Some may: a gradient-free attack, which stops at the first success, that a random filter can
    undo; and a single step, along a gradient that holds nearby only, since it is a surrogate's
    (BPDA), or that of an autoencoder that was learnt, or against detectors, too, between which and
    the class it has to choose.
    """
    for subject, curve in evidence.compared_with(BLIND):
        family = evidence.attacks[subject["attack"]]["family"]
        about = evidence.filters.get(subject["filter"], {})
        undone = family == GRADIENT_FREE and about.get("random")
        approximate = family == SINGLE_STEP and (
            about.get("gradient") == "bpda" or about.get("learnt") or about.get("detectors")
        )
        otherwise = WARN if undone or approximate else FAIL
        yield _not_below("aware", subject, curve, otherwise, "aware against blind: {share}")


def unbounded(evidence: Evidence) -> Iterator[Verdict]:
    """An iterative attack fools everything without a bound, and at ε = 0.5 (ℓ∞) all but chance.

    Through detectors, which reject what looks like no image, it is a hard search, and what is left
    only says that the attack could be stronger; and grey images may be rejected.
    """
    for found in evidence.attack_probes:
        has_detectors = evidence.filters.get(found["cell"]["filter"], {}).get("detectors")
        n = found["n"]
        if found.get("n_unbounded") is not None:
            left, (low, _) = found["unbounded_accuracy"], wilson(found["n_unbounded"], n)
            yield Verdict(
                "unbounded",
                found["cell"],
                judged(low <= LEFT, WARN if has_detectors else FAIL),
                left,
                LEFT,
                f"Without a bound on the perturbation the attack leaves {left:.1%} of {n} right: "
                "more than a few mean that it stops too early, or that its gradient is masked.",
            )
        if found.get("n_half") is not None and not has_detectors:
            left, (low, _) = found["half_accuracy"], wilson(found["n_half"], n)
            yield Verdict(
                "half_range",
                found["cell"],
                judged(low <= found["chance"]),
                left,
                found["chance"],
                f"At ε = 0.5, where every image can become grey, {left:.1%} are still right; "
                f"chance is {found['chance']:.0%}.",
            )


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
        yield Verdict(
            "accepted",
            subject,
            judged(least >= 1, WARN),
            least,
            1,
            f"Of the fooling images {least:.1%} are accepted by what they were made on, with the "
            "confidence asked for.",
        )


def converged(evidence: Evidence) -> Iterator[Verdict]:
    """Trying twice as long changes little."""
    for found in evidence.attack_probes:
        if found.get("errors") is not None:
            once, twice = found["errors"]
            yield Verdict(
                "converged",
                found["cell"],
                # A point of 100 examples is a point, whatever 0.97 - 0.96 is in binary.
                judged(round(abs(twice - once), 9) <= CONVERGED, WARN),
                twice - once,
                CONVERGED,
                f"At {found['budget']}, with {found['effort']} {found['tried'][0]} the success "
                f"rate is {once:.1%}, with {found['tried'][1]} it is {twice:.1%}.",
            )
        shortens = evidence.attacks[found["cell"]["attack"]].get("minimises") == "l2"
        if shortens and all(found["sizes"]):
            once, twice = found["sizes"]
            yield Verdict(
                "converged_size",
                found["cell"],
                judged(1 - twice / once <= SHORTER, WARN),
                1 - twice / once,
                SHORTER,
                f"At {found['budget']}, with {found['effort']} {found['tried'][0]} the mean l2 "
                f"norm is {once:.4g}, with {found['tried'][1]} it is {twice:.4g}.",
            )


def levelled(evidence: Evidence) -> Iterator[Verdict]:
    """The loss that an iterative attack ascends has stopped rising when it ends.

    Not that of a search for the smallest perturbation, which starts over again and again.
    """
    for found in evidence.attack_probes:
        about = evidence.attacks[found["cell"]["attack"]]
        losses = found.get("losses")
        if not losses or about["norm"] is None or about["family"] != ITERATIVE:
            continue
        rise = max(losses) - losses[0]
        late = losses[-1] - losses[-1 - max(1, len(losses) // 10)] if len(losses) > 1 else rise
        share = late / rise if rise > 0 else 0.0
        yield Verdict(
            "levelled",
            found["cell"],
            judged(share <= LEVEL, WARN),
            share,
            LEVEL,
            f"Of the rise of the loss at {found['budget']}, {share:.1%} is in the last tenth of "
            "the steps.",
        )


def gradient_free(evidence: Evidence) -> Iterator[Verdict]:
    """An attack without gradients finds nothing that those with gradients missed."""
    rows = evidence.tables["worst_case"].dropna(subset=["gradient_free_only"])
    for subject, group in curves(rows):
        shares = group["gradient_free_only"].astype(float) / group["n"]
        worst = float(shares.max())
        budget = float(group["budget"].iloc[int(shares.to_numpy().argmax())])
        yield Verdict(
            "gradient_free",
            subject,
            judged(worst <= MISSED, WARN),
            worst,
            MISSED,
            f"{worst:.2%} of the examples (at a budget of {budget:g}) fall to a gradient-free "
            "attack and to none that follows gradients: those are not as strong as they could be.",
        )


def _not_below(
    check: str, subject: dict[str, Any], curve: pd.DataFrame, otherwise: str, what: str
) -> Verdict:
    """Judge that no difference of a curve is below zero beyond chance (McNemar, Bonferroni)."""
    level = SIGNIFICANCE / len(curve)
    below = (curve["difference"] < 0) & (curve["p_value"] < level)
    worst = curve.iloc[int(curve["difference"].to_numpy().argmin())]
    share = (
        f"{worst['difference'] * 100:+.2f} points (at {worst['budget_name']} = {worst['budget']:g})"
    )
    return Verdict(
        check,
        subject,
        judged(not below.any(), otherwise),
        float(worst["difference"]),
        0,
        f"Error rate, paired, {what.format(share=share)}; "
        f"{int(below.sum())} of {len(curve)} comparisons are below 0 beyond chance.",
    )
