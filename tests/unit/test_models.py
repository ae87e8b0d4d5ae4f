import os
import sys
import uuid

import pytest
import torch
from epsigma.datasets.digits import digits
from epsigma.job import Job
from epsigma.loading import load
from epsigma.models.classifier import (
    ModelError,
    build_model,
    load_classifier,
    predict,
)
from epsigma.models.maxout import Maxout, MaxoutLayer
from epsigma.models.resnet import ResNet
from epsigma.models.trial import try_model
from epsigma.registry.models import MODELS
from epsigma.stages.train import train
from epsigma.storage.images import write_tensors
from torch import nn
from torch.nn import functional
from torchvision.models import resnet18

CPU = torch.device("cpu")
# Each model, small enough for a test, and what it takes to learn digits.
SMALL = {
    "mlp": ({"hidden": 16}, {"epochs": 6, "learning_rate": 0.01}),
    "softmax": ({}, {"epochs": 6, "learning_rate": 0.01}),
    "maxout": ({"units": 32, "pieces": 3}, {"epochs": 6, "learning_rate": 0.005}),
    "cnn": ({"channels": 4, "hidden": 16}, {"epochs": 4, "learning_rate": 0.005}),
    "resnet": ({"width": 4, "blocks": 1}, {"epochs": 3, "learning_rate": 0.01}),
}
OWN = [name for name in MODELS if name not in ("factory", "zoo")]
SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 9, 14)]


def some(shape, n=3):
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(0))


def settings(name):
    """As the workflow makes them: all that the schema lists, defaults filled in."""
    defaults = {key: schema["default"] for key, schema in MODELS[name].schemas.items()}
    parameters = {**defaults, **SMALL[name][0]}
    return {"implementation": MODELS[name].implementation, "parameters": parameters}


