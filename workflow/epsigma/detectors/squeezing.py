"""The joint detector of feature squeezing."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from epsigma.detectors.detector import Detector


class Squeezing(Detector):
    """Score an image by how far squeezing it moves the classifier's answer.

    The score is the largest ‖softmax(Z(x)) − softmax(Z(squeezer(x)))‖₁ over the squeezers: from 0
    to 2.

    Args:
        filters: the squeezers, from images to images.

    Raises:
        ValueError: if there is none.

    Source: Xu, Evans & Qi 2018 (arXiv:1704.01155), section V.
    """

    def __init__(self, *, filters: Sequence[nn.Module]) -> None:
        super().__init__()
        if not filters:
            raise ValueError("there is no squeezer: name a filter at least")
        self.filters = nn.ModuleList(filters)

    def forward(self, images: Tensor, logits: Tensor, model: nn.Module) -> Tensor:
        """Score images (N, C, H, W)."""
        answer = logits.softmax(1)
        moved = [(answer - model(one(images)).softmax(1)).abs().sum(1) for one in self.filters]
        return torch.stack(moved).amax(0)
