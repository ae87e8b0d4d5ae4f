"""A user's own images: files of arrays, folders of pictures, and where they may lie."""

import os
import pickle
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from epsigma.datasets.file import file
from epsigma.datasets.folder import folder
from epsigma.datasets.images import Dataset, Images, is_ordered, stratified_order
from epsigma.datasets.pictures import read_pictures
from epsigma.device import CPU
from epsigma.job import Job
from epsigma.stages.dataset import dataset as write_dataset
from epsigma.storage.images import read_classes, read_clean, read_tensors, read_training
from epsigma.storage.source import fingerprint, locate
from epsigma.study import ConfigurationError, validate
from PIL import Image
from safetensors.numpy import save_file


def arrays(*, channels=3, n=12, classes=3, side=(6, 5), seed=0):
    """Random 8-bit images with a test set, each class as often as another."""
    generator = np.random.default_rng(seed)
    found = {}
    for part, count in (("train", n), ("test", n // 2)):
        shape = (count, channels, *side)
        found[f"{part}_images"] = generator.integers(0, 256, shape, dtype=np.uint8)
        found[f"{part}_labels"] = np.arange(count) % classes
    return found


def save(folder, content, suffix=".npz"):
    path = folder / f"own{suffix}"
    if suffix == ".npz":
        np.savez(path, **content)
    else:
        save_file({name: np.ascontiguousarray(array) for name, array in content.items()}, path)
    return path.name


def same(data, content):
    return all(
        np.array_equal(getattr(data, part).images, content[f"{part}_images"])
        and getattr(data, part).labels.tolist() == content[f"{part}_labels"].tolist()
        for part in ("train", "test")
    )


SUFFIXES = (".npz", ".safetensors")


# --- A file


# How an image set of 8 bits may be written: what is done with images and with labels.
WRITTEN = {
    "N x C x H x W": (lambda x: x, lambda y: y),
    "N x H x W x C": (lambda x: np.moveaxis(x, 1, 3), lambda y: y),
    "float32": (lambda x: (x / 255).astype(np.float32), lambda y: y),
    "float64": (lambda x: x / 255, lambda y: y),
    "float32 by its inverse": (lambda x: x.astype(np.float32) * np.float32(1 / 255), lambda y: y),
    "labels of uint8": (lambda x: x, lambda y: y.astype(np.uint8)),
    "labels of uint64": (lambda x: x, lambda y: y.astype(np.uint64)),
    "labels of int32": (lambda x: x, lambda y: y.astype(np.int32)),
}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("written", WRITTEN)
def test_a_file_is_read_however_its_images_are_written(tmp_path, suffix, channels, written):
    content = arrays(channels=channels)
    how = dict(zip(("images", "labels"), WRITTEN[written], strict=True))
    name = save(tmp_path, {n: how[n.split("_")[1]](a) for n, a in content.items()}, suffix)
    data = file(tmp_path, path=name)
    assert same(data, content)
    assert data.train.images.dtype == np.uint8
    assert data.train.images.flags.c_contiguous


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_grey_images_need_no_axis_of_channels(tmp_path, suffix):
    content = arrays(channels=1)
    flat = {name: array[:, 0] if "images" in name else array for name, array in content.items()}
    assert same(file(tmp_path, path=save(tmp_path, flat, suffix)), content)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_without_a_test_set_is_split_by_class(tmp_path, suffix):
    whole = arrays(n=60)
    content = {"images": whole["train_images"], "labels": whole["train_labels"]}
    name = save(tmp_path, content, suffix)
    data, again, other = (
        file(tmp_path, path=name, test_fraction=0.25, split_seed=seed) for seed in (0, 0, 1)
    )
    assert np.bincount(data.test.labels).tolist() == [5, 5, 5]
    assert np.bincount(data.train.labels).tolist() == [15, 15, 15]
    labels = {image.tobytes(): y for image, y in zip(*content.values(), strict=True)}
    rows = [
        (image.tobytes(), y)
        for part in (data.train, data.test)
        for image, y in zip(part.images, part.labels, strict=True)
    ]
    assert dict(rows) == labels
    assert len(rows) == len(labels) == 60
    assert np.array_equal(data.test.images, again.test.images)
    assert not np.array_equal(data.test.images, other.test.images)


ALONE = ("test_images", "test_labels")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(("options", "classes"), [({}, 3), ({"classes": 10}, 10)])
def test_a_file_may_hold_test_images_alone(tmp_path, suffix, options, classes):
    content = {name: arrays()[name] for name in ALONE}
    data = file(tmp_path, path=save(tmp_path, content, suffix), **options)
    assert data.train is None
    assert np.array_equal(data.test.images, content["test_images"])
    assert data.test.labels.tolist() == content["test_labels"].tolist()
    assert data.classes == classes


def changed(**changes):
    """The arrays of a file, some replaced, or left out if None."""
    content = {**arrays(), **changes}
    return {name: array for name, array in content.items() if array is not None}


TRAIN, LABELS = arrays()["train_images"], arrays()["train_labels"]
SPLIT = {"test_fraction": 0.25}


def unsplit(images=TRAIN, labels=LABELS):
    return {"images": images, "labels": labels}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        (changed(test_labels=None), {}, "holds train_images, .*: it needs train_images, train_lab"),
        (changed(train_labels=None), {}, "holds train_images, .*: it needs train_images"),
        ({"x": TRAIN}, {}, "holds nothing known: it needs"),
        (changed(), {"classes": 3}, "training images, which say what classes is: leave it out"),
        (
            changed(train_images=None, train_labels=None),
            {"classes": 2},
            "a test label 2, and with 2 classes labels go up to 1",
        ),
        (changed(), SPLIT, "has a test set of its own: leave test_fraction out"),
        (unsplit(), {}, "has no test set: say with test_fraction"),
        (changed(train_images=TRAIN[:, :2]), {}, "neither the second number nor the last"),
        (changed(train_images=TRAIN[..., :3]), {}, r"which may be N x C x H x W or N x H x W x C"),
        (changed(train_images=TRAIN[0, 0]), {}, r"the shape \(6, 5\), not N x H x W"),
        (changed(train_images=TRAIN[..., :4]), {}, "training images are .*test images"),
        (changed(train_images=TRAIN[:, :1]), {}, "training images are .*test images"),
        (changed(train_images=TRAIN.astype(np.int64)), {}, "are int64: save them as uint8"),
        (changed(train_images=TRAIN.astype(np.float16)), {}, "are float16: save them as uint8"),
        (changed(train_images=TRAIN.astype(np.float32)), {}, r"from 0 to 255: floats are in"),
        (changed(train_images=TRAIN / 255 - 0.5), {}, "from -0.5 to 0.5: floats are in"),
        (changed(train_images=TRAIN / np.where(TRAIN == 7, np.nan, 255)), {}, "are not finite"),
        (changed(train_labels=LABELS[:-1]), {}, r"the shape \(11,\), not \(12,\)"),
        (changed(train_labels=LABELS[None]), {}, r"the shape \(1, 12\), not \(12,\)"),
        (changed(train_labels=LABELS / 1), {}, "are float64: save them as integers"),
        (changed(train_labels=LABELS > 1), {}, "are bool: save them as integers"),
        (changed(train_labels=LABELS - 1), {}, "go from -1 to 1: they count from 0"),
        (changed(train_labels=LABELS.astype(np.uint64) + 2**63), {}, "they count from 0"),
        (changed(train_labels=LABELS + 1), {}, "no training image has the label 0"),
        (changed(train_labels=LABELS * 2), {}, "no training image has the label 1"),
        (changed(train_labels=LABELS % 2), {}, "test label 2 does not occur in training"),
        (changed(train_labels=LABELS * 0, test_labels=LABELS[:6] * 0), {}, "there is one class"),
        (changed(test_images=TRAIN[:0], test_labels=LABELS[:0]), {}, "there are no images"),
        (changed(train_images=TRAIN[:0], train_labels=LABELS[:0]), {}, "there are no images"),
        (unsplit(labels=LABELS * 0), SPLIT, "there is one class"),
        (unsplit(labels=np.repeat([0, 1, 2], [6, 5, 1])), SPLIT, "one image of the class 2"),
        (unsplit(), {"test_fraction": 0.1}, "leaves 11 to train on and 1 for the test, of 3"),
        (unsplit(), {"test_fraction": 0.9}, "leaves 1 to train on and 11 for the test, of 3"),
        (unsplit(TRAIN[:0], LABELS[:0]), SPLIT, "there are no images"),
    ],
)
def test_a_file_that_holds_something_else_is_refused(tmp_path, suffix, content, options, said):
    name = save(tmp_path, content, suffix)
    with pytest.raises(ValueError, match=said) as raised:
        file(tmp_path, path=name, **options)
    assert str(raised.value).startswith(f"{tmp_path / name}")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: raw[:-30],
        lambda raw: raw[: len(raw) // 2],
        lambda raw: b"",
        lambda raw: b"\x00" * 64,
        lambda raw: pickle.dumps([1, 2]),
    ],
)
def test_a_damaged_file_is_refused_by_name(tmp_path, suffix, damage):
    path = tmp_path / save(tmp_path, arrays(), suffix)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=f"own{suffix} cannot be read .*: write it again"):
        file(tmp_path, path=path.name)


