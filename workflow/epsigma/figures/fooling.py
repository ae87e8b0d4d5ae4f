"""Fooling images, and whether filters unfool the model."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from epsigma.cell import Level
from epsigma.figures.gallery import answer, named, show


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
) -> Figure:
    """Draw an image of each class (rows) through a filter at each strength (columns).

    Args:
        images: (R, K, C, H, W), of one channel or three.
        predictions: (R, K), the predicted classes.
        probabilities: (R, K), their softmax probabilities, in [0, 1].
        rejected: (R, K), whether detectors reject the image.
        targets: (R,), the classes that the images were made for.
        budget: the confidence asked for, as paths spell it.
        strengths: of the K filters, as paths spell them.
        title: over all.
    """
    low, high = min(0.0, float(images.min())), max(1.0, float(images.max()))
    rows, columns = images.shape[:2]
    figure = Figure(layout="constrained", figsize=(max(1.15 * columns + 0.6, 6.0), 1.4 * rows + 1))
    grid = figure.subplots(rows, columns, squeeze=False)
    confidence = Level.parse(budget).value or 0.0
    for row, target in enumerate(targets):
        for k, axes in enumerate(grid[row]):
            show(axes, images[row, k], low, high)
            prediction, probability = predictions[row, k], probabilities[row, k]
            turned_away = bool(rejected[row, k])
            fooled = prediction == target and probability >= confidence and not turned_away
            axes.set_xlabel(
                answer(prediction, probability, rejected=turned_away),
                fontweight="bold" if fooled else "normal",
            )
            if row == 0:
                axes.set_title(named(strengths[k]), fontsize="medium")
        grid[row, 0].set_ylabel(f"made for {target}")
    figure.suptitle(title)
    figure.supxlabel(
        f"predicted class (softmax probability);\nbold: accepted at {named(budget)} or more",
        fontsize="medium",
    )
    return figure
