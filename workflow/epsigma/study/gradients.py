"""How attackers differentiate through filters: what a study may not leave open, or ask for."""

from collections.abc import Iterator

from epsigma.kinds import Part
from epsigma.study.blocks import Detector
from epsigma.study.schema import Study
from epsigma.vocabulary import AWARE, GRADIENT_BASED, IDENTITY


def check_gradients(study: Study) -> Iterator[str]:
    """Refuse an aware attacker where nobody has said how it differentiates through the filter."""
    if not any(AWARE in attack.threats for attack in study.attacks):
        return
    for index, block in enumerate(study.filters):
        parts = [block, *block.then]
        for detector in study.detectors:
            if detector.name in block.detectors:
                parts += list_squeezers(detector)
        unknown = [part.kind for part in parts if part.entry.gradient is None]
        if AWARE in block.threats and unknown:
            yield (
                f"filters[{index}] ({block.name}).threats: the kind {unknown[0]!r} is "
                "declared neither differentiable nor handled, so no aware attack can be made; say "
                "in its registry entry how to differentiate through it, or set threats: [blind]"
            )


def check_identity(study: Study) -> Iterator[str]:
    """Refuse the identity's gradient to who takes none, or knows no filter."""
    for index, attack in enumerate(study.attacks):
        if attack.gradient != IDENTITY:
            continue
        at = f"attacks[{index}] ({attack.name}).gradient"
        if attack.entry.family not in GRADIENT_BASED:
            yield f"{at}: {attack.kind} follows no gradient; leave it out"
        elif attack.threats != [AWARE]:
            yield f"{at}: a blind attacker passes no filter; say threats: [aware]"


def list_squeezers(detector: Detector) -> list[Part]:
    """List the filters within a detector."""
    inner = detector.entry.filters
    return list(detector[inner]) if inner else []
