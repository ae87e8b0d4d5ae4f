import copy
import math
from itertools import pairwise

import pytest
import torch
from epsigma.attacks.fgsm import fgsm
from epsigma.attacks.pgd import pgd
from epsigma.training.adversarial import FAST_STEP, METHODS, Adversarial, fast_step
from epsigma.training.lightning import RISE, Training
from learning import school
from torch import nn
from torch.nn import functional

EPS = 0.15


class Watching(nn.Module):
    """A model that keeps what it was asked, and in which mode."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.asked = []

    def forward(self, images):
        self.asked.append((self.training, images.detach().clone()))
        return self.model(images)


class Brightness(nn.Module):
    """Two classes, dark and bright: the loss of the dark one rises with every pixel."""

    def forward(self, images):
        bright = images.flatten(1) @ torch.ones(images[0].numel())
        return torch.stack([torch.zeros_like(bright), bright], 1)


def seeded(objective, *given, **keywords):
    """Call with torch's global generator at the same state."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return objective(*given, **keywords)


def learner(trained):
    """The trained model, as one that goes on learning."""
    return copy.deepcopy(trained.model).train().requires_grad_(True)


# --- What is trained on


@pytest.mark.parametrize("share", [0, 0.5, 1])
@pytest.mark.parametrize("eps", [0, 0.05, 0.3, 1])
@pytest.mark.parametrize("method", METHODS)
def test_delta_stays_in_the_ball_and_in_the_pixel_range_and_makes_use_of_it(
    trained, method, eps, share
):
    objective = Adversarial(method=method, eps=eps)
    before = trained.images.clone()
    attacked = seeded(objective.attacked, trained.model, trained.images, trained.labels, share)
    delta = (attacked - trained.images).abs()
    assert torch.equal(trained.images, before)
    assert 0.99 * eps * share <= delta.max() <= eps * share + 1e-6
    assert attacked.min() >= 0
    assert attacked.max() <= 1


@pytest.mark.parametrize("method", METHODS)
def test_what_is_trained_on_is_harder_than_the_images(trained, method):
    objective = Adversarial(method=method, eps=EPS)
    attacked = seeded(objective.attacked, trained.model, trained.images, trained.labels, 1)
    before, after = (
        functional.cross_entropy(trained.model(images), trained.labels)
        for images in (trained.images, attacked)
    )
    assert after > 5 * before


def test_the_methods_are_the_attacks_that_they_are_called_after(trained):
    given = trained.model, trained.images, trained.labels
    cases = {
        "fgsm": (fgsm, {"eps": EPS}),
        "pgd": (pgd, {"eps": EPS, "steps": 3, "step_size": None}),
        "fast": (fast_step, {"eps": EPS, "step_size": 1.25 * EPS}),
    }
    for method, (craft, how) in cases.items():
        found = seeded(Adversarial(method=method, eps=EPS, steps=3).attacked, *given, 1)
        assert torch.equal(found, seeded(craft, *given, **how))


def test_the_steps_and_their_size_are_those_that_were_asked_for(trained):
    how = {"eps": EPS, "steps": 3, "step_size": 0.01}
    given = trained.model, trained.images, trained.labels
    found = seeded(Adversarial(method="pgd", **how).attacked, *given, 1)
    assert torch.equal(found, seeded(pgd, *given, **how))


def test_the_fast_method_asks_for_the_gradient_at_a_start_that_is_not_clipped():
    black, labels = torch.zeros(50, 1, 20, 20), torch.zeros(50, dtype=torch.int64)
    model = Watching(Brightness())
    delta = seeded(fast_step, model, black, labels, eps=EPS, step_size=FAST_STEP * EPS)
    ((_, start),) = model.asked
    assert -EPS <= start.min() < -0.99 * EPS
    assert (start < 0).float().mean() == pytest.approx(0.5, abs=0.02)
    # u + 1.25 ε, u uniform on ±ε, cut at ε: so of three in eight, which a start that is clipped to
    # black would not leave.
    assert ((delta > 0.25 * EPS) & (delta < EPS)).float().mean() == pytest.approx(3 / 8, abs=0.02)
    assert delta.min() < 0.26 * EPS


