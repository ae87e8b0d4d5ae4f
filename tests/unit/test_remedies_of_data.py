"""What a message about a user's own data says to do makes them readable."""

import gzip
import hashlib
import re
import struct
import tarfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from epsigma.datasets.cifar import Cifar, read_cifar
from epsigma.datasets.downloads import check_sum, download
from epsigma.datasets.file import file
from epsigma.datasets.folder import folder
from epsigma.datasets.idx import Published, read_published
from epsigma.datasets.images import Dataset, Images
from epsigma.datasets.own_idx import own_idx
from epsigma.datasets.parquet import parquet
from epsigma.storage.files import atomic_write
from epsigma.storage.source import fingerprint, locate
from PIL import Image

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 6, 5), dtype=np.uint8)
LABELS = np.arange(12) % 3


def own(images: Any = IMAGES, labels: Any = LABELS, **more: Any) -> dict[str, Any]:
    """Arrays of a file of these as training and as test images; None leaves one out."""
    parts = {f"{part}_images": images for part in ("train", "test")}
    parts |= {f"{part}_labels": labels for part in ("train", "test")}
    return {name: value for name, value in (parts | more).items() if value is not None}


def whole(labels: Any = LABELS) -> dict[str, Any]:
    return {"images": IMAGES, "labels": labels}


def alone(labels: Any = LABELS) -> dict[str, Any]:
    return {"test_images": IMAGES, "test_labels": labels}


def npz(content: dict[str, Any], path: str = "own.npz", **settings: Any) -> Callable:
    def read(root: Path) -> Dataset:
        with open(root / path, "wb") as opened:
            np.savez(opened, **content)
        return file(root, path=path, **settings)

    return read


def words(root: Path) -> Dataset:
    (root / "own.npz").write_text("words", encoding="utf-8")
    return file(root, path="own.npz")


