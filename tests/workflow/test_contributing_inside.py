"""What CONTRIBUTING.md adds to epsigma itself, added as it stands to a study that is finished."""

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from running import ROOT, Workdir

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
# What makes data, models and cells.
CELLS = {
    *("dataset", "train", "train_autoencoder", "calibrate", "attack", "attack_aware", "filter"),
    *("evaluate_clean", "evaluate", "probe_model", "probe_filter", "probe_attack", "gallery"),
    *("spectrum", "cost"),
}


def example(title: str) -> list[str]:
    """The code of a section, block by block."""
    section = re.split(r"^### ", TEXT, flags=re.MULTILINE)
    (found,) = [text for text in section if text.startswith(f"{title}\n")]
    return re.findall(r"^```(?:python|text)\n(.*?)^```", found, re.MULTILINE | re.DOTALL)


def package(workdir: Workdir) -> Path:
    return workdir.project / "workflow" / "epsigma"


def insert(path: Path, before: str, text: str) -> None:
    source = path.read_text(encoding="utf-8")
    assert source.count(before) == 1, f"{before!r} in {path}"
    path.write_text(source.replace(before, text + before), encoding="utf-8")


def add_table(workdir: Workdir) -> None:
    code, entry = example("A table")
    (package(workdir) / "tables" / "margins.py").write_text(code, encoding="utf-8")
    insert(package(workdir) / "registry" / "tables.py", '    "headline": TableKind', entry)


def add_figure(workdir: Workdir) -> None:
    code, entry = example("A figure")
    (package(workdir) / "figures" / "norms.py").write_text(code, encoding="utf-8")
    (workdir.project / "workflow" / "report" / "attack_norms.rst").write_text("Norms.\n")
    insert(package(workdir) / "registry" / "figures.py", '        "convergence": Figure', entry)


def add_check(workdir: Workdir) -> None:
    code, entry = example("A check")
    (package(workdir) / "checks" / "sizes.py").write_text(code, encoding="utf-8")
    insert(package(workdir) / "registry" / "checks.py", '    **_list_checks("proofs"', entry)


def add_format(workdir: Workdir) -> None:
    (code,) = example("A data format")
    formats = package(workdir) / "datasets" / "formats.py"
    formats.write_text(f"{formats.read_text()}\n\n{code}", encoding="utf-8")
    entry = re.search(r"`(FORMATS = [^`]*)`", TEXT, re.DOTALL)
    assert entry is not None
    registry = package(workdir) / "registry" / "datasets.py"
    line = " ".join(entry[1].split())
    edited = re.sub(r"^FORMATS = .*$", line, registry.read_text(), flags=re.MULTILINE)
    assert line in edited
    registry.write_text(edited, encoding="utf-8")


def test_a_table_that_is_added_is_made_and_no_cell_with_it(finished: Workdir) -> None:
    add_table(finished)
    planned = Counter(job.rule for job in finished.scheduled())
    assert planned["tabulate"] == planned["unpack"] == 1
    assert not planned.keys() & CELLS
    finished.run("results/tables/margins.csv")
    table = pd.read_csv(finished.directory / "results" / "tables" / "margins.csv")
    assert len(table) == len(pd.read_csv(finished.cells)) == table["margin"].notna().sum()


def test_a_figure_that_is_added_is_drawn_and_no_cell_with_it(finished: Workdir) -> None:
    add_figure(finished)
    planned = Counter(job.rule for job in finished.scheduled())
    assert planned == {"draw_attack": 1, "gate": 1}
    path = "results/figures/digits/mlp/fgsm/norms.svg"
    finished.run(path)
    assert "mean l2 norm" in (finished.directory / path).read_text(encoding="utf-8")


def test_a_check_that_is_added_judges_and_no_cell_is_made_anew(finished: Workdir) -> None:
    add_check(finished)
    planned = Counter(job.rule for job in finished.scheduled())
    assert planned["check"] == 1
    assert not planned.keys() & (CELLS | {"tabulate", "unpack", "collect"})
    finished.run("results/tables/checks.csv")
    checks = pd.read_csv(finished.directory / "results" / "tables" / "checks.csv")
    (row,) = checks[checks["check"] == "enough_examples"].itertuples()
    assert (row.verdict, row.figure) == ("pass", 360)


@pytest.mark.parametrize("is_known", [True, False])
def test_a_data_format_that_is_added_is_read(workdir: Workdir, is_known: bool) -> None:
    if is_known:
        add_format(workdir)
    random = np.random.default_rng(0)
    records = np.zeros(60, [("images", np.uint8, (8, 8)), ("labels", np.int64)])
    records["images"] = random.integers(0, 256, (60, 8, 8))
    records["labels"] = np.arange(60) % 2
    (workdir.directory / "data").mkdir()
    np.save(workdir.directory / "data" / "mine.npy", records)
    workdir.configure(
        {
            "datasets": [
                {"kind": "file", "name": "mine", "path": "mine.npy", "test_fraction": 0.5}
            ],
            "models": [{"kind": "mlp"}],
            "attacks": [{"kind": "fgsm", "eps": [0.1]}],
            "filters": [{"kind": "gaussian", "sigma": [1]}],
        }
    )
    done = workdir.snakemake("results/data/mine/test.safetensors")
    assert (done.returncode == 0) == is_known
    if not is_known:
        assert "datasets[0] (mine).path: 'mine.npy' does not match" in done.stdout + done.stderr
