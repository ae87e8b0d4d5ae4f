"""Where images have their energy, and what filters pass."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from epsigma.filters.build import build_filter
from epsigma.filters.frequency import radial_frequency
from epsigma.storage.batches import Images, Indexed, Sampled, batches
from epsigma.storage.files import atomic_write

# Frequencies at which responses are drawn: up to the Nyquist frequency of an axis.
FREQUENCIES = torch.linspace(0, 0.5, 251, dtype=torch.float64)
# Images that a spectrum is the mean over, at most.
MOST = 1000


def radial_spectrum(images: Images) -> tuple[Tensor, Tensor]:
    """Average |F| over images, channels and directions.

    Args:
        images: (N, C, H, W).

    Returns:
        Frequencies in cycles per pixel, from 0 in steps of 1 / min(H, W) up to 0.5 (of the longer
        side, where the other is a single pixel, which has no frequency but 0), and the mean
        amplitude of the ring around each; both (B,). F is the orthonormal transform, so white
        noise of standard deviation s has the same amplitude, about 0.89 s, everywhere.
    """
    height, width = images.shape[-2:]
    amplitude = torch.zeros(height, width // 2 + 1, dtype=torch.float64)
    for (batch,) in batches(images):
        amplitude += transform(batch).abs().sum((0, 1), dtype=torch.float64).cpu()
    amplitude /= images.shape[0] * images.shape[1]
    # rfft2 leaves out the columns that mirror another; each of the others stands for two.
    weight = torch.full_like(amplitude, 2)
    weight[:, 0] = 1
    if width % 2 == 0:
        weight[:, -1] = 1
    side = min(height, width) if min(height, width) > 1 else max(height, width)
    ring = torch.round(radial_frequency(height, width) * side).long().flatten()
    total = torch.bincount(ring, (amplitude * weight).flatten())
    rings = side // 2 + 1
    mean = total / torch.bincount(ring, weight.flatten())
    return torch.arange(rings, dtype=torch.float64) / side, mean[:rings]


def transform(images: Tensor) -> Tensor:
    """Transform images (N, C, H, W), orthonormally: (N, C, H, W // 2 + 1)."""
    transformed: Tensor = torch.fft.rfft2(images, norm="ortho")
    return transformed


def image_curve(curve: str, level: str, images: Indexed) -> pd.DataFrame:
    """Tabulate the `radial_spectrum` of no more than `MOST` images, as `write_spectra` writes it.

    They are spread over all (`Sampled`).
    """
    return _tabulate(curve, "", level, *radial_spectrum(Sampled(images, MOST)))


def response_curves(filters: Sequence[dict[str, Any]]) -> list[pd.DataFrame]:
    """Tabulate the responses of filters; one that has none (it is not linear) is left out.

    Of each it takes `filter` (its name), `strength` (as paths spell it), `implementation` and
    `parameters`.
    """
    curves = []
    for entry in filters:
        response = build_filter(entry).response(FREQUENCIES)
        if response is not None:
            name, strength = entry["filter"], entry["strength"]
            curves.append(_tabulate("filter", name, strength, FREQUENCIES, response))
    return curves


def write_spectra(path: str | Path, curves: Sequence[pd.DataFrame]) -> None:
    """Write curves as CSV: `curve`, `name`, `level`, `frequency` (cycles/pixel), `amplitude`."""
    with atomic_write(path) as temporary:
        pd.concat(curves).to_csv(temporary, index=False, float_format="%.6g")


def _tabulate(
    curve: str, name: str, level: str, frequency: Tensor, amplitude: Tensor
) -> pd.DataFrame:
    about = {"curve": curve, "name": name, "level": level}
    return pd.DataFrame({**about, "frequency": frequency.numpy(), "amplitude": amplitude.numpy()})
