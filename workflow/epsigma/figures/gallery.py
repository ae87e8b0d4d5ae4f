"""One image through a filter at every strength: the paper's figure 2."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from epsigma.figures import style
from epsigma.grid import Level

# Images a row; more strengths go on below.
COLUMNS = 10


def draw_gallery(
    images: NDArray[np.float32],
    predictions: NDArray[np.int64],
    probabilities: NDArray[np.float32],
    *,
    label: int,
    index: int,
    budget: str,
    strengths: Sequence[str],
    title: str,
) -> Figure:
    """Draw one image, clean (above) and attacked (below), through each filter.

    Args:
        images: (2, K, C, H, W), of one channel or three.
        predictions: (2, K), the predicted classes.
        probabilities: (2, K), their softmax probabilities, in [0, 1].
        label: the true class.
        index: of the image in the test set.
        budget: of the attack, as paths spell it.
        strengths: of the K filters, as paths spell them.
        title: over all.
    """
    low, high = min(0.0, float(images.min())), max(1.0, float(images.max()))
    count = images.shape[1]
    columns = min(COLUMNS, count)
    bands = -(-count // columns)
    figure = Figure(
        layout="constrained", figsize=(max(1.15 * columns + 0.6, 6.0), 2.9 * bands + 0.9)
    )
    grid = figure.subplots(2 * bands, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_visible(False)
    rows = ("clean", f"attacked,\n{_named(budget)}")
    for k in range(count):
        for row, name in enumerate(rows):
            axes = grid[2 * (k // columns) + row, k % columns]
            axes.set_visible(True)
            _show(axes, images[row, k], low, high)
            prediction, probability = predictions[row, k], probabilities[row, k]
            right = prediction == label
            axes.set_xlabel(
                f"{prediction} ({probability:.0%}) {'✓' if right else '✗'}",
                fontweight="normal" if right else "bold",
            )
            if row == 0:
                axes.set_title(_named(strengths[k]), fontsize="medium")
            if k % columns == 0:
                axes.set_ylabel(name)
    figure.suptitle(f"{title}: test image {index}, a {label}")
    figure.supxlabel(
        f"predicted class (softmax probability); black is {low:.2g}, white {high:.2g}",
        fontsize="medium",
    )
    return figure


def _show(axes: Any, image: NDArray[np.float32], low: float, high: float) -> None:
    if len(image) == 1:
        axes.imshow(image[0], cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    else:
        axes.imshow(np.moveaxis((image - low) / (high - low), 0, -1), interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _named(level: str) -> str:
    parsed = Level.parse(level)
    return "no filter" if parsed.name is None else style.level_label(parsed.name, parsed.value)
