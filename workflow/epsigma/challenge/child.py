"""What runs in the process of a submitted filter: its trial, and its scoring."""

import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

from epsigma.challenge.landlock import confine

# Of the folder: what is asked for, that the trial is over, the answer, and what scoring makes.
REQUEST, TRIED, ANSWER, SCORED = "request.json", "tried", "answer.json", "scored"
# MB that a file may have.
FILE_MB = 2000


def main(folder: str) -> None:
    """Do what the request in a folder asks for, and leave the answer there.

    All is given up that the work does not need before anything is imported that starts threads.
    """
    here = Path(folder)
    request: dict[str, Any] = json.loads((here / REQUEST).read_text(encoding="utf-8"))
    limits = {
        resource.RLIMIT_DATA: request["memory_mb"] * 10**6,
        resource.RLIMIT_FSIZE: FILE_MB * 10**6,
        resource.RLIMIT_CORE: 0,
    }
    for what, most in limits.items():
        resource.setrlimit(what, (most, most))
    answer: dict[str, Any] = {"confined": confine(here)}
    os.chdir(here)
    sys.path[:0] = [str(here)]
    sys.path += request["path"]
    from epsigma.surroundings import settle

    settle()
    answer |= _answer(request, here)
    (here / ANSWER).write_text(json.dumps(answer), encoding="utf-8")


def _answer(request: dict[str, Any], here: Path) -> dict[str, Any]:
    """Do the work; say what is wrong, if something is."""
    from epsigma.challenge.rules import SubmissionError

    try:
        _work(request, here)
    except SubmissionError as error:
        return {"error": str(error)}
    return {}


def _work(request: dict[str, Any], here: Path) -> None:
    from epsigma.challenge.cells import Scoring
    from epsigma.challenge.rules import inside, read_rules
    from epsigma.challenge.trial import IMAGES, naming_line, read_study, try_filter
    from epsigma.device import CPU
    from epsigma.plan import paths
    from epsigma.plan.settings import block_levels, settings
    from epsigma.storage.stored import open_clean

    folder = Path(request["folder"])
    study = read_study(read_rules(folder), request["name"])
    (block,) = study.filters
    for dataset in study.names("datasets"):
        images = open_clean(inside(folder, paths.TEST.format(dataset=dataset)), CPU).images[:IMAGES]
        for strength in block_levels(study, "filters", block.name):
            made = settings(study, "filters", block.name, strength)
            gradient = "exact" if block.then else str(block.entry.gradient)
            try_filter(made, gradient, images)
    (here / TRIED).touch()
    with naming_line("scoring it"):
        Scoring(study, folder, here / SCORED).score_filter()
