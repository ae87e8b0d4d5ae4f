"""What every filter is, and what may be known of it."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class Filter(nn.Module, ABC):
    """A filter on images (N, C, H, W), float, of which each is filtered alone.

    Attributes:
        deviation: standard deviation of a filtered value over the draws of a random filter that
            adds noise; 0 of others.
        is_replayed: whether it is a random filter whose `formula` draws what `forward` draws, in
            the same order, from the same generator: the two are compared draw by draw.
        generator: what a random filter draws from; None is torch's global one.
        tolerance: how far a filtered value may be from the formula's: of a solver that takes so
            many steps.
        is_linear: whether it is affine, and its `response`, if it has one, says all of what it does
            to an image far from its border.
        is_periodic: whether its `response` holds whatever the size of the image: the image goes on
            periodically beyond its border, and no kernel is cut there.
    """

    deviation: float = 0.0
    is_replayed: bool = False
    tolerance: float = 0.0
    generator: torch.Generator | None = None
    is_linear: bool = True
    is_periodic: bool = False

    @property
    def parts(self) -> "tuple[Filter, ...]":
        """The filters that it puts one after the other: itself, if it is not made of others."""
        return (self,)

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Filter images."""

    @abstractmethod
    def formula(self, images: Tensor) -> Tensor:
        """Filter images straight by the definition, however slowly, sharing no code with `forward`.

        What the conformance check holds `forward` against, in float64; of a random filter that
        is not replayed, the mean over its draws.
        """

    def response(self, frequency: Tensor) -> Tensor | None:
        """Amplitude at frequencies along an axis, in cycles per pixel; None if not linear."""
        return None

    def surrogate(self, images: Tensor) -> Tensor:
        """Approximate the filter by something whose gradient BPDA takes; the identity by default.

        Source: Athalye, Carlini & Wagner 2018 (arXiv:1802.00420), section 4.1.
        """
        return images
