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
METADATA: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": "epsigma"},
    "png": {},
    "pdf": {"CreationDate": None, "Creator": "epsigma"},
}
DPI = 150
LOOK = {"formats": ["png"], "panel_width": style.WIDTHS[1], "font_size": style.FONT_SIZE}


def draw(job: Job, *, figures: Sequence[str], **files: Any) -> None:
    """Draw figures.

    Args:
        job: its cell and its settings are those of `FigureData`, and `functions`, by the figures'
            names what draws them; `look`, the `formats` beside SVG, the `panel_width` in inches of
            a figure of one panel, and the `font_size` in points (`LOOK`, if left out).
        figures: SVG files to write, with those of other formats beside each, named after the
            figures; if `galleries` are given, each in a folder that is named after the filter that
            it is of.
        files: what the figures are drawn from, paths by name: tables as `cells`, their `checks`;
            `probes`, JSON files of the attack; `galleries`, safetensors named after the filters.
    """
    look = job.settings.get("look", LOOK)
    with job.logged() as log, style.theme(look["font_size"]):
        galleries = {Path(path).stem: path for path in files.get("galleries", ())}
        data = FigureData(job.cell, job.settings, {**files, "galleries": galleries})
        for path in map(Path, figures):
            of = {**job.cell, "filter": path.parent.name} if "galleries" in files else job.cell
            draw_figure = load(job.settings["functions"][path.stem])
            figure = draw_figure(replace(data, cell=of))
            scale = look["panel_width"] / style.WIDTHS[1]
            figure.set_size_inches(scale * figure.get_size_inches())
            save_figure(figure, path, look["formats"])
            log.info("%s", path)


def save_figure(figure: Figure, svg: Path, formats: Sequence[str] = ("png",)) -> None:
    """Write a figure as SVG, and in other formats beside it."""
    # Names of models may be long: what is wider than the figure goes on in another line.
    for title in (*figure.texts, *(axes.title for axes in figure.axes)):
        title.set_wrap(True)
    # The layout is found once, not in every format again.
    figure.draw_without_rendering()
    figure.set_layout_engine(None)
    for suffix in ("svg", *formats):
        with atomic_write(svg.with_suffix(f".{suffix}")) as temporary:
            figure.savefig(temporary, format=suffix, metadata=METADATA[suffix], dpi=DPI)
