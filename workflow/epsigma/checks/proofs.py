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
