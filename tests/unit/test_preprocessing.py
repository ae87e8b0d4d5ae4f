"""A network of images of another size and range is a model of images in [0, 1].

`preprocess` and `normalize` of a model.
"""

import copy

import pytest
import torch
from epsigma.filters.none import Identity
from epsigma.models.classifier import ModelError, build_model, load_classifier, predict
from epsigma.models.preprocessing import Preprocessed, ResizeCrop
from epsigma.models.weights import fit_own_weights
from epsigma.plan.settings import settings
from epsigma.proofs.network import fold
from epsigma.study.faults import ConfigurationError
from epsigma.study.reading import validate
from running import SMALL
from torch import nn
from torchvision.models import EfficientNet_B0_Weights, ResNet18_Weights, Swin_V2_T_Weights
from torchvision.transforms.functional import normalize as torchvision_normalize

CPU = torch.device("cpu")
SHAPE, CLASSES = (3, 8, 8), 4
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def factory(shape, classes):
    return nn.Sequential(
        nn.Conv2d(shape[0], 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, classes)
    )


def model_block(**block):
    return {"kind": "mlp", "hidden": 8, **block}


MODELS = {
    "softmax": {"kind": "softmax"},
    "mlp": model_block(),
    "maxout": {"kind": "maxout", "units": 8},
    "cnn": {"kind": "cnn", "channels": 2, "hidden": 8},
    "resnet": {"kind": "resnet", "width": 2, "blocks": 1},
    "factory": {"kind": "factory", "factory": f"{__name__}:factory"},
}


def made(**block):
    """Make the model of a study's block, as stages do."""
    study = validate({**SMALL, "models": [{"name": "mine", **block}]})
    how = settings(study, "models", "mine")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build_model(shape=SHAPE, classes=CLASSES, **how).eval(), how


def some(channels=3):
    return torch.rand(5, channels, *SHAPE[1:], generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("numbers", [(MEAN, STD), (0.5, 0.25), ([0.5], STD)])
def test_logits_are_those_of_the_network_on_normalised_images(name, numbers):
    network, _ = made(**MODELS[name])
    mean, std = numbers
    model, _ = made(**MODELS[name], normalize={"mean": mean, "std": std})
    wide = [torch.tensor(one).flatten().expand(3).tolist() for one in numbers]
    assert torch.equal(
        predict(model, some()), predict(network, torchvision_normalize(some(), *wide))
    )


@pytest.mark.parametrize("name", MODELS)
def test_weights_of_the_network_alone_fit_and_the_checkpoint_keeps_the_numbers(name, tmp_path):
    network, _ = made(**MODELS[name])
    network.load_state_dict({n: v + 0.01 for n, v in network.state_dict().items()})
    torch.save(network.state_dict(), tmp_path / "own.pt")
    model, how = made(**MODELS[name], normalize={"mean": MEAN, "std": STD})
    fit_own_weights(model, tmp_path / "own.pt")
    expected = predict(network, torchvision_normalize(some(), MEAN, STD))
    assert torch.equal(predict(model, some()), expected)
    # As Lightning writes it.
    kept = {f"model.{name}": value for name, value in model.state_dict().items()}
    about = {"shape": list(SHAPE), "classes": CLASSES}
    path = tmp_path / "checkpoint.ckpt"
    torch.save({"state_dict": kept, "hyper_parameters": about}, path)
    assert kept["model.normalize.mean"].flatten().tolist() == pytest.approx(MEAN)
    loaded = load_classifier(path, how, CPU)
    torch.testing.assert_close(predict(loaded, some()), expected)
    # It can be named as a checkpoint itself.
    again, _ = made(**MODELS[name], normalize={"mean": MEAN, "std": STD})
    fit_own_weights(again, path)
    assert torch.equal(predict(again, some()), expected)


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        (None, "made with a normalisation: say normalize: {mean: [0.485, 0.456, 0.406], std: "),
        ({"mean": MEAN, "std": 0.5}, "set normalize.std to [0.229, 0.224, 0.225]"),
    ],
)
def test_a_checkpoint_of_another_normalisation_is_refused(numbers, said, tmp_path):
    model, _ = made(**model_block(normalize={"mean": MEAN, "std": STD}))
    kept = {f"model.{name}": value for name, value in model.state_dict().items()}
    torch.save({"state_dict": kept}, tmp_path / "checkpoint.ckpt")
    other, _ = made(**model_block(normalize=numbers))
    with pytest.raises(ModelError) as raised:
        fit_own_weights(other, tmp_path / "checkpoint.ckpt")
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ({"mean": [0.5, 0.5], "std": 0.5}, "normalize.mean has 2 numbers, and images have 3 chan"),
        ({"mean": 0.5, "std": [0.5] * 4}, "normalize.std has 4 numbers, and images have 3 chan"),
        ({"mean": 0.5, "std": [0.5, 0.5, 1e-50]}, "1e-50] is too small to divide by"),
    ],
)
def test_numbers_are_as_many_as_channels_and_divide(numbers, said):
    with pytest.raises(ModelError) as raised:
        made(**model_block(normalize=numbers))
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("numbers", "key", "said"),
    [
        ({"mean": 0.5}, "", "the key std is missing"),
        ({"mean": 0.5, "std": 0}, ".std", "greater than 0"),
        ({"mean": 0.5, "std": [0.2, 0, 0.2]}, ".std", "greater than 0"),
        ({"mean": [123.7, 116.3, 103.5], "std": 58}, ".mean", "from 0 to 255 by 255"),
        ({"mean": [], "std": 1}, ".mean", "one number or a list"),
        ({"mean": "0.5", "std": 1}, ".mean", "one number or a list"),
        ({"mean": True, "std": 1}, ".mean", "one number or a list"),
        ({"mean": [[0.5]], "std": 1}, ".mean", "one number or a list"),
        ({"mean": 0.5, "std": 1, "eps": 1}, "", "unknown key eps; allowed: mean, std"),
        ([0.5, 0.5], "", "is not of type"),
    ],
)
def test_numbers_that_normalise_nothing_are_refused(numbers, key, said):
    with pytest.raises(ConfigurationError) as raised:
        made(**model_block(normalize=numbers))
    (line,) = str(raised.value).splitlines()[1:]
    assert line.strip().startswith(f"models[0].normalize{key}: ")
    assert said in line


