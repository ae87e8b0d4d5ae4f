"""Names of classes: where data sets have them, and where they are shown."""

import json
import warnings
from io import BytesIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from epsigma.datasets import cifar10, cifar100, fashion_mnist, kmnist, mnist
from epsigma.datasets.file import file
from epsigma.datasets.folder import folder
from epsigma.datasets.images import Dataset, Images, learnable
from epsigma.datasets.parquet import parquet
from epsigma.figures import style
from epsigma.figures.gallery import draw_fooling, draw_gallery
from epsigma.job import Job
from epsigma.stages.dataset import dataset as write_dataset
from epsigma.storage.class_names import decode_names, encode_names, name_class
from epsigma.storage.images import read_class_names
from epsigma.storage.ledgers import read_ledger_names, write_ledger
from epsigma.tables.scores import Scores
from PIL import Image

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 6, 5, 3), dtype=np.uint8)
IMAGES, LABELS = PIXELS.transpose(0, 3, 1, 2), np.arange(6) % 3
NAMES = ("ant", "bee", "c d")


def test_published_names_are_one_a_class():
    assert len(cifar10.FILES.class_names) == len(fashion_mnist.FILES.class_names) == 10
    assert (cifar10.FILES.class_names[3], fashion_mnist.FILES.class_names[9]) == (
        "cat",
        "Ankle boot",
    )
    assert (kmnist.FILES.class_names[0], kmnist.FILES.class_names[9]) == ("o", "wo")
    assert mnist.FILES.class_names == ()
    fine = cifar100.FILES.class_names
    assert (len(set(fine)), list(fine)) == (100, sorted(fine))
    assert (fine[0], fine[53], fine[99]) == ("apple", "orange", "worm")


def read_folder(root):
    for part in ("train", "test"):
        for at, (image, label) in enumerate(zip(PIXELS, LABELS, strict=True)):
            inside = root / "own" / part / NAMES[label]
            inside.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(inside / f"{at}.png")
    return folder(root, path="own")


def read_archive(root):
    np.savez(root / "own.npz", images=PIXELS, labels=LABELS, class_names=np.array(NAMES))
    return file(root, path="own.npz", test_fraction=0.5)


def read_bytes(root):
    held = {"images": PIXELS, "labels": LABELS, "class_names": np.array(NAMES, "S")[:, None]}
    np.savez(root / "own.npz", **held)
    return file(root, path="own.npz", test_fraction=0.5)


def read_alone(root):
    held = {"test_images": PIXELS, "test_labels": LABELS, "class_names": [*NAMES, "e"]}
    np.savez(root / "own.npz", **held)
    return file(root, path="own.npz", classes=4)


def read_own(root):
    half = Images(IMAGES, LABELS)
    return Dataset(half, half, class_names=NAMES)


