"""A few images through a filter at every strength, and what the model makes of them."""

import json
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from epsigma.defence import add_detectors
from epsigma.device import CPU
from epsigma.filters.build import apply_filter, build_filter
from epsigma.job import Job
from epsigma.models.classifier import most_probable, predict
from epsigma.randomness import seeded_generator
from epsigma.storage.class_names import encode_names
from epsigma.storage.images import write_tensors


def write_gallery(
    job: Job,
    path: str,
    model: nn.Module,
    shown: Tensor,
    index: Tensor,
    labels: Tensor,
    budget: str,
    class_names: Sequence[str] = (),
) -> None:
    """Put images through a filter at every strength, classify them, and write all of it.

    Args:
        job: its settings are the `filters`, each `strength` (as paths spell it), `implementation`
            and `parameters`, the first being none, and the `detectors` that score the images
            before the others.
        path: safetensors to write: `images` (R, K, C, H, W) float32, the R images through each of
            K filters; `predictions` int64, `probabilities` float32 and `rejected` bool, (R, K);
            `index` and `label`, (R,). Metadata: `budget`, and `strengths` and `class_names`
            as JSON lists.
        model: the classifier.
        shown: (R, C, H, W), the images.
        index: (R,) int64, which they are of their set.
        labels: (R,) int64.
        budget: at which they were made, as paths spell it.
        class_names: by label; empty if they have none.
    """
    filters = job.settings["filters"]
    generator = seeded_generator(job, CPU, "filter")
    images = torch.stack(
        [apply_filter(build_filter(entry, generator), shown) for entry in filters], dim=1
    )
    predictions, probabilities = most_probable(predict(model, images.flatten(0, 1)))
    rejected = torch.zeros(images.shape[:2], dtype=torch.bool)
    if detectors := job.settings.get("detectors"):
        draws = seeded_generator(job, CPU, "detectors")
        defended = add_detectors(detectors, model, model, draws)
        with torch.no_grad():
            rejected[:, 1:] = defended.reject(defended.score(shown)).any(1, keepdim=True)
    tensors = {
        "images": images,
        "predictions": predictions.view(len(shown), -1),
        "probabilities": probabilities.view(len(shown), -1),
        "rejected": rejected,
        "index": index,
        "label": labels,
    }
    strengths = json.dumps([entry["strength"] for entry in filters])
    about = {"budget": budget, "strengths": strengths, **encode_names(class_names)}
    write_tensors(path, tensors, {**job.metadata, **about})
