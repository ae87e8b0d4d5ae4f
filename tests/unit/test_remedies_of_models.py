"""What a message about a user's own network, weights or attack says to do makes them usable."""

import sys
import tarfile
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from epsigma.attacks.craft import AttackError
from epsigma.attacks.direction import find_directions
from epsigma.attacks.losses import LOSSES
from epsigma.attacks.rows import attacked_rows
from epsigma.attacks.trial import try_attack
from epsigma.models import factory, zoo
from epsigma.models.classifier import ModelError, build_model
from epsigma.models.trial import try_model
from epsigma.models.weights import fit_own_weights, read_weights
from safetensors.torch import save_file
from torch import Tensor, nn

SHAPE, CLASSES = (1, 6, 5), 3
IMAGES = torch.rand(4, *SHAPE, generator=torch.Generator().manual_seed(0))


def linear(classes: int = CLASSES, *, bias: float = 0.0) -> nn.Linear:
    """A layer of the same weights every time."""
    made = nn.Linear(30, classes)
    with torch.no_grad():
        made.weight.copy_(torch.linspace(-1, 1, 30 * classes).reshape(classes, 30))
        made.bias.fill_(bias)
    return made


class By(nn.Module):
    """A linear layer between two functions."""

    def __init__(
        self,
        before: Callable = lambda x: x,
        after: Callable = lambda z: z,
        layer: Callable = linear,
    ) -> None:
        super().__init__()
        self.linear = layer()
        self.steps = before, after

    def forward(self, x: Tensor) -> Any:
        before, after = self.steps
        return after(self.linear(before(x).flatten(1)))


class InTraining(By):
    def forward(self, x: Tensor) -> Any:
        logits = super().forward(x)
        return (logits, 0) if self.training else logits


class ChangesWeights(By):
    def forward(self, x: Tensor) -> Any:
        # What the product needs for its gradient, changed after it.
        weight = self.linear.weight * 1
        logits = weight.exp() @ x.flatten(1).T
        if self.training:
            scaled = weight.exp()
            logits = (scaled @ x.flatten(1).T).exp()
            logits.add_(1)
        return logits.T


TRIED = {
    "another shape": (
        lambda: By(lambda x: x[:, :, :5]),
        "make the model for images of this shape",
        By,
    ),
    "a number an image": (
        lambda: By(after=lambda z: z.sum(1)),
        "return one logit for each image and class",
        By,
    ),
    "an overflow": (
        lambda: By(after=lambda z: z * 1e38 * 1e38),
        "look for overflows and damaged weights",
        By,
    ),
    "probabilities": (
        lambda: By(after=lambda z: z.softmax(1)),
        "return logits, without the softmax at the end",
        By,
    ),
    "detached": (
        lambda: By(lambda x: x.detach()),
        "without detach, no_grad or numpy, and change no tensor in place",
        By,
    ),
    "the root of zero": (
        lambda: By(lambda x: x + (x * 0).sqrt()),
        "look for the square root, logarithm or quotient of zero",
        lambda: By(lambda x: x + (x * 0 + 1e-12).sqrt()),
    ),
    "the root of zero, clamped": (
        lambda: By(lambda x: x + (x * 0).sqrt()),
        "add a small number, or clamp",
        lambda: By(lambda x: x + (x * 0).clamp(min=1e-12).sqrt()),
    ),
    "two answers in training": (InTraining, "return one logit for each image and class", By),
    "changed in place": (ChangesWeights, "change no tensor in place that they are computed", By),
}


@pytest.mark.parametrize(("wrong", "remedy", "right"), TRIED.values(), ids=TRIED)
def test_a_network_passes_its_trial_once_that_is_done(
    wrong: Callable, remedy: str, right: Callable
) -> None:
    with pytest.raises(ModelError) as raised:
        try_model(wrong(), IMAGES, CLASSES, trains=True)
    assert remedy in str(raised.value)
    assert try_model(right(), IMAGES, CLASSES, trains=True) is not None


# --- How it is made


def built(**how: Any) -> nn.Module:
    given = {"implementation": "epsigma.models.mlp:MLP", "parameters": {"hidden": 4}} | how
    return build_model(shape=SHAPE, classes=CLASSES, **given)


