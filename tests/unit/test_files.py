import contextlib
import json
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from epsigma.models.classifier import load_classifier
from epsigma.models.mlp import MLP
from epsigma.storage.batches import batches
from epsigma.storage.checksums import Checksum, checksums, verify
from epsigma.storage.files import atomic_write, read_json, tidy, write_json, write_text
from epsigma.storage.images import (
    ImageSet,
    measure,
    read_classes,
    read_clean,
    read_image_set,
    read_tensors,
    write_image_set,
    write_tensors,
)
from epsigma.storage.ledgers import read_cell, read_ledger, write_ledger
from safetensors import safe_open
from safetensors.torch import save_file

CPU = torch.device("cpu")
WORKFLOW = Path(__file__).parents[2] / "workflow"
METADATA = {"cell": '{"dataset": "digits"}', "code": "0123", "note": "ε = 0,1 ☂"}
MODEL = {"implementation": "epsigma.models.mlp:MLP", "parameters": {"hidden": 3}}
ABOUT = {"shape": [1, 2, 2], "classes": 2}


def image_set(n=5):
    generator = torch.Generator().manual_seed(0)
    measures = {name: torch.rand(n, generator=generator) for name in ImageSet.MEASURES}
    return ImageSet(torch.rand(n, 2, 3, 4, generator=generator), torch.arange(n), measures)


def test_a_set_says_what_it_has_and_not_every_pixel():
    images = torch.rand(2, 3, 4, 5)
    assert repr(ImageSet(images, torch.arange(2))) == "ImageSet(images (2, 3, 4, 5), labels)"
    measured = ImageSet(images, torch.arange(2), {"linf": torch.zeros(2)})
    assert repr(measured) == "ImageSet(images (2, 3, 4, 5), labels, linf)"


def data(path):
    images = torch.arange(2 * 2 * 2, dtype=torch.uint8).view(2, 1, 2, 2)
    write_tensors(
        path, {"images": images, "labels": torch.tensor([1, 0])}, {**METADATA, "classes": "12"}
    )


def ledger(path):
    columns = {"label": np.arange(5, dtype=np.int16), "correct": np.arange(5) % 2 == 0}
    write_ledger(path, columns, METADATA)


def checkpoint(path, **changes):
    weights = MLP((1, 2, 2), 2, hidden=3).state_dict()
    content = {
        "hyper_parameters": ABOUT,
        "state_dict": {f"model.{name}": value for name, value in weights.items()},
    }
    with atomic_write(path) as temporary:
        torch.save({**content, **changes}, temporary)


WRITERS = {
    "text": ("a.csv", lambda path: write_text(path, "ε,σ\n")),
    "json": ("a.json", lambda path: write_json(path, {"accuracy": 0.5, "names": ["ε", None]})),
    "ledger": ("a.parquet", ledger),
    "data": ("a.safetensors", data),
    "images": ("a.safetensors", lambda path: write_image_set(path, image_set(), METADATA)),
    "checkpoint": ("a.ckpt", checkpoint),
}
READERS = {
    "json": read_json,
    "ledger": lambda path: (read_ledger(path, ["label", "correct"]), read_cell(path)),
    "data": lambda path: (read_clean(path, CPU), read_classes(path)),
    "images": lambda path: read_image_set(path, CPU),
    "checkpoint": lambda path: load_classifier(path, MODEL, CPU),
}


def written(folder, kind):
    name, write = WRITERS[kind]
    write(folder / name)
    return folder / name


def assert_named(error, path):
    assert str(path) in str(error)
    assert "delete it and run again" in str(error)


class Stop(BaseException):
    """As a signal stops a job."""


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, Stop])
@pytest.mark.parametrize("before", [None, "old"])
def test_a_failing_body_leaves_the_folder_as_it_was(tmp_path, error, before):
    path = tmp_path / "table.csv"
    if before:
        path.write_text(before)
    with pytest.raises(error), atomic_write(path) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise error
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == (
        {"table.csv": before} if before else {}
    )


