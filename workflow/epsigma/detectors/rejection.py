"""A classifier with detectors, and its rejection logit."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from epsigma.detectors.detector import Detector
from epsigma.memoize import memoizing

# Scores below this are taken for it: their logarithm is finite.
_NO_SCORE = 1e-12


class ClassifierWithDetectors(nn.Module):
    """A classifier behind a filter, and detectors that look at the images before the filter.

    Its last logit says "rejected": it exceeds the largest of the others exactly if the score of a
    detector exceeds its threshold, by the largest log(score / threshold) times how far the largest
    logit stands out. An attack on a class has to beat it like any other; for one that is not
    targeted see `attacked_logits`.

    Args:
        through: what is defended, filter included: from images to logits.
        bare: the classifier, which detectors may ask; the one of `through`, as a `Shared`, if what
            both ask it is to be computed once.
        detectors: what looks at the images; at least one.
        thresholds: above which each rejects; at least 0.

    Raises:
        ValueError: if there are not as many thresholds as detectors, or none.

    Source: after Carlini & Wagner 2017 (arXiv:1705.07263), section 4.2, whose rejection logit is
    (D(x) + 1) · max Z.
    """

    def __init__(
        self,
        through: nn.Module,
        bare: nn.Module,
        detectors: Sequence[Detector],
        thresholds: Sequence[float],
    ) -> None:
        super().__init__()
        if not detectors or len(detectors) != len(thresholds):
            raise ValueError(f"{len(detectors)} detectors, {len(thresholds)} thresholds")
        self.through = through
        self.bare = bare
        self.detectors = nn.ModuleList(detectors)
        self.thresholds = tuple(thresholds)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, C, H, W) to logits (N, K + 1)."""
        with memoizing():
            return self.with_rejection(self.through(images), self.scores(images))

    def scores(self, images: Tensor) -> Tensor:
        """Ask the detectors about images (N, C, H, W): (N, D)."""
        logits = self.bare(images)
        return torch.stack([one(images, logits, self.bare) for one in self.detectors], 1)

    def rejections(self, scores: Tensor) -> Tensor:
        """Say which detector rejects which image, (N, D) bool, from their scores (N, D)."""
        return scores > torch.tensor(self.thresholds).to(scores)

    def with_rejection(self, logits: Tensor, scores: Tensor) -> Tensor:
        """Add the logit of rejection to logits (N, K), from scores (N, D)."""
        thresholds = torch.tensor(self.thresholds).to(scores).clamp(min=_NO_SCORE)
        excess = (scores.clamp(min=_NO_SCORE) / thresholds).log().amax(1)
        top = logits.amax(1)
        prominence = (top - logits.mean(1)).detach()
        rejection = top + prominence * excess
        # Near the threshold, and where no logit stands out, the sum is rounded to the top.
        above = torch.nextafter(top.detach(), top.new_tensor(torch.inf))
        rejects = self.rejections(scores).any(1)
        bounded = torch.where(rejects, rejection.maximum(above), rejection)
        return torch.cat([logits, bounded.unsqueeze(1)], 1)


def fold_rejection(logits: Tensor, labels: Tensor) -> Tensor:
    """Let a rejection count as the right class: an attack that is rejected has not succeeded.

    Args:
        logits: (N, K + 1), the last of them that of rejection.
        labels: (N,) int64, the true classes.

    Returns:
        (N, K), the true class's raised to the rejection's where that is larger.
    """
    classes, rejection = logits[:, :-1], logits[:, -1:]
    true = labels.unsqueeze(1)
    return classes.scatter(1, true, torch.maximum(classes.gather(1, true), rejection))


def attacked_logits(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Ask what is attacked for logits (N, K), in which a rejection counts as the right class.

    Args:
        model: from images to logits; `ClassifierWithDetectors` if it can reject.
        images: (N, C, H, W).
        labels: (N,) int64, the true classes.
    """
    logits: Tensor = model(images)
    return fold_rejection(logits, labels) if isinstance(model, ClassifierWithDetectors) else logits
