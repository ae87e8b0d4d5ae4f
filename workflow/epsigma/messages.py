"""What Snakemake prints: what is news, and of a fault one message of a few lines."""

import logging
import re
import sysconfig
from pathlib import Path
from typing import Any

from snakemake.logging import is_quiet_about, logger
from snakemake_interface_logger_plugins.common import LogEvent

# Lines of an error, beside the line of the user's own code; of a longer one the last so many stay.
LONGEST, LAST = 8, 3
_OF_JOBS = (LogEvent.JOB_INFO, LogEvent.JOB_FINISHED, LogEvent.JOB_ERROR)
_REMOVALS = ("Removing temporary output", "Would remove temporary output")
# What the process of a job says after the reason; the one that started it says it, too.
_ENDS = ("Exiting because a job execution failed", "At least one job did not complete")
_FRAME = re.compile(r'  File "(.*)", line \d+, in |Traceback:$')
# Where frames say nothing to the user: rules, this package, Python's own and installed ones.
_FOLDERS = (str(Path(__file__).parent), sysconfig.get_path("stdlib"))
_OURS = re.compile(rf"\.smk$|/site-packages/|^({'|'.join(map(re.escape, _FOLDERS))})/|^<")


def keep_short(workflow: Any) -> None:
    """Have Snakemake say each thing once.

    It prints an error, and where it came from, and the logger of `profiles/default` prints all of
    the job's log beside it, which has the error again. The job's log keeps the traceback, and
    `--verbose` prints it.
    """
    if any(isinstance(one, Messages) for one in logger.filters):
        return
    loggers = workflow.logger_manager.get_log_handlers()
    logger.addFilter(Messages(tells_logs=not loggers, tells_end=workflow.is_main_process))
    for handler in loggers:
        handler.addFilter(_hide_log)
        if shows_line(workflow):
            handler.addFilter(_hide_jobs)


def shows_line(workflow: Any) -> bool:
    """Whether a line of our own shows how far a run is, and not what prints the records.

    That of `profiles/default` draws a bar for each rule, which are more than a terminal has lines;
    where there is no terminal it shows nothing.
    """
    settings = workflow.output_settings
    is_quiet = is_quiet_about(settings.quiet or (), "progress")
    is_wanted = not (settings.verbose or settings.dryrun or is_quiet)
    return bool(is_wanted and workflow.is_main_process and find_console(workflow))


def find_console(workflow: Any) -> Any:
    """Find the console that the logger of `profiles/default` prints to; None with another one."""
    handlers = workflow.logger_manager.get_log_handlers()
    return next(filter(None, (getattr(one, "console", None) for one in handlers)), None)


class Messages(logging.Filter):
    """Lets through what is news.

    Args:
        tells_logs: whether what prints the records says where the log of a failed job is.
        tells_end: whether it is news that a job failed, beside why it did.
    """

    def __init__(self, *, tells_logs: bool, tells_end: bool = True) -> None:
        super().__init__()
        self._tells_logs = tells_logs
        self._hidden = _REMOVALS if tells_end else (*_REMOVALS, *_ENDS)
        self._printed: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Shorten a record if it is an error's; whether it is worth printing."""
        event = getattr(record, "event", None)
        text = record.getMessage()
        if event == LogEvent.JOB_ERROR and not self._tells_logs:
            logger.error("the log of %s: %s", record.rule_name, ", ".join(record.log))  # type: ignore[attr-defined]
        if any(said in text for said in self._hidden):
            return False
        if event == LogEvent.ERROR and "Traceback (most recent call last)" not in text:
            return self._shorten(record, text)
        return True

    def _shorten(self, record: logging.LogRecord, text: str) -> bool:
        """Leave out frames but the last of the user's own, and what another job has said."""
        found = [(line, _FRAME.match(line)) for line in text.splitlines()]
        lines = [line for line, frame in found if not frame]
        own = [line for line, frame in found if frame and frame[1] and not _OURS.search(frame[1])]
        if lines[:1] == ["RuleException:"]:
            del lines[0]
            # The first one says in which rule.
            said = "\n".join(lines[1:] or lines)
            if said in self._printed:
                return False
            self._printed.add(said)
        record.msg, record.args = "\n".join([*_cut(lines), *own[-1:]]), None
        return True


def _cut(lines: list[str]) -> list[str]:
    """Leave out the middle of a long message: its end is the remedy."""
    more = len(lines) - LONGEST + 1
    if more <= 1:
        return lines
    return [*lines[: LONGEST - LAST - 1], f"  … {more} lines more …", *lines[-LAST:]]


def _hide_log(record: logging.LogRecord) -> bool:
    """Keep from a logger where a job's log is: it would print the log of one that fails."""
    if getattr(record, "event", None) == LogEvent.JOB_INFO:
        record.log = []
    return True


def _hide_jobs(record: logging.LogRecord) -> bool:
    """Keep from a logger the jobs, which `epsigma.terminal` shows; not that a run begins."""
    event = getattr(record, "event", None)
    if event == LogEvent.RUN_INFO:
        record.stats = {"total": 0}
    return event not in _OF_JOBS
