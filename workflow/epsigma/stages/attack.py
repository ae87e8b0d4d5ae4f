"""Stage attack: make adversarial sets."""

import torch
from torch import nn

from epsigma.classifier import load_classifier
from epsigma.device import resolve
from epsigma.kinds import load
from epsigma.stages.job import Job
from epsigma.tensors import ImageSet, batches, perturbation_norms, read_clean, write_image_set


def attack(job: Job, *, test: str, checkpoint: str, adversarial: str) -> None:
    """Attack the bare classifier on every test image, in the test set's order.

    Args:
        job: its settings are `model` and `attack`, each `implementation` and `parameters`.
        test: clean test images.
        checkpoint: of the classifier.
        adversarial: the set to write.
    """
    with job.logged() as log:
        device = resolve(job.device)
        clean = read_clean(test, device)
        model: nn.Module = load_classifier(checkpoint, job.settings["model"], device)
        settings = job.settings["attack"]
        craft = load(settings["implementation"])
        images = torch.empty_like(clean.images)
        for batch, labels, out in batches(clean.images, clean.labels, images):
            out.copy_(craft(model, batch, labels, **settings["parameters"]))
        norms = perturbation_norms(images, clean.images)
        write_image_set(adversarial, ImageSet(images, clean.labels, norms), job.metadata)
        log.info(
            "%d images, mean norms %s",
            len(images),
            {name: round(value.mean().item(), 4) for name, value in norms.items()},
        )
