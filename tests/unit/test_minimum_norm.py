import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from epsigma.attacks import fmn as module
from epsigma.attacks.carlini_wagner import carlini_wagner
from epsigma.attacks.ddn import ddn
from epsigma.attacks.fmn import fmn, fmn_l0, fmn_l1, fmn_l2
from epsigma.attacks.losses import clear_margin, margin
from epsigma.attacks.nearest import anneal
from epsigma.models.mlp import MLP
from epsigma.registry.attacks import ATTACKS
from foolbox import PyTorchModel
from foolbox.attacks import DDNAttack, LInfFMNAttack
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch import nn

ORDERS = {"linf": math.inf, "l2": 2, "l1": 1, "l0": 0}
SEARCHES = {"ddn": ddn, "fmn": fmn, "fmn_l2": fmn_l2, "fmn_l1": fmn_l1, "fmn_l0": fmn_l0}


def length(name, delta):
    order = ORDERS[ATTACKS[name].minimises]
    return torch.linalg.vector_norm(delta.flatten(1), ord=order, dim=1)


def right_ones(trained, count):
    right = (trained.model(trained.images).argmax(1) == trained.labels).nonzero().squeeze(1)
    return trained.images[right[:count]], trained.labels[right[:count]]


def linear(classes):
    """A linear model, images well inside the pixel range, and their classes."""
    generator = torch.Generator().manual_seed(5)
    layer = nn.Linear(12, classes, dtype=torch.float64).requires_grad_(False)
    layer.weight.copy_(torch.randn(classes, 12, generator=generator, dtype=torch.float64))
    layer.bias.copy_(-layer.weight.sum(1) / 2)
    images = 0.4 + 0.2 * torch.rand(30, 1, 3, 4, generator=generator, dtype=torch.float64)
    model = nn.Sequential(nn.Flatten(), layer)
    return model, images, model(images).argmax(1)


def test_these_are_the_attacks_that_minimise_without_a_target_and_follow_gradients():
    minimising = {
        name
        for name, kind in ATTACKS.items()
        if kind.minimises and not kind.targeted and kind.family == "iterative"
    }
    assert minimising == set(SEARCHES)


# --- How near


@pytest.mark.parametrize("kappa", [0, 0.2])
@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("name", SEARCHES)
def test_on_a_linear_model_it_is_the_distance_to_the_nearest_boundary(name, classes, kappa):
    if name == "fmn_l0":
        pytest.skip("counts have a test of their own")
    model, images, labels = linear(classes)
    logits, weight = model(images), model[1].weight
    order = ORDERS[ATTACKS[name].minimises]
    dual = {math.inf: 1, 2: 2, 1: math.inf}[order]
    lead = logits.gather(1, labels[:, None]) - logits + kappa
    slope = torch.linalg.vector_norm(weight[labels][:, None] - weight, ord=dual, dim=2)
    exact = (lead / slope).scatter(1, labels[:, None], math.inf).amin(1)
    # In l1 the way is along a single value, whose range may be too short.
    fits = exact < 0.35
    found = length(name, SEARCHES[name](model, images, labels, kappa=kappa, steps=400) - images)
    assert fits.sum() > 15
    assert (found >= exact - 1e-9)[fits].all()
    near = (found <= exact * 1.02 + 1e-4)[fits]
    if classes == 2:
        assert near.all()
    elif name == "ddn":
        # It ascends the cross-entropy, which is of all rivals, not of the nearest.
        assert (found / exact)[fits].mean() < 1.3
    else:
        # The nearest of several rivals need not have the largest logit.
        assert near.double().mean() > 0.6


def test_in_l0_few_values_do_what_many_could():
    """A sum over values has to exceed a threshold: as many as it takes have to change."""
    layer = nn.Linear(20, 2, bias=True, dtype=torch.float64).requires_grad_(False)
    layer.weight.zero_()
    layer.weight[1] = torch.linspace(1, 3, 20)
    layer.bias.copy_(torch.tensor([10.0, 0]))
    model = nn.Sequential(nn.Flatten(), layer)
    images = torch.zeros(1, 1, 4, 5, dtype=torch.float64)
    found = fmn_l0(model, images, torch.tensor([0]), kappa=0, steps=200)
    needed = int((torch.linspace(1, 3, 20).flip(0).cumsum(0) <= 10).sum()) + 1
    assert needed == 4
    assert int((found != images).sum()) == needed


