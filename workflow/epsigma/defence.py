"""The defended model: a filter, the classifier and detectors as one module."""

from typing import Any

import torch
from torch import Tensor, nn

from epsigma.detectors.build import build_detector
from epsigma.detectors.rejection import ClassifierWithDetectors
from epsigma.filters.build import build_filter
from epsigma.filters.filter import Filter
from epsigma.filters.surrogate import attackable
from epsigma.memoize import Memoized
from epsigma.storage.files import read_json


class Expectation(nn.Module):
    """A random model's mean logits over `samples` draws: expectation over transformation.

    Source: Athalye, Engstrom, Ilyas & Kwok 2018 (arXiv:1707.07397), section 2.1, of the logits.
    """

    def __init__(self, model: nn.Module, samples: int) -> None:
        super().__init__()
        if samples < 1:
            raise ValueError(f"eot_samples = {samples} is less than 1")
        self.model = model
        self.samples = samples

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, C, H, W) to logits (N, K)."""
        logits: Tensor = sum(self.model(images) for _ in range(self.samples)) / self.samples
        return logits


def defend(
    module: Filter, model: nn.Module, *, gradient: str | None, eot_samples: int | None = None
) -> nn.Module:
    """Put a filter in front of a model, so that an attacker can differentiate through both.

    Args:
        gradient: `exact`, or `bpda` for that of the filter's surrogate; else a ValueError.
        eot_samples: draws of a random filter to average over; None if it does not draw.
    """
    filtered = nn.Sequential(attackable(module, gradient), model)
    return filtered if eot_samples is None else Expectation(filtered, eot_samples)


def add_detectors(
    detectors: list[dict[str, Any]],
    filtered_classifier: nn.Module,
    classifier: nn.Module,
    generator: torch.Generator,
    *,
    samples: int = 1,
) -> ClassifierWithDetectors:
    """Add detectors, each with a file of its `threshold`, to a classifier behind a filter.

    All lies where the generator does, which the detectors' filters draw from. `samples` draws are
    averaged over by what asks for logits.
    """
    return ClassifierWithDetectors(
        filtered_classifier,
        classifier,
        [build_detector(one, generator.device, generator) for one in detectors],
        [float(read_json(one["threshold"])["threshold"]) for one in detectors],
        samples=samples,
    )


def build_target(
    settings: dict[str, Any],
    model: nn.Module,
    generator: torch.Generator,
    gradient: str | None = None,
) -> nn.Module:
    """Make what is attacked: the classifier, or, of an aware attacker, the defended model.

    An aware one's settings have `filter`, how to make it, with its `gradient`, `eot_samples` if it
    draws, from the generator, and `detectors`, if there are some, with `detector_samples` if these
    draw. A `gradient`, of the settings or, before that, the argument, is that of all that it
    passes, in place of its own.
    """
    if "filter" not in settings:
        return model
    how = settings["filter"]
    model = Memoized(model)
    # Filters in sequence have the gradients of each already.
    own = "exact" if how.get("then") else how["gradient"]
    filtered = defend(
        build_filter(how, generator),
        model,
        gradient=gradient or settings.get("gradient") or own,
        eot_samples=settings.get("eot_samples"),
    )
    detectors = settings.get("detectors")
    if not detectors:
        return filtered
    samples = settings.get("detector_samples", 1)
    return add_detectors(detectors, filtered, model, generator, samples=samples)
