"""Making detectors from their settings."""

from typing import Any

import torch
from torch import Tensor, nn

from epsigma.detectors.detector import Detector
from epsigma.filters.build import with_parts
from epsigma.loading import load
from epsigma.storage.batches import Images, batches


@torch.no_grad()
def score_images(detector: Detector, images: Images, model: nn.Module) -> Tensor:
    """Score images (N, C, H, W), batch by batch: (N,)."""
    return torch.cat([detector(batch, model(batch), model) for (batch,) in batches(images)])


def build_detector(
    settings: dict[str, Any], device: torch.device, generator: torch.Generator | None = None
) -> Detector:
    """Make a detector from its `implementation` and `parameters`.

    Its filters, which may draw from the generator, have the gradient that attackers take of them.
    """
    parameters = with_parts(settings["parameters"], device, generator)
    made: Detector = load(settings["implementation"])(**parameters)
    return made.eval().to(device)
