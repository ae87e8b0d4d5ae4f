"""Trying a submitted filter on some images, before anything is spent on it."""

import importlib
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from epsigma.challenge.rules import Rules, SubmissionError, with_filters
from epsigma.checks.filters import EXACT, STANDARD_ERRORS
from epsigma.filters.build import build_filter
from epsigma.filters.filter import Filter
from epsigma.filters.surrogate import GRADIENTS, attackable
from epsigma.kinds import FilterKind
from epsigma.probing.filters import conformance
from epsigma.storage.batches import BATCH
from epsigma.study import ConfigurationError, Study

# The module that a submitted file is.
MODULE = "submission"
# Clean images that a filter is tried on, beside noise, black and white.
IMAGES = 8
# How far values may be outside [0, 1], and from those that the filter gave before.
TOLERANCE = 1e-5
# Values of the largest batch that it is tried on: of large images fewer than `BATCH`.
VALUES = 20_000_000
# What a filter may say of its formula: a `tolerance` of two levels of 8 bits, as the study's
# total variation has, and a `deviation` of so many times that of its draws. Of draws that are
# clipped to [0, 1] the latter is smaller.
MOST_TOLERANCE, MOST_DEVIATION = 2 / 255, 3.0


@contextmanager
def naming_line(doing: str) -> Iterator[None]:
    """Say of what the submitted code raises in the body what it is, and in which of its lines.

    Args:
        doing: what raised it, as `importing it`.
    """
    try:
        yield
    except SubmissionError:
        raise
    except BaseException as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename.endswith(f"{MODULE}.py")]
        if isinstance(error, SyntaxError):
            lines.append(error.lineno)
        at = f" (line {lines[-1]})" if lines else ""
        said = f"{type(error).__name__}: {error}".rstrip(": ")
        raise SubmissionError(f"{doing} raised {said}{at}") from error


def read_study(rules: Rules, name: str) -> Study:
    """Read the submitted filter into the study of a challenge, as its only one.

    Args:
        rules: of the challenge.
        name: that the filter gets.

    Raises:
        SubmissionError: if the file is not what a submission is.
    """
    with naming_line("importing it"):
        module = importlib.import_module(MODULE)
    entry, values = getattr(module, "FILTER", None), getattr(module, "VALUES", {})
    if not isinstance(entry, FilterKind) or not isinstance(values, dict):
        raise SubmissionError(
            "it has no FILTER, an epsigma.kinds.FilterKind, or VALUES is no dict: begin with "
            "my_filter.py, and keep these two names"
        )
    if entry.gradient not in GRADIENTS or entry.autoencoder:
        raise SubmissionError(
            f"its gradient is {entry.gradient!r}: FILTER says one of {', '.join(GRADIENTS)}; and "
            "it takes no autoencoder"
        )
    allowed = [*entry.hyperparameters.model_fields, "then"]
    if unknown := [str(key) for key in values if key not in allowed]:
        raise SubmissionError(
            f"VALUES has the key {', '.join(unknown)}; allowed: {', '.join(allowed)}"
        )
    block = {**values, "kind": f"{MODULE}:FILTER", "name": name}
    try:
        return with_filters(rules, block)
    except ConfigurationError as error:
        raise SubmissionError(f"VALUES do not fit its hyper-parameters: {error}") from error


def try_filter(settings: dict[str, Any], gradient: str, images: Tensor, seed: int = 0) -> None:
    """Try a filter on images (N, C, H, W), on noise, and on a black and a white one.

    Raises:
        SubmissionError: if it raises, does not return finite float32 images of that shape in
            [0, 1], changes what it is given, makes of an image something else in a batch, the
            next time or if a gradient is wanted, is not differentiable though it says so, is not
            what its formula says, or says that it may be far from that.
    """
    noise = torch.rand((2, *images.shape[1:]), generator=torch.Generator().manual_seed(seed))
    plain = torch.stack([torch.zeros_like(images[0]), torch.ones_like(images[0])])
    probes = torch.cat([noise[:1], images[:IMAGES], plain, noise[1:]])
    generator = torch.Generator().manual_seed(seed + 1)
    with naming_line("making the filter"):
        module = build_filter(settings, generator)
    if not isinstance(module, Filter):
        raise SubmissionError("FILTER names no subclass of epsigma.filters.filter.Filter")
    is_random = any(part.get("random") for part in (settings, *settings.get("then", ())))
    with torch.no_grad():
        filtered = _call(module, probes, generator)
        _check_alike(module, probes, filtered, generator)
        _check_batches(module, probes, filtered, generator, is_random)
    _check_gradient(module, gradient, probes)
    _check_formula(module, probes)


