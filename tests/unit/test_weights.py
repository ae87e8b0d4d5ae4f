import io
import os
import pickle
import tarfile
import zipfile
from types import SimpleNamespace

import pytest
import torch
from epsigma.job import Job
from epsigma.models.classifier import ModelError, load_classifier, predict
from epsigma.models.cnn import CNN
from epsigma.models.mlp import MLP
from epsigma.models.resnet import ResNet
from epsigma.models.weights import fit_weights, read_weights
from epsigma.registry.models import MODELS
from epsigma.stages.train import train
from epsigma.storage.files import read_json
from safetensors.torch import save_file

CPU = torch.device("cpu")


@pytest.fixture
def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return ResNet((1, 8, 8), 10, width=2, blocks=1)


def same(one, other):
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


def prefixed(weights, prefix):
    return {f"{prefix}{name}": value for name, value in weights.items()}


WAYS = {
    "state_dict": torch.save,
    "the old format of torch.save": lambda weights, path: torch.save(
        weights, path, _use_new_zipfile_serialization=False
    ),
    "Lightning": lambda weights, path: torch.save(
        {
            "state_dict": prefixed(weights, "model."),
            "epoch": 3,
            "hyper_parameters": {"lr": 0.1},
            "pytorch-lightning_version": "2.6.6",
        },
        path,
    ),
    "Lightning, compiled": lambda weights, path: torch.save(
        {"state_dict": prefixed(weights, "net._orig_mod."), "epoch": 3}, path
    ),
    **{
        name: lambda weights, path, name=name: torch.save(
            {name: weights, "epoch": 3, "optimizer": {"state": {}, "param_groups": []}}, path
        )
        for name in ("model_state_dict", "model", "net")
    },
    "DataParallel": lambda weights, path: torch.save(prefixed(weights, "module."), path),
}


@pytest.mark.parametrize("way", WAYS)
def test_weights_and_buffers_come_back_to_the_bit(way, network, tmp_path):
    path = tmp_path / "weights.pt"
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    weights["bn1.running_mean"].fill_(0.25)
    WAYS[way](weights, path)
    other = ResNet((1, 8, 8), 10, width=2, blocks=1)
    fit_weights(other, read_weights(path), path)
    assert same(other.state_dict(), weights)


