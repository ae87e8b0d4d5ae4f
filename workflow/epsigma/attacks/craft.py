"""Running an attack on a set of images, batch by batch."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from epsigma.attacks.rows import Rows, attacked_rows
from epsigma.detectors.rejection import ClassifierWithDetectors, attacked_logits
from epsigma.loading import load
from epsigma.storage.images import BATCH, FOOLED_BY, batches, measure
from epsigma.storage.progress import ProgressFile

Attack = Callable[..., Tensor]


class AttackError(ValueError):
    """An attack that cannot be used; the message says why, and what to do."""


def rows_of(settings: dict[str, Any], labels: Tensor, classes: int) -> Rows:
    """List the rows that an attack of these settings makes: `attacked_rows` of the labels (N,)."""
    targets = settings.get("targets", "untargeted")
    return attacked_rows(labels, classes, examples=settings.get("examples"), targets=targets)


def make_set(
    settings: dict[str, Any],
    generator: torch.Generator,
    model: nn.Module,
    clean: Tensor,
    rows: Rows,
    *,
    kept: ProgressFile | None = None,
    **changed: Any,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Run an attack, batch by batch, on the rows (M) of the test images, `clean` (N, C, H, W).

    `kept` is the file in which an ensemble keeps what it has done. `changed` are hyper-parameters
    that are not those of the settings. With a budget of 0, `bounded_by` in the settings, nothing is
    attacked: the set is the clean one.

    Returns:
        (M, C, H, W), and what `measure` returns of each row; of an ensemble also, for each of its
        attacks, which rows that fooled: see `ImageSet`. A classifier with detectors is attacked
        twice, with its detectors and without: of each row the second result is taken where only
        that succeeds. So an attacker who knows more does no worse.
    """
    attack = build_attack(settings, generator)
    images = clean.new_empty(len(rows.index), *clean.shape[1:])
    measures = []
    # An ensemble makes batches of what is left.
    size = len(images) if settings.get("ensemble") else BATCH
    is_clean = _has_no_budget(settings, changed)
    for start in range(0, len(images), size):
        part, out = rows[start : start + size], images[start : start + size]
        given = part.of(clean)
        progress = {"progress": kept.run("attack")} if kept and settings.get("ensemble") else {}
        if is_clean:
            measures.append(measure(out.copy_(given), given))
            continue
        made, by = _run(settings, attack, model, given, part, **progress, **changed)
        out.copy_(made)
        if isinstance(model, ClassifierWithDetectors):
            untraced = {name: value for name, value in changed.items() if name != "on_step"}
            if kept and progress:
                untraced["progress"] = kept.run("without detectors")
            other, by_other = _run(
                settings, attack, model.filtered_classifier, given, part, **untraced
            )
            better = is_fooled(model, other, part) & ~is_fooled(model, out, part)
            out[better] = other[better]
            by = {name: torch.where(better, by_other[name], fooled) for name, fooled in by.items()}
        measures.append(measure(out, given) | by)
    return images, {name: torch.cat([part[name] for part in measures]) for name in measures[0]}


def _has_no_budget(settings: dict[str, Any], changed: dict[str, Any]) -> bool:
    """Whether an attack's budget bounds its perturbations to nothing.

    An ensemble says itself, of each of its attacks, that it fooled nothing.
    """
    bound = settings.get("bounded_by")
    is_zero = bound is not None and {**settings["parameters"], **changed}[bound] == 0
    return is_zero and not settings.get("ensemble")


def _run(
    settings: dict[str, Any],
    attack: Attack,
    model: nn.Module,
    images: Tensor,
    rows: Rows,
    **changed: Any,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Run an attack on images of some rows; an ensemble also tells which attack fooled which.

    It is given copies of the images: one of the user's own may change them in place.
    """
    by: dict[str, Tensor] = {}

    def mark(name: str, at: Tensor) -> None:
        nobody = torch.zeros_like(rows.labels, dtype=torch.bool)
        by[f"{FOOLED_BY}{name}"] = nobody.index_fill_(0, at, True)

    options: dict[str, Any] = {"on_part": mark} if settings.get("ensemble") else {}
    if rows.targets is not None:
        options["targets"] = rows.targets
    made = attack(model, images.clone(), rows.labels, **options, **changed)
    return take_images(made, images.shape), by


def take_images(made: Any, shape: torch.Size) -> Tensor:
    """Take what an attack has returned, without what it was differentiated through.

    Raises:
        AttackError: if it is no tensor of that shape, (M, C, H, W).
    """
    if not isinstance(made, Tensor) or made.shape != shape:
        what = tuple(made.shape) if isinstance(made, Tensor) else type(made).__name__
        raise AttackError(
            f"it returned {what}, not a tensor {tuple(shape)}; return an image for each image that "
            "it is given, and nothing else"
        )
    return made.detach()


@torch.no_grad()
def is_fooled(model: ClassifierWithDetectors, images: Tensor, rows: Rows) -> Tensor:
    """Mark the images (M, C, H, W) that are accepted and misclassified, or as the target: (M,)."""
    if rows.targets is not None:
        on_target: Tensor = model(images).argmax(1) == rows.targets
        return on_target
    logits = [attacked_logits(model, *batch) for batch in batches(images, rows.labels)]
    return torch.cat(logits).argmax(1) != rows.labels


def build_attack(settings: dict[str, Any], generator: torch.Generator) -> Attack:
    """Make an attack of its `implementation` and `parameters`; a `random` one has the generator."""
    options = {"generator": generator} if settings.get("random") else {}
    return partial(load(settings["implementation"]), **settings["parameters"], **options)