def test_without_the_key_nothing_is_different():
    model, how = made(**model_block())
    assert set(how) == {"implementation", "parameters"}
    assert not isinstance(model, Preprocessed)


def test_proofs_see_through_it():
    model, _ = made(**model_block(normalize={"mean": MEAN, "std": STD}))
    network = fold(Identity(), model, SHAPE)
    images = some()
    logits = network(images.double().flatten(1))
    torch.testing.assert_close(logits.float(), predict(model, images), rtol=1e-4, atol=1e-5)


def test_a_model_s_own_bounds_hold_behind_it():
    model, _ = made(kind="maxout", units=8, max_norm=0.1, normalize={"mean": 0.5, "std": 0.5})
    before = copy.deepcopy(model)
    model.constrain()
    longest = [
        max(m.weight.norm(dim=1).max() for m in one.modules() if isinstance(m, nn.Linear))
        for one in (before, model)
    ]
    assert longest[0] > 0.11 > longest[1]
    made(**model_block(normalize={"mean": 0.5, "std": 0.5}))[0].constrain()


RECIPES = [
    weights.IMAGENET1K_V1.transforms()
    for weights in (ResNet18_Weights, EfficientNet_B0_Weights, Swin_V2_T_Weights)
]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.interpolation.value)
@pytest.mark.parametrize("size", [(300, 451), (451, 300), (180, 260), (256, 256), (257, 258)])
def test_it_is_what_torchvision_s_recipe_does(recipe, size):
    (resize,), (crop,) = recipe.resize_size, recipe.crop_size
    images = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
    front = ResizeCrop(
        (3, *size), resize=resize, crop=crop, interpolation=recipe.interpolation.value
    )
    made = front(images)
    assert tuple(made.shape[1:]) == front.shape == (3, crop, crop)
    assert made.min() >= 0
    assert made.max() <= 1
    # Of floats torchvision does not clamp what bicubic interpolation overshoots.
    expected = recipe(images)
    mean, std = (torch.tensor(one)[:, None, None] for one in (recipe.mean, recipe.std))
    low, high = (0 - mean) / std, (1 - mean) / std
    torch.testing.assert_close((made - mean) / std, expected.clamp(low, high), atol=1e-5, rtol=0)


def test_its_gradient_is_that_of_the_pixels_that_it_reads():
    images = torch.rand(1, 3, 10, 12, dtype=torch.float64, requires_grad=True)
    front = ResizeCrop((3, 10, 12), resize=5, crop=4)
    assert torch.autograd.gradcheck(front, images)
    cropped = ResizeCrop((3, 10, 12), crop=4)
    (gradient,) = torch.autograd.grad(cropped(images).sum(), images)
    expected = torch.zeros_like(images)
    expected[..., 3:7, 4:8] = 1
    assert torch.equal(gradient, expected)


def test_a_network_sees_resized_and_normalised_images_and_the_file_holds_it_alone(tmp_path):
    block = MODELS["cnn"]
    model, how = made(
        **block, preprocess={"resize": 10, "crop": 9}, normalize={"mean": MEAN, "std": STD}
    )
    network = build_model(shape=(3, 9, 9), classes=CLASSES, **made(**block)[1])
    torch.save(network.state_dict(), tmp_path / "own.pt")
    fit_own_weights(model, tmp_path / "own.pt")
    seen = torchvision_normalize(ResizeCrop(SHAPE, resize=10, crop=9)(some()), MEAN, STD)
    expected = predict(network.eval(), seen)
    assert torch.equal(predict(model, some()), expected)
    # As a checkpoint of epsigma, and named as one.
    kept = {f"model.{name}": value for name, value in model.state_dict().items()}
    about = {"shape": list(SHAPE), "classes": CLASSES}
    torch.save({"state_dict": kept, "hyper_parameters": about}, tmp_path / "checkpoint.ckpt")
    loaded = load_classifier(tmp_path / "checkpoint.ckpt", how, CPU)
    torch.testing.assert_close(predict(loaded, some()), expected)
    bare, _ = made(**block, preprocess={"resize": 10, "crop": 9})
    with pytest.raises(ModelError, match="was made with a normalisation"):
        fit_own_weights(bare, tmp_path / "checkpoint.ckpt")


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"crop": 9}, ModelError, "preprocess.crop = 9 is more than the 8 × 8 pixels"),
        ({"resize": 5, "crop": 6}, ModelError, "or set preprocess.resize to 6 or more"),
        ({"resize": 0}, ConfigurationError, "models[0].preprocess.resize: "),
        ({"crop": 2.5}, ConfigurationError, "models[0].preprocess.crop: "),
        ({"interpolation": "nearest"}, ConfigurationError, "bilinear"),
        ({"size": 8}, ConfigurationError, "allowed: resize, crop, interpolation"),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused(given, error, said):
    with pytest.raises(error) as raised:
        made(**model_block(preprocess=given))
    assert said in str(raised.value)