def make(name, shape=(1, 8, 8), classes=10, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_model(shape=shape, classes=classes, **settings(name))


@pytest.fixture(scope="module")
def digit_files(tmp_path_factory):
    """scikit-learn's digits: the file of the training images, and the test images."""
    data = digits(None)
    path = tmp_path_factory.mktemp("digits") / "train.safetensors"
    tensors = {
        "images": torch.from_numpy(data.train.images),
        "labels": torch.from_numpy(data.train.labels),
    }
    write_tensors(path, tensors, {"classes": "10"})
    return (
        path,
        torch.from_numpy(data.test.images).float() / 255,
        torch.from_numpy(data.test.labels),
    )


@pytest.fixture(autouse=True)
def restored():
    """Training sets these for its process; the tests share one."""
    deterministic, environment = torch.are_deterministic_algorithms_enabled(), dict(os.environ)
    with torch.random.fork_rng(devices=[]):
        yield
    torch.use_deterministic_algorithms(deterministic)
    os.environ.clear()
    os.environ.update(environment)


def learn(name, images, folder, model=None, **changed):
    """Train as the workflow does; returns the checkpoint."""
    training = {"batch_size": 32, "validation": 0.1, **SMALL.get(name, ({}, {}))[1], **changed}
    how = {"model": model or settings(name), "training": training, "seed": 0}
    checkpoint = folder / "checkpoint.ckpt"
    train(
        Job({"model": name}, how, "0" * 16, "cpu", str(folder / "train.log")),
        images=str(images),
        checkpoint=str(checkpoint),
        curve=str(folder / "training.csv"),
        spent=str(folder / "training.json"),
    )
    return checkpoint


# --- Every model


@pytest.mark.parametrize("classes", [2, 10])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", OWN)
def test_a_model_maps_images_to_logits(name, shape, classes):
    model = make(name, shape, classes).eval()
    images = some(shape)
    logits = model(images)
    assert logits.shape == (3, classes)
    assert logits.dtype == torch.float32
    # Logits, not probabilities nor their logarithms.
    assert (logits.logsumexp(1).abs() > 1e-3).all()
    assert (logits.sum(1) - 1).abs().max() > 1e-3
    assert try_model(model, images, classes, trains=True) == []


@pytest.mark.parametrize("name", OWN)
def test_a_model_in_eval_mode_answers_the_same_twice_and_one_image_as_in_a_batch(name):
    model = make(name).eval()
    images = some((1, 8, 8), 5)
    logits = model(images)
    assert torch.equal(model(images), logits)
    alone = torch.cat([model(image[None]) for image in images])
    torch.testing.assert_close(alone, logits, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", OWN)
def test_the_gradient_reaches_every_image_and_every_parameter(name, shape):
    model = make(name, shape).eval()
    images = some(shape).requires_grad_()
    functional.cross_entropy(model(images), torch.tensor([0, 1, 2])).backward()
    assert (images.grad.flatten(1).abs().amax(1) > 0).all()
    for parameter in model.parameters():
        assert parameter.grad.abs().max() > 0


@pytest.mark.parametrize("name", OWN)
def test_the_seed_and_nothing_else_decides_the_first_weights(name):
    one, again, other = make(name), make(name), make(name, seed=1)
    for key, value in one.state_dict().items():
        assert torch.equal(value, again.state_dict()[key])
    images = some((1, 8, 8))
    assert not torch.equal(one.eval()(images), other.eval()(images))


@pytest.mark.parametrize("name", OWN)
def test_a_model_learns_digits_and_its_checkpoint_says_all_of_it(name, digit_files, tmp_path):
    images, test, labels = digit_files
    checkpoint = learn(name, images, tmp_path)
    model = load_classifier(checkpoint, settings(name), CPU)
    logits = predict(model, test)
    # One in ten by chance.
    assert (logits.argmax(1) == labels).float().mean() >= 0.7
    assert not any(module.training for module in model.modules())
    # Buffers, such as the means of batch normalisation, are part of it, to the bit.
    kept = torch.load(checkpoint, weights_only=True)["state_dict"]
    found = model.state_dict()
    assert {name.removeprefix("model.") for name in kept} == set(found)
    assert all(torch.equal(value, kept[f"model.{name}"]) for name, value in found.items())
    assert torch.equal(predict(load_classifier(checkpoint, settings(name), CPU), test), logits)


@pytest.mark.parametrize("name", OWN)
def test_the_same_seed_trains_the_same_weights(name, digit_files, tmp_path):
    one, again = (
        torch.load(learn(name, digit_files[0], tmp_path / which, epochs=1), weights_only=True)[
            "state_dict"
        ]
        for which in ("one", "again")
    )
    assert all(torch.equal(value, again[key]) for key, value in one.items())


def test_the_means_that_batch_normalisation_keeps_decide_the_logits(digit_files, tmp_path):
    images, test, _ = digit_files
    checkpoint = learn("resnet", images, tmp_path, epochs=1)
    model = load_classifier(checkpoint, settings("resnet"), CPU)
    logits = predict(model, test)
    assert model.bn1.running_mean.abs().max() > 0
    model.bn1.running_mean.zero_()
    assert not torch.allclose(predict(model, test), logits)


@pytest.mark.parametrize("batch_size", [8, 32])
def test_a_last_batch_of_one_image_does_not_stop_batch_normalisation(tmp_path, batch_size):
    # 65 images are left to learn from: batches of 8 or 32, and one image over.
    path = tmp_path / "train.safetensors"
    images = (some((1, 8, 8), 72) * 255).byte()
    write_tensors(path, {"images": images, "labels": torch.arange(72) % 10}, {"classes": "10"})
    assert learn("resnet", path, tmp_path, epochs=1, batch_size=batch_size).is_file()


# --- One by one


def test_softmax_regression_is_linear():
    model = make("softmax").double()
    images = some((1, 8, 8), 2).double()
    one, other, middle = model(images[:1]), model(images[1:]), model(images.mean(0)[None])
    torch.testing.assert_close(middle, (one + other) / 2)
    assert sum(value.numel() for value in model.parameters()) == 64 * 10 + 10


def test_a_maxout_unit_is_the_largest_of_its_affine_functions():
    layer = MaxoutLayer(inputs=4, units=3, pieces=5).double()
    x = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weight, bias = layer.affine.weight, layer.affine.bias
    found = layer(x)
    assert found.shape == (6, 3)
    for n in range(6):
        for unit in range(3):
            pieces = [
                sum(weight[j * 3 + unit, d] * x[n, d] for d in range(4)) + bias[j * 3 + unit]
                for j in range(5)
            ]
            assert found[n, unit].item() == pytest.approx(max(pieces).item(), abs=1e-12)


def test_the_default_maxout_network_is_that_of_permutation_invariant_mnist():
    model = Maxout((1, 28, 28), 10)
    shapes = [tuple(value.shape) for value in model.parameters() if value.ndim == 2]
    assert shapes == [(1200, 784), (1200, 240), (10, 240)]
    assert [m.p for m in model.modules() if isinstance(m, nn.Dropout)] == [0.2, 0.5, 0.5]
    # The order of the pixels is none of its business.
    order = torch.randperm(784, generator=torch.Generator().manual_seed(0))
    shuffled = Maxout((1, 28, 28), 10)
    weights = model.state_dict()
    weights["layers.2.affine.weight"] = weights["layers.2.affine.weight"][:, order]
    shuffled.load_state_dict(weights)
    images = some((1, 28, 28))
    mixed = images.flatten(1)[:, order].view_as(images)
    torch.testing.assert_close(shuffled.eval()(mixed), model.eval()(images), atol=1e-5, rtol=1e-5)


def test_dropout_is_for_training_only():
    model = make("maxout")
    images = some((1, 8, 8))
    assert not torch.equal(model(images), model(images))
    assert torch.equal(model.eval()(images), model(images))


def norms(model):
    return torch.cat([weight.norm(dim=1) for weight in model.parameters() if weight.ndim == 2])


def test_weight_vectors_that_are_too_long_are_scaled_back_and_others_left_alone():
    model = Maxout((1, 8, 8), 10, units=8, max_norm=0.58)
    before = [value.clone() for value in model.parameters()]
    lengths = norms(model).detach()
    assert lengths.min() < 0.58 < lengths.max()
    model.constrain()
    torch.testing.assert_close(norms(model), lengths.clamp(max=0.58), atol=1e-6, rtol=0)
    for old, new in zip(before, model.parameters(), strict=True):
        if new.ndim == 1:
            assert torch.equal(old, new)
        else:
            assert (functional.cosine_similarity(old, new) > 1 - 1e-6).all()


def test_the_bound_on_weight_vectors_holds_after_training(digit_files, tmp_path):
    for max_norm, binds in ((0.5, True), (100, False)):
        how = settings("maxout")
        how["parameters"]["max_norm"] = max_norm
        checkpoint = learn("maxout", digit_files[0], tmp_path / str(binds), model=how, epochs=2)
        longest = norms(load_classifier(checkpoint, how, CPU)).max()
        assert (longest <= 0.5 + 1e-6) == binds


def test_a_cnn_that_rectifies_after_pooling_is_one_that_does_before():
    """To the bit: in its logits, its gradient by the images, and by the weights."""
    after = make("cnn", (1, 28, 28))
    layers = list(after.layers)
    layers[1:3], layers[4:6] = layers[2:0:-1], layers[5:3:-1]
    assert isinstance(layers[1], nn.ReLU)
    assert isinstance(layers[4], nn.ReLU)
    images = torch.rand(64, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    # Where all is equal, the first is the largest.
    images[:, :, :9] = 0
    found = []
    for network in (after.layers, nn.Sequential(*layers)):
        x = images.clone().requires_grad_()
        logits = network(x)
        loss = functional.cross_entropy(logits, torch.arange(64) % 10)
        found.append([logits, *torch.autograd.grad(loss, [x, *network.parameters()])])
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


@pytest.mark.parametrize("size", [(7, 28), (28, 7), (1, 1)])
def test_a_cnn_refuses_images_that_are_too_small(size):
    with pytest.raises(ValueError, match=f"not {size[0]} × {size[1]}: choose mlp"):
        make("cnn", (1, *size))


def test_a_resnet_of_width_64_is_torchvision_s_resnet18_with_a_stem_for_small_images():
    with torch.random.fork_rng(devices=[]):
        reference = resnet18(num_classes=10)
        reference.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        reference.maxpool = nn.Identity()
    model = ResNet((3, 32, 32), 10, width=64, blocks=2)
    model.load_state_dict(reference.state_dict())
    images = some((3, 32, 32), 2)
    torch.testing.assert_close(model.eval()(images), reference.eval()(images))


@pytest.mark.parametrize(
    ("name", "parameter", "wider"),
    [
        ("mlp", "hidden", 32),
        ("maxout", "units", 48),
        ("maxout", "pieces", 6),
        ("cnn", "channels", 8),
        ("cnn", "hidden", 32),
        ("resnet", "width", 8),
        ("resnet", "blocks", 2),
    ],
)
def test_what_is_wider_or_deeper_has_more_weights(name, parameter, wider):
    def count(model):
        return sum(value.numel() for value in model.parameters())

    how = settings(name)
    larger = {**how["parameters"], parameter: wider}
    assert count(load(how["implementation"])((1, 8, 8), 10, **larger)) > count(make(name))


# --- A model of the user's own making

NETS = """
import torch
from torch import nn

NUMBER = 5


def linear(shape, classes, *, bias=True):
    channels, height, width = shape
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * height * width, classes, bias=bias))


def eats(shape, classes, *, widths):
    widths.pop()
    return linear(shape, classes)


def function(shape, classes):
    return lambda images: images.flatten(1)[:, :classes]


def fails(shape, classes):
    raise RuntimeError("out of ideas")


def probabilities(shape, classes):
    return nn.Sequential(linear(shape, classes), nn.Softmax(1))


def twice(shape, classes):
    return linear(shape, 2 * classes)


class Pair(nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        self.layers = linear(shape, classes)

    def forward(self, images):
        return self.layers(images), images


def elsewhere(shape, classes):
    return linear((3, 224, 224), classes)


def infinite(shape, classes):
    model = linear(shape, classes)
    nn.init.constant_(model[1].weight, float("inf"))
    return model


def frozen(shape, classes):
    return linear(shape, classes).requires_grad_(False)


def normalised(shape, classes):
    return nn.Sequential(nn.BatchNorm2d(shape[0]), linear(shape, classes)).eval()


def partly(shape, classes):
    norms = (nn.BatchNorm2d(shape[0]) for _ in range(2))
    model = nn.Sequential(*norms, linear(shape, classes))
    model[0].eval()
    return model


def whole(shape, classes):
    return nn.Sequential(nn.Flatten(), Rounded(classes))


class Rounded(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.classes = classes

    def forward(self, x):
        return x[:, : self.classes].round().long()
"""


@pytest.fixture
def nets(tmp_path, monkeypatch):
    """A module of the user's, of a name that no test has used before."""
    name = f"nets_{uuid.uuid4().hex}"
    (tmp_path / f"{name}.py").write_text(NETS)
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    sys.modules.pop(name, None)


def made_by(factory, **parameters):
    given = {"factory": factory, "parameters": parameters}
    return {"implementation": MODELS["factory"].implementation, "parameters": given}


def test_a_factory_s_model_is_trained_and_loaded_like_any_other(nets, digit_files, tmp_path):
    images, test, labels = digit_files
    how = made_by(f"{nets}:linear", bias=False)
    checkpoint = learn("factory", images, tmp_path, how, epochs=6, learning_rate=0.01)
    model = load_classifier(checkpoint, how, CPU)
    assert list(model.state_dict()) == ["1.weight"]
    assert (predict(model, test).argmax(1) == labels).float().mean() >= 0.7


def test_a_factory_of_torchvision_needs_no_wrapper():
    how = made_by("torchvision.models:resnet18", norm_layer=None)
    assert build_model(shape=(3, 32, 32), classes=7, **how).fc.out_features == 7


def test_a_factory_cannot_change_the_configuration(nets):
    how = made_by(f"{nets}:eats", widths=[1, 2])
    for _ in range(2):
        build_model(shape=(1, 8, 8), classes=10, **how)
    assert how["parameters"]["parameters"] == {"widths": [1, 2]}


@pytest.mark.parametrize(
    ("function", "batches"), [("normalised", {"0": 41}), ("partly", {"0": 0, "1": 41})]
)
def test_a_model_is_trained_in_training_mode_but_for_the_parts_that_are_not(
    nets, function, batches, digit_files, tmp_path
):
    how = made_by(f"{nets}:{function}")
    checkpoint = learn("factory", digit_files[0], tmp_path, how, epochs=1, learning_rate=0.01)
    kept = load_classifier(checkpoint, how, CPU).state_dict()
    # 1,293 images in batches of 32; what is in eval mode counts none.
    assert {key: kept[f"{key}.num_batches_tracked"].item() for key in batches} == batches


@pytest.mark.parametrize(
    ("function", "parameters", "said"),
    [
        ("nothing", {}, ["has no 'nothing'", "correct `factory`"]),
        ("fails", {}, ["raised RuntimeError: out of ideas", "shape (1, 8, 8), classes 10"]),
        ("linear", {"depth": 3}, ["{'depth': 3}", "TypeError", "'depth'", "or `parameters`"]),
        ("linear", {"classes": 3}, ["TypeError", "multiple values for argument 'classes'"]),
        ("NUMBER", {}, ["raised TypeError: 'int' object is not callable"]),
        ("function", {}, ["returned a function, not a torch.nn.Module"]),
    ],
)
def test_a_factory_that_makes_no_model_is_an_error(nets, function, parameters, said):
    with pytest.raises(ModelError) as raised:
        build_model(shape=(1, 8, 8), classes=10, **made_by(f"{nets}:{function}", **parameters))
    message = str(raised.value)
    assert message.startswith(f"factory {nets}:{function}: ")
    assert [words for words in said if words not in message] == []


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (None, "ModuleNotFoundError: No module named"),
        ("import a_package_that_nobody_has", "No module named 'a_package_that_nobody_has'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_module_that_cannot_be_imported_is_an_error(tmp_path, monkeypatch, source, said):
    name = f"nets_{uuid.uuid4().hex}"
    if source:
        (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModelError) as raised:
        build_model(shape=(1, 8, 8), classes=10, **made_by(f"{name}:linear"))
    assert f"factory {name}:linear: importing {name} raised" in str(raised.value)
    assert said in str(raised.value)
    assert "working directory" in str(raised.value)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("probabilities", ["outputs are probabilities", "return logits, without the softmax"]),
        ("twice", ["returned (16, 20), not a tensor (16, 10)"]),
        ("Pair", ["returned tuple, not a tensor (16, 10)"]),
        ("elsewhere", ["images (16, 1, 8, 8), it raised RuntimeError", "of this shape"]),
        ("infinite", ["not finite numbers"]),
        ("whole", ["not finite numbers, but torch.int64"]),
        ("frozen", ["no weights to train", "name a `checkpoint`"]),
    ],
)
def test_a_model_that_gives_no_logits_is_refused_before_it_is_trained(
    nets, function, said, digit_files, tmp_path
):
    with pytest.raises(ModelError) as raised:
        learn("mine", digit_files[0], tmp_path, made_by(f"{nets}:{function}"), learning_rate=0.1)
    assert str(raised.value).startswith("model mine: ")
    assert [words for words in said if words not in str(raised.value)] == []
    assert str(raised.value) in (tmp_path / "train.log").read_text(encoding="utf-8")
    assert not (tmp_path / "checkpoint.ckpt").exists()


def test_trying_a_model_leaves_it_as_it_was():
    model = make("resnet")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    assert try_model(model, some((1, 8, 8)), 10, trains=True) == []
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
