"""Training on images that pass filters first."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from epsigma.filters.bitdepth import BitDepth
from epsigma.filters.gaussian import Gaussian
from epsigma.filters.noise import GaussianNoise
from epsigma.training.filtered import Filtered
from epsigma.training.standard import Standard
from learning import HOW, school
from torch import nn
from torch.nn import functional

IMAGES = torch.rand(6, 1, 2, 2, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 3, 0, 1])
BLUR = {
    "implementation": "epsigma.filters.gaussian:Gaussian",
    "parameters": {"sigma": 1.5},
    "gradient": "exact",
}
NOISE = {
    "implementation": "epsigma.filters.noise:GaussianNoise",
    "parameters": {"std": 0.3},
    "random": True,
    "gradient": "exact",
}


def objective(*filters):
    implementation = "epsigma.training.filtered:Filtered"
    return {"implementation": implementation, "parameters": {"filters": list(filters)}}


def weighted():
    """A linear model of IMAGES, with weights of its own."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 4, bias=False))
    with torch.no_grad():
        model[1].weight.copy_(torch.arange(16.0).reshape(4, 4).sin())
    return model


def test_the_loss_is_that_of_images_that_passed_the_filters_in_turn():
    model, filters = weighted(), [Gaussian(sigma=1), BitDepth(bits=1)]
    loss, logits = Filtered(filters=filters)(model, IMAGES, LABELS, progress=0)
    passed = model((filters[0](IMAGES) > 0.5).float())
    assert torch.equal(logits, passed)
    torch.testing.assert_close(loss, functional.cross_entropy(passed, LABELS))
    turned = Filtered(filters=filters[::-1])(model, IMAGES, LABELS, progress=0)[1]
    assert not torch.equal(turned, logits)


def test_the_weights_have_the_gradient_of_filtered_images():
    grads = []
    for made, images in (
        (Filtered(filters=[BitDepth(bits=1)]), IMAGES),
        (Standard(), (IMAGES > 0.5).float()),
    ):
        model = weighted()
        made(model, images, LABELS, progress=0)[0].backward()
        grads.append(model[1].weight.grad)
    torch.testing.assert_close(*grads)


def test_it_is_validated_behind_the_filters():
    model = weighted()
    loss, logits = Filtered(filters=[BitDepth(bits=1)]).validate(model, IMAGES, LABELS)
    passed = model((IMAGES > 0.5).float())
    assert torch.equal(logits, passed)
    torch.testing.assert_close(loss, functional.cross_entropy(passed, LABELS))


def test_what_filters_draw_is_drawn_anew_in_each_step():
    made = Filtered(filters=[GaussianNoise(std=0.3, generator=torch.Generator().manual_seed(0))])
    model = weighted()
    first, second = (made(model, IMAGES, LABELS, progress=0)[1] for _ in range(2))
    assert not torch.equal(first, second)


def test_what_trains_through_no_filter_imports_none():
    looked = "import sys, epsigma.stages.train; print(*sys.modules)"
    path = Path(__file__).parents[2] / "workflow"
    done = subprocess.run(
        [sys.executable, "-c", looked],
        env={**os.environ, "PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "epsigma.training.lightning" in done.stdout.split()
    assert not [name for name in done.stdout.split() if name.startswith("epsigma.filters")]


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    with school(tmp_path_factory.mktemp("filtered")) as made:
        yield made


def test_a_model_is_better_behind_the_filter_that_it_was_trained_through(digits):
    test = digits.test()
    blurred = Gaussian(sigma=1.5)(test.images)
    right = {}
    for name, how in (("plain", None), ("through", objective(BLUR))):
        learnt = digits.train(name, how)
        model = digits.read(learnt)
        right[name] = (model(blurred).argmax(1) == test.labels).double().mean().item()
        curve = pd.read_csv(learnt.curve)
        assert len(curve) == HOW["epochs"]
        assert curve["validation_accuracy"].iloc[-1] > 0.7
    assert right["through"] > right["plain"] + 0.1


def test_the_same_seed_draws_the_same(digits):
    one, other = (digits.train(name, objective(NOISE), epochs=2) for name in ("one", "other"))
    assert one.curve.read_text() == other.curve.read_text()
    plain = digits.train("without", epochs=2)
    assert one.curve.read_text() != plain.curve.read_text()


def test_an_autoencoder_of_a_filter_is_read_from_its_checkpoint(digits):
    learnt = digits.train_autoencoder(
        "pca", {"implementation": "epsigma.autoencoders.pca:PrincipalComponents", "parameters": {}}
    )
    autoencoder = {
        "implementation": "epsigma.autoencoders.pca:PrincipalComponents",
        "parameters": {},
        "checkpoint": str(learnt.checkpoint),
    }
    parameters = {"components": 10, "autoencoder": autoencoder}
    made = {"implementation": "epsigma.filters.pca:PCA", "parameters": parameters}
    found = digits.train("components", objective({**made, "gradient": "exact"}), epochs=5)
    assert pd.read_csv(found.curve)["validation_accuracy"].iloc[-1] > 0.8
