"""Of a fault Snakemake prints one message of a few lines, once."""

import inspect
import logging
from pathlib import Path

import epsigma.messages
import pytest
from epsigma.messages import LAST, LONGEST, Messages, _hide_log
from snakemake.api import Workflow
from snakemake.exceptions import RuleException, WorkflowError, print_exception
from snakemake.jobs import Job
from snakemake.logging import LoggerManager, logger
from snakemake.scheduling.job_scheduler import _ERROR_MSG_FINAL
from snakemake_interface_logger_plugins.common import LogEvent

OWN = '  File "/a/own.py", line 1, in attack'
THEIRS = f'  File "{Path(epsigma.messages.__file__).parent}/job.py", line 1, in logged'
FRAME = f'  File "/a/attack.smk", line 20, in __rule_attack\n{THEIRS}'


def record(text, event=None, **more):
    made = logging.LogRecord("snakemake", logging.ERROR, "", 0, text, None, None)
    vars(made).update({**({"event": event} if event else {}), **more})
    return made


def printed(*texts, event=LogEvent.ERROR):
    """What is printed of several records, one after the other."""
    messages = Messages(tells_logs=True)
    records = [record(text, event) for text in texts]
    return [one.getMessage() for one in records if messages.filter(one)]


def of_job(rule, reason, kind="ValueError"):
    return f'RuleException:\n{kind} in file "/a/{rule}.smk", line 20:\n{reason}\n{FRAME}'


LONG = "\n".join(f"line {number}" for number in range(30))


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([of_job("a", "no")], ['ValueError in file "/a/a.smk", line 20:\nno']),
        # Where in the user's own code, as near as it is known.
        (
            [of_job("a", "no") + f"\n{OWN}\n{OWN.replace('1', '7')}\n{THEIRS}"],
            ['ValueError in file "/a/a.smk", line 20:\nno\n' + OWN.replace("1", "7")],
        ),
        # The same fault of other jobs, of the same rule or another.
        ([of_job("a", "no"), of_job("a", "no"), of_job("b", "no")], 1),
        ([of_job("a", "no"), of_job("a", "not this")], 2),
        (
            [f'WorkflowError in file "/a/common.smk", line 1:\nit cannot be run:\n  a\n{FRAME}'],
            ['WorkflowError in file "/a/common.smk", line 1:\nit cannot be run:\n  a'],
        ),
        (
            [f"InputFunctionException in rule a:\nError:\n  no\nTraceback:\n{FRAME}"],
            ["InputFunctionException in rule a:\nError:\n  no"],
        ),
        # An error of Snakemake itself, whose traceback is all that there is.
        ([f"Traceback (most recent call last):\n{FRAME}\nKeyError: 1"] * 2, 2),
        (
            ["MissingRuleException:\nNo rule to produce x"],
            ["MissingRuleException:\nNo rule to produce x"],
        ),
        (["WorkflowError:\nAt least one job did not complete"] * 2, 2),
    ],
)
def test_an_error_is_its_message_and_is_said_once(texts, expected):
    found = printed(*texts)
    assert (len(found) if isinstance(expected, int) else found) == expected


@pytest.mark.parametrize("frames", ["", f"\n{FRAME}", f"\n{FRAME}\n{OWN}"])
@pytest.mark.parametrize(
    "text",
    [
        of_job("a", LONG),
        # As Snakemake lists faults of a configuration, and files that are missing.
        f'WorkflowError in file "/a/common.smk", line 1:\n{LONG}',
        f"MissingInputException in rule a:\n{LONG}",
    ],
)
def test_no_error_is_longer_than_ten_lines_and_its_remedy_at_the_end_stays(text, frames):
    (found,) = printed(text + frames)
    lines = found.splitlines()
    own = frames.endswith(OWN)
    assert len(lines) == LONGEST + own <= 10
    assert lines[:3] == [text.removeprefix("RuleException:\n").split("\n")[0], "line 0", "line 1"]
    assert lines[-1 - own] == "line 29"
    # What is shown, and what is said not to be, are all lines: the first one says in which rule.
    assert lines[LONGEST - LAST - 1] == f"  … {31 - (LONGEST - 1)} lines more …"


def test_two_long_errors_that_differ_in_the_middle_are_two():
    other = LONG.replace("line 15", "line 15b")
    assert len(printed(of_job("a", LONG), of_job("a", other), of_job("a", LONG))) == 2


def test_what_is_no_error_stays_but_for_removals():
    texts = ["Removing temporary output a.", "Would remove temporary output a.", "3 of 4 steps"]
    assert printed(*texts, event=None) == ["3 of 4 steps"]


@pytest.mark.parametrize("tells_end", [True, False])
@pytest.mark.parametrize(
    ("text", "event"),
    [
        (_ERROR_MSG_FINAL, None),
        # As `Workflow.execute` raises it.
        ("WorkflowError:\nAt least one job did not complete successfully.", LogEvent.ERROR),
    ],
)
def test_that_a_job_failed_is_said_by_the_process_that_runs_all(text, event, tells_end):
    messages = Messages(tells_logs=True, tells_end=tells_end)
    assert messages.filter(record(text, event)) is tells_end
    assert messages.filter(record(of_job("a", "no"), LogEvent.ERROR))


@pytest.mark.parametrize("tells_logs", [True, False])
def test_where_the_log_of_a_failed_job_is_is_told_once(tells_logs, caplog):
    logging.getLogger("snakemake.logging").propagate = True
    failed = record("Error in rule a", LogEvent.JOB_ERROR, rule_name="a", log=["logs/a.log"])
    assert Messages(tells_logs=tells_logs).filter(failed)
    assert failed.log == ["logs/a.log"]
    assert [one.getMessage() for one in caplog.records] == (
        [] if tells_logs else ["the log of a: logs/a.log"]
    )


def test_a_logger_that_prints_logs_of_failed_jobs_knows_none():
    started = record("rule a", LogEvent.JOB_INFO, log=["logs/a.log"])
    assert _hide_log(started)
    assert started.log == []


class Seen(logging.Handler):
    """Keeps what Snakemake logs."""

    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        self.records.append(record)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        # As a job's rule raises it: `run_wrapper` formats what the job raised.
        (RuleException(of_job("a", "no").removeprefix("RuleException:\n")), of_job("a", "no")),
        (WorkflowError("no"), "WorkflowError:\nno"),
    ],
)
def test_snakemake_logs_errors_as_they_are_read_here(error, expected):
    handler = Seen()
    logger.addHandler(handler)
    try:
        print_exception(error)
    finally:
        logger.removeHandler(handler)
    (made,) = [one for one in handler.records if one.levelno == logging.ERROR]
    assert made.event == LogEvent.ERROR
    assert made.getMessage() == expected


def test_snakemake_still_says_what_is_read_of_a_job_that_fails():
    """If this fails, an upgrade of Snakemake wants another `epsigma.messages`."""
    told = inspect.getsource(Job.get_log_error_info)
    for part in ("rule_name=", "log=", "event=LogEvent.JOB_ERROR"):
        assert part in told
    assert callable(LoggerManager.get_log_handlers)
    assert isinstance(Workflow.is_main_process, property)
