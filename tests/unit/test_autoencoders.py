import csv
import json

import pytest
import torch
from epsigma.autoencoders.convolutional import POOLS, Convolutional
from epsigma.autoencoders.trained import load_autoencoder
from epsigma.device import CPU
from epsigma.filters.reformer import Reformer
from epsigma.memoize import memoizing
from epsigma.models.classifier import ModelError
from epsigma.training.denoising import Denoising
from learning import school
from torch import nn
from torch.nn import functional

CONVOLUTIONAL = {
    "implementation": "epsigma.autoencoders.convolutional:Convolutional",
    "parameters": {"channels": 3, "pool": None},
}


def images(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def make(shape, **parameters):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Convolutional(shape, **parameters)


# --- The network


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (1, 7, 9), (3, 1, 5)])
def test_a_reconstruction_is_an_image_of_the_same_shape_with_values_within_0_and_1(shape, pool):
    given = images(5, *shape)
    found = make(shape, pool=pool)(given)
    assert found.shape == given.shape
    assert found.min() > 0
    assert found.max() < 1


@pytest.mark.parametrize(
    ("shape", "channels", "pool", "expected"),
    [
        # Table 1 of Meng & Chen: I for MNIST, 3 channels, pooling in the middle; II has none.
        ((1, 28, 28), 3, "average", [(1, 3), (3, 3), (3, 3), (3, 3), (3, 1)]),
        ((1, 28, 28), 3, None, [(1, 3), (3, 3), (3, 1)]),
        ((3, 32, 32), 32, "max", [(3, 32), (32, 32), (32, 32), (32, 32), (32, 3)]),
    ],
)
def test_the_convolutions_are_those_of_magnet(shape, channels, pool, expected):
    model = make(shape, channels=channels, pool=pool)
    found = [one for one in model.modules() if isinstance(one, nn.Conv2d)]
    assert [(one.in_channels, one.out_channels) for one in found] == expected
    assert {one.kernel_size for one in found} == {(3, 3)}
    assert sum(isinstance(one, nn.Sigmoid) for one in model.modules()) == len(expected)


@pytest.mark.parametrize(("pool", "reach"), [("average", 9), ("max", 9), (None, 3)])
def test_with_pooling_a_pixel_reaches_farther(pool, reach):
    model = make((1, 40, 40), pool=pool)
    given = images(1, 1, 40, 40).requires_grad_()
    (gradient,) = torch.autograd.grad(model(given)[0, 0, 20, 20], given)
    rows = gradient[0, 0].abs().sum(1).nonzero().squeeze(1)
    # Three convolutions see 3 pixels to each side; at half the size, twice as many.
    assert max(20 - int(rows.min()), int(rows.max()) - 20) in (
        (reach,) if pool is None else range(reach - 3, reach + 1)
    )


@pytest.mark.parametrize(("pool", "middle"), [("average", 0.25), ("max", 1.0)])
def test_pooling_is_the_one_that_was_asked_for(pool, middle):
    class Seen(nn.Module):
        def forward(self, hidden):
            self.hidden = hidden
            return hidden

    model, seen = make((1, 2, 2), channels=1, pool=pool), Seen()
    model.encoder, model.middle, model.decoder = nn.Identity(), seen, nn.Identity()
    model(torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]]))
    assert seen.hidden.flatten().tolist() == [middle]


def test_pooling_of_another_kind_is_refused():
    with pytest.raises(ValueError, match=r"^pool = 'median' is none of average, max and null$"):
        Convolutional((1, 8, 8), pool="median")


# --- What it is trained on


def test_the_loss_is_the_squared_error_against_the_image_without_noise():
    given = images(50, 1, 20, 20)
    loss, logits = Denoising(noise=0)(nn.Identity(), given, None, progress=0)
    assert loss == 0
    assert logits is None
    # Of pixels of 0.5, far from where noise is clipped, the error is the noise's variance.
    grey = torch.full((50, 1, 20, 20), 0.5)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        loss, _ = Denoising(noise=0.1)(nn.Identity(), grey, None, progress=0)
    assert loss == pytest.approx(0.01, rel=0.05)


