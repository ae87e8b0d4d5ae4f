"""Rounding what an attack makes to the type that its set is stored as."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from epsigma.storage.images import measure, to_float
from epsigma.storage.rounding import encode, has_values, round_towards
from epsigma.vocabulary import FLOAT32, widen

# What is measured of a perturbation by the norm that bounds it.
MEASURED = {"linf": "linf", "l2": "l2", "l0": "changed"}


def round_made(
    settings: dict[str, Any], images: Tensor, clean: Tensor, changed: Mapping[str, Any] = {}
) -> Tensor:
    """Round an attack's images to the type that they are stored as.

    Of an attack in a ball each value is rounded towards the clean image's, so that it stays there;
    of others to the nearest.

    Args:
        settings: of the attack: `stored_as`, of one in a ball `norm` and `bounded_by`, and of one
            that changes as few values as it can `minimises`, `l0`.
        images: (M, C, H, W), in [0, 1].
        clean: what they were made from, of the same shape.
        changed: hyper-parameters that are not those of the settings.

    Raises:
        ValueError: if values are not finite; or, only where clean images have values that the type
            lacks, if a ball has no image of that type, or few values were to be changed.
    """
    stored_as = settings.get("stored_as", FLOAT32)
    if stored_as == FLOAT32:
        return images
    if not images.isfinite().all():
        raise ValueError(f"the attack returned values that are not finite: no {stored_as} is that")
    if "bounded_by" not in settings:
        if settings.get("minimises") == "l0" and not has_values(clean, stored_as):
            raise ValueError(
                f"the data set has values that are no multiples of 1/255, which {stored_as} does "
                "not have: stored as that, an image differs from the clean one in these where "
                "the attack changes as few values as it can (l0); say stored_as: float32, or leave "
                "such attacks out"
            )
        return to_float(encode(images, stored_as))
    found = round_towards(images, clean, stored_as)
    if not has_values(clean, stored_as):
        eps = {**settings["parameters"], **changed}[settings["bounded_by"]]
        _refuse_outside(found, clean, settings, float(eps))
    return found


def _refuse_outside(images: Tensor, clean: Tensor, settings: dict[str, Any], budget: float) -> None:
    """Refuse images that rounding has taken out of their ball."""
    size = float(measure(images, clean)[MEASURED[settings["norm"]]].max())
    if size > widen(budget):
        raise ValueError(
            f"the data set has values that are no multiples of 1/255, which {settings['stored_as']}"
            f" does not have: stored as that, an image is {size:.3g} from the clean one where "
            f"{settings['bounded_by']} = {budget:g} allows less ({settings['norm']}); say "
            "stored_as: float32, or leave such budgets out"
        )
