"""docs/tutorial.ipynb: it runs on the results of a study, and shows a run of the default one."""

import importlib.util
import json
import re
from typing import Any

import nbformat
import pytest
import yaml
from epsigma.plan.grid import cells
from epsigma.study import expand, validate
from running import ROOT, Workdir

TUTORIAL = ROOT / "docs" / "tutorial.ipynb"


def kinds(notebook: nbformat.NotebookNode) -> list[list[str]]:
    """What each cell shows: its value, a table, a figure."""
    return [
        [name for output in cell.outputs for name in sorted(output.get("data", {"text": ""}))]
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


@pytest.fixture(scope="module")
def shown() -> nbformat.NotebookNode:
    return nbformat.read(TUTORIAL, as_version=4)


def test_it_runs_on_another_study_and_shows_as_much(
    finished_once: Workdir, shown: nbformat.NotebookNode
) -> None:
    spec = importlib.util.spec_from_file_location("notebook", ROOT / "docs" / "notebook.py")
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = module.run_notebook(TUTORIAL, finished_once.directory / "results")
    ran = nbformat.reads(json.dumps(made), as_version=4)
    assert kinds(ran) == kinds(shown)
    assert "14 cells" in ran.cells[1].outputs[0].data["text/plain"]
    # The digits' table: all test images, ten classes.
    table = next(one for one in ran.cells if one.source.startswith("import pandas"))
    rows = table.outputs[0].data["text/plain"].splitlines()[2:]
    assert len(rows) == 10
    for row in rows:
        images, fooled, saved, lost, aware = map(int, row.split()[1:])
        assert saved <= fooled <= images
        assert aware <= fooled
        assert lost <= images - fooled


def test_what_is_kept_is_of_the_default_study_small_and_of_no_machine(
    shown: nbformat.NotebookNode,
) -> None:
    nbformat.validate(shown)
    study = validate(yaml.safe_load((ROOT / "config" / "config.yaml").read_text()))
    n = len(list(cells(expand(study))))
    assert shown.cells[1].outputs[0].data["text/plain"] == f"<study in ../results: {n} cells>"
    text = TUTORIAL.read_text(encoding="utf-8")
    assert len(text) < 100_000
    assert not re.search(
        r"(?<![.\w/])/(home|root|tmp|work|usr|Users)/|0x[0-9a-f]{6}|Traceback", text
    )
    counts = [cell.execution_count for cell in shown.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))