SQUARE = np.zeros((12, 3, 5, 3), np.uint8)
BORDERED = np.pad(SQUARE, ((0, 0), (0, 0), (1, 1), (1, 1)))
OTHERS = {"val_images": IMAGES, "val_labels": LABELS}
# What is wrong, what the message says to do, and that done.
FILES = {
    "another format": (npz(own(), "own.mat"), "convert it to .npz", npz(own())),
    "arrays of other names": (
        npz({"x": IMAGES}),
        "or, where nothing is trained, test_images and test_labels",
        npz(alone()),
    ),
    "no archive": (words, "it is truncated, or no .npz archive", npz(own())),
    "words for images": (
        npz(own(IMAGES.astype("U"))),
        "save them as uint8, or as float32 or float64 in [0, 1]",
        npz(own(IMAGES / 255)),
    ),
    "objects for labels": (
        npz(own(labels=np.array([None] * 12))),
        "write it again, with arrays of numbers, and class_names of strings",
        npz(own()),
    ),
    "no test set": (
        npz(whole()),
        "say with test_fraction how much is for it",
        npz(whole(), test_fraction=0.5),
    ),
    "too small a test set": (
        npz(whole(), test_fraction=0.1),
        "each side needs one of each; say another test_fraction",
        npz(whole(), test_fraction=0.25),
    ),
    "one image of a class": (
        npz(whole(np.append(LABELS[:-1], 3)), test_fraction=0.5),
        "a split needs two of each",
        npz(whole(np.append(LABELS[:-2], [3, 3])), test_fraction=0.5),
    ),
    "two axes": (
        npz(own(IMAGES.reshape(12, 30))),
        "not N x H x W or N x C x H x W",
        npz(own()),
    ),
    "an axis that may be both": (npz(own(SQUARE)), "by a border for instance", npz(own(BORDERED))),
    "no axis of channels": (
        npz(own(np.zeros((12, 5, 6, 5), np.uint8))),
        "one of channels: 1 (grey) or 3 (red, green, blue)",
        npz(own(np.zeros((12, 3, 6, 5), np.uint8))),
    ),
    "labels in one-hot code": (
        npz(own(labels=np.eye(3, dtype=int)[LABELS])),
        "not (12,) or (12, 1): one for each image",
        npz(own(labels=LABELS[:, None])),
    ),
    "labels that are no integers": (
        npz(own(labels=LABELS / 1)),
        "save them as integers",
        npz(own()),
    ),
    "a gap in the labels": (
        npz(own(labels=LABELS * 2)),
        "number the classes 0, 1, 2 ... without a gap",
        npz(own()),
    ),
    "no images": (npz(own(IMAGES[:0], LABELS[:0])), "there are no images: add some", npz(own())),
    "one class": (
        npz(own(labels=LABELS * 0)),
        "a classifier needs two: add images of another",
        npz(own()),
    ),
    "a class of the test alone": (
        npz(own(test_labels=LABELS + 1)),
        "add training images of it, or leave out its test images",
        npz(own(train_labels=np.arange(12) % 4, test_labels=LABELS + 1)),
    ),
    "a class of the test alone, left out": (
        npz(own(test_labels=LABELS + 1)),
        "or leave out its test images",
        npz(own(test_images=IMAGES[LABELS < 2], test_labels=LABELS[LABELS < 2] + 1)),
    ),
    "images of two shapes": (
        npz(own(test_images=IMAGES[:, :5])),
        "test images (1, 5, 5): make them of one shape",
        npz(own(IMAGES[:, :5])),
    ),
    "validation images of another shape": (
        npz(own(**OTHERS | {"val_images": IMAGES[:, :5]})),
        "validation images are (1, 5, 5), test images (1, 6, 5): make them of one shape",
        npz(own(**OTHERS)),
    ),
    "a class of the validation alone": (
        npz(own(**OTHERS | {"val_labels": LABELS + 1})),
        "classes labels go up to 2: leave its images out",
        npz(own(val_images=IMAGES[LABELS < 2], val_labels=LABELS[LABELS < 2] + 1)),
    ),
    "more labels than classes": (
        npz(alone(), classes=2),
        "labels go up to 1: say more classes, or leave it out",
        npz(alone(), classes=3),
    ),
    "more labels than classes, left out": (
        npz(alone(), classes=2),
        "or leave it out",
        npz(alone()),
    ),
}  # fmt: skip


def pictures(*names: str, pixels: Any = IMAGES[0], **settings: Any) -> Callable:
    """Read a folder of such files; one whose name ends with a slash is an empty folder."""

    def read(root: Path) -> Dataset:
        for name in names:
            path = root / "own" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if name.endswith("/"):
                path.mkdir()
            elif path.suffix == ".txt" or pixels is None:
                path.write_text("words", encoding="utf-8")
            else:
                Image.fromarray(pixels).save(path)
        return folder(root, path="own", **settings)

    return read


