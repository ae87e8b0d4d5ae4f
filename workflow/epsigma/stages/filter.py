"""Stage filter: put a filter in front of the classifier."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from epsigma.device import resolve
from epsigma.filters.filter import Filter
from epsigma.grid import cell_seed
from epsigma.kinds import load
from epsigma.stages.job import Job
from epsigma.tensors import batches, read_image_set, write_image_set


def filter_set(job: Job, *, adversarial: str, filtered: str) -> None:
    """Filter an adversarial set.

    Args:
        job: its settings are the `filter`: `implementation` and `parameters`, and `random` if
            it draws.
        adversarial: the set to filter.
        filtered: the set to write; labels and measures are the adversarial set's.
    """
    with job.logged() as log:
        device = resolve(job.device)
        images = read_image_set(adversarial, device)
        result = apply(build(job.settings["filter"], seeded(job, device, "filter")), images.images)
        write_image_set(filtered, replace(images, images=result), job.metadata)
        log.info("%d images, from %.3f to %.3f", len(result), result.min(), result.max())


def seeded(job: Job, device: torch.device, purpose: str) -> torch.Generator:
    """Make a random generator of a job's own, for a purpose."""
    return torch.Generator(device).manual_seed(cell_seed({**job.cell, "purpose": purpose}))


def build(settings: dict[str, Any], generator: torch.Generator | None = None) -> Filter:
    """Make a filter from its `implementation` and `parameters`.

    A filter that is `random` draws from the generator (torch's global one if None).
    """
    options = {"generator": generator} if settings.get("random") else {}
    made: Filter = load(settings["implementation"])(**settings["parameters"], **options)
    made.eval()
    return made


@torch.no_grad()
def apply(module: Filter, images: Tensor) -> Tensor:
    """Filter images (N, C, H, W), batch by batch."""
    filtered = torch.empty_like(images)
    for batch, out in batches(images, filtered):
        out.copy_(module(batch))
    return filtered
