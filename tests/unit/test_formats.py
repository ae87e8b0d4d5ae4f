"""The formats in which others publish images: each read to the images and labels that it holds."""

import gzip
import json
import struct
from io import BytesIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from epsigma.datasets.file import file
from epsigma.datasets.own_idx import own_idx
from epsigma.datasets.parquet import parquet
from epsigma.job import Job
from epsigma.stages.dataset import dataset as write_dataset
from PIL import Image

# Not square, so that height and width cannot be mistaken.
SIDE = (6, 5)
NAMES = {"train": "ab-c", "test": "d.e"}


def make(n, channels, seed):
    """Random images (N, H, W, C) and labels of three classes, from 0."""
    images = np.random.default_rng(seed).integers(0, 256, (n, *SIDE, channels), dtype=np.uint8)
    return images, np.arange(n) % 3


def content(channels):
    return {"train": make(12, channels, 0), "test": make(6, channels, 1)}


def flat(images):
    """What libraries do with images of one channel."""
    return images[..., 0] if images.shape[3] == 1 else images


def is_same(data, held):
    return all(
        np.array_equal(getattr(data, part).images, images.transpose(0, 3, 1, 2))
        and getattr(data, part).labels.tolist() == labels.tolist()
        for part, (images, labels) in held.items()
    )


# --- Archives of NumPy's


def save_keras(path, held, first=0, column=False):
    arrays = {}
    for part, (images, labels) in held.items():
        arrays[f"x_{part}"] = flat(images)
        arrays[f"y_{part}"] = (labels + first)[:, None] if column else labels + first
    np.savez(path, **arrays)


def save_medmnist(path, held, first=0, column=True):
    arrays = {}
    for part, (images, labels) in {**held, "val": make(4, 1, 2)}.items():
        arrays[f"{part}_images"] = flat(images)
        arrays[f"{part}_labels"] = (labels + first)[:, None] if column else labels + first
    np.savez(path, **arrays)


@pytest.mark.parametrize("save", [save_keras, save_medmnist])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("first", [0, 1, 5])
@pytest.mark.parametrize("column", [False, True])
def test_an_archive_is_read_by_the_names_of_others(tmp_path, save, channels, first, column):
    held = content(channels)
    save(tmp_path / "own.npz", held, first, column)
    data = file(tmp_path, path="own.npz", first_label=first)
    assert is_same(data, held)
    assert any("val_images" in note for note in data.notes) == (save is save_medmnist)


def test_the_log_says_that_validation_images_are_not_used(tmp_path):
    save_medmnist(tmp_path / "own.npz", content(1))
    settings = {
        "implementation": "epsigma.datasets.file:file",
        "parameters": {"path": "own.npz"},
    }
    log = tmp_path / "log"
    job = Job({"dataset": "own"}, settings, "code", "cpu", str(log))
    write_dataset(
        job, data_dir=str(tmp_path), train=str(tmp_path / "train"), test=str(tmp_path / "test")
    )
    assert "val_images and val_labels are not used" in log.read_text()


@pytest.mark.parametrize(
    ("labels", "first", "said"),
    [
        ([1, 2, 3], 0, "no training image has the label 0: say first_label: 1, if they count from"),
        ([5, 6, 7], 1, "no training image has the label 1: say first_label: 5"),
        ([0, 1, 2], 1, r"go from 0 to 2: they count from 1 \(first_label\)"),
        ([1, 3, 4], 1, "no training image has the label 2: number the classes 1, 2, 3"),
        ([1, 1, 1], 1, "there is one class"),
        ([[0, 1], [1, 0], [1, 1]], 0, r"not \(12,\) or \(12, 1\): one for each image"),
        ([-1, 0, 1], 0, "go from -1 to 1: they count from 0"),
    ],
)
def test_labels_that_count_otherwise_are_refused(tmp_path, labels, first, said):
    arrays = {}
    for part, (images, numbers) in content(1).items():
        arrays[f"x_{part}"], arrays[f"y_{part}"] = images, np.array(labels)[numbers]
    np.savez(tmp_path / "own.npz", **arrays)
    with pytest.raises(ValueError, match=said):
        file(tmp_path, path="own.npz", first_label=first)


# --- IDX


CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def pack(array, code):
    """Write IDX as LeCun describes it, number by number."""
    big = array.astype(f">{code}")
    head = bytes((0, 0, CODES[code], array.ndim))
    return head + struct.pack(f">{array.ndim}I", *array.shape) + big.tobytes()


