"""Checkpoints as RobustBench's authors write them: read by configuration alone, or refused."""

import copy

import pytest
import torch
import yaml
from epsigma.models.classifier import ModelError, build_model, predict
from epsigma.models.normalisation import write_block
from epsigma.models.weights import fit_own_weights, read_weights
from epsigma.plan.cell_recipes import CellRecipes
from epsigma.plan.settings import settings
from epsigma.study import ConfigurationError
from epsigma.study.reading import validate
from running import SMALL
from torch import nn
from torchvision.models import squeezenet1_1

SHAPE = (3, 32, 32)
MEAN, STD = [0.4914, 0.4822, 0.4465], [0.2471, 0.2435, 0.2616]
NORMALIZE = {"mean": MEAN, "std": STD}
OTHER = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
TRAINING = {"optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}, "epoch": 200, "acc": 0.5}


class Normalizer(nn.Module):
    """RobustBench's `ImageNormalizer`."""

    def __init__(self, mean="mean", std="std", shape=(1, 3, 1, 1)):
        super().__init__()
        self.names = mean, std
        for name, values in ((mean, MEAN), (std, STD)):
            self.register_buffer(name, torch.tensor(values).view(shape))

    def forward(self, images):
        mean, std = (getattr(self, name) for name in self.names)
        return (images - mean) / std


class OwnBuffers(nn.Module):
    """A network that normalises itself, as `Rice2020OverfittingNet`: buffers mu and sigma."""

    def __init__(self, num_classes=5):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            made = squeezenet1_1(num_classes=num_classes)
        self.features, self.classifier = made.features, made.classifier
        self.register_buffer("mu", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("sigma", torch.tensor(STD).view(1, 3, 1, 1))

    def forward(self, images):
        images = (images - self.mu) / self.sigma
        return self.classifier(self.features(images)).flatten(1)


class Robust(nn.Module):
    """The library `robustness`: a normaliser, a model, and an attacker that has both once more."""

    def __init__(self, network):
        super().__init__()
        self.normalizer, self.model = Normalizer("new_mean", "new_std", (3, 1, 1)), network
        self.attacker = nn.ModuleDict({"normalize": self.normalizer, "model": network})

    def forward(self, images):
        return self.model(self.normalizer(images))


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return squeezenet1_1(num_classes=5).eval()


def averaged(network):
    """Another one of the same names, as an exponential moving average is."""
    other = copy.deepcopy(network)
    for one in other.parameters():
        one.data.mul_(0.9)
    return other


def prefixed(module, prefix):
    return {f"{prefix}{name}": value for name, value in module.state_dict().items()}


def named(network):
    """RobustBench's `normalize_model`."""
    return nn.Sequential(nn.ModuleDict({"normalize": Normalizer(), "model": network}))[0]


# What the file holds of a network; the block of the study; what the network is behind.
BARE = {
    "state_dict": lambda n: {"state_dict": n.state_dict(), **TRAINING},
    "model_state_dict": lambda n: {"model_state_dict": n.state_dict(), **TRAINING},
    "net": lambda n: {"net": n.state_dict(), **TRAINING},
    "model": lambda n: {"model": n.state_dict(), **TRAINING},
    "figures beside": lambda n: {
        "state_dict": n.state_dict(),
        "metrics": {"acc": torch.tensor(0.9)},
    },
    "hyper-parameters beside": lambda n: {"state_dict": n.state_dict(), "model": {"depth": 3}},
    "ema alone": lambda n: {"ema": n.state_dict(), **TRAINING},
    "last alone": lambda n: {"last": n.state_dict(), **TRAINING},
    "module. (Carmon2019Unlabeled)": lambda n: {"state_dict": prefixed(n, "module.")},
    "model. (Chen2020Efficient)": lambda n: {"state_dict": prefixed(n, "model.")},
    "module.model.": lambda n: prefixed(n, "module.model."),
    "compiled": lambda n: {"model": prefixed(n, "module._orig_mod.")},
}
NORMALISED = {
    "Sequential(normalize, model)": lambda n: nn.Sequential(Normalizer(), n).state_dict(),
    "the same, behind DataParallel": lambda n: {
        "model_state_dict": prefixed(nn.Sequential(Normalizer(), n), "module."),
        **TRAINING,
    },
    "mu and sigma in front": lambda n: nn.Sequential(Normalizer("mu", "sigma"), n).state_dict(),
    "normalize_model": lambda n: {"state_dict": named(n).state_dict()},
    "mu and sigma of the network": lambda n: {
        **n.state_dict(),
        **Normalizer("mu", "sigma").state_dict(),
    },
    "robustness": lambda n: {"model": prefixed(Robust(n), "module."), **TRAINING},
    "a normalisation of epsigma's shape": lambda n: {
        **prefixed(n, "model.network."),
        **prefixed(Normalizer(shape=(3, 1, 1)), "model.normalize."),
    },
}


def fit(content, tmp_path, **block):
    """Make the model of a study's block, as stages do, with the weights of a file."""
    path = tmp_path / "published.pt"
    torch.save(content, path)
    block = {"kind": "zoo", "library": "torchvision", "architecture": "squeezenet1_1", **block}
    study = validate({**SMALL, "models": [{"name": "mine", "checkpoint": str(path), **block}]})
    told = CellRecipes(study).train({"model": "mine", "seed": "0"})["settings"]
    model = build_model(shape=SHAPE, classes=5, **settings(study, "models", "mine")).eval()
    fit_own_weights(model, told["checkpoint"], told.get("checkpoint_key"))
    return model


def images():
    return torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("layout", BARE)
def test_a_layout_of_a_network_of_images_is_read_by_configuration_alone(layout, network, tmp_path):
    model = fit(BARE[layout](network), tmp_path)
    assert torch.equal(predict(model, images()), predict(network, images()))


@pytest.mark.parametrize("layout", NORMALISED)
def test_a_layout_with_a_normalisation_is_read_with_the_study_s(layout, network, tmp_path):
    content = NORMALISED[layout](network)
    expected = predict(nn.Sequential(Normalizer(), network).eval(), images())
    model = fit(content, tmp_path, normalize=NORMALIZE)
    torch.testing.assert_close(predict(model, images()), expected)
    # What the file says is not passed over: the model would answer otherwise.
    for told in (None, OTHER):
        with pytest.raises(ModelError) as raised:
            fit(content, tmp_path, normalize=told)
        (line,) = str(raised.value).splitlines()
        assert "0.4914" in line
        if told is None:
            # What it says to write can be written.
            block = yaml.safe_load(line[line.index("normalize:") :])
            again = fit(content, tmp_path, **block)
            torch.testing.assert_close(predict(again, images()), expected)


def test_a_normalisation_that_does_nothing_need_not_be_said(network, tmp_path):
    front = Normalizer()
    front.mean.fill_(0), front.std.fill_(1)
    model = fit(nn.Sequential(front, network).state_dict(), tmp_path)
    assert torch.equal(predict(model, images()), predict(network, images()))


SEVERAL = {
    "timm": ("state_dict", "state_dict_ema"),
    "torchvision": ("model", "model_ema"),
    "weight averaging": ("unaveraged_model_state_dict", "model_state_dict"),
    "Kireev2021Effectiveness": ("best", "last"),
    "net and ema": ("net", "ema"),
}


@pytest.mark.parametrize("layout", SEVERAL)
def test_of_several_weights_the_study_says_which(layout, network, tmp_path):
    first, second = SEVERAL[layout]
    content = {first: prefixed(network, "module."), second: averaged(network).state_dict()}
    with pytest.raises(ModelError, match=rf"under {first}, {second}: .*checkpoint_key: {first}$"):
        fit({**content, **TRAINING}, tmp_path)
    for key, expected in ((first, network), (second, averaged(network))):
        model = fit({**content, **TRAINING}, tmp_path, checkpoint_key=key)
        assert torch.equal(predict(model, images()), predict(expected, images()))
    with pytest.raises(ModelError, match=rf"no weights under 'swa': it has some under {first}"):
        fit({**content, **TRAINING}, tmp_path, checkpoint_key="swa")


def test_a_key_where_there_is_nothing_to_choose_is_refused(network, tmp_path):
    with pytest.raises(ModelError, match="no weights under 'ema': leave checkpoint_key out"):
        fit(network.state_dict(), tmp_path, checkpoint_key="ema")
    study = {**SMALL, "models": [{"kind": "mlp", "checkpoint_key": "ema"}]}
    with pytest.raises(ConfigurationError, match=r"checkpoint_key: there is no `checkpoint`"):
        validate(study)


def test_a_network_of_its_own_normalisation_is_a_factory(network, tmp_path):
    own, block = OwnBuffers().eval(), {"kind": "factory", "factory": f"{__name__}:OwnBuffers"}
    path = tmp_path / "own.pt"
    torch.save(prefixed(own, "module."), path)
    model = build_model(
        shape=SHAPE,
        classes=5,
        implementation="epsigma.models.factory:make",
        parameters={"factory": block["factory"], "parameters": {}},
    ).eval()
    for parameter in model.parameters():
        parameter.data.zero_()
    fit_own_weights(model, path)
    assert torch.equal(predict(model, images()), predict(own, images()))
    # RobustBench reads these all the same (strict=False): whether they were used, no file says.
    torch.save({k: v for k, v in own.state_dict().items() if k not in ("mu", "sigma")}, path)
    with pytest.raises(ModelError) as raised:
        fit_own_weights(model, path)
    (line,) = str(raised.value).splitlines()
    assert "lacks mu, sigma" in line
    assert f"normalize: {{mean: {MEAN}, std: {STD}}}" in line
    # That is what it says to do.
    weights = read_weights(path)
    found = fit(weights, tmp_path, normalize=NORMALIZE)
    torch.testing.assert_close(predict(found, images()), predict(own, images()))


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        # Of Pang2020Boosting, Diffenderfer2021Winning, and of a copy that is none.
        ({"model_preact_hl1.1.weight": torch.zeros(2)}, "unexpected: model_preact_hl1.1.weight"),
        ({"features.0.scores": torch.zeros(2)}, "unexpected: features.0.scores"),
        ({"copy.features.0.bias": torch.full((64,), 7.0)}, "unexpected: copy.features.0.bias"),
        ({"head.mean": torch.zeros(64), "head.std": torch.ones(64)}, "unexpected: head.mean"),
        ({"norm.mean": torch.zeros(3)}, "unexpected: norm.mean"),
    ],
)
def test_what_a_network_has_no_place_for_is_named(extra, said, network, tmp_path):
    with pytest.raises(ModelError, match=said):
        fit({**network.state_dict(), **extra}, tmp_path, normalize=NORMALIZE)


@pytest.mark.parametrize("value", [1 / 255, 0.485, 58.395])
def test_the_normalisation_that_a_message_asks_for_is_the_file_s(value):
    found = torch.tensor([value])
    asked = yaml.safe_load(write_block({"std": found}))["normalize"]["std"]
    assert torch.equal(torch.tensor(asked), found)
    assert len(str(asked[0])) <= 12


def test_another_key_trains_what_depends_on_it_anew(tmp_path):
    path = tmp_path / "weights.pt"
    path.touch()
    told = []
    for key in (None, "ema"):
        block = {"kind": "mlp", "name": "mine", "checkpoint": str(path), "checkpoint_key": key}
        recipes = CellRecipes(validate({**SMALL, "models": [block]}))
        told.append(recipes.train({"model": "mine", "seed": "0"})["settings"])
    assert told[1] == {**told[0], "checkpoint_key": "ema"}
