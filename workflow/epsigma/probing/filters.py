"""How far a filter is from its definition."""

from typing import Any

import torch
from torch import Tensor

from epsigma.filters.build import build_filter
from epsigma.filters.filter import Filter
from epsigma.storage.batches import batches

# Images that a filter is compared with its definition on, which may be slow: at most so many, of so
# many values together.
COMPARED, VALUES = 20, 400_000
# Draws of a random filter.
DRAWS = 400
# Standard errors that the mean of its draws may be from a random filter's formula.
STANDARD_ERRORS = 6.0
# By what images are multiplied, so that their values are not those of 8 bits, to which a filter may
# round.
DIMMED = 0.97


def examine_filter(
    settings: dict[str, Any],
    identity_parameters: dict[str, Any],
    images: Tensor,
    generator: torch.Generator,
) -> dict[str, float | None]:
    """Compare a filter with its definition, on images (N, C, H, W) of 8 bits, in [0, 1].

    It changes nothing with the `identity_parameters`, if it has some.

    Returns:
        `changed`, how far it moves a pixel, and `defined_change`, how far its definition does, or
        how far it spreads; what `conformance` returns; `response_error`, how far
        the transform of the impulse response is from its `response` (None if there is none, or
        the border has a say); `all_pass_error`, how far it moves a pixel with the identity
        parameters (None without).
    """
    module = build_filter(settings, generator)
    impulse = torch.zeros_like(images[:1])
    height, width = images.shape[-2:]
    impulse[..., height // 2, width // 2] = 1
    few = images[: min(COMPARED, max(1, VALUES // images[0].numel()))]
    found = conformance(module, torch.cat([impulse, few]))
    all_pass = None
    if identity_parameters:
        parameters = {**settings["parameters"], **identity_parameters}
        identity = build_filter({**settings, "parameters": parameters}, generator)
        all_pass = largest_change(identity, images)
    return {
        "changed": largest_change(module, images, scale=DIMMED),
        "defined_change": max(found["deviation"], defined_change(module, few * DIMMED)),
        **found,
        "response_error": response_error(module, impulse),
        "all_pass_error": all_pass,
    }


def defined_change(module: Filter, images: Tensor) -> float:
    """Return how far a filter, or a sequence of them, moves a pixel by its definition."""
    filtered = images.double()
    for part in module.parts:
        filtered = part.formula(filtered)
    return largest_difference(filtered, images.double())


def conformance(module: Filter, probes: Tensor) -> dict[str, float]:
    """Compare a filter, or each of a sequence, with its definition.

    Of (N, C, H, W), an impulse and images; one after the first gets what the one before returns.

    Returns:
        Of the one that is farthest, `formula_error`, how far the mean over its draws (one, if it
        adds no noise) is from its `formula`, the `standard_error` of that mean and the filter's
        `tolerance`; of one that adds noise, `deviation` and `measured_deviation` of its draws.
    """
    every = []
    for part in module.parts:
        source = part.generator or torch.default_generator
        before = source.get_state()
        count = DRAWS if part.deviation else 1
        first, mean, deviation = _draw(part, probes, count)
        if part.is_replayed:
            source.set_state(before)
        expected = part.formula(probes.double())
        every.append(
            {
                "formula_error": largest_difference(mean, expected),
                "standard_error": part.deviation / count**0.5,
                "tolerance": part.tolerance,
                "deviation": part.deviation,
                "measured_deviation": deviation,
            }
        )
        probes = first
    # One that draws is off by its standard errors, a solver by its tolerance.
    farthest = max(
        every,
        key=lambda one: (
            one["formula_error"] - STANDARD_ERRORS * one["standard_error"] - one["tolerance"]
        ),
    )
    drawn = max(every, key=lambda one: one["deviation"])
    deviations = {name: drawn[name] for name in ("deviation", "measured_deviation")}
    return {**farthest, **deviations}


def _draw(module: Filter, images: Tensor, count: int) -> tuple[Tensor, Tensor, float]:
    """Filter images so many times: the first draw, the mean (float64), and the mean deviation.

    A draw at a time (Welford 1962, Note on a method for calculating corrected sums of squares and
    products).
    """
    first = module(images)
    mean = first.double()
    squares = torch.zeros_like(mean)
    for number in range(2, count + 1):
        draw = module(images).double()
        delta = draw - mean
        mean += delta / number
        squares += delta * (draw - mean)
    return first, mean, float((squares / max(count - 1, 1)).sqrt().mean())


def response_error(module: Filter, impulse: Tensor) -> float | None:
    """Compare the transform of an impulse response with the formula's, along the x axis.

    The impulse is (1, C, H, W), with a one in the middle.

    Returns:
        The largest difference; None if the filter has no response, if what it does to the range
        is not linear, or if the impulse response reaches the border, where it is folded back.
    """
    width = impulse.shape[-1]
    frequency = torch.fft.rfftfreq(width, dtype=torch.float64)
    expected = module.response(frequency)
    if expected is None or not module.is_linear:
        return None
    found = module(impulse)
    if not module.is_periodic and _reaches_border(found):
        return None
    # A kernel that is cut off has a response of either sign.
    return largest_difference(torch.fft.rfft2(found[0, 0].double())[0].abs(), expected.abs())


def _reaches_border(image: Tensor) -> bool:
    sides = (image[..., 0], image[..., -1], image[..., 0, :], image[..., -1, :])
    return any(bool((side != 0).any()) for side in sides)


@torch.no_grad()
def largest_change(module: Filter, images: Tensor, *, scale: float = 1) -> float:
    """Return how far a filter moves a pixel of images (N, C, H, W), times `scale`, at most."""
    changes = []
    for (batch,) in batches(images):
        given = batch * scale
        changes.append(largest_difference(module(given), given))
    return max(changes)


def largest_difference(one: Tensor, other: Tensor) -> float:
    """Return the largest absolute difference between values of two tensors."""
    return float((one - other).abs().max())