SPLIT = [f"{part}/{name}/0.png" for part in ("train", "test") for name in "ab"]
WHOLE = [f"{name}/{index}.png" for name in "ab" for index in range(4)]
CLEAR = np.zeros((6, 5, 4), np.uint8)
FOLDERS = {
    "a file": (
        lambda root: (npz(own())(root), folder(root, path="own.npz")),
        "the kind `file` reads a single file",
        lambda root: file(root, path="own.npz") if npz(own())(root) else None,
    ),
    "no folders train and test": (
        pictures(*WHOLE),
        "say with test_fraction how much of its classes is for the test",
        pictures(*WHOLE, test_fraction=0.5),
    ),
    "no folders train and test, made": (
        pictures(*WHOLE),
        "of a folder a class each: make them",
        pictures(*SPLIT),
    ),
    "a test set that is there": (
        pictures(*SPLIT, test_fraction=0.5),
        "leave test_fraction out",
        pictures(*SPLIT),
    ),
    "a class of the test alone": (
        pictures(*SPLIT, "test/c/0.png"),
        "make a folder of it there, or remove it",
        pictures(*SPLIT, "test/c/0.png", "train/c/0.png"),
    ),
    "a file that is no image": (
        pictures(*SPLIT, "test/b/notes.txt"),
        "convert it, or remove it",
        pictures(*SPLIT),
    ),
    "an empty folder": (
        pictures(*SPLIT, "train/c/"),
        "holds no image: remove it, or put some there",
        pictures(*SPLIT, "train/c/0.png"),
    ),
    "no folders of classes": (
        pictures("0.png", "1.png", test_fraction=0.5),
        "make one for each class, of its images",
        pictures(*WHOLE, test_fraction=0.5),
    ),
    "no picture by its content": (
        pictures(*SPLIT, pixels=None),
        "convert it, replace it, or remove it",
        pictures(*SPLIT),
    ),
    "transparent": (
        pictures(*SPLIT, pixels=CLEAR),
        "lay it on a background, or remove it",
        pictures(*SPLIT, pixels=CLEAR[..., :3]),
    ),
    "16 bits": (
        pictures(*SPLIT, pixels=IMAGES[0].astype(np.uint16) * 257),
        "not 8-bit grey, RGB or of a palette: convert it",
        pictures(*SPLIT),
    ),
    "one class": (
        pictures("train/a/0.png", "test/a/0.png"),
        "a classifier needs two: add images of another",
        pictures(*SPLIT),
    ),
}  # fmt: skip


def encoded() -> list[bytes | None]:
    found: list[bytes | None] = []
    for pixels in IMAGES:
        buffer = BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        found.append(buffer.getvalue())
    return found


BYTES = encoded()


def table(*names: str, images: Any = BYTES, labels: Any = LABELS, **settings: Any) -> Callable:
    """Read a Parquet file, or a folder of some, with the columns `image` and `label`."""

    def read(root: Path) -> Dataset:
        for name in names:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.table({"image": images, "label": labels}), path)
        return parquet(root, path=names[0].partition("/")[0], **settings)

    return read


SETS = ("own/train.parquet", "own/test.parquet")
TABLES = {
    "two sets": (table(*SETS, test_fraction=0.5), "leave test_fraction out", table(*SETS)),
    "one set": (
        table("own.parquet"),
        "say with test_fraction how much is for the test",
        table("own.parquet", test_fraction=0.5),
    ),
    "a folder without a test set": (
        table(SETS[0]),
        "has no files test*.parquet: rename its files",
        table(*SETS),
    ),
    "a column that there is not": (
        table(*SETS, label="class"),
        "name one of image, label with label",
        table(*SETS, label="label"),
    ),
    "labels that are words": (
        table(*SETS, labels=[str(label) for label in LABELS]),
        "write an integer for each image, from 0, as the feature ClassLabel does",
        table(*SETS),
    ),
    "images that are numbers": (
        table(*SETS, images=LABELS),
        "a column of encoded images is read, bytes or a struct with them",
        table(*SETS, images=[{"bytes": content, "path": None} for content in BYTES]),
    ),
    "images that are paths alone": (
        table(*SETS, images=[None, *BYTES[1:]]),
        "write the file again with its images in it",
        table(*SETS),
    ),
    "a picture that is cut off": (
        table(*SETS, images=[BYTES[0][:-60], *BYTES[1:]]),  # type: ignore[index]
        "replace it, or remove it",
        table(*SETS),
    ),
}  # fmt: skip


def pack(array: Any) -> bytes:
    header = bytes((0, 0, 8, array.ndim)) + b"".join(struct.pack(">I", n) for n in array.shape)
    return header + array.astype(np.uint8).tobytes()


