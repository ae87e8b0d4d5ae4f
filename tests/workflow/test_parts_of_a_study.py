"""A study that is run part by part in one folder: the whole finds everything there."""

import json
from pathlib import Path
from typing import Any

import pytest
from running import SMALL, Workdir, new_workdir

TRAINED = {"training": {"epochs": 2, "batch_size": 64}}
STUDY: dict[str, Any] = {
    **SMALL,
    "datasets": [{"kind": "digits"}, {"kind": "digits", "name": "again"}],
    "models": [{"kind": "mlp", "hidden": 8, **TRAINED}, {"kind": "softmax", **TRAINED}],
    # Two in one ball.
    "attacks": [
        {"kind": "pgd", "eps": [0.1, 0.2], "steps": 3},
        {"kind": "pgd", "name": "longer", "eps": [0.1, 0.2], "steps": 6},
        {"kind": "fgsm", "eps": [0.1, 0.2]},
    ],
    "filters": [{"kind": "gaussian", "sigma": [1]}],
    "figures": {"kinds": []},
    "strict": False,
}
# What is of all cells, and no cell's.
OF_ALL = {
    *("all", "epsigma", "collect", "tabulate", "check", "gate", "pages", "card", "explore"),
    *("reference", "configuration", "unpack"),
}


def parts_by(*sections: str) -> list[dict[str, list[str]]]:
    """List the parts of the study that have one block each of some sections."""
    parts: list[dict[str, list[str]]] = [{}]
    for section in sections:
        names = [block.get("name", block["kind"]) for block in STUDY[section]]
        parts = [{**part, section: [name]} for part in parts for name in names]
    return parts


def written(results: Path) -> dict[str, int]:
    """When each file of a cell was written."""
    return {
        str(path.relative_to(results)): path.stat().st_mtime_ns
        for path in results.rglob("*")
        if path.suffix in (".safetensors", ".parquet", ".json", ".ckpt")
    }


@pytest.mark.parametrize(
    ("sections", "columns"),
    [
        (("attacks",), "none"),
        pytest.param(("attacks",), "attack", marks=pytest.mark.slow),
        pytest.param(("datasets", "models"), "none", marks=pytest.mark.slow),
        pytest.param(("datasets", "models"), "attack", marks=pytest.mark.slow),
    ],
)
def test_the_whole_only_makes_tables_of_what_its_parts_made(
    workdir: Workdir, tmp_path: Path, sections: tuple[str, ...], columns: str
) -> None:
    study = {**STUDY, "columns": columns}
    workdir.configure(study)
    results = workdir.directory / "results"
    for part in parts_by(*sections):
        before = written(results)
        workdir.run("--config", f"only={json.dumps(part)}")
        after = written(results)
        # A part adds its own, and touches nothing of the others.
        assert {name: after[name] for name in before} == before
        assert len(after) > len(before)
    left = [job for job in workdir.scheduled() if job.rule not in OF_ALL]
    # Auto-PGD runs beside the first attack in a ball that a part has: in the whole beside one.
    again = {"longer"} if "attacks" in sections else set()
    assert {job.rule.split("_")[0] for job in left} == ({"probe"} if again else set())
    assert {job.wildcards["attack"] for job in left} == again
    before = written(results)
    workdir.run()
    kept = [name for name in before if "/probes/" not in name]
    assert [name for name in kept if written(results)[name] != before[name]] == []
    assert workdir.scheduled() == []

    whole = new_workdir(tmp_path / "whole", study)
    whole.run()
    for path in (whole.directory / "results" / "tables").glob("*.csv"):
        assert (results / "tables" / path.name).read_bytes() == path.read_bytes(), path.name
