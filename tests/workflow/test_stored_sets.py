"""A study whose adversarial sets are of 8 bits: the same tables whatever is kept."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from running import SMALL, Workdir, new_workdir
from safetensors import safe_open

pytestmark = pytest.mark.slow

ATTACKS = [
    {"kind": "fgsm", "eps": [0, "8/255"]},
    {"kind": "ddn", "kappa": [0], "steps": 20},
    {"kind": "fooling", "confidence": [0.9], "images": 1},
]


def study(kept: bool) -> dict[str, Any]:
    keep = {"keep_filtered": kept, "keep_aware": kept}
    more = {"attacks": ATTACKS, "figures": {"kinds": []}, "strict": False}
    return {**SMALL, **keep, **more, "stored_as": "uint8"}


def types_of(results: Path, folder: str) -> set[str]:
    """The types of images of all sets in folders of a name."""
    found = set()
    for path in results.rglob(f"{folder}/**/*.safetensors"):
        with safe_open(path, framework="np") as file:
            found.add(file.get_slice("images").get_dtype())
    return found


def test_what_is_kept_changes_no_table(workdir: Workdir, tmp_path: Path) -> None:
    workdir.configure(study(kept=True))
    workdir.run()
    results = workdir.directory / "results"
    assert types_of(results, "adversarial") == {"U8"}
    assert types_of(results, "filtered") == {"F16"}
    kept = {path.name: path.read_text() for path in (results / "tables").glob("*.csv")}
    cells = pd.read_csv(workdir.cells)
    assert set(cells["stored_as"]) == {"uint8"}
    bounded = cells[(cells["attack"] == "fgsm") & (cells["budget"] > 0)]
    assert bounded["linf_max"].tolist() == pytest.approx([8 / 255] * len(bounded))
    assert (cells["n_lost"].dropna() <= cells["n_fooled_unrounded"].dropna()).all()
    checks = pd.read_csv(results / "tables" / "checks.csv")
    assert set(checks["verdict"][checks["check"].isin(["in_ball", "in_range"])]) == {"pass"}
    assert "fail" not in set(checks["verdict"][checks["check"] == "stored"])
    assert set(checks["attack"][checks["check"] == "stored"]) == {"fgsm", "ddn", "fooling"}
    page = (results / "cards/digits/mlp/ddn.html").read_text()
    assert "lost by rounding" in page

    other = new_workdir(tmp_path / "other", study(kept=False))
    other.run()
    mine = other.directory / "results"
    assert types_of(mine, "filtered") == set()
    found = {path.name: path.read_text() for path in (mine / "tables").glob("*.csv")}
    assert found.keys() == kept.keys()
    assert [name for name in found if found[name] != kept[name]] == []
    made_by = next((mine / "digits/mlp/seed~0/metrics/aware/fgsm").rglob("*.json"))
    assert json.loads(made_by.read_text())["stored_as"] == "uint8"
