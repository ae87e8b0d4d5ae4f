"""Attacks on models whose gradient is not a number, or infinite, at pixels or at a whole image."""

import inspect

import pytest
import torch
from epsigma.attacks.gradient import STEEPEST, make_finite
from epsigma.loading import load
from epsigma.probing.attacks import share_lost_gradients
from epsigma.registry.attacks import ATTACKS
from epsigma.vocabulary import FOOLING, TRANSFER
from torch import nn

GIVEN = {"eps": 0.3, "gamma": 0.3, "kappa": 0.0, "steps": 8, "search_steps": 3, "queries": 100}
FOLLOWING = {
    name: (load(kind.implementation), parameters)
    for name, kind in ATTACKS.items()
    if kind.family not in (FOOLING, TRANSFER)
    for parameters in [inspect.signature(load(kind.implementation)).parameters]
}
CASES = [(name, None) for name in FOLLOWING] + [("pgd", "adam"), ("pgd_l2", "adam")]


class ByDeviation(nn.Module):
    """Divides by each image's standard deviation: no gradient at an image of one colour."""

    def __init__(self, pixels=16):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(pixels, 3))

    def forward(self, x):
        centred = x - x.mean((1, 2, 3), keepdim=True)
        deviation = centred.square().mean((1, 2, 3), keepdim=True).sqrt()
        return self.layers(centred / (deviation + 1e-5))


class ByRoot(ByDeviation):
    """Takes the root of bright pixels, behind torch.where: no gradient at dark ones."""

    def forward(self, x):
        return self.layers(torch.where(x > 0.3, (x - 0.3).sqrt(), x - 0.3))


class ByGamma(ByDeviation):
    """Corrects the gamma: of infinite slope at black pixels."""

    def forward(self, x):
        return self.layers(x.sqrt())


def run(name, optimizer, model, images, labels):
    attack, parameters = FOLLOWING[name]
    told = {key: value for key, value in GIVEN.items() if key in parameters}
    told |= {"random_start": False} if "random_start" in parameters else {}
    told |= {"optimizer": optimizer} if optimizer else {}
    if name == "carlini_wagner":
        told |= {"steps": 60, "learning_rate": 0.3, "initial_c": 1.0}
    if name == "jsma":
        told["targets"] = (labels + 1) % 3
    if "generator" in parameters:
        told["generator"] = torch.Generator().manual_seed(0)
    return attack(model, images, labels, **told)


@pytest.mark.parametrize("make", [ByDeviation, ByRoot, ByGamma])
@pytest.mark.parametrize(("name", "optimizer"), CASES)
def test_an_attack_returns_images_where_there_is_no_gradient(name, optimizer, make):
    model = make().requires_grad_(False)
    images = torch.rand(8, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    images[0] = 0
    made = run(name, optimizer, model, images, model(images).argmax(1))
    assert made.isfinite().all()
    assert ((made >= 0) & (made <= 1)).all()


BY_GRADIENT = ("fgsm", "pgd", "pgd_l2", "apgd_l2", "fab_l2", "carlini_wagner", "ddn", "fmn_l2")


@pytest.mark.parametrize("name", BY_GRADIENT)
def test_an_attack_follows_the_pixels_that_have_a_gradient(name):
    model = ByRoot().requires_grad_(False)
    images = torch.rand(8, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    labels = model(images).argmax(1)
    made = run(name, None, model, images, labels)
    assert (model(made).argmax(1) != labels).any()


@pytest.mark.parametrize("name", ["pgd_l2", "apgd_l2", "fab_l2", "ddn"])
def test_an_attack_in_l2_follows_slopes_that_are_infinite(name, monkeypatch):
    monkeypatch.setitem(GIVEN, "eps", 1.0)
    model = ByGamma(64).requires_grad_(False)
    images = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    images[images < 0.4] = 0
    labels = model(images).argmax(1)
    made = run(name, None, model, images, labels)
    assert (model(made).argmax(1) != labels).any()


def test_what_is_lost_is_counted_and_what_is_defined_stays():
    model = ByDeviation().requires_grad_(False)
    images = torch.rand(8, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    images[0] = 0
    labels = torch.zeros(8, dtype=torch.int64)
    assert share_lost_gradients(model, images, labels, "cross_entropy") == 1 / 8
    assert share_lost_gradients(ByRoot(), images, labels, "cross_entropy") == 1
    gradient = torch.tensor([[1.0, torch.nan], [-torch.inf, 2.0]])
    assert torch.equal(make_finite(gradient), torch.tensor([[1.0, 0.0], [-STEEPEST, 2.0]]))
