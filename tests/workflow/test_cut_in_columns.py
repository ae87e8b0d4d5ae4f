"""Many cells a job: the same files, and switching makes nothing anew."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from running import SMALL, Workdir, made_once
from safetensors import safe_open

# Of each kind that is cut otherwise: an attack that makes its own images, a filter that draws.
STUDY: dict[str, Any] = {
    **SMALL,
    "attacks": [
        *SMALL["attacks"],
        {"kind": "fooling", "images": 1, "confidence": [0.5, 0.9], "steps": 30},
    ],
    "filters": [*SMALL["filters"], {"kind": "noise", "std": [0.1, 0.2]}],
    "strict": False,
    # All but the pictures, which are drawn from what is compared.
    "figures": {"kinds": []},
}

# What the stage that finds directions says in a log, after their number.
FOUND = " directions\n"

UNDRAWN = ("--omit-from", "card", "explore")


def study(**keys: Any) -> dict[str, Any]:
    return {**copy.deepcopy(STUDY), **keys}


@pytest.fixture(scope="module")
def cell_by_cell(tmp_path_factory: pytest.TempPathFactory) -> Workdir:
    return made_once(
        tmp_path_factory.getbasetemp(), "cells", STUDY, lambda made: made.run(*UNDRAWN)
    )


def contents(results: Path) -> dict[str, Any]:
    """What a run made of cells and tables, by path; not the configuration, which differs."""
    readers = {".safetensors": _tensors, "training.json": _spent}
    return {
        str(path.relative_to(results)): readers.get(
            path.name, readers.get(path.suffix, Path.read_bytes)
        )(path)
        for path in sorted(results.rglob("*"))
        if path.suffix in (".safetensors", ".json", ".parquet", ".csv")
    }


def _spent(path: Path) -> dict[str, Any]:
    """What training spent, but for the time, which is another each time."""
    spent = json.loads(path.read_text())
    assert spent.pop("seconds") > 0
    return dict(spent)


def _tensors(path: Path) -> dict[str, Any]:
    """The content of a file whose header is in no fixed order."""
    with safe_open(path, framework="np") as file:
        names = file.keys()
        tensors = {name: file.get_tensor(name).tobytes() for name in names}
        return {"metadata": file.metadata(), **tensors}


@pytest.mark.parametrize(
    ("columns", "kept", "jobs"),
    [
        ("attack", False, 49),
        ("filter", True, 86),
        pytest.param("attack", True, 58, marks=pytest.mark.slow),
    ],
)
def test_a_study_in_columns_is_the_study_cell_by_cell_in_fewer_jobs(
    cell_by_cell: Workdir, workdir: Workdir, columns: str, kept: bool, jobs: int
) -> None:
    workdir.configure(study(columns=columns, keep_filtered=kept, keep_aware=kept))
    assert len(workdir.scheduled()) == jobs < len(cell_by_cell.scheduled("--forceall"))
    workdir.run(*UNDRAWN)
    mine = contents(workdir.directory / "results")
    other = contents(cell_by_cell.directory / "results")
    # A column keeps none; its sets are the same.
    other = {path: content for path, content in other.items() if "/direction/" not in path}
    if not kept:
        is_dropped = lambda path: "/filtered/" in path or "/adversarial/aware/" in path  # noqa: E731
        other = {path: content for path, content in other.items() if not is_dropped(path)}
    assert mine.keys() == other.keys()
    assert [path for path in mine if mine[path] != other[path]] == []
    assert not list((workdir.directory / "results").rglob(".*.safetensors"))
    # What all budgets step along is found once for a model, and for each filter and strength.
    logs = [path.read_text() for path in (workdir.directory / "logs").rglob("*.log")]
    along = cell_by_cell.directory.glob("results/**/direction/**/*.safetensors")
    found = sum(log.count(FOUND) for log in logs)
    assert found == (len(list(along)) if columns == "attack" else 0)
    # Snakemake keeps with each file of a job what is listed: the square of a column.
    for record in map(read_record, (workdir.directory / ".snakemake/metadata").rglob("*")):
        assert len(record["log"]) <= 1
        sets = [path for path in record["input"] if path.endswith(".safetensors")]
        assert len(sets) == len(set(sets))


def read_record(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text()))


@pytest.mark.parametrize("columns", ["filter", "attack"])
def test_switching_makes_no_attack_anew(
    cell_by_cell: Workdir, tmp_path: Path, columns: str
) -> None:
    copied = cell_by_cell.copy(tmp_path / "copied")
    copied.configure(study(columns=columns))
    # A column is scored again if one of its sets is younger than one of its scores.
    scheduled = {job.rule for job in copied.scheduled()}
    dear = ("train", "attack", "probe", "evaluate_clean", "dataset")
    assert [rule for rule in scheduled if rule.startswith(dear)] == []


def test_switching_makes_nothing_anew_that_has_its_set_in_common(
    workdir: Workdir, cell_by_cell: Workdir
) -> None:
    few = study(keep_filtered=False, keep_aware=False)
    workdir.configure(few)
    workdir.run(*UNDRAWN)
    workdir.configure({**few, "columns": "filter"})
    assert [job.rule for job in workdir.scheduled(*UNDRAWN)] == ["configuration"]
