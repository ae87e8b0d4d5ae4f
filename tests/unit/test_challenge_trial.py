"""What a submitted filter that draws, or says how far it is off, is tried for; large batches."""

import math
from typing import Any

import pytest
import torch
from epsigma.challenge import trial
from epsigma.challenge.rules import SubmissionError
from epsigma.challenge.trial import try_filter
from epsigma.filters.filter import Filter
from epsigma.registry.filters import FILTERS
from torch import Tensor

IMAGES = torch.rand((3, 1, 8, 8), generator=torch.Generator().manual_seed(1))
# Half of a filtered value's range is drawn: the standard deviation of what is.
SPREAD = 0.5 / math.sqrt(12)


class Noise(Filter):
    """An honest one: the mean of an image and of noise."""

    is_linear = False
    deviation = SPREAD

    def __init__(self, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, images: Tensor) -> Tensor:
        return (images + self.draw(images)) / 2

    def formula(self, images: Tensor) -> Tensor:
        return images / 2 + 0.25

    def draw(self, images: Tensor) -> Tensor:
        return torch.rand(images.shape, generator=self.generator)


class Clipped(Noise):
    """Gaussian noise, clipped: less deviates than is drawn."""

    deviation = 0.1

    def forward(self, images: Tensor) -> Tensor:
        noise = torch.empty_like(images).normal_(0, 0.1, generator=self.generator)
        return (images + noise).clamp(0, 1)

    def formula(self, images: Tensor) -> Tensor:
        low, high = images / 0.1, (images - 1) / 0.1
        below: Tensor = torch.special.ndtr(-low)
        above: Tensor = torch.special.ndtr(high)
        density = torch.exp(-low.square() / 2) - torch.exp(-high.square() / 2)
        return images * (1 - below - above) + 0.1 * density / math.sqrt(2 * math.pi) + above


class Centred(Noise):
    """The batch's mean is set to 0.5."""

    def forward(self, images: Tensor) -> Tensor:
        return (super().forward(images) - images.mean() + 0.5).clamp(0, 1)


class Running(Noise):
    """Each image is mixed with those before it."""

    def forward(self, images: Tensor) -> Tensor:
        count = torch.arange(1, len(images) + 1)[:, None, None, None]
        return super().forward(images.cumsum(0) / count)


class Evasive(Noise):
    """Another filter of images that want a gradient."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images.clamp(0.5, 1) if images.requires_grad else images)


class Elsewhere(Noise):
    """Draws of torch's global generator."""

    def draw(self, images: Tensor) -> Tensor:
        return torch.rand_like(images)


class MixedIfMany(Noise):
    """An honest one, of few images."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images if len(images) <= 12 else images.mean(0).expand_as(images))


class OutOfRangeIfMany(Noise):
    """An honest one, of few images."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) * (1 if len(images) <= 12 else 2)


class Wrong(Noise):
    """Far from its formula."""

    deviation = 0.0

    def forward(self, images: Tensor) -> Tensor:
        return images * 0.5


class Tolerated(Wrong):
    """And says that it may be."""

    tolerance = 1e9


class Unknown(Wrong):
    """And says that nobody knows how far."""

    tolerance = float("nan")


class Spread(Wrong):
    """And says that it draws."""

    deviation = 1e9


class Halved(Filter):
    """One that does not draw."""

    is_linear = False

    def forward(self, images: Tensor) -> Tensor:
        return images / 2

    def formula(self, images: Tensor) -> Tensor:
        return images / 2


class Mixed(Halved):
    """Every image becomes the mean of many."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images if len(images) <= 12 else images.mean(0).expand_as(images))


class OutOfRange(Halved):
    """Values are not kept in [0, 1] if there are many images."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) - (0 if len(images) <= 12 else 1)


class Other(Halved):
    """Each image alone, but another way if there are many."""

    def forward(self, images: Tensor) -> Tensor:
        return images / (2 if len(images) <= 12 else 3)


def attempt(kind: type[Filter]) -> None:
    settings: dict[str, Any] = {"implementation": f"{__name__}:{kind.__name__}", "parameters": {}}
    if issubclass(kind, Noise):
        settings["random"] = True
    try_filter(settings, "exact", IMAGES)


@pytest.mark.parametrize("kind", [Noise, Clipped, Halved])
def test_an_honest_filter_passes(kind: type[Filter]) -> None:
    attempt(kind)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Centred, r"the others of the batch \(6\), by up to .*: filter each image alone"),
        (Running, r"the others of the batch \(6\)"),
        (Evasive, "images that want a gradient another way than others: take requires_grad out"),
        (Elsewhere, "others the next time: .* draw from nothing but the `generator`"),
        (Wrong, "from its formula, more than"),
        (Tolerated, r"its tolerance is 1e\+09: declare 2/255 at most"),
        (Unknown, "its tolerance is nan: declare 2/255 at most"),
        (Spread, r"its deviation is 1e\+09, that of its draws 0: declare that of its draws"),
        (MixedIfMany, r"the others of the batch \(999\)"),
        (OutOfRangeIfMany, r"in a batch of 1,000 it makes values from .* keep them in \[0, 1\]"),
        (Mixed, r"the others of the batch \(6 or 999\)"),
        (OutOfRange, r"in a batch of 1,000 it makes values from -1 to -0.5: keep them in \[0, 1\]"),
        (Other, r"the others of the batch \(6 or 999\), by up to 0.17"),
    ],
)
def test_what_an_honest_author_could_do_by_mistake_is_refused(
    kind: type[Filter], said: str
) -> None:
    with pytest.raises(SubmissionError, match=said):
        attempt(kind)


def test_large_images_are_tried_in_smaller_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "VALUES", 20 * 64)
    with pytest.raises(SubmissionError, match="in a batch of 20 it makes values from"):
        attempt(OutOfRange)
    monkeypatch.setattr(trial, "VALUES", 1)
    attempt(Noise)
    attempt(Halved)


# The study's own that stay in [0, 1], of which one has a tolerance and the others draw.
@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("total_variation", {"weight": 0.1}),
        ("shield", {"lowest": 20}),
        ("pixel_deflection", {"share": 0.2}),
    ],
)
def test_the_study_s_own_filters_pass(kind: str, parameters: dict[str, Any]) -> None:
    entry = FILTERS[kind]
    settings: dict[str, Any] = {"implementation": entry.implementation, "parameters": parameters}
    settings |= {"random": True} if entry.random else {}
    try_filter(settings, str(entry.gradient), (IMAGES * 255).round() / 255)