def test_a_method_that_is_none_is_refused():
    with pytest.raises(ValueError, match=r"^method = 'trades' is none of fgsm, pgd, fast$"):
        Adversarial(method="trades", eps=EPS)


# --- The model that is attacked is left as it was


def mixed_model():
    """A model with all that has a mode or a memory, not all of it in training."""
    model = nn.Sequential(
        nn.BatchNorm2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 10), nn.BatchNorm1d(10)
    )
    model[4].eval()
    model[3].bias.requires_grad_(False)
    return model


@pytest.mark.parametrize("method", METHODS)
def test_crafting_leaves_modes_gradients_and_the_statistics_of_batch_normalisation(trained, method):
    model = mixed_model()
    before = copy.deepcopy(model)
    Adversarial(method=method, eps=EPS).attacked(model, trained.images, trained.labels, 1)
    for one, other in zip(model.modules(), before.modules(), strict=True):
        assert one.training == other.training
    for one, other in zip(model.parameters(), before.parameters(), strict=True):
        assert one.requires_grad == other.requires_grad
        assert one.grad is None
        assert torch.equal(one, other)
    for name, value in model.named_buffers():
        assert torch.equal(value, before.get_buffer(name))


def test_batch_normalisation_learns_from_what_is_trained_on(trained):
    model = mixed_model()
    objective = Adversarial(method="pgd", eps=EPS, steps=3)
    attacked = seeded(objective.attacked, model, trained.images, trained.labels, 1)
    seeded(objective, model, trained.images, trained.labels, progress=0)
    assert model[0].num_batches_tracked == 1
    torch.testing.assert_close(model[0].running_mean, 0.1 * attacked.mean()[None])


@pytest.mark.parametrize("method", METHODS)
def test_the_attack_asks_the_model_in_eval_mode_and_the_loss_in_training_mode(trained, method):
    model = Watching(trained.model).train()
    objective = Adversarial(method=method, eps=EPS, steps=3, clean_weight=0)
    objective(model, trained.images, trained.labels, progress=0)
    modes = [training for training, _ in model.asked]
    assert modes == [False] * (3 if method == "pgd" else 1) + [True]


def test_a_model_that_raises_when_it_is_attacked_is_put_back(trained):
    class Broken(nn.Module):
        def forward(self, images):
            raise RuntimeError("broken")

    model = nn.Sequential(nn.Linear(8, 8), Broken())
    with pytest.raises(RuntimeError, match="broken"):
        Adversarial(method="fgsm", eps=EPS).attacked(model, trained.images, trained.labels, 1)
    assert all(module.training for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())


# --- The loss


@pytest.mark.parametrize(
    ("method", "clean_weight", "expected"),
    [
        # Goodfellow et al. weigh both losses alike; the others see no clean image.
        ("fgsm", None, 0.5),
        ("pgd", None, 0),
        ("fast", None, 0),
        ("fgsm", 0, 0),
        ("fast", 0.3, 0.3),
        ("pgd", 1, 1),
    ],
)
def test_the_loss_is_the_weighted_mean_of_that_of_clean_and_of_attacked_images(
    trained, method, clean_weight, expected
):
    model, given = learner(trained), (trained.images, trained.labels)
    objective = Adversarial(method=method, eps=EPS, clean_weight=clean_weight)
    loss, logits = seeded(objective, model, *given, progress=0)
    attacked = model(seeded(objective.attacked, model, *given, 1))
    on_attacked = functional.cross_entropy(attacked, trained.labels)
    on_clean = functional.cross_entropy(model(trained.images), trained.labels)
    torch.testing.assert_close(loss, expected * on_clean + (1 - expected) * on_attacked)
    torch.testing.assert_close(logits, attacked)
    assert on_attacked > 2 * on_clean


