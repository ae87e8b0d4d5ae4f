"""What a run says in the terminal: what will happen, how far it is, and what came of it."""

import inspect
import io
import logging
import time
from types import SimpleNamespace

import epsigma.terminal
import pytest
import snakemake.api
from epsigma.engine import tell_study
from epsigma.estimate import Estimate
from epsigma.messages import _hide_jobs, shows_line
from epsigma.study import validate
from epsigma.summary import summarize
from epsigma.terminal import MovingLine, announce_jobs
from rich.console import Console
from snakemake.jobs import Job
from snakemake.settings.enums import Quietness
from snakemake_interface_logger_plugins.common import LogEvent

JOBS = [
    SimpleNamespace(output=["d/m/seed~0/checkpoint.ckpt"], input=[], wildcards={}),
    *(
        SimpleNamespace(
            output=[f"d/adversarial/blind/{attack}/eps~{eps}.safetensors"],
            input=[],
            wildcards={"attack": attack},
        )
        for attack, eps in (("fgsm", 0.1), ("pgd", 0.1), ("pgd", 0.2))
    ),
    SimpleNamespace(output=["d/metrics/a.json", "d/ledger/a.parquet"], input=[], wildcards={}),
    SimpleNamespace(output=["d/figures/a.svg", "d/figures/a.png"], input=[], wildcards={}),
    SimpleNamespace(output=[], input=[], wildcards={}),
]


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(epsigma.terminal, "logger", SimpleNamespace(info=lines.append))
    return lines


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([60] * 6, "this takes about 3 min, as such jobs have taken in this folder"),
        ([None] * 6, "how long this takes is unknown: no such job has run in this folder yet"),
        (
            [60, None, None, 60, 60, 60],
            "this takes at least 2 min, as such jobs have taken in this folder: of 5 jobs; "
            "of the other 2 none has run here yet",
        ),
    ],
)
def test_what_will_happen_and_how_long_it_takes(said, monkeypatch, times, expected):
    known = [time for time in times if time]
    estimate = Estimate(sum(known) / 2, times.count(None), [*times, 0.0])
    monkeypatch.setattr(epsigma.terminal, "estimate_time", lambda jobs, cores: estimate)
    assert announce_jobs(JOBS, 2) is estimate
    assert said == [
        "7 jobs on 2 cores: train 1 model, make 3 adversarial sets (fgsm, pgd), score 1 cell, "
        "draw 1 figure",
        expected,
    ]


def test_of_jobs_that_run_elsewhere_no_time_is_told(said):
    assert announce_jobs(JOBS[-1:], None) is None
    assert said == ["1 job"]


def event(kind, **told):
    made = logging.LogRecord("snakemake", logging.INFO, "", 0, "", None, None)
    vars(made).update(event=kind, **told)
    return made


def follow(line):
    """Two jobs, of which one ends and one fails."""
    for number, rule in ((3, "attack_aware"), (5, "train")):
        line.handle(
            event(LogEvent.JOB_INFO, jobid=number, rule_name=rule, wildcards={"model": "[m]"})
        )
    line.handle(event(LogEvent.JOB_FINISHED, job_id=3))


def console(*, is_terminal, width=120):
    return Console(file=io.StringIO(), force_terminal=is_terminal, width=width, color_system=None)


def test_a_line_moves_in_a_terminal_and_is_gone_at_the_end(said):
    shown = console(is_terminal=True)
    line = MovingLine(shown, {3: 20.0, 5: 60.0}, Estimate(40, 0, [20.0, 60.0]))
    follow(line)
    time.sleep(0.6)
    last = shown.file.getvalue().splitlines()[-1]
    assert "1 of 2 jobs" in last
    # Three quarters of the work are left.
    assert "about 30 s left: train" in last or "about 29 s left: train" in last
    line.handle(event(LogEvent.JOB_ERROR, jobid=5, rule_name="train"))
    line.close()
    assert "✗ failed: train (model=[m])\n" in shown.file.getvalue()
    # The line is erased, and the cursor back.
    assert shown.file.getvalue().endswith("\x1b[?25h\r\x1b[1A\x1b[2K")
    assert said == []


@pytest.mark.parametrize("width", [60, 80])
def test_a_line_is_one_line(said, width):
    shown = console(is_terminal=True, width=width)
    seconds = dict.fromkeys(range(1234), 60.0)
    line = MovingLine(shown, seconds, Estimate(50_000, 0, list(seconds.values())))
    for number, rule in enumerate(("evaluate_clean_of_everything", "probe_attack_aware")):
        line.handle(event(LogEvent.JOB_INFO, jobid=number, rule_name=rule, wildcards={}))
    line.handle(event(LogEvent.JOB_FINISHED, job_id=7))
    line.close()
    text = shown.file.getvalue()
    assert "1 of 1234 jobs, 0:00:0" in text
    # One at the end, before the line is erased.
    assert text.count("\n") == 1


@pytest.mark.parametrize("estimate", [None, Estimate(40, 1, [20.0, None])])
def test_without_a_known_time_none_is_left(said, estimate):
    shown = console(is_terminal=True)
    line = MovingLine(shown, {3: 20.0, 5: None}, estimate)
    follow(line)
    line.close()
    assert "1 of 2 jobs" in shown.file.getvalue()
    assert "left" not in shown.file.getvalue()


