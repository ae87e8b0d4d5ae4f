"""Weights that users trained themselves: reading their files, and fitting them to a model."""

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from epsigma.models.classifier import ModelError
from epsigma.storage.checkpoint import UNREADABLE

# Names that an error lists, of each sort.
LISTED = 10


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Read named tensors, without executing a pickle.

    Args:
        path: a `.safetensors` file, or what torch.save wrote: a `state_dict`, or a Lightning
            checkpoint.

    Raises:
        ModelError: if the file is damaged, holds something else, or would have to be unpickled.
    """
    if Path(path).suffix == ".safetensors":
        try:
            tensors: dict[str, Tensor] = load_file(path)
        except (SafetensorError, OSError) as error:
            raise ModelError(f"checkpoint {path} is no safetensors file: {error}") from error
        return tensors
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (*UNREADABLE, LookupError, TypeError, AttributeError) as error:
        # Without torch's own message, which advises to unpickle.
        raise _refused(path, error) from None
    return _state_dict(content, path)


def _refused(path: str | Path, error: Exception) -> ModelError:
    pickled = re.search(r"GLOBAL (\S+)", str(error))
    if pickled is None:
        return ModelError(
            f"checkpoint {path} is damaged, or was not written by torch.save: "
            f"{str(error).partition(chr(10))[0]}"
        )
    return ModelError(
        f"checkpoint {path} is refused: it is not only tensors, and reading it would unpickle "
        f"{pickled[1]}, which may run any code; where it was made, write the weights alone: "
        "torch.save(model.state_dict(), path)"
    )


def _state_dict(content: Any, path: str | Path) -> dict[str, Tensor]:
    """Find the named tensors in what torch.load returned."""
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping):
        raise ModelError(
            f"checkpoint {path} holds a {type(content).__name__}, not named tensors; write the "
            "weights alone: torch.save(model.state_dict(), path)"
        )
    others = [name for name, value in content.items() if not isinstance(value, Tensor)]
    if others or not content:
        raise ModelError(
            f"checkpoint {path} is no state_dict"
            f"{': no tensors are ' + _listed(others) if others else ', it is empty'}; write the "
            "weights alone: torch.save(model.state_dict(), path)"
        )
    return {str(name): value for name, value in content.items()}


def fit_weights(model: nn.Module, weights: Mapping[str, Tensor], path: str | Path) -> None:
    """Put weights into a model, parameters and buffers; each name must find its like.

    A prefix that all the model's names have in the file, such as Lightning's `model.` or
    DataParallel's `module.`, is taken off. The path is for the message.

    Raises:
        ModelError: lists the tensors that are missing, unexpected, or of another shape.
    """
    expected = model.state_dict()
    prefix = _prefix(weights, expected)
    found = {name: weights[prefix + name] for name in expected if prefix + name in weights}
    missing = [name for name in expected if name not in found]
    used = {prefix + name for name in found}
    unexpected = [name for name in weights if name not in used]
    misshaped = [
        f"{name} {tuple(found[name].shape)} instead of {tuple(value.shape)}"
        for name, value in expected.items()
        if name in found and found[name].shape != value.shape
    ]
    sorts = {"missing": missing, "unexpected": unexpected, "of another shape": misshaped}
    faults = [f"{sort}: {_listed(names)}" for sort, names in sorts.items() if names]
    if faults:
        raise ModelError(
            f"checkpoint {path} does not fit: {'; '.join(faults)}. Give the model the "
            "hyper-parameters that it was trained with, and the data set its shape and classes, "
            "or name another file"
        )
    model.load_state_dict(found)


def _prefix(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
    """Find what stands before most of the expected names in the file."""
    prefixes = Counter({"": sum(name in weights for name in expected)})
    for name in weights:
        prefixes.update(
            name.removesuffix(wanted) for wanted in expected if name.endswith(f".{wanted}")
        )
    return max(prefixes, key=lambda prefix: (prefixes[prefix], -len(prefix)))


def _listed(names: list[str]) -> str:
    more = len(names) - LISTED
    return ", ".join(map(str, names[:LISTED])) + (f" and {more} more" if more > 0 else "")