def _call(
    module: Filter, images: Tensor, generator: torch.Generator, *, attacked: bool = False
) -> Tensor:
    """Filter images, as an attacker does or not, and look at what comes out.

    The generator begins anew, so that a random filter draws the same each time.
    """
    generator.manual_seed(generator.initial_seed())
    given = images.clone().requires_grad_(attacked)
    with naming_line("filtering images"):
        found = module(given)
    if not isinstance(found, Tensor) or found.shape != images.shape:
        what = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise SubmissionError(
            f"of images {tuple(images.shape)} it makes {what}: it has to keep the shape"
        )
    if found.dtype != images.dtype:
        raise SubmissionError(f"of float32 images it makes {found.dtype}: make them float32")
    found = found.detach()
    if not found.isfinite().all():
        raise SubmissionError(
            "of finite images, black, white and noise among them, it makes values that are not "
            "finite: look for the root, logarithm or quotient of zero"
        )
    low, high = float(found.min()), float(found.max())
    if low < -TOLERANCE or high > 1 + TOLERANCE:
        raise SubmissionError(
            f"in a batch of {len(images):,} it makes values from {low:.4g} to {high:.4g}: keep "
            "them in [0, 1], as by clamp(0, 1)"
        )
    if not given.equal(images):
        raise SubmissionError("it changes the images that it is given: work on a copy")
    return found


def _check_alike(
    module: Filter, images: Tensor, filtered: Tensor, generator: torch.Generator
) -> None:
    """Make sure that a filter does the same each time, and whether a gradient is wanted or not."""
    if _differ(_call(module, images, generator), filtered):
        raise SubmissionError(
            "of the same images it makes others the next time: say random=True in FILTER, and draw "
            "from nothing but the `generator` that it is then given"
        )
    with torch.enable_grad():
        attacked = _call(module, images, generator, attacked=True)
    if _differ(attacked, filtered):
        raise SubmissionError(
            "it filters images that want a gradient another way than others: take requires_grad out"
        )


def _check_batches(
    module: Filter, images: Tensor, filtered: Tensor, generator: torch.Generator, is_random: bool
) -> None:
    """Make sure that a filter filters each image alone, in batches of one, of few and of many."""
    alone = torch.cat([_call(module, image[None], generator) for image in images])
    many = _enlarge(len(images), min(BATCH, VALUES // images[0].numel()))
    enlarged = _call(module, images[many], generator)
    # One that draws has other numbers for an image where the batch has another size.
    if is_random:
        _check_neighbours(module, images, filtered, generator)
        _check_neighbours(module, images[many], enlarged, generator)
        return
    _hold_alone(alone, filtered, f"{len(images) - 1} or none")
    _hold_alone(enlarged, filtered[many], f"{len(images) - 1} or {len(many) - 1:,}")


def _check_neighbours(
    module: Filter, images: Tensor, filtered: Tensor, generator: torch.Generator
) -> None:
    """Make sure that the first and the last image come out the same with others between them.

    The batch keeps its size, and the draws are the same.
    """
    others = images.clone()
    others[1:-1] = 0.2 + 0.5 * others[1:-1]
    changed = _call(module, others, generator)
    _hold_alone(changed[[0, -1]], filtered[[0, -1]], f"{len(images) - 1:,}")


def _hold_alone(found: Tensor, expected: Tensor, others: str) -> None:
    """Refuse a filter that makes something else of the same images among (so many) others."""
    if off := _differ(found, expected):
        raise SubmissionError(
            f"what it makes of an image depends on the others of the batch ({others}), by up to "
            f"{off:.2g}: filter each image alone, and if it draws, as many numbers whatever the "
            "images are"
        )


def _differ(one: Tensor, other: Tensor) -> float:
    """Return by how much values differ at most; 0 within `TOLERANCE`."""
    off = float((one - other).abs().max())
    return off if off > TOLERANCE else 0.0


def _enlarge(count: int, size: int) -> Tensor:
    """Index `size` images, of which those between the first and the last are repeated."""
    between = 1 + torch.arange(max(size, count) - 2) % (count - 2)
    return torch.cat([torch.tensor([0]), between, torch.tensor([count - 1])])


def _check_gradient(module: Filter, gradient: str, images: Tensor) -> None:
    """Make sure that an attacker can differentiate through a filter, or through its surrogate."""
    with naming_line("its gradient"):
        given = images.clone().requires_grad_()
        found = attackable(module, gradient)(given)
        if not found.requires_grad:
            raise SubmissionError(
                'its output has no gradient: say gradient="bpda", and give it a surrogate'
            )
        torch.autograd.grad(found.sum(), given)


def _check_formula(module: Filter, images: Tensor) -> None:
    """Make sure that a filter is what its formula says, as far as it may be off."""
    with torch.no_grad(), naming_line("its formula"):
        for part in module.parts:
            if not part.tolerance <= MOST_TOLERANCE:
                raise SubmissionError(
                    f"its tolerance is {part.tolerance:.4g}: declare 2/255 at most, and let "
                    "forward come as close to formula"
                )
        found = conformance(module, images)
    deviation, measured = found["deviation"], found["measured_deviation"]
    if deviation and not deviation <= MOST_DEVIATION * measured:
        raise SubmissionError(
            f"its deviation is {deviation:.4g}, that of its draws {measured:.4g}: declare that of "
            "its draws, and none if it adds no noise"
        )
    off = found["formula_error"]
    allowed = EXACT + STANDARD_ERRORS * found["standard_error"] + found["tolerance"]
    if not off <= allowed:
        raise SubmissionError(
            f"it is up to {off:.2g} from its formula, more than {allowed:.2g}: forward and formula "
            "have to be the same filter"
        )
