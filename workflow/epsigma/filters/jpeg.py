"""JPEG compression, there and back."""

import math

import torch
from kornia.enhance import jpeg as codec
from torch import Tensor
from torch.nn import functional

from epsigma.filters.filter import Filter

# Steps of quantisation at quality 50, ITU-T T.81 (1992), tables K.1 and K.2: frequencies down by
# frequencies across.
LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMA = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *(((99,) * 8,) * 4),
)


class Jpeg(Filter):
    """Code images as JPEG does, by a codec that has a gradient, and decode them.

    As a real encoder does: chroma at half the resolution, blocks of 8 × 8 pixels, cosine transform,
    quantisation by the standard's tables. Unlike one, it rounds smoothly, to round(c) +
    (c − round(c))³, coefficients and (to within 1/8) the tables, and values not at all to 8 bits.
    At quality 75, what comes out of MNIST's images is 0.003 in the mean, and up to 0.12, from what
    comes out of libjpeg, which changes them by 0.010 in the mean, and up to 0.22.

    Images of one channel are coded by their luma alone, as grey JPEGs are. (Given R = G = B, Kornia
    tints them by up to 0.006: its chroma has its middle at 127.5, not at 128.) Sides are padded, at
    the bottom and on the right, by their last pixels.

    All is computed in float64: coefficients of 8-bit images often lie halfway between two steps,
    and in float32, 0.2 to 3 % of MNIST's images come out another way.

    The codec's own gradient, 3(c − round(c))² for each coefficient, vanishes wherever one is near a
    step, as on a black background, and misleads: FGSM that follows it fools fewer examples than one
    that knows nothing of the filter. An aware attacker adds the identity's to it (BPDA).

    Args:
        quality: from 1 to 100, as libjpeg scales it; from 98, the smooth tables have steps of 1/8
            where JPEG's are 1.

    Source: the codec is Kornia's, of Reich, Debnath, Patel & Chakradhar 2024 (arXiv:2309.06978),
    with the rounding of Shin & Song 2017; as a defence, Dziugaite, Ghahramani & Roy 2016
    (arXiv:1608.00853) and Das et al. 2017 (arXiv:1705.02900).
    """

    is_linear = False

    def __init__(self, *, quality: int) -> None:
        super().__init__()
        if not 1 <= quality <= 100:
            raise ValueError(f"quality = {quality} is not within 1 and 100")
        self.quality = float(quality)

    def forward(self, images: Tensor) -> Tensor:
        """Code and decode images (N, C, H, W) in [0, 1], C = 1 or 3; values stay in [0, 1]."""
        if _is_grey(images):
            return self._grey(images.double()).to(images.dtype)
        quality = images.new_tensor([self.quality], dtype=torch.float64)
        decoded: Tensor = codec.jpeg_codec_differentiable(images.double(), quality)
        return decoded.to(images.dtype)

    def formula(self, images: Tensor) -> Tensor:
        """Go through the standard step by step, with Kornia's constants and its rounding."""
        height, width = images.shape[-2:]
        rows = torch.arange(height + -height % 16).clamp(max=height - 1)
        columns = torch.arange(width + -width % 16).clamp(max=width - 1)
        padded = images[:, :, rows][..., columns]
        if _is_grey(images):
            decoded = self._requantised(padded, LUMA)
        else:
            r, g, b = (padded[:, [channel]] for channel in range(3))
            y = 0.299 * r + 0.587 * g + 0.114 * b
            chroma = torch.cat([0.564 * (b - y), 0.713 * (r - y)], dim=1) + 0.5
            coded = self._requantised(_halved(_halved(chroma, 2), 3), CHROMA)
            chroma = _doubled(_doubled(coded, 2), 3) - 0.5
            cb, cr = chroma[:, [0]], chroma[:, [1]]
            y = self._requantised(y, LUMA)
            r, b = y + cr / 0.713, y + cb / 0.564
            decoded = torch.cat([r, (y - 0.299 * r - 0.114 * b) / 0.587, b], dim=1)
        return decoded[..., :height, :width].clamp(0, 1)

    def surrogate(self, images: Tensor) -> Tensor:
        """Take the mean of the images and of what the codec makes of them."""
        coded: Tensor = self(images)
        return (images + coded) / 2

    def _grey(self, images: Tensor) -> Tensor:
        """What Kornia's codec does to luma, step by step: it has no way in for luma alone."""
        height, width = images.shape[-2:]
        padded = functional.pad(images, (0, -width % 8, 0, -height % 8), mode="replicate")
        quality = images.new_tensor([self.quality])
        table = codec._get_default_qt_y(images.device, images.dtype)[None]
        coefficients = codec._dct_8x8(codec._patchify_8x8(255 * padded[:, 0]))
        coded = codec._quantize(coefficients, quality, table)
        blocks = codec._idct_8x8(codec._dequantize(coded, quality, table))
        decoded: Tensor = codec._unpatchify_8x8(blocks, *padded.shape[-2:]) / 255
        return decoded[:, None, :height, :width].clamp(0, 1)

    def _requantised(self, planes: Tensor, table: tuple[tuple[int, ...], ...]) -> Tensor:
        """Quantise planes (N, C, H, W) in [0, 1], of sides that 8 divides, block by block."""
        quality = torch.tensor(self.quality, dtype=planes.dtype)
        scale = _smooth_floor(200 - 2 * quality if quality >= 50 else 5000 / quality)
        step = (torch.tensor(table, dtype=planes.dtype) * scale + 50) / 100
        step = torch.where(step < 1, 1 - 0.02 * (1 - torch.exp(step - 1)), step)
        step = torch.where(step > 255, 255 + 0.02 * (1 - torch.exp(255 - step)), step)
        step = _smooth_floor(step)

        pixel, frequency = torch.arange(8.0, dtype=planes.dtype), torch.arange(8)[:, None]
        waves = torch.cos((2 * pixel + 1) * frequency * math.pi / 16) / 2
        waves[0] /= 2**0.5
        blocks = (255 * planes - 128).unfold(2, 8, 8).unfold(3, 8, 8)
        coefficient = torch.einsum("uy,vx,ncijyx->ncijuv", waves, waves, blocks) / step
        rounded = coefficient.round() + (coefficient - coefficient.round()) ** 3
        decoded = torch.einsum("uy,vx,ncijuv->nciyjx", waves, waves, rounded * step)
        return (decoded.reshape(planes.shape) + 128) / 255


