"""The block `figures` of a study: formats, width and size of letters."""

import re

import pytest
from epsigma.stages.draw import draw
from matplotlib.figure import Figure


def one_panel(data):
    """A figure of one panel; the stage finds it by its name."""
    figure = Figure(layout="constrained", figsize=(5.2, 3.4))
    figure.subplots().set(xlabel="budget", title=data.cell["model"])
    return figure


@pytest.mark.parametrize("formats", [[], ["pdf"], ["png", "pdf"]])
def test_a_figure_has_the_width_the_letters_and_the_formats_of_the_study(
    tmp_path, make_job, formats
):
    look = {"formats": formats, "panel_width": 2.6, "font_size": 7}
    told = {"functions": {"one": f"{__name__}:one_panel"}, "look": look}
    for folder in ("first", "second"):
        draw(make_job(told, model="mlp"), figures=[str(tmp_path / folder / "one.svg")])
    found = {path.name: path.read_bytes() for path in (tmp_path / "first").iterdir()}
    assert found.keys() == {"one.svg", *(f"one.{name}" for name in formats)}
    # Drawn twice it is the same bytes.
    assert found == {path.name: path.read_bytes() for path in (tmp_path / "second").iterdir()}
    svg = found["one.svg"].decode()
    # SVG counts in points, 72 an inch.
    width, height = (float(x) for x in re.search(r'width="(.*?)pt" height="(.*?)pt"', svg).groups())
    assert (width, height) == pytest.approx((2.6 * 72, 1.7 * 72))
    assert re.search(r"font(-size)?: ?7px.*?budget", svg)
    if "pdf" in formats:
        assert found["one.pdf"].startswith(b"%PDF")
        assert b"/CreationDate" not in found["one.pdf"]
