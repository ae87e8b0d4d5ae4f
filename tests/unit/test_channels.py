"""Three channels: every filter, every attack and the spectrum, on images in colour."""

import pytest
import torch
from epsigma.loading import load
from epsigma.models.mlp import MLP
from epsigma.probing.spectra import radial_spectrum
from epsigma.registry.attacks import ATTACKS
from epsigma.registry.filters import FILTERS
from epsigma.storage.images import measure
from filter_cases import CASES
from torch import nn

SWEPT = {"sigma": 1, "cutoff": 0.2, "bits": 2, "size": 3, "std": 0.1, "passes": 1}
EPS = {"linf": 0.1, "l2": 0.8}
ORDER = [2, 0, 1]
FILTERED = [
    # JPEG (and shield, which is JPEG) codes luma more finely than chroma, and an autoencoder is
    # free to mix them, as principal components are.
    *(
        # Dropout drops values of each channel alone.
        (name, {**CASES.get(name, {}), **({"keep": 1} if name.endswith("_dropout") else {})})
        for name in FILTERS
        if name not in ("jpeg", "reformer", "pca", "shield")
    ),
    *(
        (name, {"post": post})
        for name in ("lowpass", "highpass", "bandpass")
        for post in ("clip", "rescale")
    ),
]


def colours(n=6, *, seed=0):
    return torch.rand(n, 3, 9, 8, generator=torch.Generator().manual_seed(seed))


def make(name, options):
    kind = FILTERS[name]
    defaults = {key: one["default"] for key, one in kind.schemas.items() if "default" in one}
    swept = {kind.swept: SWEPT[kind.swept]} if kind.swept in SWEPT else {}
    draws = {"generator": torch.Generator().manual_seed(1)} if kind.random else {}
    return load(kind.implementation)(**{**defaults, **swept, **options, **draws})


@pytest.mark.parametrize(("name", "options"), FILTERED)
def test_a_filter_treats_every_channel_alike(name, options):
    given = colours()
    filtered, exchanged = make(name, options)(given), make(name, options)(given[:, ORDER])
    if name == "noise":
        # What it adds is drawn for each channel, of the same size.
        noise = filtered - given
        assert noise.std(dim=(0, 2, 3)).tolist() == pytest.approx([0.1] * 3, rel=0.2)
        assert torch.corrcoef(noise.transpose(0, 1).flatten(1))[0, 1:].abs().max() < 0.2
    else:
        torch.testing.assert_close(exchanged, filtered[:, ORDER], atol=1e-6, rtol=0)
    # What is grey stays grey.
    grey = given[:, :1].expand(-1, 3, -1, -1).contiguous()
    if name != "noise":
        found = make(name, options)(grey)
        assert (found - found[:, :1]).abs().max() < 1e-6


class Green(nn.Module):
    """A classifier that sees the second channel only."""

    def __init__(self):
        super().__init__()
        self.inner = MLP((1, 9, 8), 4, hidden=16)

    def forward(self, images):
        return self.inner(images[:, 1:2])


def attacked(name, model, images, labels):
    kind = ATTACKS[name]
    draws = {"generator": torch.Generator().manual_seed(1)} if kind.random else {}
    return load(kind.implementation)(model, images, labels, eps=EPS[kind.norm], **draws)


BOUNDED = [name for name in ATTACKS if ATTACKS[name].swept == "eps" and ATTACKS[name].norm in EPS]
FOLLOWING = [name for name in BOUNDED if ATTACKS[name].family in ("single_step", "iterative")]


def seeded(make_model):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make_model().eval().requires_grad_(False)


@pytest.mark.parametrize("name", BOUNDED)
def test_an_attack_on_colour_images_stays_in_its_ball_and_uses_all_channels(name):
    model, images = seeded(lambda: MLP((3, 9, 8), 4, hidden=16)), colours(12)
    labels = model(images).argmax(1)
    found = attacked(name, model, images, labels)
    assert found.shape == images.shape
    assert found.min() >= 0
    assert found.max() <= 1
    measures = measure(found, images)
    assert measures[ATTACKS[name].norm].max() <= EPS[ATTACKS[name].norm] + 1e-6
    assert (found - images).abs().amax((0, 2, 3)).min() > 0.01
    # l0 counts pixels, not values.
    assert measures["l0"].max() <= 72


@pytest.mark.parametrize("name", FOLLOWING)
def test_an_attack_that_follows_gradients_spends_nothing_on_a_channel_that_nobody_sees(
    name, monkeypatch
):
    model, images = seeded(Green), colours(12)
    labels = model(images).argmax(1)
    # A random start is of all channels, and no gradient takes it back: here it is the image.
    for draw in ("uniform_", "normal_"):
        monkeypatch.setattr(torch.Tensor, draw, lambda delta, *_, **__: delta.zero_())
    options = {"steps": 20, "queries": 20} if ATTACKS[name].ensemble else {}
    found = load(ATTACKS[name].implementation)(
        model, images, labels, eps=EPS[ATTACKS[name].norm], **options
    )
    assert (found - images)[:, [0, 2]].abs().max() < 1e-6
    assert (model(found).argmax(1) != labels).float().mean() > 0.2


def test_a_spectrum_is_the_mean_over_the_channels():
    images = colours() * torch.tensor([1, 0.5, 0.1]).view(1, 3, 1, 1)
    each = [radial_spectrum(images[:, [channel]])[1] for channel in range(3)]
    torch.testing.assert_close(radial_spectrum(images)[1], torch.stack(each).mean(0))