def test_noise_does_not_leave_the_pixel_range_nor_touch_the_images():
    given = images(50, 1, 20, 20)
    before = given.clone()
    seen = []

    class Seen(nn.Module):
        def forward(self, noisy):
            seen.append(noisy)
            return noisy

    Denoising(noise=0.5)(Seen(), given, None, progress=0)
    assert seen[0].min() == 0
    assert seen[0].max() == 1
    assert torch.equal(given, before)


def test_validation_is_without_noise():
    given = images(50, 1, 20, 20)
    loss, _ = Denoising(noise=0.5).validate(nn.Identity(), given, None)
    assert loss == 0
    loss, _ = Denoising(noise=0.5).validate(lambda x: x + 0.1, given, None)
    assert loss == pytest.approx(0.01, rel=1e-4)


# --- Training, by the stage


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    with school(tmp_path_factory.mktemp("autoencoders")) as made:
        yield made


@pytest.fixture(scope="module")
def learnt(digits):
    return digits.train_autoencoder("learnt", CONVOLUTIONAL, epochs=6, learning_rate=0.02)


def located(learnt, **changed):
    return {**CONVOLUTIONAL, "checkpoint": str(learnt.checkpoint), **changed}


def rows(learnt):
    with open(learnt.curve, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_curve_has_no_accuracy_and_the_validation_error_falls(learnt):
    curve = rows(learnt)
    assert list(curve[0]) == ["epoch", "train_loss", "validation_loss"]
    assert [row["epoch"] for row in curve] == [str(epoch) for epoch in range(1, 7)]
    assert float(curve[-1]["validation_loss"]) < 0.5 * float(curve[0]["validation_loss"])


def test_what_was_learnt_reconstructs_test_images_better_than_their_mean(digits, learnt):
    model, test = load_autoencoder(located(learnt), CPU), digits.test().images
    error = functional.mse_loss(model(test), test)
    assert error < 0.25 * test.var()
    # It is what the curve says of the images that were held out, or near it.
    assert error == pytest.approx(float(rows(learnt)[-1]["validation_loss"]), rel=0.15)


def test_a_loaded_autoencoder_is_frozen_and_in_eval_mode(learnt):
    model = load_autoencoder(located(learnt), CPU)
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())


class Overshooting(nn.Module):
    """An autoencoder that leaves the pixel range."""

    def __init__(self, shape):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(4.0))

    def forward(self, given):
        return self.factor * given - 1


def test_what_a_loaded_autoencoder_returns_is_brought_into_the_pixel_range(tmp_path):
    path = tmp_path / "own.ckpt"
    content = {"state_dict": {"model.factor": torch.tensor(4.0)}}
    torch.save({**content, "hyper_parameters": {"shape": [1, 1, 4]}}, path)
    own = {"implementation": f"{__name__}:Overshooting", "parameters": {}, "checkpoint": str(path)}
    model, given = load_autoencoder(own, CPU), torch.tensor([0.0, 0.3, 0.5, 1.0])[None, None, None]
    torch.testing.assert_close(model(given).flatten(), torch.tensor([0, 0.2, 1, 1]))
    # After every pass.
    twice = Reformer(passes=2, autoencoder=model)(given)
    assert twice.flatten().tolist() == [0, 0, 1, 1]


def test_a_reformer_and_detectors_ask_the_same_checkpoint_once(learnt, digits):
    how, clean = located(learnt), digits.test().images[:5]
    one, other = load_autoencoder(how, CPU), load_autoencoder(how, CPU)
    with memoizing():
        reformed = Reformer(passes=1, autoencoder=one)(clean)
        assert other(clean) is reformed
    # Asked apart, they agree.
    assert torch.equal(other(clean), reformed)


def test_it_draws_noisy_images_towards_clean_ones(digits, learnt):
    model, clean = load_autoencoder(located(learnt), CPU), digits.test().images
    noise = 0.3 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    noisy = (clean + noise).clamp(0, 1)
    for passes in (1, 2):
        reformed = Reformer(passes=passes, autoencoder=model)(noisy)
        assert functional.mse_loss(reformed, clean) < functional.mse_loss(noisy, clean)