def test_where_nothing_moves_a_line_is_printed_now_and_then(said, monkeypatch):
    monkeypatch.setattr(epsigma.terminal, "FIRST", 0.1)
    shown = console(is_terminal=False)
    line = MovingLine(shown, {3: None, 5: None}, None)
    follow(line)
    time.sleep(0.6)
    line.close()
    # After 0.1, 0.25 and 0.475 s.
    assert 1 <= len(said) <= 3
    assert set(said) == {"1 of 2 jobs done after 1 s; now: train"}
    assert shown.file.getvalue() == ""


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, True),
        ({"dryrun": True}, False),
        ({"is_main_process": False}, False),
        ({"verbose": True}, False),
        ({"quiet": {Quietness.PROGRESS}}, False),
        ({"handlers": [object()]}, False),
    ],
)
def test_the_line_is_for_runs_with_the_logger_of_the_profile(changed, expected):
    given = {"verbose": False, "quiet": None, "dryrun": False, "is_main_process": True, **changed}
    handlers = given.get("handlers", [SimpleNamespace(console=console(is_terminal=True))])
    workflow = SimpleNamespace(
        output_settings=SimpleNamespace(
            verbose=given["verbose"], quiet=given["quiet"], dryrun=given["dryrun"]
        ),
        is_main_process=given["is_main_process"],
        logger_manager=SimpleNamespace(get_log_handlers=lambda: handlers),
    )
    assert shows_line(workflow) is expected


def test_the_logger_of_the_profile_is_told_of_no_job():
    begins = event(LogEvent.RUN_INFO, stats={"attack": 3, "total": 3})
    assert _hide_jobs(begins)
    assert begins.stats == {"total": 0}
    assert not _hide_jobs(event(LogEvent.JOB_INFO))
    assert _hide_jobs(event(LogEvent.ERROR))


def test_snakemake_still_says_what_is_read_of_jobs():
    """If this fails, an upgrade of Snakemake wants another `epsigma.terminal`."""
    for part in ("jobid=", "rule_name=", "wildcards=", "event=LogEvent.JOB_INFO"):
        assert part in inspect.getsource(Job.log_info)
    for part in ("jobid=", "rule_name=", "event=LogEvent.JOB_ERROR"):
        assert part in inspect.getsource(Job.get_log_error_info)
    assert callable(snakemake.dag.DAG.jobid)


def test_a_study_is_told_before_anything_is_planned():
    study = {
        "datasets": [{"kind": "digits"}],
        "models": [
            {"kind": "mlp", "training": {"kind": "distillation", "temperature": [1, 20]}},
        ],
        "attacks": [{"kind": "fgsm", "eps": [0, 0.1]}],
        "filters": [],
        "seeds": [0, 1],
    }
    # Two temperatures are two models; of each seed two budgets.
    assert tell_study(validate(study)) == (
        "the study: 1 data set, 2 models, 1 attack, 0 filters, 2 seeds: 8 cells"
    )


HEAD = "dataset,model,attack,budget_name,budget,filter,best_for,strength_name,strength,none,blind,"
HEAD += "aware,clean_cost\n"
ROWS = [
    "d,m,fgsm,eps,0,blur,blind,sigma,1,0.95,0.95,0.94,0.01",
    "d,m,fgsm,eps,0.1,blur,blind,sigma,2,0.6,0.7,0.625,0.02",
    "d,m,fgsm,eps,0.1,blur,aware,sigma,3,0.6,0.6,0.6,0.03",
    "d,m,fgsm,eps,0.1,jpeg,blind,,,0.6,0.61,,-0.005",
    "d,m,fgsm,eps,0.2,blur,blind,sigma,1,0.1,0.2,0.1,0.01",
    "d,m,pgd,eps,0.2,blur,blind,sigma,1,0.05,0.1,0.05,0.01",
]


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results"
    (folder / "tables").mkdir(parents=True)
    (folder / "tables" / "verdict.txt").write_text("3 checks: 2 pass, 1 warn, 0 fail\n")
    (folder / "tables" / "headline.csv").write_text(HEAD + "\n".join(ROWS) + "\n")
    return folder


def test_a_summary_has_verdict_headline_and_where_to_look(results):
    (results / "explorer.html").touch()
    lines = summarize(results).splitlines()
    assert lines[1] == "3 checks: 2 pass, 1 warn, 0 fail"
    assert [" ".join(line.split()) for line in lines[5:9]] == [
        "attack budget filter strength no filter blind aware clean cost",
        "fgsm eps 0.1 blur sigma 2 60.0 % 70.0 % 62.5 % 2.0 points",
        "fgsm eps 0.1 jpeg - 60.0 % 61.0 % - -0.5 points",
        "pgd eps 0.2 blur sigma 1 5.0 % 10.0 % 5.0 % 1.0 points",
    ]
    assert lines[9] == f"  3 rows more, with intervals: {results}/tables/headline.csv"
    assert [line.split()[0] for line in lines[12:]] == [
        f"{results}/{name}" for name in ("explorer.html", "tables/", "report.html")
    ]
    assert "make report" in lines[-1]


def test_a_summary_is_short_whatever_the_study(results):
    rows = [f"d,m{n},fgsm,eps,0.1,blur,blind,sigma,1,0.5,0.6,0.55,0" for n in range(40)]
    (results / "tables" / "headline.csv").write_text(HEAD + "\n".join(rows) + "\n")
    text = summarize(results)
    assert "  32 rows more" in text
    assert len(text.splitlines()) < 24


def test_without_a_filter_there_is_no_headline(results):
    (results / "tables" / "headline.csv").write_text(HEAD)
    assert "accuracy" not in summarize(results)
