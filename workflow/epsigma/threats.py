"""What an aware attacker attacks: a filter, the classifier and detectors, as one model."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from epsigma.detectors.detector import Detector
from epsigma.filters.filter import Filter
from epsigma.shared import asked_once

GRADIENTS = ("exact", "bpda")
# Scores below this are taken for it: their logarithm is finite.
_NO_SCORE = 1e-12


class StraightThrough(torch.autograd.Function):
    """Forward, the second argument; backward, the gradient goes to the first."""

    @staticmethod
    def forward(ctx: Any, surrogate: Tensor, exact: Tensor) -> Tensor:
        """Return `exact`, of the shape of `surrogate`."""
        return exact.view_as(exact)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        """Give the surrogate all of the gradient."""
        return gradients[0], None


class Bpda(nn.Module):
    """A filter with the gradient of its `surrogate`: backward pass differentiable approximation.

    Source: Athalye, Carlini & Wagner 2018 (arXiv:1802.00420), section 4.1.
    """

    def __init__(self, module: Filter) -> None:
        super().__init__()
        self.module = module

    def forward(self, images: Tensor) -> Tensor:
        """Filter images (N, C, H, W)."""
        if not (torch.is_grad_enabled() and images.requires_grad):
            unattacked: Tensor = self.module(images)
            return unattacked
        # Detached: Kornia takes a slower way for images that want a gradient.
        filtered = self.module(images.detach())
        result: Tensor = StraightThrough.apply(self.module.surrogate(images), filtered)
        return result


class Expectation(nn.Module):
    """A random model's mean logits over several draws: expectation over transformation.

    Source: Athalye, Engstrom, Ilyas & Kwok 2018 (arXiv:1707.07397), section 2.1, of the logits.

    Args:
        model: from images to logits, at random.
        samples: draws; at least 1.
    """

    def __init__(self, model: nn.Module, samples: int) -> None:
        super().__init__()
        if samples < 1:
            raise ValueError(f"eot_samples = {samples} is less than 1")
        self.model = model
        self.samples = samples

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, C, H, W) to logits (N, K)."""
        logits: Tensor = sum(self.model(images) for _ in range(self.samples)) / self.samples
        return logits


class Watched(nn.Module):
    """A classifier behind a filter, and detectors that look at the images before the filter.

    Its last logit says "rejected": it exceeds the largest of the others exactly if the score of a
    detector exceeds its threshold, by the largest log(score / threshold) times how far the largest
    logit stands out. An attack on a class has to beat it like any other; for one that is not
    targeted see `ask`.

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
        with asked_once():
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


def settled(logits: Tensor, labels: Tensor) -> Tensor:
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


def ask(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Ask what is attacked for logits (N, K), in which a rejection counts as the right class.

    Args:
        model: from images to logits; `Watched` if it can reject.
        images: (N, C, H, W).
        labels: (N,) int64, the true classes.
    """
    logits: Tensor = model(images)
    return settled(logits, labels) if isinstance(model, Watched) else logits


def attackable(module: Filter, gradient: str | None) -> nn.Module:
    """Give a filter the gradient that an attacker takes of it: its own, or its surrogate's.

    Raises:
        ValueError: if `gradient` is none of `GRADIENTS`: nobody has said how to attack the filter.
    """
    if gradient not in GRADIENTS:
        raise ValueError(
            f"{type(module).__name__} is declared neither differentiable nor handled: say in its "
            f"registry entry that its gradient is one of {', '.join(GRADIENTS)}"
        )
    return Bpda(module) if gradient == "bpda" else module


class Opaque(nn.Module):
    """A filter of which nobody has said how to attack it: it filters, and has no gradient.

    Args:
        module: the filter.
    """

    def __init__(self, module: Filter) -> None:
        super().__init__()
        self.module = module

    def forward(self, images: Tensor) -> Tensor:
        """Filter images (N, C, H, W).

        Raises:
            ValueError: if a gradient is wanted.
        """
        if torch.is_grad_enabled() and images.requires_grad:
            attackable(self.module, None)
        filtered: Tensor = self.module(images)
        return filtered


def as_part(module: Filter, gradient: str | None) -> nn.Module:
    """Give a filter that is part of something else its gradient for attackers; None if unknown."""
    return Opaque(module) if gradient is None else attackable(module, gradient)


def defended(
    module: Filter, model: nn.Module, *, gradient: str | None, eot_samples: int | None = None
) -> nn.Module:
    """Put a filter in front of a model, so that an attacker can differentiate through both.

    Args:
        module: the filter, on images.
        model: from images to logits.
        gradient: `exact`, or `bpda` for that of the filter's surrogate.
        eot_samples: draws of a random filter to average over; None if it does not draw.

    Raises:
        ValueError: if `gradient` is neither: nobody has said how to attack this filter.
    """
    whole = nn.Sequential(attackable(module, gradient), model)
    return whole if eot_samples is None else Expectation(whole, eot_samples)