def test_a_body_that_writes_nothing_is_an_error_and_leaves_nothing(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "table.csv"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_file_has_its_name_when_it_is_whole_and_not_before(tmp_path):
    path = tmp_path / "new" / "folder" / "table.csv"
    with atomic_write(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        # A rename within a folder is atomic; libraries choose a format by the suffix.
        assert (temporary.parent, temporary.suffix) == (path.parent, path.suffix)
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_two_writers_of_a_file_do_not_meet(tmp_path):
    path = tmp_path / "table.csv"
    with atomic_write(path) as one, atomic_write(path) as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_killed_job_leaves_no_half_file_under_the_final_name(tmp_path):
    path = tmp_path / "table.csv"
    code = f"""
import os, signal
from epsigma.storage.files import atomic_write
with atomic_write({str(path)!r}) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(WORKFLOW)}
    )
    assert killed.returncode < 0
    assert not path.exists()


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("umask", [0o022, 0o027, 0o002])
def test_files_have_the_permissions_that_the_umask_leaves(tmp_path, kind, umask):
    before = os.umask(umask)
    try:
        path = written(tmp_path, kind)
    finally:
        os.umask(before)
    assert oct(path.stat().st_mode & 0o777) == oct(0o666 & ~umask)


@pytest.mark.parametrize("kind", READERS)
def test_a_truncated_file_is_refused_by_name_and_remedy(tmp_path, kind):
    path = written(tmp_path, kind)
    content = path.read_bytes()
    # JSON may lose its last newline.
    length = len(content) - 1
    for n in {*range(0, length, max(1, length // 40)), length - 1}:
        path.write_bytes(content[:n])
        with pytest.raises(ValueError, match="cannot be read") as raised:
            READERS[kind](path)
        assert_named(raised.value, path)


@pytest.mark.parametrize("kind", READERS)
def test_a_file_of_something_else_is_refused_by_name_and_remedy(tmp_path, kind):
    path = written(tmp_path, kind)
    path.write_bytes(b"\xff<!DOCTYPE html>" * 100)
    with pytest.raises(ValueError, match="cannot be read") as raised:
        READERS[kind](path)
    assert_named(raised.value, path)


def numbers(found):
    """Make plain lists of what is read: of a model, its weights."""
    if isinstance(found, torch.nn.Module):
        return numbers(found.state_dict())
    if isinstance(found, ImageSet):
        return numbers(vars(found))
    if isinstance(found, dict):
        return {name: numbers(value) for name, value in found.items()}
    if isinstance(found, tuple):
        return [numbers(value) for value in found]
    return found.tolist() if isinstance(found, np.ndarray | torch.Tensor) else found


@pytest.mark.filterwarnings("ignore")  # torch's, about what the altered bytes seem to say
@pytest.mark.parametrize("kind", sorted(set(READERS) - {"json"}))
def test_an_altered_byte_is_refused_by_name_and_remedy_or_changes_nothing(tmp_path, kind):
    path = written(tmp_path, kind)
    # A ledger's own notes, which cell it is, have no checksum: its numbers do.
    content, expected = path.read_bytes(), numbers((READERS[kind](path),))
    refused = 0
    for position in range(0, len(content), max(1, len(content) // 250)):
        altered = bytearray(content)
        altered[position] ^= 0xFF
        path.write_bytes(altered)
        try:
            found = numbers((READERS[kind](path),))
        except ValueError as error:
            assert_named(error, path)
            refused += 1
        else:
            assert found[0][0] == expected[0][0] if kind == "ledger" else found == expected
    assert refused


@pytest.mark.parametrize("bit", [0, 7])
def test_every_altered_bit_of_an_image_set_s_numbers_is_refused(tmp_path, bit):
    path = written(tmp_path, "images")
    content = path.read_bytes()
    numbers = 8 + int.from_bytes(content[:8], "little")
    for position in range(numbers, len(content)):
        altered = bytearray(content)
        altered[position] ^= 1 << bit
        path.write_bytes(altered)
        with pytest.raises(ValueError, match="altered since it was written") as raised:
            READERS["images"](path)
        assert_named(raised.value, path)


def test_a_set_without_checksums_is_read_as_it_is(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file({"norms": torch.rand(3)}, path, METADATA)
    assert read_tensors(path, ("norms",), CPU)["norms"].shape == (3,)


@pytest.mark.parametrize(
    ("values", "other"),
    [
        (np.zeros(3, np.float32), np.array([0, 0, -0.0], np.float32)),
        (np.arange(7, dtype=np.uint8), np.arange(8, dtype=np.uint8)[1:]),
        (np.zeros((0, 3)), np.zeros((1, 3)) + 1e-300),
        (np.array(1, np.int64), np.array(2, np.int64)),
    ],
)
def test_other_numbers_have_another_checksum(values, other):
    assert checksums({"a": values}) == checksums({"a": values.copy()})
    assert checksums({"a": values}) != checksums({"a": other})
    verify({"a": values}, checksums({"a": values}))
    with pytest.raises(ValueError, match="altered since it was written: a"):
        verify({"a": other}, checksums({"a": values}))


@pytest.mark.parametrize("cut", [0, 3, 8, 21])
def test_a_checksum_does_not_depend_on_the_parts_that_it_is_made_of(cut):
    values = np.arange(1, 64, dtype=np.uint8)
    whole, parts = Checksum(), Checksum()
    whole.add(values)
    for part in (values[:cut], values[cut:50], values[50:]):
        parts.add(part)
    assert str(parts) == str(whole)


# --- What killed runs and wrong clocks leave


def test_what_is_half_written_is_cleared_up_and_nothing_else(tmp_path):
    folder = tmp_path / "results" / "deep"
    folder.mkdir(parents=True)
    kept = [".hidden", ".nfs0001", "cells.csv", ".a.0123.csv", f"a.{'0' * 32}.csv"]
    for name in kept:
        (folder / name).touch()
    left = []
    for path in (folder / "cells.csv", folder / "eps~0.1.safetensors", folder / "bare"):
        with contextlib.suppress(Stop), atomic_write(path) as temporary:
            # Moved aside, or it would be removed: SIGKILL leaves it.
            temporary.touch()
            (folder / "aside").mkdir(exist_ok=True)
            left.append(temporary.rename(folder / "aside" / temporary.name))
            raise Stop
    done = list(tidy(tmp_path))
    assert sorted(done) == sorted(f"{path}: removed, it was left half written" for path in left)
    assert {path.name for path in folder.iterdir()} == {*kept, "aside"}
    assert not list((folder / "aside").iterdir())


def test_a_time_in_the_future_becomes_the_present_and_others_stay(tmp_path):
    ahead, other = tmp_path / "ahead", tmp_path / "other"
    now = time.time()
    for path, mtime in ((ahead, now + 3600), (other, now - 3600)):
        path.touch()
        os.utime(path, (mtime, mtime))
    (tmp_path / "nowhere").symlink_to("gone")
    (said,) = tidy(tmp_path)
    assert said.startswith(f"{ahead}: it was 3")
    assert now <= ahead.stat().st_mtime <= time.time()
    assert other.stat().st_mtime == now - 3600


def test_where_there_are_no_results_there_is_nothing_to_clear_up(tmp_path):
    assert list(tidy(tmp_path / "results")) == []


@pytest.mark.parametrize(
    ("kind", "read", "said"),
    [
        (
            "data",
            lambda path: read_image_set(path, CPU),
            "no tensor linf, l2, l0, changed, outside",
        ),
        ("data", lambda path: read_tensors(path, ("norms",), CPU), "no tensor norms"),
        ("images", read_classes, "classes"),
        ("ledger", lambda path: read_ledger(path, ["correct", "margin"]), "no column margin"),
    ],
)
def test_a_file_that_lacks_what_is_read_is_refused(tmp_path, kind, read, said):
    path = written(tmp_path, kind)
    with pytest.raises(ValueError, match=said) as raised:
        read(path)
    assert_named(raised.value, path)


@pytest.mark.parametrize(
    "changes",
    [
        {"hyper_parameters": None},
        {"hyper_parameters": {}},
        {"hyper_parameters": {**ABOUT, "classes": "ten"}},
        {"hyper_parameters": {**ABOUT, "classes": 3}},
        {"hyper_parameters": {**ABOUT, "shape": 4}},
        {"hyper_parameters": {**ABOUT, "shape": [1, 28, 28]}},
        {"state_dict": {}},
        {"state_dict": [1, 2]},
    ],
    ids=str,
)
def test_a_checkpoint_of_another_make_is_refused(tmp_path, changes):
    path = tmp_path / "a.ckpt"
    checkpoint(path, **changes)
    with pytest.raises(ValueError, match="cannot be read") as raised:
        load_classifier(path, MODEL, CPU)
    assert_named(raised.value, path)


@pytest.mark.filterwarnings("ignore:Using a non-tuple sequence")
@pytest.mark.parametrize("content", [{}, [], 1, torch.zeros(3)], ids=str)
def test_a_checkpoint_of_something_else_is_refused(tmp_path, content):
    path = tmp_path / "a.ckpt"
    torch.save(content, path)
    with pytest.raises(ValueError, match="cannot be read") as raised:
        load_classifier(path, MODEL, CPU)
    assert_named(raised.value, path)


def test_a_data_set_whose_number_of_classes_is_no_number_is_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    write_tensors(path, {"images": torch.zeros(1), "labels": torch.zeros(1)}, {"classes": "ten"})
    with pytest.raises(ValueError, match="cannot be read") as raised:
        read_classes(path)
    assert_named(raised.value, path)


def test_a_checkpoint_of_another_width_is_refused(tmp_path):
    path = written(tmp_path, "checkpoint")
    with pytest.raises(ValueError, match="size mismatch") as raised:
        load_classifier(path, {**MODEL, "parameters": {"hidden": 4}}, CPU)
    assert_named(raised.value, path)


class Payload:
    """A pickle that makes a folder when it is read."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize(
    "save",
    [
        pytest.param(torch.save, id="zip"),
        pytest.param(
            lambda content, path: torch.save(content, path, _use_new_zipfile_serialization=False),
            id="legacy",
        ),
        pytest.param(lambda content, path: path.write_bytes(pickle.dumps(content)), id="pickle"),
    ],
)
def test_a_checkpoint_with_a_pickled_payload_is_refused_and_the_payload_not_run(tmp_path, save):
    path, folder = tmp_path / "a.ckpt", tmp_path / "made by the payload"
    save({"hyper_parameters": ABOUT, "state_dict": {}, "payload": Payload(folder)}, path)
    with pytest.raises(ValueError, match="cannot be read") as raised:
        load_classifier(path, MODEL, CPU)
    assert_named(raised.value, path)
    assert not folder.exists()
    # A reader that trusts the file runs it, if only to find that a bare pickle is no checkpoint.
    with contextlib.suppress(RuntimeError):
        torch.load(path, weights_only=False)
    assert folder.exists()


def test_images_labels_and_measures_come_back_as_they_were(tmp_path):
    given = image_set()
    path = written(tmp_path, "images")
    found = read_image_set(path, CPU)
    assert torch.equal(found.images, given.images)
    assert torch.equal(found.labels, given.labels)
    assert {name: value.tolist() for name, value in found.measures.items()} == {
        name: value.tolist() for name, value in given.measures.items()
    }


def test_views_are_written_as_what_they_show(tmp_path):
    images = torch.rand(4, 1, 3, 5)
    given = {"images": images.transpose(2, 3), "labels": torch.arange(8)[::2]}
    write_tensors(tmp_path / "a.safetensors", given, {})
    found = read_tensors(tmp_path / "a.safetensors", ("images", "labels"), CPU)
    assert all(torch.equal(found[name], given[name]) for name in given)


def test_clean_images_are_read_as_fractions_of_white(tmp_path):
    path = written(tmp_path, "data")
    clean = read_clean(path, CPU)
    assert clean.images.dtype == torch.float32
    assert (clean.images * 255).flatten().tolist() == pytest.approx(range(8))
    assert clean.labels.tolist() == [1, 0]
    assert read_classes(path) == 12


def test_metadata_of_tensors_comes_back(tmp_path):
    with safe_open(written(tmp_path, "images"), framework="np") as file:
        assert METADATA.items() <= file.metadata().items()


def test_metadata_of_a_ledger_comes_back(tmp_path):
    import pyarrow.parquet as pq

    found = pq.read_schema(written(tmp_path, "ledger")).metadata
    assert {key.decode(): value.decode() for key, value in found.items()} == METADATA


def test_a_ledger_comes_back_with_its_types(tmp_path):
    found = read_ledger(written(tmp_path, "ledger"))
    assert {name: column.dtype for name, column in found.items()} == {
        "label": np.int16,
        "correct": np.bool_,
    }
    assert found["label"].tolist() == [0, 1, 2, 3, 4]
    assert found["correct"].tolist() == [True, False, True, False, True]
    assert list(read_ledger(tmp_path / "a.parquet", ["correct"])) == ["correct"]


def test_a_ledger_says_which_cell_it_belongs_to(tmp_path):
    assert read_cell(written(tmp_path, "ledger")) == {"dataset": "digits"}


@pytest.mark.parametrize(
    "metadata", [{}, {"code": "0123"}, {"cell": "digits"}, {"cell": ""}], ids=str
)
def test_a_ledger_that_does_not_say_which_cell_it_belongs_to_is_refused(tmp_path, metadata):
    path = tmp_path / "a.parquet"
    write_ledger(path, {"correct": np.zeros(2, bool)}, metadata)
    with pytest.raises(ValueError, match="cannot be read") as raised:
        read_cell(path)
    assert_named(raised.value, path)


def test_json_comes_back_in_its_order(tmp_path):
    value = {"b": 1, "a": [None, 0.1, "ε"]}
    write_json(tmp_path / "a.json", value)
    assert json.dumps(read_json(tmp_path / "a.json")) == json.dumps(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_that_others_cannot_read_is_not_written(tmp_path, value):
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a.json", {"accuracy": value})
    assert list(tmp_path.iterdir()) == []


def test_perturbations_are_measured_example_by_example(monkeypatch):
    monkeypatch.setattr("epsigma.storage.batches.BATCH", 2)
    clean = torch.zeros(4, 2, 2, 2)
    clean[3] = 0.5
    delta = torch.zeros_like(clean)
    delta[1, 0, 0, 0] = -0.3
    delta[1, 1, 0, 0] = 0.4  # the same pixel, another channel
    delta[2] = 0.5
    delta[3, 0, 0, 0] = -0.7
    delta[3, 0, 1, 1] = 0.6
    found = measure(clean + delta, clean)
    assert list(found) == ["linf", "l2", "l0", "changed", "outside"]
    assert found["linf"].tolist() == pytest.approx([0, 0.4, 0.5, 0.7])
    assert found["l2"].tolist() == pytest.approx([0, 0.5, 2**0.5, 0.85**0.5])
    assert found["l0"].tolist() == [0, 1, 4, 2]
    assert found["changed"].tolist() == [0, 2 / 8, 1, 2 / 8]
    # Below 0, and above 1.
    assert found["outside"].tolist() == pytest.approx([0, 0.3, 0, 0.2])
    assert all(value.dtype == torch.float32 for value in found.values())


@pytest.mark.parametrize(
    ("lowest", "highest", "outside"),
    [(0, 1, 0), (0.2, 0.8, 0), (-0.25, 1, 0.25), (0, 1.5, 0.5), (-0.5, 1.25, 0.5), (2, 3, 2)],
)
def test_how_far_pixels_leave_their_range_is_the_farther_of_both_ends(lowest, highest, outside):
    images = torch.linspace(lowest, highest, 9).view(1, 1, 3, 3)
    assert measure(images, torch.zeros_like(images))["outside"].tolist() == [outside]


@pytest.mark.parametrize(("rows", "sizes"), [(1, [1]), (3, [3]), (4, [3, 1]), (7, [3, 3, 1])])
def test_batches_cut_tensors_alike_and_are_views_of_them(monkeypatch, rows, sizes):
    monkeypatch.setattr("epsigma.storage.batches.BATCH", 3)
    images, labels = torch.zeros(rows, 2), torch.arange(rows)
    cut = list(batches(images, labels))
    assert [len(part) for part, _ in cut] == sizes
    assert torch.equal(torch.cat([part for _, part in cut]), labels)
    for part, _ in cut:
        part += 1
    assert images.eq(1).all()
