"""What an aware attacker attacks: a filter, the classifier and detectors, as one model."""

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
    """A random model's mean logits over several draws: expectation over transformation.

    Source: Athalye, Engstrom, Ilyas & Kwok 2018 (arXiv:1707.07397), section 2.1, of the logits.

    Args:
        model: from images to logits, at random.
        samples: draws; at least 1.
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


def defended(
    module: Filter, model: nn.Module, *, gradient: str | None, eot_samples: int | None = None
) -> nn.Module:
    """Put a filter in front of a model, so that an attacker can differentiate through both.

    Args:
        module: the filter, on images.
        model: from images to logits.
        gradient: `exact`, or `bpda` for that of the filter's surrogate.
        eot_samples: draws of a random filter to average over; None if it does not draw.

    Raises:
        ValueError: if `gradient` is neither: nobody has said how to attack this filter.
    """
    whole = nn.Sequential(attackable(module, gradient), model)
    return whole if eot_samples is None else Expectation(whole, eot_samples)


def with_detectors(
    detectors: list[dict[str, Any]],
    through: nn.Module,
    bare: nn.Module,
    generator: torch.Generator,
) -> ClassifierWithDetectors:
    """Let detectors look at what a filter and a classifier are given.

    Args:
        detectors: how to make each, and the file of its `threshold`.
        through: from images to logits, filter included.
        bare: the classifier alone.
        generator: what filters of the detectors draw from; all lies where it does.
    """
    return ClassifierWithDetectors(
        through,
        bare,
        [build_detector(one, generator.device, generator) for one in detectors],
        [float(read_json(one["threshold"])["threshold"]) for one in detectors],
    )


def build_target(
    settings: dict[str, Any], model: nn.Module, generator: torch.Generator
) -> nn.Module:
    """Make what is attacked: the model, or, where the settings have a `filter`, both as one.

    With the `detectors` that look at what the filter is given, if there are some.
    """
    if "filter" not in settings:
        return model
    how = settings["filter"]
    model = Memoized(model)
    through = defended(
        build_filter(how, generator),
        model,
        # What filters in sequence take of each, they see to themselves.
        gradient="exact" if how.get("then") else how["gradient"],
        eot_samples=settings.get("eot_samples"),
    )
    detectors = settings.get("detectors")
    return with_detectors(detectors, through, model, generator) if detectors else through
