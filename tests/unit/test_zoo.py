"""Networks of other libraries by name, with weights from a file; and the study of photographs."""

import importlib.util
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from epsigma.models.classifier import ModelError, build_model, predict
from epsigma.models.weights import fit_own_weights
from epsigma.models.zoo import make
from epsigma.plan.settings import settings
from epsigma.study.reading import validate
from PIL import Image
from running import ROOT, SMALL
from safetensors.torch import save_file
from torch import nn
from torchvision.models import squeezenet1_1

SHAPE = (3, 32, 32)


def zoo(**block):
    """Make the model of a study's block, as stages do."""
    block = {"kind": "zoo", "name": "mine", "library": "torchvision", **block}
    study = validate({**SMALL, "models": [block]})
    return build_model(shape=SHAPE, classes=5, **settings(study, "models", "mine")).eval()


def own_weights(seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return squeezenet1_1(num_classes=5).eval()


# As RobustBench's are: behind DataParallel, beside what training left.
WAYS = {
    "weights.safetensors": save_file,
    "weights.pt": torch.save,
    "robust.pt": lambda weights, path: torch.save(
        {
            "state_dict": {f"module.{name}": value for name, value in weights.items()},
            "epoch": 200,
            "optimizer": {"state": {}, "param_groups": []},
        },
        path,
    ),
}


@pytest.mark.parametrize("name", WAYS)
def test_a_network_by_name_with_local_weights(name, tmp_path):
    network = own_weights()
    WAYS[name](network.state_dict(), tmp_path / name)
    model = zoo(architecture="squeezenet1_1")
    images = torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(1))
    assert not torch.equal(predict(model, images), predict(network, images))
    fit_own_weights(model, tmp_path / name)
    assert torch.equal(predict(model, images), predict(network, images))


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save(own_weights().state_dict(), tmp_path / "own.pt")
    with pytest.raises(ModelError, match=r"does not fit: missing: .*features\.3\.squeeze"):
        fit_own_weights(zoo(architecture="squeezenet1_0"), tmp_path / "own.pt")


def test_timm_is_told_of_channels_and_classes_and_never_downloads(monkeypatch):
    asked = {}

    def create_model(name, **given):
        asked.update(given, name=name)
        return nn.Flatten()

    timm = SimpleNamespace(create_model=create_model, list_models=lambda: ["vit_tiny"])
    monkeypatch.setitem(sys.modules, "timm", timm)
    make((1, 8, 8), 7, library="timm", architecture="vit_tiny", parameters={"drop_rate": 0.1})
    expected = {"pretrained": False, "in_chans": 1, "num_classes": 7, "drop_rate": 0.1}
    assert asked == {"name": "vit_tiny", **expected}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"library": "timm"}, r"library timm cannot be imported .*: install it .*install timm"),
        ({"architecture": "resnet81"}, r"torchvision has no network 'resnet81'; it has .*resnet18"),
        ({"parameters": {"depth": 3}}, r"torchvision could not make resnet18 .*TypeError: .*depth"),
    ],
)
def test_what_a_library_lacks_is_said_with_the_remedy(changed, said, monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    given = {"library": "torchvision", "architecture": "resnet18", "parameters": {}, **changed}
    with pytest.raises(ModelError, match=said):
        make(SHAPE, 5, **given)


def script():
    path = ROOT / "workflow" / "scripts" / "photos.py"
    spec = importlib.util.spec_from_file_location("photos", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_crop_is_the_part_of_the_photograph_that_is_asked_for():
    ramp = np.broadcast_to(np.arange(200, dtype=np.uint8), (100, 200))
    cut = np.asarray(script().cut(Image.fromarray(ramp), 0.5, (1, 0)))
    assert cut.shape == (256, 256, 3)
    # The square of 50 pixels at the right.
    assert cut[:, 0].mean() == pytest.approx(150, abs=0.6)
    assert cut[:, -1].mean() == pytest.approx(199, abs=0.6)


def test_photographs_are_of_the_classes_that_the_page_states():
    page = (ROOT / "docs" / "photos.md").read_text(encoding="utf-8")
    pictures, labels = zip(*script().list_photographs(), strict=True)
    assert {picture.size for picture in pictures} == {(256, 256)}
    assert {picture.mode for picture in pictures} == {"RGB"}
    assert f"{len(pictures)} images" in page
    stated = re.findall(r"^\| `(\w+)\.png` \| (\d+), .* \| (\d+) \|$", page, re.MULTILINE)
    assert [(f"{name}.png", int(label)) for name, label, _ in stated] == [*script().SHOWN.items()]
    assert [labels.count(int(label)) for _, label, _ in stated] == [int(n) for *_, n in stated]
