"""Stage explore: one page on which all cells of a study are looked at."""

from collections.abc import Sequence
from typing import Any

from epsigma.device import CPU
from epsigma.explorer.following import (
    Following,
    Pictures,
    list_clean_right,
    open_ledgers,
    open_sets,
)
from epsigma.explorer.gather import gather
from epsigma.job import Job
from epsigma.pages import render_explorer
from epsigma.randomness import seeded_generator
from epsigma.storage.files import write_text
from epsigma.storage.images import read_class_names
from epsigma.storage.provenance import versions
from epsigma.tables.reading import Tables
from epsigma.vocabulary import FOOLING


def explore(
    job: Job,
    *,
    tables: Sequence[str],
    ledgers: Sequence[str],
    clean: Sequence[str],
    sets: Sequence[str],
    tests: Sequence[str],
    explorer: str,
) -> None:
    """Write the explorer: HTML that needs no other file.

    It reads the tables that `epsigma.plan.explorer` names, the ledgers of all cells and of clean
    images through each filter, the adversarial sets that are shown, and the test images of all data
    sets. The job's settings
    are the `attacks` by name (`family`, `norm`), the `names` of data sets and models as a reader
    would say them, the `filters` at all strengths that images are put through, and the `pattern`
    of the path of a cell's metrics.
    """
    with job.logged() as log:
        opened, shown = open_ledgers(ledgers), open_sets(sets)
        attacks = job.settings["attacks"]
        attacked = [file for file in opened if attacks[file.cell["attack"]]["family"] != FOOLING]
        following = Following(attacked)
        pictures = Pictures(following)
        pictures.add_clean(tests)
        pictures.add_attacked(shown)
        generator = seeded_generator(job, CPU, "filter")
        pictures.add_filtered(shown, attacked, job.settings["filters"], generator)
        prefix = explorer[: explorer.rindex("results/")]
        data: dict[str, Any] = {
            **gather(Tables(tables), opened, shown, following, pictures, attacks),
            "clean_right": list_clean_right(open_ledgers(clean), following.examples),
            "names": job.settings["names"],
            "class_names": dict(
                zip(job.settings["datasets"], map(read_class_names, tests), strict=True)
            ),
            "metrics": prefix + job.settings["pattern"],
            "configuration": f"{prefix}results/tables/configuration.yaml",
            "versions": versions(),
        }
        write_text(explorer, render_explorer(data))
        log.info("%d cells, %d sprites", len(opened), len(pictures.sprites.made))
