"""The batch of an attack."""

from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from epsigma.attacks.gradient import input_gradient
from epsigma.job import Job
from epsigma.sizing import fit_batches
from epsigma.storage.batches import Images


def fit_attacked_batches(
    job: Job,
    model: nn.Module,
    images: Images,
    labels: Tensor,
    generator: torch.Generator,
) -> AbstractContextManager[None]:
    """Let batches in the body hold as many images as fit with the gradient of a model.

    Args:
        job: see `fit_batches`; its settings may say how many draws are averaged over.
        model: what is attacked.
        images: (N, C, H, W).
        labels: some, of the model's classes.
        generator: that the model may draw from; all lies where it does.
    """

    def differentiate_one(image: Tensor) -> None:
        input_gradient(model, image, labels[:1], "cross_entropy")

    # See `epsigma.defence.build_target`.
    draws = max(job.settings.get(name, 1) for name in ("eot_samples", "detector_samples"))
    return fit_batches(job, images, differentiate_one, generator.device, generator, draws=draws)
