"""Whether a classifier behaves as one."""

import torch
from torch import Tensor, nn

from epsigma.models.classifier import predict
from epsigma.storage.batches import Images

# Images that are also evaluated one by one.
ALONE = 64


def examine_model(model: nn.Module, images: Images, labels: Tensor) -> dict[str, float | int]:
    """Measure what the checks judge of a classifier, on test images (N, C, H, W).

    Returns:
        `n`, `n_correct` and `majority` (share of the most frequent class) of the test set;
        `n_by_chance`, how many would be right if the answers had nothing to do with the labels,
        `deviations_above_chance`, how many standard deviations `n_correct` is above that, and
        `most_deviations`, how many a perfect model is; `largest_logit`, the largest magnitude;
        `probability_like`, the share of outputs that look like softmax's; `training_modules`;
        `repeat_error` and `batch_error`, how far logits differ when computed again, and one image
        at a time.
    """
    logits = predict(model, images)
    few = images[:ALONE]
    alone = torch.cat([predict(model, image[None]) for image in few])
    sum_to_one = (logits.sum(1) - 1).abs() < 1e-4
    counts, prediction = torch.bincount(labels), logits.argmax(1)
    by_chance, above = compare_with_chance(prediction, labels)
    return {
        "n": len(logits),
        "n_correct": int((prediction == labels).sum()),
        "majority": float(counts.max() / counts.sum()),
        "n_by_chance": by_chance,
        "deviations_above_chance": above,
        "most_deviations": compare_with_chance(labels, labels)[1],
        "largest_logit": float(logits.abs().max()),
        "probability_like": float(((logits >= 0).all(1) & sum_to_one).float().mean()),
        "training_modules": sum(module.training for module in model.modules()),
        "repeat_error": float((predict(model, images) - logits).abs().max()),
        "batch_error": float((alone - logits[: len(few)]).abs().max()),
    }


def compare_with_chance(prediction: Tensor, labels: Tensor) -> tuple[float, float]:
    """Compare how many predictions (N,) are right with what is expected in a random order.

    Returns:
        The mean over all orders of the labels (N,), and how many standard deviations the number is
        above it; 0 where each order is the same, or for a single image.

    Source: Cohen 1960, A coefficient of agreement for nominal scales, for the mean; the deviation
    is that of a sum over random permutations (Hoeffding 1951, A combinatorial central limit
    theorem).
    """
    n = len(labels)
    classes = int(max(prediction.max(), labels.max())) + 1
    named = torch.bincount(prediction, minlength=classes).double()
    true = torch.bincount(labels, minlength=classes).double()
    pairs = named @ true
    mean = float(pairs) / n
    squares = pairs - (named @ true**2 + true @ named**2) / n + pairs**2 / n**2
    variance = float(squares) / (n - 1) if n > 1 else 0.0
    right = int((prediction == labels).sum())
    # Of nothing but rounding there is no root.
    return mean, (right - mean) / variance**0.5 if variance > 1e-9 else 0.0