def test_the_weights_move_as_if_the_attacked_images_were_given(trained):
    model, given = learner(trained), (trained.images, trained.labels)
    objective = Adversarial(method="pgd", eps=EPS, steps=3)
    attacked = seeded(objective.attacked, model, *given, 1)
    expected = torch.autograd.grad(
        functional.cross_entropy(model(attacked), trained.labels), list(model.parameters())
    )
    loss, _ = seeded(objective, model, *given, progress=0)
    torch.testing.assert_close(torch.autograd.grad(loss, list(model.parameters())), expected)


@pytest.mark.parametrize("step_size", [None, 0.2])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("warm_up", "progress", "share"), [(2, 0, 0), (2, 0.5, 0.25), (2, 2, 1), (2, 7, 1), (0, 0, 1)]
)
def test_eps_rises_from_0_while_it_warms_up(trained, method, step_size, warm_up, progress, share):
    model = Watching(trained.model).train()
    objective = Adversarial(
        method=method, eps=EPS, warm_up=warm_up, step_size=step_size, clean_weight=0
    )
    objective(model, trained.images, trained.labels, progress=progress)
    _, attacked = model.asked[-1]
    largest = (attacked - trained.images).abs().max()
    assert largest == pytest.approx(share * EPS, abs=1e-6)


# --- Training, by the stage


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    with school(tmp_path_factory.mktemp("adversarial")) as made:
        yield made


def objective(method):
    parameters = {"method": method, "eps": EPS, **({"steps": 5} if method == "pgd" else {})}
    implementation = "epsigma.training.adversarial:Adversarial"
    return {"implementation": implementation, "parameters": parameters}


def accuracies(digits, learnt):
    """On clean images, and under PGD at the ε that was trained against."""
    model, test = digits.read(learnt), digits.test()
    generator = torch.Generator().manual_seed(0)
    attacked = pgd(
        model, test.images, test.labels, eps=EPS, steps=20, loss="margin", generator=generator
    )
    return [
        (model(images).argmax(1) == test.labels).float().mean().item()
        for images in (test.images, attacked)
    ]


@pytest.fixture(scope="module")
def standard(digits):
    return accuracies(digits, digits.train("standard", epochs=10))


@pytest.mark.parametrize("method", METHODS)
def test_training_on_attacked_images_makes_robust_and_costs_little(digits, standard, method):
    clean, robust = accuracies(digits, digits.train(method, objective(method), epochs=10))
    assert robust > standard[1] + 0.25
    assert clean > standard[0] - 0.06


def test_the_curve_counts_training_accuracy_on_attacked_images_and_validates_on_clean(digits):
    lines = digits.train("curve", objective("pgd"), epochs=2).curve.read_text().splitlines()
    names, last = (line.split(",") for line in (lines[0], lines[-1]))
    row = dict(zip(names, map(float, last), strict=True))
    assert row["train_accuracy"] < row["validation_accuracy"] - 0.2
    assert row["train_loss"] > row["validation_loss"]


@pytest.fixture
def rates(monkeypatch):
    """The learning rate of each step of what is trained."""
    found = []
    own = Training.on_train_batch_start

    def noted(self, *given):
        found.append(self.trainer.optimizers[0].param_groups[0]["lr"])
        return own(self, *given)

    monkeypatch.setattr(Training, "on_train_batch_start", noted)
    return found


def test_the_rate_of_a_cycle_goes_up_and_down_in_straight_lines(digits, rates):
    digits.train("cycle", epochs=3, learning_rate=0.01, schedule="cycle")
    steps = 3 * math.ceil(1293 / 32)
    assert len(rates) == steps
    top = rates.index(max(rates))
    assert max(rates) == pytest.approx(0.01, rel=0.05)
    assert top == pytest.approx(RISE * steps, abs=1.5)
    rises, falls = (
        [after - before for before, after in pairwise(part)]
        for part in (rates[:top], rates[top + 1 :])
    )
    assert min(rises) > 0 > max(falls)
    assert rises == pytest.approx([rises[0]] * len(rises))
    assert falls == pytest.approx([falls[0]] * len(falls))
    assert rates[-1] < 0.001


def test_a_constant_rate_stays_where_it_is(digits, rates):
    digits.train("constant", epochs=1, learning_rate=0.01, schedule="constant")
    assert set(rates) == {0.01}
