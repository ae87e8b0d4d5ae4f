"""Submitted adversarial sets: checked against the images that they were made from."""

import math
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from epsigma.challenge.rules import MEASURES, Ball, Rules, SubmissionError, inside
from epsigma.device import CPU
from epsigma.plan import paths
from epsigma.storage.images import ImageSet, measure
from epsigma.storage.stored import open_clean

# How far float32 may carry a value over the border of a ball, or of [0, 1].
TOLERANCE = 1e-6
NAMES = ("images", "labels")


def read_submission(path: Path, rules: Rules, folder: Path) -> tuple[str, Ball, ImageSet]:
    """Read a submitted set, and find which images it is of, and the smallest ball that holds it.

    Args:
        path: safetensors with `images` (N, C, H, W), float32 in [0, 1], and `labels` (N,), int64:
            those of the first images of a test set, in its order.
        rules: of the challenge.
        folder: of the challenge.

    Returns:
        The data set, the ball, and the set with its measures.

    Raises:
        SubmissionError: if the set is no such set; says what is wrong.
    """
    attacked = _count_attacked(rules)
    tests = {
        dataset: open_clean(inside(folder, paths.TEST.format(dataset=dataset)), CPU)
        for dataset in attacked
    }
    shapes = {dataset: tuple(clean.images.shape[1:]) for dataset, clean in tests.items()}
    largest = max(max(counts) * math.prod(shapes[name]) for name, counts in attacked.items())
    images, labels = _read(path, largest)
    for dataset, clean in tests.items():
        is_of = len(labels) in attacked[dataset] and images.shape[1:] == shapes[dataset]
        if is_of and labels.equal(clean.labels[: len(labels)]):
            measures = measure(images, clean.images[: len(labels)])
            made = ImageSet(images, labels, measures, _rows(len(labels)))
            return dataset, _find_ball(rules, dataset, measures, len(labels)), made
    raise SubmissionError(
        f"its images {tuple(images.shape)} and labels are not those of the challenge, which are "
        f"{_list_wanted(attacked, shapes)}, with the labels of these images, all of them in the "
        "order of the test set"
    )


def _count_attacked(rules: Rules) -> dict[str, list[int]]:
    """Say, of each data set, how many images are attacked in some ball: all that there are."""
    found: dict[str, set[int]] = {}
    for ball in rules.balls:
        for dataset, count in ball.images.items():
            found.setdefault(dataset, set()).add(count)
    return {dataset: sorted(counts) for dataset, counts in found.items()}


def _read(path: Path, largest: int) -> tuple[Tensor, Tensor]:
    """Read the two tensors of a file whose header says that they are what is asked for."""
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            if sorted(names) != sorted(NAMES):
                raise SubmissionError(
                    f"it has the tensors {', '.join(names) or 'of none'}: it needs images and "
                    "labels, and no others"
                )
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in NAMES}
            if not 0 < math.prod(shapes["images"]) <= largest or len(shapes["images"]) != 4:
                raise SubmissionError(
                    f"its images are {shapes['images']}: make them (N, C, H, W), of the "
                    f"{largest:,} values at most that the challenge's have"
                )
            if shapes["labels"] != shapes["images"][:1]:
                raise SubmissionError(
                    f"it has labels {shapes['labels']} of images {shapes['images']}: one an image"
                )
            images, labels = (file.get_tensor(name).clone() for name in NAMES)
    except (SafetensorError, OSError) as error:
        raise SubmissionError(
            f"it is no safetensors file ({error}): write it with safetensors.torch.save_file"
        ) from error
    if images.dtype != torch.float32 or labels.dtype != torch.int64:
        raise SubmissionError(
            f"its images are {images.dtype} and its labels {labels.dtype}: make them float32 and "
            "int64"
        )
    if not images.isfinite().all():
        where = (~images.isfinite().flatten(1).all(1)).nonzero().flatten()
        raise SubmissionError(f"image {int(where[0])} has values that are not finite: leave none")
    low, high = float(images.min()), float(images.max())
    if low < -TOLERANCE or high > 1 + TOLERANCE:
        raise SubmissionError(f"its values are from {low:.6g} to {high:.6g}: keep them in [0, 1]")
    return images.clamp_(0, 1), labels


def _find_ball(rules: Rules, dataset: str, measures: dict[str, Tensor], count: int) -> Ball:
    """Find the first ball that holds a set of so many images: the smallest of a norm."""
    here = [ball for ball in rules.balls if ball.images.get(dataset) == count]
    sizes = {norm: float(measures[name].max()) for norm, name in MEASURES.items()}
    fits = [ball for ball in here if sizes[ball.norm] <= ball.budget + TOLERANCE]
    if not fits:
        known = ", ".join(f"{ball.norm} {ball.name} = {ball.budget:g}" for ball in here)
        norms = dict.fromkeys(ball.norm for ball in here)
        said = ", ".join(f"{norm} {sizes[norm]:.6g}" for norm in norms)
        worst = here[0].norm
        at = int(measures[MEASURES[worst]].argmax())
        raise SubmissionError(
            f"it is in no ball of the challenge ({known}): its largest perturbation has {said}, "
            f"that of image {at}: bring it into one"
        )
    return fits[0]


def _rows(count: int) -> dict[str, Tensor]:
    index = torch.arange(count)
    return {"index": index, "target": torch.full_like(index, -1)}


def _list_wanted(attacked: dict[str, list[int]], shapes: dict[str, tuple[int, ...]]) -> str:
    """Say which images sets are made from."""
    return ", or ".join(
        f"the first {count:,} of {paths.TEST.format(dataset=dataset).removeprefix(paths.RESULTS)}, "
        f"{shapes[dataset]}"
        for dataset, counts in attacked.items()
        for count in counts
    )
