"""Low-rank matrix estimation."""

import torch
from torch import Tensor

from epsigma.filters.filter import Filter
from epsigma.filters.windows import uniform


class LowRank(Filter):
    """Drop random pixels, and estimate the image from the rest as a matrix of low rank.

    Values are moved to [−1, 1], the dropped ones set to 0 and the others divided by the share that
    is kept; of the matrix's singular values the largest `rank` stay, the others become 0; the
    result is moved back and clipped. Each channel alone, the pixels dropped are those of all. The
    classifier is not retrained on such images, as ME-Net's is.

    The decomposition's own gradient is infinite where singular values are equal. An aware attacker
    takes that of the projection on the tangent space of the matrices of this rank: on the left
    singular vectors that stay, and on the right ones, as if these were fixed (BPDA); and the
    expectation over draws (EOT).

    Args:
        rank: how many singular values stay; at least 1.
        keep: probability of a pixel to be kept, in (0, 1].
        generator: torch's global one if None.

    Source: Yang, Zhang, Katabi & Xu 2019 (arXiv:1905.11971), section 3; the estimate is that of
    Chatterjee 2015 (USVT), with a rank in the place of its threshold.
    """

    is_linear = False
    is_replayed = True

    def __init__(
        self, *, rank: int, keep: float = 0.5, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        if rank < 1:
            raise ValueError(f"rank = {rank} is less than 1")
        if not 0 < keep <= 1:
            raise ValueError(f"keep = {keep} is not within 0 and 1")
        self.rank = rank
        self.keep = keep
        self.generator = generator

    def forward(self, images: Tensor) -> Tensor:
        """Estimate images (N, C, H, W) in [0, 1]; in float64."""
        observed = self._observe(images)
        estimate = observed @ self._find_projection(observed)
        filtered: Tensor = ((estimate + 1) / 2).clamp(0, 1).to(images.dtype)
        return filtered

    def formula(self, images: Tensor) -> Tensor:
        """Take the decomposition, and what stays of it."""
        left, values, right = torch.linalg.svd(self._observe(images), full_matrices=False)
        values[..., self.rank :] = 0
        estimate = left @ torch.diag_embed(values) @ right
        filtered: Tensor = ((estimate + 1) / 2).clamp(0, 1).to(images)
        return filtered

    def surrogate(self, images: Tensor) -> Tensor:
        """Project on what fixed vectors span, left or right, without clipping."""
        observed = self._observe(images)
        on_left = self._find_projection(observed.mT) @ observed
        estimate = on_left + (observed - on_left) @ self._find_projection(observed)
        projected: Tensor = ((estimate + 1) / 2).to(images.dtype)
        return projected

    def _observe(self, images: Tensor) -> Tensor:
        """Drop pixels of images, moved to [−1, 1]."""
        n, _, height, width = images.shape
        is_kept = uniform(self.generator, n, 1, height, width) < self.keep
        return (2 * images.double() - 1) * is_kept.to(images.device) / self.keep

    @torch.no_grad()
    def _find_projection(self, observed: Tensor) -> Tensor:
        """Find the projection (N, C, W, W) on the right singular vectors that stay.

        They are eigenvectors of a product, which are found in half the time.
        """
        vectors = torch.linalg.eigh(observed.mT @ observed).eigenvectors[..., -self.rank :]
        projection: Tensor = vectors @ vectors.mT
        return projection
