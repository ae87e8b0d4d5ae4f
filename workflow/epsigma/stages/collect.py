"""Stage collect: one table of all cells."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import yaml
from statsmodels.stats.proportion import proportion_confint

from epsigma.files import read_json, whole, write_text
from epsigma.pages import table_page
from epsigma.reference import Study, scoreboard
from epsigma.stages.job import Job

CONFIDENCE = 0.95

COLUMNS = [
    "dataset",
    "model",
    "seed",
    "threat",
    "attack",
    "budget_name",
    "budget",
    "filter",
    "strength_name",
    "strength",
    "n",
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "n_correct_clean",
    "attack_success",
    "attack_success_low",
    "attack_success_high",
    "linf",
    "l2",
    "l0",
    "linf_max",
    "l2_max",
    "outside_max",
    "changed_max",
    "confidence",
]
# What follows them where the study asks for it: with 8 bits a value, and where detectors look on.
RATES = (
    ("accuracy_8bit", "n_correct_8bit", "n"),
    ("attack_success_8bit", "n_fooled_8bit", "n_correct_clean"),
    ("rejected", "n_rejected", "n"),
)


def collect(job: Job, *, metrics: Sequence[str], table: str) -> None:
    """Write the table of cells.

    Args:
        job: identity and log.
        metrics: the cells' JSON files, in the order of the rows.
        table: CSV to write, with the columns `COLUMNS`.
    """
    with job.logged() as log:
        cells = tabulate([read_json(path) for path in metrics])
        with whole(table) as temporary:
            cells.to_csv(temporary, index=False)
        log.info("%d cells", len(cells))


def read_table(path: str) -> pd.DataFrame:
    """Read a table of ours: an empty field is no value, and a name is text, even `null`."""
    text = dict.fromkeys(("dataset", "model", "attack", "filter"), str)
    return pd.read_csv(path, keep_default_na=False, na_values=[""], dtype=text)


def set_beside_published(
    job: Job, *, cells: str, clean: str, distortion: str, reference: str, page: str
) -> None:
    """Write the scoreboard.

    Args:
        job: its settings are the kinds of the `datasets` and `models` by name, and of the
            `attacks` by name, kind and hyper-parameters.
        cells: `cells.csv`.
        clean: `clean.csv`.
        distortion: `distortion.csv`.
        reference: CSV to write, see `epsigma.reference.scoreboard`.
        page: HTML to write, that shows it.
    """
    with job.logged():
        study = Study(
            clean=read_table(clean),
            cells=read_table(cells),
            distortion=read_table(distortion),
            **job.settings,
        )
        board = scoreboard(study)
        with whole(reference) as temporary:
            board.to_csv(temporary, index=False, float_format="%.6g")
        write_text(page, table_page(board, "Published figures, and ours"))


def write_configuration(job: Job, *, configuration: str) -> None:
    """Write the configuration that was run, defaults included, as YAML.

    Args:
        job: its settings are the configuration.
        configuration: the file to write.
    """
    with job.logged():
        text = yaml.safe_dump(job.settings, sort_keys=False, allow_unicode=True)
        write_text(configuration, text)


def tabulate(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Put cells' figures into a table, with intervals on every rate.

    Args:
        rows: as `epsigma.stages.evaluate.evaluate` writes them.

    Returns:
        The columns `COLUMNS`, and those of `RATES` of which a cell has the count. Intervals are
        Wilson's (1927), 95 %, and empty where the rate is.
    """
    cells = pd.DataFrame(rows)
    more = [(rate, count, n) for rate, count, n in RATES if count in cells]
    for rate, count, n in more:
        cells[rate] = cells[count] / cells[n].where(cells[n] > 0)
    for rate, count, n in (
        ("accuracy", "n_correct", "n"),
        ("attack_success", "n_fooled", "n_correct_clean"),
        *more,
    ):
        # Of no trials there is no rate: 0 of 1, then blanked.
        trials = cells[n].clip(lower=1)
        bounds = wilson(cells[count].astype(float), trials)
        for bound, values in zip(("low", "high"), bounds, strict=True):
            cells[f"{rate}_{bound}"] = pd.Series(values, cells.index).where(cells[n] > 0)
    names = [f"{rate}{bound}" for rate, _, _ in more for bound in ("", "_low", "_high")]
    return cells[[*COLUMNS, *names]]


def wilson(count: Any, trials: Any) -> tuple[Any, Any]:
    """Compute the bounds of Wilson's interval (1927), 95 %, of a share: numbers, or columns.

    Rounded where rounding errors begin: a bound of 0 is 0, not 4e-18.
    """
    low, high = proportion_confint(count, trials, 1 - CONFIDENCE, method="wilson")
    return np.round(low, 12), np.round(high, 12)
