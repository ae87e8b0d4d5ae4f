"""A filter for the challenge: change it, and keep the two names at the end.

Values below a threshold become 0. README.md beside this file says how it is scored.
"""

from typing import Annotated

from pydantic import Field
from torch import Tensor

from epsigma.filters.filter import Filter
from epsigma.kinds import FilterKind, Hyperparameters


class Parameters(Hyperparameters):
    """The hyper-parameters, typed: of the one that is swept, VALUES below has a list."""

    threshold: Annotated[float, Field(ge=0, le=1)] = Field(description="smallest value that stays")


class MyFilter(Filter):
    """Set values below a threshold to 0."""

    is_linear = False

    def __init__(self, *, threshold: float) -> None:
        super().__init__()
        self.threshold = threshold

    def forward(self, images: Tensor) -> Tensor:
        """Filter images (N, C, H, W) in [0, 1], each alone, to images of that shape in [0, 1]."""
        return images * (images >= self.threshold)

    def formula(self, images: Tensor) -> Tensor:
        """Filter them by the definition, in float64: what `forward` is held to."""
        return images.where(images >= self.threshold, 0.0)


# `gradient`: "exact", or "bpda" for that of its method `surrogate`, the identity's if it has none.
# `random=True`: it takes a `generator`, and draws from that.
FILTER = FilterKind(f"{__name__}:MyFilter", Parameters, swept="threshold", gradient="bpda")
# Up to a handful of strengths: validation images choose one, the others score it.
VALUES = {"threshold": [0.25, 0.5]}
