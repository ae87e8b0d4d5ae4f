import math
import os
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from epsigma.attacks.balls import L2, LINF
from epsigma.attacks.fgsm import fgsm
from epsigma.attacks.gradient import input_gradient
from epsigma.attacks.losses import LOSSES, cross_entropy, margin
from epsigma.attacks.pgd import OPTIMIZERS, pgd, pgd_l2
from epsigma.attacks.square import covered, square
from epsigma.attacks.transfer import transfer
from epsigma.datasets.digits import digits
from epsigma.datasets.mnist import mnist
from epsigma.filters.gaussian import Gaussian
from epsigma.loading import load
from epsigma.models.mlp import MLP
from epsigma.registry.attacks import ATTACKS
from epsigma.stages.attack import attack
from epsigma.storage.images import read_clean, read_image_set
from foolbox import PyTorchModel
from foolbox.attacks import L2PGD, LinfFastGradientAttack, LinfPGD
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import nn
from torch.nn import functional

CPU = torch.device("cpu")


def random(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def linear_softmax(*, dtype=torch.float64):
    """A linear model of images (1, 3, 4) with three classes, its matrix and its images."""
    generator = torch.Generator().manual_seed(1)
    layer = nn.Linear(12, 3, dtype=dtype).requires_grad_(False)
    layer.weight.copy_(torch.randn(3, 12, generator=generator, dtype=dtype))
    images = torch.rand(20, 1, 3, 4, generator=generator, dtype=dtype)
    labels = torch.randint(3, (20,), generator=generator)
    return nn.Sequential(nn.Flatten(), layer), layer, images, labels


def success(model, images, labels, *, eps, loss="cross_entropy"):
    """The share of what the model gets right when clean that an attack makes it get wrong."""
    right = model(images).argmax(1) == labels
    attacked = fgsm(model, images, labels, eps=eps, loss=loss)
    return (model(attacked).argmax(1) != labels)[right].double().mean().item()


# --- Losses


@given(st.lists(st.integers(-50, 50), min_size=2, max_size=6, unique=True), st.integers(0, 5))
def test_the_margin_is_positive_exactly_when_the_example_is_misclassified(logits, label):
    label %= len(logits)
    found = margin(torch.tensor([logits], dtype=torch.float32), torch.tensor([label])).item()
    assert (found > 0) == (logits.index(max(logits)) != label)
    others = [logit for index, logit in enumerate(logits) if index != label]
    assert found == max(others) - logits[label]


def test_the_cross_entropy_is_the_negative_log_probability_of_the_label():
    logits = torch.tensor([[0.0, 0.0], [math.log(3), 0.0]])
    found = cross_entropy(logits, torch.tensor([1, 0]))
    torch.testing.assert_close(found, torch.tensor([math.log(2), math.log(4 / 3)]))


@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_is_one_value_an_example_and_leaves_the_logits_alone(loss):
    logits = random(5, 3)
    before = logits.clone()
    labels = torch.tensor([0, 1, 2, 0, 1])
    together = LOSSES[loss](logits, labels)
    assert together.shape == (5,)
    assert torch.equal(logits, before)
    alone = [LOSSES[loss](logits[i : i + 1], labels[i : i + 1]) for i in range(5)]
    torch.testing.assert_close(together, torch.cat(alone))


# --- FGSM


@given(
    st.floats(0, 1),
    st.sampled_from(sorted(LOSSES)),
    st.integers(0, 2**32 - 1),
    st.sampled_from([(1, 5, 4), (3, 2, 2)]),
)
def test_fgsm_stays_in_its_ball_and_in_the_pixel_range(eps, loss, seed, shape):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = MLP(shape, 4, hidden=5)
        # Some pixels are at the ends of their range, as in MNIST most are.
        images = (torch.rand(6, *shape) * 1.5 - 0.25).clamp_(0, 1)
        labels = torch.randint(4, (6,))
    attacked = fgsm(model, images, labels, eps=eps, loss=loss)
    assert attacked.min() >= 0
    assert attacked.max() <= 1
    assert (attacked - images).abs().max() <= eps + 1e-6


@pytest.mark.parametrize("loss", LOSSES)
def test_without_a_budget_the_images_are_returned_as_they_are(trained, loss):
    attacked = fgsm(trained.model, trained.images, trained.labels, eps=0, loss=loss)
    assert torch.equal(attacked, trained.images)
    assert attacked.data_ptr() != trained.images.data_ptr()


@pytest.mark.parametrize("loss", LOSSES)
def test_the_input_is_not_modified(trained, loss):
    images, labels = trained.images.clone(), trained.labels.clone()
    fgsm(trained.model, images, labels, eps=0.1, loss=loss)
    assert torch.equal(images, trained.images)
    assert torch.equal(labels, trained.labels)
    assert not images.requires_grad


@pytest.mark.parametrize("eps", [0.01, 0.1, 0.5, 1])
def test_fgsm_on_a_linear_softmax_model_is_the_formula(eps):
    model, layer, images, labels = linear_softmax()
    logits = images.flatten(1) @ layer.weight.T + layer.bias
    one_hot = torch.eye(3, dtype=torch.float64)[labels]
    gradient = ((logits.softmax(1) - one_hot) @ layer.weight).view_as(images)
    expected = (images + eps * gradient.sign()).clamp(0, 1)
    torch.testing.assert_close(fgsm(model, images, labels, eps=eps), expected)


@pytest.mark.parametrize("eps", [0.01, 0.1, 0.5, 1])
def test_fgsm_by_the_margin_on_a_linear_model_goes_from_the_label_to_its_rival(eps):
    model, layer, images, labels = linear_softmax()
    logits = model(images)
    rival = logits.masked_fill(torch.eye(3, dtype=bool)[labels], -torch.inf).argmax(1)
    direction = (layer.weight[rival] - layer.weight[labels]).sign().view_as(images)
    expected = (images + eps * direction).clamp(0, 1)
    torch.testing.assert_close(fgsm(model, images, labels, eps=eps, loss="margin"), expected)


@pytest.mark.parametrize("loss", ["cross_entropy", "margin"])
@pytest.mark.parametrize("eps", [0.01, 0.1, 0.5])
def test_each_example_s_loss_rises_on_a_linear_model(loss, eps):
    # Both losses are convex in the image there, so a step along the gradient's sign cannot lose.
    model, _, images, labels = linear_softmax()
    before = LOSSES[loss](model(images), labels)
    after = LOSSES[loss](model(fgsm(model, images, labels, eps=eps, loss=loss)), labels)
    assert (after > before).all()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("eps", [0.01, 0.05, 0.2])
def test_the_loss_rises_on_a_trained_model(trained, loss, eps):
    attacked = fgsm(trained.model, trained.images, trained.labels, eps=eps, loss=loss)
    before, after = (
        LOSSES[loss](trained.model(images), trained.labels).mean()
        for images in (trained.images, attacked)
    )
    assert after > before


@pytest.mark.parametrize("loss", LOSSES)
def test_success_rises_with_the_budget(trained, loss):
    given = trained.model, trained.images, trained.labels
    rates = [success(*given, eps=eps, loss=loss) for eps in (0, 0.03, 0.06, 0.1, 0.2)]
    assert rates[0] == 0
    assert all(less < more for less, more in pairwise(rates))
    assert rates[-1] > 0.7


def test_fgsm_succeeds_more_often_than_noise_of_the_same_size(trained):
    eps = 0.1
    signs = (random(*trained.images.shape) < 0.5).float() * 2 - 1
    noisy = (trained.images + eps * signs).clamp(0, 1)
    wrong = (trained.model(noisy).argmax(1) != trained.labels).float().mean()
    assert success(trained.model, trained.images, trained.labels, eps=eps) > 2 * wrong


def test_saturation_masks_the_cross_entropy_and_not_the_margin(trained):
    class Saturated(nn.Module):
        def forward(self, images):
            return trained.model(images) * 1e4

    model = Saturated()
    right = model(trained.images).argmax(1) == trained.labels
    images, labels = trained.images[right], trained.labels[right]
    assert success(model, images, labels, eps=0.1, loss="cross_entropy") < 0.1
    assert success(model, images, labels, eps=0.1, loss="margin") > 0.3


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("batch", [1, 7, 100])
def test_the_batch_size_changes_nothing(trained, loss, batch):
    # In double precision: a gradient that is 0 but for rounding may have either sign.
    with torch.random.fork_rng(devices=[]):
        model = MLP((1, 8, 8), 10, hidden=32).double()
    model.load_state_dict(trained.model.state_dict())
    images, labels = trained.images[:100].double(), trained.labels[:100]
    together = fgsm(model, images, labels, eps=0.1, loss=loss)
    apart = [
        fgsm(model, *part, eps=0.1, loss=loss)
        for part in zip(images.split(batch), labels.split(batch), strict=True)
    ]
    assert torch.equal(torch.cat(apart), together)


@pytest.mark.parametrize("frozen", [True, False])
def test_the_model_s_parameters_get_no_gradients(frozen):
    with torch.random.fork_rng(devices=[]):
        model = MLP((1, 2, 2), 3, hidden=4).requires_grad_(not frozen)
    attacked = fgsm(model, random(5, 1, 2, 2), torch.tensor([0, 1, 2, 0, 1]), eps=0.1)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not attacked.requires_grad


@pytest.mark.parametrize("eps", [-0.1, 1.1, math.nan, math.inf])
def test_a_budget_outside_the_pixel_range_is_refused(trained, eps):
    with pytest.raises(ValueError, match=r"eps = .* is outside \[0, 1\]"):
        fgsm(trained.model, trained.images, trained.labels, eps=eps)


def test_an_unknown_loss_is_refused(trained):
    with pytest.raises(ValueError, match="loss = 'hinge' is none of cross_entropy, margin"):
        fgsm(trained.model, trained.images, trained.labels, eps=0.1, loss="hinge")


# --- The gradient


@pytest.mark.parametrize("loss", LOSSES)
def test_the_gradient_is_autograd_s_of_the_summed_loss_beside_the_logits(trained, loss):
    gradient, logits = input_gradient(trained.model, trained.images, trained.labels, loss)
    x = trained.images.clone().requires_grad_()
    LOSSES[loss](trained.model(x), trained.labels).sum().backward()
    torch.testing.assert_close(gradient, x.grad)
    torch.testing.assert_close(logits, trained.model(trained.images))
    assert not gradient.requires_grad
    assert not logits.requires_grad


@pytest.mark.parametrize("loss", LOSSES)
def test_each_example_s_gradient_is_its_own_whatever_the_batch(loss):
    model, _, images, labels = linear_softmax()
    together, _ = input_gradient(model, images, labels, loss)
    alone = [
        input_gradient(model, images[i : i + 1], labels[i : i + 1], loss)[0] for i in range(20)
    ]
    torch.testing.assert_close(together, torch.cat(alone))


def test_there_is_a_gradient_where_the_caller_wants_none(trained):
    expected, _ = input_gradient(trained.model, trained.images, trained.labels, "margin")
    with torch.no_grad():
        found, _ = input_gradient(trained.model, trained.images, trained.labels, "margin")
        assert not torch.is_grad_enabled()
    assert torch.equal(found, expected)


def test_the_gradient_leaves_no_trace_on_images_and_parameters():
    with torch.random.fork_rng(devices=[]):
        model = MLP((1, 2, 2), 3, hidden=4)
    images = random(5, 1, 2, 2)
    input_gradient(model, images, torch.tensor([0, 1, 2, 0, 1]), "cross_entropy")
    assert not images.requires_grad
    assert images.grad is None
    assert all(parameter.grad is None for parameter in model.parameters())


# --- Every attack of the registry

# Hyper-parameters with which an attack is quick.
QUICK = {
    "fgsm": {},
    "pgd": {"steps": 4},
    "pgd_l2": {"steps": 4},
    "apgd": {"steps": 4},
    "apgd_l2": {"steps": 4},
    "autoattack": {"steps": 4, "queries": 20, "target_classes": 2},
    "autoattack_l2": {"steps": 4, "queries": 20, "target_classes": 2},
    "square": {"queries": 60},
    "square_l2": {"queries": 60},
    "hopskipjump": {"queries": 250},
    "hopskipjump_l2": {"queries": 250},
    "fab": {"steps": 4},
    "fab_l2": {"steps": 4},
    "sign_noise": {},
    "uniform_noise": {},
    "l2_noise": {},
    "transfer": {
        "attack": {"implementation": "epsigma.attacks.pgd:pgd_l2", "parameters": {"steps": 4}}
    },
}
# Of those that spend a budget of an l-inf or l2 ball; the others have tests of their own.
NORMS = {name: ATTACKS[name].norm for name in QUICK} | {"transfer": "l2"}
# Those that go no farther than to the first success, and draw only if there is none.
NEAREST = ("fab", "fab_l2")
DRAWING = [name for name in QUICK if ATTACKS[name].random] + ["transfer"]


def test_every_attack_within_an_linf_or_l2_ball_is_among_the_quick():
    bounded = {name for name, kind in ATTACKS.items() if kind.norm in ("linf", "l2")}
    assert bounded | {"transfer"} == set(QUICK)


def craft(name, model, images, labels, *, seed=0, **parameters):
    """Run an attack of the registry, with a generator of its own if it takes one."""
    run = load(ATTACKS[name].implementation)
    options = {"generator": torch.Generator().manual_seed(seed)} if name in DRAWING else {}
    return run(model, images, labels, **{**QUICK[name], **parameters}, **options)


def length(delta, norm):
    """The norm of each example's perturbation, (N,)."""
    flat = delta.flatten(1)
    return flat.abs().amax(1) if norm == "linf" else torch.linalg.vector_norm(flat, dim=1)


def fooled(model, images, labels):
    return model(images).argmax(1) != labels


@pytest.mark.parametrize("name", QUICK)
def test_an_attack_returns_images_of_its_ball_and_of_the_pixel_range(trained, name):
    for eps in (0.01, 0.3, 1):
        attacked = craft(name, trained.model, trained.images, trained.labels, eps=eps)
        assert (attacked.shape, attacked.dtype) == (trained.images.shape, torch.float32)
        assert attacked.min() >= 0
        assert attacked.max() <= 1
        reach = length(attacked - trained.images, NORMS[name])
        assert reach.max() <= eps * (1 + 1e-5)
        # Not all of the ball is in the pixel range, yet some examples go to its end.
        assert reach.max() > 0.95 * eps or name in NEAREST or ATTACKS[name].minimises


@pytest.mark.parametrize("name", QUICK)
def test_without_a_budget_an_attack_returns_the_images(trained, name):
    attacked = craft(name, trained.model, trained.images, trained.labels, eps=0)
    assert torch.equal(attacked, trained.images)
    assert attacked.data_ptr() != trained.images.data_ptr()


@pytest.mark.parametrize("name", QUICK)
def test_an_attack_modifies_neither_images_nor_labels(trained, name):
    images, labels = trained.images.clone(), trained.labels.clone()
    attacked = craft(name, trained.model, images, labels, eps=0.2)
    assert torch.equal(images, trained.images)
    assert torch.equal(labels, trained.labels)
    assert not images.requires_grad
    assert not attacked.requires_grad
    assert not torch.equal(attacked, images)


@pytest.mark.parametrize("name", [name for name in DRAWING if name not in NEAREST])
def test_an_attack_draws_from_its_generator_and_from_nothing_else(trained, name):
    def run(seed, world):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(world)
            attacked = craft(
                name, trained.model, trained.images, trained.labels, eps=0.1, seed=seed
            )
            assert torch.initial_seed() == world
        return attacked

    assert torch.equal(run(seed=1, world=1), run(seed=1, world=2))
    assert not torch.equal(run(seed=1, world=1), run(seed=2, world=1))


@pytest.mark.parametrize("name", [name for name in QUICK if ATTACKS[name].queries_model])
def test_an_attack_succeeds_more_often_than_noise_of_its_size(trained, name):
    given = trained.model, trained.images, trained.labels
    eps = 0.1 if NORMS[name] == "linf" else 0.5
    right = ~fooled(trained.model, trained.images, trained.labels)
    noise = random(*trained.images.shape) - 0.5
    noise *= eps / length(noise, NORMS[name])[:, None, None, None]
    noisy = fooled(trained.model, (trained.images + noise).clamp(0, 1), trained.labels)
    attacked = fooled(trained.model, craft(name, *given, eps=eps), trained.labels)
    assert attacked[right].float().mean() > 2 * noisy[right].float().mean() + 0.05


REFUSED = [
    *(("pgd", {"eps": eps}, r"eps = .* is outside \[0, 1\]") for eps in (-0.1, 1.1, math.nan)),
    *(("pgd_l2", {"eps": eps}, "eps = .* is no finite") for eps in (-0.1, math.inf, math.nan)),
    *(("square", {"eps": eps}, r"eps = .* is outside \[0, 1\]") for eps in (-0.1, 1.1, math.nan)),
    *((name, {"steps": 0}, "steps = 0 and .* at least 1") for name in ("pgd", "pgd_l2")),
    *((name, {"restarts": 0}, "restarts = 0 must be at least 1") for name in ("pgd", "pgd_l2")),
    *(
        ("pgd", {"step_size": size}, "step_size = .* is not positive and finite")
        for size in (0, -0.1, math.inf, math.nan)
    ),
    ("pgd", {"loss": "hinge"}, "loss = 'hinge' is none of cross_entropy, margin"),
    ("pgd", {"optimizer": "sgd"}, "optimizer = 'sgd' is none of steepest, adam"),
    *(("fab", {"eps": eps}, r"eps = .* is outside \[0, 1\]") for eps in (-0.1, 1.1, math.nan)),
    *(("fab_l2", {"eps": eps}, "eps = .* is no finite") for eps in (-0.1, math.inf, math.nan)),
    *(
        (name, {key: 0}, f"{key} = 0 is less than 1")
        for name in ("fab", "fab_l2")
        for key in ("steps", "restarts", "target_classes")
    ),
    *(
        ("hopskipjump", {"eps": eps}, r"eps = .* is outside \[0, 1\]")
        for eps in (-0.1, 1.1, math.nan)
    ),
    *(
        ("hopskipjump_l2", {"eps": eps}, "eps = .* is no finite")
        for eps in (-0.1, math.inf, math.nan)
    ),
    *(
        (name, {"queries": 0}, "queries = 0 is less than 1")
        for name in ("square", "hopskipjump", "hopskipjump_l2")
    ),
    *(("square", {"p_init": p}, r"p_init = .* is outside \(0, 1\]") for p in (0, 1.1, math.nan)),
]


@pytest.mark.parametrize(("name", "parameters", "said"), REFUSED)
def test_an_argument_out_of_range_is_refused(trained, name, parameters, said):
    with pytest.raises(ValueError, match=said):
        craft(name, trained.model, trained.images, trained.labels, **{"eps": 0.1, **parameters})


# --- PGD

PGD = {"linf": pgd, "l2": pgd_l2}


def in_double(trained):
    """The trained model in double precision, where a batch's size changes no sign."""
    with torch.random.fork_rng(devices=[]):
        model = MLP((1, 8, 8), 10, hidden=32).double().requires_grad_(False)
    model.load_state_dict(trained.model.state_dict())
    return model, trained.images.double(), trained.labels


@given(
    norm=st.sampled_from(sorted(PGD)),
    eps=st.floats(0, 1),
    steps=st.integers(1, 4),
    step_size=st.none() | st.floats(1e-6, 3),
    restarts=st.integers(1, 3),
    random_start=st.booleans(),
    early_stop=st.booleans(),
    optimizer=st.sampled_from(OPTIMIZERS),
    loss=st.sampled_from(sorted(LOSSES)),
    seed=st.integers(0, 2**32 - 1),
    shape=st.sampled_from([(1, 5, 4), (3, 2, 2)]),
)
def test_pgd_stays_in_its_ball_and_in_the_pixel_range(norm, eps, seed, shape, **how):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = MLP(shape, 4, hidden=5)
        images = (torch.rand(6, *shape) * 1.5 - 0.25).clamp_(0, 1)
        labels = torch.randint(4, (6,))
    generator = torch.Generator().manual_seed(seed)
    attacked = PGD[norm](model, images, labels, eps=eps, generator=generator, **how)
    assert attacked.min() >= 0
    assert attacked.max() <= 1
    assert length(attacked - images, norm).max() <= eps * (1 + 1e-5) + 1e-6


@pytest.mark.parametrize("norm", PGD)
@pytest.mark.parametrize(
    "how",
    [
        {"random_start": False},
        {"random_start": False, "step_size": 0.3},
        {"restarts": 3, "step_size": 0.3},
        {"restarts": 3, "early_stop": True},
        {"random_start": False, "optimizer": "adam"},
    ],
    ids=str,
)
def test_without_a_budget_pgd_returns_the_images(trained, norm, how):
    attacked = PGD[norm](trained.model, trained.images, trained.labels, eps=0, steps=3, **how)
    assert torch.equal(attacked, trained.images)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("eps", [0.01, 0.1, 0.5])
def test_one_step_as_long_as_the_budget_is_fgsm(trained, eps, loss):
    given = trained.model, trained.images, trained.labels
    found = pgd(*given, eps=eps, steps=1, step_size=eps, random_start=False, loss=loss)
    torch.testing.assert_close(found, fgsm(*given, eps=eps, loss=loss), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("norm", "optimizer", "steps", "share"),
    [
        ("linf", "steepest", 5, 2.5 / 5),
        ("linf", "steepest", 50, 2.5 / 50),
        ("l2", "steepest", 5, 2.5 / 5),
        ("l2", "steepest", 50, 0.1),
        ("l2", "adam", 50, 2.5 / 50),
    ],
)
def test_the_steps_are_together_two_and_a_half_times_as_long_as_the_budget_or_longer(
    trained, norm, optimizer, steps, share
):
    given = trained.model, trained.images[:20], trained.labels[:20]
    how = {"eps": 0.2, "steps": steps, "random_start": False, "optimizer": optimizer}
    expected = PGD[norm](*given, step_size=share * 0.2, **how)
    torch.testing.assert_close(PGD[norm](*given, **how), expected)


def test_in_l2_more_steps_forget_the_start(trained):
    """On a linear model of two classes the end is known: along the gradient, wherever it began."""
    model, images, _ = in_double(trained)
    linear = torch.nn.Linear(images[0].numel(), 2, bias=False).double().requires_grad_(False)
    model, images = torch.nn.Sequential(torch.nn.Flatten(), linear), images * 0 + 0.5
    labels = torch.zeros(len(images), dtype=torch.int64)
    goal = (linear.weight[1] - linear.weight[0]).view_as(images[0])
    generator = torch.Generator().manual_seed(0)
    found = PGD["l2"](model, images, labels, eps=0.4, steps=60, generator=generator) - images
    torch.testing.assert_close(
        found, (0.4 * goal / goal.norm()).expand_as(found), atol=4e-3, rtol=0
    )


@pytest.mark.parametrize(("steps", "reach"), [(1, 0.02), (3, 0.06), (7, 0.1)])
@pytest.mark.parametrize("norm", PGD)
def test_on_a_linear_model_of_two_classes_pgd_goes_straight_to_the_end_of_its_ball(
    norm, steps, reach
):
    layer = nn.Linear(12, 2, dtype=torch.float64).requires_grad_(False)
    layer.weight.copy_(torch.randn(2, 12, generator=torch.Generator().manual_seed(1)))
    images, labels = torch.full((2, 1, 3, 4), 0.5, dtype=torch.float64), torch.tensor([0, 1])
    uphill = layer.weight[1 - labels] - layer.weight[labels]
    if norm == "linf":
        uphill = uphill.sign()
    else:
        uphill /= torch.linalg.vector_norm(uphill, dim=1, keepdim=True)
    model = nn.Sequential(nn.Flatten(), layer)
    how = {"eps": 0.1, "steps": steps, "step_size": 0.02, "random_start": False}
    found = PGD[norm](model, images, labels, **how)
    torch.testing.assert_close(found, images + reach * uphill.view_as(images))


# The gradient of a confident model is minute, that of a steep one huge.
@pytest.mark.parametrize("scale", [1e-28, 1e-20, 1e-10, 1, 1e10, 1e20])
def test_a_step_in_l2_is_as_long_as_it_should_be_however_short_the_gradient(scale):
    layer = nn.Linear(64, 2, bias=False).requires_grad_(False)
    layer.weight.copy_(scale * torch.randn(2, 64, generator=torch.Generator().manual_seed(1)))
    images, labels = torch.full((1, 1, 8, 8), 0.5), torch.tensor([0])
    how = {"steps": 1, "step_size": 0.03, "random_start": False, "loss": "margin"}
    found = pgd_l2(nn.Sequential(nn.Flatten(), layer), images, labels, eps=1, **how)
    assert length(found - images, "l2").item() == pytest.approx(0.03, rel=1e-4)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("norm", PGD)
def test_where_there_is_no_gradient_pgd_stays(norm, optimizer):
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).requires_grad_(False)
    model[1].weight.zero_()
    images, labels = random(5, 1, 2, 2), torch.tensor([0, 1, 0, 1, 0])
    how = {"steps": 3, "random_start": False, "optimizer": optimizer}
    found = PGD[norm](model, images, labels, eps=0.3, **how)
    assert torch.equal(found, images)


