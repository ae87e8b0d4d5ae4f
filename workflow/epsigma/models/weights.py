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
from epsigma.models.normalisation import check_normalisation, explain_missing, find_pairs
from epsigma.models.preprocessing import Preprocessed
from epsigma.storage.checkpoint import UNREADABLE

# Names that an error lists, of each sort.
LISTED = 10
# Under which checkpoints keep weights, beside an optimiser's, an epoch and the like.
NESTED = ("state_dict", "model_state_dict", "model", "net")
ALONE = "write the weights alone: torch.save(model.state_dict(), path)"


def read_weights(path: str | Path, key: str | None = None) -> dict[str, Tensor]:
    """Read named tensors, without executing a pickle.

    Args:
        path: a `.safetensors` file, or what torch.save wrote: a `state_dict`, or a dict that holds
            one, as Lightning's checkpoints do, beside what training left.
        key: under which the dict holds the weights that are meant; None if it holds them once.

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
        if key is not None:
            raise ModelError(f"checkpoint {path} has weights alone: leave checkpoint_key out")
        return tensors
    if foreign := _recognise(Path(path)):
        raise ModelError(f"checkpoint {path} is {foreign}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (*UNREADABLE, LookupError, TypeError, AttributeError) as error:
        # Without torch's own message, which advises to unpickle.
        raise _refused(path, error) from None
    return _state_dict(content, path, key)


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


def _state_dict(content: Any, path: str | Path, key: str | None) -> dict[str, Tensor]:
    """Find the named tensors in what torch.load returned."""
    if isinstance(content, Mapping) and (name := _choose(content, path, key)) is not None:
        content = content[name]
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


def _list_nested(content: Mapping[Any, Any]) -> list[str]:
    """List the names under which a file has weights."""
    found = [name for name, value in content.items() if _has_weights(name, value)]
    return found or [name for name in NESTED if isinstance(content.get(name), Mapping)]


def _has_weights(name: str, value: Any) -> bool:
    """Whether something is named tensors, and no list of figures; of `NESTED` some may be none."""
    if not isinstance(value, Mapping):
        return False
    tensors = [one for one in value.values() if isinstance(one, Tensor)]
    return any(one.ndim for one in tensors) and (name in NESTED or len(tensors) == len(value))


def _choose(content: Mapping[Any, Any], path: str | Path, key: str | None) -> str | None:
    """Choose the name under which the weights are that are meant; None if they have none."""
    nested = _list_nested(content)
    if key is None and len(nested) > 1:
        raise ModelError(
            f"checkpoint {path} holds weights under {_listed(nested)}: say which are meant, such "
            f"as checkpoint_key: {nested[0]}"
        )
    if key is not None and key not in nested:
        where = f"it has some under {_listed(nested)}" if nested else "leave checkpoint_key out"
        raise ModelError(f"checkpoint {path} has no weights under {key!r}: {where}")
    return key if key is not None else next(iter(nested), None)


def fit_weights(model: nn.Module, weights: Mapping[str, Tensor], path: str | Path) -> None:
    """Put weights into a model, parameters and buffers; each name must find its like.

    A prefix that all the model's names have in the file, such as Lightning's `model.` or
    DataParallel's `module.`, is taken off. The path is for the message.

    Raises:
        ModelError: lists the tensors that are missing, unexpected, or of another shape.
    """
    expected = model.state_dict()
    found, unexpected = _match(weights, expected)
    missing = [name for name in expected if name not in found]
    misshaped = [
        f"{name} {tuple(found[name].shape)} instead of {tuple(value.shape)}"
        for name, value in expected.items()
        if name in found and found[name].shape != value.shape
    ]
    sorts = {"missing": missing, "unexpected": unexpected, "of another shape": misshaped}
    faults = [f"{sort}: {_listed(names)}" for sort, names in sorts.items() if names]
    if len(faults) == 1 and (said := explain_missing(model, missing, path)):
        raise ModelError(said)
    if faults:
        raise ModelError(
            f"checkpoint {path} does not fit: {'; '.join(faults)}. Give the model the "
            "hyper-parameters that it was trained with, and the data set its shape and classes "
            "(`classes`, of test images alone), or name another file"
        )
    model.load_state_dict(found)


def _match(
    weights: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], list[str]]:
    """Find the tensors of a file that a model expects, and the names of all others."""
    prefix = _prefix(weights, expected)
    found = {name: weights[prefix + name] for name in expected if prefix + name in weights}
    used = {prefix + name for name in found}
    return found, [name for name in weights if name not in used]


def fit_own_weights(model: nn.Module, path: str | Path, key: str | None = None) -> None:
    """Put the weights of a file into a model as `epsigma.models.classifier.build_model` makes it.

    The file holds the network's, behind a prefix or none, under `key` if it has several. It may
    have the numbers of a normalisation, too, which have to be those of the study, and the same
    weights twice.

    Raises:
        ModelError: as `read_weights` and `fit_weights` do, or if the file's normalisation is
            another one.
    """
    weights = read_weights(path, key)
    network = model.network if isinstance(model, Preprocessed) else model
    found, unexpected = _match(weights, network.state_dict())
    pairs = find_pairs(weights, unexpected)
    needless = {*pairs, *pairs.values(), *_list_copies(weights, unexpected, found)}
    rest = {name: value for name, value in weights.items() if name not in needless}
    fit_weights(network, rest, path)
    check_normalisation(model, weights, pairs, path)


def _list_copies(
    weights: Mapping[str, Tensor], unexpected: list[str], found: Mapping[str, Tensor]
) -> list[str]:
    """List the tensors that a file has once more, to the bit, under another prefix."""
    return [
        name
        for name in unexpected
        if any(
            name.endswith(f".{wanted}") and torch.equal(weights[name], value)
            for wanted, value in found.items()
        )
    ]


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
