"""What files of weights say of the normalisation in front of a network."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from epsigma.models.classifier import ModelError
from epsigma.models.preprocessing import Preprocessed

# What networks call the mean that they subtract, and what they divide by: torchvision's recipes,
# RobustBench's networks, and the library `robustness`.
PAIRS = {"mean": "std", "mu": "sigma", "new_mean": "new_std"}
# The most channels of an image that is normalised.
CHANNELS = 4


def find_pairs(tensors: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, str]:
    """Find a normalisation's numbers among the names of tensors: of each mean its deviation."""
    among = set(names)
    pairs = {}
    for name in sorted(among):
        head, dot, last = name.rpartition(".")
        other = f"{head}{dot}{PAIRS.get(last)}"
        if last in PAIRS and other in among and tensors[name].numel() <= CHANNELS:
            pairs[name] = other
    return pairs


def check_normalisation(
    model: nn.Module, weights: Mapping[str, Tensor], pairs: Mapping[str, str], path: str | Path
) -> None:
    """Make sure that a model normalises as the file of its weights says.

    Args:
        model: as `epsigma.models.classifier.build_model` makes it.
        weights: of the file.
        pairs: see `find_pairs`.
        path: of the file, for the message.

    Raises:
        ModelError: says which `normalize` is the file's.
    """
    normalize = model.normalize if isinstance(model, Preprocessed) and model.normalizes else None
    for mean, std in pairs.items():
        found = {"mean": weights[mean].flatten().float(), "std": weights[std].flatten().float()}
        if normalize is None:
            if found["mean"].any() or (found["std"] != 1).any():
                raise ModelError(
                    f"checkpoint {path} was made with a normalisation: say {write_block(found)}"
                )
            continue
        for name, value in found.items():
            asked = getattr(normalize, name).flatten().to(value.device)
            if len(value) not in (1, len(asked)) or not torch.allclose(
                value.expand_as(asked), asked
            ):
                raise ModelError(
                    f"checkpoint {path} was made with another normalisation: set "
                    f"normalize.{name} to {_round(value)}"
                )


def explain_missing(model: nn.Module, missing: Iterable[str], path: str | Path) -> str | None:
    """Say what to do about a file that lacks the network's own normalisation, and nothing else."""
    expected, lacking = model.state_dict(), list(missing)
    pairs = find_pairs(expected, lacking)
    if not pairs or {*pairs, *pairs.values()} != set(lacking):
        return None
    mean, std = next(iter(pairs.items()))
    block = write_block({"mean": expected[mean], "std": expected[std]})
    return (
        f"checkpoint {path} lacks {', '.join(lacking)}, numbers by which the network itself "
        "normalises. If it was trained with them, add them to the file (model.state_dict() has "
        f"them), or name the network without them, and say {block}"
    )


def write_block(found: Mapping[str, Tensor]) -> str:
    """Write a normalisation as a study does."""
    numbers = ", ".join(f"{name}: {_round(one)}" for name, one in found.items())
    return f"normalize: {{{numbers}}}"


def _round(values: Tensor) -> list[float]:
    # As few digits as tell a float32 from all others.
    return [float(str(one)) for one in values.flatten().float().cpu().numpy()]