@pytest.mark.parametrize("eps", [0.2, 2])
def test_random_starts_are_uniform_in_the_l2_ball(eps):
    dimensions = 6
    start = L2.start(torch.empty(5000, 1, 2, 3), eps, torch.Generator().manual_seed(0))
    radius = length(start, "l2")
    # The part of the ball that is inside a radius r is (r / ε)^d.
    assert stats.kstest((radius / eps) ** dimensions, "uniform").pvalue > 0.01
    direction = start.flatten(1) / radius[:, None]
    torch.testing.assert_close(direction.mean(0), torch.zeros(dimensions), atol=0.02, rtol=0)
    spread = torch.eye(dimensions) / dimensions
    torch.testing.assert_close(direction.T.cov(), spread, atol=0.01, rtol=0)


def test_random_starts_are_uniform_in_the_linf_ball():
    start = LINF.start(torch.empty(2000, 1, 2, 3), 0.3, torch.Generator().manual_seed(0))
    assert stats.kstest(start.flatten() / 0.6 + 0.5, "uniform").pvalue > 0.01
    spread = torch.eye(6) * 0.3**2 / 3
    torch.testing.assert_close(start.flatten(1).T.cov(), spread, atol=2e-3, rtol=0)


@pytest.mark.parametrize(("norm", "ball"), [("linf", LINF), ("l2", L2)])
def test_pgd_sets_out_from_a_random_start(norm, ball):
    model = MLP((1, 4, 4), 3, hidden=5).requires_grad_(False)
    images, labels = torch.full((50, 1, 4, 4), 0.5), torch.arange(50) % 3
    first, second = (torch.Generator().manual_seed(3) for _ in range(2))
    found = PGD[norm](model, images, labels, eps=0.4, steps=1, step_size=1e-7, generator=first)
    expected = images + ball.start(torch.empty_like(images), 0.4, second)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.06), ("l2", 0.35)])
