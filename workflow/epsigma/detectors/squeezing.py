"""The joint detector of feature squeezing."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from epsigma.detectors.detector import Detector
from epsigma.filters.surrogate import StraightThrough

# By how much the largest logit stands out from the mean where a gradient is taken: softmax gives it
# two thirds or so, of ten classes.
PROMINENCE = 3.0


class Squeezing(Detector):
    """Score an image by how far squeezing it moves the classifier's answer.

    The score is the largest ‖softmax(Z(x)) − softmax(Z(squeezer(x)))‖₁ over the squeezers,
    `filters` from images to images: from 0 to 2.

    Source: Xu, Evans & Qi 2018 (arXiv:1704.01155), section V; BPDA is Athalye, Carlini & Wagner's
    (2018, arXiv:1802.00420, section 4.1).
    """

    def __init__(self, *, filters: Sequence[nn.Module]) -> None:
        super().__init__()
        if not filters:
            raise ValueError("there is no squeezer: name a filter at least")
        self.filters = nn.ModuleList(filters)

    def forward(self, images: Tensor, logits: Tensor, model: nn.Module) -> Tensor:
        """Score images (N, C, H, W).

        Where the classifier is sure of both answers, the score has no gradient, whether they agree
        or not. An attacker takes that of the same distance between softer ones (BPDA): the logits
        are divided by what makes the largest stand out by 3 from the mean.
        """
        squeezed = [model(one(images)) for one in self.filters]
        score = _farthest(logits, squeezed)
        if not (torch.is_grad_enabled() and images.requires_grad):
            return score
        prominence = (logits.amax(1) - logits.mean(1)).detach().unsqueeze(1)
        temperature = (prominence / PROMINENCE).clamp(min=1)
        softer = _farthest(logits / temperature, [other / temperature for other in squeezed])
        attacked: Tensor = StraightThrough.apply(softer, score.detach())
        return attacked


def _farthest(logits: Tensor, squeezed: Sequence[Tensor]) -> Tensor:
    """Find the largest ℓ1 distance between the probabilities of (N, K) and of others: (N,)."""
    answer = logits.softmax(1)
    moved = [(answer - other.softmax(1)).abs().sum(1) for other in squeezed]
    return torch.stack(moved).amax(0)
