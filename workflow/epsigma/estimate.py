"""How long the jobs of a run will take, by what Snakemake has recorded of earlier ones."""

import base64
import heapq
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

RECORDS = ".snakemake/metadata"
# Of files that differ in their levels only, so many are looked at.
LOOKED_AT = 20
# The value of a budget, a strength or a seed.
_LEVEL = re.compile(r"~\d[^/]*?(?=/|\.[a-z]|$)")


class Estimate(NamedTuple):
    """What is known of the time that jobs will take.

    Attributes:
        seconds: by the clock, of the jobs that are known.
        unknown: of how many jobs nothing is known.
        of_jobs: the seconds of each job, in the order of the jobs; None if unknown.
    """

    seconds: float
    unknown: int
    of_jobs: list[float | None]


def estimate_time(jobs: Sequence[Any], cores: int, records: str = RECORDS) -> Estimate:
    """Estimate how long a run takes: its jobs start one after the other, as cores become free.

    A job takes what jobs with the same files, but for budget, strength and seed, took in this
    folder, in the mean. Of one whose like has not run here nothing is known. What has changed
    since (settings, code, other work on the machine) is not seen.

    Args:
        jobs: Snakemake's; of each `input` and `output` are looked at.
        cores: how many jobs run at a time.
        records: the folder of Snakemake's records.
    """
    keys = [{_without_levels(str(path)) for path in job.output} for job in jobs]
    taken = _read_durations(Path(records), set().union(*keys))
    times = [max((taken[key] for key in of if key in taken), default=None) for of in keys]
    # `all` makes no file, and takes no time.
    times = [time if of else 0.0 for time, of in zip(times, keys, strict=True)]
    return Estimate(_schedule(jobs, times, cores), times.count(None), times)


def _schedule(jobs: Sequence[Any], times: Sequence[float | None], cores: int) -> float:
    """Find when the last job ends if each starts as soon as its inputs are there and a core is."""
    makers = {str(path): n for n, job in enumerate(jobs) for path in job.output}
    waits_for = [{makers[str(path)] for path in job.input if str(path) in makers} for job in jobs]
    followers = defaultdict(list)
    for n, before in enumerate(waits_for):
        for maker in before:
            followers[maker].append(n)
    ready = [(0.0, n) for n, before in enumerate(waits_for) if not before]
    free = [0.0] * max(cores, 1)
    ends = [0.0]
    while ready:
        start, n = heapq.heappop(ready)
        end = max(start, heapq.heappop(free)) + (times[n] or 0.0)
        heapq.heappush(free, end)
        ends.append(end)
        for follower in followers[n]:
            waits_for[follower].discard(n)
            if not waits_for[follower]:
                heapq.heappush(ready, (end, follower))
    return max(ends)


def _read_durations(records: Path, wanted: Iterable[str]) -> dict[str, float]:
    """Read how many seconds files took, from start of their job to the file, by their key."""
    found: dict[str, list[float]] = {key: [] for key in wanted}
    for path, record in _list_records(records):
        durations = found.get(_without_levels(path))
        if durations is None or len(durations) >= LOOKED_AT:
            continue
        try:
            told = json.loads(record.read_bytes())
            durations.append(max(told["endtime"] - told["starttime"], 0.0))
        except (OSError, ValueError, LookupError, TypeError):  # a kill cut it short
            continue
    return {key: fmean(durations) for key, durations in found.items() if durations}


def _list_records(records: Path) -> Iterator[tuple[str, Path]]:
    """Yield the files that Snakemake has recorded, and its record of each."""
    for record in records.rglob("*"):
        # A long name is cut into folders; theirs begin with @.
        parts = record.relative_to(records).parts
        try:
            name = "".join(part.removeprefix("@") for part in parts)
            yield base64.urlsafe_b64decode(name).decode(), record
        except ValueError:
            continue


def _without_levels(path: str) -> str:
    return _LEVEL.sub("~", path)


def tell_time(seconds: float) -> str:
    """Tell a time as a reader would: `40 s`, `3 min`, `2 h 10 min`."""
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    minutes = round(seconds / 60)
    hours, rest = divmod(minutes, 60)
    if not hours:
        return f"{minutes} min"
    return f"{hours} h {rest} min" if rest else f"{hours} h"
