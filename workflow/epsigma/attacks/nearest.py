"""What minimum-norm attacks share: what counts as success, and the nearest of them so far."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from epsigma.attacks.gradient import input_gradient
from epsigma.attacks.losses import clear_margin
from epsigma.detectors.rejection import attacked_logits


def check_search(*, kappa: float, steps: int, gamma: float, step_size: float = 1) -> None:
    """Raise ValueError for arguments of a search that are out of range."""
    if not 0 <= kappa < math.inf:
        raise ValueError(f"kappa = {kappa} is no finite number from 0 on")
    if steps < 1:
        raise ValueError(f"steps = {steps} is less than 1")
    if not 0 < gamma < 1:
        raise ValueError(f"gamma = {gamma} is outside (0, 1)")
    if not 0 < step_size < math.inf:
        raise ValueError(f"step_size = {step_size} is not positive and finite")


def anneal(first: float, last: float, step: int, steps: int) -> float:
    """Go from the first value to the last along half a cosine; `step` counts from 0."""
    return last + (first - last) * (1 + math.cos(math.pi * step / steps)) / 2


@dataclass(frozen=True)
class Search:
    """The rows that are no success as they are, and the nearest success of each so far.

    Args:
        model: from images to logits.
        images: (M, C, H, W), what is attacked.
        labels: (M,), their true classes.
        kappa: κ, the lead that the logits of a success have.
        best: (M, C, H, W), the nearest success, or the image.
        length: (M,), its distance, infinite if there is none.
    """

    model: nn.Module
    images: Tensor
    labels: Tensor
    kappa: float
    best: Tensor
    length: Tensor

    @classmethod
    def begin(
        cls, model: nn.Module, images: Tensor, labels: Tensor, kappa: float
    ) -> tuple["Search", Tensor]:
        """Leave out what is a success as it is; return the search, and where its rows are from."""
        with torch.no_grad():
            lead = clear_margin(attacked_logits(model, images, labels), labels)
        at = (lead <= kappa).nonzero().squeeze(1)
        origin = images[at]
        length = torch.full_like(lead[at], torch.inf)
        return cls(model, origin, labels[at], kappa, origin.clone(), length), at

    def follow(self, x: Tensor, loss: str) -> tuple[Tensor, Tensor]:
        """Differentiate a loss at x: the gradient, and by how much x is a success, (M,)."""
        gradient, logits = input_gradient(self.model, x, self.labels, loss)
        return gradient, clear_margin(logits, self.labels).sub_(self.kappa)

    @torch.no_grad()
    def lead(self, x: Tensor) -> Tensor:
        """Compute by how much x is a success, (M,)."""
        logits = attacked_logits(self.model, x, self.labels)
        return clear_margin(logits, self.labels).sub_(self.kappa)

    def keep(self, x: Tensor, distance: Tensor, success: Tensor) -> None:
        """Keep the successes among x that are nearer than those before."""
        nearer = (success & (distance < self.length)).nonzero().squeeze(1)
        if len(nearer):
            self.best[nearer], self.length[nearer] = x[nearer], distance[nearer]

    def end(self, images: Tensor, at: Tensor) -> Tensor:
        """Put what was found among all images."""
        result = images.clone()
        result[at] = self.best
        return result
