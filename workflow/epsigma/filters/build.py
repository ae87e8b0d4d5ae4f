"""Making filters from their settings, and applying them."""

from typing import Any

import torch
from torch import Tensor

from epsigma.autoencoders.trained import load_autoencoder
from epsigma.device import CPU
from epsigma.filters.filter import Filter
from epsigma.filters.sequence import Sequence
from epsigma.filters.surrogate import as_part
from epsigma.loading import load
from epsigma.storage.batches import batch_size, batches


def build_filter(settings: dict[str, Any], generator: torch.Generator | None = None) -> Filter:
    """Make a filter from its `implementation` and `parameters`, and what comes `then`, alike.

    One that is `random` draws from the generator (torch's global one if None), and all lies where
    the generator does. An autoencoder among the parameters is read from its checkpoint.
    """
    device = CPU if generator is None else generator.device
    parts = [settings, *settings.get("then", ())]
    filters = [_build_one(part, generator, device) for part in parts]
    if len(filters) == 1:
        return filters[0]
    ways = [part["gradient"] for part in parts]
    attacked = [as_part(*pair) for pair in zip(filters, ways, strict=True)]
    return Sequence(filters, attacked).eval()


def _build_one(
    settings: dict[str, Any], generator: torch.Generator | None, device: torch.device
) -> Filter:
    options: dict[str, Any] = {"generator": generator} if settings.get("random") else {}
    parameters = with_parts(settings["parameters"], device)
    made: Filter = load(settings["implementation"])(**parameters, **options)
    return made.eval().to(device)


def with_parts(
    parameters: dict[str, Any], device: torch.device, generator: torch.Generator | None = None
) -> dict[str, Any]:
    """Put, in place of how to make autoencoders and filters among hyper-parameters, the modules.

    Filters, which may draw from the generator, have the gradient that attackers take of them.
    """
    return {name: _make_parts(value, device, generator) for name, value in parameters.items()}


def _make_parts(value: Any, device: torch.device, generator: torch.Generator | None) -> Any:
    if isinstance(value, dict) and "checkpoint" in value:
        return load_autoencoder(value, device)
    if isinstance(value, list) and all(_is_filter(one) for one in value):
        return [as_part(build_filter(one, generator), one["gradient"]) for one in value]
    return value


def _is_filter(value: Any) -> bool:
    return isinstance(value, dict) and "gradient" in value


@torch.no_grad()
def apply_filter(module: Filter, images: Tensor) -> Tensor:
    """Filter images (N, C, H, W), batch by batch."""
    if len(images) <= batch_size():
        whole: Tensor = module(images)
        return whole.contiguous()
    filtered = torch.empty_like(images)
    for batch, out in batches(images, filtered):
        out.copy_(module(batch))
    return filtered
