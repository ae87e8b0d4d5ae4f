"""What is tried of a model before training is what stages ask of it after."""

from collections.abc import Callable

import pytest
import torch
from epsigma.models.classifier import CONTIGUOUS, ModelError
from epsigma.models.trial import try_model
from torch import nn

SHAPE, CLASSES = (3, 8, 8), 4


class By(nn.Module):
    """Convolutions, and a linear layer; how images come in and logits go out, differs."""

    def __init__(
        self,
        before: Callable = lambda x: x,
        flatten: Callable = lambda x: x.flatten(1),
        after: Callable = lambda z: z,
        layer: Callable = nn.Identity,
    ):
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), layer(), nn.ReLU())
        self.linear = nn.Linear(8 * 8 * 8, CLASSES)
        self.steps = before, flatten, after

    def forward(self, x):
        before, flatten, after = self.steps
        return after(self.linear(flatten(self.features(before(x)))))


class Called(nn.Module):
    """A function, beside a weight."""

    def __init__(self, function):
        super().__init__()
        self.linear = nn.Linear(1, 1)
        self.function = function

    def forward(self, x):
        return self.function(x)


def in_place(x):
    x -= 0.3
    x /= 0.4
    return x


def some(n=16, seed=0):
    return torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(seed))


def out_of_place(x):
    return (x - 0.3) / 0.4


def autocast(x):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return By()(x)


# What a model does, what it then needs, and the same function written so that it needs nothing.
NEEDY = {
    "view": (lambda: By(flatten=lambda x: x.view(len(x), -1)), ["contiguous"], By),
    "view of images": (
        lambda: By(lambda x: x.view(len(x), -1).view(-1, *SHAPE)),
        ["contiguous"],
        By,
    ),
    "reshape": (lambda: By(flatten=lambda x: x.reshape(len(x), -1)), [], By),
    "in place": (lambda: By(in_place), ["copy"], lambda: By(out_of_place)),
    "float64": (lambda: By(after=torch.Tensor.double), ["float32"], By),
    "float16": (lambda: By(after=torch.Tensor.half), ["float32"], By),
    "autocast": (lambda: Called(autocast), ["float32"], By),
    "all": (
        lambda: By(in_place, lambda x: x.view(len(x), -1), torch.Tensor.double),
        ["copy", "float32", "contiguous"],
        lambda: By(out_of_place),
    ),
}


@pytest.mark.parametrize("trains", [True, False])
@pytest.mark.parametrize("what", NEEDY)
def test_what_can_work_works_and_images_stay(what, trains):
    make, needs, plain = NEEDY[what]
    model, images = make(), some()
    before = images.clone()
    assert try_model(model, images, CLASSES, trains=trains) == needs
    if CONTIGUOUS not in needs:
        model.to(memory_format=torch.channels_last)
    for memory_format in (torch.contiguous_format, torch.channels_last):
        x = images.clone(memory_format=memory_format).requires_grad_()
        logits = model(x)
        (gradient,) = torch.autograd.grad(logits.sum(), x)
        assert logits.dtype == torch.float32
        y = images.clone().requires_grad_()
        expected = plain()(y)
        torch.testing.assert_close(logits, expected, atol=0.02, rtol=0.02)
        (slope,) = torch.autograd.grad(expected.sum(), y)
        torch.testing.assert_close(gradient, slope, atol=0.02, rtol=0.02)
        assert torch.equal(x, before)
    assert torch.equal(images, before)


def squeezed(x):
    return By()(x).squeeze()


@torch.no_grad()
def without_gradient(x):
    return By()(x)


def root_of_zero(x):
    return By()(torch.where(x > 2, (x * 0).sqrt(), x * 0) + x)


class InTraining(By):
    def forward(self, x):
        logits = super().forward(x)
        return (logits, logits) if self.training else logits


@pytest.mark.parametrize("trains", [True, False])
@pytest.mark.parametrize(
    ("make", "said", "only_training"),
    [
        (lambda: Called(squeezed), "images (1, 3, 8, 8), it returned (4,), not", False),
        (lambda: Called(without_gradient), "no_grad or numpy", False),
        (lambda: Called(root_of_zero), "nowhere a finite number", False),
        (InTraining, "(2, 3, 8, 8) in training mode, it returned tuple", True),
    ],
)
def test_what_cannot_work_is_refused(make, said, only_training, trains):
    if only_training and not trains:
        assert try_model(make(), some(), CLASSES, trains=False) == []
        return
    with pytest.raises(ModelError) as raised:
        try_model(make(), some(), CLASSES, trains=trains)
    assert said in str(raised.value)
    assert len(str(raised.value).splitlines()) <= 10


def test_a_trial_changes_nothing():
    model = By(layer=lambda: nn.Sequential(nn.BatchNorm2d(8), nn.Dropout(0.5))).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    strides = {name: value.stride() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    for n in (2, 5):
        assert try_model(model, some(n), CLASSES, trains=True) == []
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert strides == {name: value.stride() for name, value in model.state_dict().items()}
    assert all(parameter.grad is None for parameter in model.parameters())
