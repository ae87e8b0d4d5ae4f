"""What a study asks for beside its cells, as typed objects: proofs and figures."""

from typing import Annotated, Literal

from pydantic import Field

from epsigma.kinds import DISTINCT, Count, Strict
from epsigma.registry.figures import ALL
from epsigma.study.blocks import Names, Positive


class Smoothing(Strict):
    """What is certified of the majority vote over a filter's noise, by randomised smoothing."""

    samples: Count = Field(10_000, description="draws that are counted for each image")
    selection: Count = Field(100, description="draws that select the class of each image")
    alpha: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.001, description="probability with which the radius of an image may be wrong"
    )
    examples: Count | None = Field(
        500, description="how many of the test images, the first ones; null for all"
    )


class Proofs(Strict):
    """What is proved of models that are small enough."""

    exact_examples: Annotated[int, Field(ge=0)] = Field(
        0,
        description="how many of the test images, the first ones, get an exact answer where "
        "neither a bound nor an attack settles them",
    )
    seconds: Positive = Field(
        10, description="processor time that an exact answer may take; else it stays open"
    )
    smoothing: Smoothing | None = Field(
        None,
        description="certify l2 radii of the majority vote over the noise of filters of the kind "
        "`noise`, with or without others after it: `smoothed.csv`. Null for none",
    )


class Only(Strict):
    """A part of a study: of each section the blocks of these names."""

    datasets: Names | None = Field(None, description="names of data sets; null for all")
    models: Names | None = Field(None, description="names of models; null for all")
    attacks: Names | None = Field(None, description="names of attacks; null for all")
    filters: Names | None = Field(None, description="names of filters; null for all")


class Figures(Strict):
    """Which figures are made, and how they look."""

    kinds: str | Names = Field(
        ALL,
        description="which are made: `all`, or a list of their names, each once; `[]` for none",
    )
    formats: Annotated[list[Literal["png", "pdf"]], DISTINCT] = Field(
        ["png"],
        description="formats of each figure beside SVG, which the report and the cards show",
    )
    panel_width: Annotated[float, Field(ge=1, le=20)] = Field(
        5.2,
        description="width in inches of a figure of one panel; others are wider, and heights "
        "follow, in proportion",
    )
    font_size: Annotated[float, Field(ge=4, le=30)] = Field(
        10, description="size of labels in points, whatever the width; other text in proportion"
    )
