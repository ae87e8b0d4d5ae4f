"""Stage figures: draw what the tables say."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from epsigma.figures import style
from epsigma.figures.data import FigureData
from epsigma.job import Job
from epsigma.loading import load
from epsigma.storage.files import atomic_write

# What each format writes into its files: no dates, so that the same figure is the same bytes.
METADATA: dict[str, dict[str, Any]] = {".svg": {"Date": None, "Creator": "epsigma"}, ".png": {}}
DPI = 150


def draw(job: Job, *, figures: Sequence[str], **files: Any) -> None:
    """Draw figures.

    Args:
        job: its cell and its settings are those of `FigureData`, and `functions`, by the figures'
            names what draws them.
        figures: SVG files to write, with a PNG beside each, named after the figures; if there are
            `galleries`, each in a folder that is named after the filter that it is of.
        files: what the figures are drawn from, paths by name: tables as `cells`, their `checks`;
            `probes`, JSON files of the attack; `galleries`, safetensors named after the filters.
    """
    with job.logged() as log, style.theme():
        galleries = {Path(path).stem: path for path in files.get("galleries", ())}
        data = FigureData(job.cell, job.settings, {**files, "galleries": galleries})
        for path in map(Path, figures):
            of = {**job.cell, "filter": path.parent.name} if galleries else job.cell
            draw_figure = load(job.settings["functions"][path.stem])
            save_figure(draw_figure(replace(data, cell=of)), path)
            log.info("%s", path)


def save_figure(figure: Figure, svg: Path) -> None:
    """Write a figure as SVG, and as PNG beside it."""
    # Names of models may be long: what is wider than the figure goes on in another line.
    for title in (*figure.texts, *(axes.title for axes in figure.axes)):
        title.set_wrap(True)
    # The layout is found once, not in every format again.
    figure.draw_without_rendering()
    figure.set_layout_engine(None)
    for suffix, metadata in METADATA.items():
        with atomic_write(svg.with_suffix(suffix)) as temporary:
            figure.savefig(temporary, metadata=metadata, dpi=DPI)
