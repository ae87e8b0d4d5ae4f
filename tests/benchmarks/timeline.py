"""The timeline of a run: how busy each process is at each moment, and which jobs run then."""

import json
import threading
import time
from collections import defaultdict
from contextlib import suppress

import matplotlib
import psutil
from matplotlib.figure import Figure

from benchmarks import CORES, RESULTS

SAMPLED_EVERY = 0.05
# Seconds that a bar is wide; jobs of a rule that are less apart are drawn as one.
STEP = 0.25
MAIN, SERVER, STAGE = "main process", "fork server, importing", "training, figures"
COLOURS = {MAIN: "#0072B2", SERVER: "#E69F00", STAGE: "#882255"}
PROCESS, RULE = "process", "rule"


class Watch(threading.Thread):
    """Watches how much of the processors a process and what it starts take, until it ends."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid = pid
        self.started = time.time()
        # Of processors, by the step of `STEP` seconds and the sort of process.
        self.seconds = defaultdict(float)

    def run(self):
        known = {}
        with suppress(psutil.NoSuchProcess):
            main = psutil.Process(self.pid)
            while main.status() != psutil.STATUS_ZOMBIE:
                step = int((time.time() - self.started) / STEP)
                for process in (main, *main.children(recursive=True)):
                    with suppress(psutil.Error):
                        self._note(step, process, known)
                time.sleep(SAMPLED_EVERY)

    def _note(self, step, process, known):
        used = process.cpu_times()
        sort = _sort(process, self.pid)
        total = used.user + used.system
        self.seconds[step, sort] += total - known.get(process.pid, 0.0)
        known[process.pid] = total

    def rows(self):
        """A row a step and sort of process: how many cores it kept busy."""
        for (step, sort), seconds in sorted(self.seconds.items()):
            yield _row(PROCESS, sort, step * STEP, (step + 1) * STEP, seconds / STEP)


def _sort(process, main):
    """Say what a process is: Snakemake itself, its fork server, or a fork of that."""
    if process.pid == main:
        return MAIN
    return SERVER if process.ppid() == main else STAGE


def spans(directory, started):
    """A row for each time in which jobs of a rule ran, as Snakemake has recorded them.

    Args:
        directory: that Snakemake ran in.
        started: when, in seconds since the epoch.
    """
    jobs = defaultdict(set)
    for path in (directory / ".snakemake" / "metadata").rglob("*"):
        if path.is_file():
            told = json.loads(path.read_text())
            jobs[told["rule"]].add((told["starttime"] - started, told["endtime"] - started))
    for rule, times in sorted(jobs.items(), key=lambda one: min(one[1])):
        (start, end), *others = sorted(times)
        for begun, done in others:
            if begun > end + STEP:
                yield _row(RULE, rule, start, end)
                start = begun
            end = max(end, done)
        yield _row(RULE, rule, start, end)


def _row(of, lane, start, end, cores=None):
    return {"of": of, "lane": lane, "start": start, "end": end, "cores": cores}


def draw(table, folder=RESULTS):
    """Draw the first run of each study, into `timeline_….svg` and `.png`."""
    matplotlib.use("Agg")
    for study, rows in table[table["round"] == table["round"].min()].groupby("study", sort=False):
        with matplotlib.rc_context({"svg.hashsalt": "epsigma", "font.size": 9}):
            figure = _draw_study(study, *(rows[rows["of"] == of] for of in (PROCESS, RULE)))
            for suffix, metadata in (("svg", {"Date": None}), ("png", {})):
                path = folder / f"timeline_{study.replace(' ', '_')}.{suffix}"
                figure.savefig(path, metadata=metadata, dpi=150)


def _draw_study(study, processes, rules):
    """Draw above how many cores are busy, stacked by process, and below the jobs, a rule a line."""
    names = list(dict.fromkeys(rules["lane"]))
    heights = [1.6, max(0.2 * len(names), 0.2)]
    figure = Figure(figsize=(9, 1 + sum(heights)), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=heights)
    busy = processes.groupby(["start", "lane"])["cores"].sum().unstack("lane").fillna(0)
    lanes = [name for name in COLOURS if name in busy]
    colors = [COLOURS[name] for name in lanes]
    above.stackplot(busy.index, *(busy[name] for name in lanes), labels=lanes, colors=colors)
    above.axhline(CORES, color="0.4", linewidth=0.8)
    above.set_ylabel("busy cores")
    above.set_title(f"{study}, cold", loc="left")
    above.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False)
    for at, name in enumerate(names):
        found = rules[rules["lane"] == name]
        bars = zip(found["start"], found["end"] - found["start"], strict=True)
        below.broken_barh(list(bars), (at - 0.4, 0.8), color="#009E73")
    below.set_yticks(range(len(names)), names)
    below.invert_yaxis()
    below.set_xlabel("seconds since the start")
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
    return figure
