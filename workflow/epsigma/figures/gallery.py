"""One image through a filter at every strength: the paper's figure 2."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from epsigma.cell import Level
from epsigma.figures import style

# Images a row; more strengths go on below.
COLUMNS = 10


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
) -> Figure:
    """Draw one image, clean and attacked, through each filter, and below them their difference.

    Args:
        images: (2, K, C, H, W), of one channel or three.
        predictions: (2, K), the predicted classes.
        probabilities: (2, K), their softmax probabilities, in [0, 1].
        rejected: (2, K), whether detectors reject the image: wrong of a clean one, right of an
            attacked one.
        label: the true class.
        index: of the image in the test set.
        budget: of the attack, as paths spell it.
        strengths: of the K filters, as paths spell them.
        title: over all.
    """
    low, high = min(0.0, float(images.min())), max(1.0, float(images.max()))
    differences = images[1] - images[0]
    # On its own scale, around mid-grey; in colour, each channel by itself.
    reach = float(np.abs(differences).max()) or 1.0
    count = images.shape[1]
    columns = min(COLUMNS, count)
    bands = -(-count // columns)
    figure = Figure(
        layout="constrained", figsize=(max(1.15 * columns + 0.6, 6.0), 4.3 * bands + 0.9)
    )
    grid = figure.subplots(3 * bands, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_visible(False)
    rows = ("clean", f"attacked,\n{named(budget)}")
    for k in range(count):
        column = grid[3 * (k // columns) :, k % columns]
        for row in range(2):
            show(column[row], images[row, k], low, high)
            turned_away = bool(rejected[row, k])
            # What is attacked ought to be rejected, what is clean ought not.
            right = row == 1 if turned_away else predictions[row, k] == label
            said = answer(predictions[row, k], probabilities[row, k], rejected=turned_away)
            column[row].set_xlabel(
                f"{said} {'✓' if right else '✗'}", fontweight="normal" if right else "bold"
            )
        show(column[2], differences[k], -reach, reach)
        column[2].set_xlabel(f"ℓ∞ {np.abs(differences[k]).max():.2g}")
        column[0].set_title(named(strengths[k]), fontsize="medium")
        if k % columns == 0:
            for axes, name in zip(column, (*rows, "difference"), strict=False):
                axes.set_ylabel(name)
    figure.suptitle(f"{title}: test image {index}, a {label}")
    figure.supxlabel(
        f"predicted class (softmax probability); black is {low:.2g}, white {high:.2g}\n"
        f"(of differences −{reach:.2g} and {reach:.2g})",
        fontsize="medium",
    )
    return figure


def answer(prediction: int, probability: float, *, rejected: bool) -> str:
    """Say what is made of an image."""
    return f"{prediction} ({probability:.0%})" + (",\nrejected" if rejected else "")


def show(axes: Any, image: NDArray[np.float32], low: float, high: float) -> None:
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


def named(level: str) -> str:
    """Say what a level is, as figures do; of a filter without one, that there is none."""
    parsed = Level.parse(level)
    return "no filter" if parsed.name is None else style.level_label(parsed.name, parsed.value)
