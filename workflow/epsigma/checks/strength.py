"""Checks of how strong attacks are: tried for longer, without bounds, and beside others.

They count on few images. Fewer than `FEW` that say so are a warning, not a failure.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from epsigma.checks.evidence import FEW, Evidence
from epsigma.checks.verdict import FAIL, WARN, Verdict, at_most, judged
from epsigma.tables.intervals import wilson
from epsigma.vocabulary import ITERATIVE

# What trying twice as long may change of the success rate, and of the mean l2 norm, as a share.
CONVERGED = 0.01
SHORTER = 0.02
# How much of its rise a loss may still make in the last tenth of the steps.
LEVEL = 0.05
# Accuracy that an attack without bounds may leave.
LEFT = 0.01


def unbounded(evidence: Evidence) -> Iterator[Verdict]:
    """An iterative attack fools everything without a bound.

    Through detectors, which reject what looks like no image, it is a hard search, and what is left
    only says that the attack could be stronger. So it is towards a class that the model may hardly
    ever name.
    """
    for found in evidence.attack_probes:
        if found.get("n_unbounded") is None:
            continue
        cell, n = found["cell"], found["n"]
        left, (low, _) = found["unbounded_accuracy"], wilson(found["n_unbounded"], n)
        is_hard = (
            evidence.filters.get(cell["filter"], {}).get("detectors")
            or evidence.attacks[cell["attack"]].get("targeted")
            or found["n_unbounded"] < FEW
        )
        sentence = (
            f"Without a bound on the perturbation the attack leaves {left:.1%} of {n} right: "
            "more than a few mean that it stops too early, or that its gradient is masked."
        )
        verdict = judged(low <= LEFT, WARN if is_hard else FAIL)
        yield Verdict("unbounded", cell, verdict, left, LEFT, sentence)


def half_range(evidence: Evidence) -> Iterator[Verdict]:
    """At ε = 0.5 (ℓ∞) an iterative attack leaves no more right than one answer to all images is.

    Every image can become the same grey one there, so no more than the most frequent class is left.
    Detectors may reject grey images, and grey is of no target.
    """
    for found in evidence.attack_probes:
        cell = found["cell"]
        has_detectors = evidence.filters.get(cell["filter"], {}).get("detectors")
        is_targeted = evidence.attacks[cell["attack"]].get("targeted")
        if found.get("n_half") is None or has_detectors or is_targeted:
            continue
        left, (low, _) = found["half_accuracy"], wilson(found["n_half"], found["n"])
        majority = found["majority"]
        beyond = found["n_half"] - majority * found["n"]
        sentence = (
            f"At ε = 0.5, where every image can become the same grey one, {left:.1%} are still "
            f"right; the most frequent class is {majority:.1%}."
        )
        verdict = judged(low <= majority, WARN if beyond < FEW else FAIL)
        yield Verdict("half_range", cell, verdict, left, majority, sentence)


def auto_pgd(evidence: Evidence) -> Iterator[Verdict]:
    """The strongest iterative attack in a ball leaves no fewer right than Auto-PGD, beyond chance.

    Both on the same images. So the worst case over attacks is not beaten, either.
    """
    for group in _by_target(evidence, "n_fooled"):
        strongest = max(group, key=lambda found: int(found["n_fooled"]))
        # Not of an ensemble, which has it among its attacks.
        held = [found["n_fooled_by_auto_pgd"] for found in group if "n_fooled_by_auto_pgd" in found]
        if not held:
            continue
        n = strongest["n"]
        left, bound, verdict = _hold_to(n, strongest["n_fooled"], max(held))
        sentence = (
            f"At {strongest['budget']} the strongest iterative attack leaves "
            f"{1 - strongest['n_fooled'] / n:.1%} of {n} right (95 %: from {bound:.1%}), and "
            f"Auto-PGD {left:.1%}."
        )
        yield Verdict("auto_pgd", strongest["cell"], verdict, left, bound, sentence)


def surrogate(evidence: Evidence) -> Iterator[Verdict]:
    """The strongest attacker who knows the filter does no worse than by the identity's gradient.

    Not beyond chance: a surrogate, or an exact gradient that is masked, is no better than none. The
    attacks in a ball are held to it together, so that one by that gradient answers it.
    """
    for group in _by_target(evidence, "n_fooled_by_identity"):
        strongest = max(group, key=lambda found: int(found["n_fooled"]))
        n, fooled = strongest["n"], strongest["n_fooled"]
        by_identity = max(found["n_fooled_by_identity"] for found in group)
        left, bound, verdict = _hold_to(n, fooled, by_identity)
        sentence = (
            f"At {strongest['budget']} the strongest attack leaves {1 - fooled / n:.1%} of {n} "
            f"right (95 %: from {bound:.1%}), and {left:.1%} are left by the gradient of the "
            "identity in place of the filter's."
        )
        yield Verdict("surrogate", strongest["cell"], verdict, left, bound, sentence)


def draws(evidence: Evidence) -> Iterator[Verdict]:
    """Averaging over twice as many draws of a filter fools no more, beyond chance."""
    for found in evidence.attack_probes:
        if found.get("n_fooled_by_draws") is None:
            continue
        n, once, twice = found["n"], found["n_fooled"], found["n_fooled_by_draws"]
        left, bound, verdict = _hold_to(n, once, twice)
        sentence = (
            f"At {found['budget']} the attack leaves {1 - once / n:.1%} of {n} right (95 %: from "
            f"{bound:.1%}) with {found['draws'][0]} draws of the filter a step, and {left:.1%} "
            f"with {found['draws'][1]}."
        )
        yield Verdict("draws", found["cell"], verdict, left, bound, sentence)


def _hold_to(n: int, fooled: int, by_other: int) -> tuple[float, float, str]:
    """Hold an attack to another one on the same n images, of which both fool so many.

    Returns:
        The share that the other leaves, the least that chance explains, and the verdict.
    """
    left, bound = (n - by_other) / n, wilson(n - fooled, n)[0]
    return left, bound, judged(left >= bound, WARN if by_other - fooled < FEW else FAIL)


def _by_target(evidence: Evidence, counted: str) -> Iterable[list[dict[str, Any]]]:
    """Group what probes counted by target and ball: what attacks on the same images found."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for found in evidence.attack_probes:
        if found.get(counted) is not None:
            cell = found["cell"]
            target = tuple(value for name, value in cell.items() if name != "attack")
            ball = evidence.attacks[cell["attack"]]["norm"], found["budget"], found["n"]
            groups.setdefault((target, ball), []).append(found)
    return groups.values()


