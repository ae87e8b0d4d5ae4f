"""Stage detect: detectors, their thresholds, and classifiers that they watch over."""

from typing import Any

import torch
from torch import Tensor, nn

from epsigma.classifier import load_classifier
from epsigma.detectors.detector import Detector
from epsigma.device import CPU
from epsigma.files import read_json, write_json
from epsigma.kinds import load
from epsigma.stages.filter import build, with_autoencoder
from epsigma.stages.job import Job
from epsigma.tensors import batches, read_clean
from epsigma.threats import Watched, as_part
from epsigma.validation import held_out


def calibrate(job: Job, *, images: str, checkpoint: str, threshold: str) -> None:
    """Set a detector's threshold on clean images that neither it nor the classifier learnt from.

    Args:
        job: its settings are the `detector` and the `model`, the `seed` and the smallest
            `validation` fraction that they were trained with, and the `rate` of false positives.
        images: of the training set, of which that fraction was held out.
        checkpoint: of the classifier.
        threshold: JSON to write: `threshold`, above which at most `rate` of the `n` images score
            (of few images perhaps none), `rejected`, how many do, and the `median` score.
    """
    with job.logged() as log:
        settings = job.settings
        clean = read_clean(images, CPU).images
        rows = held_out(len(clean), fraction=settings["validation"], seed=settings["seed"])
        model = load_classifier(checkpoint, settings["model"], CPU)
        detector = build_detector(settings["detector"], CPU)
        scores = score(detector, clean[rows], model)
        # As many as may be rejected lie above it.
        allowed = int(settings["rate"] * len(scores))
        limit = scores.sort(descending=True).values[allowed]
        write_json(
            threshold,
            {
                "cell": job.cell,
                "threshold": float(limit),
                "rate": settings["rate"],
                "n": len(scores),
                "rejected": int((scores > limit).sum()),
                "median": float(scores.median()),
            },
        )
        log.info("threshold %.6g, %d of %d above", limit, (scores > limit).sum(), len(scores))


@torch.no_grad()
def score(detector: Detector, images: Tensor, model: nn.Module) -> Tensor:
    """Score images (N, C, H, W), batch by batch: (N,)."""
    return torch.cat([detector(batch, model(batch), model) for (batch,) in batches(images)])


def build_detector(
    settings: dict[str, Any], device: torch.device, generator: torch.Generator | None = None
) -> Detector:
    """Make a detector from its `implementation` and `parameters`.

    Its filters, which may draw from the generator, have the gradient that attackers take of them.
    """
    parameters = {
        name: [as_part(build(part, generator), part["gradient"]) for part in value]
        if _are_filters(value)
        else value
        for name, value in with_autoencoder(settings["parameters"], device).items()
    }
    made: Detector = load(settings["implementation"])(**parameters)
    return made.eval().to(device)


def _are_filters(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(one, dict) and "gradient" in one for one in value
    )


def watched(
    detectors: list[dict[str, Any]],
    through: nn.Module,
    bare: nn.Module,
    generator: torch.Generator,
) -> Watched:
    """Let detectors look at what a filter and a classifier are given.

    Args:
        detectors: how to make each, and the file of its `threshold`.
        through: from images to logits, filter included.
        bare: the classifier alone.
        generator: what filters of the detectors draw from; all lies where it does.
    """
    return Watched(
        through,
        bare,
        [build_detector(one, generator.device, generator) for one in detectors],
        [float(read_json(one["threshold"])["threshold"]) for one in detectors],
    )