def test_more_steps_reach_a_larger_loss_and_succeed_at_least_as_often(trained, norm, eps, loss):
    given = trained.model, trained.images, trained.labels
    how = {"eps": eps, "random_start": False, "loss": loss}
    found = [PGD[norm](*given, steps=steps, **how) for steps in (1, 5, 40)]
    losses = [LOSSES[loss](trained.model(images), trained.labels).mean() for images in found]
    wins = [fooled(trained.model, images, trained.labels).sum() for images in found]
    assert all(less < more for less, more in pairwise(losses))
    assert all(less <= more for less, more in pairwise(wins))


def test_iterations_succeed_more_often_than_a_single_step(trained):
    given = trained.model, trained.images, trained.labels
    many, one = pgd(*given, eps=0.1, random_start=False), fgsm(*given, eps=0.1)
    by_many, by_one = (
        fooled(trained.model, images, trained.labels).sum() for images in (many, one)
    )
    assert by_many > by_one


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.06), ("l2", 0.35)])
def test_the_best_of_each_example_s_restarts_counts(trained, norm, eps):
    given = trained.model, trained.images, trained.labels
    how = {"eps": eps, "steps": 2}
    runs, generator = [], torch.Generator().manual_seed(0)
    for _ in range(4):
        runs.append(PGD[norm](*given, generator=generator, **how))
    generator.manual_seed(0)
    found = PGD[norm](*given, generator=generator, restarts=4, **how)
    wins = torch.stack([fooled(trained.model, run, trained.labels) for run in runs])
    # Some examples are fooled by a later run alone.
    assert wins.any(0).sum() > wins[0].sum()
    losses = torch.stack([cross_entropy(trained.model(run), trained.labels) for run in runs])
    # argmax: the first run that fools; where none does, the one of the largest loss.
    best = torch.where(wins.any(0), wins.int().argmax(0), losses.argmax(0))
    expected = torch.stack(runs)[best, torch.arange(len(best))]
    assert torch.equal(found, expected)


