"""Checks of the proofs: what is proved safe is not fooled."""

from collections.abc import Iterator

from epsigma.checks.evidence import Evidence, curves
from epsigma.checks.verdict import Verdict, at_most


def proofs_hold(evidence: Evidence) -> Iterator[Verdict]:
    """No test image is both proved safe and fooled by an attack that knows the filter."""
    cells = evidence.tables["cells"]
    if "n_contradicted" not in cells:
        return
    for subject, curve in curves(cells[cells["n_contradicted"].notna()]):
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
