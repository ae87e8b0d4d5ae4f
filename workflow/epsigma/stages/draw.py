"""Stage figures: draw what the tables say."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from safetensors import safe_open

from epsigma.cell import Level
from epsigma.checks.verdict import concerns
from epsigma.figures import style
from epsigma.figures.convergence import loss_by_step
from epsigma.figures.curves import (
    accuracy_by_budget,
    accuracy_by_strength,
    accuracy_of_attacks,
    success_by_budget,
)
from epsigma.figures.defences import accuracy_against_cost
from epsigma.figures.detectors import operating_characteristics
from epsigma.figures.fooling import draw_fooling
from epsigma.figures.gallery import draw_gallery
from epsigma.figures.spectrum import draw_spectrum
from epsigma.figures.threats import blind_and_aware, fallen_by_budget, worst_case_by_strength
from epsigma.job import Job
from epsigma.storage.files import atomic_write, read_json
from epsigma.tables.reading import read_table
from epsigma.vocabulary import BLIND, FIXED, NO_FILTER

# What each format writes into its files: no dates, so that the same figure is the same bytes.
METADATA: dict[str, dict[str, Any]] = {".svg": {"Date": None, "Creator": "epsigma"}, ".png": {}}
DPI = 150


def draw_attack(
    job: Job,
    *,
    cells: str,
    fallen: str,
    checks: str,
    curves: str,
    efforts: Sequence[str],
    accuracy: str,
    success: str,
    spectrum: str,
    threats: str,
    smallest: str,
    convergence: str,
) -> None:
    """Draw the figures of an attack.

    Args:
        job: its cell names `dataset`, `model` and `attack`; its settings are the attack's `norm`.
        cells: `cells.csv`.
        fallen: `fallen.csv`.
        checks: `checks.csv`.
        curves: CSV of `epsigma.stages.spectrum`.
        efforts: JSON files of `epsigma.stages.probe.probe_attack`, of one seed.
        accuracy: SVG file to write, with a PNG beside it, like the others.
        success: SVG file to write.
        spectrum: SVG file to write.
        threats: SVG file to write.
        smallest: SVG file to write.
        convergence: SVG file to write.
    """
    with job.logged(), style.theme():
        every = select(cells, checks, job)
        blind = every[every["threat"] == BLIND]
        _save(accuracy_by_budget(blind), accuracy)
        _save(success_by_budget(blind), success)
        _save(blind_and_aware(every), threats)
        _save(fallen_by_budget(select(fallen, checks, job)), smallest)
        _save(draw_spectrum(read_table(curves), _title(job)), spectrum)
        _save(loss_by_step([read_json(path) for path in efforts], _title(job)), convergence)


def draw_model(
    job: Job, *, cells: str, worst_case: str, checks: str, attacks: str, worst: str
) -> None:
    """Draw what all attacks on a model come to.

    Args:
        job: its cell names `dataset` and `model`; its settings are the `norms` of the attacks.
        cells: `cells.csv`.
        worst_case: `worst_case.csv`.
        checks: `checks.csv`.
        attacks: SVG file to write, with a PNG beside it, like the other.
        worst: SVG file to write; of the norm that most attacks have.
    """
    with job.logged(), style.theme():
        norms = job.settings["norms"]
        table = select(cells, checks, job)
        table = table.assign(norm=table["attack"].map(norms))
        unfiltered = table[(table["filter"] == NO_FILTER) & table["norm"].notna()]
        if unfiltered.empty:
            # Nothing bounds the perturbation of any attack: there are no curves over a budget.
            for path in (attacks, worst):
                _save(style.nothing(), path)
            return
        _save(accuracy_of_attacks(unfiltered), attacks)
        norm = Counter(filter(None, norms.values())).most_common(1)[0][0]
        rows = select(worst_case, checks, job)
        _save(worst_case_by_strength(rows[rows["norm"] == norm], norm), worst)


def draw_detectors(job: Job, *, curves: str, detectors: str, roc: str) -> None:
    """Draw the ROC curves of a model's detectors.

    Args:
        job: its cell names `dataset` and `model`; its settings are the `seed` that is shown.
        curves: `roc.csv`.
        detectors: `detectors.csv`.
        roc: SVG file to write, with a PNG beside it.
    """
    with job.logged(), style.theme():
        tables = []
        for path in (curves, detectors):
            table = read_table(path)
            where = {**job.cell, "seed": job.settings["seed"]}
            for name in ("dataset", "model", "seed"):
                table = table[table[name] == where[name]]
            tables.append(table)
        _save(operating_characteristics(*tables), roc)


def draw_defences(job: Job, *, defences: str, figure: str) -> None:
    """Draw what defences keep against what they cost.

    Args:
        job: its cell names the `dataset`.
        defences: `defences.csv`.
        figure: SVG file to write, with a PNG beside it; of the norm that most rows have.
    """
    with job.logged(), style.theme():
        table = read_table(defences)
        table = table[table["dataset"] == job.cell["dataset"]]
        if table.empty:
            _save(style.nothing(), figure)
            return
        norm = table["norm"].mode().iloc[0]
        _save(accuracy_against_cost(table[table["norm"] == norm]), figure)


def draw_filters(
    job: Job,
    *,
    cells: str,
    checks: str,
    images: Sequence[str],
    accuracy: Sequence[str],
    gallery: Sequence[str],
) -> None:
    """Draw the figures of every filter against an attack.

    Args:
        job: its cell names `dataset`, `model` and `attack`; its settings list the `filters`, and
            are the attack's `norm`.
        cells: `cells.csv`.
        checks: `checks.csv`.
        images: safetensors of `epsigma.stages.gallery`, of each filter.
        accuracy: SVG file to write for each filter, with a PNG beside it, like the others.
        gallery: SVG file to write for each filter.
    """
    with job.logged() as log, style.theme():
        every = select(cells, checks, job)
        mine = every[every["threat"] == BLIND]
        for name, source, *targets in zip(
            job.settings["filters"], images, accuracy, gallery, strict=True
        ):
            _save(accuracy_by_strength(mine, name), targets[0])
            _save(_gallery(source, f"{_title(job)}, {name}"), targets[1])
            log.info("%s", name)


def _gallery(images: str, title: str) -> Figure:
    with safe_open(images, framework="np") as file:
        about = file.metadata()
        names = ("images", "predictions", "probabilities", "rejected")
        shown = [file.get_tensor(name) for name in names]
        index, labels = file.get_tensor("index"), file.get_tensor("label")
    where: dict[str, Any] = {
        "budget": about["budget"],
        "strengths": json.loads(about["strengths"]),
        "title": title,
    }
    if Level.parse(about["budget"]).name == "confidence":
        return draw_fooling(*shown, targets=labels, **where)
    return draw_gallery(*shown, label=int(labels[0]), index=int(index[0]), **where)


def select(table: str, checks: str, job: Job) -> pd.DataFrame:
    """Read the rows of a job's data set, model and attack out of a table of cells.

    Returns:
        The rows, with `norm`, the attack's, and `in_doubt`, whether a failed check concerns them. A
        filter without a strength has one of 0, named `fixed`.
    """
    cells = read_table(table)
    for name in ("dataset", "model", "attack"):
        if name in job.cell:
            cells = cells[cells[name] == job.cell[name]]
    if "norm" not in cells:
        cells = cells.assign(norm=job.settings.get("norm"))
    norms = job.settings.get("norms")
    cells = cells.assign(in_doubt=concerns(cells, read_table(checks), norms))
    fixed = cells["strength"].isna() & (cells["filter"] != NO_FILTER)
    cells.loc[fixed, "strength"] = 0.0
    cells["strength_name"] = cells["strength_name"].astype(object).where(~fixed, FIXED)
    return cells


def _title(job: Job) -> str:
    return f"{job.cell['attack']} on {job.cell['model']}, {job.cell['dataset']}"


def _save(figure: Figure, svg: str) -> None:
    # Names of models may be long: what is wider than the figure goes on in another line.
    for title in (*figure.texts, *(axes.title for axes in figure.axes)):
        title.set_wrap(True)
    # The layout is found once, not in every format again.
    figure.draw_without_rendering()
    figure.set_layout_engine(None)
    for suffix, metadata in METADATA.items():
        with atomic_write(Path(svg).with_suffix(suffix)) as temporary:
            figure.savefig(temporary, metadata=metadata, dpi=DPI)
