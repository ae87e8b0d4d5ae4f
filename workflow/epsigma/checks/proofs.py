"""Checks of the proofs: what is proved safe is not fooled, or no more often than it may be."""

from collections.abc import Iterator

from epsigma.checks.evidence import SIGNIFICANCE, Evidence, curves
from epsigma.checks.verdict import Verdict, at_most, judged


def proofs_hold(evidence: Evidence) -> Iterator[Verdict]:
    """No test image is proved safe that an attack fools within the ball, whatever it knows."""
    for subject, curve in curves(evidence.tables["proofs"]):
        most = int(curve["n_contradicted"].max())
        sentence = f"At some budget {most} test images are both proved safe and fooled."
        if not most:
            sentence = "No test image is both proved safe and fooled."
        yield at_most("proofs_hold", subject, most, 0, sentence)


def counterexamples(evidence: Evidence) -> Iterator[Verdict]:
    """Every counterexample of a proof is in its ball, and fools the defended model."""
    cells = evidence.tables["cells"]
    if "n_refuted" not in cells:
        return
    for subject, curve in curves(cells[cells["n_refuted"].notna()]):
        most = int(curve["n_refuted"].max())
        sentence = (
            f"At some budget {most} counterexamples of proofs are outside their ball, or are "
            "classified as the image that they are of."
        )
        if not most:
            sentence = "Every counterexample of a proof is in its ball, and is misclassified."
        yield at_most("counterexamples", subject, most, 0, sentence)


def smoothing_holds(evidence: Evidence) -> Iterator[Verdict]:
    """Behind noise no attack fools more draws than certified radii allow, beyond chance.

    One draw that is fooled within a radius contradicts nothing: the radius is of the vote. But it
    bounds how probable such a draw is, and so how many of them there are.
    """
    smoothed = evidence.tables["smoothed"]
    for subject, curve in curves(smoothed[smoothed["p_value"].notna()]):
        worst = min(curve.to_dict("records"), key=lambda row: float(row["p_value"]))
        # Bonferroni's correction over the budgets.
        chance = min(1.0, float(worst["p_value"]) * len(curve))
        sentence = (
            f"At {worst['radius']:g} one draw fools {worst['n_fooled']:.0f} of "
            f"{worst['n_held']:.0f} images with a right vote; at most "
            f"{worst['fooled_at_most']:.1f} are expected."
        )
        holds = judged(chance >= SIGNIFICANCE)
        yield Verdict("smoothing_holds", subject, holds, chance, SIGNIFICANCE, sentence)