def test_an_altered_npz_is_refused(tmp_path):
    path = tmp_path / save(tmp_path, arrays())
    raw = bytearray(path.read_bytes())
    raw[300] ^= 1
    path.write_bytes(raw)
    with pytest.raises(ValueError, match="Bad CRC-32"):
        file(tmp_path, path=path.name)


@pytest.mark.parametrize("where", ["an array", "the file"])
def test_a_pickle_is_refused_and_not_executed(tmp_path, trap, where):
    path = tmp_path / "own.npz"
    if where == "an array":
        np.savez(path, **changed(train_labels=np.array([trap] * 12, dtype=object)))
    else:
        path.write_bytes(pickle.dumps(trap))
    with pytest.raises(ValueError, match=r"own\.npz cannot be read"):
        file(tmp_path, path="own.npz")
    assert not trap.path.exists()
    # It is one: read as numpy and pickle would, it acts.
    if where == "an array":
        np.load(path, allow_pickle=True)["train_labels"]
    else:
        np.load(path, allow_pickle=True)
    assert trap.path.exists()


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "own.csv").touch()
    with pytest.raises(ValueError, match=r"no format that is known: convert it to \.npz or"):
        file(tmp_path, path="own.csv")


# --- A folder


def draw(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def picture(seed, *, shape=(6, 5, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


CLASSES = ("Zebra", "ant", "bee")


def lay(root, parts=("train", "test"), *, n=4):
    """Write pictures of three classes; return each part's, and their labels."""
    written = {}
    for part in parts:
        pixels = [
            picture([ord(part[0]) if part else 0, label, i]) for label in range(3) for i in range(n)
        ]
        for index, one in enumerate(pixels):
            draw(root / part / CLASSES[index // n] / f"{index:02}.png", one)
        written[part] = (np.stack(pixels).transpose(0, 3, 1, 2), np.repeat(range(3), n))
    return written


def test_a_folder_s_classes_are_numbered_in_the_order_of_their_names(tmp_path):
    written = lay(tmp_path / "own")
    # What is hidden, and what lies beside the classes, is left alone.
    (tmp_path / "own" / "train" / "ant" / ".DS_Store").touch()
    (tmp_path / "own" / "train" / "README.txt").touch()
    data = folder(tmp_path, path="own")
    for part, (images, labels) in written.items():
        assert np.array_equal(getattr(data, part).images, images)
        assert getattr(data, part).labels.tolist() == labels.tolist()


def test_a_class_without_test_images_keeps_the_others_their_numbers(tmp_path):
    lay(tmp_path)
    for path in (tmp_path / "test" / "ant").iterdir():
        path.unlink()
    (tmp_path / "test" / "ant").rmdir()
    assert folder(tmp_path, path=".").test.labels.tolist() == [0] * 4 + [2] * 4


def test_a_folder_may_hold_test_images_alone(tmp_path):
    images, labels = lay(tmp_path / "own", ("test",))["test"]
    data = folder(tmp_path, path="own")
    assert data.train is None
    assert np.array_equal(data.test.images, images)
    assert data.test.labels.tolist() == labels.tolist()
    assert data.classes == 3


def test_a_folder_of_classes_is_split(tmp_path):
    images, labels = lay(tmp_path / "own", ("",), n=8)[""]
    data = folder(tmp_path, path="own", test_fraction=0.25, split_seed=1)
    assert np.bincount(data.test.labels).tolist() == [2, 2, 2]
    known = {image.tobytes(): y for image, y in zip(images, labels, strict=True)}
    for part in (data.train, data.test):
        for image, y in zip(part.images, part.labels, strict=True):
            assert known[image.tobytes()] == y
    assert len(data.train.labels) == 18


@pytest.mark.parametrize(
    ("suffix", "options", "off"),
    [(".png", {}, 0), (".bmp", {}, 0), (".ppm", {}, 0), (".JPG", {"quality": 100}, 40)],
)
def test_pictures_of_every_format_are_read(tmp_path, suffix, options, off):
    written = lay(tmp_path / "own")
    # Smooth, so that what is lossy loses little.
    smooth = np.linspace(0, 255, 6 * 5 * 3).astype(np.uint8).reshape(6, 5, 3)
    draw(tmp_path / "own" / "train" / "Zebra" / f"00{suffix}", smooth, **options)
    if suffix != ".png":
        (tmp_path / "own" / "train" / "Zebra" / "00.png").unlink()
    data = folder(tmp_path, path="own")
    assert len(data.train.labels) == 12
    far = np.abs(data.train.images[0].astype(int) - smooth.transpose(2, 0, 1)).max()
    assert far <= off
    assert np.array_equal(data.train.images[1:], written["train"][0][1:])


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA"])
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_of_every_mode_are_made_grey_or_coloured(tmp_path, mode, channels):
    lay(tmp_path)
    given = Image.fromarray(picture(5)).convert(mode)
    given.save(tmp_path / "train" / "Zebra" / "00.png")
    image = folder(tmp_path, path=".", channels=channels).train.images[0]
    colours = np.asarray(given.convert("RGB"), float)
    assert image.shape == (channels, 6, 5)
    if channels == 3:
        assert np.array_equal(image, colours.transpose(2, 0, 1))
    else:
        grey = colours @ [0.299, 0.587, 0.114]
        assert np.abs(image[0] - grey).max() <= 1


def test_pictures_are_resized_as_asked(tmp_path):
    lay(tmp_path)
    draw(tmp_path / "train" / "ant" / "00.png", np.full((40, 30, 3), (10, 20, 30), np.uint8))
    with pytest.raises(ValueError, match=r"00\.png is 40 x 30, and .*00\.png 6 x 5: say with size"):
        folder(tmp_path, path=".")
    data = folder(tmp_path, path=".", size=7)
    assert data.train.images.shape == (13, 3, 7, 7)
    assert data.train.images[4].reshape(3, -1).T.tolist() == [[10, 20, 30]] * 49


def spoil(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        (lambda root: None, SPLIT, "has a test set of its own, .*test: leave test_fraction out"),
        (lambda root: (root / "test").rename(root / "tests"), {}, "no folders train and test"),
        (
            lambda root: (root / "test" / "ant").rename(root / "test" / "cow"),
            {},
            "test: cow is no class of .*train",
        ),
        (lambda root: (root / "train" / "cow").mkdir(), {}, "cow holds no image"),
        (lambda root: spoil(root / "train/ant/a.txt", b"x"), {}, r"a\.txt is none of \.bmp, \.jpg"),
        (lambda root: (root / "train/ant/more").mkdir(), {}, r"more is none of \.bmp"),
        (lambda root: spoil(root / "train/ant/00.png", b""), {}, r"00\.png cannot be read"),
        (lambda root: spoil(root / "train/ant/00.png", b"GIF89a"), {}, r"00\.png cannot be read"),
        (
            lambda root: spoil(
                root / "train/ant/04.png", (root / "train/ant/04.png").read_bytes()[:-60]
            ),
            {},
            r"04\.png cannot be read",
        ),
        (
            lambda root: draw(root / "train/ant/00.png", picture(0, shape=(6, 5, 4))),
            {},
            r"00\.png is transparent",
        ),
        (
            lambda root: draw(root / "train/ant/00.png", picture(0, shape=(6, 5)).astype("u2")),
            {},
            r"00\.png is of the mode I;16B, not 8-bit",
        ),
        (
            lambda root: [(root / "train" / name).rename(root / name) for name in CLASSES[1:]],
            {},
            "is no class of",
        ),
    ],
)
def test_a_folder_of_something_else_is_refused(tmp_path, change, options, said):
    root = tmp_path / "own"
    lay(root)
    change(root)
    with pytest.raises(ValueError, match=said) as raised:
        folder(tmp_path, path="own", **options)
    assert str(root) in str(raised.value)


def png(depth, colour, channels):
    """A PNG of 5 x 6 pixels, of a depth in bits and a type of colour."""

    def chunk(name, data):
        checked = name + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", 5, 6, depth, colour, 0, 0, 0)
    pixels = (b"\0" + b"\xff" * (5 * channels * depth // 8)) * 6
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


PNGS = [
    pytest.param(png(16, colour, channels), mode, png(8, colour, channels), id=f"PNG {mode}")
    for colour, channels, mode in ((2, 3, "RGB;16B"), (4, 2, "LA;16B"), (6, 4, "RGBA;16B"))
]
PPMS = [
    pytest.param(
        f"{kind} 5 6 {largest}\n".encode() + pixels,
        rf"{mode} \(values up to {largest}\)",
        f"{kind} 5 6 100\n".encode() + pixels,
        id=f"{kind} {largest}",
    )
    for kind, mode, largest, pixels in (
        ("P6", "RGB", 65535, bytes(180)),
        ("P6", "RGB", 256, bytes(180)),
        ("P5", "L", 1023, bytes(60)),
        ("P3", "RGB", 65535, b"50 " * 90),
    )
]


@pytest.mark.parametrize(("deep", "mode", "shallow"), PNGS + PPMS)
def test_a_picture_of_more_than_8_bits_is_refused_and_not_cut(deep, mode, shallow):
    def read(content):
        return read_pictures([("own", content)], 1, channels=3, size=None)

    assert read(shallow).shape == (1, 3, 6, 5)
    with pytest.raises(ValueError, match=f"own is of the mode {mode}, not 8-bit .*: convert it"):
        read(deep)


@pytest.mark.parametrize(
    ("names", "said"), [((), "holds no folders"), (("ant",), "there is one class")]
)
def test_a_folder_of_less_than_two_classes_is_refused(tmp_path, names, said):
    (tmp_path / "own").mkdir()
    for name in names:
        for i in range(4):
            draw(tmp_path / "own" / name / f"{i}.png", picture(i))
    with pytest.raises(ValueError, match=said):
        folder(tmp_path, path="own", test_fraction=0.5)


def test_a_file_is_no_folder(tmp_path):
    save(tmp_path, arrays())
    with pytest.raises(ValueError, match=r"own\.npz is no folder: the kind `file` reads"):
        folder(tmp_path, path="own.npz")


# --- Where they lie


@pytest.mark.parametrize(
    "path", ["/own.npz", "../own.npz", "a/../../own.npz", "a/../own.npz", "..", "//own.npz"]
)
@pytest.mark.parametrize("read", [file, folder])
def test_a_path_out_of_the_folder_of_data_files_is_refused(tmp_path, read, path):
    data_dir = tmp_path / "data"
    (data_dir / "a").mkdir(parents=True)
    for place in (tmp_path, data_dir):
        save(place, arrays())
    with pytest.raises(ValueError, match="is not a path within data_dir: relative"):
        read(data_dir, path=path)


def test_a_link_out_of_the_folder_of_data_files_is_refused(tmp_path):
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    lay(tmp_path / "outside")
    name = save(tmp_path, arrays())
    (data_dir / name).symlink_to(tmp_path / name)
    (data_dir / "pictures").symlink_to(tmp_path / "outside")
    for read, path in ((file, name), (folder, "pictures"), (folder, "pictures/train")):
        with pytest.raises(ValueError, match=r"is a link out of data_dir = .*: put there what"):
            read(data_dir, path=path)
    # Of a class, or of a picture.
    lay(data_dir / "own")
    for place in ("own/train/cow", "own/train/ant/00.png"):
        link = data_dir / place
        link.symlink_to(tmp_path / "outside/train" / ("ant" if link.suffix == "" else "ant/04.png"))
        for attempt in (lambda: folder(data_dir, path="own"), lambda: fingerprint(data_dir, "own")):
            with pytest.raises(ValueError, match=f"{place} is a link out of data_dir"):
                attempt()
        link.unlink()


def test_links_within_the_folder_of_data_files_are_followed(tmp_path):
    content = arrays()
    name = save(tmp_path, content)
    (tmp_path / "link.npz").symlink_to(name)
    # The folder itself may be reached by a link.
    (tmp_path / "data").symlink_to(tmp_path)
    assert same(file(tmp_path / "data", path="link.npz"), content)


@pytest.mark.parametrize(("read", "path"), [(file, "own.npz"), (folder, "own")])
def test_what_is_not_there_is_an_error_with_a_remedy(tmp_path, read, path):
    with pytest.raises(FileNotFoundError, match="is not there: put it there") as raised:
        read(tmp_path, path=path)
    assert str(tmp_path / path) in str(raised.value)
    assert "--config data_dir=FOLDER" in str(raised.value)


def test_a_path_is_located_below_the_folder_of_data_files(tmp_path):
    name = save(tmp_path, arrays())
    assert locate(tmp_path, name) == tmp_path / name


# --- What is noticed

CHANGES = {
    "a picture replaced, its time kept": lambda root: replaced(root / "train/ant/04.png"),
    "a picture touched": lambda root: os.utime(root / "train/ant/04.png", ns=(1, 1)),
    "a picture more": lambda root: draw(root / "test/ant/99.png", picture(9)),
    "a picture less": lambda root: (root / "test/bee/08.png").unlink(),
    "a picture of another name": lambda root: (root / "test/bee/08.png").rename(
        root / "test/bee/07.png"
    ),
    "a class of another name": lambda root: (root / "test/bee").rename(root / "test/wasp"),
}


def replaced(path):
    before = path.stat()
    draw(path, picture(9, shape=(7, 7, 3)))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_in_a_folder_changes_its_fingerprint(tmp_path, change):
    lay(tmp_path / "own")
    before = fingerprint(tmp_path, "own")
    # What is not read does not count.
    (tmp_path / "own" / "train" / "ant" / ".DS_Store").touch()
    assert fingerprint(tmp_path, "own") == before
    CHANGES[change](tmp_path / "own")
    assert fingerprint(tmp_path, "own") != before


def test_a_file_replaced_by_an_older_one_changes_its_fingerprint(tmp_path):
    path = tmp_path / save(tmp_path, arrays())
    before, size = fingerprint(tmp_path, path.name), path.stat().st_size
    assert fingerprint(tmp_path, path.name) == before
    save(tmp_path, arrays(seed=1))
    os.utime(path, ns=(1, 1))
    assert path.stat().st_size == size
    assert fingerprint(tmp_path, path.name) != before


# --- The configuration


def study(**dataset):
    return {
        "datasets": [dataset],
        "models": [{"kind": "mlp"}],
        "attacks": [{"kind": "fgsm", "eps": [0.1]}],
        "filters": [{"kind": "gaussian", "sigma": [1]}],
    }


@pytest.mark.parametrize(
    ("dataset", "said"),
    [
        ({"kind": "file"}, "the key path is missing"),
        (
            {"kind": "file", "path": "/data/own.npz"},
            "path: '/data/own.npz' is not a path within data_dir: relative, and without `..`",
        ),
        ({"kind": "file", "path": "../own.npz"}, "path: '../own.npz' is not a path within"),
        ({"kind": "folder", "path": "a/../../b"}, "path: 'a/../../b' is not a path within"),
        ({"kind": "folder", "path": ""}, "path: "),
        ({"kind": "folder", "path": 3}, "path: 3 is not of type string"),
        ({"kind": "file", "path": "own.csv"}, "path: 'own.csv' does not match"),
        ({"kind": "file", "path": "own.npz", "test_fraction": 1}, "test_fraction: 1 is too large"),
        ({"kind": "file", "path": "own.npz", "test_fraction": 0}, "test_fraction: 0 is too small"),
        ({"kind": "folder", "path": "own", "channels": 2}, "channels: 2 is not allowed; allowed"),
        ({"kind": "folder", "path": "own", "size": 0}, "size: 0 is too small"),
        ({"kind": "cifar10", "train_size": 0}, "train_size: 0 is too small"),
    ],
)
def test_a_faulty_block_is_refused_before_any_job(dataset, said):
    with pytest.raises(ConfigurationError) as raised:
        validate(study(**dataset))
    assert said in str(raised.value)
    assert f"datasets[0] ({dataset['kind']})" in str(raised.value)


@pytest.mark.parametrize(
    ("dataset", "path"),
    [
        ({"kind": "file", "path": "a/own.npz"}, "a/own.npz"),
        ({"kind": "file", "path": "a..b/own.safetensors"}, "a..b/own.safetensors"),
        ({"kind": "folder", "path": "own"}, "own"),
        ({"kind": "mnist"}, None),
        ({"kind": "fashion_mnist"}, None),
        ({"kind": "kmnist"}, None),
        ({"kind": "cifar10"}, None),
    ],
)
def test_a_data_set_of_one_s_own_says_where_it_lies(dataset, path):
    validated = validate(study(name="own", **dataset))
    assert validated.find("datasets", "own").own_source == path


def test_the_module_that_snakemake_asks_reads_no_images(tmp_path):
    lay(tmp_path / "own")
    Path(tmp_path / "own" / "train" / "ant" / "04.png").write_bytes(b"no image")
    assert len(fingerprint(tmp_path, "own")) == 16


# --- Photographs that lie as the camera was held

# What each EXIF orientation does to an image to show it: Exif 2.32, tag 0x0112.
ORIENTATIONS = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: a[::-1, ::-1],
    4: np.flipud,
    5: np.transpose,
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].T,
    8: np.rot90,
}


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_photographs_are_turned_as_exif_says(tmp_path, orientation, suffix):
    stored = np.kron(np.array([[0, 255], [128, 64]], np.uint8), np.ones((8, 8), np.uint8))
    for label in "ab":
        (tmp_path / "own" / label).mkdir(parents=True)
        for index in range(2):
            exif = Image.Exif()
            exif[0x0112] = orientation
            path = tmp_path / "own" / label / f"{index}.{suffix}"
            Image.fromarray(stored).save(
                path, exif=exif, **{"quality": 100} if suffix == "jpg" else {}
            )
    data = folder(tmp_path, path="own", channels=1, test_fraction=0.5)
    shown = ORIENTATIONS[orientation](stored).astype(int)
    assert np.abs(data.train.images[0, 0].astype(int) - shown).max() <= 2


# --- The order of the test images


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (np.repeat(np.arange(10), 2), True),
        (np.repeat([1, 0], [95, 5]), True),
        (np.repeat(np.arange(30), 8), True),
        # A shard of some classes after a shard of the others, each shuffled.
        (np.concatenate([np.random.default_rng(0).permutation(500) % 5 + s for s in (0, 5)]), True),
        (np.arange(100) % 10, False),
        (np.random.default_rng(0).permutation(1000) % 10, False),
        (np.zeros(5, np.int64), False),
        (np.zeros(1, np.int64), False),
        (np.arange(3), False),
    ],
)
def test_an_order_of_the_classes_is_told_from_chance(labels, expected):
    assert is_ordered(labels) is expected


@pytest.mark.parametrize("counts", [(50, 30, 3), (8,) * 30, (95, 5), (1, 1), (7,)])
def test_the_first_images_of_a_stratified_order_hold_each_class_in_proportion(counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    order = stratified_order(labels)
    assert sorted(order) == list(range(len(labels)))
    first = np.cumsum(labels[order][:, None] == np.arange(len(counts)), axis=0)
    share = np.arange(1, len(labels) + 1)[:, None] * np.array(counts) / len(labels)
    assert np.abs(first - share).max() <= 1
    assert not is_ordered(labels[order])


# The images of an own data set in memory, as libraries leave them: all valid, one the same set.
LAYOUTS = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "last axis first": lambda a: np.moveaxis(np.ascontiguousarray(np.moveaxis(a, -1, 0)), 0, -1),
    "backwards": lambda a: np.ascontiguousarray(a[::-1])[::-1],
    "every other": lambda a: np.repeat(a, 2, axis=0)[::2],
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("ordered", [True, False])
def test_a_data_set_is_written_whatever_its_layout_and_drawn_if_it_is_ordered(
    tmp_path, layout, ordered
):
    content = arrays(n=24)
    labels = np.sort(content["test_labels"]) if ordered else content["test_labels"]
    test = Images(LAYOUTS[layout](content["test_images"]), LAYOUTS[layout](labels))
    made = Dataset(Images(content["train_images"], content["train_labels"]), test)
    settings = {"implementation": "made_here:make", "parameters": {}}
    paths = {part: str(tmp_path / f"{part}.safetensors") for part in ("train", "test")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("epsigma.stages.dataset.load", lambda name: lambda data_dir: made)
        job = Job({}, settings, "0" * 16, "cpu", str(tmp_path / "job.log"))
        write_dataset(job, data_dir=str(tmp_path), **paths)
    read = read_tensors(paths["test"], ("images", "labels"), CPU)
    assert len(read_training(paths["train"], CPU).labels) == 24
    source = read["source"].numpy() if ordered else np.arange(len(labels))
    assert ("source" in read) is ordered
    assert np.array_equal(read["images"].numpy(), content["test_images"][source])
    assert np.array_equal(read["labels"].numpy(), labels[source])
    assert len(set(read["labels"][:3].tolist())) == 3


def test_without_training_images_their_file_is_empty_and_nothing_learns_from_it(tmp_path):
    content = {name: arrays()[name] for name in ALONE}
    parameters = {"path": save(tmp_path, content), "classes": 10}
    settings = {"implementation": "epsigma.datasets.file:file", "parameters": parameters}
    paths = {part: str(tmp_path / f"{part}.safetensors") for part in ("train", "test")}
    job = Job({}, settings, "0" * 16, "cpu", str(tmp_path / "job.log"))
    write_dataset(job, data_dir=str(tmp_path), **paths)
    assert read_clean(paths["train"], CPU).images.shape == (0, 3, 6, 5)
    assert len(read_clean(paths["test"], CPU).labels) == 6
    assert read_classes(paths["train"]) == read_classes(paths["test"]) == 10
    with pytest.raises(ValueError, match="add training images"):
        read_training(paths["train"], CPU)
