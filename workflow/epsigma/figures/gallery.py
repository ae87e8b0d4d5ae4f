"""Images through a filter at every strength: the paper's figure 2."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from safetensors import safe_open

from epsigma.cell import Level
from epsigma.figures import style
from epsigma.figures.data import FigureData
from epsigma.storage.class_names import decode_names
from epsigma.vocabulary import FIXED

# Images a row; more strengths go on below.
COLUMNS = 10


def images_by_strength(data: FigureData) -> Figure:
    """Draw the gallery of a filter: an image, clean and attacked, or an attack's fooling images."""
    with safe_open(data.files["galleries"][data.cell["filter"]], framework="np") as file:
        metadata = file.metadata()
        names = ("images", "predictions", "probabilities", "rejected")
        shown = [file.get_tensor(name) for name in names]
        index, labels = file.get_tensor("index"), file.get_tensor("label")
    about: dict[str, Any] = {
        "budget": metadata["budget"],
        "strengths": json.loads(metadata["strengths"]),
        "title": f"{data.title}, {data.name_filter(data.cell['filter'])}",
        "class_names": decode_names(metadata),
    }
    if data.is_fooling:
        return draw_fooling(*shown, targets=labels, **about)
    return draw_gallery(*shown, label=int(labels[0]), index=int(index[0]), **about)


def draw_gallery(
    images: NDArray[np.float32],
    predictions: NDArray[np.int64],
    probabilities: NDArray[np.float32],
    rejected: NDArray[np.bool_],
    *,
    label: int,
    index: int,
    budget: str,
    strengths: Sequence[str],
    title: str,
    class_names: Sequence[str] = (),
) -> Figure:
    """Draw one image, clean and attacked, through each filter, and below them their difference.

    Args:
        images: (2, K, C, H, W), of one channel or three.
        predictions: (2, K), the predicted classes.
        probabilities: (2, K), their softmax probabilities, in [0, 1].
        rejected: (2, K), whether detectors reject the image: right of an attacked one only.
        label: the true class.
        index: of the image in the test set.
        budget: of the attack, as paths spell it.
        strengths: of the K filters, as paths spell them.
        title: over all.
        class_names: by number; empty if classes have none.
    """
    low, high = _grey_scale(images)
    differences = images[1] - images[0]
    # On its own scale, around mid-grey; in colour, each channel by itself.
    reach = float(np.abs(differences).max()) or 1.0
    count = images.shape[1]
    columns = min(COLUMNS, count)
    bands = -(-count // columns)
    size = max(1.15 * columns + 0.6, 6.0), 4.3 * bands + 0.9
    figure = Figure(layout="constrained", figsize=size)
    grid = figure.subplots(3 * bands, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_visible(False)
    for k, named_strength in enumerate(_name_strengths(strengths)):
        column = grid[3 * (k // columns) :, k % columns]
        for row in range(2):
            _show_image(column[row], images[row, k], low, high)
            is_rejected, prediction = bool(rejected[row, k]), predictions[row, k]
            # What is attacked ought to be rejected, what is clean ought not.
            right = row == 1 if is_rejected else prediction == label
            named = style.class_label(prediction, class_names)
            answer = _name_answer(named, probabilities[row, k], is_rejected)
            column[row].set_xlabel(
                f"{answer} {'✓' if right else '✗'}", fontweight="normal" if right else "bold"
            )
        _show_image(column[2], differences[k], -reach, reach)
        column[2].set_xlabel(f"ℓ∞ {np.abs(differences[k]).max():.2g}")
        column[0].set_title(named_strength, fontsize="medium")
    attacked = "attacked" if budget == FIXED else f"attacked,\n{style.spelled_label(budget)}"
    rows = ("clean", attacked, "difference")
    for axes, name in zip(grid[:, 0], rows * bands, strict=True):
        axes.set_ylabel(name)
    figure.suptitle(f"Test image {index}, {_name_true(label, class_names)}\n{title}")
    ends = f"black is {low:.2g}, white {high:.2g}\n(of differences -{reach:.2g} and {reach:.2g})"
    below = "predicted class (softmax probability); " + ends.replace("-", "−")
    figure.supxlabel(below, fontsize="medium")
    return figure


def draw_fooling(
    images: NDArray[np.float32],
    predictions: NDArray[np.int64],
    probabilities: NDArray[np.float32],
    rejected: NDArray[np.bool_],
    *,
    targets: NDArray[np.int64],
    budget: str,
    strengths: Sequence[str],
    title: str,
    class_names: Sequence[str] = (),
) -> Figure:
    """Draw a fooling image of each class (rows) through a filter at each strength (columns).

    As `draw_gallery`, of R images, made for the classes `targets` (R,); the budget is the
    confidence asked for.
    """
    low, high = _grey_scale(images)
    rows, columns = images.shape[:2]
    figure = Figure(layout="constrained", figsize=(max(1.15 * columns + 0.6, 6.0), 1.4 * rows + 1))
    grid = figure.subplots(rows, columns, squeeze=False)
    confidence = Level.parse(budget).value or 0.0
    accepted = (predictions == targets[:, None]) & (probabilities >= confidence) & ~rejected
    for row, target in enumerate(targets):
        for k, axes in enumerate(grid[row]):
            _show_image(axes, images[row, k], low, high)
            named = style.class_label(predictions[row, k], class_names)
            answer = _name_answer(named, probabilities[row, k], rejected[row, k])
            axes.set_xlabel(answer, fontweight="bold" if accepted[row, k] else "normal")
        label = style.class_label(target, class_names)
        grid[row, 0].set_ylabel(f"made for{_apart(label)}{label}")
    for axes, strength in zip(grid[0], _name_strengths(strengths), strict=True):
        axes.set_title(strength, fontsize="medium")
    figure.suptitle(title)
    asked = style.spelled_label(budget)
    figure.supxlabel(
        f"predicted class (softmax probability);\nbold: accepted at {asked} or more",
        fontsize="medium",
    )
    return figure


def _grey_scale(images: NDArray[np.float32]) -> tuple[float, float]:
    """Find what is black and what is white: 0 and 1, or what lies beyond."""
    return min(0.0, float(images.min())), max(1.0, float(images.max()))


def _show_image(axes: Any, image: NDArray[np.float32], low: float, high: float) -> None:
    """Draw an image (C, H, W), of one channel or three, from `low` (black) to `high` (white)."""
    if len(image) == 1:
        axes.imshow(image[0], cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    else:
        colours = ((image - low) / (high - low)).clip(0, 1)
        axes.imshow(np.moveaxis(colours, 0, -1), interpolation="nearest")
    axes.set_visible(True)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _name_answer(named: str, probability: float, is_rejected: bool) -> str:
    return f"{named}{_apart(named)}({probability:.0%})" + (",\nrejected" if is_rejected else "")


def _name_true(label: int, class_names: Sequence[str]) -> str:
    named = style.class_label(label, class_names)
    return f"a {label}" if named == str(label) else named


def _apart(named: str) -> str:
    """Numbers are short; names have a line of their own."""
    return " " if named.isdecimal() else "\n"


def _name_strengths(strengths: Sequence[str]) -> list[str]:
    """Name the columns: first no filter; then the strengths of one, which the title names."""
    named = ["filtered" if one == FIXED else style.spelled_label(one) for one in strengths]
    return ["no filter", *named[1:]]
