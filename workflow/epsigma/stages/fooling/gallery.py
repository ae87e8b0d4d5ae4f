"""Stage gallery_fooling: a fooling image of each class through a filter at every strength."""

from collections.abc import Sequence

import torch

from epsigma.device import CPU
from epsigma.job import Job
from epsigma.models.classifier import load_classifier
from epsigma.probing.gallery import write_gallery
from epsigma.storage.images import read_class_names
from epsigma.storage.stored import open_image_set


def gallery_fooling(
    job: Job, *, test: str, checkpoint: str, adversarial: Sequence[str], gallery: str
) -> None:
    """Put the first fooling image of each class, at the largest confidence, through a filter.

    The job's settings are the `model`, the `budgets` (as paths spell them) of the sets, and what
    `write_gallery` wants. The file of `test` images says what classes are called.
    """
    with job.logged() as log:
        made, budget = open_image_set(adversarial[-1], CPU), job.settings["budgets"][-1]
        classes = torch.unique(made.labels)
        first = (made.labels[None] == classes[:, None]).int().argmax(1)
        model = load_classifier(checkpoint, job.settings["model"], CPU)
        names, labels = read_class_names(test), made.labels[first]
        write_gallery(job, gallery, model, made.images[first], first, labels, budget, names)
        log.info("images %s at %s", first.tolist(), budget)
