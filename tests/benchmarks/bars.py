"""The bars that the suite is held to.

Ratios are of medians over rounds; their ranges are over the ratios within a round.
"""

from dataclasses import dataclass

import pandas as pd

OURS, COPY, FROZEN = "epsigma", "copy of the batch", ", frozen"
SMALL_IMAGES = "10000x1x28x28"
MLP = "MLP 784-48-10"
PAPER = "blind and aware"
HUNDREDFOLD = (1_000, 10_000)


@dataclass(frozen=True)
class Figure:
    """A measured figure: its median, and the range over rounds."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Bar:
    """What a figure must not exceed; None as the figure is one that was not measured."""

    what: str
    limit: float
    unit: str
    figure: Figure | None

    @property
    def verdict(self):
        if self.figure is None:
            return "not measured"
        return "reached" if self.figure.median <= self.limit else "**missed**"


def chosen(table, **wanted):
    """The rows of a table (None: not measured) whose columns are so."""
    if table is None:
        return pd.DataFrame()
    for name, value in wanted.items():
        table = table[table[name] == value]
    return table


def figure_of(rows, column="seconds"):
    """The median and range of a column; None of no rows."""
    if rows.empty:
        return None
    values = rows[column]
    return Figure(values.median(), values.min(), values.max())


def ratio(rows, others, column="seconds"):
    """How a column of some rows stands to that of others; None if there are none of either.

    Rounds are matched where both have them, for what disturbs a round disturbs both.
    """
    if rows.empty or others.empty:
        return None
    ours, theirs = (one.groupby("round")[column].median() for one in (rows, others))
    each = (ours / theirs).dropna()
    middle = rows[column].median() / others[column].median()
    return Figure(middle, each.min(), each.max()) if len(each) else Figure(middle, middle, middle)


def fastest(rows, by="library", column="seconds"):
    """The rows of the library with the smallest median."""
    if rows.empty:
        return rows
    medians = rows.groupby(by)[column].median()
    return rows[rows[by] == medians.idxmin()]


def per_image(rows):
    """The same rows, in seconds an image."""
    return rows if rows.empty else rows.assign(seconds=rows["seconds"] / rows["images"])


def rivals(rows):
    """The rows of the peers, without what no peer is, nor what no user of one would run."""
    if rows.empty:
        return rows
    name = rows["library"]
    return rows[(name != OURS) & (name != COPY) & ~name.str.endswith(FROZEN)]


def against_peers(attacks, name):
    """Time an image of an attack on the network of the paper over that of the fastest peer."""
    rows = per_image(chosen(attacks, attack=name, network=MLP))
    return ratio(chosen(rows, library=OURS) if len(rows) else rows, fastest(rivals(rows)))


def against_filters(filters, name, other=None):
    """Time of a filter on many small images over that of the best other, or of one."""
    rows = chosen(filters, filter=name, shape=SMALL_IMAGES)
    if rows.empty:
        return None
    others = chosen(rows, library=other) if other else fastest(rivals(rows))
    return ratio(chosen(rows, library=OURS), others)


def per_cell(scale, cells, mode):
    """Milliseconds a cell: wall time less that of next to no cells, over the cells."""
    rows = chosen(scale, asked="cells", mode=mode)
    if rows.empty or cells not in set(rows["cells"]):
        return None
    fewest = rows["cells"].min()
    fixed = rows[rows["cells"] == fewest]["seconds"].median()
    seconds = rows[rows["cells"] == cells]["seconds"]
    costs = (seconds - fixed) / (cells - fewest) * 1000
    return Figure(costs.median(), costs.min(), costs.max())


def growth(scale, mode="none"):
    """The cost of a cell among many over that among a tenth of them."""
    few, many = (per_cell(scale, cells, mode) for cells in HUNDREDFOLD)
    if few is None or many is None:
        return None
    return Figure(many.median / few.median, many.low / few.high, many.high / few.low)


def bars(tables):
    """Hold the tables of the parts, by name, against every bar."""
    sweep, filters, attacks, scale = (
        tables.get(part) for part in ("sweep", "filters", "attacks", "scale")
    )

    def cold(variant):
        return chosen(sweep, study=PAPER, what="cold", variant=variant)

    def after(what):
        return chosen(sweep, study=PAPER, what=what, variant="workflow")

    ours, by_hand, floor = cold("workflow"), cold("script (a)"), cold("script (b)")
    blind = {
        name: chosen(sweep, study="blind", what="cold", variant=name)
        for name in ("workflow", "script (a)", "script (b)")
    }
    most = chosen(scale, asked="cells", mode="none", cells=HUNDREDFOLD[1])
    return [
        Bar("cold sweep of `paper.yaml` / script (a)", 0.5, "", ratio(ours, by_hand)),
        Bar("cold sweep of `paper.yaml` / script (b), the floor", 2, "", ratio(ours, floor)),
        Bar(
            "the same, blind attacker only / script (a)", 0.5, "",
            ratio(blind["workflow"], blind["script (a)"]),
        ),
        Bar(
            "the same, blind attacker only / script (b)", 2, "",
            ratio(blind["workflow"], blind["script (b)"]),
        ),
        Bar("one added σ / script (a)", 0.12, "", ratio(after("one σ added"), by_hand)),
        Bar(
            "the same, blind attacker only / script (a)", 0.12, "",
            ratio(
                chosen(sweep, study="blind", what="one σ added", variant="workflow"),
                blind["script (a)"],
            ),
        ),
        Bar("no-op of `paper.yaml`", 4, "s", figure_of(after("no-op"))),
        Bar(
            "Gaussian, 10,000×1×28×28 / best of Kornia, torchvision, scipy, OpenCV", 0.2, "",
            against_filters(filters, "gaussian"),
        ),
        Bar(
            "high-pass, 10,000×1×28×28 / `torch.fft.fft2` there and back", 0.6, "",
            against_filters(filters, "highpass", "torch.fft.fft2"),
        ),
        Bar("FGSM / fastest peer", 0.95, "", against_peers(attacks, "fgsm")),
        Bar("PGD / fastest peer", 0.65, "", against_peers(attacks, "pgd")),
        *(
            Bar(f"a cell's scheduling, {cells:,} cells", 30, "ms", per_cell(scale, cells, "none"))
            for cells in HUNDREDFOLD
        ),
        Bar("the larger / the smaller", 1.2, "", growth(scale)),
        Bar("no-op of 10,000 cells", 15, "s", figure_of(most, "noop_seconds")),
        Bar("memory of the main process, 10,000 cells", 2048, "MiB", figure_of(most, "peak_mib")),
    ]  # fmt: skip