@pytest.mark.parametrize("early_stop", [False, True])
@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.06), ("l2", 0.35)])
def test_a_restart_loses_no_success(trained, norm, eps, early_stop):
    given = in_double(trained)

    def wins(restarts):
        generator = torch.Generator().manual_seed(0)
        how = {"steps": 2, "early_stop": early_stop, "generator": generator}
        attacked = PGD[norm](*given, eps=eps, restarts=restarts, **how)
        return fooled(given[0], attacked, given[2])

    rates = [wins(restarts) for restarts in (1, 2, 5)]
    assert all((less <= more).all() for less, more in pairwise(rates))
    assert rates[0].sum() < rates[-1].sum()


@pytest.mark.parametrize("early_stop", [False, True])
def test_a_restart_asks_only_about_what_no_run_before_has_fooled(trained, early_stop):
    model = Counting(trained.model)
    given = model, trained.images, trained.labels
    how = {"eps": 0.1, "steps": 1, "early_stop": early_stop}
    found = pgd(*given, restarts=2, generator=torch.Generator().manual_seed(0), **how)
    # A step, and a look, of each run.
    all_, looked, left, looked_again = model.asked
    once = pgd(*given, generator=torch.Generator().manual_seed(0), **how)
    assert all_ == looked == len(trained.labels)
    assert left == looked_again == (~fooled(trained.model, once, trained.labels)).sum()
    assert (~fooled(trained.model, found, trained.labels)).sum() < left


