"""A user's own colour images, through the whole workflow."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from epsigma.datasets.digits import digits
from PIL import Image
from running import SMALL, Workdir
from safetensors.numpy import load_file

COLOURED: dict[str, Any] = {
    **SMALL,
    "datasets": [{"kind": "file", "name": "own", "path": "own.npz"}],
    "attacks": [{"kind": "fgsm", "eps": [0, 0.1]}, {"kind": "square", "eps": [0.1], "queries": 50}],
    "filters": [
        {"kind": "gaussian", "sigma": [1]},
        {"kind": "highpass", "cutoff": [0.1], "post": "rescale", "threats": ["blind"]},
        {"kind": "median", "size": [3]},
    ],
}


def write(path: Path, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Write digits, each in a colour of its own on a dark ground, channels last."""
    generator = np.random.default_rng(seed)
    data = digits(path)
    content = {}
    for part, images in (("train", data.train.first(600)), ("test", data.test.first(120))):
        colours = generator.uniform(0.3, 1, (len(images.labels), 1, 1, 3))
        shaded = images.images.transpose(0, 2, 3, 1) * colours
        content[f"{part}_images"] = np.rint(shaded).astype(np.uint8)
        content[f"{part}_labels"] = images.labels
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **content)
    return content


def test_a_users_own_colour_images_go_all_the_way(workdir: Workdir) -> None:
    workdir.configure(COLOURED)
    source = workdir.directory / "data" / "own.npz"
    missing = workdir.snakemake()
    assert missing.returncode != 0
    said = " ".join((missing.stdout + missing.stderr).split())
    assert "the data set own: data/own.npz is not there: put it there" in said
    assert not (workdir.directory / "results").exists()

    content = write(source)
    workdir.run()
    results = workdir.directory / "results"
    test = load_file(results / "data/own/test.safetensors")
    assert np.array_equal(test["images"], content["test_images"].transpose(0, 3, 1, 2))
    assert test["images"].shape == (120, 3, 8, 8)
    attacked = load_file(results / "own/mlp/seed~0/adversarial/blind/fgsm/eps~0.1.safetensors")
    # Each channel is attacked by its own gradient.
    delta = attacked["images"] - test["images"] / np.float32(255)
    assert 0.09 < np.abs(delta).max() < 0.1 + 1e-6
    assert np.abs(delta - delta.mean(1, keepdims=True)).max() > 0.05
    cells = pd.read_csv(workdir.cells)
    bare = cells[(cells["filter"] == "none") & (cells["attack"] == "fgsm")].set_index("budget")
    assert bare["accuracy"][0] > 0.8
    assert bare["accuracy"][0.1] < bare["accuracy"][0]
    assert (cells["l0"] <= 64).all()
    checks = pd.read_csv(results / "tables/checks.csv")
    assert "fail" not in set(checks["verdict"]), checks[checks["verdict"] == "fail"]
    figures = results / "figures/own/mlp/fgsm"
    for name in ("spectrum", "accuracy", "threats", "gaussian/gallery", "highpass/gallery"):
        with Image.open(figures / f"{name}.png") as picture:
            assert min(picture.size) > 200, name
    with Image.open(figures / "gaussian/gallery.png") as picture:
        channels = np.asarray(picture.convert("RGB"), int)
    # It is in colour.
    assert (np.ptp(channels, axis=2) > 60).mean() > 0.01

    assert workdir.scheduled() == []
    write(source, seed=1)
    assert {"dataset", "train", "attack", "collect"} <= {job.rule for job in workdir.scheduled()}
    # Results outlive their source: what is made of it is there.
    outside = workdir.path / "own.npz"
    source.rename(outside)
    assert workdir.scheduled() == []
    # But not if it leads elsewhere.
    source.symlink_to(outside)
    escaped = workdir.snakemake("--dry-run")
    assert escaped.returncode != 0
    said = re.sub(r"\s+", " ", escaped.stdout + escaped.stderr)
    assert "data/own.npz is a link out of data_dir = data" in said
