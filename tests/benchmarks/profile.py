"""Where the time of a cold sweep goes: samples of all threads, sorted by what they were doing.

py-spy looks at every thread of Snakemake and of its children a hundred times a second, and keeps
the stacks of those that run. The processors' seconds, which the kernel counts, are dealt out by the
shares of the samples, and the rest up to wall time × cores is idle: the figure adds up. When the
cores of the run that is not sampled are busy, and with which jobs, says `benchmarks.timeline`.
"""

import re
import shutil
import sys
from collections import Counter
from pathlib import Path

import matplotlib

from benchmarks import CORES, RESULTS, data, timeline
from benchmarks.rounds import interleaved
from benchmarks.sweep import studies
from benchmarks.timeline import Watch
from benchmarks.workflow import snakemake, write_study

RATE = 100
IDLE = "idle"
# Of a stack, outermost frame first, the first line that fits says what it is.
ACTIVITIES = {
    "importing": r"<frozen importlib|_find_and_load|import_module \(importlib",
    "reading": r"read_(?!study)\w+ \(epsigma|load_file|load_classifier|read_csv"
    r"|stages/dataset\.py|epsigma/storage/stored",
    # `write_parts` has the attack make what it writes.
    "writing": r"(atomic_write|write_(?!parts)\w+) \(epsigma|save_file|savefig|to_csv"
    r"|save_checkpoint|epsigma/storage/writing",
    "training": r"stages/train\.py",
    "figures": r"matplotlib|seaborn|stages/(fooling/)?(draw|gallery|spectrum|card)\.py"
    r"|epsigma/figures",
    "tables and checks": r"stages/(collect|tabulate|unpack|reference|check)\.py"
    r"|epsigma/(checks|tables)",
    "arithmetic": r"stages/(fooling/)?(attack|filter|evaluate|probe)\.py"
    r"|epsigma/(attacks|filters|models|probing)/",
    "provenance, configuration": r"epsigma/(storage/provenance|study/|plan/|kinds|engine)",
    "scheduling": r"snakemake",
    "other": r"",
}
COLOURS = {
    "importing": "#E69F00",
    "scheduling": "#0072B2",
    "provenance, configuration": "#56B4E9",
    "reading": "#F0E442",
    "training": "#999999",
    "arithmetic": "#009E73",
    "writing": "#D55E00",
    "tables and checks": "#CC79A7",
    "figures": "#882255",
    "other": "#444444",
    IDLE: "#EEEEEE",
}


def measure(rounds, small):
    with data.workplace() as place:
        runs = {
            (("study", name),): profiled(place, study | {"data_dir": str(place)})
            for name, study in studies(small).items()
        }
        yield from interleaved(runs, rounds)


def profiled(place, study):
    """Make a run of the workflow that is sampled, and another that is not, for its seconds."""

    def once():
        file = write_study(place / "study.yaml", study)
        spy, stacks = Path(sys.executable).with_name("py-spy"), place / "stacks.txt"
        before = [spy, "record", "--subprocesses", "--format", "raw", "--rate", str(RATE)]
        before += ["--output", stacks, "--"]
        directory = place / "run"
        directory.mkdir()
        spent = snakemake(file, directory, before=before)
        shutil.rmtree(directory)
        directory.mkdir()
        bare = snakemake(file, directory, watch=Watch)
        told = [*bare.watched.rows(), *timeline.spans(directory, bare.watched.started)]
        shutil.rmtree(directory)
        busy = shares(stacks.read_text())
        stacks.unlink()
        available = bare.seconds * CORES
        used = {name: share * bare.processor_seconds for name, share in busy.items()}
        used[IDLE] = max(available - bare.processor_seconds, 0.0)
        return [
            {
                "activity": name,
                "core_seconds": value,
                "wall_seconds": bare.seconds,
                "sampled_wall_seconds": spent.seconds,
            }
            for name, value in used.items()
        ] + told

    return once


def shares(stacks):
    """Sort stacks, `frame;frame;… count` a line, into activities.

    Returns:
        What part of the samples each has; all together make 1.
    """
    counts = Counter(dict.fromkeys(ACTIVITIES, 0))
    for line in stacks.splitlines():
        stack, _, count = line.rpartition(" ")
        counts[activity(stack)] += int(count)
    total = counts.total()
    return {name: count / total for name, count in counts.items()}


def activity(stack):
    """Say what a stack was doing."""
    return next(name for name, sign in ACTIVITIES.items() if re.search(sign, stack))


def draw(table, folder=RESULTS):
    """Draw the medians as stacked bars, a study a bar, into `profile.svg` and `.png`."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    keys = ["study", "activity"]
    seconds = table.groupby(keys, sort=False)["core_seconds"].median().unstack("activity")
    with matplotlib.rc_context({"svg.hashsalt": "epsigma", "font.size": 9}):
        figure, axes = plt.subplots(figsize=(7.5, 1.4 + 0.7 * len(seconds)), layout="constrained")
        left = [0.0] * len(seconds)
        for name, colour in COLOURS.items():
            if name not in seconds:
                continue
            width = seconds[name].fillna(0)
            axes.barh(seconds.index, width, left=left, color=colour, label=name, height=0.6)
            for at, (start, length) in enumerate(zip(left, width, strict=True)):
                if length > 0.05 * seconds.sum(axis=1).max():
                    axes.text(start + length / 2, at, f"{length:.1f}", ha="center", va="center")
            left = [start + length for start, length in zip(left, width, strict=True)]
        axes.set_xlabel(f"core-seconds: wall time × {CORES} cores")
        axes.invert_yaxis()
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.35), ncols=4, frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
        for suffix, metadata in (("svg", {"Date": None}), ("png", {})):
            figure.savefig(folder / f"profile.{suffix}", metadata=metadata, dpi=150)
        plt.close(figure)