def normalized(mean: Any, std: Any) -> Callable:
    return lambda: built(normalize={"mean": mean, "std": std})


def cropped(**preprocess: int) -> Callable:
    return lambda: built(preprocess=preprocess)


def from_factory(name: str = "networks_of_a_user:make", **parameters: Any) -> Callable:
    return lambda: factory.make(SHAPE, CLASSES, factory=name, parameters=parameters)


def from_zoo(library: str, architecture: str, **parameters: Any) -> Callable:
    how = {"architecture": architecture, "parameters": parameters}
    return lambda: zoo.make((3, 32, 32), CLASSES, library=library, **how)


MADE = {
    "a crop of more than there is": (
        cropped(crop=6),
        "lessen it, or set preprocess.resize to 6 or more",
        cropped(crop=5),
    ),
    "a crop of more than there is, resized": (
        cropped(crop=6),
        "or set preprocess.resize to 6 or more",
        cropped(crop=6, resize=6),
    ),
    "as many means as colours": (
        normalized([0.5, 0.5, 0.5], 1),
        "give one number, or one a channel",
        normalized(0.5, [1]),
    ),
    "a deviation of next to nothing": (
        normalized(0.5, 1e-45),
        "is too small to divide by in float32: raise it",
        normalized(0.5, 1e-30),
    ),
    "small images for a CNN": (
        lambda: build_model("epsigma.models.cnn:CNN", (1, 2, 2), CLASSES, {}),
        "choose mlp, softmax or maxout",
        lambda: build_model("epsigma.models.mlp:MLP", (1, 2, 2), CLASSES, {"hidden": 4}),
    ),
    "no module": (
        from_factory("networks_of_nobody:make"),
        "correct the module, or `factory`",
        from_factory(),
    ),
    "no function": (
        from_factory("networks_of_a_user:makes"),
        "define it there, or correct `factory`",
        from_factory(),
    ),
    "a function that raises": (
        from_factory(width=0.5),
        "correct the function, or `parameters`",
        from_factory(width=5),
    ),
    "a function that returns no network": (
        from_factory("networks_of_a_user:pair"),
        "return the model itself",
        from_factory(),
    ),
    "an entry that makes no network": (
        lambda: built(implementation="networks_of_a_user:pair", parameters={}),
        ", not an nn.Module: return the model itself",
        lambda: built(implementation="networks_of_a_user:make", parameters={}),
    ),
    "a library that is not installed": (
        from_zoo("timm", "resnet18"),
        "install it into the environment that runs epsigma, .venv/bin/python -m pip install timm",
        from_zoo("torchvision", "resnet18"),
    ),
    "a network that there is not": (
        from_zoo("torchvision", "resnet-18"),
        "torchvision has no network 'resnet-18'; it has resnet18",
        from_zoo("torchvision", "resnet18"),
    ),
    "a parameter that there is not": (
        from_zoo("torchvision", "resnet18", width=3),
        "correct `architecture` or `parameters`",
        from_zoo("torchvision", "resnet18", zero_init_residual=True),
    ),
}


