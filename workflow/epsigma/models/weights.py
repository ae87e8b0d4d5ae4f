"""Weights that users trained themselves: reading their files, and fitting them to a model."""

import re
import tarfile
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from epsigma.models.classifier import ModelError
from epsigma.models.preprocessing import Preprocessed
from epsigma.storage.checkpoint import UNREADABLE

# Names that an error lists, of each sort.
LISTED = 10
# Under which checkpoints keep weights, beside an optimiser's, an epoch and the like.
NESTED = ("state_dict", "model_state_dict", "model", "net")
ALONE = "write the weights alone: torch.save(model.state_dict(), path)"


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Read named tensors, without executing a pickle.

    Args:
        path: a `.safetensors` file, or what torch.save wrote: a `state_dict`, or a Lightning
            checkpoint, or a dict that holds one under one of `NESTED`.

    Raises:
        ModelError: if the file is damaged, holds something else, or would have to be unpickled.
    """
    if Path(path).suffix == ".safetensors":
        try:
            tensors: dict[str, Tensor] = load_file(path)
        except (SafetensorError, OSError) as error:
            raise ModelError(
                f"checkpoint {path} is no safetensors file ({error}); write it again, with "
                "safetensors.torch.save_file"
            ) from error
        return tensors
    if foreign := _recognise(Path(path)):
        raise ModelError(f"checkpoint {path} is {foreign}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (*UNREADABLE, LookupError, TypeError, AttributeError) as error:
        # Without torch's own message, which advises to unpickle.
        raise _refused(path, error) from None
    return _state_dict(content, path)


def _recognise(path: Path) -> str | None:
    """Say which other format a file has, and how to save its weights; None if none is known."""
    with open(path, "rb") as file:
        first = file.read(8)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = {name.partition("/")[2] for name in archive.namelist()}
        if "constants.pkl" in names:
            return f"TorchScript; {ALONE.replace('model.', 'torch.jit.load(file).')}"
        if names & {"archive_format", "serialized_exported_program.json"} or path.suffix == ".pt2":
            exported = ALONE.replace("model.state_dict()", "torch.export.load(file).state_dict")
            return f"a program of torch.export; {exported}"
        return None if "data.pkl" in names else f"a zip archive not of torch.save; {ALONE}"
    if tarfile.is_tarfile(path):
        return "a tar archive; unpack it, and name the file of weights in it"
    if first.startswith(b"\x89HDF"):
        return f"HDF5, as Keras writes it; {ALONE}"
    if path.suffix == ".onnx" or first.startswith(b"\x08"):
        return f"ONNX; where the model was made, {ALONE}"
    return None


def _refused(path: str | Path, error: Exception) -> ModelError:
    pickled = re.search(r"GLOBAL (\S+)", str(error))
    if pickled is None:
        why = str(error).partition("\n")[0]
        if "weights_only" in why:
            why = "torch.load finds no tensors in it"
        return ModelError(
            f"checkpoint {path} is damaged, or was not written by torch.save ({why}); {ALONE}"
        )
    return ModelError(
        f"checkpoint {path} is refused: it is not only tensors, and reading it would unpickle "
        f"{pickled[1]}, which may run any code; where it was made, {ALONE}"
    )


def _state_dict(content: Any, path: str | Path) -> dict[str, Tensor]:
    """Find the named tensors in what torch.load returned."""
    if isinstance(content, Mapping):
        nested = [name for name in NESTED if isinstance(content.get(name), Mapping)]
        if len(nested) > 1:
            raise ModelError(
                f"checkpoint {path} holds weights under {' and '.join(nested)}; of the ones that "
                f"are meant, {ALONE}"
            )
        content = content[nested[0]] if nested else content
    if not isinstance(content, Mapping):
        raise ModelError(
            f"checkpoint {path} holds a {type(content).__name__}, not named tensors; {ALONE}"
        )
    others = [name for name, value in content.items() if not isinstance(value, Tensor)]
    if others or not content:
        raise ModelError(
            f"checkpoint {path} is no state_dict"
            f"{': no tensors are ' + _listed(others) if others else ', it is empty'}; {ALONE}"
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
            "hyper-parameters that it was trained with, and the data set its shape and classes "
            "(`classes`, of test images alone), or name another file"
        )
    model.load_state_dict(found)


def fit_own_weights(model: nn.Module, path: str | Path) -> None:
    """Put the weights of a file into a model as `epsigma.models.classifier.build_model` makes it.

    Of a `Preprocessed` the file holds the network alone, or, as a checkpoint of epsigma does, its
    normalisation, too.

    Raises:
        ModelError: as `read_weights` and `fit_weights` do, or if the file's normalisation is
            another one.
    """
    weights = read_weights(path)
    if not isinstance(model, Preprocessed):
        fit_weights(model, weights, path)
        return
    kept = any(f".{name}".endswith(".normalize.mean") for name in weights)
    if not (model.normalizes and kept):
        fit_weights(model.network, weights, path)
        return
    asked = {name: value.clone() for name, value in model.normalize.state_dict().items()}
    fit_weights(model, weights, path)
    for name, value in model.normalize.state_dict().items():
        if not torch.allclose(value, asked[name]):
            raise ModelError(
                f"checkpoint {path} was made with another normalisation: set normalize.{name} to "
                f"{[round(one, 6) for one in value.flatten().tolist()]}"
            )


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
