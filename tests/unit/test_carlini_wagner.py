import math
from itertools import pairwise

import pytest
import torch
from epsigma.attacks.carlini_wagner import carlini_wagner
from epsigma.attacks.losses import margin
from epsigma.models.mlp import MLP
from foolbox import PyTorchModel
from foolbox.attacks import L2CarliniWagnerAttack
from foolbox.criteria import Misclassification, TargetedMisclassification
from torch import nn

# Enough for the digits, a fifth of the defaults.
QUICK = {"steps": 200, "search_steps": 6, "learning_rate": 0.05}


def length(attacked, images):
    return (attacked - images).flatten(1).norm(dim=1)


def right_ones(trained, count):
    right = (trained.model(trained.images).argmax(1) == trained.labels).nonzero().squeeze(1)
    return trained.images[right[:count]], trained.labels[right[:count]]


def lead(model, attacked, labels, targets=None):
    """By how much the logits of a success lead; κ at least."""
    logits = model(attacked)
    return margin(logits, labels) if targets is None else -margin(logits, targets)


def small_cnn(shape, classes):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = nn.Sequential(
            nn.Conv2d(shape[0], 4, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.LazyLinear(classes),
        )
        model(torch.zeros(1, *shape))
    return model.eval().requires_grad_(False)


def linear(classes):
    """A linear model, images of it inside the pixel range, well inside their classes."""
    generator = torch.Generator().manual_seed(5)
    weight = torch.randn(classes, 12, generator=generator, dtype=torch.float64)
    layer = nn.Linear(12, classes, dtype=torch.float64).requires_grad_(False)
    layer.weight.copy_(weight)
    layer.bias.copy_(-weight.sum(1) / 2)
    model = nn.Sequential(nn.Flatten(), layer)
    images = 0.3 + 0.4 * torch.rand(60, 1, 3, 4, generator=generator, dtype=torch.float64)
    labels = model(images).argmax(1)
    far = -margin(model(images), labels) > 0.3
    return model, weight, images[far], labels[far]


# --- Success, and how near


@pytest.mark.parametrize("targeted", [False, True])
def test_every_image_is_fooled_as_wanted(trained, targeted):
    targets = (trained.labels[:60] + 1) % 10 if targeted else None
    images, labels = trained.images[:60], trained.labels[:60]
    attacked = carlini_wagner(trained.model, images, labels, kappa=0, targets=targets, **QUICK)
    assert (lead(trained.model, attacked, labels, targets) > 0).all()
    assert attacked.min() >= 0
    assert attacked.max() <= 1
    assert attacked.dtype == torch.float32
    assert attacked.shape == images.shape


@pytest.mark.parametrize(("kappa", "targeted"), [(0, False), (2, True)])
def test_no_farther_than_foolbox_at_equal_steps(trained, kappa, targeted):
    images, labels = right_ones(trained, 30)
    targets = (labels + 3) % 10 if targeted else None
    attacked = carlini_wagner(trained.model, images, labels, kappa=kappa, targets=targets, **QUICK)
    attack = L2CarliniWagnerAttack(
        binary_search_steps=QUICK["search_steps"],
        steps=QUICK["steps"],
        stepsize=QUICK["learning_rate"],
        confidence=kappa,
    )
    aim = TargetedMisclassification(targets) if targeted else Misclassification(labels)
    theirs = attack(PyTorchModel(trained.model, bounds=(0, 1)), images, aim, epsilons=None)[0]
    assert (lead(trained.model, theirs, labels, targets) >= kappa - 1e-4).all()
    assert (lead(trained.model, attacked, labels, targets) >= kappa - 1e-4).all()
    assert length(attacked, images).mean() <= 1.02 * length(theirs, images).mean()


@pytest.mark.parametrize(("classes", "targeted"), [(4, False), (2, False), (2, True)])
@pytest.mark.parametrize("kappa", [0, 0.5])
def test_on_a_linear_model_the_distance_is_nearly_the_least_there_is(classes, targeted, kappa):
    model, weight, images, labels = linear(classes)
    assert len(images) >= 20
    logits = model(images)
    ways = logits.gather(1, labels[:, None]) - logits + kappa
    ways /= (weight[labels][:, None] - weight).norm(dim=2)
    targets = 1 - labels if targeted else None
    options = {"kappa": kappa, "targets": targets, "steps": 600, "learning_rate": 0.005}
    attacked = carlini_wagner(model, images, labels, **options)
    # The closed form holds where no pixel comes to the end of its range.
    assert 0.01 < attacked.min() < attacked.max() < 0.99
    assert (lead(model, attacked, labels, targets) >= kappa).all()
    found = length(attacked, images)
    least = ways.scatter(1, labels[:, None], torch.inf).amin(1)
    assert (found >= least * (1 - 1e-9)).all()
    # The gradient leads to the class of the largest logit, which need not be the nearest of all.
    reached = model(attacked).argmax(1, keepdim=True)
    assert (found <= 1.01 * ways.gather(1, reached).squeeze(1)).all()
    assert (found / least).mean() <= (1.05 if classes > 2 else 1.01)


def test_the_lead_is_kappa_at_least_and_costs_distance(trained):
    images, labels = right_ones(trained, 30)
    lengths = []
    for kappa in (0, 2, 6):
        attacked = carlini_wagner(trained.model, images, labels, kappa=kappa, **QUICK)
        assert (lead(trained.model, attacked, labels) >= kappa - 1e-4).all()
        lengths.append(length(attacked, images).mean().item())
    assert all(less < more for less, more in pairwise(lengths))


def test_more_steps_are_no_farther_on_average(trained):
    images, labels = right_ones(trained, 40)
    lengths = []
    for steps in (50, 200, 800):
        attacked = carlini_wagner(
            trained.model, images, labels, kappa=0, **{**QUICK, "steps": steps}
        )
        assert (lead(trained.model, attacked, labels) > 0).all()
        lengths.append(length(attacked, images).mean().item())
    assert lengths[1] < lengths[0]
    assert lengths[2] <= lengths[1] * 1.002


def test_giving_up_early_costs_little_distance_and_saves_steps(trained):
    images, labels = right_ones(trained, 40)
    lengths, rows = [], []
    for abort_early in (False, True):
        worked_on = []
        attacked = carlini_wagner(
            trained.model,
            images,
            labels,
            kappa=0,
            abort_early=abort_early,
            on_step=lambda loss, seen=worked_on: seen.append(len(loss)),
            **QUICK,
        )
        assert (lead(trained.model, attacked, labels) > 0).all()
        lengths.append(length(attacked, images).mean().item())
        rows.append(sum(worked_on))
    assert rows[0] == 40 * QUICK["steps"] * QUICK["search_steps"]
    assert rows[1] < 0.7 * rows[0]
    assert lengths[1] <= 1.005 * lengths[0]


def test_from_ten_search_steps_on_the_last_c_is_the_smallest_that_succeeded(trained):
    # Its loss, f being 0 on success, starts at c·(f + κ): that tells c.
    images, labels = right_ones(trained, 1)
    start = -margin(trained.model(images), labels).item()
    losses = []
    carlini_wagner(
        trained.model,
        images,
        labels,
        kappa=0,
        steps=60,
        search_steps=10,
        learning_rate=0.05,
        abort_early=False,
        on_step=lambda loss: losses.append(loss.item()),
    )
    searched = [loss / start for loss in losses[::60]]
    assert searched[:2] == pytest.approx([0.001, 0.01], rel=1e-3)
    assert any(searched[-1] == pytest.approx(c, rel=1e-3) for c in searched[:-1])


# --- What leaves the batch


def test_a_row_alone_is_the_row_in_a_batch(trained):
    with torch.random.fork_rng(devices=[]):
        model = MLP((1, 8, 8), 10, hidden=32).double()
    model.load_state_dict(trained.model.state_dict())
    model.requires_grad_(False)
    images, labels = trained.images[:6].double(), trained.labels[:6]
    options = {"kappa": 0.5, "steps": 100, "search_steps": 5, "learning_rate": 0.05}
    together = carlini_wagner(model, images, labels, **options)
    alone = [
        carlini_wagner(model, images[i : i + 1], labels[i : i + 1], **options) for i in range(6)
    ]
    torch.testing.assert_close(torch.cat(alone), together, rtol=0, atol=1e-6)
    assert (length(together, images) > 0.05).sum() >= 5


def test_finished_rows_leave_the_batch(trained):
    images, labels = right_ones(trained, 30)
    worked_on = []
    carlini_wagner(
        trained.model,
        images,
        labels,
        kappa=0,
        on_step=lambda loss: worked_on.append(len(loss)),
        **QUICK,
    )
    first = worked_on[: QUICK["steps"]]
    assert first[0] == 30
    assert worked_on[-1] < 30
    assert sum(worked_on) < 0.7 * 30 * QUICK["steps"] * QUICK["search_steps"]


def test_what_is_wrong_when_clean_is_returned_as_it_is_without_a_step(trained):
    wrong = trained.model(trained.images).argmax(1) != trained.labels
    assert wrong.any()
    images, labels = trained.images[wrong], trained.labels[wrong]
    losses = []
    attacked = carlini_wagner(
        trained.model, images, labels, kappa=0, on_step=losses.append, **QUICK
    )
    assert torch.equal(attacked, images)
    assert attacked.data_ptr() != images.data_ptr()
    assert not losses
    confident = carlini_wagner(trained.model, images, labels, kappa=50, **QUICK)
    assert not torch.equal(confident, images)


@pytest.mark.parametrize("abort_early", [False, True])
@pytest.mark.parametrize("kappa", [0, 1])
def test_where_nothing_is_found_the_clean_image_comes_back(kappa, abort_early):
    model = MLP((1, 4, 4), 5, hidden=3).requires_grad_(False)
    for parameter in model.parameters():
        parameter.zero_()
    images = torch.rand(4, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(4)
    options = {"kappa": kappa, "steps": 20, "abort_early": abort_early, "search_steps": 30}
    assert torch.equal(carlini_wagner(model, images, labels, **options), images)


@pytest.mark.parametrize("count", [0, 1])
def test_any_number_of_images_is_a_batch(trained, count):
    images, labels = right_ones(trained, count)
    attacked = carlini_wagner(trained.model, images, labels, kappa=0, **QUICK)
    assert attacked.shape == images.shape
    assert (lead(trained.model, attacked, labels) > 0).all()


# --- Input, model and bounds


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_convolutions_of_one_and_three_channels_are_fooled(channels, memory_format):
    model = small_cnn((channels, 8, 7), 4)
    generator = torch.Generator().manual_seed(2)
    # Some pixels are at the ends of their range, as in MNIST most are.
    images = (torch.rand(6, channels, 8, 7, generator=generator) * 1.5 - 0.25).clamp_(0, 1)
    images = images.contiguous(memory_format=memory_format)
    labels = model(images).argmax(1)
    attacked = carlini_wagner(model, images, labels, kappa=0, **QUICK)
    assert (model(attacked).argmax(1) != labels).all()
    assert attacked.min() >= 0
    assert attacked.max() <= 1


def test_input_and_parameters_are_left_alone(trained):
    images, labels = (part.clone() for part in right_ones(trained, 5))
    targets = (labels + 1) % 10
    kept = images.clone(), labels.clone(), targets.clone()
    with torch.no_grad():
        attacked = carlini_wagner(trained.model, images, labels, kappa=0, targets=targets, **QUICK)
        assert not torch.is_grad_enabled()
    assert all(map(torch.equal, (images, labels, targets), kept))
    assert not attacked.requires_grad
    assert not images.requires_grad
    assert all(parameter.grad is None for parameter in trained.model.parameters())
    assert (lead(trained.model, attacked, labels, targets) > 0).all()


def test_on_step_sees_the_loss_fall(trained):
    images, labels = right_ones(trained, 20)
    losses = []
    carlini_wagner(
        trained.model,
        images,
        labels,
        kappa=0,
        steps=200,
        search_steps=1,
        initial_c=10,
        abort_early=False,
        on_step=losses.append,
    )
    assert len(losses) == 200
    assert all(loss.shape == (20,) and not loss.requires_grad for loss in losses)
    # At the start there is no distance: c · f is all.
    start = -10 * margin(trained.model(images), labels)
    torch.testing.assert_close(losses[0], start, rtol=1e-3, atol=1e-3)
    assert (losses[-1] < losses[0]).all()
    means = torch.stack(losses).mean(1)
    assert means[150:].mean() < means[50:100].mean() < means[:50].mean()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kappa": -1}, "kappa = -1 is no finite number from 0 on"),
        ({"kappa": math.nan}, "kappa = nan is no finite"),
        ({"kappa": math.inf}, "kappa = inf is no finite"),
        ({"steps": 0}, "steps = 0 .* must be at least 1"),
        ({"search_steps": 0}, "search_steps = 0 must be at least 1"),
        ({"learning_rate": 0}, "learning_rate = 0 is not positive and finite"),
        ({"learning_rate": math.inf}, "learning_rate = inf is not positive"),
        ({"initial_c": -1}, "initial_c = -1 is not positive and finite"),
        ({"initial_c": math.nan}, "initial_c = nan is not positive and finite"),
        ({"targets": torch.tensor([1])}, r"targets have the shape \(1,\): give one class an image"),
    ],
)
def test_an_argument_out_of_range_is_refused(trained, options, message):
    with pytest.raises(ValueError, match=message):
        carlini_wagner(trained.model, *right_ones(trained, 2), **{"kappa": 0, **options})


def test_images_of_black_and_white_are_not_given_up_before_they_have_moved():
    generator = torch.Generator().manual_seed(0)
    layer = nn.Linear(64, 3).requires_grad_(False)
    layer.weight.copy_(torch.randn(3, 64, generator=generator))
    layer.bias.zero_()
    model = nn.Sequential(nn.Flatten(), layer)
    images = torch.randint(2, (8, 1, 8, 8), generator=generator).float()
    labels = model(images).argmax(1)
    made = carlini_wagner(model, images, labels, kappa=0, steps=400, learning_rate=0.02)
    assert (margin(model(made), labels) > 0).all()