@pytest.fixture(autouse=True)
def of_a_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of networks."""
    module: Any = types.ModuleType("networks_of_a_user")
    module.__file__ = __file__

    def make(shape: Any, classes: int, width: int = 2) -> nn.Module:
        nn.Linear(30, width)  # which half a unit is none for
        return By(layer=lambda: linear(classes))

    module.make, module.pair = make, lambda shape, classes: (make(shape, classes), None)
    monkeypatch.setitem(sys.modules, "networks_of_a_user", module)
    # As if it were not installed.
    monkeypatch.setitem(sys.modules, "timm", None)


@pytest.mark.parametrize(("wrong", "remedy", "right"), MADE.values(), ids=MADE)
def test_a_network_is_made_once_that_is_done(wrong: Callable, remedy: str, right: Callable) -> None:
    with pytest.raises((ValueError, TypeError)) as raised:
        wrong()
    assert remedy in str(raised.value)
    assert isinstance(right(), nn.Module)


# --- Its weights


def saved(content: Any) -> Callable:
    return lambda path: torch.save(content, path)


def compressed(**files: bytes) -> Callable:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in files.items():
                archive.writestr(f"w/{name.replace('_pkl', '.pkl')}", content)

    return write


def tarred(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        archive.add(__file__)


def scripted(path: Path) -> None:
    # As the file is that torch.jit.save writes.
    compressed(constants_pkl=b"", data_pkl=b"")(path)


WEIGHTS = By().state_dict()
ALONE = "write the weights alone: torch.save(model.state_dict(), path)"
FILES = {
    "TorchScript": (scripted, "torch.save(torch.jit.load(file).state_dict(), path)"),
    "torch.export": (compressed(archive_format=b""), "torch.export.load(file).state_dict"),
    "a zip archive": (compressed(words=b""), ALONE),
    "a tar archive": (tarred, "unpack it, and name the file of weights in it"),
    "HDF5": (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n"), ALONE),
    "ONNX": (lambda path: path.write_bytes(b"\x08\x07words"), ALONE),
    "words": (lambda path: path.write_bytes(b"words"), "was not written by torch.save"),
    "a whole model": (saved(By), ALONE),
    "two sets of weights": (
        saved({"model": WEIGHTS, "net": WEIGHTS}),
        "say which are meant, such as checkpoint_key: model",
    ),
    "a list": (saved([WEIGHTS]), ALONE),
    "a state_dict of numbers": (saved({"epoch": 3}), ALONE),
    "nothing": (saved({}), ALONE),
    "another model's": (
        saved(nn.Linear(2, 2).state_dict()),
        "Give the model the hyper-parameters that it was trained with",
    ),
    "another number of classes": (
        saved(By(layer=lambda: linear(5)).state_dict()),
        "and the data set its shape and classes",
    ),
}


@pytest.mark.parametrize(("write", "remedy"), FILES.values(), ids=FILES)
def test_weights_are_loaded_once_they_are_written_alone(
    tmp_path: Path, write: Callable, remedy: str
) -> None:
    path = tmp_path / "weights.pt"
    write(path)
    with pytest.raises(ModelError) as raised:
        fit_own_weights(By(), path)
    assert remedy in str(raised.value)
    torch.save(By(layer=lambda: linear(bias=3.0)).state_dict(), path)
    model = By()
    fit_own_weights(model, path)
    assert model.linear.bias.tolist() == [3.0] * CLASSES


def test_what_would_be_unpickled_is_loaded_once_it_is_weights_alone(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save({"weights": WEIGHTS, "from": Path("words")}, path)
    with pytest.raises(ModelError, match="where it was made, write the weights alone"):
        read_weights(path)
    torch.save(WEIGHTS, path)
    assert set(read_weights(path)) == set(WEIGHTS)


def test_safetensors_are_read_once_they_are_some(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"words")
    with pytest.raises(ModelError, match=r"write it again, with safetensors\.torch"):
        read_weights(path)
    save_file(WEIGHTS, path)
    assert set(read_weights(path)) == set(WEIGHTS)


def test_weights_of_another_normalisation_are_taken_with_the_one_that_is_named(
    tmp_path: Path,
) -> None:
    path = tmp_path / "weights.pt"
    torch.save(normalized(0.25, 0.5)().state_dict(), path)
    with pytest.raises(ModelError, match=r"set normalize\.std to \[0\.5\]"):
        fit_own_weights(normalized(0.25, 1)(), path)
    fit_own_weights(normalized(0.25, [0.5])(), path)


# --- Attacks of one's own


def trying(attack: Callable, monkeypatch: pytest.MonkeyPatch, **more: Any) -> None:
    module: Any = types.ModuleType("attacks_of_one_user")
    module.attack = module.direction = attack
    monkeypatch.setitem(sys.modules, "attacks_of_one_user", module)
    settings = {
        "implementation": "attacks_of_one_user:attack",
        "parameters": {"eps": 0.1},
        "bounded_by": "eps",
    }
    labels = torch.tensor([0, 1, 2, 0])
    try_attack(settings, torch.Generator(), By(), IMAGES, labels, CLASSES, **more)


def moving(images: Tensor, eps: float) -> Tensor:
    return (images + eps * (images - 0.5).sign()).clamp(0, 1)


def attack(done: Callable, losses: Any = None) -> Callable:
    """Make an attack that returns what is done of images and ε, and calls on_step."""

    def run(model: Any, images: Tensor, labels: Tensor, *, eps: float, on_step: Any = None) -> Any:
        if on_step is not None:
            on_step(losses)
        return done(images, eps)

    return run


GOOD = attack(moving)
ATTACKS: dict[str, tuple[Callable, str, Callable, dict[str, Any]]] = {
    "raises": (attack(lambda x, eps: x + words), "correct the function, or its entry", GOOD, {}),  # type: ignore[name-defined]  # noqa: F821
    "returns a pair": (
        attack(lambda x, eps: (x, eps)),
        "return an image for each image that it is given, and nothing else",
        GOOD,
        {},
    ),
    "returns what is no number": (
        attack(lambda x, eps: x + (x * 0) / (x * 0)),
        "look for the root, logarithm or quotient of zero",
        attack(lambda x, eps: x + (x * 0) / (x * 0 + 1e-12)),
        {},
    ),
    "follows no tensor": (
        attack(moving, 0.5),
        "call it with the losses of the images that are still worked on",
        attack(moving, torch.zeros(2)),
        {"traced": True},
    ),
}


@pytest.mark.parametrize(("wrong", "remedy", "right", "more"), ATTACKS.values(), ids=ATTACKS)
def test_an_attack_passes_its_trial_once_that_is_done(
    monkeypatch: pytest.MonkeyPatch,
    wrong: Callable,
    remedy: str,
    right: Callable,
    more: dict[str, Any],
) -> None:
    with pytest.raises(AttackError) as raised:
        trying(wrong, monkeypatch, **more)
    assert remedy in str(raised.value)
    trying(right, monkeypatch, **more)


def test_an_attack_has_a_direction_once_it_returns_its_sign(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module: Any = types.ModuleType("attacks_of_one_user")
    module.slope = lambda model, images, labels: images - 0.5
    module.sign = lambda model, images, labels: (images - 0.5).sign()
    monkeypatch.setitem(sys.modules, "attacks_of_one_user", module)
    labels = torch.tensor([0, 1, 2, 0])
    rows = attacked_rows(labels, CLASSES, examples=None, targets="untargeted")
    how = {"implementation": "attacks_of_one_user:slope", "parameters": {}}
    with pytest.raises(ValueError, match="return its sign"):
        list(find_directions(how, By(), IMAGES, rows))
    how["implementation"] = "attacks_of_one_user:sign"
    assert len(list(find_directions(how, By(), IMAGES, rows))) == 1


def test_an_attack_is_a_step_once_it_returns_one_along_its_direction(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def along(model: Any, images: Tensor, labels: Tensor, *, eps: float = 0.0) -> Tensor:
        sign = (images - 0.5).sign()
        return (images + eps * sign).clamp(0, 1) if eps else sign

    def elsewhere(model: Any, images: Tensor, labels: Tensor, *, eps: float = 0.0) -> Tensor:
        return (images + eps).clamp(0, 1) if eps else (images - 0.5).sign()

    how = {"implementation": "attacks_of_one_user:direction", "parameters": {}}
    words = "take that out, or return `step_along` it"
    with pytest.raises(AttackError, match=words):
        trying(elsewhere, monkeypatch, direction=how)
    trying(along, monkeypatch, direction=how)
    trying(elsewhere, monkeypatch)


@pytest.mark.parametrize(
    ("wrong", "remedy", "right"),
    [
        ([5], "the classes are 0 to 2, name some of them", [2]),
        ([0], "every image is of that class, name another", [1]),
    ],
)
def test_a_class_is_aimed_at_once_it_is_one_that_there_is(
    wrong: list[int], remedy: str, right: list[int]
) -> None:
    labels = torch.zeros(4, dtype=torch.int64)
    with pytest.raises(ValueError, match=remedy):
        attacked_rows(labels, CLASSES, examples=None, targets=wrong)
    assert attacked_rows(labels, CLASSES, examples=None, targets=right).targets is not None


@pytest.mark.parametrize("loss", ["cross_entropy", "margin"])
def test_a_loss_of_few_classes_is_one_that_the_message_names(loss: str) -> None:
    logits, labels = torch.rand(4, 2), torch.zeros(4, dtype=torch.int64)
    with pytest.raises(ValueError, match="take cross_entropy or margin") as raised:
        LOSSES["dlr"](logits, labels)
    assert loss in str(raised.value)
    assert LOSSES[loss](logits, labels).isfinite().all()
