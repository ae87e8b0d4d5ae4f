"""Images and labels in safetensors files."""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from epsigma.storage.batches import batches
from epsigma.storage.checksums import checksums, verify
from epsigma.storage.class_names import decode_names
from epsigma.storage.files import atomic_write, damaged
from epsigma.storage.rounding import LEVELS

# How a set calls which of its examples one attack of an ensemble fooled: this and its name.
FOOLED_BY = "fooled_by_"
# How one that is rounded to be stored calls which examples fooled what was attacked, before and
# since.
UNROUNDED, ROUNDED = "fooled_unrounded", "fooled_rounded"
_VALIDATION = ("validation_images", "validation_labels")
# Bytes, of the memory that torch allocates on a CPU.
ALIGNMENT = 64


@dataclass(frozen=True)
class ImageSet:
    """Images as a stage hands them to the next.

    Args:
        images: (N, C, H, W), float32; in [0, 1], but for what a filter leaves outside.
        labels: (N,) int64, the true classes.
        measures: of each example's unfiltered perturbation, what `measure` returns; and of an
            ensemble, for each of its attacks, `FOOLED_BY` and its name: bool, whether it was the
            first to fool the example; and of one that is rounded `UNROUNDED` and `ROUNDED`, bool.
            None for clean images.
        rows: which example each row is of, and what was aimed at; None if row i is the test set's
            image i, and nothing was.
    """

    images: Tensor
    labels: Tensor
    measures: dict[str, Tensor] | None = None
    rows: dict[str, Tensor] | None = None

    MEASURES = ("linf", "l2", "l0", "changed", "outside")
    ROWS = ("index", "target")

    def __repr__(self) -> str:
        """Say what there is: a notebook would print each pixel."""
        others = ", ".join(("labels", *(self.measures or ()), *(self.rows or ())))
        return f"ImageSet(images {tuple(self.images.shape)}, {others})"


