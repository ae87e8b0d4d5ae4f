"""The sweep: the workflow cold and after small changes, beside two scripts and an earlier build."""

import copy
import csv
import io
import shutil
import sys
from pathlib import Path

import yaml

from benchmarks import ROOT, data
from benchmarks.builds import HERE, make_earlier
from benchmarks.rounds import interleaved
from benchmarks.workflow import column_modes, run, snakemake, write_study

CONFIG = ROOT / "config"
SCRIPTS = {
    "script (a)": ("by_hand.py",),
    "script (a), lean": ("by_hand.py",),
    "script (b)": ("floor.py",),
    # The gradient is computed once a cell, as it has to be for an attack in general.
    "script (b), a gradient a cell": ("floor.py", "each"),
}
# What who wants it lean leaves out.
LEAN = {"epochs": 3, "validation": 0}
PAPER_AS_IT_IS = "blind and aware"
# They take as long as all others together.
ONCE = {
    (("study", PAPER_AS_IT_IS), ("variant", name)) for name in ("script (a)", "script (a), lean")
}
# How far apart the programs' accuracies on clean images may be, which train alike from other first
# weights; on the few images of mnist5k chance is larger.
ALIKE, ALIKE_OF_FEW = 0.015, 0.05


def read(name):
    """A study of config/, on the 5,000 images where there are no others."""
    study = yaml.safe_load((CONFIG / name).read_text())
    if not data.source():
        study["datasets"] = [{"kind": "mnist5k"}]
    return study


def studies(small):
    """config/paper.yaml as it is, and with the blind attacker alone."""
    paper = read("paper.yaml")
    if small:
        paper["attacks"][0]["eps"] = paper["attacks"][0]["eps"][:3]
        for block in paper["filters"]:
            name = "sigma" if "sigma" in block else "cutoff"
            block[name] = block[name][:2]
    blind = copy.deepcopy(paper)
    blind["attacks"][0]["threats"] = ["blind"]
    return {"blind": blind, PAPER_AS_IT_IS: paper}


def changes(study):
    """One thing after the other, each beside what came before."""
    study = copy.deepcopy(study)
    study["filters"][0]["sigma"] += [0.6]
    yield "one σ added", copy.deepcopy(study)
    study["attacks"][0]["eps"] += [0.0875]
    yield "one ε added", copy.deepcopy(study)
    study["attacks"][0]["loss"] = "margin"
    yield "FGSM's loss changed", copy.deepcopy(study)


def measure(rounds, small):
    # The earlier one takes minutes to make, which is no trial.
    builds = [HERE] if small else [HERE, make_earlier()]
    with data.workplace() as place:
        for name, study in studies(small).items():
            runs = {
                (("study", name), ("variant", script)): by_script(place, study, script)
                for script in SCRIPTS
            }
            for build in builds:
                runs[("study", name), ("variant", build.name)] = by_workflow(
                    place, study, build=build, changed=True
                )
            # Columns matter most where there are most cells.
            for mode in column_modes() if name == PAPER_AS_IT_IS else ():
                identity = (("study", name), ("variant", f"{HERE.name}, columns: {mode}"))
                runs[identity] = by_workflow(place, study | {"columns": mode})
            yield from alike(interleaved(runs, rounds, ONCE))


def by_script(place, study, name):
    """Make a run of a script, in an interpreter of its own."""
    script, *more = SCRIPTS[name]
    path = Path(__file__).parent / "scripts" / script
    study = copy.deepcopy(study)
    if name.endswith("lean"):
        study["models"][0]["training"] |= LEAN

    def once():
        given = write_study(place / "study.yaml", study)
        spent = run([sys.executable, path, given, place, *more], cwd=place)
        return [{"what": "cold", **told(spent), "clean_accuracy": clean_accuracy(spent.output)}]

    return once


def by_workflow(place, study, *, build=HERE, changed=False):
    """Make a run of a build in a fresh directory: cold, a no-op, and, if asked, each change."""
    # A check that fails on some machine is no reason to lose its figures.
    common = {"data_dir": str(place), "strict": False}

    def once():
        directory = place / "run"
        directory.mkdir()
        base = write_study(place / "study.yaml", study | common)
        spent = snakemake(base, directory, build=build)
        table = (directory / "results" / "tables" / "cells.csv").read_text()
        found = [{"what": "cold", **told(spent), "clean_accuracy": clean_accuracy(table)}]
        found.append({"what": "no-op", **told(snakemake(base, directory, build=build))})
        for what, other in changes(study) if changed else ():
            file = write_study(place / "changed.yaml", other | common)
            found.append({"what": what, **told(snakemake(file, directory, build=build))})
        shutil.rmtree(directory)
        return found

    return once


def told(spent):
    """What is told of a process."""
    return {
        "seconds": spent.seconds,
        "processor_seconds": spent.processor_seconds,
        "peak_mib": spent.peak_mib,
    }


def clean_accuracy(table):
    """The accuracy at ε = 0 without a filter: of the workflow's cells.csv, or a script's table."""
    for row in csv.DictReader(io.StringIO(table)):
        if row["filter"] == "none" and float(row.get("eps") or row.get("budget")) == 0:
            return float(row["accuracy"])
    raise ValueError("the table has no cell at eps = 0 without a filter")


def alike(rows):
    """Pass rows on, if all programs come to about the same accuracy on clean images.

    Raises:
        AssertionError: if not: they then don't do the same.
    """
    known, apart = [], ALIKE if data.source() else ALIKE_OF_FEW
    for row in rows:
        if "clean_accuracy" in row:
            known.append(row["clean_accuracy"])
            if max(known) - min(known) > apart:
                raise AssertionError(f"clean accuracies from {min(known)} to {max(known)}: {row}")
        yield row