def converged(evidence: Evidence) -> Iterator[Verdict]:
    """Trying twice as long changes little; what follows gradients in a ball, not beyond chance."""
    for found in evidence.attack_probes:
        if found.get("errors") is None:
            continue
        cell, (once, twice) = found["cell"], found["errors"]
        about, n = evidence.attacks[cell["attack"]], found["n"]
        ascends = about["family"] == ITERATIVE and about["norm"] is not None
        # A point of 100 examples is a point, whatever 0.97 - 0.96 is in binary.
        is_little = round(abs(twice - once), 9) <= CONVERGED
        is_beyond = 1 - twice < wilson(round((1 - once) * n), n)[0] and (twice - once) * n >= FEW
        verdict = judged(is_little, FAIL if ascends and is_beyond else WARN)
        sentence = (
            f"At {found['budget']}, {once:.1%} of {n} images are misclassified (those that are "
            f"wrong when clean among them) with {found['spends']} {found['tried'][0]}, and "
            f"{twice:.1%} with {found['tried'][1]}."
        )
        yield Verdict("converged", cell, verdict, twice - once, CONVERGED, sentence)


def converged_size(evidence: Evidence) -> Iterator[Verdict]:
    """Trying twice as long shortens the perturbations of a minimum-norm attack by little."""
    for found in evidence.attack_probes:
        shortens = evidence.attacks[found["cell"]["attack"]].get("minimises") == "l2"
        if not shortens or not all(found.get("sizes") or [None]):
            continue
        once, twice = found["sizes"]
        sentence = (
            f"At {found['budget']}, with {found['spends']} {found['tried'][0]} the mean l2 "
            f"norm is {once:.4g}, with {found['tried'][1]} it is {twice:.4g}."
        )
        size = 1 - twice / once
        yield at_most("converged_size", found["cell"], size, SHORTER, sentence, WARN)


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
