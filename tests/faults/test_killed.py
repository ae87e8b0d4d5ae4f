"""Runs that are killed: nothing that was finished is lost, and a plain run ends as any other."""

import signal
import subprocess

import psutil
import pytest
from running import Workdir
from striking import (
    assert_as_undisturbed,
    files,
    forget,
    half_written,
    halted,
    interruptible,
    run,
    unfinished,
)

MODEL = "digits/net/seed~0"
CELL = f"results/{MODEL}/ledger/blind/push/eps~0.1/gaussian/sigma~1.parquet"
SETS = [f"{MODEL}/{name}/*/push/eps~0.1*" for name in ("adversarial", "filtered")]
SCORES = [f"{MODEL}/{name}/*/push/eps~0.1" for name in ("metrics", "ledger")]

# Where it strikes, and what is made anew there.
MOMENTS = {
    "training": ("training", ["digits"]),
    "the end of training": (f"naming results/{MODEL}/checkpoint.ckpt", ["digits"]),
    "training, its checkpoint written": (f"naming results/{MODEL}/training.json", ["digits"]),
    "a cell's attack": ("attack of 0.1", [*SETS, *SCORES]),
    "a cell, its ledger written": (f"naming {CELL}", [*SETS, *SCORES]),
    "collect, its table written": ("naming results/tables/cells.csv", []),
}


# SIGINT and SIGTERM let what is begun end, whatever it is; SIGKILL strikes where it strikes.
GRACEFUL = ("training", "a cell's attack", "collect, its table written")
# The others are slow tests.
FIRST = {
    (signal.SIGINT, "a cell's attack"),
    (signal.SIGTERM, "a cell's attack"),
    (signal.SIGKILL, "training"),
    (signal.SIGKILL, "a cell's attack"),
    (signal.SIGKILL, "collect, its table written"),
}


@pytest.mark.parametrize(
    ("which", "moment"),
    [
        *(
            pytest.param(which, moment, marks=() if (which, moment) in FIRST else pytest.mark.slow)
            for which in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
            for moment in (MOMENTS if which is signal.SIGKILL else GRACEFUL)
        ),
    ],
)
def test_a_killed_run_loses_nothing_and_goes_on(
    finished: Workdir, undisturbed: Workdir, which: signal.Signals, moment: str
) -> None:
    where, made_anew = MOMENTS[moment]
    forget(finished, *made_anew)
    kept = files(finished)
    with halted(finished, where) as running:
        children = psutil.Process(running.process.pid).children(recursive=True)
        running.strike(which)
        said = running.end()
        assert running.process.returncode != 0
        # A training process ends with the Snakemake that began it, even if that had no time.
        _, alive = psutil.wait_procs(children, timeout=10)
        assert not alive
    assert "Traceback" not in said or which is signal.SIGINT
    made = files(finished)
    assert kept.items() <= made.items(), "what was there is gone or was made again"
    assert not (which is signal.SIGKILL and where.startswith("naming")) or half_written(finished)
    assert which is signal.SIGKILL or not half_written(finished)

    if which is signal.SIGKILL:
        code, said = run(finished)
        assert code != 0
        assert "--unlock" in said
        assert finished.unlock().returncode == 0
    begun = unfinished(finished)
    assert_as_undisturbed(finished, undisturbed)
    again = {
        name for name, made_at in files(finished).items() if made.get(name, made_at) != made_at
    }
    assert again <= begun, "what was finished was made again"


def test_what_tests_start_is_interrupted_also_from_the_background() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in a background job
    try:
        with interruptible():
            process = subprocess.Popen(["sleep", "60"])
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == -signal.SIGINT