def save_idx(folder, held, *, images=lambda x: x, labels=lambda y: y, codes=("u1", "u1"), gz=False):
    folder.mkdir(parents=True, exist_ok=True)
    options = {}
    for part, (pictures, numbers) in held.items():
        written = {"images": images(flat(pictures)), "labels": labels(numbers)}
        for (what, array), code in zip(written.items(), codes, strict=True):
            name, raw = f"{NAMES[part]}.{what}", pack(array, code)
            (folder / name).write_bytes(gzip.compress(raw) if gz else raw)
            options[f"{part}_{what}"] = name
    return options


def eight_columns(labels):
    """QMNIST's labels: the class, and what else is known of a digit."""
    return np.column_stack([labels, *(labels + 100 + at for at in range(7))])


WRITTEN = {
    "MNIST's": ({}, {}),
    "EMNIST's": (
        {"images": lambda x: x.swapaxes(1, 2), "labels": lambda y: y + 1},
        {"transposed": True, "first_label": 1},
    ),
    "QMNIST's": ({"labels": eight_columns, "codes": ("u1", "i4")}, {}),
    "floats": ({"images": lambda x: x / 255, "codes": ("f4", "i2")}, {}),
    "doubles": ({"images": lambda x: x / 255, "codes": ("f8", "i1")}, {}),
    "columns": ({"labels": lambda y: y[:, None]}, {}),
}


@pytest.mark.parametrize("gz", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("written", WRITTEN)
def test_idx_files_are_read_under_any_name(tmp_path, gz, channels, written):
    held = content(channels)
    how, options = WRITTEN[written]
    names = save_idx(tmp_path / "sub", held, gz=gz, **how)
    assert is_same(own_idx(tmp_path, path="sub", **names, **options), held)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda raw: raw[:-1], "is truncated or padded: its header promises 360 values"),
        (lambda raw: raw + b"x", "is truncated or padded"),
        (lambda raw: raw[:9], "is truncated within its header"),
        (lambda raw: b"", "is not an IDX file"),
        (lambda raw: b"PK" + raw, "is not an IDX file"),
        (lambda raw: b"\0\0\x0a" + raw[3:], "is not an IDX file"),
        (lambda raw: gzip.compress(raw)[:-9], "is truncated or damaged"),
    ],
)
def test_a_damaged_idx_file_is_refused_by_name(tmp_path, change, said):
    names = save_idx(tmp_path, content(1))
    path = tmp_path / names["train_images"]
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ValueError, match=said) as raised:
        own_idx(tmp_path, path=".", **names)
    assert str(path) in str(raised.value)


def test_idx_files_lie_in_the_folder_of_data_files(tmp_path):
    names = save_idx(tmp_path / "data" / "sub", content(1))
    (tmp_path / "outside").write_bytes((tmp_path / "data/sub" / names["test_labels"]).read_bytes())
    (tmp_path / "data" / "sub" / "link").symlink_to(tmp_path / "outside")
    for name, said in (
        ("link", "is a link out of data_dir"),
        ("../../outside", "is not a path within data_dir"),
        (str(tmp_path / "outside"), "is not a path within data_dir|link out of"),
    ):
        with pytest.raises(ValueError, match=said):
            own_idx(tmp_path / "data", path="sub", **{**names, "test_labels": name})
    with pytest.raises(FileNotFoundError, match="nowhere is not there"):
        own_idx(tmp_path / "data", path="sub", **{**names, "test_labels": "nowhere"})
    with pytest.raises(ValueError, match="is no folder"):
        own_idx(tmp_path, path="outside", **names)


# --- Parquet


def encode(image, kind="PNG"):
    stream = BytesIO()
    Image.fromarray(flat(image[None])[0]).save(stream, kind)
    return stream.getvalue()


def table(images, labels, *, image="image", label="label", plain=False, names=("ant", "bee", "c")):
    """A table as `datasets.Dataset.to_parquet` writes it: a struct, and features as metadata."""
    cells = [
        encode(one) if plain else {"bytes": encode(one), "path": f"{at}.png"}
        for at, one in enumerate(images)
    ]
    type_ = pa.binary() if plain else pa.struct({"bytes": pa.binary(), "path": pa.string()})
    features = {image: {"_type": "Image"}, label: {"names": list(names), "_type": "ClassLabel"}}
    metadata = {} if plain else {"huggingface": json.dumps({"info": {"features": features}})}
    columns = {image: pa.array(cells, type_), label: pa.array(labels, pa.int64())}
    return pa.table({**columns, "other": pa.array(labels)}).replace_schema_metadata(metadata)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("train", "test", "columns"),
    [
        (["train-00000-of-00001.parquet"], ["test-00000-of-00001.parquet"], {}),
        (["train-0-of-2.parquet", "train-1-of-2.parquet"], ["test.parquet"], {"plain": True}),
        (["data/train-0.parquet"], ["data/test-0.parquet"], {}),
        (["train/0000.parquet"], ["test/0000.parquet"], {"image": "img", "label": "fine_label"}),
    ],
)
def test_parquet_files_are_read_as_hugging_face_writes_them(
    tmp_path, channels, train, test, columns
):
    held = content(channels)
    for names, (images, labels) in zip((train, test), held.values(), strict=True):
        for name, pictures, numbers in zip(
            names,
            np.array_split(images, len(names)),
            np.array_split(labels, len(names)),
            strict=True,
        ):
            path = tmp_path / "own" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table(pictures, numbers, **columns), path)
    # What is of no part, and what is no Parquet, is left alone.
    (tmp_path / "own" / "validation-00000-of-00001.parquet").touch()
    (tmp_path / "own" / "train.txt").touch()
    options = {key: name for key, name in columns.items() if key != "plain"}
    data = parquet(tmp_path, path="own", channels=channels, **options)
    assert is_same(data, held)
    assert data.notes == (() if columns.get("plain") else ("classes: 0 ant, 1 bee, 2 c",))