def idx(images: bytes = pack(IMAGES), labels: bytes = pack(LABELS), **names: str) -> Callable:
    """Read four IDX files of these contents, under other names where they are given."""

    def read(root: Path) -> Dataset:
        (root / "own").mkdir()
        for part in ("train", "test"):
            (root / "own" / f"{part}-i").write_bytes(images)
            (root / "own" / f"{part}-l").write_bytes(labels)
        keys = {
            f"{part}_{what}": f"{part}-{what[0]}"
            for part in ("train", "test")
            for what in ("images", "labels")
        }
        return own_idx(root, **{"path": "own"} | keys | names)

    return read


IDX = {
    "a file for the folder": (
        idx(path="own/train-i"),
        "is no folder: name the one that holds the four files",
        idx(),
    ),
    "a folder for a file": (
        idx(train_images="."),
        "name an IDX file, raw or gzipped",
        idx(gzip.compress(pack(IMAGES))),
    ),
    "no IDX file": (idx(b"words"), "is not an IDX file: replace it by the original", idx()),
    "cut off in its header": (
        idx(pack(IMAGES)[:6]),
        "is truncated within its header: replace it by the original",
        idx(),
    ),
    "cut off": (idx(pack(IMAGES)[:-1]), "it holds 359: replace it by the original", idx()),
    "cut off, gzipped": (
        idx(gzip.compress(pack(IMAGES))[:-9]),
        "is truncated or damaged",
        idx(gzip.compress(pack(IMAGES))),
    ),
    "not there": (
        idx(train_images="train-images"),
        "put it there, or name the folder that has it: --config data_dir=FOLDER",
        idx(),
    ),
}
OWN = {
    f"{what}: {name}": row
    for what, rows in {"file": FILES, "folder": FOLDERS, "parquet": TABLES, "idx": IDX}.items()
    for name, row in rows.items()
}


@pytest.mark.parametrize(("wrong", "remedy", "right"), OWN.values(), ids=OWN)
def test_own_data_are_read_once_that_is_done(
    tmp_path: Path, wrong: Callable, remedy: str, right: Callable
) -> None:
    for name in ("wrong", "right"):
        (tmp_path / name).mkdir()
    with pytest.raises((ValueError, OSError)) as raised:
        wrong(tmp_path / "wrong")
    assert remedy in str(raised.value)
    assert str(tmp_path) in str(raised.value), "it names the file"
    assert right(tmp_path / "right").classes >= 2


# Of a data set that a function of the user's own returns.
def made(images: Any = IMAGES[:, None], labels: Any = LABELS, **more: Any) -> Callable:
    part = lambda: Images(images, labels)  # noqa: E731
    return lambda: Dataset(**{"train": part(), "test": part()} | more)