@pytest.mark.parametrize("name", ["ddn", "fmn_l2"])
def test_in_l2_it_is_as_near_as_carlini_and_wagner(trained, name):
    images, labels = right_ones(trained, 50)
    how = {"kappa": 0, "steps": 300, "search_steps": 6, "learning_rate": 0.05}
    theirs = (carlini_wagner(trained.model, images, labels, **how) - images).flatten(1).norm(dim=1)
    ours = length(name, SEARCHES[name](trained.model, images, labels, kappa=0) - images)
    assert ours.min() > 0
    assert ours.median() <= theirs.median() * 1.02
    assert ours.mean() <= theirs.mean() * 1.02


@pytest.mark.parametrize(
    ("name", "foreign"), [("ddn", DDNAttack(steps=200)), ("fmn", LInfFMNAttack(steps=200))]
)
def test_it_is_as_near_as_foolbox(trained, name, foreign):
    images, labels = right_ones(trained, 50)
    model = PyTorchModel(trained.model, bounds=(0, 1), device="cpu")
    theirs, _, success = foreign(model, images, labels, epsilons=None)
    assert success.all()
    ours = SEARCHES[name](trained.model, images, labels, kappa=0, steps=200)
    ours, theirs = length(name, ours - images), length(name, theirs - images)
    assert ours.min() > 0
    assert ours.median() <= theirs.median() * 1.01


# --- Whatever the norm


@pytest.mark.parametrize("kappa", [0, 2])
@pytest.mark.parametrize("name", SEARCHES)
def test_all_are_fooled_by_the_margin_and_stay_in_the_pixel_range(trained, name, kappa):
    images, labels = trained.images[:60], trained.labels[:60]
    before = images.clone()
    found = SEARCHES[name](trained.model, images, labels, kappa=kappa, steps=100)
    assert torch.equal(images, before)
    assert (found.shape, found.dtype) == (images.shape, torch.float32)
    assert not found.requires_grad
    assert found.min() >= 0
    assert found.max() <= 1
    assert (clear_margin(trained.model(found), labels) > kappa - 1e-4).all()
    as_it_is = clear_margin(trained.model(images), labels) > kappa
    assert torch.equal(found[as_it_is], images[as_it_is])
    # Not farther beyond the boundary than need be.
    if name != "fmn_l0":
        beyond = margin(trained.model(found), labels)[~as_it_is] - kappa
        assert beyond.median() < 0.1


@pytest.mark.parametrize("name", SEARCHES)
def test_more_steps_come_nearer(trained, name):
    images, labels = right_ones(trained, 60)
    means = []
    for steps in (30, 100, 300):
        found = SEARCHES[name](trained.model, images, labels, kappa=0, steps=steps)
        missed = trained.model(found).argmax(1) == labels
        means.append(length(name, found - images).masked_fill(missed, 100).mean().item())
    assert all(more <= less * 1.001 for less, more in pairwise(means))


@pytest.mark.parametrize("name", SEARCHES)
def test_the_batch_changes_nothing_and_nothing_is_drawn(trained, name):
    with torch.random.fork_rng(devices=[]):
        model = MLP((1, 8, 8), 10, hidden=32).double().requires_grad_(False)
    model.load_state_dict(trained.model.state_dict())
    images, labels = trained.images[:12].double(), trained.labels[:12]
    state = torch.get_rng_state()
    together = SEARCHES[name](model, images, labels, kappa=0, steps=30)
    alone = [
        SEARCHES[name](model, images[i : i + 1], labels[i : i + 1], kappa=0, steps=30)
        for i in range(12)
    ]
    torch.testing.assert_close(torch.cat(alone), together, atol=1e-7, rtol=0)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", SEARCHES)
