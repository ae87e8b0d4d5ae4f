"""AutoAttack: an ensemble of attacks that need no tuning, one after the other."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from epsigma.attacks.apgd import apgd, apgd_l2
from epsigma.attacks.fab import fab, fab_l2
from epsigma.attacks.pgd import REACH, pgd, pgd_l2
from epsigma.attacks.square import square
from epsigma.attacks.square_l2 import square_l2
from epsigma.detectors.rejection import ClassifierWithDetectors, attacked_logits
from epsigma.storage.batches import batches
from epsigma.storage.progress import Progress

VERSIONS = ("standard", "rand")
# So many classes the losses need (`epsigma.attacks.losses`).
DLR, TARGETED_DLR = 3, 4
# The step of PGD through detectors, in ε.
STEP_FROM_IMAGE = 0.1
# In place of the part that fooled an example: none has, or it is misclassified when clean.
NOBODY, NOT_ASKED = -1, -2

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
    progress: Progress | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Attack in the ℓ∞ ball by several attacks, each on the examples that none before it fooled.

    `standard`: APGD on the cross-entropy; APGD on the targeted DLR loss, towards one class after
    the other; FAB-T; Square. `rand`, for models that draw: APGD on the cross-entropy, and on the
    DLR loss; both make all their steps, whatever a draw says. Models that draw should be the mean
    of 20 draws (`eot_samples`).

    A classifier with detectors is attacked first by PGD on the logit margin, from the images
    themselves: detectors notice the noise that the others start from. At the edge of what they
    accept the gradient turns at every step, so that Adam chooses the steps here, and short ones are
    made in ℓ2.

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
        progress: is given what is done after each batch. An attempt that finds some there goes on
            from it, with the generator as it was: the result is that of one attempt, to the bit.

    Returns:
        (N, C, H, W): of each example the first misclassified point; if none was found, where the
        cross-entropy was the largest; the image itself if it is misclassified when clean.

    Source: Croce & Hein 2020 (arXiv:2003.01690), section 5; FAB-T: Croce & Hein 2020
    (arXiv:1907.02044); Square: Andriushchenko et al. 2020 (arXiv:1912.00049), of which the
    authors' AutoAttack does not rescale the schedule to 5,000 queries, and this one does. They have
    no PGD in it: it is ours.
    """
    from_image = partial(pgd, optimizer="adam", step_size=eps * STEP_FROM_IMAGE)
    ensemble = _Ensemble(
        from_image, apgd, fab, square, eps, version, steps, queries, target_classes
    )
    return ensemble.run(model, images, labels, on_part, progress, generator)


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
    progress: Progress | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Attack in the ℓ2 ball, as `autoattack`; any ε."""
    from_image = partial(pgd_l2, step_size=eps * REACH / max(steps, 1))
    parts = (from_image, apgd_l2, fab_l2, square_l2)
    ensemble = _Ensemble(*parts, eps, version, steps, queries, target_classes)
    return ensemble.run(model, images, labels, on_part, progress, generator)


@dataclass(frozen=True)
class _Ensemble:
    """The attacks of a norm, and what they may spend; the other fields are `autoattack`'s."""

    from_image: Attack
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

    def list_parts(self, model: nn.Module, classes: int) -> dict[str, Attack]:
        """List the attacks by name, in their order, for a model of so many classes."""
        if not isinstance(model, ClassifierWithDetectors):
            return self._list_authors_parts(classes)
        stops = self.version == "standard"
        from_image = partial(
            self.from_image, steps=self.steps, loss="margin", random_start=False, early_stop=stops
        )
        return {"pgd": from_image, **self._list_authors_parts(classes)}

    def _list_authors_parts(self, classes: int) -> dict[str, Attack]:
        """List the authors' attacks."""
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
        progress: Progress | None,
        generator: torch.Generator | None,
    ) -> Tensor:
        """Run each attack on what is left."""
        logits = _predict(model, images, labels)
        parts = self.list_parts(model, logits.shape[1])
        # With a budget of 0 there is nothing to attack.
        done = _Done.begin(images, (logits.argmax(1) == labels) & (self.eps > 0))
        if progress:
            done.restore(progress, list(parts), generator)
        for place, (name, attack) in enumerate(parts.items()):
            for at in done.batches_of(place):
                found = attack(model, images[at], labels[at], eps=self.eps, generator=generator)
                wrong = _predict(model, found, labels[at]).argmax(1) != labels[at]
                # What is not fooled stays where the first attack brought it.
                taken = torch.ones_like(wrong) if name == "apgd_ce" else wrong
                done.images[at[taken]] = found[taken]
                done.by[at[wrong]] = place
                done.attacked += len(at)
                if progress:
                    done.keep(progress, generator)
            if on_part:
                on_part(name, done.fooled_by(place))
        return done.images


@dataclass
class _Done:
    """What an ensemble has done.

    Args:
        images: (N, C, H, W), what it would return.
        by: (N,) int64, the place of the part that fooled each example; `NOBODY`, `NOT_ASKED`.
        part: the place of the part that is under way.
        attacked: how many of those examples that the parts before left this one has attacked.
    """

    images: Tensor
    by: Tensor
    part: int = 0
    attacked: int = 0

    @classmethod
    def begin(cls, images: Tensor, attacked: Tensor) -> "_Done":
        """Begin with the images, and which of them to attack, (N,) bool."""
        return cls(images.clone(), torch.where(attacked, NOBODY, NOT_ASKED))

    def batches_of(self, part: int) -> Iterator[Tensor]:
        """Yield the places of the examples that a part has yet to attack, batch by batch."""
        if part < self.part:
            return
        if part > self.part:
            self.part, self.attacked = part, 0
        for (at,) in batches(self._given()[self.attacked :]):
            yield at

    def fooled_by(self, part: int) -> Tensor:
        """Return the places of the examples that a part fooled, (M,)."""
        return (self.by == part).nonzero().squeeze(1)

    def _given(self) -> Tensor:
        """Return the places of the examples that the parts before this one left, (M,)."""
        return ((self.by == NOBODY) | (self.by == self.part)).nonzero().squeeze(1)

    def keep(self, progress: Progress, generator: torch.Generator | None) -> None:
        """Keep all this, and how far the generator has come."""
        state = {
            "images": self.images,
            "by": self.by,
            "place": torch.tensor([self.part, self.attacked]),
        }
        progress.keep({**state, **({"generator": generator.get_state()} if generator else {})})

    def restore(
        self, progress: Progress, parts: list[str], generator: torch.Generator | None
    ) -> None:
        """Go on from what another attempt of the same job has kept, if it has."""
        state = progress.restore()
        if not state:
            return
        self.images, self.by = state["images"].to(self.images), state["by"].to(self.by)
        self.part, self.attacked = state["place"].tolist()
        if generator:
            generator.set_state(state["generator"])
        given, left = len(self._given()), len(self.fooled_by(NOBODY))
        done = self.part + (self.attacked == given)
        where = f"after {parts[done - 1]}" if done > self.part else f"within {parts[done]}"
        progress.say(f"goes on {where}, {left} of {len(self.by)} left")


@torch.no_grad()
def _predict(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Compute the logits (N, K) of what is attacked, batch by batch."""
    return torch.cat([attacked_logits(model, *part) for part in batches(images, labels)])
