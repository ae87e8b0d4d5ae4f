"""The default configuration on a real SLURM, beside the other tests, for it takes as long."""

from pathlib import Path

import yaml
from conftest import CELLS, accounted, run
from running import ROOT, new_workdir


def test_the_default_configuration_in_columns_start_to_end(tmp_path: Path) -> None:
    study = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
    cells = new_workdir(tmp_path / "cells", study)
    cells.run(CELLS)
    columns = new_workdir(tmp_path / "columns", study)
    code, said = run(columns, "--config", "columns=attack", seconds=900)
    assert code == 0, said
    jobs = accounted(said)
    assert {job.state for job in jobs} == {"COMPLETED"}
    assert len(jobs) < 80
    assert columns.cells.read_bytes() == cells.cells.read_bytes()
