import math
from itertools import pairwise

import pytest
import torch
from epsigma.attacks.fgsm import fgsm
from epsigma.attacks.losses import LOSSES, cross_entropy, margin
from epsigma.models.mlp import MLP
from epsigma.stages.attack import attack
from epsigma.tensors import read_clean, read_image_set
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

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


@pytest.mark.parametrize("loss", LOSSES)
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


# --- The stage


@pytest.mark.parametrize("batch", [7, 1000])
def test_the_stage_attacks_every_test_image_in_its_order_and_measures_the_perturbation(
    monkeypatch, tmp_path, trained, clean_file, checkpoint, make_job, batch
):
    monkeypatch.setattr("epsigma.tensors.BATCH", batch)
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
    torch.testing.assert_close(found.norms["linf"], delta.abs().amax(1))
    torch.testing.assert_close(found.norms["l2"], delta.square().sum(1).sqrt())
    assert torch.equal(found.norms["l0"], (delta != 0).sum(1).float())
    assert found.norms["linf"].max() <= 0.1 + 1e-6