@pytest.mark.parametrize("read", [read_folder, read_archive, read_bytes, read_alone, read_own])
def test_names_go_into_the_files_of_a_data_set(tmp_path, read):
    made = read(tmp_path)
    assert made.class_names[:3] == NAMES
    paths = {part: str(tmp_path / f"{part}.safetensors") for part in ("train", "test")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("epsigma.stages.dataset.load", lambda name: lambda data_dir: made)
        settings = {"implementation": "made_here:make", "parameters": {}}
        job = Job({}, settings, "0" * 16, "cpu", str(tmp_path / "job.log"))
        write_dataset(job, data_dir=str(tmp_path), **paths)
    for path in paths.values():
        assert tuple(read_class_names(path)[:3]) == NAMES
    assert "classes: 0 ant, 1 bee, 2 c d" in (tmp_path / "job.log").read_text()


def test_too_few_names_are_none_or_refused():
    half = Images(IMAGES, LABELS)
    made = learnable([half, half], fraction=None, seed=0, class_names=["ant", "bee"])
    assert made.class_names == ()
    assert made.notes == ("3 classes and 2 class names: classes go by their numbers",)
    with pytest.raises(ValueError, match="there are 3 classes and 2 class names"):
        Dataset(half, half, class_names=("ant", "bee"))


@pytest.mark.parametrize("names", [[], ["a"], ["", "ü\n", "日本"], [f"{n}" for n in range(1000)]])
def test_names_come_back_from_metadata(tmp_path, names):
    assert decode_names(encode_names(names)) == names
    assert (encode_names(names) == {}) == (names == [])
    write_ledger(tmp_path / "ledger", {"label": LABELS}, {"cell": "{}", **encode_names(names)})
    assert read_ledger_names(tmp_path / "ledger") == names


@pytest.mark.parametrize(
    ("number", "names", "label"),
    [
        (1, (), "1"),
        (1, NAMES, "bee"),
        (3, NAMES, "3"),
        (2, ("a", "b", "123456789012"), "123456789012"),
        (2, ("a", "b", "aquarium_fish"), "2 aquarium…"),
        (0, ("a\n b\t c",), "a b c"),
        (0, ("日本",), "0"),
        (0, ("",), "0"),
        (0, ("ß é ω",), "ß é ω"),
        (0, ("$a$",), r"\$a\$"),
    ],
)
def test_a_class_is_called_by_its_name_where_there_is_room(number, names, label):
    assert style.class_label(number, names) == label


def table_of(*datasets):
    return pd.DataFrame({"dataset": datasets, "label": range(len(datasets)), "n": 1})


@pytest.mark.parametrize(
    ("class_names", "expected"),
    [
        ({}, None),
        ({"a": (), "b": ()}, None),
        ({"a": NAMES}, ["ant", "1", "c d"]),
        ({"a": NAMES, "b": ("x", "y")}, ["ant", "y", "c d"]),
    ],
)
def test_tables_have_names_beside_the_numbers_of_classes(class_names, expected):
    scores = Scores({}, {}, {}, class_names=class_names)
    table = scores.add_class_names(table_of("a", "b", "a"), "label")
    if expected is None:
        assert list(table) == ["dataset", "label", "n"]
    else:
        assert list(table) == ["dataset", "label", "label_name", "n"]
        assert table["label_name"].tolist() == expected
    assert table["label"].tolist() == [0, 1, 2]
    empty = scores.add_class_names(table_of(), "label")
    assert ("label_name" in empty) == (expected is not None)


def shown(rows=2):
    images = np.zeros((rows, 2, 1, 4, 4), np.float32)
    classes = np.array([[0, 1]] * rows)
    return images, classes, np.full((rows, 2), 0.5, np.float32), np.zeros((rows, 2), bool)


LONG = ("an" * 60, "$\\frac{$", "日" * 30)


def texts(figure):
    axes = figure.axes
    found = [one.get_text() for one in figure.texts]
    found += [axis.label.get_text() for one in axes for axis in (one.xaxis, one.yaxis)]
    return found


@pytest.mark.parametrize("names", [NAMES, LONG])
def test_galleries_show_names_of_any_kind(names):
    about = {"budget": "eps~0.1", "strengths": ["fixed", "sigma~1"], "class_names": names}
    figures = [
        draw_gallery(*shown(), label=1, index=5, title="t", **about),
        draw_fooling(*shown(), targets=np.array([0, 2]), title="t", **about),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for figure in figures:
            figure.draw_without_rendering()
    called = [style.class_label(number, names) for number in range(3)]
    assert f"Test image 5, {called[1]}\nt" in texts(figures[0])
    assert f"{called[0]}\n(50%) ✗" in texts(figures[0])
    assert f"made for\n{called[0]}" in texts(figures[1])


def test_galleries_of_numbers_say_what_they_said():
    about = {"budget": "eps~0.1", "strengths": ["fixed", "sigma~1"]}
    gallery = draw_gallery(*shown(), label=1, index=5, title="t", **about)
    assert {"Test image 5, a 1\nt", "0 (50%) ✗", "1 (50%) ✓"} <= set(texts(gallery))
    fooling = draw_fooling(*shown(), targets=np.array([0, 2]), title="t", **about)
    assert {"made for 0", "made for 2", "1 (50%)"} <= set(texts(fooling))


def test_names_of_hugging_face_begin_with_the_first_label(tmp_path):
    cells = []
    for image in PIXELS:
        stream = BytesIO()
        Image.fromarray(image).save(stream, "PNG")
        cells.append(stream.getvalue())
    features = {"label": {"names": ["nothing", *NAMES], "_type": "ClassLabel"}}
    held = pa.table({"image": pa.array(cells), "label": pa.array(LABELS + 1)})
    about = json.dumps({"info": {"features": features}})
    held = held.replace_schema_metadata({"huggingface": about})
    pq.write_table(held, tmp_path / "a.parquet")
    made = parquet(tmp_path, path="a.parquet", test_fraction=0.5, first_label=1)
    assert made.class_names == NAMES


def test_a_name_is_looked_up_by_number():
    assert [name_class(NAMES, at) for at in (0, 2, 3, -1)] == ["ant", "c d", "3", "-1"]
