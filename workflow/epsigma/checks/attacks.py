"""Checks of the attacks: inside their ball, and as strong as they ought to be."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from epsigma.checks.evidence import SIGNIFICANCE, Evidence, curves
from epsigma.checks.verdict import FAIL, WARN, Verdict, at_most, judged
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
            over = float((curve[BOUNDED[bound]] - curve["budget"] * (1 + RELATIVE)).max())
            sentence = f"The longest perturbation is {max(over, 0):.2g} over its budget ({bound})."
            yield at_most("in_ball", subject, over, ROUNDING, sentence)
        outside = float(curve["outside_max"].max())
        sentence = f"Attacked pixels leave [0, 1] by at most {outside:.2g}."
        yield at_most("in_range", subject, outside, ROUNDING, sentence)


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
        yield at_most("clean_at_zero", subject, most, 1e-4, sentence)


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
        what = "a budget fools {share} more or fewer than the next smaller one"
        yield _not_below("monotone", subject, curve, otherwise, what)


def iterative(evidence: Evidence) -> Iterator[Verdict]:
    """An iterative attack is at least as strong as a single step."""
    for subject, curve in evidence.compared_with(SINGLE_STEP):
        yield _not_below("iterative", subject, curve, FAIL, "against a single step: {share}")


def white_box(evidence: Evidence) -> Iterator[Verdict]:
    """Knowing the model is worth more than knowing another, and that more than noise."""
    for against in (TRANSFER, NOISE):
        for subject, curve in evidence.compared_with(against):
            what = f"against {against}: {{share}}"
            yield _not_below(f"above_{against}", subject, curve, FAIL, what)


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
            verdict = judged(low <= LEFT, WARN if has_detectors else FAIL)
            sentence = (
                f"Without a bound on the perturbation the attack leaves {left:.1%} of {n} right: "
                "more than a few mean that it stops too early, or that its gradient is masked."
            )
            yield Verdict("unbounded", found["cell"], verdict, left, LEFT, sentence)
        if found.get("n_half") is not None and not has_detectors:
            left, (low, _) = found["half_accuracy"], wilson(found["n_half"], n)
            chance = found["chance"]
            sentence = (
                f"At ε = 0.5, where every image can become grey, {left:.1%} are still right; "
                f"chance is {chance:.0%}."
            )
            verdict = judged(low <= chance)
            yield Verdict("half_range", found["cell"], verdict, left, chance, sentence)


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


def auto_pgd(evidence: Evidence) -> Iterator[Verdict]:
    """The strongest iterative attack in a ball leaves no fewer right than Auto-PGD, beyond chance.

    Both on the same images. So the worst case over attacks is not beaten, either.
    """
    rivals: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for found in evidence.attack_probes:
        if found.get("n_fooled") is not None:
            cell = found["cell"]
            target = tuple(value for name, value in cell.items() if name != "attack")
            ball = evidence.attacks[cell["attack"]]["norm"], found["budget"], found["n"]
            rivals.setdefault((target, ball), []).append(found)
    for group in rivals.values():
        strongest = max(group, key=lambda found: int(found["n_fooled"]))
        # Not of an ensemble, which has it among its attacks.
        held = [found["n_fooled_by_auto_pgd"] for found in group if "n_fooled_by_auto_pgd" in found]
        if not held:
            continue
        n, most = strongest["n"], max(held)
        left, bound = (n - most) / n, wilson(n - strongest["n_fooled"], n)[0]
        sentence = (
            f"At {strongest['budget']} the strongest iterative attack leaves "
            f"{1 - strongest['n_fooled'] / n:.1%} of {n} right (95 %: from {bound:.1%}), and "
            f"Auto-PGD {left:.1%}."
        )
        yield Verdict("auto_pgd", strongest["cell"], judged(left >= bound), left, bound, sentence)


def converged(evidence: Evidence) -> Iterator[Verdict]:
    """Trying twice as long changes little; what follows gradients in a ball, not beyond chance."""
    for found in evidence.attack_probes:
        cell = found["cell"]
        if found.get("errors") is not None:
            once, twice = found["errors"]
            about, n = evidence.attacks[cell["attack"]], found["n"]
            ascends = about["family"] == ITERATIVE and about["norm"] is not None
            # A point of 100 examples is a point, whatever 0.97 - 0.96 is in binary.
            is_little = round(abs(twice - once), 9) <= CONVERGED
            is_beyond = 1 - twice < wilson(round((1 - once) * n), n)[0]
            verdict = judged(is_little, FAIL if ascends and is_beyond else WARN)
            sentence = (
                f"At {found['budget']}, with {found['spends']} {found['tried'][0]} the success "
                f"rate is {once:.1%}, with {found['tried'][1]} it is {twice:.1%}."
            )
            yield Verdict("converged", cell, verdict, twice - once, CONVERGED, sentence)
        shortens = evidence.attacks[cell["attack"]].get("minimises") == "l2"
        if shortens and all(found["sizes"]):
            once, twice = found["sizes"]
            sentence = (
                f"At {found['budget']}, with {found['spends']} {found['tried'][0]} the mean l2 "
                f"norm is {once:.4g}, with {found['tried'][1]} it is {twice:.4g}."
            )
            yield at_most("converged_size", cell, 1 - twice / once, SHORTER, sentence, WARN)


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
        sentence = (
            f"Of the rise of the loss at {found['budget']}, {share:.1%} is in the last tenth of "
            "the steps."
        )
        yield at_most("levelled", found["cell"], share, LEVEL, sentence, WARN)


def gradient_free(evidence: Evidence) -> Iterator[Verdict]:
    """An attack without gradients finds nothing that those with gradients missed.

    Where these know what they meet, not beyond chance. One may be lucky through a random filter.
    """
    rows = evidence.tables["worst_case"].dropna(subset=["gradient_free_only"])
    for subject, group in curves(rows):
        counts = group["gradient_free_only"].astype(float)
        shares = counts / group["n"]
        worst, least = float(shares.max()), float(wilson(counts, group["n"])[0].max())
        is_random = evidence.filters.get(subject["filter"], {}).get("random")
        is_sure = is_white_box(subject["threat"], subject["filter"]) and not is_random
        otherwise = FAIL if is_sure and least > MISSED else WARN
        budget = float(group["budget"].iloc[int(shares.to_numpy().argmax())])
        sentence = (
            f"{worst:.2%} of the examples (at a budget of {budget:g}) fall to a gradient-free "
            "attack and to none that follows gradients: those are not as strong as they could be."
        )
        yield at_most("gradient_free", subject, worst, MISSED, sentence, otherwise)


def _not_below(
    check: str, subject: dict[str, Any], curve: pd.DataFrame, otherwise: str, what: str
) -> Verdict:
    """Judge that no difference of a curve is below zero beyond chance (McNemar, Bonferroni)."""
    level = SIGNIFICANCE / len(curve)
    below = (curve["difference"] < 0) & (curve["p_value"] < level)
    worst = curve.iloc[int(curve["difference"].to_numpy().argmin())]
    figure, at = float(worst["difference"]), f"{worst['budget_name']} = {worst['budget']:g}"
    sentence = (
        f"Error rate, paired, {what.format(share=f'{figure * 100:+.2f} points (at {at})')}; "
        f"{int(below.sum())} of {len(curve)} comparisons are below 0 beyond chance."
    )
    return Verdict(check, subject, judged(not below.any(), otherwise), figure, 0, sentence)