def write_tensors(path: str | Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file."""
    kept = {name: value.cpu().contiguous() for name, value in tensors.items()}
    sums = checksums({name: value.numpy() for name, value in kept.items()})
    with atomic_write(path) as temporary:
        save_file(kept, temporary, metadata | sums)


def write_image_set(path: str | Path, images: ImageSet, metadata: dict[str, str]) -> None:
    """Write an adversarial or a filtered set."""
    tensors = {"images": images.images, "labels": images.labels}
    write_tensors(path, tensors | (images.measures or {}) | (images.rows or {}), metadata)


def read_image_set(path: str | Path, device: torch.device) -> ImageSet:
    """Read an adversarial or a filtered set."""
    tensors = read_tensors(path, ("images", "labels", *ImageSet.MEASURES), device)
    return ImageSet(
        images=to_float(tensors["images"]),
        labels=tensors["labels"],
        measures={name: value for name, value in tensors.items() if is_measure(name)},
        rows={name: tensors[name] for name in ImageSet.ROWS} if "index" in tensors else None,
    )


def read_clean(path: str | Path, device: torch.device) -> ImageSet:
    """Read a data set's images (uint8 or float32 in the file) as float32 in [0, 1]."""
    tensors = read_tensors(path, ("images", "labels"), device)
    return ImageSet(images=to_float(tensors["images"]), labels=tensors["labels"])


def is_measure(name: str) -> bool:
    """Say whether a tensor of a set is one of its measures."""
    return name in (*ImageSet.MEASURES, UNROUNDED, ROUNDED) or name.startswith(FOOLED_BY)


def to_float(pixels: Tensor) -> Tensor:
    """Make images of a file float32, of which 1 is white; or directions, of int8.

    Of uint8 and float16 255 is white.
    """
    if pixels.dtype == torch.float32:
        return pixels
    return pixels.float() if pixels.dtype == torch.int8 else pixels.float().div_(LEVELS)


def read_training(path: str | Path, device: torch.device) -> ImageSet:
    """Read a data set's training images as `read_clean` does; a ValueError if there are none."""
    data = read_clean(path, device)
    refuse_untrained(len(data.labels))
    return data


def refuse_untrained(n: int) -> None:
    """Refuse a data set that has no training images, with a ValueError."""
    if not n:
        raise ValueError(
            "the data set has test images alone, enough for models with a `checkpoint`: to train "
            "models or autoencoders, or to set thresholds of detectors, add training images"
            " (validation images will do for the latter)"
        )


def has_validation(path: str | Path) -> bool:
    """Say whether the file of a data set's training images has what it brings to validate on."""
    try:
        with safe_open(path, framework="pt") as file:
            return set(_VALIDATION) <= set(file.keys())
    except (SafetensorError, OSError) as error:
        raise damaged(path, error) from error


def read_validation(path: str | Path, device: torch.device) -> ImageSet | None:
    """Read what a data set brings to validate on, of the file of its training images, or None."""
    if not has_validation(path):
        return None
    tensors = read_tensors(path, _VALIDATION, device)
    images, labels = (tensors[name] for name in _VALIDATION)
    return ImageSet(images=to_float(images), labels=labels)


def read_classes(path: str | Path) -> int:
    """Read how many classes a data set's file was written with."""
    try:
        with safe_open(path, framework="pt") as file:
            return int(file.metadata()["classes"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise damaged(path, error) from error


def read_class_names(path: str | Path) -> list[str]:
    """Read what a data set's file calls its classes, by number; nothing if they have no names."""
    try:
        with safe_open(path, framework="pt") as file:
            return decode_names(file.metadata() or {})
    except (SafetensorError, OSError, TypeError, ValueError) as error:
        raise damaged(path, error) from error


def read_tensors(
    path: str | Path, names: tuple[str, ...], device: torch.device
) -> dict[str, Tensor]:
    """Read a safetensors file, which has to hold the named tensors."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            verify({name: value.numpy() for name, value in tensors.items()}, file.metadata())
    except (SafetensorError, OSError, LookupError, TypeError, ValueError) as error:
        raise damaged(path, error) from error
    missing = [name for name in names if name not in tensors]
    if missing:
        raise damaged(path, f"it has no tensor {', '.join(missing)}")
    return {name: _aligned(value).to(device) for name, value in tensors.items()}


def _aligned(value: Tensor) -> Tensor:
    """Give a tensor the alignment that torch gives its own.

    In a file it follows from the header's length, and products round otherwise with another.
    """
    return value if value.data_ptr() % ALIGNMENT == 0 else value.clone()


def measure(perturbed: Tensor, clean: Tensor) -> dict[str, Tensor]:
    """Measure δ = perturbed − clean, example by example.

    Returns:
        (N,) float32 by name: `linf` = max |δ|, `l2` = √Σδ², `l0` = number of pixels (each of all
        its channels) that changed, `changed` = share of the features (values) that changed,
        `outside` = how far the perturbed values leave [0, 1].
    """
    parts = []
    for one, other in batches(perturbed, clean):
        delta = one - other
        # A tenth of the time of `delta != 0`, of which torch makes a loop over values.
        differs = delta.bool()
        below, above = _reach(one)
        parts.append(
            (
                torch.maximum(*_reach(delta)),
                torch.linalg.vector_norm(delta.flatten(1), dim=1),
                _count(differs.any(1)).float(),
                _count(differs) / differs[0].numel(),
                torch.maximum(below, above - 1).clamp_(min=0),
            )
        )
    joined = (torch.cat(values) for values in zip(*parts, strict=True))
    return dict(zip(ImageSet.MEASURES, joined, strict=True))


def _count(marks: Tensor) -> Tensor:
    """Count what is marked of each example, (N,) int32."""
    return marks.view(torch.uint8).flatten(1).sum(1, dtype=torch.int32)


def _reach(images: Tensor) -> tuple[Tensor, Tensor]:
    """How far values go below and above zero: (N,) each, negative if they stay on one side.

    Two passes: torch's `aminmax` along a dimension takes ten times as long.
    """
    flat = images.flatten(1)
    # + 0 makes 0 of -0.
    return flat.amin(1).neg_().add_(0), flat.amax(1)