def test_without_a_gradient_or_a_step_the_images_come_back(trained, name):
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).requires_grad_(False)
    model[1].weight.zero_()
    images = torch.rand(5, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    labels = model(images).argmax(1)
    assert torch.equal(SEARCHES[name](model, images, labels, kappa=0, steps=5), images)
    once = SEARCHES[name](trained.model, trained.images, trained.labels, kappa=0, steps=1)
    assert torch.equal(once, trained.images)


class Counting(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model
        self.asked = []

    def forward(self, images):
        self.asked.append((len(images), torch.is_grad_enabled()))
        return self.model(images)


@pytest.mark.parametrize("name", SEARCHES)
def test_each_step_asks_once_about_what_was_right_and_the_last_needs_no_gradient(trained, name):
    model, right = Counting(trained.model), len(right_ones(trained, None)[0])
    SEARCHES[name](model, trained.images, trained.labels, kappa=0, steps=7)
    asked = [(right, True)] * 6
    assert model.asked == [(len(trained.images), False), *asked, (right, False)]
    model.asked.clear()
    wrong = (trained.labels + 1) % 10
    fooled = trained.images[:1], wrong[:1]
    assert torch.equal(SEARCHES[name](model, *fooled, kappa=0, steps=7), fooled[0])
    assert len(model.asked) == 1


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        *(({"kappa": kappa}, "kappa = .* is no finite") for kappa in (-1, math.inf, math.nan)),
        ({"steps": 0}, "steps = 0 is less than 1"),
        *(({"gamma": gamma}, r"gamma = .* is outside \(0, 1\)") for gamma in (0, 1, math.nan)),
        *(
            ({"step_size": size}, "step_size = .* is not positive")
            for size in (0, math.inf, math.nan)
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", SEARCHES)
def test_an_argument_out_of_range_is_refused(trained, name, parameters, said):
    if set(parameters) <= set(ATTACKS[name].schemas):
        with pytest.raises(ValueError, match=said):
            SEARCHES[name](
                trained.model, trained.images, trained.labels, **{"kappa": 0, **parameters}
            )


def test_what_is_annealed_goes_from_the_first_value_towards_the_last():
    found = [anneal(2, 1, step, 10) for step in range(10)]
    assert found[0] == 2
    assert found[5] == 1.5
    assert found == sorted(found, reverse=True)
    assert 1 < found[-1] < 1.03


# --- FMN's projections

NORMS = {"linf": module.LINF, "l2": module.L2, "l1": module.L1, "l0": module.L0}


def some_deltas(seed, shape=(6, 15)):
    random = np.random.default_rng(seed)
    # Some are 0, some equal.
    return torch.from_numpy(random.integers(-4, 5, shape) / 4 + random.normal(size=shape).round(1))


@given(norm=st.sampled_from(sorted(NORMS)), seed=st.integers(0, 2**32 - 1))
def test_a_projection_comes_into_its_ball_and_leaves_alone_what_is_there(norm, seed):
    delta = some_deltas(seed)
    radius = torch.linspace(0, 1, 6, dtype=torch.float64)[:, None] * NORMS[norm].measure(delta)
    radius = radius.floor() if norm == "l0" else radius
    found = NORMS[norm].project(delta.clone(), radius)
    sizes = torch.linalg.vector_norm(found, ord=ORDERS[norm], dim=1)
    assert (sizes <= radius.squeeze(1) + 1e-12).all()
    assert torch.equal(found[0], torch.zeros(15, dtype=torch.float64))
    torch.testing.assert_close(found[5], delta[5])
    if norm != "linf":
        torch.testing.assert_close(sizes, radius.squeeze(1))
    # No value changes its sign or grows, and its order stays.
    assert (found * delta >= 0).all()
    assert (found.abs() <= delta.abs() + 1e-12).all()
    order = delta.abs().argsort(1)
    assert (found.abs().gather(1, order).diff(dim=1) >= -1e-12).all() or norm == "l0"


@pytest.mark.parametrize("seed", range(4))
def test_the_l1_projection_is_the_nearest_point_of_the_ball(seed):
    delta = some_deltas(seed, (1, 8))
    radius = 0.4 * float(delta.abs().sum())
    found = module.L1.project(delta.clone(), torch.tensor([[radius]], dtype=torch.float64))
    # δ = p − n with p, n ≥ 0 and Σ p + n ≤ ε.
    nearest = minimize(
        lambda z: ((z[:8] - z[8:] - delta[0].numpy()) ** 2).sum(),
        np.full(16, radius / 32),
        method="SLSQP",
        bounds=[(0, None)] * 16,
        constraints={"type": "ineq", "fun": lambda z: radius - z.sum()},
        options={"ftol": 1e-14, "maxiter": 500},
    )
    np.testing.assert_allclose(found[0], nearest.x[:8] - nearest.x[8:], atol=1e-5)


def test_the_l0_projection_keeps_the_largest_and_no_more_than_it_may():
    delta = torch.tensor([[0.5, -1, 1, 1, 0], [0.1, -0.3, 0.2, 0, 0], [1, 2, 3, 4, 5.0]])
    found = module.L0.project(delta.clone(), torch.tensor([[2.0], [2.0], [0.0]]))
    assert int((found[0] != 0).sum()) == 2
    assert found[0].abs().amax() == found[0].abs().sum() / 2 == 1
    assert found[1].tolist() == pytest.approx([0, -0.3, 0.2, 0, 0])
    assert found[2].tolist() == [0] * 5
