"""Where no example is left, nobody asks a model about a batch of none, which many do not take."""

import pytest
import torch
from epsigma.loading import load
from epsigma.models.mlp import MLP
from epsigma.probing.attacks import run_auto_pgd
from epsigma.registry.attacks import ATTACKS
from epsigma.vocabulary import FOOLING, TRANSFER
from torch import nn

SPENT = {"steps": 3, "search_steps": 2, "queries": 5, "restarts": 2, "iterations": 2}
KINDS = [name for name, kind in ATTACKS.items() if kind.family not in (FOOLING, TRANSFER)]
WHO = ["all", "all but one", "none"]


class TakesSome(nn.Module):
    """A model that fails on a batch of none, as one does that calls `view(len(x), -1)`."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.model = MLP((1, 6, 6), 4, hidden=8)

    def forward(self, images):
        assert len(images) > 0
        return self.model(images)


def situation(who):
    """A model, images, and labels such that `who` of them are misclassified when clean."""
    model = TakesSome().eval().requires_grad_(False)
    images = torch.rand(3, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    right = model(images).argmax(1)
    wrong = (right + 1) % 4
    mixed = torch.cat([right[:1], wrong[1:]])
    return model, images, {"all": wrong, "all but one": mixed, "none": right}[who]


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("kind", KINDS)
def test_no_attack_asks_about_no_images(kind, who):
    model, images, labels = situation(who)
    entry = ATTACKS[kind]
    schemas = entry.schemas
    options = {name: one["default"] for name, one in schemas.items() if "default" in one}
    options |= {name: value for name, value in SPENT.items() if name in schemas}
    options.pop("targets", None)
    options[entry.swept] = 0 if entry.swept == "kappa" else 0.9
    if entry.random:
        options["generator"] = torch.Generator().manual_seed(0)
    if kind == "jsma":
        options["targets"] = (labels + 1) % 4
    made = load(entry.implementation)(model, images, labels, **options)
    assert made.shape == images.shape
    assert made.isfinite().all()


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.9), ("l2", 6)])
def test_nor_does_the_attack_that_others_are_held_to(norm, eps, who):
    model, images, labels = situation(who)
    generator = torch.Generator().manual_seed(0)
    made = run_auto_pgd(model, images, labels, norm=norm, eps=eps, generator=generator)
    assert (model(made).argmax(1) != labels).all()
