"""Stage attack: make adversarial sets."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from epsigma.classifier import load_classifier
from epsigma.device import resolve
from epsigma.kinds import load
from epsigma.stages.filter import apply, build, seeded
from epsigma.stages.job import Job
from epsigma.tensors import ImageSet, batches, measure, read_clean, write_image_set
from epsigma.threats import defended


def attack(
    job: Job,
    *,
    test: str,
    checkpoint: str,
    adversarial: str | None = None,
    filtered: str | None = None,
) -> None:
    """Attack every test image, in the test set's order.

    Args:
        job: its settings are `model` and `attack`, each `implementation` and `parameters` (and
            `random`); for an aware attacker also `filter`, like them, its `gradient`, and the
            `eot_samples` of a random one. Blind, the bare classifier is attacked.
        test: clean test images.
        checkpoint: of the classifier.
        adversarial: the set to write; None if only what the filter makes of it is wanted.
        filtered: of an aware attacker, what the filter makes of the set; None if not wanted.
    """
    with job.logged() as log:
        device = resolve(job.device)
        clean = read_clean(test, device)
        generator = seeded(job, device, "attack")
        model: nn.Module = load_classifier(checkpoint, job.settings["model"], device)
        model = target(job.settings, model, generator)
        craft = attacker(job.settings["attack"], generator)
        images = torch.empty_like(clean.images)
        for batch, labels, out in batches(clean.images, clean.labels, images):
            out.copy_(craft(model, batch, labels))
        measures = measure(images, clean.images)
        means = {name: round(value.mean().item(), 4) for name, value in measures.items()}
        log.info("%d images, means %s", len(images), means)
        if adversarial is not None:
            found = ImageSet(images, clean.labels, measures)
            write_image_set(adversarial, found, job.metadata)
        if filtered is not None:
            # The attacker has no say in what the filter draws.
            module = build(job.settings["filter"], seeded(job, device, "filter"))
            behind = ImageSet(apply(module, images), clean.labels, measures)
            write_image_set(filtered, behind, job.metadata)


def attacker(settings: dict[str, Any], generator: torch.Generator) -> Callable[..., Tensor]:
    """Make an attack of its `implementation` and `parameters`, for a model, images and labels.

    One that is `random` draws from the generator.
    """
    options = {"generator": generator} if settings.get("random") else {}
    return partial(load(settings["implementation"]), **settings["parameters"], **options)


def target(settings: dict[str, Any], model: nn.Module, generator: torch.Generator) -> nn.Module:
    """Make what is attacked: the model, or, where the settings have a `filter`, both as one."""
    if "filter" not in settings:
        return model
    how = settings["filter"]
    return defended(
        build(how, generator),
        model,
        gradient=how["gradient"],
        eot_samples=settings.get("eot_samples"),
    )
