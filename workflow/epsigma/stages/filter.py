"""Stage filter: put a filter in front of the classifier."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from epsigma.device import resolve
from epsigma.kinds import load
from epsigma.stages.job import Job
from epsigma.tensors import batches, read_image_set, write_image_set


def filter_set(job: Job, *, adversarial: str, filtered: str) -> None:
    """Filter an adversarial set.

    Args:
        job: its settings are the filter's `implementation` and `parameters`.
        adversarial: the set to filter.
        filtered: the set to write; labels and norms are the adversarial set's.
    """
    with job.logged() as log:
        images = read_image_set(adversarial, resolve(job.device))
        result = apply(build(job.settings), images.images)
        write_image_set(filtered, replace(images, images=result), job.metadata)
        log.info("%d images, from %.3f to %.3f", len(result), result.min(), result.max())


def build(settings: dict[str, Any]) -> nn.Module:
    """Make a filter from its `implementation` and `parameters`."""
    module: nn.Module = load(settings["implementation"])(**settings["parameters"])
    return module.eval()


@torch.no_grad()
def apply(module: nn.Module, images: Tensor) -> Tensor:
    """Filter images (N, C, H, W), batch by batch."""
    filtered = torch.empty_like(images)
    for batch, out in batches(images, filtered):
        out.copy_(module(batch))
    return filtered