def _is_grey(images: Tensor) -> bool:
    channels = images.shape[1]
    if channels not in (1, 3):
        raise ValueError(
            f"JPEG codes images of 1 channel or 3 (grey or RGB), not of {channels}: leave it out"
        )
    return channels == 1


def _smooth_floor(x: Tensor) -> Tensor:
    return x.floor() + (x - x.floor() - 0.5) ** 3


def _halved(planes: Tensor, axis: int) -> Tensor:
    """Smooth with a Gaussian of σ = 0.5 and 3 taps, and take the mean of neighbours by twos."""
    side = planes.shape[axis]
    place = torch.arange(side)
    before, after = (place - 1).abs(), side - 1 - (side - 2 - place).abs()
    tail = math.exp(-2)
    sides = planes.index_select(axis, before) + planes.index_select(axis, after)
    smooth = (planes + tail * sides) / (1 + 2 * tail)
    return smooth.unfold(axis, 2, 2).mean(-1)


def _doubled(planes: Tensor, axis: int) -> Tensor:
    """Put two values in the place of one: three parts of it, one of the neighbour on that side."""
    place = torch.arange(planes.shape[axis])
    sides = ((place - 1).clamp(min=0), (place + 1).clamp(max=len(place) - 1))
    pairs = [(3 * planes + planes.index_select(axis, side)) / 4 for side in sides]
    return torch.stack(pairs, dim=axis + 1).flatten(axis, axis + 1)