def test_the_same_seed_gives_the_same_bytes_and_another_gives_others(digits, learnt):
    how = {"epochs": 2, "learning_rate": 0.02}
    one, two, other = (
        digits.train_autoencoder(name, CONVOLUTIONAL, seed=seed, **how)
        for name, seed in (("one", 0), ("two", 0), ("other", 1))
    )
    assert one.curve.read_bytes() == two.curve.read_bytes() != other.curve.read_bytes()
    assert one.checkpoint.read_bytes() == two.checkpoint.read_bytes()


def test_what_was_spent_is_time_of_the_processor_and_the_number_of_weights(learnt):
    spent = json.loads(learnt.spent.read_text())
    # 3 · (9 + 1), 3 · (27 + 1) and 27 + 1.
    assert spent["parameters"] == 30 + 84 + 28
    assert 0 < spent["seconds"] < 600


class Shrinking(nn.Module):
    """An autoencoder that loses a row."""

    def __init__(self, shape):
        super().__init__()
        self.layer = nn.Conv2d(1, 1, 3, padding=(0, 1))

    def forward(self, given):
        return self.layer(given)


def test_an_autoencoder_that_returns_another_shape_is_refused_before_it_is_trained(digits):
    shrinking = {"implementation": f"{__name__}:Shrinking", "parameters": {}}
    said = r"^autoencoder ae: of images \(16, 1, 8, 8\) it made \(16, 1, 6, 8\); it has to return"
    with pytest.raises(ModelError, match=said):
        digits.train_autoencoder("shrinking", shrinking)
    assert not (digits.folder / "shrinking").exists()


# --- Reading its checkpoint


def altered(content):
    """Another byte in the middle, which no length tells."""
    at = len(content) // 3
    return content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: content[: len(content) // 2], id="cut off"),
        pytest.param(altered, id="altered"),
        pytest.param(lambda content: b"", id="empty"),
        pytest.param(lambda content: b"not a checkpoint", id="text"),
    ],
)
def test_a_damaged_checkpoint_is_refused(learnt, tmp_path, damage):
    path = tmp_path / "damaged.ckpt"
    path.write_bytes(damage(learnt.checkpoint.read_bytes()))
    said = r"damaged\.ckpt cannot be read .*: delete it and run again to remake it"
    with pytest.raises(ValueError, match=said):
        load_autoencoder(located(learnt, checkpoint=str(path)), CPU)


def test_a_missing_checkpoint_is_named(learnt, tmp_path):
    with pytest.raises(ValueError, match=r"gone\.ckpt cannot be read"):
        load_autoencoder(located(learnt, checkpoint=str(tmp_path / "gone.ckpt")), CPU)


def test_a_pickle_is_refused_and_not_executed(learnt, tmp_path, trap):
    content = torch.load(learnt.checkpoint, weights_only=True)
    path = tmp_path / "pickled.ckpt"
    torch.save({**content, "more": trap}, path)
    with pytest.raises(ValueError, match=r"pickled\.ckpt cannot be read"):
        load_autoencoder(located(learnt, checkpoint=str(path)), CPU)
    assert not trap.path.exists()


def test_another_autoencoder_s_weights_are_refused(learnt):
    pooled = {"channels": 3, "pool": "average"}
    with pytest.raises(ValueError, match=r"(?s)checkpoint\.ckpt cannot be read .*Missing key"):
        load_autoencoder(located(learnt, parameters=pooled), CPU)


def test_a_checkpoint_that_does_not_say_of_which_shape_it_is_is_refused(learnt, tmp_path):
    content = torch.load(learnt.checkpoint, weights_only=True)
    del content["hyper_parameters"]["shape"]
    path = tmp_path / "shapeless.ckpt"
    torch.save(content, path)
    with pytest.raises(ValueError, match=r"shapeless\.ckpt cannot be read"):
        load_autoencoder(located(learnt, checkpoint=str(path)), CPU)
