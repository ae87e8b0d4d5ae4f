"""Stage attack: make adversarial sets."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from epsigma.attacks.craft import Part, make_parts, rows_of
from epsigma.attacks.direction import step_parts
from epsigma.attacks.fitting import fit_attacked_batches
from epsigma.attacks.rows import Rows
from epsigma.attacks.written import write_parts
from epsigma.defence import build_target
from epsigma.device import resolve
from epsigma.filters.build import build_filter
from epsigma.filters.filter import Filter
from epsigma.job import Job
from epsigma.models.classifier import load_classifier
from epsigma.randomness import seeded_generator
from epsigma.sizing import fit_batches
from epsigma.storage.batches import batch_size
from epsigma.storage.files import progress_path
from epsigma.storage.held import HeldSet
from epsigma.storage.images import read_classes
from epsigma.storage.progress import ProgressFile, digest_inputs
from epsigma.storage.stored import StoredSet, open_clean
from epsigma.vocabulary import FLOAT32


def attack(
    job: Job,
    *,
    test: str,
    checkpoint: str,
    direction: str = "",
    adversarial: str | HeldSet | None = None,
    filtered: str | HeldSet | None = None,
) -> None:
    """Attack the test images, in the test set's order.

    Writes the set (`adversarial`) or, of an aware attacker, what the filter makes of it
    (`filtered`), or both: into files, or into a set that this job scores. The job's settings are
    `model` and `attack`, each `implementation` and `parameters` (and `random`), of the attack also
    what `rows_of` wants; for an aware attacker also what `build_target` wants. Blind, the
    classifier alone is attacked.

    With a file of the stage `differentiate` (`direction`) it steps along that, and no model is
    evaluated. The set is the same.

    An ensemble that is killed goes on in its next attempt: what it has done is in the file
    `progress_path` of the first set, which stays when the stage is done. `Jobs.each` removes it
    when all cells of the job are done.
    """
    with job.logged() as log, ExitStack() as stack:
        device, settings = resolve(job.device), job.settings
        clean = open_clean(test, device)
        rows = rows_of(settings["attack"], clean.labels, read_classes(test))
        module, drawn = None, seeded_generator(job, device, "filter")
        if filtered is not None:
            # The attacker does not control what the filter draws.
            module = build_filter(settings["filter"], drawn)
        if direction:
            parts = stack.enter_context(_step(job, direction, clean, rows, module, drawn))
        else:
            kept = _keep(job, adversarial or filtered, [test, checkpoint], log)
            parts = stack.enter_context(_craft(job, checkpoint, clean, rows, kept, log))
        measures = write_parts(
            parts,
            rows,
            job.metadata,
            shape=clean.images.shape[1:],
            adversarial=adversarial,
            filtered=filtered,
            module=module,
            stored_as=settings["attack"].get("stored_as", FLOAT32),
        )
        means = {name: round(value.float().mean().item(), 4) for name, value in measures.items()}
        log.info("%d images, means %s", len(rows.index), means)


@contextmanager
def _craft(
    job: Job,
    checkpoint: str,
    clean: StoredSet,
    rows: Rows,
    kept: ProgressFile | None,
    log: logging.Logger,
) -> Iterator[Iterator[Part]]:
    """Run the attack on what is attacked, while the body takes the parts."""
    settings, device = job.settings, resolve(job.device)
    generator = seeded_generator(job, device, "attack")
    classifier: nn.Module = load_classifier(checkpoint, settings["model"], device)
    target = build_target(settings, classifier, generator)
    with fit_attacked_batches(job, target, clean.images, rows.labels, generator):
        log.info("batches of %d images", batch_size())
        yield make_parts(
            settings["attack"], generator, target, clean.images, rows, kept=kept, say=log.warning
        )


@contextmanager
def _step(
    job: Job,
    direction: str,
    clean: StoredSet,
    rows: Rows,
    module: Filter | None,
    drawn: torch.Generator,
) -> Iterator[Iterator[Part]]:
    """Step along the directions of a file, while the body takes the parts, through a filter or not.

    `drawn` is what the filter draws from.
    """
    how = job.settings["attack"]
    found = open_clean(direction, clean.labels.device)

    @torch.no_grad()
    def pass_one(image: Tensor) -> Tensor:
        return image.clone() if module is None else module(image)

    with fit_batches(job, clean.images, pass_one, drawn.device, drawn):
        yield step_parts(found.images, clean.images, rows, how["parameters"][how["bounded_by"]])


def _keep(
    job: Job, output: str | HeldSet | None, inputs: list[str], log: logging.Logger
) -> ProgressFile | None:
    """Say where the job keeps what it has done of an output, and what tells it from others."""
    if output is None:
        return None
    beside = output.beside if isinstance(output, HeldSet) else output

    def identify() -> dict[str, str]:
        device = resolve(job.device).type
        return {**job.metadata, "device": device, "inputs": digest_inputs(inputs, job.settings)}

    return ProgressFile(progress_path(beside), identify, log.info)
