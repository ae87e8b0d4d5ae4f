"""Random geometry: resizing and padding, and crops."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from epsigma.filters.filter import Filter
from epsigma.filters.windows import uniform


class RandomResizePad(Filter):
    """Shrink each image to a random size, and pad it with zeros, at a random place, to its own.

    A side of n pixels becomes one of m, all from ⌈smallest · n⌉ to n alike; values are those of the
    nearest pixel. The authors enlarge images of 299 pixels to 310 to 331 and pad them to 331, for a
    network that takes any size; models here take one, so the image is shrunk.

    An aware attacker takes the expectation over draws (EOT), by the exact gradient of each.

    Args:
        smallest: the smallest size, as a share of the image's, in (0, 1].
        generator: torch's global one if None.

    Source: Xie, Wang, Zhang, Ren & Yuille 2018 (arXiv:1711.01991), section 3.2.
    """

    is_linear = False
    is_replayed = True

    def __init__(self, *, smallest: float, generator: torch.Generator | None = None) -> None:
        super().__init__()
        if not 0 < smallest <= 1:
            raise ValueError(f"smallest = {smallest} is not within 0 and 1")
        self.smallest = smallest
        self.generator = generator

    def forward(self, images: Tensor) -> Tensor:
        """Resize and pad images (N, C, H, W)."""
        down, across = (
            self._operator(*drawn, side).to(images)
            for drawn, side in zip(self._draw(images), images.shape[-2:], strict=True)
        )
        return down @ images @ across.mT

    def formula(self, images: Tensor) -> Tensor:
        """Interpolate and pad each image."""
        made = torch.zeros_like(images)
        (tall, top), (wide, left) = self._draw(images)
        for image, into, h, w, y, x in zip(images, made, tall, wide, top, left, strict=True):
            into[:, y : y + h, x : x + w] = functional.interpolate(
                image[None], (int(h), int(w)), mode="nearest"
            )[0]
        return made

    def _operator(self, sizes: Tensor, starts: Tensor, side: int) -> Tensor:
        """Write resizing and padding along one axis as a matrix for each image, (N, 1, n, n)."""
        pixel = torch.arange(side, device=sizes.device)
        within = pixel - starts[:, None]
        source = (within * side).div(sizes[:, None], rounding_mode="floor")
        is_inside = (within >= 0) & (within < sizes[:, None])
        matrix = (source[..., None] == pixel) & is_inside[..., None]
        return matrix[:, None]

    def _draw(self, images: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Draw the sizes and places of images along each axis, (N,) each; one scale an image."""
        drawn = uniform(self.generator, len(images), 3).double()
        (tall, wide) = (
            _between(shrink(self.smallest, side), side, drawn[:, 0]) for side in images.shape[-2:]
        )
        height, width = images.shape[-2:]
        top = _between(0, height - tall, drawn[:, 1])
        return (tall, top), (wide, _between(0, width - wide, drawn[:, 2]))


class RandomCrop(Filter):
    """Average random crops of an image, each enlarged to the image's size.

    A crop has ⌈share · n⌉ of n pixels a side, and is enlarged bilinearly. The authors average what
    the classifier says of 30 crops; a filter comes before the classifier, and averages the crops.
    With one crop (the default) it is their crop, without the average.

    An aware attacker takes the expectation over draws (EOT), by the exact gradient of each.

    Args:
        share: the crop's side, as a share of the image's, in (0, 1].
        crops: how many; at least 1.
        generator: torch's global one if None.

    Source: Guo, Rana, Cisse & van der Maaten 2018 (arXiv:1711.00117), section 3.
    """

    is_linear = False
    is_replayed = True

    def __init__(
        self, *, share: float, crops: int = 1, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        if not 0 < share <= 1:
            raise ValueError(f"share = {share} is not within 0 and 1")
        if crops < 1:
            raise ValueError(f"crops = {crops} is less than 1")
        self.share = share
        self.crops = crops
        self.generator = generator

    def forward(self, images: Tensor) -> Tensor:
        """Crop and enlarge images (N, C, H, W)."""
        (tall, top), (wide, left) = self._draw(images)
        height, width = images.shape[-2:]
        total = torch.zeros_like(images)
        for y, x in zip(top, left, strict=True):
            down, across = _enlarge(y, tall, height), _enlarge(x, wide, width)
            total = total + down.to(images) @ images @ across.to(images).mT
        return total / self.crops

    def formula(self, images: Tensor) -> Tensor:
        """Cut each crop out and interpolate it."""
        (tall, top), (wide, left) = self._draw(images)
        made = torch.zeros_like(images)
        for ys, xs in zip(top.tolist(), left.tolist(), strict=True):
            for image, into, y, x in zip(images, made, ys, xs, strict=True):
                crop = image[None, :, y : y + tall, x : x + wide]
                into += functional.interpolate(crop, images.shape[-2:], mode="bilinear")[0]
        return made / self.crops

    def _draw(self, images: Tensor) -> tuple[tuple[int, Tensor], tuple[int, Tensor]]:
        """Draw the places of crops along each axis, (crops, N) each, of the sizes before them."""
        drawn = uniform(self.generator, len(images), 2, self.crops).double()
        sizes = [shrink(self.share, side) for side in images.shape[-2:]]
        down, across = (
            _between(0, side - size, drawn[:, axis].T)
            for axis, (size, side) in enumerate(zip(sizes, images.shape[-2:], strict=True))
        )
        return (sizes[0], down), (sizes[1], across)


def shrink(share: float, side: int) -> int:
    """Return ⌈share · side⌉, for a share in (0, 1].

    0.55 · 100 is 55, though a little more in floating point.
    """
    return max(math.ceil(share * side - 1e-9), 1)


def _between(first: int, last: "int | Tensor", drawn: Tensor) -> Tensor:
    """Draw whole numbers from the first to the last, by draws in [0, 1)."""
    return first + (drawn * (last - first + 1)).long()


def _enlarge(starts: Tensor, size: int, side: int) -> Tensor:
    """Write bilinear enlargement of a crop as a matrix for each image, (N, 1, side, side)."""
    pixel = torch.arange(side, device=starts.device, dtype=torch.float64)
    at = ((pixel + 0.5) * size / side - 0.5).clamp(0, size - 1) + starts[:, None]
    return (1 - (at[..., None] - pixel).abs()).clamp(min=0)[:, None]