class Coarse(nn.Module):
    """A model whose logits are whole numbers: many are equal."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images):
        logits = self.model(images)
        # As it is, for the gradient.
        return logits + ((logits / 4).round() - logits).detach()


@pytest.mark.parametrize(
    ("attack", "least"), [(square, 0.2), (partial(pgd, early_stop=True, steps=100), 0.8)]
)
def test_an_attack_does_not_stop_where_two_classes_are_as_probable(trained, attack, least):
    model = Coarse(trained.model)
    generator = torch.Generator().manual_seed(0)
    found = attack(model, trained.images, trained.labels, eps=0.2, generator=generator)
    lead = margin(model(found), trained.labels)
    assert (lead > 0).double().mean() > least


def test_without_a_random_start_there_is_nothing_to_restart(trained):
    given = trained.model, trained.images, trained.labels
    model = Counting(trained.model)
    found = pgd(model, *given[1:], eps=0.1, steps=3, restarts=5, random_start=False)
    assert torch.equal(found, pgd(*given, eps=0.1, steps=3, random_start=False))
    assert len(model.asked) == 3


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.1), ("l2", 0.6)])
def test_early_stopping_leaves_an_example_where_it_is_first_misclassified(
    trained, norm, eps, optimizer
):
    model, images, labels = in_double(trained)
    # A step of Adam is as long as that in every value.
    step_size = eps / 4 if (norm, optimizer) != ("l2", "adam") else eps / 32
    how = {"eps": eps, "step_size": step_size, "random_start": False, "optimizer": optimizer}
    steps = 6
    path = [images] + [
        PGD[norm](model, images, labels, steps=upto, **how) for upto in range(1, steps + 1)
    ]
    wins = torch.stack([fooled(model, at, labels) for at in path])
    stop = torch.where(wins.any(0), wins.int().argmax(0), steps)
    assert len(stop.unique()) > 3
    found = PGD[norm](model, images, labels, steps=steps, early_stop=True, **how)
    expected = torch.stack(path)[stop, torch.arange(len(stop))]
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=0)
    # So it loses no success, and what is misclassified when clean is not touched.
    assert (wins[-1] <= fooled(model, found, labels)).all()
    assert torch.equal(found[wins[0]], images[wins[0]])


def test_early_stopping_asks_only_about_what_is_still_classified_correctly(trained):
    model = Counting(trained.model)
    pgd(model, trained.images, trained.labels, eps=0.1, steps=6, early_stop=True)
    assert all(more >= less for more, less in pairwise(model.asked))
    assert model.asked[-1] < model.asked[0] / 2


@pytest.mark.parametrize("early_stop", [False, True])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("norm", PGD)
@pytest.mark.parametrize("batch", [1, 7])
def test_without_a_random_start_the_batch_size_changes_nothing(
    trained, norm, batch, optimizer, early_stop
):
    model, images, labels = in_double(trained)
    images, labels = images[:30], labels[:30]
    how = {"eps": 0.1, "steps": 5, "random_start": False}
    how |= {"optimizer": optimizer, "early_stop": early_stop}
    together = PGD[norm](model, images, labels, **how)
    apart = [
        PGD[norm](model, *part, **how)
        for part in zip(images.split(batch), labels.split(batch), strict=True)
    ]
    torch.testing.assert_close(torch.cat(apart), together, atol=1e-9, rtol=0)


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.1), ("l2", 0.8)])
@pytest.mark.parametrize("restarts", [1, 3])
def test_with_adam_the_steps_are_torch_s_on_gradients_of_length_1(trained, norm, eps, restarts):
    model, images, labels = in_double(trained)
    images, labels = images[:20], labels[:20]
    how = {"eps": eps, "steps": 8, "step_size": 0.02, "random_start": restarts > 1}

    def drawing():
        return torch.Generator().manual_seed(0)

    found = PGD[norm](
        model, images, labels, optimizer="adam", restarts=restarts, generator=drawing(), **how
    )
    ball, generator, ends = {"linf": LINF, "l2": L2}[norm], drawing(), []
    for _ in range(restarts):
        x = images.clone()
        if restarts > 1:
            x = (x + ball.start(torch.empty_like(x), eps, generator)).clamp_(0, 1)
        x.requires_grad_()
        # Each run starts without a memory.
        adam = torch.optim.Adam([x], lr=0.02, maximize=True)
        for _ in range(8):
            gradient, _ = input_gradient(model, x, labels, "cross_entropy")
            x.grad = gradient / torch.linalg.vector_norm(gradient, dim=(1, 2, 3), keepdim=True)
            adam.step()
            with torch.no_grad():
                x.copy_(ball.projection(images, eps)(x.clone()))
        ends.append(x.detach())
    if restarts == 1:
        torch.testing.assert_close(found, ends[0], atol=1e-9, rtol=0)
    else:
        apart = torch.stack([(found - end).abs().amax((1, 2, 3)) for end in ends])
        assert apart.amin(0).max() < 1e-9
        assert len(apart.argmin(0).unique()) > 1


# --- Agreement with Foolbox


@dataclass(frozen=True)
class Subject:
    """A model to attack, and clean images."""

    model: nn.Module
    images: torch.Tensor
    labels: torch.Tensor


def learn(model, images, labels, *, steps, batch):
    """Train a model for so many batches, taken in turn."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    for step in range(steps):
        at = torch.arange(step * batch, (step + 1) * batch) % len(images)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images[at]), labels[at]).backward()
        optimizer.step()
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def real_mnist():
    """The real MNIST's first 1,000 test images, and a model that has learnt its training images."""
    folder = os.environ.get("EPSIGMA_MNIST")
    if not folder:
        pytest.skip("EPSIGMA_MNIST is not set to a folder of MNIST's IDX files")
    data = mnist(Path(folder).resolve(), train_size=20_000, test_size=1000)
    (images, labels), (test_images, test_labels) = (
        (torch.tensor(part.images).float() / 255, torch.tensor(part.labels))
        for part in (data.train, data.test)
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = MLP((1, 28, 28), 10, hidden=64)
    learn(model, images, labels, steps=120, batch=500)
    return Subject(model, test_images, test_labels)


@pytest.fixture(params=["digits", "mnist"])
def subject(request):
    if request.param == "mnist":
        return request.getfixturevalue("real_mnist")
    found = request.getfixturevalue("trained")
    return Subject(found.model, found.images, found.labels)


@pytest.mark.parametrize("sigma", [None, 0.7, 1.5], ids=lambda sigma: f"sigma={sigma}")
@pytest.mark.parametrize(
    ("ours", "theirs", "eps", "how"),
    [
        pytest.param(fgsm, LinfFastGradientAttack, 0.1, {}, id="fgsm"),
        *(
            pytest.param(*pair, eps, {"steps": steps, "size": size}, id=f"{name}-{steps}")
            for name, *pair, eps in (
                ("pgd", pgd, LinfPGD, 0.1),
                ("pgd_l2", pgd_l2, L2PGD, 1.0),
            )
            for steps, size in ((1, eps / 2), (10, eps / 5))
        ),
    ],
)
def test_an_attack_finds_what_foolbox_finds(subject, ours, theirs, eps, how, sigma):
    # Foolbox neither stops early nor keeps the best: the last iterate, unclipped, is compared.
    layers = [] if sigma is None else [Gaussian(sigma=sigma)]
    model = nn.Sequential(*layers, subject.model).eval()
    if how:
        own = {"steps": how["steps"], "step_size": how["size"], "random_start": False}
        foreign = {"steps": how["steps"], "abs_stepsize": how["size"], "random_start": False}
    else:
        own, foreign = {}, {"random_start": False}
    found = ours(model, subject.images, subject.labels, eps=eps, **own)
    bounded = PyTorchModel(model, bounds=(0, 1), device=CPU)
    expected, _, success = theirs(**foreign)(bounded, subject.images, subject.labels, epsilons=eps)
    same = (found - expected).abs() <= 1e-5
    assert same.double().mean() >= 0.999
    assert (fooled(model, found, subject.labels) == success).double().mean() >= 0.999
    right = ~fooled(model, subject.images, subject.labels)
    assert success[right].double().mean() > 0.1


# --- Square


class Counting(nn.Module):
    """A model that keeps how many images it is asked about at a time."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.asked = []

    def forward(self, images):
        self.asked.append(len(images))
        return self.model(images)


# Of 10,000 queries and p = 0.8: the first that a part of the image goes with, and the part.
SCHEDULE = [
    (0, 0.8),
    (11, 0.4),
    (51, 0.2),
    (201, 0.1),
    (501, 0.05),
    (1001, 0.025),
    (2001, 0.0125),
    (4001, 0.00625),
    (6001, 0.003125),
    (8001, 0.0015625),
]


@pytest.mark.parametrize("queries", [10_000, 1000, 20_000])
def test_the_part_that_squares_cover_is_halved_after_the_paper_s_fractions(queries):
    for (first, part), (end, _) in pairwise([*SCHEDULE, (10_000, None)]):
        for query in (first, (first + end) // 2, end - 1):
            # The query whose share of the budget is just that.
            scaled = -(-query * queries // 10_000)
            if scaled * 10_000 // queries == query:
                assert covered(scaled, queries, 0.8) == pytest.approx(part)
    assert covered(1, queries, 0.3) == pytest.approx(0.3)


def test_square_starts_from_vertical_stripes(trained):
    images = torch.full((40, 3, 6, 5), 0.5)
    model = MLP((3, 6, 5), 4, hidden=5).requires_grad_(False)
    labels = model(images).argmax(1)
    delta = square(model, images, labels, eps=0.2, queries=1) - images
    torch.testing.assert_close(delta.abs(), torch.full_like(delta, 0.2))
    assert torch.equal(delta, delta[:, :, :1].expand_as(delta))
    signs = delta[:, :, 0].sign().flatten(1)
    assert abs(signs.mean()) < 0.2
    # Of each image, channel and column its own.
    assert len(signs.unique(dim=0)) > 30
    assert len(signs.unique(dim=1).T) == 15


def test_each_query_turns_over_one_square_of_the_size_that_the_schedule_says():
    class Firm(nn.Module):
        """Never less sure of class 0, so that no square is kept."""

        def __init__(self):
            super().__init__()
            self.seen = []

        def forward(self, images):
            self.seen.append(images.clone())
            return torch.tensor([[1.0, 0.0]]).expand(len(images), 2)

    model, images, queries = Firm(), torch.full((30, 1, 14, 9), 0.5), 200
    labels = torch.zeros(30, dtype=torch.int64)
    found = square(model, images, labels, eps=0.1, queries=queries, p_init=1)
    clean, stripes, *tried = model.seen
    assert torch.equal(clean, images)
    assert torch.equal(found, stripes)
    sides = set()
    for query, proposed in enumerate(tried, start=1):
        side = min(max(round(math.sqrt(covered(query, queries, 1) * 14 * 9)), 1), 8)
        sides.add(side)
        move = (proposed - stripes)[:, 0]
        assert (((move.abs() - 0.2).abs() < 1e-6) | (move == 0)).all()
        rows, columns = (move != 0).any(2), (move != 0).any(1)
        for marks in (rows, columns):
            where = [mark.nonzero() for mark in marks if mark.any()]
            assert all(at.max() - at.min() < side for at in where)
        # A square of stripes that already have its sign changes nothing; others do from top to
        # bottom.
        assert set(rows.sum(1).tolist()) <= {0, side}
        assert rows.any()
    assert len(sides) > 3


@pytest.mark.parametrize("queries", [1, 2, 30])
def test_square_asks_the_model_no_more_often_than_it_may(trained, queries):
    model = Counting(trained.model)
    found = square(model, trained.images, trained.labels, eps=0.05, queries=queries)
    # Beside the first look at the clean images.
    assert len(model.asked) == queries + 1
    assert all(more >= less for more, less in pairwise(model.asked))
    right = ~fooled(trained.model, trained.images, trained.labels)
    assert model.asked[1] == right.sum()
    assert model.asked[-1] >= (~fooled(trained.model, found, trained.labels)).sum()


def test_square_is_done_when_all_are_misclassified(trained):
    model = Counting(trained.model)
    found = square(model, trained.images, trained.labels, eps=1, queries=1000)
    assert fooled(trained.model, found, trained.labels).all()
    assert len(model.asked) < 500


def test_square_moves_only_what_is_classified_correctly_and_that_to_the_end_of_its_bounds(trained):
    eps = 0.05
    found = square(trained.model, trained.images, trained.labels, eps=eps, queries=50)
    wrong = fooled(trained.model, trained.images, trained.labels)
    assert wrong.any()
    assert torch.equal(found[wrong], trained.images[wrong])
    moved, images = found[~wrong], trained.images[~wrong]
    assert (moved != images).flatten(1).any(1).all()
    low, high = (images - eps).clamp(min=0), (images + eps).clamp(max=1)
    assert (((moved - low).abs() < 1e-6) | ((moved - high).abs() < 1e-6)).all()


def test_square_keeps_what_brings_the_margin_down(trained):
    given = trained.model, trained.images, trained.labels
    found = [
        margin(trained.model(craft("square", *given, eps=0.05, queries=queries)), trained.labels)
        for queries in (1, 40)
    ]
    right = ~fooled(*given)
    assert (found[0] <= found[1])[right].all()
    assert (found[0] < found[1])[right].double().mean() > 0.5


def test_square_succeeds_more_often_with_more_queries(trained):
    given = trained.model, trained.images, trained.labels
    rates = [
        fooled(trained.model, craft("square", *given, eps=0.06, queries=queries), trained.labels)
        for queries in (1, 20, 300)
    ]
    assert all(less.sum() < more.sum() for less, more in pairwise(rates))


@pytest.mark.parametrize("shape", [(1, 1, 7), (1, 7, 1), (3, 2, 2), (1, 1, 1)], ids=str)
def test_square_fits_into_any_image(shape):
    model = MLP(shape, 3, hidden=4).requires_grad_(False)
    images = random(20, *shape)
    labels = model(images).argmax(1)
    found = square(model, images, labels, eps=0.1, queries=30, p_init=1)
    assert length(found - images, "linf").max() <= 0.1 + 1e-6
    assert not torch.equal(found, images)


# --- Noise


class Untouchable(nn.Module):
    """A model that must not be asked."""

    def forward(self, images):
        raise AssertionError("the model was asked")


def noise(name, images, *, eps):
    return craft(name, Untouchable(), images, torch.zeros(len(images)), eps=eps)


def test_sign_noise_is_plus_or_minus_the_budget_with_equal_chances():
    images = torch.full((200, 1, 10, 10), 0.5)
    delta = noise("sign_noise", images, eps=0.1) - images
    torch.testing.assert_close(delta.abs(), torch.full_like(delta, 0.1))
    share = (delta > 0).double().mean().item()
    assert share == pytest.approx(0.5, abs=4 * 0.5 / 20_000**0.5)
    assert delta.flatten(1).T.corrcoef().fill_diagonal_(0).abs().max() < 0.4


def test_uniform_noise_is_uniform_in_the_ball():
    images = torch.full((200, 1, 10, 10), 0.5)
    delta = noise("uniform_noise", images, eps=0.1) - images
    assert stats.kstest(delta.flatten() / 0.2 + 0.5, "uniform").pvalue > 0.01
    assert delta.flatten(1).T.corrcoef().fill_diagonal_(0).abs().max() < 0.4


@pytest.mark.parametrize("name", ["sign_noise", "uniform_noise"])
def test_noise_is_clipped_to_the_pixel_range(name):
    ends = torch.tensor([0.0, 1.0]).repeat(500).view(-1, 1, 2, 2)
    found = noise(name, ends, eps=0.3)
    assert found.min() == 0
    assert found.max() == 1
    # Half of the values are pushed out of the range and come back to where they were.
    assert (found == ends).double().mean().item() == pytest.approx(0.5, abs=0.06)


# --- What PGD tells while it climbs


def told(model, trained, **parameters):
    """The losses that PGD tells at each step of its way, and what it makes."""
    heard = []
    generator = torch.Generator().manual_seed(0)
    given = trained.images[:60], trained.labels[:60]
    found = pgd(model, *given, on_step=heard.append, generator=generator, **parameters)
    return heard, found


@pytest.mark.parametrize("loss", ["cross_entropy", "margin"])
@pytest.mark.parametrize("restarts", [1, 3])
def test_pgd_tells_the_losses_of_what_it_works_on_once_a_step(trained, loss, restarts):
    heard, _ = told(trained.model, trained, eps=0.1, steps=4, restarts=restarts, loss=loss)
    counts = [len(losses) for losses in heard]
    # Of a run after the first those that none before has fooled.
    assert counts[:4] == [60] * 4
    assert all(counts[at] == counts[at - at % 4] for at in range(4 * restarts))
    assert counts == sorted(counts, reverse=True)
    assert not any(losses.requires_grad for losses in heard)
    for run in range(restarts):
        of_run = [losses.mean() for losses in heard[4 * run : 4 * run + 4]]
        assert of_run == sorted(of_run)


def test_the_first_losses_that_pgd_tells_are_those_of_the_images(trained):
    heard, _ = told(trained.model, trained, eps=0.1, steps=2, random_start=False)
    logits = trained.model(trained.images[:60])
    expected = functional.cross_entropy(logits, trained.labels[:60], reduction="none")
    torch.testing.assert_close(heard[0], expected)


@pytest.mark.parametrize("restarts", [1, 3])
def test_pgd_that_stops_early_tells_of_those_that_are_still_right(trained, restarts):
    heard, found = told(
        trained.model,
        trained,
        **{"eps": 0.1, "steps": 6, "restarts": restarts, "early_stop": True, "loss": "margin"},
    )
    # A margin above 0 is misclassified.
    assert all((losses <= 0).all() and len(losses) for losses in heard)
    counts = [len(losses) for losses in heard]
    assert len(counts) <= 6 * restarts
    assert counts[:6] == sorted(counts[:6], reverse=True)
    assert counts[0] > counts[5] > 0
    # A restart takes up what no run before it has fooled.
    assert all(count <= counts[5] for count in counts[6:])
    left = ~fooled(trained.model, found, trained.labels[:60])
    assert left.sum() <= counts[-1]


def test_who_listens_changes_nothing_of_what_pgd_makes(trained):
    for early_stop in (False, True):
        how = {"eps": 0.1, "steps": 3, "restarts": 2, "early_stop": early_stop}
        generator = torch.Generator().manual_seed(0)
        given = trained.images[:60], trained.labels[:60]
        alone = pgd(trained.model, *given, generator=generator, **how)
        assert torch.equal(told(trained.model, trained, **how)[1], alone)


# --- Transfer


def test_a_transfer_runs_its_attack_on_the_model_it_is_given(trained):
    parameters = {"steps": 3, "restarts": 2, "loss": "margin", "early_stop": True}
    first, second = (torch.Generator().manual_seed(5) for _ in range(2))
    source = Counting(trained.model)
    found = transfer(
        source,
        trained.images,
        trained.labels,
        eps=0.08,
        attack={"implementation": "epsigma.attacks.pgd:pgd", "parameters": parameters},
        generator=first,
    )
    given = trained.model, trained.images, trained.labels
    assert torch.equal(found, pgd(*given, eps=0.08, generator=second, **parameters))
    assert source.asked


def test_what_transfers_succeeds_less_often_than_on_its_source_and_more_often_than_noise(trained):
    part = digits(None).train
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        other = MLP((1, 8, 8), 10, hidden=24)
    learn(
        other,
        torch.tensor(part.images).float() / 255,
        torch.tensor(part.labels),
        steps=80,
        batch=500,
    )
    right = ~fooled(trained.model, trained.images, trained.labels)

    def rate(name, source, **parameters):
        attacked = craft(name, source, trained.images, trained.labels, eps=0.1, **parameters)
        return fooled(trained.model, attacked, trained.labels)[right].double().mean()

    how = {"attack": {"implementation": "epsigma.attacks.pgd:pgd", "parameters": {"steps": 10}}}
    transferred = rate("transfer", other, **how)
    assert rate("pgd", trained.model, steps=10) > transferred + 0.05
    assert transferred > rate("sign_noise", other) + 0.05


# --- The stage


@pytest.mark.parametrize("batch", [7, 1000])
def test_the_stage_attacks_every_test_image_in_its_order_and_measures_the_perturbation(
    monkeypatch, tmp_path, trained, clean_file, checkpoint, make_job, batch
):
    monkeypatch.setattr("epsigma.storage.batches.BATCH", batch)
    monkeypatch.setattr("epsigma.storage.batches.BATCH", batch)
    settings = {
        "model": trained.settings,
        "attack": {
            "implementation": "epsigma.attacks.fgsm:fgsm",
            "parameters": {"loss": "margin", "eps": 0.1},
        },
    }
    path = tmp_path / "adversarial.safetensors"
    attack(
        make_job(settings),
        test=str(clean_file),
        checkpoint=str(checkpoint),
        adversarial=str(path),
    )
    clean, found = read_clean(clean_file, CPU), read_image_set(path, CPU)
    expected = fgsm(trained.model, clean.images, clean.labels, eps=0.1, loss="margin")
    torch.testing.assert_close(found.images, expected)
    assert torch.equal(found.labels, clean.labels)
    delta = (found.images - clean.images).flatten(1)
    torch.testing.assert_close(found.measures["linf"], delta.abs().amax(1))
    torch.testing.assert_close(found.measures["l2"], delta.square().sum(1).sqrt())
    assert torch.equal(found.measures["l0"], (delta != 0).sum(1).float())
    assert found.measures["linf"].max() <= 0.1 + 1e-6


# --- Noise in features


@pytest.mark.parametrize(
    ("gamma", "theta", "count"), [(0, 1, 0), (0.145, 1, 9), (0.5, -1, 32), (1, 0.25, 64)]
)
def test_feature_noise_changes_as_many_features_as_its_budget_says(gamma, theta, count):
    images = torch.full((200, 1, 8, 8), 0.5)
    run = load(ATTACKS["feature_noise"].implementation)
    generator = torch.Generator().manual_seed(0)
    noisy = run(None, images, None, gamma=gamma, theta=theta, generator=generator)
    delta = noisy - images
    assert ((delta != 0).flatten(1).sum(1) == count).all()
    expected = (0.5 + torch.tensor(float(theta))).clamp(0, 1) - 0.5
    torch.testing.assert_close(delta[delta != 0], expected.expand(200 * count))
    if 0 < count < 64:
        # Chosen at random: not the same in every image, and none is left out of all.
        hits = (delta != 0).sum(0)
        assert hits.min() > 0
        assert hits.max() < 200


def test_noise_of_a_length_has_it_where_nothing_is_clipped():
    images = torch.full((20, 1, 8, 8), 0.5)
    run = load(ATTACKS["l2_noise"].implementation)
    noisy = run(None, images, None, eps=0.7, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(length(noisy - images, "l2"), torch.full((20,), 0.7))
