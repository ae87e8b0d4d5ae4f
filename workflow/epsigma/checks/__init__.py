"""The registry of checks: each takes the `Evidence` and yields a `Verdict` of all it looked at."""

from collections.abc import Callable, Iterator

from epsigma.checks import attacks, detectors, filters, models, proofs
from epsigma.checks.evidence import Evidence
from epsigma.checks.verdict import Verdict

CHECKS: tuple[Callable[[Evidence], Iterator[Verdict]], ...] = (
    models.logits,
    models.eval_mode,
    models.above_chance,
    models.gradients,
    filters.formula,
    filters.response,
    filters.changes,
    filters.applied,
    filters.attacked,
    detectors.scored_apart,
    detectors.false_positives,
    attacks.in_ball,
    attacks.clean_at_zero,
    attacks.monotone,
    attacks.iterative,
    attacks.white_box,
    attacks.aware,
    attacks.unbounded,
    attacks.accepted,
    attacks.auto_pgd,
    attacks.converged,
    attacks.levelled,
    attacks.gradient_free,
    proofs.proofs_hold,
    proofs.counterexamples,
    proofs.smoothing_holds,
)


def run_checks(evidence: Evidence) -> list[Verdict]:
    """Run all checks."""
    return [verdict for check in CHECKS for verdict in check(evidence)]
