"""What a run says of itself in the terminal: what will happen, and a line that moves."""

import logging
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task
from rich.table import Column
from rich.text import Text
from snakemake.logging import logger
from snakemake_interface_logger_plugins.common import LogEvent

from epsigma.estimate import Estimate, estimate_time, tell_time

# Where no line can move, one is printed after so many seconds, and ever more seldom.
FIRST, MORE_SELDOM, MOST_SELDOM = 20, 1.5, 600
# How many names are listed.
NAMED = 5


def announce_jobs(jobs: Sequence[Any], cores: int | None) -> Estimate | None:
    """Say what a run makes, and how long that will take if it is known.

    Args:
        jobs: Snakemake's, of a run.
        cores: of this machine that it may use; None if the jobs run on others.

    Returns:
        How long, if the jobs run here.
    """
    where = "" if cores is None else f" on {_count(cores, 'core')}"
    parts = ", ".join(_list_parts(jobs))
    logger.info(f"{_count(len(jobs), 'job')}{where}" + (f": {parts}" if parts else ""))
    if cores is None:
        return None
    estimate = estimate_time(jobs, cores)
    known = len(jobs) - estimate.unknown
    source = "as such jobs have taken in this folder"
    if not estimate.unknown:
        logger.info(f"this takes about {tell_time(estimate.seconds)}, {source}")
    elif not any(estimate.of_jobs):
        logger.info("how long this takes is unknown: no such job has run in this folder yet")
    else:
        logger.info(
            f"this takes at least {tell_time(estimate.seconds)}, {source}: of "
            f"{_count(known, 'job')}; of the other {estimate.unknown} none has run here yet"
        )
    return estimate


def _list_parts(jobs: Iterable[Any]) -> list[str]:
    """Say how many models are trained, and so on, by the files that jobs make."""
    counts = {".ckpt": 0, "/adversarial/": 0, "/metrics/": 0, ".svg": 0}
    attacks: dict[str, None] = {}
    for job in jobs:
        for path in map(str, job.output):
            for part in counts:
                counts[part] += part in path and not path.endswith(".log")
            if "/adversarial/" in path:
                attacks[str(job.wildcards["attack"])] = None
    trained, sets, cells, figures = counts.values()
    names = ", ".join(attacks) if len(attacks) <= NAMED else _count(len(attacks), "attack")
    said = [
        (trained, f"train {_count(trained, 'model')}"),
        (sets, f"make {_count(sets, 'adversarial set')} ({names})"),
        (cells, f"score {_count(cells, 'cell')}"),
        (figures, f"draw {_count(figures, 'figure')}"),
    ]
    return [text for count, text in said if count]


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}" + ("s" if n != 1 else "")


class _State(ProgressColumn):
    """How far a run is, for how long it has run and still will, and what runs now."""

    def __init__(self) -> None:
        # What does not fit is cut off: of several lines those above would stay.
        super().__init__(table_column=Column(no_wrap=True, overflow="ellipsis"))

    def render(self, task: Task) -> Text:
        """Count up, and down to when the jobs that are left would be done."""
        parts = [
            f"{task.completed:.0f} of {task.total:.0f} jobs",
            str(timedelta(seconds=int(task.elapsed or 0))),
        ]
        ends = task.fields["ends"]
        if ends is not None and not task.finished:
            left = ends - time.monotonic()
            parts.append(f"about {tell_time(left)} left" if left > 0 else "longer than before")
        now = task.fields["now"]
        return Text(", ".join(parts) + (f": {now}" if now else ""))


class MovingLine(logging.Handler):
    """Shows how far a run is, by what Snakemake logs: in a terminal a line that moves.

    Where the output is no terminal, a plain line now and then.

    Args:
        console: where it is shown.
        seconds: of each job by its id, None if unknown.
        estimate: what is known of all.
    """

    def __init__(
        self, console: Console, seconds: Mapping[int, float | None], estimate: Estimate | None
    ) -> None:
        super().__init__()
        self._console = console
        self._waits = dict(seconds)
        self._total = len(seconds)
        self._running: dict[int, tuple[str, dict[str, str]]] = {}
        self._began = time.monotonic()
        known = estimate is not None and not estimate.unknown
        self._estimate = estimate.seconds if known and estimate else None
        self._work = sum(value or 0.0 for value in seconds.values())
        self._is_over = threading.Event()
        self._line = Progress(
            BarColumn(bar_width=16),
            _State(),
            console=console,
            transient=True,
            refresh_per_second=4,
        )
        self._task = self._line.add_task("", total=self._total, now="", ends=self._find_end())
        if console.is_terminal:
            self._line.start()
        else:
            threading.Thread(target=self._tell_now_and_then, daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Follow the jobs that begin, end and fail."""
        event = getattr(record, "event", None)
        told = vars(record)
        if event == LogEvent.JOB_INFO:
            self._running[told["jobid"]] = told["rule_name"], dict(told["wildcards"].items())
        elif event == LogEvent.JOB_FINISHED:
            self._running.pop(told["job_id"], None)
            self._waits.pop(told["job_id"], None)
        elif event == LogEvent.JOB_ERROR:
            rule, wildcards = self._running.pop(told["jobid"], (told["rule_name"], {}))
            which = ", ".join(f"{name}={value}" for name, value in wildcards.items())
            text = f"✗ failed: {rule}" + (f" ({which})" if which else "")
            self._console.print(Text(text, style="yellow"), soft_wrap=True)
        else:
            return
        self._line.update(
            self._task,
            completed=self._total - len(self._waits),
            now=", ".join(self._list_running()),
            ends=self._find_end(),
        )

    def close(self) -> None:
        """Remove the line."""
        self._is_over.set()
        if self._console.is_terminal:
            self._line.stop()
        super().close()

    def _list_running(self) -> list[str]:
        names = dict.fromkeys(name.replace("_", " ") for name, _ in list(self._running.values()))
        return list(names)[:2]

    def _find_end(self) -> float | None:
        """Find when what is left will be done, by its share of the work."""
        if not self._estimate or not self._work:
            return None
        left = sum(value or 0.0 for value in self._waits.values())
        return time.monotonic() + self._estimate * left / self._work

    def _tell_now_and_then(self) -> None:
        pause: float = FIRST
        while not self._is_over.wait(pause):
            pause = min(pause * MORE_SELDOM, MOST_SELDOM)
            done = self._total - len(self._waits)
            now = ", ".join(self._list_running())
            logger.info(
                f"{done} of {self._total} jobs done after "
                f"{tell_time(time.monotonic() - self._began)}" + (f"; now: {now}" if now else "")
            )
