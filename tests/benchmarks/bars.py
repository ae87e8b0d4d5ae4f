"""The bars that the suite is held to.

Ratios are of medians over rounds; their ranges are over the ratios within a round.
"""

from dataclasses import dataclass

import pandas as pd

from benchmarks.builds import EARLIER, REVISION

OURS, COPY, FROZEN = "epsigma", "copy of the batch", ", frozen"
SMALL_IMAGES, LARGE_IMAGES = "10000x1x28x28", "1000x3x224x224"
MLP, CNN = "MLP 784-48-10", "CNN"
BLIND, PAPER = "blind", "blind and aware"
TENFOLD = (10_000, 100_000)


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


def runs_of(tables):
    """The rows of the parts that run the workflow and scripts, together; None of neither."""
    there = [tables[part] for part in ("sweep", "studies") if part in tables]
    return pd.concat(there) if there else None


def per_image(rows):
    """The same rows, in seconds an image."""
    return rows if rows.empty else rows.assign(seconds=rows["seconds"] / rows["images"])


def rivals(rows):
    """The rows of the peers, without what no peer is, nor what no user of one would run."""
    if rows.empty:
        return rows
    name = rows["library"]
    return rows[(name != OURS) & (name != COPY) & ~name.str.endswith(FROZEN)]


# FMN by its names, and the norms.
MINIMUM_NORM = {"fmn": "ℓ∞", "fmn_l2": "ℓ2", "fmn_l1": "ℓ1", "fmn_l0": "ℓ0"}


def against_peers(attacks, name, network=MLP, peer=None):
    """Time an image of an attack over that of the fastest peer, or of one."""
    rows = per_image(chosen(attacks, attack=name, network=network))
    if rows.empty:
        return None
    others = chosen(rows, library=peer) if peer else fastest(rivals(rows))
    return ratio(chosen(rows, library=OURS), others)


def against_filters(filters, name, other=None, shape=SMALL_IMAGES):
    """Time of a filter on a batch over that of the best other, or of one."""
    rows = chosen(filters, filter=name, shape=shape)
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
    few, many = (per_cell(scale, cells, mode) for cells in TENFOLD)
    if few is None or many is None:
        return None
    return Figure(many.median / few.median, many.low / few.high, many.high / few.low)


def bars(tables):
    """Hold the tables of the parts, by name, against every bar."""
    filters, attacks, scale = (tables.get(part) for part in ("filters", "attacks", "scale"))
    most = chosen(scale, asked="cells", mode="none", cells=TENFOLD[1])
    return [
        *_sweep_bars(runs_of(tables)),
        Bar(
            "Gaussian, 10,000×1×28×28 / best of Kornia, torchvision, scipy, OpenCV", 0.2, "",
            against_filters(filters, "gaussian"),
        ),
        Bar(
            "Gaussian, 1,000×3×224×224 / OpenCV", 1.5, "",
            against_filters(filters, "gaussian", "OpenCV", LARGE_IMAGES),
        ),
        Bar(
            "median, 1,000×3×224×224 / OpenCV", 3, "",
            against_filters(filters, "median", "OpenCV", LARGE_IMAGES),
        ),
        Bar(
            "high-pass, 10,000×1×28×28 / `torch.fft.fft2` there and back", 0.6, "",
            against_filters(filters, "highpass", "torch.fft.fft2"),
        ),
        Bar("FGSM / fastest peer", 0.95, "", against_peers(attacks, "fgsm")),
        Bar("PGD / fastest peer", 0.65, "", against_peers(attacks, "pgd")),
        Bar("PGD on the CNN / fastest peer", 0.85, "", against_peers(attacks, "pgd", CNN)),
        Bar(
            "Carlini & Wagner on the CNN / foolbox", 0.4, "",
            against_peers(attacks, "carlini_wagner", CNN, "foolbox"),
        ),
        *(
            Bar(f"AutoAttack, {network} / its authors'", 0.5, "",
                against_peers(attacks, "autoattack", network))
            for network in (MLP, CNN)
        ),
        *(
            Bar(f"FMN in {norm}, {network} / foolbox", 0.7, "",
                against_peers(attacks, attack, network))
            for attack, norm in MINIMUM_NORM.items()
            for network in (MLP, CNN)
        ),
        *(
            Bar(f"a cell's scheduling, {cells:,} cells", 30, "ms", per_cell(scale, cells, "none"))
            for cells in TENFOLD
        ),
        Bar("the larger / the smaller", 1.3, "", growth(scale)),
        Bar("no-op of 100,000 cells", 120, "s", figure_of(most, "noop_seconds")),
        Bar("memory of the main process, 100,000 cells", 6144, "MiB", figure_of(most, "peak_mib")),
    ]  # fmt: skip


def _sweep_bars(sweep):
    """The bars of the sweep: beside the scripts, and beside the earlier build."""

    def rows(variant="workflow", study=PAPER, what="cold"):
        return chosen(sweep, study=study, what=what, variant=variant)

    def against(other, *, what="cold", study=PAPER, column="seconds"):
        """The workflow after something over another program, which does it, too, or is cold."""
        theirs = rows(other, study, what if other == EARLIER.name else "cold")
        return ratio(rows(study=study, what=what), theirs, column)

    floor, lean, earlier = "script (b)", "script (a), lean", EARLIER.name
    sigma, eps, revision = "one σ added", "one ε added", f"`{REVISION}`"
    return [
        Bar("cold sweep of `paper.yaml` / script (a)", 0.5, "", against("script (a)")),
        Bar("cold sweep of `paper.yaml` / script (b), the floor", 2, "", against(floor)),
        Bar(f"cold sweep of `paper.yaml` / {revision}", 0.45, "", against(earlier)),
        Bar("the same, peak memory", 1, "", against(earlier, column="peak_mib")),
        Bar(
            "the same, blind attacker only / script (a)", 0.5, "",
            against("script (a)", study=BLIND),
        ),
        Bar(
            "the same, blind attacker only / script (a), lean", 0.5, "",
            against(lean, study=BLIND),
        ),
        Bar("the same, blind attacker only / script (b)", 2, "", against(floor, study=BLIND)),
        Bar("one added σ / script (a)", 0.12, "", against("script (a)", what=sigma)),
        Bar(f"one added σ / {revision}", 0.6, "", against(earlier, what=sigma)),
        Bar(f"one added ε / {revision}", 0.45, "", against(earlier, what=eps)),
        Bar(
            f"cold `adaptive.yaml`, its costly attacks on 1,000 images / {revision}", 0.6, "",
            against(earlier, study="adaptive"),
        ),
        Bar(f"the default study, cold / {revision}", 0.7, "", against(earlier, study="default")),
        Bar("no-op of `paper.yaml`", 4, "s", figure_of(rows(what="no-op"))),
    ]  # fmt: skip
