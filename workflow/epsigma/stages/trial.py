"""Stage trial: try an attack that may fail, before anything is spent on it."""

from typing import Any

import torch

from epsigma.attacks.craft import AttackError
from epsigma.attacks.trial import TRIED, try_attack
from epsigma.device import resolve
from epsigma.job import Job
from epsigma.models.classifier import CONTIGUOUS, ModelError, build_model
from epsigma.models.trial import try_model
from epsigma.randomness import seeded_generator
from epsigma.storage.files import write_json
from epsigma.storage.images import read_classes
from epsigma.storage.stored import count_kept, open_clean


def try_own_attack(job: Job, *, test: str, trial: str) -> None:
    """Run an attack on two test images and a model that has not been trained.

    Sets the global seed: it wants a process of its own.

    Args:
        job: its settings are the `model` and the `attack`, as of the stage `attack`, its
            `direction`, if it has one, and whether it is `traced`.
        test: the test images.
        trial: JSON to write: the `cell`, how many `images`, and what it was `made_by`.

    Raises:
        ModelError: if the model cannot be used.
        AttackError: if the attack cannot, or not at this budget.
    """
    with job.logged():
        torch.manual_seed(0)
        device = resolve(job.device)
        clean, classes = open_clean(test, device), read_classes(test)
        images = clean.images[: count_kept(clean.images.shape)]
        channels, height, width = images.shape[1:]
        how = job.settings["model"]
        try:
            model = build_model(shape=(channels, height, width), classes=classes, **how).to(device)
            needs = try_model(model, images, classes, trains=False)
        except ModelError as error:
            raise ModelError(f"model {job.cell['model']}: {error}") from error
        model.eval().requires_grad_(False)
        if CONTIGUOUS not in needs:
            model.to(memory_format=torch.channels_last)
        generator = seeded_generator(job, device, "attack")
        attack = job.settings["attack"]
        more: dict[str, Any] = {name: job.settings.get(name) for name in ("traced", "direction")}
        try:
            try_attack(attack, generator, model, images, clean.labels, classes, **more)
        except ValueError as error:
            raise AttackError(f"attack {job.cell['attack']}: {error}") from error
        write_json(trial, {"cell": job.cell, "images": TRIED, "made_by": job.metadata})
