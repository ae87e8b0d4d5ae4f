"""The batch of an attack."""

from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from epsigma.attacks.gradient import input_gradient
from epsigma.defence import Expectation
from epsigma.detectors.rejection import ClassifierWithDetectors
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
        job: see `fit_batches`.
        model: what is attacked.
        images: (N, C, H, W).
        labels: some, of the model's classes.
        generator: that the model may draw from; all lies where it does.
    """

    def differentiate_one(image: Tensor) -> None:
        input_gradient(model, image, labels[:1], "cross_entropy")

    drawing = (
        one for one in model.modules() if isinstance(one, Expectation | ClassifierWithDetectors)
    )
    draws = max((one.samples for one in drawing), default=1)
    return fit_batches(job, images, differentiate_one, generator.device, generator, draws=draws)
