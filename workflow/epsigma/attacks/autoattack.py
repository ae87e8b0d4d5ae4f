"""AutoAttack: an ensemble of attacks that need no tuning, one after the other."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from epsigma.attacks.apgd import apgd, apgd_l2
from epsigma.attacks.fab import fab, fab_l2
from epsigma.attacks.square import square
from epsigma.attacks.square_l2 import square_l2
from epsigma.detectors.rejection import attacked_logits
from epsigma.storage.images import batches

VERSIONS = ("standard", "rand")
# So many classes the losses need (`epsigma.attacks.losses`).
DLR, TARGETED_DLR = 3, 4

Attack = Callable[..., Tensor]
# Is told the name of a part, and which examples it fooled: their places, (M,) int64.
OnPart = Callable[[str, Tensor], None]


def autoattack(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    version: str = "standard",
    steps: int = 100,
    queries: int = 5000,
    target_classes: int = 9,
    on_part: OnPart | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Attack in the ℓ∞ ball by several attacks, each on the examples that none before it fooled.

    `standard`: APGD on the cross-entropy; APGD on the targeted DLR loss, towards one class after
    the other; FAB-T; Square. `rand`, for models that draw: APGD on the cross-entropy, and on the
    DLR loss; both make all their steps, whatever a draw says. Models that draw should be the mean
    of 20 draws (`eot_samples`).

    The DLR losses divide by differences of the three or four largest logits. With fewer classes
    than that APGD ascends the logit margin (over the target) in their place.

    Args:
        eps: radius of the ball, in [0, 1].
        version: a key of `VERSIONS`.
        steps: of each run of APGD and of FAB-T.
        queries: of Square.
        target_classes: of what is targeted: how many classes to aim at, the wrong ones that are
            the most probable on the image; at most all of them.
        on_part: is told at the end of each part which examples it fooled.

    Returns:
        (N, C, H, W): of each example the first misclassified point; if none was found, where the
        cross-entropy was the largest; the image itself if it is misclassified when clean.

    Source: Croce & Hein 2020 (arXiv:2003.01690), section 5; FAB-T: Croce & Hein 2020
    (arXiv:1907.02044); Square: Andriushchenko et al. 2020 (arXiv:1912.00049), of which the
    authors' AutoAttack does not rescale the schedule to 5,000 queries, and this one does.
    """
    ensemble = _Ensemble(apgd, fab, square, eps, version, steps, queries, target_classes)
    return ensemble.run(model, images, labels, on_part, generator)


def autoattack_l2(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    version: str = "standard",
    steps: int = 100,
    queries: int = 5000,
    target_classes: int = 9,
    on_part: OnPart | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Attack in the ℓ2 ball, as `autoattack`; any ε."""
    ensemble = _Ensemble(apgd_l2, fab_l2, square_l2, eps, version, steps, queries, target_classes)
    return ensemble.run(model, images, labels, on_part, generator)


@dataclass(frozen=True)
class _Ensemble:
    """The attacks of a norm, and what they may spend; the other fields are `autoattack`'s."""

    apgd: Attack
    fab: Attack
    square: Attack
    eps: float
    version: str
    steps: int
    queries: int
    target_classes: int

    def __post_init__(self) -> None:
        if self.version not in VERSIONS:
            raise ValueError(f"version = {self.version!r} is none of {', '.join(VERSIONS)}")
        for name in ("steps", "queries", "target_classes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)} is less than 1")

    def list_parts(self, classes: int) -> dict[str, Attack]:
        """List the attacks by name, in their order, for a model of so many classes."""
        ascend = partial(self.apgd, steps=self.steps)
        if self.version == "rand":
            loss = "dlr" if classes >= DLR else "margin"
            ascend = partial(ascend, early_stop=False)
            return {"apgd_ce": ascend, "apgd_dlr": partial(ascend, loss=loss)}
        loss = "targeted_dlr" if classes >= TARGETED_DLR else "targeted_margin"
        count = self.target_classes
        return {
            "apgd_ce": ascend,
            "apgd_t": partial(ascend, loss=loss, target_classes=count),
            "fab_t": partial(self.fab, steps=self.steps, target_classes=count),
            "square": partial(self.square, queries=self.queries),
        }

    def run(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        on_part: OnPart | None,
        generator: torch.Generator | None,
    ) -> Tensor:
        """Run each attack on what is left."""
        result = images.clone()
        logits = _predict(model, images, labels)
        left = (logits.argmax(1) == labels).nonzero().squeeze(1)
        for name, attack in self.list_parts(logits.shape[1]).items():
            fooled = [torch.zeros_like(left[:0], dtype=torch.bool)]
            for (at,) in batches(left):
                found = attack(model, images[at], labels[at], eps=self.eps, generator=generator)
                wrong = _predict(model, found, labels[at]).argmax(1) != labels[at]
                # What is not fooled stays where the first attack brought it.
                taken = torch.ones_like(wrong) if name == "apgd_ce" else wrong
                result[at[taken]] = found[taken]
                fooled.append(wrong)
            wrong = torch.cat(fooled)
            if on_part:
                on_part(name, left[wrong])
            left = left[~wrong]
        return result


@torch.no_grad()
def _predict(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Compute the logits (N, K) of what is attacked, batch by batch."""
    return torch.cat([attacked_logits(model, *part) for part in batches(images, labels)])
