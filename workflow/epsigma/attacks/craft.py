"""Running an attack on a set of images, batch by batch."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from epsigma.attacks.rows import Rows, attacked_rows
from epsigma.attacks.stored import round_made
from epsigma.detectors.rejection import ClassifierWithDetectors, attacked_logits
from epsigma.loading import load
from epsigma.storage.batches import Images, batch_size, batches, each_batch
from epsigma.storage.images import FOOLED_BY, ROUNDED, UNROUNDED, measure
from epsigma.storage.progress import ProgressFile
from epsigma.vocabulary import FLOAT32

Attack = Callable[..., Tensor]
# Of the images that an ensemble is given at a time, in bytes, if they are more than a batch.
ENSEMBLE_BYTES = 128_000_000


class AttackError(ValueError):
    """An attack that cannot be used; the message says why, and what to do."""


def rows_of(settings: dict[str, Any], labels: Tensor, classes: int) -> Rows:
    """List the rows that an attack of these settings makes: `attacked_rows` of the labels (N,)."""
    targets = settings.get("targets", "untargeted")
    return attacked_rows(labels, classes, examples=settings.get("examples"), targets=targets)


@dataclass(frozen=True)
class Part:
    """Some rows of an adversarial set: which they are, their images (M, C, H, W), and measures."""

    rows: Rows
    images: Tensor
    measures: dict[str, Tensor]


def make_set(
    settings: dict[str, Any],
    generator: torch.Generator,
    model: nn.Module,
    clean: Images,
    rows: Rows,
    **options: Any,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Run an attack as `make_parts` does, and put the parts together: images and measures."""
    parts = list(make_parts(settings, generator, model, clean, rows, **options))
    measures = {
        name: torch.cat([part.measures[name] for part in parts]) for name in parts[0].measures
    }
    return torch.cat([part.images for part in parts]), measures


def make_parts(
    settings: dict[str, Any],
    generator: torch.Generator,
    model: nn.Module,
    clean: Images,
    rows: Rows,
    *,
    kept: ProgressFile | None = None,
    say: Callable[[str], None] = lambda sentence: None,
    on_batch: Callable[[], None] = lambda: None,
    **changed: Any,
) -> Iterator[Part]:
    """Run an attack, batch by batch, on the rows (M) of the test images, `clean` (N, C, H, W).

    `kept` is the file in which an ensemble keeps what it has done; `say` is told of a batch that
    was halved; `on_batch` is called before each. `changed` are hyper-parameters that are not those
    of the settings. With a budget of 0, `bounded_by` in the settings, nothing is attacked: the set
    is the clean one. Images are rounded to the type that they are `stored_as`, if the settings say
    so (`round_made`).

    Yields:
        The rows in their order, with what `measure` returns of each; of an ensemble also, for each
        of its attacks, which rows that fooled, and of what is rounded which ones did before, and
        since: see `ImageSet`. A classifier with detectors is attacked twice, with its detectors and
        without: the second time those rows at which the first did not succeed, whose result is
        taken where it does. So an attacker who knows more does no worse.
    """
    attack = build_attack(settings, generator)
    is_clean = _has_no_budget(settings, changed)

    def make(at: slice) -> Part:
        part = rows[at]
        given = part.of(clean)
        if is_clean:
            return _finish(settings, model, given.clone(), given, part, generator, changed)
        on_batch()
        progress: dict[str, Any] = {}
        # The first one's name is that of the only one, of sets that need no more.
        which = f" {at.start}" if at.start else ""
        if kept and settings.get("ensemble"):
            progress = {"progress": kept.run(f"attack{which}")}
        made, by = _run(settings, attack, model, given, part, **progress, **changed)
        out = torch.empty_like(given, memory_format=torch.contiguous_format).copy_(made)
        if isinstance(model, ClassifierWithDetectors):
            untraced = {name: value for name, value in changed.items() if name != "on_step"}
            if kept and progress:
                untraced["progress"] = kept.run(f"without detectors{which}")
            left = (~is_fooled(model, out, part)).nonzero().squeeze(1)
            if len(left):
                other, by_other = _run(
                    settings, attack, model.filtered_classifier, given[left], part[left], **untraced
                )
                better = is_fooled(model, other, part[left])
                out[left[better]] = other[better]
                for name, fooled in by.items():
                    fooled[left[better]] = by_other[name][better] if name in by_other else False
        part_made = _finish(settings, model, out, given, part, generator, changed)
        return replace(part_made, measures=part_made.measures | by)

    # An ensemble makes batches of what is left.
    chunk = _ensemble_rows(clean) if settings.get("ensemble") else None
    return each_batch(len(rows.index), make, generator=generator, say=say, chunk=chunk)


def _finish(
    settings: dict[str, Any],
    model: nn.Module,
    made: Tensor,
    clean: Tensor,
    rows: Rows,
    generator: torch.Generator,
    changed: dict[str, Any],
) -> Part:
    """Measure what an attack made; if it is rounded, mark what fooled the model before, and since.

    A model that draws does so both times alike, and the attack's next draws are not touched. By how
    much values leave [0, 1] is measured before they are rounded, which clips them.
    """
    stored = round_made(settings, made, clean, changed)
    marks: dict[str, Tensor] = {}
    if settings.get("stored_as", FLOAT32) != FLOAT32:
        marks["outside"] = measure(made, clean)["outside"]
        state = generator.get_state()
        for name, images in ((UNROUNDED, made), (ROUNDED, stored)):
            marks[name] = is_fooled(model, images, rows)
            generator.set_state(state)
    return Part(rows, stored, measure(stored, clean) | marks)


def _ensemble_rows(clean: Images) -> int:
    """Say how many rows an ensemble is given at a time: of small images, all."""
    return max(batch_size(), ENSEMBLE_BYTES // (4 * math.prod(clean.shape[1:])))


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
def is_fooled(model: nn.Module, images: Tensor, rows: Rows) -> Tensor:
    """Mark the images (M, C, H, W) that are accepted and misclassified, or as the target: (M,)."""
    if rows.targets is not None:
        return torch.cat([model(one) for (one,) in batches(images)]).argmax(1) == rows.targets
    logits = [attacked_logits(model, *batch) for batch in batches(images, rows.labels)]
    return torch.cat(logits).argmax(1) != rows.labels


def build_attack(settings: dict[str, Any], generator: torch.Generator) -> Attack:
    """Make an attack of its `implementation` and `parameters`; a `random` one has the generator."""
    options = {"generator": generator} if settings.get("random") else {}
    return partial(load(settings["implementation"]), **settings["parameters"], **options)
