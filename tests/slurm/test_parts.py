"""A study in parts on a real SLURM, by data set, model and attack, over one folder of results."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from cluster import output, wait
from conftest import CELLS, STUDY, accounted, prepare, run, submit
from running import Workdir

WHOLE: dict[str, Any] = {
    **STUDY,
    "datasets": [{"kind": "digits"}, {"kind": "digits", "name": "again"}],
    "models": [
        *STUDY["models"],
        {"kind": "softmax", "training": {"epochs": 2, "batch_size": 64}},
    ],
    "attacks": [{"kind": "struck:PUSH", "eps": [0.1, 0.2]}, {"kind": "fgsm", "eps": [0.1, 0.2]}],
    "columns": "attack",
}
PARTS = [
    {"datasets": ["digits"], "models": ["mlp"]},
    {"datasets": ["again"], "attacks": ["fgsm"]},
    {"datasets": ["again"], "attacks": ["push"]},
    {"models": ["softmax"]},
]


def only(part: dict[str, list[str]]) -> tuple[str, str, str]:
    return CELLS, "--config", f"only={json.dumps(part)}"


def ledgers(workdir: Workdir) -> dict[Path, int]:
    found = (workdir.directory / "results").rglob("ledger/blind/**/[!.]*.parquet")
    return {path: path.stat().st_mtime_ns for path in found}


def kill_in_the_middle(workdir: Workdir, part: dict[str, list[str]]) -> None:
    """Start a part, kill its controller while an attack works, and cancel what that left."""
    halt = workdir.directory / "strikes" / "0.1"
    halt.write_text("halt")
    running = submit(workdir, *only(part))
    mark = workdir.directory / "strikes" / "0.1 halted"
    wait("an attack to halt", mark.exists, seconds=240)
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()
    script = workdir.project / "profiles" / "slurm" / "recover.sh"
    path = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    subprocess.run([script, workdir.directory], env=path, check=True, capture_output=True)
    halt.unlink()
    wait("its jobs to end", lambda: not output("squeue", "--noheader"), seconds=60)


def test_parts_make_the_whole_though_a_controller_is_killed(tmp_path: Path) -> None:
    workdir = prepare(tmp_path / "parts", WHOLE)
    made: Counter[str] = Counter()
    for index, part in enumerate(PARTS):
        before = ledgers(workdir)
        if index == 2:
            kill_in_the_middle(workdir, part)
        code, said = run(workdir, *only(part))
        assert code == 0, said
        jobs = accounted(said)
        assert {job.state for job in jobs} == {"COMPLETED"}
        made.update(job.comment for job in jobs)
        # Nothing of the other parts is made again.
        after = ledgers(workdir)
        assert {path: after[path] for path in before} == before
        assert len(after) > len(before)
    # No job was finished twice.
    assert max(made.values()) == 1, made
    left = {job.rule for job in workdir.scheduled(CELLS)}
    assert left == {"collect"}
    workdir.run(CELLS)

    whole = prepare(tmp_path / "whole", WHOLE)
    whole.run(CELLS)
    assert workdir.cells.read_bytes() == whole.cells.read_bytes()
