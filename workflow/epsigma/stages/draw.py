"""Stage figures: draw what the tables say."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from safetensors import safe_open

from epsigma.figures import style
from epsigma.figures.curves import accuracy_by_budget, accuracy_by_strength, success_by_budget
from epsigma.figures.gallery import draw_gallery
from epsigma.figures.spectrum import draw_spectrum
from epsigma.files import whole
from epsigma.stages.job import Job

# What each format writes into its files: no dates, so that the same figure is the same bytes.
METADATA: dict[str, dict[str, Any]] = {".svg": {"Date": None, "Creator": "epsigma"}, ".png": {}}
DPI = 150
NAMES = ("dataset", "model", "attack", "filter")


def draw_attack(
    job: Job, *, cells: str, curves: str, accuracy: str, success: str, spectrum: str
) -> None:
    """Draw the figures of an attack.

    Args:
        job: its cell names `dataset`, `model` and `attack`.
        cells: `cells.csv`.
        curves: CSV of `epsigma.stages.spectrum`.
        accuracy: SVG file to write, with a PNG beside it, like the others.
        success: SVG file to write.
        spectrum: SVG file to write.
    """
    with job.logged(), style.theme():
        mine = select(cells, job.cell)
        _save(accuracy_by_budget(mine), accuracy)
        _save(success_by_budget(mine), success)
        table = pd.read_csv(curves, keep_default_na=False)
        _save(draw_spectrum(table, _title(job)), spectrum)


def draw_filters(
    job: Job,
    *,
    cells: str,
    images: Sequence[str],
    accuracy: Sequence[str],
    gallery: Sequence[str],
) -> None:
    """Draw the figures of every filter against an attack.

    Args:
        job: its cell names `dataset`, `model` and `attack`; its settings list the `filters`.
        cells: `cells.csv`.
        images: safetensors of `epsigma.stages.gallery`, of each filter.
        accuracy: SVG file to write for each filter, with a PNG beside it, like the others.
        gallery: SVG file to write for each filter.
    """
    with job.logged() as log, style.theme():
        mine = select(cells, job.cell)
        for name, source, *targets in zip(
            job.settings["filters"], images, accuracy, gallery, strict=True
        ):
            _save(accuracy_by_strength(mine, name), targets[0])
            _save(_gallery(source, f"{_title(job)}, {name}"), targets[1])
            log.info("%s", name)


def _gallery(images: str, title: str) -> Figure:
    with safe_open(images, framework="np") as file:
        about = file.metadata()
        return draw_gallery(
            file.get_tensor("images"),
            file.get_tensor("predictions"),
            file.get_tensor("probabilities"),
            label=int(file.get_tensor("label")),
            index=int(file.get_tensor("index")),
            budget=about["budget"],
            strengths=json.loads(about["strengths"]),
            title=title,
        )


def select(cells: str, cell: dict[str, str]) -> pd.DataFrame:
    """Read the rows of one data set, model and attack, blind, out of `cells.csv`."""
    # A model may be called "null": only an empty field is no value.
    table = pd.read_csv(
        cells, keep_default_na=False, na_values=[""], dtype=dict.fromkeys(NAMES, str)
    )
    mine = (table["threat"] == "blind").copy()
    for name in NAMES[:3]:
        mine &= table[name] == cell[name]
    return table[mine]


def _title(job: Job) -> str:
    return f"{job.cell['attack']} on {job.cell['model']}, {job.cell['dataset']}"


def _save(figure: Figure, svg: str) -> None:
    # The layout is found once, not in every format again.
    figure.draw_without_rendering()
    figure.set_layout_engine(None)
    for suffix, metadata in METADATA.items():
        with whole(Path(svg).with_suffix(suffix)) as temporary:
            figure.savefig(temporary, metadata=metadata, dpi=DPI)