@pytest.mark.parametrize("prefix", ["", "model."])
def test_a_safetensors_file_is_read_by_its_suffix(prefix, network, tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file(prefixed(network.state_dict(), prefix), path)
    other = ResNet((1, 8, 8), 10, width=2, blocks=1)
    fit_weights(other, read_weights(path), path)
    assert same(other.state_dict(), network.state_dict())


def test_the_project_s_own_checkpoints_are_taken(checkpoint, trained):
    model = MLP((1, 8, 8), 10, hidden=32)
    fit_weights(model, read_weights(checkpoint), checkpoint)
    assert same(model.state_dict(), trained.model.state_dict())


# --- What is refused


class Payload:
    """An object whose unpickling creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("suffix", [".pt", ".ckpt", ".safetensors", ""])
@pytest.mark.parametrize("write", ["torch", "torch, old", "pickle"])
def test_a_pickle_is_refused_and_not_executed(write, suffix, tmp_path):
    executed, path = tmp_path / "executed", tmp_path / f"weights{suffix}"
    content = {"state_dict": {"weight": torch.zeros(1)}, "extra": Payload(executed)}
    if write == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=write == "torch")
    with pytest.raises(ModelError, match=f"checkpoint {path} is ") as raised:
        read_weights(path)
    assert not executed.exists()
    # It would have been executed.
    whole = path.read_bytes()
    if write == "pickle":
        pickle.loads(whole)
    else:
        torch.load(io.BytesIO(whole), weights_only=False)
    assert executed.is_dir()
    if write.startswith("torch") and suffix != ".safetensors":
        assert "would unpickle" in str(raised.value)
        assert "mkdir" in str(raised.value)
        assert "torch.save(model.state_dict(), path)" in str(raised.value)


def test_a_whole_pickled_module_is_refused(network, tmp_path):
    path = tmp_path / "model.pt"
    torch.save(network, path)
    with pytest.raises(ModelError, match=r"unpickle epsigma\.models\.resnet\.ResNet"):
        read_weights(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (torch.zeros(3), "holds a Tensor, not named tensors"),
        ([torch.zeros(3)], "holds a list, not named tensors"),
        ({}, "is no state_dict, it is empty"),
        ({"state_dict": {}}, "is no state_dict, it is empty"),
        ({"ema": {"weight": [0.0]}, "epoch": 5}, "no tensors are ema, epoch"),
    ],
)
def test_a_file_of_something_else_is_refused(content, said, tmp_path):
    path = tmp_path / "weights.pt"
    torch.save(content, path)
    with pytest.raises(ModelError) as raised:
        read_weights(path)
    assert said in str(raised.value)
    assert "torch.save(model.state_dict(), path)" in str(raised.value)


def save_script(model, path):
    torch.jit.save(torch.jit.trace(model.eval(), torch.zeros(2, 1, 8, 8)), path)


def save_program(model, path):
    torch.export.save(torch.export.export(model.eval(), (torch.zeros(2, 1, 8, 8),)), path)


def save_tar(model, path):
    torch.save(model.state_dict(), path.with_suffix(".inner"))
    with tarfile.open(path, "w:gz") as archive:
        archive.add(path.with_suffix(".inner"), "weights.pt")


def save_zip(model, path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "weights")


OTHERS = {
    "TorchScript": (save_script, "torch.save(torch.jit.load(file).state_dict(), path)"),
    "torch.export": (save_program, "torch.save(torch.export.load(file).state_dict, path)"),
    "tar": (save_tar, "unpack it"),
    "zip": (save_zip, "torch.save(model.state_dict(), path)"),
    # The first fields of a model: its version, and who wrote it.
    "ONNX": (
        lambda _, path: path.write_bytes(b"\x08\x08\x12\x07pytorch\x1a\x052.0.0:\x10"),
        "torch.save(model.state_dict(), path)",
    ),
    "HDF5": (
        lambda _, path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(64)),
        "torch.save(model.state_dict(), path)",
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("what", OTHERS)
@pytest.mark.parametrize("suffix", [".pt", ".bin"])
def test_another_format_is_refused_in_a_line_that_says_how_to_save_the_weights(
    what, suffix, tmp_path
):
    save, remedy = OTHERS[what]
    path = tmp_path / f"weights{suffix}"
    save(MLP((1, 8, 8), 10, hidden=4), path if what != "torch.export" else str(path))
    with pytest.raises(ModelError) as raised:
        read_weights(path)
    message = str(raised.value)
    assert message.startswith(f"checkpoint {path} is ")
    assert what in message
    assert remedy in message
    assert "weights_only" not in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("damage", ["empty", "noise", "cut"])
def test_a_damaged_file_is_refused(damage, suffix, network, tmp_path):
    path = tmp_path / f"weights{suffix}"
    (torch.save if suffix == ".pt" else save_file)(network.state_dict(), path)
    whole = path.read_bytes()
    path.write_bytes(
        {"empty": b"", "noise": b"noise" * 99, "cut": whole[: len(whole) // 2]}[damage]
    )
    with pytest.raises(ModelError, match=f"checkpoint {path} is "):
        read_weights(path)


def test_all_tensors_that_do_not_fit_are_listed_in_one_message(network):
    weights = dict(network.state_dict())
    weights["fc.bias"] = torch.zeros(7)
    weights["conv1.weight"] = weights["conv1.weight"].repeat(1, 3, 1, 1)
    weights["head.bias"] = weights.pop("bn1.bias")
    del weights["bn1.running_var"]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(ModelError) as raised:
        fit_weights(network, prefixed(weights, "model."), "w.pt")
    message = str(raised.value)
    assert message.startswith("checkpoint w.pt does not fit: ")
    assert "missing: bn1.bias, bn1.running_var;" in message
    assert "unexpected: model.head.bias;" in message
    assert "conv1.weight (2, 3, 3, 3) instead of (2, 1, 3, 3)" in message
    assert "fc.bias (7,) instead of (10,)" in message
    assert same(network.state_dict(), before)


def test_a_long_list_is_cut_and_counted(network):
    names = list(network.state_dict())
    with pytest.raises(ModelError) as raised:
        fit_weights(network, {"other": torch.zeros(1)}, "w.pt")
    assert f"missing: {', '.join(names[:10])} and {len(names) - 10} more" in str(raised.value)
    assert "unexpected: other" in str(raised.value)


@pytest.mark.parametrize(
    "extra", [{"loss.weight": torch.ones(10)}, {"fc.weights": torch.zeros(1)}], ids=list
)
def test_a_tensor_too_many_is_not_passed_over(extra, network):
    weights = {**prefixed(network.state_dict(), "model."), **extra}
    with pytest.raises(ModelError, match=f"does not fit: unexpected: {next(iter(extra))}"):
        fit_weights(network, weights, "w.pt")


# --- The stage


@pytest.fixture
def adopt(tmp_path, clean_file, trained):
    """Run the stage train with weights, on the digits that the model is tested on."""
    deterministic, environment = torch.are_deterministic_algorithms_enabled(), dict(os.environ)

    def run(weights, name="out", settings=trained.settings):
        files = SimpleNamespace(
            checkpoint=tmp_path / name / "checkpoint.ckpt",
            curve=tmp_path / name / "training.csv",
            spent=tmp_path / name / "training.json",
            log=tmp_path / f"{name}.log",
        )
        how = {"model": settings, "checkpoint": str(weights), "seed": 0}
        train(
            Job({"model": "mine"}, how, "0" * 16, "cpu", str(files.log)),
            images=str(clean_file),
            checkpoint=str(files.checkpoint),
            curve=str(files.curve),
            spent=str(files.spent),
            weights=str(weights),
        )
        return files

    with torch.random.fork_rng(devices=[]):
        yield run
    # Training sets these for its process; the tests share one.
    torch.use_deterministic_algorithms(deterministic)
    os.environ.clear()
    os.environ.update(environment)


@pytest.fixture
def own(tmp_path, trained):
    path = tmp_path / "own.pt"
    torch.save(trained.model.state_dict(), path)
    return path


def test_weights_from_a_file_are_not_trained_and_make_the_project_s_checkpoint(adopt, own, trained):
    files = adopt(own)
    model = load_classifier(files.checkpoint, trained.settings, CPU)
    assert same(model.state_dict(), trained.model.state_dict())
    assert torch.equal(predict(model, trained.images), predict(trained.model, trained.images))
    content = torch.load(files.checkpoint, weights_only=True)
    assert content["hyper_parameters"]["shape"] == [1, 8, 8]
    assert content["hyper_parameters"]["classes"] == 10
    assert {"cell", "settings", "code", "versions"} <= set(content["hyper_parameters"])


def test_of_weights_from_a_file_all_files_say_that_nothing_was_trained(adopt, own, trained):
    files = adopt(own)
    columns = "epoch,train_loss,train_accuracy,validation_loss,validation_accuracy"
    assert files.curve.read_text().split() == [columns]
    assert f"not trained: the weights are those of {own}" in files.log.read_text()
    # What it cost to train them, nobody knows.
    parameters = sum(one.numel() for one in trained.model.parameters())
    expected = {"trained": False, "seconds": None, "parameters": parameters}
    assert read_json(files.spent) == expected


def test_the_same_weights_make_the_same_bytes(adopt, own):
    one, again = adopt(own, "one"), adopt(own, "again")
    assert one.checkpoint.read_bytes() == again.checkpoint.read_bytes()
    assert one.curve.read_bytes() == again.curve.read_bytes()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda weights: weights.popitem(), "does not fit: missing: layers.3.bias"),
        (lambda weights: weights["layers.1.bias"].fill_(torch.nan), "outputs are not finite"),
    ],
)
def test_weights_that_do_not_fit_or_are_not_finite_stop_the_stage(
    change, said, adopt, trained, tmp_path
):
    weights = {name: value.clone() for name, value in trained.model.state_dict().items()}
    change(weights)
    torch.save(weights, tmp_path / "bad.pt")
    with pytest.raises(ModelError) as raised:
        adopt(tmp_path / "bad.pt")
    assert str(raised.value).startswith("model mine: ")
    assert said in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_weights_go_into_any_kind_of_model(adopt, tmp_path):
    parameters = {"channels": 2, "hidden": 4}
    settings = {"implementation": MODELS["cnn"].implementation, "parameters": parameters}
    model = CNN((1, 8, 8), 10, **parameters)
    torch.save(prefixed(model.state_dict(), "model."), tmp_path / "cnn.pt")
    files = adopt(tmp_path / "cnn.pt", settings=settings)
    assert same(load_classifier(files.checkpoint, settings, CPU).state_dict(), model.state_dict())
