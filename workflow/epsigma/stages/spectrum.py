"""Stage spectrum: where images and perturbations have their energy, and what filters pass."""

from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor

from epsigma.device import CPU
from epsigma.filters.build import build_filter
from epsigma.filters.frequency import radial_frequency
from epsigma.job import Job
from epsigma.storage.files import atomic_write
from epsigma.storage.images import batches, read_clean, read_image_set

# Frequencies at which responses are drawn: up to the Nyquist frequency of an axis.
FREQUENCIES = torch.linspace(0, 0.5, 251, dtype=torch.float64)


def make_spectrum(job: Job, *, test: str, adversarial: Sequence[str], spectrum: str) -> None:
    """Write the amplitude spectra of images and perturbations, and the filters' responses.

    Fooling images have no clean counterpart that they were perturbed from: their own spectra are
    written instead.

    Args:
        job: its settings are the `budgets` (as paths spell them), whether the attack is `fooling`,
            and the `filters`, each `filter` (its name), `strength` (as paths spell it),
            `implementation` and `parameters`.
        test: clean test images.
        adversarial: the adversarial set of each budget.
        spectrum: CSV to write: `curve` (images, perturbation, fooling or filter), `name` (of the
            filter), `level` (budget or strength), `frequency` (cycles per pixel), `amplitude`. A
            filter that has no response (one that is not linear) has no rows.
    """
    with job.logged():
        clean = read_clean(test, CPU).images
        curves = [_curve("images", "", "", *radial_spectrum(clean))]
        for budget, path in zip(job.settings["budgets"], adversarial, strict=True):
            made = read_image_set(path, CPU)
            if job.settings["fooling"]:
                curves.append(_curve("fooling", "", budget, *radial_spectrum(made.images)))
                continue
            rows = slice(len(made.images)) if made.rows is None else made.rows["index"]
            perturbation = made.images.sub_(clean[rows])
            curves.append(_curve("perturbation", "", budget, *radial_spectrum(perturbation)))
        for entry in job.settings["filters"]:
            response = build_filter(entry).response(FREQUENCIES)
            if response is not None:
                name, strength = entry["filter"], entry["strength"]
                curves.append(_curve("filter", name, strength, FREQUENCIES, response))
        with atomic_write(spectrum) as temporary:
            pd.concat(curves).to_csv(temporary, index=False, float_format="%.6g")


def radial_spectrum(images: Tensor) -> tuple[Tensor, Tensor]:
    """Average |F| over images, channels and directions.

    Args:
        images: (N, C, H, W).

    Returns:
        Frequencies in cycles per pixel, from 0 in steps of 1 / min(H, W) up to 0.5, and the mean
        amplitude of the ring around each; both (B,). F is the orthonormal transform, so white
        noise of standard deviation s has the same amplitude, about 0.89 s, everywhere.
    """
    height, width = images.shape[-2:]
    amplitude = torch.zeros(height, width // 2 + 1, dtype=torch.float64, device=images.device)
    for (batch,) in batches(images):
        amplitude += torch.fft.rfft2(batch, norm="ortho").abs().sum((0, 1), dtype=torch.float64)
    amplitude = amplitude.cpu() / (images.shape[0] * images.shape[1])
    # rfft2 leaves out the columns that mirror another; each of the others stands for two.
    weight = torch.full_like(amplitude, 2)
    weight[:, 0] = 1
    if width % 2 == 0:
        weight[:, -1] = 1
    side = min(height, width)
    ring = torch.round(radial_frequency(height, width) * side).long().flatten()
    total = torch.bincount(ring, (amplitude * weight).flatten())
    rings = side // 2 + 1
    mean = total / torch.bincount(ring, weight.flatten())
    return torch.arange(rings, dtype=torch.float64) / side, mean[:rings]


def _curve(curve: str, name: str, level: str, frequency: Tensor, amplitude: Tensor) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "curve": curve,
            "name": name,
            "level": level,
            "frequency": frequency.numpy(),
            "amplitude": amplitude.numpy(),
        }
    )