@pytest.mark.parametrize("metadata", ["{x", "[1]", "{}", '{"info": {"features": {"label": 1}}}'])
def test_metadata_that_name_no_classes_are_left_alone(tmp_path, metadata):
    pq.write_table(CELLS.replace_schema_metadata({"huggingface": metadata}), tmp_path / "a.parquet")
    assert parquet(tmp_path, path="a.parquet", test_fraction=0.5).notes == ()


def test_one_parquet_file_is_split_by_class(tmp_path):
    images, labels = make(24, 3, 0)
    pq.write_table(table(images, labels), tmp_path / "own.parquet")
    data = parquet(tmp_path, path="own.parquet", test_fraction=0.25)
    assert np.bincount(data.test.labels).tolist() == [2, 2, 2]
    known = {one.transpose(2, 0, 1).tobytes(): y for one, y in zip(images, labels, strict=True)}
    for part in (data.train, data.test):
        assert [known[one.tobytes()] for one in part.images] == part.labels.tolist()


IMAGES, LABELS = make(6, 3, 0)
CELLS = table(IMAGES, LABELS)


@pytest.mark.parametrize(
    ("held", "options", "said"),
    [
        (CELLS.rename_columns(["img", "label", "o"]), {}, "no column 'image': name one of img, la"),
        (CELLS.rename_columns(["image", "y", "o"]), {}, "no column 'label': .* with label"),
        (CELLS, {"image": "other"}, "other is of the type int64: a column of encoded images"),
        (CELLS.set_column(1, "label", pa.array(list("aabbcc"))), {}, "type string, 0 values of wh"),
        (CELLS.set_column(1, "label", pa.array([None, 1, 2, 0, 1, 2])), {}, "int64, 1 values of"),
        (CELLS.slice(0, 0), {}, "there are no images"),
        (table(IMAGES, LABELS - 1), {}, "go from -1 to 1: they count from 0"),
        (CELLS, {"test_fraction": None}, "is one set: say with test_fraction"),
        (
            CELLS.set_column(0, "image", pa.array([{"bytes": None, "path": "a.png"}] * 6)),
            {},
            "a column of encoded images|row 0, has no bytes",
        ),
        (
            CELLS.set_column(0, "image", pa.array([b"GIF89a"] * 6)),
            {},
            r"row 0, cannot be read \(no BMP, J",
        ),
        (
            pa.concat_tables([CELLS, table(np.zeros((3, 4, 4, 3), np.uint8), LABELS[:3])]),
            {},
            "row 6, is 4 x 4, and .*row 0, 6 x 5: say with size",
        ),
    ],
)
def test_parquet_of_something_else_is_refused(tmp_path, held, options, said):
    pq.write_table(held, tmp_path / "own.parquet")
    with pytest.raises(ValueError, match=said) as raised:
        parquet(tmp_path, path="own.parquet", **{"test_fraction": 0.5, **options})
    assert str(tmp_path / "own.parquet") in str(raised.value)


@pytest.mark.parametrize("damage", [lambda raw: raw[:-30], lambda raw: b"", lambda raw: b"x" * 99])
def test_a_damaged_parquet_file_is_refused_by_name(tmp_path, damage):
    path = tmp_path / "own.parquet"
    pq.write_table(CELLS, path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"own\.parquet cannot be read"):
        parquet(tmp_path, path="own.parquet", test_fraction=0.5)


def test_a_folder_of_parquet_files_has_both_sets(tmp_path):
    pq.write_table(CELLS, tmp_path / "train.parquet")
    with pytest.raises(ValueError, match=r"has no files test\*\.parquet"):
        parquet(tmp_path, path=".")
    with pytest.raises(ValueError, match="leave test_fraction out"):
        parquet(tmp_path, path=".", test_fraction=0.5)