RETURNED = {
    "images of integers": (
        made(IMAGES[:, None].astype(int)),
        "not uint8 from 0 to 255 or floats from 0 to 1, of shape (N, C, H, W)",
        made(),
    ),
    "labels of another type": (
        made(labels=LABELS.astype(np.int32)),
        "not int64 of shape (12,): give a class for each image",
        made(labels=LABELS.astype(np.int64)),
    ),
    "labels below 0": (made(labels=LABELS - 1), "labels count from 0", made()),
    "too few names": (
        made(class_names=("a", "b")),
        "3 classes and 2 class names: name each, or none",
        made(class_names=("a", "b", "c")),
    ),
    "as many classes as there are": (made(named=3), "leave classes out", made()),
    "fewer images than are asked for": (
        lambda: made()().train.first(13),
        "lower train_size or test_size, or leave it out",
        lambda: made()().train.first(12),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("wrong", "remedy", "right"), RETURNED.values(), ids=RETURNED)
def test_a_data_set_of_one_s_own_is_made_once_that_is_done(
    wrong: Callable, remedy: str, right: Callable
) -> None:
    with pytest.raises(ValueError, match=re.escape(remedy)):
        wrong()
    assert right()


# --- What others published


RAW = {
    **{f"{part}-images-idx3-ubyte": pack(IMAGES) for part in ("train", "t10k")},
    **{f"{part}-labels-idx1-ubyte": pack(LABELS) for part in ("train", "t10k")},
}
DIGITS = Published("Digits", "MNIST", {n: hashlib.md5(raw).hexdigest() for n, raw in RAW.items()})
# What is wrong with a file (None: there is none), and what the message says.
PUBLISHED = {
    "altered": (pack(255 - IMAGES), "or another file under this name): replace it by the original"),
    "of another type": (b"\0\0\r" + pack(IMAGES)[3:], "replace it by the original"),
    "not there": (None, "(or with .gz), or empty the folder to have all of them downloaded"),
}


@pytest.mark.parametrize(("content", "remedy"), PUBLISHED.values(), ids=PUBLISHED)
def test_a_published_set_is_read_once_its_file_is_the_original(
    tmp_path: Path, content: bytes | None, remedy: str
) -> None:
    first = next(iter(RAW))
    for name, raw in RAW.items():
        if name != first:
            (tmp_path / name).write_bytes(raw)
        elif content is not None:
            (tmp_path / name).write_bytes(content)
    with pytest.raises((ValueError, OSError)) as raised:
        read_published(DIGITS, tmp_path)
    assert remedy in str(raised.value)
    assert first in str(raised.value)
    (tmp_path / f"{first}.gz").write_bytes(gzip.compress(RAW[first]))
    if content is not None:
        (tmp_path / f"{first}.gz").unlink()
        (tmp_path / first).write_bytes(RAW[first])
    assert read_published(DIGITS, tmp_path).classes == 3


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine from which nothing can be downloaded."""
    import torchvision.datasets as known
    from torchvision.datasets import utils

    def fail(*arguments: Any, **named: Any) -> None:
        raise OSError("no network")

    monkeypatch.setattr(known, "MNIST", fail)
    monkeypatch.setattr(utils, "download_url", fail)


@pytest.mark.usefixtures("unreachable")
def test_a_set_that_cannot_be_downloaded_is_read_once_it_is_put_there(tmp_path: Path) -> None:
    words = r"Put the files there, or name their folder: --config data_dir=FOLDER"
    with pytest.raises(FileNotFoundError, match=words):
        read_published(DIGITS, tmp_path)
    # Named, and put there.
    for where in (tmp_path / "folder", tmp_path):
        where.mkdir(exist_ok=True)
        for name, raw in RAW.items():
            (where / name).write_bytes(raw)
        assert read_published(DIGITS, where).classes == 3


COLOURS = Cifar(
    title="Colours",
    archive="colours.tar.gz",
    md5="",
    folder="colours",
    train=("a.bin",),
    test=("b.bin",),
    classes=2,
    per_class=(3, 3),
    class_names=("no", "yes"),
    shape=(1, 2, 2),
)
RECORDS = np.concatenate([np.arange(6)[:, None] % 2, np.zeros((6, 4))], 1).astype(np.uint8)


def tarred(path: Path, names: tuple[str, ...] = COLOURS.names) -> Cifar:
    """Write the archive of a set; return the set that knows its sum."""
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            member = tarfile.TarInfo(f"{COLOURS.folder}/{name}")
            member.size = RECORDS.nbytes
            archive.addfile(member, BytesIO(RECORDS.tobytes()))
    digest = hashlib.md5(path.read_bytes()).hexdigest()
    return Cifar(**{**vars(COLOURS), "md5": digest})


UNPACKED = {
    "a file is not there": (None, r"Unpack colours.tar.gz again, or remove the folder"),
    "cut off": (RECORDS.tobytes()[:-1], "replace it by what colours.tar.gz holds"),
    "another set": (bytes(RECORDS.nbytes), "times, and not 2 of them 3 times each: replace it"),
}


@pytest.mark.parametrize(("content", "remedy"), UNPACKED.values(), ids=UNPACKED)
def test_an_unpacked_set_is_read_once_it_is_unpacked_again(
    tmp_path: Path, content: bytes | None, remedy: str
) -> None:
    inside = tmp_path / COLOURS.folder
    inside.mkdir()
    (inside / "a.bin").write_bytes(RECORDS.tobytes())
    if content is not None:
        (inside / "b.bin").write_bytes(content)
    with pytest.raises((ValueError, OSError), match=remedy):
        read_cifar(COLOURS, tmp_path)
    (tmp_path / "elsewhere").mkdir()
    packed = tmp_path / "elsewhere" / COLOURS.archive
    tarred(packed)
    with tarfile.open(packed) as archive:
        archive.extractall(tmp_path, filter="data")
    assert read_cifar(COLOURS, tmp_path).classes == 2


def test_an_archive_that_was_removed_is_downloaded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.datasets import utils

    right = tarred(tmp_path / "published.tar.gz")

    def fetch(url: str, root: str, name: str, md5: str) -> None:
        Path(root, name).write_bytes((tmp_path / "published.tar.gz").read_bytes())

    monkeypatch.setattr(utils, "download_url", fetch)
    path = tmp_path / COLOURS.archive
    words = "remove it to have it downloaded again"
    path.write_bytes(b"words")
    with pytest.raises(ValueError, match=words):
        read_cifar(right, tmp_path)
    few = tarred(path, names=("a.bin",))
    with pytest.raises(ValueError, match=f"lacks b.bin: {words}"):
        read_cifar(few, tmp_path)
    path.write_bytes(packed := path.read_bytes()[:-30])
    cut = Cifar(**{**vars(COLOURS), "md5": hashlib.md5(packed).hexdigest()})
    with pytest.raises(ValueError, match=f"cannot be unpacked .*: {words}"):
        read_cifar(cut, tmp_path)
    path.unlink()
    assert read_cifar(right, tmp_path).classes == 2


@pytest.mark.usefixtures("unreachable")
def test_a_file_that_cannot_be_downloaded_is_known_once_it_is_put_there(tmp_path: Path) -> None:
    path, digest = tmp_path / "own.bin", hashlib.md5(b"words").hexdigest()
    with pytest.raises(FileNotFoundError, match="Put it there, or name its folder"):
        download("https://example.org/own.bin", path, md5=digest, missing="it is not there")
    path.write_bytes(b"words")
    check_sum(path, digest)


# --- Where files lie


def test_a_link_out_of_the_folder_is_followed_once_a_folder_has_both(tmp_path: Path) -> None:
    inside, outside = tmp_path / "data", tmp_path / "elsewhere"
    inside.mkdir()
    outside.mkdir()
    np.savez(outside / "own.npz", **own())
    (inside / "own.npz").symlink_to(outside / "own.npz")
    words = "put there what it leads to, or make a folder data_dir that has both"
    with pytest.raises(ValueError, match=words):
        locate(inside, "own.npz")
    assert locate(tmp_path, "data/own.npz")
    (inside / "own.npz").unlink()
    (inside / "own.npz").write_bytes((outside / "own.npz").read_bytes())
    assert locate(inside, "own.npz")


def test_a_path_that_goes_up_is_one_once_it_does_not(tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", **own())
    with pytest.raises(ValueError, match=r"relative, and without `\.\.`"):
        fingerprint(tmp_path, "../own.npz")
    assert fingerprint(tmp_path, "own.npz")


def test_a_file_is_written_once_its_folder_can_be(tmp_path: Path) -> None:
    where = tmp_path / "folder"
    where.write_text("a file in its place", encoding="utf-8")
    words = "make room there, or make the folder writable, and run again"
    with pytest.raises(OSError, match=words), atomic_write(where / "own.txt"):
        pass
    where.unlink()
    with atomic_write(where / "own.txt") as temporary:
        temporary.write_text("words", encoding="utf-8")
    assert (where / "own.txt").read_text(encoding="utf-8") == "words"
