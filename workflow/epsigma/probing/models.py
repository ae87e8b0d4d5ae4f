"""Whether a classifier behaves as one."""

import torch
from torch import Tensor, nn

from epsigma.models.classifier import predict

# Images that are also evaluated one by one.
ALONE = 64


def examine_model(model: nn.Module, images: Tensor, labels: Tensor) -> dict[str, float | int]:
    """Measure what the checks judge of a classifier, on test images (N, C, H, W).

    Returns:
        `n`, `n_correct` and `majority` (share of the most frequent class) of the test set;
        `probability_like`, the share of outputs that look like softmax's; `training_modules`;
        `repeat_error` and `batch_error`, how far logits differ when computed again, and one image
        at a time.
    """
    logits = predict(model, images)
    few = images[:ALONE]
    alone = torch.cat([predict(model, image[None]) for image in few])
    sum_to_one = (logits.sum(1) - 1).abs() < 1e-4
    counts = torch.bincount(labels)
    return {
        "n": len(logits),
        "n_correct": int((logits.argmax(1) == labels).sum()),
        "majority": float(counts.max() / counts.sum()),
        "probability_like": float(((logits >= 0).all(1) & sum_to_one).float().mean()),
        "training_modules": sum(module.training for module in model.modules()),
        "repeat_error": float((predict(model, images) - logits).abs().max()),
        "batch_error": float((alone - logits[: len(few)]).abs().max()),
    }
