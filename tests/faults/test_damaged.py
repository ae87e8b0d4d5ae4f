"""Files that are truncated, altered, empty or poisoned: named, with the remedy, and never used."""

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from running import Workdir, new_workdir
from striking import (
    EXTENDED,
    STUDY,
    assert_as_undisturbed,
    files,
    forget,
    half_written,
    run,
)

SEED = "digits/net/seed~0"


def truncated(content: bytes) -> bytes:
    return content[: len(content) * 2 // 3]


def altered(content: bytes) -> bytes:
    """Turn over one bit where the numbers are: a tenth from the end is past every header."""
    position = len(content) * 6 // 10
    return content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]


def empty(content: bytes) -> bytes:
    return b""


def damage(path: Path, how: Callable[[bytes], bytes]) -> None:
    """Damage a file, and leave its time: so do a full disk and a worn one."""
    status = path.stat()
    path.write_bytes(how(path.read_bytes()))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize(
    ("name", "how"),
    [
        pytest.param("data/digits/test.safetensors", altered, marks=pytest.mark.slow),
        pytest.param("data/digits/train.safetensors", truncated, marks=pytest.mark.slow),
        (f"{SEED}/adversarial/blind/push/eps~0.1.safetensors", altered),
        pytest.param(
            f"{SEED}/adversarial/blind/push/eps~0.1.safetensors", empty, marks=pytest.mark.slow
        ),
        (f"{SEED}/checkpoint.ckpt", altered),
        pytest.param(f"{SEED}/ledger/clean/none/fixed.parquet", altered, marks=pytest.mark.slow),
        (f"{SEED}/ledger/blind/push/eps~0.1/gaussian/sigma~1.parquet", empty),
        (f"{SEED}/metrics/blind/push/eps~0.1/gaussian/sigma~1.json", truncated),
    ],
)
def test_a_damaged_result_is_named_and_what_does_not_need_it_is_made(
    finished: Workdir, extended: Workdir, name: str, how: Callable[[bytes], bytes]
) -> None:
    path = finished.directory / "results" / name
    damage(path, how)
    if "train" in name:
        forget(finished, "digits")
    before = files(finished)
    finished.configure(EXTENDED)
    code, said = run(finished)
    assert code != 0
    assert f"results/{name} cannot be read" in said
    assert "delete it and run again to remake it" in said
    assert not half_written(finished)
    other = f"results/{SEED}/ledger/clean/gaussian/sigma~2.parquet"
    needs_it = any(word in name for word in ("test", "train", "checkpoint"))
    assert (other in files(finished)) != needs_it
    made = files(finished)
    lost = {name for name in before if name not in made}
    assert {Path(name).parts[1] for name in lost} <= {"tables"}

    path.unlink()
    assert_as_undisturbed(finished, extended)


def test_a_checkpoint_with_a_pickled_payload_is_refused_and_not_run(
    finished: Workdir, extended: Workdir, trap: tuple[bytes, Path]
) -> None:
    payload, sprung = trap
    path = finished.directory / f"results/{SEED}/checkpoint.ckpt"
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, value in content.items():
            archive.writestr(name, payload if name.endswith("data.pkl") else value)
    finished.configure(EXTENDED)
    code, said = run(finished)
    assert code != 0
    assert f"results/{SEED}/checkpoint.ckpt cannot be read" in said
    assert not sprung.exists()

    path.unlink()
    assert_as_undisturbed(finished, extended)


def test_weights_of_one_s_own_with_a_pickled_payload_are_refused_and_not_run(
    finished: Workdir, undisturbed: Workdir, trap: tuple[bytes, Path]
) -> None:
    payload, sprung = trap
    (finished.directory / "weights.pt").write_bytes(payload)
    own = {"kind": "mlp", "name": "own", "checkpoint": "weights.pt"}
    finished.configure({**STUDY, "models": [*STUDY["models"], own]})
    code, said = run(finished)
    assert code != 0
    assert "checkpoint weights.pt" in said
    assert not sprung.exists()

    finished.configure(STUDY)
    assert_as_undisturbed(finished, undisturbed)


@pytest.fixture
def trap(tmp_path: Path) -> tuple[bytes, Path]:
    """A pickle that makes a file when it is executed, and the file."""
    sprung = tmp_path / "sprung"

    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (sprung,))

    payload = pickle.dumps({"state_dict": Trap(), "hyper_parameters": {}})
    pickle.loads(payload)
    assert sprung.exists()
    sprung.unlink()
    return payload, sprung


@pytest.mark.parametrize("how", [truncated, altered, empty])
def test_a_damaged_file_of_data_is_named_before_anything_is_made_of_it(
    undisturbed: Workdir, tmp_path: Path, how: Callable[[bytes], bytes]
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (60, 6, 6), np.uint8)
    data = {"kind": "file", "name": "own", "path": "own.npz", "test_fraction": 0.5}
    workdir = new_workdir(
        tmp_path / "epsigma",
        {
            **STUDY,
            "datasets": [data],
            "models": [{"kind": "mlp"}],
            "attacks": [{"kind": "fgsm", "eps": [0]}],
        },
    )
    path = workdir.directory / "data" / "own.npz"
    path.parent.mkdir()
    np.savez(path, images=images, labels=np.arange(60) % 3)
    damage(path, how)
    code, said = run(workdir)
    assert code != 0
    assert "data/own.npz cannot be read" in said
    assert "write it again" in said
    assert not files(workdir)
    assert not half_written(workdir)
