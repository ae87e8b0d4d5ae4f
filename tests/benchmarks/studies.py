"""Whole studies of config/, each cold, by this build and an earlier one."""

from benchmarks import data
from benchmarks.builds import HERE, make_earlier
from benchmarks.rounds import interleaved
from benchmarks.sweep import alike, by_workflow, read

STUDIES = {"adaptive": "adaptive.yaml", "default": "config.yaml"}
# On all images these take an hour and more.
FEW = {"adaptive": {"examples": 1000}}
COSTLY = ("pgd", "pgd_l2", "square")


def measure(rounds, small):
    builds = [HERE] if small else [HERE, make_earlier()]
    with data.workplace() as place:
        for name in ("default",) if small else STUDIES:
            runs = {
                (("study", name), ("variant", build.name)): by_workflow(
                    place, cut(name), build=build
                )
                for build in builds
            }
            yield from alike(interleaved(runs, rounds))


def cut(name):
    """A study, its costly attacks on few images if it is a large one."""
    study = read(STUDIES[name])
    for attack in study["attacks"]:
        if attack["kind"] in COSTLY:
            attack |= FEW.get(name, {})
    return study
