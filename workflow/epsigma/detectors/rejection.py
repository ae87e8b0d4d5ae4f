"""A classifier with detectors, and its rejection logit."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from epsigma.detectors.detector import Detector
from epsigma.memoize import memoizing

# Scores below this are taken for it: their logarithm is finite.
_NO_SCORE = 1e-12
# In the place of the class of an image that a detector rejects.
REJECTED = -1


class ClassifierWithDetectors(nn.Module):
    """A classifier behind a filter, and detectors, which score the images before the filter.

    The last logit means "rejected": it exceeds the largest of the others exactly if the score of a
    detector exceeds its threshold, by the largest log(score / threshold) times how far the largest
    logit stands out. An attack on a class has to beat it like any other; for one that is not
    targeted see `attacked_logits`.

    Args:
        filtered_classifier: the classifier behind its filter: from images to logits.
        classifier: the classifier alone, which detectors may evaluate. As a `Memoized` that is part
            of `filtered_classifier`, too, it computes what both need once.
        detectors: what scores the images before the filter; at least one.
        thresholds: above which each rejects; at least 0.
        samples: how often detectors that draw are asked for logits, whose mean is taken:
            expectation over transformation (Athalye et al. 2018, arXiv:1707.07397).

    Source: after Carlini & Wagner 2017 (arXiv:1705.07263), section 4.2, whose rejection logit is
    (D(x) + 1) · max Z.
    """

    def __init__(
        self,
        filtered_classifier: nn.Module,
        classifier: nn.Module,
        detectors: Sequence[Detector],
        thresholds: Sequence[float],
        *,
        samples: int = 1,
    ) -> None:
        super().__init__()
        if not detectors or len(detectors) != len(thresholds):
            raise ValueError(f"{len(detectors)} detectors, {len(thresholds)} thresholds")
        self.filtered_classifier = filtered_classifier
        self.classifier = classifier
        self.detectors = nn.ModuleList(detectors)
        self.thresholds = tuple(thresholds)
        self.samples = samples

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, C, H, W) to logits (N, K + 1)."""
        with memoizing():
            logits = self.filtered_classifier(images)
            drawn = [self.add_rejection(logits, self.score(images)) for _ in range(self.samples)]
        mean: Tensor = sum(drawn[1:], drawn[0]) / self.samples
        return mean

    def score(self, images: Tensor) -> Tensor:
        """Score images (N, C, H, W) by each detector: (N, D)."""
        logits = self.classifier(images)
        return torch.stack([one(images, logits, self.classifier) for one in self.detectors], 1)

    def reject(self, scores: Tensor) -> Tensor:
        """Mark which detector rejects which image, (N, D) bool, from their scores (N, D)."""
        return scores > torch.tensor(self.thresholds).to(scores)

    def add_rejection(self, logits: Tensor, scores: Tensor) -> Tensor:
        """Add the logit of rejection to logits (N, K), from scores (N, D)."""
        thresholds = torch.tensor(self.thresholds).to(scores).clamp(min=_NO_SCORE)
        excess = (scores.clamp(min=_NO_SCORE) / thresholds).log().amax(1)
        top = logits.amax(1)
        prominence = (top - logits.mean(1)).detach()
        rejection = top + prominence * excess
        # Near the threshold, and where no logit stands out, the sum is rounded to the top.
        above = torch.nextafter(top.detach(), top.new_tensor(torch.inf))
        rejects = self.reject(scores).any(1)
        bounded = torch.where(rejects, rejection.maximum(above), rejection)
        return torch.cat([logits, bounded.unsqueeze(1)], 1)


def fold_rejection(logits: Tensor, labels: Tensor) -> Tensor:
    """Count a rejection as the right class: an attack that is rejected has not succeeded.

    (N, K) of logits (N, K + 1), the true class's raised to the rejection's where that is larger.
    """
    classes, rejection = logits[:, :-1], logits[:, -1:]
    true = labels.unsqueeze(1)
    return classes.scatter(1, true, torch.maximum(classes.gather(1, true), rejection))


def predict(model: nn.Module, images: Tensor) -> Tensor:
    """Predict the class of each image, (N,), or `REJECTED`."""
    logits: Tensor = model(images)
    classes = logits.argmax(1)
    if isinstance(model, ClassifierWithDetectors):
        classes[classes == logits.shape[1] - 1] = REJECTED
    return classes


def attacked_logits(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Compute the logits (N, K) of what is attacked; a rejection counts as the right class."""
    logits: Tensor = model(images)
    return fold_rejection(logits, labels) if isinstance(model, ClassifierWithDetectors) else logits
