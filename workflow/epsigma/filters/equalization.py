"""Histogram equalisation."""

import cv2
import numpy as np
import torch
from torch import Tensor

from epsigma.filters.filter import Filter

# One thread a job, as of torch.
cv2.setNumThreads(1)


class HistogramEqualization(Filter):
    """Spread the values of each channel of an image evenly over [0, 1], of 8 bits.

    A level goes to the share of pixels that are at it or below, those at the lowest level left
    out: round(255 · (cdf(v) − cdf(min)) / (n − cdf(min))). An image of one value stays.

    Its gradient is zero almost everywhere, so an aware attacker takes the identity's (BPDA).

    Source: Gonzalez & Woods, Digital Image Processing, section 3.3; the code is OpenCV's.
    """

    is_linear = False

    def forward(self, images: Tensor) -> Tensor:
        """Equalise images (N, C, H, W) in [0, 1]; values are multiples of 1/255."""
        levels = images.detach().mul(255).round().clamp(0, 255).byte().cpu().numpy()
        spread = np.empty_like(levels)
        for at in np.ndindex(*levels.shape[:2]):
            spread[at] = cv2.equalizeHist(levels[at])
        return torch.from_numpy(spread).to(images) / 255

    def formula(self, images: Tensor) -> Tensor:
        """Count, for each value, how many are not above it."""
        values = images.mul(255).round().clamp(0, 255).flatten(2)
        below = (values[..., None] >= values[..., None, :]).sum(-1).to(images)
        least = below.amin(-1, keepdim=True)
        rest = values.shape[-1] - least
        # In OpenCV's precision, for what is halfway between two levels: `255 / rest` would be the
        # product with a reciprocal.
        rest_or_one = rest.clamp(min=1).float()
        scale = torch.full_like(rest_or_one, 255) / rest_or_one
        spread = ((below - least).float() * scale).round().to(images)
        return torch.where(rest > 0, spread, values).view_as(images) / 255
