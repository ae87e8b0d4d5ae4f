import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from epsigma.cell import spell
from epsigma.checks.verdict import Verdict
from epsigma.detectors.squeezing import Squeezing
from epsigma.figures import style
from epsigma.figures.brackets import BAND, condense_brackets
from epsigma.figures.convergence import LEGEND
from epsigma.figures.data import FigureData
from epsigma.figures.gallery import draw_fooling, draw_gallery
from epsigma.figures.looks import FAMILIES, OTHERS, color_filter, sequence, shades
from epsigma.figures.rates import condense_seeds, draw_line
from epsigma.figures.threats import halving_budget
from epsigma.filters.gaussian import Gaussian
from epsigma.filters.median import Median
from epsigma.loading import load
from epsigma.plan.figures import draw_settings, figures_of
from epsigma.probing.spectra import image_curve, radial_spectrum
from epsigma.registry.figures import FIGURES
from epsigma.stages.check import tabulate_verdicts as tabulate_checks
from epsigma.stages.draw import draw, save_figure
from epsigma.stages.fooling.gallery import gallery_fooling
from epsigma.stages.fooling.spectrum import spectrum_fooling
from epsigma.stages.gallery import choose, make_gallery
from epsigma.stages.spectrum import make_spectrum
from epsigma.storage.batches import Sampled
from epsigma.storage.files import write_json
from epsigma.storage.images import (
    ImageSet,
    measure,
    read_clean,
    read_image_set,
    read_tensors,
    write_image_set,
)
from epsigma.storage.ledgers import write_ledger
from epsigma.tables.cells import tabulate_cells
from epsigma.tables.reading import read_table
from epsigma.tables.seeds import COLUMNS as OF_SEEDS
from epsigma.vocabulary import FOOLING
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

CPU = torch.device("cpu")
FGSM = {"dataset": "digits", "model": "mlp", "attack": "fgsm"}
BUDGETS = [0, 0.05, 0.1]
STRENGTHS = {
    ("none", None): [None],
    ("gaussian", "sigma"): [0.5, 1, 1.5, 2],
    ("lowpass", "cutoff"): [0.1, 0.2],
    ("band", "cutoff"): [0.2],
}


def table(
    seeds=(0,), *, attack="fgsm", threat="blind", strengths=STRENGTHS, budgets=BUDGETS, start=900
):
    """A table of cells in which no two rates are the same; `start` right of 1000 and fewer."""
    rows = []
    for seed in seeds:
        for budget in budgets:
            for (filter_, name), values in strengths.items():
                for value in values:
                    n_correct = start - 7 * len(rows)
                    rows.append(
                        {
                            "dataset": "digits",
                            "model": "mlp",
                            "seed": seed,
                            "threat": threat,
                            "attack": attack,
                            "budget_name": "eps",
                            "budget": budget,
                            "filter": filter_,
                            "strength_name": name,
                            "strength": value,
                            "n": 1000,
                            "n_correct": n_correct,
                            "accuracy": n_correct / 1000,
                            "n_correct_clean": 950,
                            "n_fooled": 950 - n_correct,
                            "attack_success": (950 - n_correct) / 950,
                            "linf": budget,
                            "l2": 1.0,
                            "l0": 1.0,
                            "linf_max": budget,
                            "l2_max": 1.0,
                            "outside_max": 0.0,
                            "changed_max": 0.0,
                            "confidence": 0.9,
                        }
                    )
    cells = tabulate_cells(rows)
    return cells if len(seeds) == 1 else over_seeds(cells)


def over_seeds(cells):
    """The intervals of the means over the seeds, as `seeds.csv` has them: 0.02 to either side."""
    names = ["budget", "filter", "strength"]
    for rate in ("accuracy", "attack_success"):
        mean = cells.groupby(names, dropna=False)[rate].transform("mean")
        for bound, sign in (("low", -1), ("high", 1)):
            cells[f"{rate}_seeds_{bound}"] = mean + sign * 0.02
    return cells


def as_attacks(cells):
    """A table of all attacks on the same images, with the rates of a table of cells."""
    return cells[cells["filter"] == "none"].assign(examples=1000)


def chosen(*arguments, norm="linf", **keywords):
    """A table as the stage hands it to the figures, nothing in doubt."""
    return table(*arguments, **keywords).assign(norm=norm, in_doubt=False)


BARE = {("none", None): [None]}


def both(seeds=(0,), **keywords):
    """Cells of both threats; the aware ones come out worse."""
    strengths = keywords.pop("strengths", STRENGTHS)
    filtered = {key: values for key, values in strengths.items() if key[0] != "none"}
    return pd.concat(
        [
            chosen(seeds, strengths=strengths, **keywords),
            chosen(seeds, strengths=filtered, threat="aware", start=400, **keywords),
        ],
        ignore_index=True,
    )


def as_fallen(cells):
    """A table of the shares that have fallen, with the rates of a table of cells."""
    return cells.rename(columns=lambda name: name.replace("accuracy", "fallen"))


def as_worst_case(cells):
    """A table of worst cases, with the rates of a table of cells."""
    aware = cells[cells["filter"] == "none"].assign(threat="aware")
    table = pd.concat([cells, aware], ignore_index=True).drop(columns="attack")
    return table.assign(attacks=1)


def rates(cells, rate, **where):
    """The rates of some rows, in the table's order."""
    for column, value in where.items():
        cells = cells[cells[column] == value]
    return cells[rate].tolist()


def drawn(axes):
    """The labelled lines of a panel: x and y by label."""
    handles, labels = axes.get_legend_handles_labels()
    return {
        label: (list(handle.get_xdata()), list(handle.get_ydata()))
        for handle, label in zip(handles, labels, strict=True)
    }


def panels(figure):
    return [axes for axes in figure.axes if axes.get_visible()]


def texts(axes):
    return [text.get_text() for text in axes.texts]


def crosses(axes):
    """The points that are marked as in doubt."""
    return {
        (float(x), float(y))
        for line in axes.lines
        if line.get_marker() == "x" and to_hex(line.get_color()) == style.DOUBT
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    }


def note(figure):
    """What is said below the panels about doubts."""
    titles = [legend.get_title().get_text() for legend in figure.legends]
    return "".join([figure.get_supxlabel(), *titles])


def is_empty(figure):
    return not figure.axes and "no cells" in figure.get_suptitle()


# --- The figures, as functions of what they are drawn from


def drawn_from(scope, name, table):
    """The function that draws a figure, as one of the rows of a table."""
    function = load(FIGURES[scope][name].implementation)

    def draw_figure(rows, filter_="", *, norms=None):
        cell = {**FGSM, "filter": filter_}
        # Worst cases are drawn beside the brackets of cells.
        tables = {"cells": rows, table: as_attacks(rows) if table == "attacks" else rows}
        return function(FigureData(cell, {"norms": norms or {"fgsm": "linf"}}, {}, tables))

    return draw_figure


accuracy_by_budget = drawn_from("attack", "accuracy", "cells")
success_by_budget = drawn_from("attack", "success", "cells")
minimum_budgets = drawn_from("attack", "smallest", "fallen")
draw_spectrum = drawn_from("attack", "spectrum", "spectrum")
accuracy_by_strength = drawn_from("filter", "accuracy", "cells")
accuracy_by_attack = drawn_from("model", "attacks", "attacks")
worst_case_by_strength = drawn_from("model", "worst_case", "worst_case")


def headlined(cells):
    """The headline of some cells, with what they have at the first strength of each filter."""
    names = ["budget", "filter"]
    cells = cells[cells["filter"] != "none"].assign(strength=cells["strength"].fillna(-1))
    first = cells.groupby(names, dropna=False)["strength"].transform("first")
    rates = cells[cells["strength"] == first].pivot_table(
        "accuracy", [*names, "strength"], "threat", dropna=False
    )
    found = rates.reindex(columns=["blind", "aware"]).reset_index()
    chosen_for = found.assign(best_for="blind", strength=found["strength"].replace(-1, np.nan))
    # What is the best for an aware attacker names no gap.
    return pd.concat([chosen_for, chosen_for.assign(best_for="aware", blind=9.0)])


def blind_and_aware(cells, headline=None):
    """The figure of both threats, with the gaps of a headline."""
    function = load(FIGURES["attack"]["threats"].implementation)
    tables = {"cells": cells, "headline": headlined(cells) if headline is None else headline}
    return function(FigureData({**FGSM, "filter": ""}, {"norms": {"fgsm": "linf"}}, {}, tables))


def loss_by_step(probes):
    """The figure of what a probe found."""
    function = load(FIGURES["attack"]["convergence"].implementation)

    class Probed(FigureData):
        @property
        def probes(self):
            return probes

    return function(Probed({**FGSM, "attack": "pgd"}))


# --- Over seeds


def test_a_single_seed_has_its_rate_and_its_wilson_interval():
    cells = chosen()
    unfiltered = cells[cells["filter"] == "none"]
    found = condense_seeds(unfiltered, "accuracy", "budget")
    assert found.index.tolist() == BUDGETS
    assert found["rate"].tolist() == unfiltered["accuracy"].tolist()
    assert found["low"].tolist() == unfiltered["accuracy_low"].tolist()
    assert found["high"].tolist() == unfiltered["accuracy_high"].tolist()


def test_several_seeds_have_their_mean_its_interval_their_deviation_and_each_other_s_doubts():
    cells = pd.DataFrame(
        {
            "seed": [0, 1, 2, 0, 1, 2],
            "budget": [0.1, 0.1, 0.1, 0, 0, 0],
            "attack_success": [0.2, 0.6, 0.4, 0.0, 0.0, 0.3],
            "attack_success_low": [0.0] * 6,
            "attack_success_high": [1.0] * 6,
            "attack_success_seeds_low": [0.3] * 3 + [0.05] * 3,
            "attack_success_seeds_high": [0.5] * 3 + [0.2] * 3,
            "in_doubt": [False, True, False, False, False, False],
        }
    )
    found = condense_seeds(cells, "attack_success", "budget")
    assert found.index.tolist() == [0, 0.1]
    assert found["rate"].tolist() == pytest.approx([0.1, 0.4])
    assert found["low"].tolist() == [0.05, 0.3]
    assert found["high"].tolist() == [0.2, 0.5]
    assert found["std"].tolist() == pytest.approx([0.3 / math.sqrt(3), 0.2])
    assert found["in_doubt"].tolist() == [False, True]


def bars(axes):
    """The error bars of a panel: x, low and high."""
    return [
        (x, low, high)
        for bars in axes.collections
        if isinstance(bars, LineCollection)
        for (x, low), (_, high) in bars.get_segments()
    ]


def bands(axes):
    """The bands of a panel: the lowest and the highest value at each x."""
    found = []
    for band in axes.collections:
        if isinstance(band, PolyCollection):
            # That of a legend has none.
            for path in band.get_paths():
                ends = {}
                for x, y in path.vertices:
                    ends.setdefault(float(x), []).append(float(y))
                found.append([(x, min(y), max(y)) for x, y in sorted(ends.items())])
    return found


@pytest.mark.parametrize("budgets", [[0.1], [0, 0.05, 0.1]])
@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
def test_a_line_has_a_band_over_several_seeds_and_their_deviation_and_bars_if_there_is_one(
    seeds, budgets
):
    cells = chosen(seeds, strengths={("none", None): [None]}, budgets=budgets)
    found = condense_seeds(cells, "accuracy", "budget")
    axes = Figure().subplots()
    draw_line(axes, found, color="black", marker="o")
    expected = list(zip(budgets, found["low"], found["high"], strict=True))
    if len(seeds) == 1:
        np.testing.assert_allclose(bars(axes), expected)
        assert bands(axes) == []
        return
    spread = found["std"]
    deviations = zip(budgets, found["rate"] - spread, found["rate"] + spread, strict=True)
    if len(budgets) == 1:
        # A band of a single point would not be seen: a broad bar.
        np.testing.assert_allclose(bars(axes), [*expected, *deviations])
    else:
        np.testing.assert_allclose(bands(axes), [expected])
        np.testing.assert_allclose(bars(axes), [*deviations])


def test_the_band_of_a_line_in_steps_goes_in_steps():
    found = condense_seeds(chosen((0, 1), strengths=BARE), "accuracy", "budget")
    axes = Figure().subplots()
    draw_line(axes, found, color="black", drawstyle="steps-post")
    (band,) = (one for one in axes.collections if isinstance(one, PolyCollection))
    (path,) = band.get_paths()
    # Just before the next budget it still reaches as high as at the last.
    assert path.contains_point((0.99 * BUDGETS[1], found["high"].iloc[0] - 1e-4))
    assert not path.contains_point((1.01 * BUDGETS[1], found["high"].iloc[0] - 1e-4))


SEEDED = {
    "accuracy by budget": (accuracy_by_budget, chosen, 1),
    "accuracy by strength": (lambda cells: accuracy_by_strength(cells, "gaussian"), chosen, 3),
    "success": (success_by_budget, chosen, 5 + 3 + 2),
    "attacks": (accuracy_by_attack, lambda seeds: chosen(seeds, strengths=BARE), 1),
    "threats": (blind_and_aware, both, 2 + 2),
    "worst": (
        worst_case_by_strength,
        lambda seeds: as_worst_case(both(seeds)),
        2 * 3 + 2 * 3,
    ),
    "fallen": (minimum_budgets, lambda seeds: as_fallen(chosen(seeds)), 5 + 3 + 2),
}


@pytest.mark.parametrize(("draw", "cells", "lines"), SEEDED.values(), ids=SEEDED)
def test_every_figure_shows_the_interval_of_seeds_as_bands_and_one_seed_s_intervals_as_bars(
    draw, cells, lines
):
    alone = panels(draw(cells((0,))))
    assert [bands(axes) for axes in alone] == [[]] * len(alone)
    assert all(bars(axes) for axes in alone)
    # One for each line of more than a point.
    assert sum(len(bands(axes)) for axes in panels(draw(cells((0, 1))))) == lines


@pytest.mark.parametrize(("draw", "cells", "lines"), SEEDED.values(), ids=SEEDED)
def test_every_figure_of_several_seeds_says_how_many_and_what_the_intervals_are(draw, cells, lines):
    for seeds, said in (((0,), False), ((0, 1), True)):
        figure = draw(cells(seeds))
        titles = [figure.get_suptitle(), *(axes.get_title() for axes in figure.axes)]
        assert (
            any("mean over 2 seeds, 95 % intervals clustered by image" in title for title in titles)
            == said
        )


# --- Curves


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_accuracy_by_budget_is_one_line_with_its_percentages(seeds):
    cells = chosen(seeds)
    (axes,) = panels(accuracy_by_budget(cells))
    means = np.mean([rates(cells, "accuracy", filter="none", seed=s) for s in seeds], axis=0)
    lines = drawn(axes)
    assert list(lines) == ["no filter"]
    assert lines["no filter"][0] == BUDGETS
    assert lines["no filter"][1] == pytest.approx(list(means))
    assert texts(axes) == [f"{rate:.1%}" for rate in means]
    assert axes.get_xlabel() == "ε in ℓ∞ (pixel range 0 to 1)"
    assert axes.get_ylabel() == "accuracy"
    assert axes.get_title() == "Accuracy without a filter\nfgsm, digits, mlp" + (
        "\nmean over 2 seeds, 95 % intervals clustered by image" if len(seeds) > 1 else ""
    )


def apart(axes):
    """Where what has no filter stands, and the rates there."""
    left = axes.get_xticks()[0]
    assert axes.get_xticklabels()[0].get_text() == "none"
    return left, {
        line.get_ydata()[0]
        for line in axes.lines
        if list(line.get_xdata()) == [left] and line.get_marker() not in ("|", "_")
    }


@pytest.mark.parametrize("name", ["gaussian", "lowpass", "band"])
def test_accuracy_by_strength_is_a_line_a_budget_with_the_unfiltered_rate_apart(name):
    cells = chosen()
    (axes,) = panels(accuracy_by_strength(cells, name))
    lines = drawn(axes)
    assert list(lines) == [f"ε = {spell(budget)}" for budget in BUDGETS]
    strengths = next(values for (filter_, _), values in STRENGTHS.items() if filter_ == name)
    for budget, (x, y) in zip(BUDGETS, lines.values(), strict=True):
        assert x == strengths
        assert y == rates(cells, "accuracy", filter=name, budget=budget)
    # The points apart: a marker a budget, left of every strength.
    left, found = apart(axes)
    assert left < strengths[0]
    assert found == set(rates(cells, "accuracy", filter="none"))


def test_success_by_budget_is_a_panel_a_filter_each_with_the_unfiltered_line():
    cells = chosen()
    found = panels(success_by_budget(cells))
    assert [axes.get_title() for axes in found] == ["gaussian", "lowpass", "band"]
    for axes, ((name, swept), strengths) in zip(found, list(STRENGTHS.items())[1:], strict=True):
        lines = drawn(axes)
        symbol = {"sigma": "σ", "cutoff": "cutoff"}[swept]
        assert list(lines) == ["no filter", *(f"{symbol} = {spell(value)}" for value in strengths)]
        assert lines["no filter"] == (BUDGETS, rates(cells, "attack_success", filter="none"))
        for strength, found_line in zip(strengths, list(lines.values())[1:], strict=True):
            expected = rates(cells, "attack_success", filter=name, strength=strength)
            assert found_line == (BUDGETS, expected)
    # Panels of a row have one axis.
    assert [axes.get_ylabel() for axes in found] == ["attack success", "", ""]


def test_at_a_single_budget_all_lines_have_a_marker():
    cells = chosen(budgets=[0.1])
    for axes in (*panels(success_by_budget(cells)), *panels(accuracy_by_budget(cells))):
        lines = [line for line in axes.lines if not line.get_label().startswith("_")]
        assert lines
        assert all(line.get_marker() not in (None, "None", "") for line in lines)


def test_curves_draw_rates_of_nothing_and_of_all():
    cells = chosen(strengths={("none", None): [None], ("gaussian", "sigma"): [1]})
    for rate in ("accuracy", "attack_success"):
        cells[rate] = [0.0, 1.0, 0.0, 1.0, 0.0, 1.0]
        cells[f"{rate}_low"] = [0.0, 0.9, 0.0, 0.9, 0.0, 0.9]
        cells[f"{rate}_high"] = [0.1, 1 - 1e-13, 0.1, 1.0, 0.1, 1.0]
    for figure in (
        accuracy_by_budget(cells),
        accuracy_by_strength(cells, "gaussian"),
        success_by_budget(cells),
    ):
        (axes,) = panels(figure)
        low, high = axes.get_ylim()
        assert low < 0 < 1 < high


def test_accuracy_of_attacks_is_a_panel_a_norm_and_a_line_an_attack():
    cells = pd.concat(
        [
            chosen(strengths=BARE),
            chosen(strengths=BARE, attack="pgd", start=700),
            chosen(strengths=BARE, attack="pgd_l2", start=500, norm="l2", budgets=[0, 1, 2]),
        ]
    )
    figure = accuracy_by_attack(cells)
    linf, l2 = panels(figure)
    assert drawn(linf) == {
        name: (BUDGETS, rates(cells, "accuracy", attack=name)) for name in ("fgsm", "pgd")
    }
    assert drawn(l2) == {"pgd_l2": ([0, 1, 2], rates(cells, "accuracy", attack="pgd_l2"))}
    assert [axes.get_xlabel() for axes in (linf, l2)] == [
        "ε in ℓ∞ (pixel range 0 to 1)",
        "ε in ℓ2 (pixel range 0 to 1)",
    ]
    assert figure.get_suptitle() == "Accuracy without a filter\ndigits, mlp"


def test_attacks_on_different_images_are_drawn_on_the_common_ones_and_say_how_many():
    attacks = as_attacks(chosen(strengths=BARE)).assign(n=50)
    tables = {"cells": chosen(strengths=BARE), "attacks": attacks}
    function = load(FIGURES["model"]["attacks"].implementation)
    (axes,) = panels(function(FigureData(FGSM, {"norms": {"fgsm": "linf"}}, {}, tables)))
    assert axes.get_title() == "on the 50 images that all attacks have"
    (axes,) = panels(accuracy_by_attack(chosen(strengths=BARE)))
    assert axes.get_title() == ""


@pytest.mark.parametrize(("n", "said"), [(1000, ""), (50, " (50 images)")])
def test_a_line_of_worst_cases_says_of_how_many_images_it_is_where_others_have_more(n, said):
    cells, worst = both(), as_worst_case(both())
    worst.loc[worst["budget"] == 0.1, "n"] = n
    function = load(FIGURES["model"]["worst_case"].implementation)
    tables = {"cells": cells, "worst_case": worst}
    first, *_ = panels(function(FigureData(FGSM, {"norms": {"fgsm": "linf"}}, {}, tables)))
    assert list(drawn(first)) == ["ε = 0", "ε = 0.05", f"ε = 0.1{said}"]


# --- Threats


def test_blind_and_aware_are_two_lines_a_filter_over_its_strengths():
    cells = both()
    figure = blind_and_aware(cells)
    found = panels(figure)
    titles = [axes.get_title().partition("\n") for axes in found]
    assert [title for title, _, _ in titles] == ["gaussian", "lowpass", "band"]
    # No budget fools half: the largest.
    at = {"budget": 0.1}
    (none,) = rates(cells, "accuracy", filter="none", **at)
    for axes, name in zip(found, ("gaussian", "lowpass", "band"), strict=True):
        bare, blind, aware = drawn(axes).values()
        assert bare[1] == [none, none]
        for threat, (x, y) in (("blind", blind), ("aware", aware)):
            where = {"filter": name, "threat": threat, **at}
            assert x == rates(cells, "strength", **where)
            assert y == rates(cells, "accuracy", **where)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "no filter",
        "blind: does not know the filter",
        "aware: attacks through the filter",
    ]
    about = "Attackers who know the filter, and who do not, at ε = 0.1"
    assert figure.get_suptitle() == f"{about}\nfgsm, digits, mlp"


@pytest.mark.parametrize(
    ("success", "budget"),
    [
        ({0: 0.0, 0.1: 0.4, 0.2: 0.7, 0.3: 0.9}, 0.2),
        ({0.3: 0.9, 0.1: 0.5, 0: 0.0}, 0.1),
        ({0: 0.0, 0.1: 0.2, 0.2: 0.4}, 0.2),
        ({0: 0.6}, 0),
        # FGSM's success need not rise.
        ({0.1: 0.6, 0.2: 0.4}, 0.1),
    ],
)
def test_threats_are_compared_at_the_smallest_budget_that_fools_half(success, budget):
    rows = [
        {"filter": name, "budget": eps, "attack_success": rate + other}
        for eps, rate in success.items()
        # Two seeds; what a filter does has no say.
        for name, other in (("none", 0.1), ("none", -0.1), ("gaussian", 0.9))
    ]
    assert halving_budget(pd.DataFrame(rows)) == budget


def test_of_an_attack_without_budgets_none_is_chosen():
    cells = both(budgets=[0.1]).assign(budget=np.nan, budget_name=None)
    assert halving_budget(cells) is None
    assert len(panels(blind_and_aware(cells))) == 3


def gap(blind, aware, headline, strengths=(1, 2, 3)):
    """The line below the title of a filter of such accuracies, and the arrows.

    `headline`: the strength that was chosen, and the accuracies there of the images that score.
    """
    cells = both(strengths={("none", None): [None], ("gaussian", "sigma"): strengths}, budgets=[1])
    for threat, accuracy in (("blind", blind), ("aware", aware)):
        mine = (cells["threat"] == threat) & (cells["filter"] == "gaussian")
        cells.loc[mine, "accuracy"] = accuracy
    row = dict(zip(("strength", "blind", "aware"), headline, strict=True))
    other = {**row, "blind": 0.99, "aware": 0.01}
    rows = [
        {"budget": 1, "filter": "gaussian", "best_for": "blind", **row},
        {"budget": 2, "filter": "gaussian", "best_for": "blind", **other},
        {"budget": 1, "filter": "lowpass", "best_for": "blind", **other},
        {"budget": 1, "filter": "gaussian", "best_for": "aware", **other},
    ]
    (axes,) = panels(blind_and_aware(cells, pd.DataFrame(rows)))
    return axes.get_title().partition("\n")[2], axes.texts


@pytest.mark.parametrize(
    ("headline", "said", "arrow"),
    [
        ((2, 0.85, 0.28), "gap 57.0 points", True),
        # Neither where the filter looks best on all images nor where the gap is widest.
        ((1, 0.52, 0.49), "gap 3.0 points", False),
        ((3, 0.8, 0.6), "gap 20.0 points", True),
        ((1, 0.5, 0.53), "gap -3.0 points", False),
        ((1, 0.5, 0.5002), "gap 0.0 points", False),
    ],
)
def test_the_gap_is_named_at_the_strength_of_the_headline_with_what_it_says(headline, said, arrow):
    blind, aware, at = [0.5, 0.9, 0.8], [0.5, 0.3, 0.7], headline[0]
    text, arrows = gap(blind, aware, headline)
    # Not on the lines: there is no room between those that are near.
    assert text == f"{said} at σ = {at}"
    high, low = blind[at - 1], aware[at - 1]
    assert len(arrows) == arrow
    for drawn_arrow in arrows:
        assert (drawn_arrow.xy, drawn_arrow.xyann) == ((at, low), (at, high))


@pytest.mark.parametrize("strength", [2, 0])
def test_a_filter_of_one_strength_or_none_has_its_gap(strength):
    # Without a strength it is drawn at 0.
    chosen_at = strength or np.nan
    text, (arrow,) = gap([0.9], [0.3], (chosen_at, 0.8, 0.3), strengths=[strength])
    assert text == f"gap 50.0 points at σ = {strength}"
    assert arrow.xy == (strength, 0.3)


def test_where_there_is_no_headline_no_gap_is_named():
    cells = both()
    found = panels(blind_and_aware(cells, headlined(cells).iloc[:0]))
    assert [texts(axes) for axes in found] == [[], [], []]
    assert [axes.get_title() for axes in found] == ["gaussian", "lowpass", "band"]


@pytest.mark.parametrize("present", ["blind", "aware"])
def test_a_filter_that_meets_one_threat_has_its_line_and_no_gap(present):
    cells = both()
    figure = blind_and_aware(cells[(cells["filter"] != "band") | (cells["threat"] == present)])
    found = {axes.get_title().partition("\n")[0]: axes for axes in panels(figure)}
    assert [label.partition(":")[0] for label in drawn(found["band"])] == ["no filter", present]
    assert texts(found["band"]) == []
    assert texts(found["gaussian"])


def test_the_legend_names_what_any_of_the_panels_shows():
    cells = both()
    first = cells["filter"] == "gaussian"
    figure = blind_and_aware(cells[~first | (cells["threat"] == "blind")])
    named = [text.get_text().partition(":")[0] for text in figure.legends[0].get_texts()]
    assert named == ["no filter", "blind", "aware"]


def test_an_attack_that_meets_filters_blindly_only_has_no_aware_line():
    figure = blind_and_aware(chosen())
    for axes in panels(figure):
        assert len(drawn(axes)) == 2
        assert texts(axes) == []
    assert len(figure.legends[0].get_texts()) == 2


def test_the_worst_case_is_drawn_blind_and_aware_side_by_side():
    worst = as_worst_case(both())
    figure = worst_case_by_strength(worst)
    found = panels(figure)
    names = ["gaussian", "lowpass", "band"]
    assert [axes.get_title() for axes in found] == [
        f"{name}, {threat}" for name in names for threat in ("blind", "aware")
    ]
    for axes in found:
        name, threat = axes.get_title().split(", ")
        lines = drawn(axes)
        assert list(lines) == [f"ε = {spell(budget)}" for budget in BUDGETS]
        for budget, (x, y) in zip(BUDGETS, lines.values(), strict=True):
            where = {"filter": name, "threat": threat, "budget": budget}
            assert x == rates(worst, "strength", **where)
            assert y == rates(worst, "accuracy", **where)
        left, none = apart(axes)
        assert left < x[0]
        assert none == set(rates(worst, "accuracy", filter="none", threat=threat))
    assert figure.get_suptitle() == "Worst case over the attacks in ℓ∞\ndigits, mlp"


def test_a_curve_of_worst_cases_has_the_strengths_that_most_attacks_met():
    worst = as_worst_case(both())
    filtered = worst["filter"] != "none"
    met = filtered & worst["strength"].isin([0.5, 0.2])
    worst.loc[met, "attacks"] = 2
    figure = worst_case_by_strength(worst)
    found = {tuple(x) for axes in panels(figure) for x, _ in drawn(axes).values()}
    assert found == {(0.5,), (0.2,)}


@pytest.mark.parametrize("present", ["blind", "aware"])
def test_a_worst_case_of_one_threat_has_its_legend_all_the_same(present):
    cells = both()
    cells = cells[(cells["filter"] == "none") | (cells["threat"] == present)]
    found = panels(worst_case_by_strength(as_worst_case(cells)))
    for axes in found:
        assert len(drawn(axes)) == (3 if axes.get_title().endswith(present) else 0)
    absent = "aware" if present == "blind" else "blind"
    for axes in found:
        said = [text.get_text() for text in axes.texts]
        is_empty = axes.get_title().endswith(absent)
        assert said == ([f"no attack of the study is {absent} here"] if is_empty else [])
        assert axes.axison != is_empty
    for axes in found[1::2]:
        legend = [text.get_text() for text in axes.get_legend().get_texts()]
        assert legend == [f"ε = {spell(budget)}" for budget in BUDGETS]


def test_the_share_of_the_fallen_is_a_panel_a_filter_of_what_its_strongest_attacker_does():
    fallen = as_fallen(both())
    band = fallen["filter"] == "band"
    fallen = fallen[~band | (fallen["threat"] == "blind")]
    figure = minimum_budgets(fallen)
    found = panels(figure)
    assert [axes.get_title() for axes in found] == [
        "gaussian, aware",
        "lowpass, aware",
        "band, blind",
    ]
    for axes, ((name, _), strengths) in zip(found, list(STRENGTHS.items())[1:], strict=True):
        threat = axes.get_title().partition(", ")[2]
        none, *lines = drawn(axes).values()
        assert none == (BUDGETS, rates(fallen, "fallen", filter="none"))
        for strength, found_line in zip(strengths, lines, strict=True):
            where = {"filter": name, "threat": threat, "strength": strength}
            assert found_line == (BUDGETS, rates(fallen, "fallen", **where))
        handles, _ = axes.get_legend_handles_labels()
        # Between two budgets of the grid nobody knows: it rises at the larger.
        assert {handle.get_drawstyle() for handle in handles} == {"steps-post"}
    assert "Smallest budget" in figure.get_suptitle()


@pytest.mark.parametrize(
    "draw",
    [
        pytest.param(accuracy_by_budget, id="accuracy by budget"),
        pytest.param(lambda cells: accuracy_by_strength(cells, "band"), id="accuracy by strength"),
        pytest.param(success_by_budget, id="success"),
        pytest.param(blind_and_aware, id="threats"),
        pytest.param(lambda cells: minimum_budgets(as_fallen(cells)), id="fallen"),
        pytest.param(lambda cells: worst_case_by_strength(as_worst_case(cells)), id="worst"),
    ],
)
@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_one_budget_and_one_strength_are_enough_for_every_figure(draw, seeds):
    cells = both(
        seeds, strengths={("none", None): [None], ("band", "cutoff"): [0.2]}, budgets=[0.1]
    )
    figure = draw(cells)
    with style.theme():
        figure.draw_without_rendering()
    assert all(drawn(axes) for axes in panels(figure))


@pytest.mark.parametrize(
    ("draw", "cells"),
    [
        pytest.param(success_by_budget, chosen(strengths=BARE), id="success"),
        pytest.param(
            lambda cells: accuracy_by_strength(cells, "gaussian"),
            chosen(strengths=BARE),
            id="accuracy by strength",
        ),
        pytest.param(blind_and_aware, chosen(strengths=BARE), id="threats"),
        pytest.param(minimum_budgets, as_fallen(chosen(strengths=BARE)), id="fallen"),
        pytest.param(
            worst_case_by_strength,
            as_worst_case(chosen(strengths=BARE)),
            id="worst",
        ),
        pytest.param(accuracy_by_budget, chosen().iloc[:0], id="a transfer onto its source"),
    ],
)
def test_a_figure_of_what_a_study_leaves_out_says_so(draw, cells):
    assert is_empty(draw(cells))


# --- Proofs


def proved(cells, exact=False, width=0.25):
    """Cells with brackets below their accuracy, where the attacker knows what there is."""
    known = (cells["threat"] == "aware") | (cells["filter"] == "none")
    attacked = (cells["accuracy"] - 0.01).where(known)
    certified = attacked if exact else attacked - width * attacked
    return cells.assign(
        certified=certified, attacked=attacked, exact=certified if exact else np.nan
    )


def brackets(axes):
    """The bands and bars of a panel, as sets of (x, low, high)."""
    return [set(band) for band in bands(axes) if band] + [{bar} for bar in wide_bars(axes)]


def wide_bars(axes):
    return [
        (x, low, high)
        for bars in axes.collections
        if isinstance(bars, LineCollection) and max(bars.get_linewidth()) > 2
        for (x, low), (_, high) in bars.get_segments()
    ]


def exact_points(axes):
    return {
        (float(x), float(y))
        for line in axes.lines
        if line.get_marker() == "D" and line.get_markerfacecolor() == "white"
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    }


def expected_bracket(cells, level, **where):
    lists = (rates(cells, name, **where) for name in (level, "certified", "attacked"))
    return set(zip(*lists, strict=True))


WITH_BRACKETS = {
    "accuracy by budget": accuracy_by_budget,
    "attacks": accuracy_by_attack,
    "threats": blind_and_aware,
    "accuracy by strength": lambda cells: accuracy_by_strength(cells, "gaussian"),
    "worst": lambda cells: worst_case_by_strength(as_worst_case(cells)),
}


@pytest.mark.parametrize("name", WITH_BRACKETS)
def test_without_proofs_no_figure_has_a_bracket(name):
    figure = WITH_BRACKETS[name](both())
    assert [brackets(axes) for axes in panels(figure)] == [[]] * len(panels(figure))


@pytest.mark.parametrize("name", ["accuracy by budget", "attacks"])
def test_the_bracket_without_a_filter_is_a_band_over_the_budget(name):
    cells = proved(both())
    (axes,) = panels(WITH_BRACKETS[name](cells))
    assert brackets(axes) == [expected_bracket(cells, "budget", filter="none")]
    assert BAND in [text.get_text() for text in axes.get_legend().get_texts()]


def test_the_bracket_of_the_aware_attacker_is_a_band_over_the_strength():
    cells = proved(both(budgets=[0.1]))
    gaussian, lowpass, band = panels(blind_and_aware(cells))
    for axes, name in ((gaussian, "gaussian"), (lowpass, "lowpass"), (band, "band")):
        where = {"filter": name, "threat": "aware"}
        # The last has a single strength: a bar.
        assert brackets(axes) == [expected_bracket(cells, "strength", **where)]


@pytest.mark.parametrize("name", ["accuracy by strength", "worst"])
def test_each_budget_has_its_bracket_and_no_filter_a_bar_apart(name):
    cells = proved(both())
    figure = WITH_BRACKETS[name](cells)
    axes = panels(figure)[0 if name == "accuracy by strength" else 1]
    found = brackets(axes)
    of_filter = [
        expected_bracket(cells, "strength", filter="gaussian", threat="aware", budget=budget)
        for budget in BUDGETS
    ]
    bare = {one[1:] for one in expected_bracket(cells, "budget", filter="none")}
    assert [one for one in found if len(one) > 1] == of_filter
    assert {(low, high) for (bar,) in found[len(BUDGETS) :] for _, low, high in [bar]} == bare


def test_in_the_blind_panel_of_worst_cases_only_no_filter_has_a_bracket():
    figure = worst_case_by_strength(as_worst_case(proved(both())))
    blind = panels(figure)[0]
    assert len(brackets(blind)) == len(BUDGETS)
    assert all(len(bracket) == 1 for bracket in brackets(blind))


@pytest.mark.parametrize("name", WITH_BRACKETS)
def test_an_exact_answer_is_marked_and_named(name):
    open_, closed = (WITH_BRACKETS[name](proved(both(), exact)) for exact in (False, True))
    assert not any(exact_points(axes) for axes in panels(open_))
    assert all(exact_points(axes) for axes in panels(closed))
    cells = proved(both(), exact=True)
    (axes,) = panels(accuracy_by_budget(cells))
    expected = zip(BUDGETS, rates(cells, "exact", filter="none"), strict=True)
    assert exact_points(axes) == set(expected)


def test_brackets_of_seeds_are_means_and_exact_where_all_are():
    cells = pd.DataFrame(
        {
            "seed": [0, 1, 0, 1, 0],
            "budget": [0.1, 0.1, 0.2, 0.2, 0.3],
            "certified": [0.2, 0.4, 0.1, 0.1, np.nan],
            "attacked": [0.2, 0.6, 0.1, 0.1, np.nan],
            "exact": [0.2, np.nan, 0.1, 0.1, np.nan],
        }
    )
    found = condense_brackets(cells, "budget")
    assert found.index.tolist() == [0.1, 0.2]
    assert found["certified"].tolist() == pytest.approx([0.3, 0.1])
    assert found["attacked"].tolist() == pytest.approx([0.4, 0.1])
    assert found["is_exact"].tolist() == [False, True]
    assert condense_brackets(cells[["seed", "budget"]], "budget").empty


@pytest.mark.parametrize(("examples", "said"), [(40, f"{BAND} (90 images)"), (90, BAND)])
@pytest.mark.parametrize("name", ["accuracy by budget", "attacks", "threats"])
def test_a_bracket_of_more_images_than_the_attack_s_says_of_how_many(name, examples, said):
    cells = proved(both(budgets=[0.1])).assign(n=examples, n_proofs=90)
    axes = panels(WITH_BRACKETS[name](cells))[0]
    legends = [*axes.figure.legends, axes.get_legend()]
    shown = [text.get_text() for legend in legends if legend for text in legend.get_texts()]
    assert [one for one in shown if one.startswith(BAND)] == [said]


# --- Doubt


DRAWN = {
    "accuracy by budget": (accuracy_by_budget, chosen, {"filter": "none"}, "accuracy", "budget"),
    "accuracy by strength": (
        lambda cells: accuracy_by_strength(cells, "gaussian"),
        chosen,
        {"filter": "gaussian", "strength": 1.5},
        "accuracy",
        "strength",
    ),
    "success": (
        success_by_budget,
        chosen,
        {"filter": "lowpass", "strength": 0.1},
        "attack_success",
        "budget",
    ),
    "attacks": (
        accuracy_by_attack,
        lambda: chosen(strengths=BARE),
        {"filter": "none"},
        "accuracy",
        "budget",
    ),
    "threats": (
        blind_and_aware,
        lambda: both(budgets=[0.1]),
        {"filter": "gaussian", "threat": "aware"},
        "accuracy",
        "strength",
    ),
    "worst": (
        worst_case_by_strength,
        lambda: as_worst_case(both()),
        {"filter": "band", "threat": "aware"},
        "accuracy",
        "strength",
    ),
    "fallen": (
        minimum_budgets,
        lambda: as_fallen(chosen()),
        {"filter": "gaussian", "strength": 0.5},
        "fallen",
        "budget",
    ),
}


@pytest.mark.parametrize(("draw", "cells", "where", "rate", "x"), DRAWN.values(), ids=DRAWN)
def test_points_in_doubt_are_crossed_out_and_no_others(draw, cells, where, rate, x):
    cells = cells()
    figure = draw(cells)
    assert [crosses(axes) for axes in panels(figure)] == [set()] * len(panels(figure))
    assert note(figure) == ""
    mine = cells[list(where)].eq(list(where.values())).all(axis=1)
    figure = draw(cells.assign(in_doubt=mine))
    expected = set(zip(cells[mine][x], cells[mine][rate], strict=True))
    assert set().union(*map(crosses, panels(figure))) == expected
    assert note(figure) == "× in doubt: a check failed, see checks.csv"


@pytest.mark.parametrize("names", [["gaussian"], ["gaussian", "lowpass", "band"]], ids=len)
@pytest.mark.parametrize("doubt", [True, False])
def test_the_legend_of_both_threats_fits_below_the_panels(names, doubt):
    cells = both().assign(in_doubt=doubt)
    with style.theme():
        figure = blind_and_aware(cells[cells["filter"].isin(["none", *names])])
        figure.draw_without_rendering()
    legend = figure.legends[0].get_window_extent()
    assert 0 <= legend.x0 < legend.x1 <= figure.bbox.x1
    assert 0 <= legend.y0 < legend.y1 <= min(axes.get_tightbbox().y0 for axes in panels(figure))
    assert (note(figure) != "") is doubt


def test_a_line_without_a_filter_that_is_in_doubt_is_crossed_out_in_every_panel():
    cells = both(budgets=[0.1])
    mine = cells["filter"] == "none"
    (none,) = cells[mine]["accuracy"]
    found = panels(blind_and_aware(cells.assign(in_doubt=mine)))
    assert [crosses(axes) for axes in found] == [{(0.5, none)}, {(0.1, none)}, {(0.2, none)}]


def test_what_is_apart_is_crossed_out_where_it_stands():
    cells = chosen()
    mine = (cells["filter"] == "none") & (cells["budget"] == 0.1)
    (axes,) = panels(accuracy_by_strength(cells.assign(in_doubt=mine), "gaussian"))
    left, _ = apart(axes)
    assert crosses(axes) == {(left, cells[mine]["accuracy"].item())}


# --- Style


@pytest.mark.parametrize("n", [1, 2, 5, 12])
@pytest.mark.parametrize("color", ["black", *FAMILIES.values(), *OTHERS])
def test_ordered_lines_darken_and_neighbours_differ_in_marker(n, color):
    looks = sequence(n, color)
    assert len(looks) == n
    lightness = [np.dot(look["color"], [0.299, 0.587, 0.114]) for look in looks]
    for i in range(n - 1):
        assert lightness[i + 1] < lightness[i]
        assert looks[i]["marker"] != looks[i + 1]["marker"]
    # The lightest is seen on paper; one alone has the colour.
    assert max(lightness) < 0.9
    assert n > 1 or looks[0]["color"] == to_rgb(color)


def test_a_filter_has_the_colour_of_its_kind_whatever_else_a_study_has():
    kinds = {"blur": "gaussian", "own": "my_kinds:MEAN", "noise": "noise", "other": "my:OTHER"}
    found = {name: color_filter(name, kinds) for name in kinds}
    assert found["blur"] == FAMILIES["gaussian"] == color_filter("blur", {"blur": "gaussian"})
    assert (found["own"], found["other"]) == OTHERS[:2]
    assert len(set(found.values())) == len(kinds)
    assert len({*FAMILIES.values(), *OTHERS}) == len(FAMILIES) + len(OTHERS)
    # Several of a kind: shades of its colour.
    two = {"narrow": "gaussian", "wide": "gaussian"}
    assert [color_filter(name, two) for name in two] == shades(FAMILIES["gaussian"], 2)
    assert color_filter("none", two) == "black"


@pytest.mark.parametrize("draw", [blind_and_aware, worst_case_by_strength])
def test_a_line_is_solid_if_the_attacker_does_not_know_the_filter_or_else_dashed(draw):
    cells = both() if draw is blind_and_aware else as_worst_case(both())
    dashed = {"blind": set(), "aware": set()}
    for axes in panels(draw(cells)):
        handles, labels = axes.get_legend_handles_labels()
        for handle, label in zip(handles, labels, strict=True):
            for threat in dashed:
                if threat in label or threat in axes.get_title():
                    dashed[threat].add(handle.is_dashed())
    assert dashed == {"blind": {False}, "aware": {True}}


@pytest.mark.parametrize(
    ("count", "rows"), [(1, [1]), (2, [2]), (3, [3]), (4, [2, 2]), (5, [3, 2]), (7, [3, 2, 2])]
)
def test_panels_fill_the_sheet(count, rows):
    figure, found = style.panels(count)
    figure.set_layout_engine(None)
    tops = [round(axes.get_position().y0, 6) for axes in found]
    assert [tops.count(top) for top in dict.fromkeys(tops)] == rows
    # Each row goes from one side to the other.
    left = min(axes.get_position().x0 for axes in found)
    right = max(axes.get_position().x1 for axes in found)
    for top in dict.fromkeys(tops):
        row = [axes.get_position() for axes, at in zip(found, tops, strict=True) if at == top]
        assert (row[0].x0, row[-1].x1) == pytest.approx((left, right))


@pytest.mark.parametrize(
    ("name", "value", "label"),
    [
        ("eps", 0.1, "ε = 0.1"),
        ("sigma", 2.0, "σ = 2"),
        ("cutoff", 0.25, "cutoff = 0.25"),
        ("kappa", 0, "κ = 0"),
        ("eps", 8 / 255, "ε = 0.0313725"),
        ("gamma", 1e-7, "Υ = 0.0000001"),
        (None, None, "fixed"),
    ],
)
def test_levels_are_named_by_their_symbol(name, value, label):
    assert style.level_label(name, value) == label


@pytest.mark.parametrize(
    ("name", "norm", "label"),
    [
        ("eps", "linf", "ε in ℓ∞ (pixel range 0 to 1)"),
        ("eps", "l2", "ε in ℓ2 (pixel range 0 to 1)"),
        ("eps", None, "ε in its norm (pixel range 0 to 1)"),
        ("kappa", None, "κ, logit margin asked for"),
        (None, None, ""),
    ],
)
def test_an_axis_of_budgets_says_what_they_bound(name, norm, label):
    assert style.budget_label(pd.DataFrame({"budget_name": [name], "norm": [norm]})) == label


def strength_axis(name, strengths):
    """An axis of a filter's strengths, and what has none apart: ticks by their labels."""
    axes = Figure().subplots()
    axes.plot([style.apart_from(strengths), *strengths], [0.5] * (len(strengths) + 1))
    rows = {"strength_name": [name] * len(strengths), "strength": strengths}
    style.label_strength(axes, pd.DataFrame(rows))
    style.label_apart(axes, strengths)
    labels = [label.get_text() for label in axes.get_xticklabels()]
    return axes, dict(zip(labels, axes.get_xticks(), strict=True))


@pytest.mark.parametrize(
    ("name", "strengths"),
    [
        ("sigma", [0.5, 1, 1.5, 2]),
        # Sums of 0.05 and of 0.1 that are a hair larger than they should be.
        ("cutoff", [0.05, 0.1, 0.15, 0.2, 0.3]),
        ("cutoff", [0.1, 0.2, 0.3, 0.4, 0.6, 0.7]),
        ("size", [3, 5, 7]),
        ("bits", [1, 2, 4]),
        ("std", [0.2]),
        ("size", [3]),
        ("bits", [1]),
    ],
)
def test_an_axis_of_strengths_has_no_filter_on_its_left_and_its_numbers_up_to_the_last(
    name, strengths
):
    axes, ticks = strength_axis(name, strengths)
    (first, left), *others = ticks.items()
    assert first == "none"
    assert left == style.apart_from(strengths) < strengths[0]
    assert others[-1] == (f"{strengths[-1]:g}", pytest.approx(strengths[-1]))
    assert all(float(label) == pytest.approx(tick) for label, tick in others)
    divide = axes.lines[-1].get_xdata()[0]
    assert left < divide < min(strengths[0], others[0][1])


@pytest.mark.parametrize("name", ["bits", "quality", "size"])
def test_strengths_that_are_counts_have_whole_ticks(name):
    _, ticks = strength_axis(name, [1, 3])
    assert list(ticks) == ["none", "1", "3"]
    axes = Figure().subplots()
    axes.plot([1, 9], [0, 1])
    style.label_strength(axes, pd.DataFrame({"strength_name": name, "strength": range(1, 10)}))
    assert all(tick == int(tick) for tick in axes.get_xticks())


def test_the_theme_ends_with_its_body():
    import matplotlib as mpl

    before = mpl.rcParams["svg.hashsalt"]
    with style.theme():
        assert mpl.rcParams["svg.hashsalt"] == "epsigma"
    assert mpl.rcParams["svg.hashsalt"] == before


# --- Gallery


def gallery(count=3, channels=1, **changes):
    generator = np.random.default_rng(0)
    arguments = {
        "images": generator.random((2, count, channels, 8, 8), dtype=np.float32),
        "predictions": np.array([[7] * count, [7] + [3] * (count - 1)]),
        "probabilities": np.full((2, count), 0.25, np.float32),
        "rejected": np.zeros((2, count), bool),
        "label": 7,
        "index": 12,
        "budget": "eps~0.1",
        "strengths": ["fixed", *(f"sigma~{i}" for i in range(1, count))],
        "title": "fgsm on mlp, digits, gaussian",
    }
    return draw_gallery(**{**arguments, **changes})


@pytest.mark.parametrize(("count", "channels"), [(1, 1), (2, 3), (12, 1)])
def test_a_gallery_has_two_images_and_their_difference_a_strength(count, channels):
    found = panels(gallery(count, channels))
    assert len(found) == 3 * count
    assert all(len(axes.images) == 1 for axes in found)
    titles = [axes.get_title() for axes in found if axes.get_title()]
    assert titles == ["no filter", *(f"σ = {i}" for i in range(1, count))]


def test_a_filter_without_a_strength_is_not_called_none_nor_is_an_attack_s_budget():
    found = panels(gallery(2, strengths=["fixed", "fixed"], budget="fixed"))
    assert [axes.get_title() for axes in found if axes.get_title()] == ["no filter", "filtered"]
    assert [axes.get_ylabel() for axes in found if axes.get_ylabel()][1] == "attacked"


def test_a_gallery_says_what_is_predicted_and_whether_it_is_right():
    figure = gallery(3)
    labels = [axes.get_xlabel() for axes in panels(figure)]
    assert labels[:6] == ["7 (25%) ✓"] * 3 + ["7 (25%) ✓", "3 (25%) ✗", "3 (25%) ✗"]
    assert [axes.get_ylabel() for axes in panels(figure) if axes.get_ylabel()] == [
        "clean",
        "attacked,\nε = 0.1",
        "difference",
    ]
    assert figure.get_suptitle() == "Test image 12, a 7\nfgsm on mlp, digits, gaussian"


def test_a_gallery_says_what_is_rejected_which_is_right_of_what_is_attacked():
    rejected = np.array([[False, True], [False, True]])
    found = panels(gallery(2, rejected=rejected))[:4]
    assert [axes.get_xlabel() for axes in found] == [
        "7 (25%) ✓",
        "7 (25%),\nrejected ✗",
        "7 (25%) ✓",
        "3 (25%),\nrejected ✓",
    ]
    weights = [axes.xaxis.label.get_fontweight() for axes in found]
    assert weights == ["normal", "bold", "normal", "normal"]


@pytest.mark.parametrize(
    ("lowest", "highest", "limits"), [(0.2, 0.9, (0, 1)), (-0.5, 0.9, (-0.5, 1)), (0, 2, (0, 2))]
)
def test_a_gallery_shows_all_images_on_one_grey_scale(lowest, highest, limits):
    images = np.full((2, 3, 1, 8, 8), 0.5, np.float32)
    images[0, 0, 0, 0, 0], images[1, 2, 0, 0, 0] = lowest, highest
    for axes in panels(gallery(images=images))[:6]:
        assert axes.images[0].get_clim() == pytest.approx(limits)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_gallery_s_differences_are_around_mid_grey_on_one_scale(channels):
    images = np.full((2, 2, channels, 8, 8), 0.5, np.float32)
    # Without a filter up in the first channel and down in the last; a filter leaves half of it.
    images[1, 0, 0, 2, 3], images[1, 0, -1, 5, 6] = 0.9, 0.1
    images[1, 1, 0, 2, 3] = 0.7
    bare, filtered = panels(gallery(2, images=images))[4:]
    assert [axes.get_xlabel() for axes in (bare, filtered)] == ["ℓ∞ 0.4", "ℓ∞ 0.2"]
    shown = []
    for axes in (bare, filtered):
        picture = axes.images[0]
        drawn_values = np.asarray(picture.get_array())
        if channels == 1:
            low, high = picture.get_clim()
            drawn_values = ((drawn_values - low) / (high - low))[..., None]
        shown.append(drawn_values)
    assert shown[0].shape == (8, 8, channels)
    assert shown[0][2, 3, 0] == pytest.approx(1)
    assert shown[0][5, 6, -1] == pytest.approx(0)
    assert shown[1][2, 3, 0] == pytest.approx(0.75)
    # Elsewhere, and in the channels that nobody touched, nothing.
    for values, touched in zip(shown, (2, 1), strict=True):
        assert (np.abs(values - 0.5) > 1e-6).sum() == touched


def test_a_gallery_in_colour_shows_the_colours():
    images = np.zeros((2, 1, 3, 8, 8), np.float32)
    images[:, :, 0] = 1
    for axes in panels(gallery(1, images=images))[:2]:
        assert np.asarray(axes.images[0].get_array())[0, 0].tolist() == [1, 0, 0]


def bits(text):
    return np.array([bit == "1" for bit in text])


@pytest.mark.parametrize(
    ("correct", "correct_clean", "level", "index"),
    [
        # The first budget that fools half: two of four; its first fooled image.
        (["11111", "10011", "00001"], "11110", 1, 1),
        # All budgets fool too few: the one that fools most.
        (["11111", "11101", "11011"], "11111", 1, 3),
        (["11111", "11110", "10011"], "11111", 2, 1),
        # An image that is wrong when clean is not fooled.
        (["0111", "0011"], "0111", 1, 1),
        # None is fooled: the first that is right when clean.
        (["011", "011"], "011", 0, 1),
        # None is right when clean: the first.
        (["000", "100"], "000", 0, 0),
        # Exactly half is half.
        (["10"], "11", 0, 1),
    ],
)
def test_the_gallery_s_image_is_chosen_by_its_rule(correct, correct_clean, level, index):
    assert choose([bits(text) for text in correct], bits(correct_clean)) == (level, index)


GAUSSIAN = "epsigma.filters.gaussian:Gaussian"


def filters(*sigmas):
    """The settings of no filter and of some Gaussians, as the rules give them."""
    none = {"implementation": "epsigma.filters.none:Identity", "parameters": {}}
    return [
        {"filter": "none", "strength": "fixed", **none},
        *(
            {
                "filter": "gaussian",
                "strength": f"sigma~{sigma}",
                "implementation": GAUSSIAN,
                "parameters": {"sigma": sigma},
            }
            for sigma in sigmas
        ),
    ]


@pytest.fixture
def attacked(tmp_path, clean_file):
    """Noisy sets of two budgets, and ledgers by which the second fools images 5 and 9 of 10."""
    clean = read_clean(clean_file, CPU)
    noise = torch.rand(clean.images.shape, generator=torch.Generator().manual_seed(0))
    sets, ledgers = [], []
    for budget, right in ((0.0, bits("1" * 10)), (0.5, bits("1111101110"))):
        noisy = (clean.images + budget * noise).clamp(0, 1)
        norms = measure(noisy, clean.images)
        sets.append(str(tmp_path / f"{budget}.safetensors"))
        write_image_set(sets[-1], ImageSet(noisy, clean.labels, norms), {})
        ledgers.append(str(tmp_path / f"{budget}.parquet"))
        columns = {"index": np.arange(10), "correct": right, "correct_clean": bits("1" * 10)}
        write_ledger(ledgers[-1], columns, {})
    return {"adversarial": sets, "ledgers": ledgers}


def test_the_stage_puts_the_chosen_image_through_each_filter_and_asks_the_model(
    tmp_path, trained, clean_file, checkpoint, attacked, make_job
):
    settings = {
        "model": trained.settings,
        "budgets": ["eps~0", "eps~0.5"],
        "filters": filters(0.5, 1),
    }
    path = str(tmp_path / "gallery.safetensors")
    make_gallery(
        make_job(settings),
        test=str(clean_file),
        checkpoint=str(checkpoint),
        **attacked,
        gallery=path,
    )
    names = ("images", "predictions", "probabilities", "index", "label")
    found = read_tensors(path, names, CPU)
    assert found["index"].tolist() == [5, 5]
    assert found["label"].tolist() == [trained.labels[5]] * 2
    assert found["images"].shape == (2, 3, 1, 8, 8)
    clean = read_clean(clean_file, CPU).images[5]
    noisy = read_image_set(attacked["adversarial"][1], CPU).images[5]
    torch.testing.assert_close(found["images"][:, 0], torch.stack([clean, noisy]))
    smooth = Gaussian(sigma=1)(noisy[None])[0]
    torch.testing.assert_close(found["images"][1, 2], smooth)
    probabilities, predictions = trained.model(found["images"][1]).softmax(1).max(1)
    torch.testing.assert_close(found["probabilities"][1], probabilities)
    assert torch.equal(found["predictions"][1], predictions)


def test_the_gallery_asks_the_detectors_about_the_images_before_the_filter(
    tmp_path, trained, clean_file, checkpoint, attacked, make_job
):
    median = {"implementation": "epsigma.filters.median:Median", "parameters": {"size": 3}}
    path, threshold = str(tmp_path / "gaussian.safetensors"), str(tmp_path / "threshold.json")
    detector = {
        "detector": "squeezing",
        "implementation": "epsigma.detectors.squeezing:Squeezing",
        "parameters": {"filters": [{**median, "gradient": "bpda"}]},
        "threshold": threshold,
    }
    settings = {
        "model": trained.settings,
        "budgets": ["eps~0", "eps~0.5"],
        "filters": filters(0.5, 1),
        "detectors": [detector],
    }
    noisy = read_image_set(attacked["adversarial"][1], CPU).images[5]
    shown = torch.stack([read_clean(clean_file, CPU).images[5], noisy])
    squeezing = Squeezing(filters=[Median(size=3)])
    scores = squeezing(shown, trained.model(shown), trained.model)
    assert scores[0] != scores[1]
    write_json(threshold, {"threshold": scores.mean().item()})
    make_gallery(
        make_job(settings),
        test=str(clean_file),
        checkpoint=str(checkpoint),
        **attacked,
        gallery=path,
    )
    found = read_tensors(path, ("rejected",), CPU)["rejected"]
    # Where there is no filter, nobody looks.
    expected = [[False, rejected, rejected] for rejected in (scores > scores.mean()).tolist()]
    assert found.tolist() == expected
    table().to_csv(tmp_path / "cells.csv", index=False)
    job = make_job(draw_settings(figures_of("filter")), **FGSM)
    draw(job, figures=[str(tmp_path / "gaussian/gallery.svg")], galleries=[path])
    drawn_gallery = (tmp_path / "gaussian/gallery.svg").read_text(encoding="utf-8")
    assert drawn_gallery.count("rejected") == 2


# --- Spectra


def test_the_spectrum_of_white_noise_is_flat():
    deviation = 0.3
    generator = torch.Generator().manual_seed(0)
    noise = deviation * torch.randn(300, 2, 28, 28, generator=generator)
    frequency, amplitude = radial_spectrum(noise)
    assert frequency.tolist() == pytest.approx([i / 28 for i in range(15)])
    # Rayleigh's mean; at f = 0 alone the amplitude is real, and half-normal.
    expected = torch.full_like(amplitude, deviation * math.sqrt(math.pi) / 2)
    expected[0] = deviation * math.sqrt(2 / math.pi)
    torch.testing.assert_close(amplitude, expected, rtol=0.05, atol=0)


@pytest.mark.parametrize("size", [(28, 28), (9, 9), (8, 12), (15, 10)], ids=str)
@pytest.mark.parametrize("across", [True, False], ids=["across", "down"])
@pytest.mark.parametrize("turns", [1, 3])
def test_the_spectrum_of_a_pure_wave_peaks_at_its_frequency(size, across, turns):
    side = size[1] if across else size[0]
    angle = 2 * math.pi * turns * torch.arange(side) / side
    images = (
        torch.cos(angle).expand(4, 1, *size)
        if across
        else torch.cos(angle)[:, None].expand(4, 1, *size)
    )
    frequency, amplitude = radial_spectrum(images)
    step = 1 / min(size)
    assert abs(frequency[amplitude.argmax()] - turns / side) <= step / 2
    others = amplitude[(frequency - turns / side).abs() > step / 2 + 1e-9]
    assert others.abs().max() < 1e-5


@pytest.mark.parametrize("size", [(8, 8), (7, 7), (9, 12), (12, 7)], ids=str)
def test_a_spectrum_is_the_mean_over_each_ring_of_the_whole_transform(size):
    # Not the same in all directions, as digits are not.
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(5, 2, *size, generator=generator, dtype=torch.float64).cumsum(-1)
    amplitude = torch.fft.fft2(images, norm="ortho").abs().mean((0, 1))
    side = min(size)
    down, across = (torch.fft.fftfreq(n, dtype=torch.float64) for n in size)
    ring = (torch.hypot(down[:, None], across) * side).round()
    expected = [amplitude[ring == k].mean().item() for k in range(side // 2 + 1)]
    assert radial_spectrum(images)[1].tolist() == pytest.approx(expected)


@pytest.mark.parametrize("size", [(1, 5), (5, 1)], ids=str)
def test_the_spectrum_of_images_one_pixel_high_is_over_their_other_side(size):
    wave = torch.cos(2 * math.pi * torch.arange(5) / 5).view(1, 1, *size)
    frequency, amplitude = radial_spectrum(wave)
    assert frequency.tolist() == pytest.approx([0, 0.2, 0.4])
    # Half of the wave is at either sign of its frequency.
    assert amplitude.tolist() == pytest.approx([0, math.sqrt(5) / 2, 0], abs=1e-6)


def test_a_spectrum_does_not_depend_on_the_batch(monkeypatch):
    images = torch.rand(7, 3, 9, 12, generator=torch.Generator().manual_seed(0))
    _, together = radial_spectrum(images)
    monkeypatch.setattr("epsigma.storage.batches.BATCH", 2)
    torch.testing.assert_close(radial_spectrum(images)[1], together)


def test_of_many_images_a_spectrum_takes_some_of_all_classes(monkeypatch):
    monkeypatch.setattr("epsigma.probing.spectra.MOST", 4)
    # Sorted, as a set of own data may be: the first four would be of one kind.
    images = torch.rand(12, 1, 8, 8, generator=torch.Generator().manual_seed(0)).sort(0).values
    found = image_curve("images", "", images)["amplitude"]
    assert found.tolist() == pytest.approx(radial_spectrum(Sampled(images, 4)[:])[1].tolist())


def test_a_constant_image_has_its_mean_at_frequency_zero_and_nothing_else():
    frequency, amplitude = radial_spectrum(torch.full((2, 1, 8, 8), 0.5))
    assert frequency[0] == 0
    # The orthonormal transform of N pixels of value v: v √N.
    assert amplitude.tolist() == pytest.approx([0.5 * 8, 0, 0, 0, 0], abs=1e-6)


@pytest.fixture
def spectrum(tmp_path, clean_file, attacked, make_job):
    path = tmp_path / "spectrum.csv"
    settings = {"budgets": ["eps~0", "eps~0.5"], "filters": filters(0.5, 1)}
    make_spectrum(
        make_job(settings),
        test=str(clean_file),
        adversarial=attacked["adversarial"],
        spectrum=str(path),
    )
    return path


def test_the_stage_writes_spectra_and_responses(spectrum):
    curves = pd.read_csv(spectrum, keep_default_na=False)
    assert list(curves.columns) == ["curve", "name", "level", "frequency", "amplitude"]
    found = list(
        curves[["curve", "name", "level"]].drop_duplicates().itertuples(index=False, name=None)
    )
    # No filter has no response to draw.
    assert found == [
        ("images", "", ""),
        ("perturbation", "", "eps~0"),
        ("perturbation", "", "eps~0.5"),
        ("filter", "gaussian", "sigma~0.5"),
        ("filter", "gaussian", "sigma~1"),
    ]
    assert curves["frequency"].between(0, 0.5).all()
    nothing = curves[curves["level"] == "eps~0"]["amplitude"]
    assert nothing.tolist() == [0] * 5
    response = curves[curves["level"] == "sigma~1"]
    # The transform of the sampled kernel, four deviations to each side.
    offsets = np.arange(-4, 5)
    kernel = np.exp(-(offsets**2) / 2)
    waves = np.cos(2 * np.pi * np.outer(response["frequency"], offsets))
    expected = waves @ kernel / kernel.sum()
    assert response["amplitude"].tolist() == pytest.approx(expected.tolist(), rel=1e-4)


def test_the_figure_of_spectra_has_a_panel_a_filter_below_them(spectrum):
    figure = draw_spectrum(pd.read_csv(spectrum, keep_default_na=False))
    top, *below = panels(figure)
    # A perturbation of nothing has no place on a logarithmic axis.
    assert list(drawn(top)) == ["clean images", "perturbation, ε = 0.5"]
    assert [axes.get_title() for axes in below] == ["gaussian"]
    assert list(drawn(below[0])) == ["σ = 0.5", "σ = 1"]
    assert top.get_xlim() == below[0].get_xlim() == (0, 0.5)


def test_of_many_perturbations_the_weakest_a_middle_and_the_strongest_are_drawn():
    rows = [
        ("perturbation", "", f"eps~{spell(i / 10)}", f, float(i))
        for i in range(1, 10)
        for f in (0, 0.5)
    ]
    curves = pd.DataFrame(
        [("images", "", "", 0, 1.0), *rows, ("filter", "band", "cutoff~0.1", 0, 1.0)],
        columns=["curve", "name", "level", "frequency", "amplitude"],
    )
    top = panels(draw_spectrum(curves))[0]
    assert list(drawn(top))[1:] == [f"perturbation, ε = {eps}" for eps in ("0.1", "0.5", "0.9")]


def write_rows(path, images, labels, index, target):
    """Write a set of rows, as the stage attack does."""
    rows = {"index": torch.tensor(index), "target": torch.tensor(target)}
    measures = {name: torch.zeros(len(images)) for name in ImageSet.MEASURES}
    write_image_set(path, ImageSet(images, labels, measures, rows), {})
    return str(path)


def spectra_of(tmp_path, clean_file, make_job, path, stage, level):
    """The curves that a stage writes of one set."""
    written = tmp_path / "curves.csv"
    settings = {"budgets": [level], "filters": filters(1)}
    stage(make_job(settings), test=str(clean_file), adversarial=[path], spectrum=str(written))
    return read_table(str(written))


def amplitudes(curves, curve):
    return curves[curves["curve"] == curve]["amplitude"].tolist()


def test_the_perturbation_of_a_row_is_from_the_image_that_it_is_of(tmp_path, clean_file, make_job):
    clean = read_clean(clean_file, CPU)
    index, delta = [4, 4, 9, 350], 0.25
    path = tmp_path / "rows.safetensors"
    write_rows(path, clean.images[index] + delta, clean.labels[index], index, [0, 1, 2, 3])
    curves = spectra_of(tmp_path, clean_file, make_job, str(path), make_spectrum, "gamma~0.1")
    # A shift by the same grey everywhere: of N pixels, delta √N at frequency 0.
    assert amplitudes(curves, "perturbation") == pytest.approx([8 * delta, 0, 0, 0, 0], abs=1e-5)


def test_fooling_images_have_spectra_of_their_own_and_no_perturbation(
    tmp_path, clean_file, make_job
):
    # More of them than there are test images, none of which they are.
    images = torch.rand(400, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    path = tmp_path / "made.safetensors"
    labels = torch.arange(400) % 10
    write_rows(path, images, labels, list(range(400)), labels.tolist())
    given = tmp_path, clean_file, make_job, str(path)
    curves = spectra_of(*given, spectrum_fooling, "confidence~0.9")
    assert list(curves["curve"].unique()) == ["images", "fooling", "filter"]
    assert set(curves[curves["curve"] == "fooling"]["level"]) == {"confidence~0.9"}
    expected = radial_spectrum(images)[1].tolist()
    assert amplitudes(curves, "fooling") == pytest.approx(expected, rel=1e-5)
    top, *_ = panels(draw_spectrum(curves))
    assert list(drawn(top)) == ["clean images", "fooling images, confidence = 0.9"]


def test_spectra_of_an_attack_that_changes_nothing_are_those_of_the_images(spectrum):
    curves = read_table(str(spectrum))
    curves = curves[curves["level"] != "eps~0.5"]
    top, *_ = panels(draw_spectrum(curves))
    assert list(drawn(top)) == ["clean images"]


# --- Convergence


def effort(threat="blind", name="none", strength="fixed", **found):
    return {**EFFORT, "cell": {"threat": threat, "filter": name, "strength": strength}, **found}


def test_convergence_is_a_line_of_losses_for_each_thing_that_is_attacked():
    efforts = [
        effort(),
        effort("aware", "gaussian", "sigma~1.5", losses=[1, 2, 4], errors=[0, 1]),
        effort("aware", "fix", "fixed", steps=[1, 3], losses=[5, 6]),
        # Without losses there is nothing to draw.
        {key: value for key, value in effort().items() if key not in ("losses", "steps")},
        effort(losses=[], steps=[]),
    ]
    figure = loss_by_step(efforts)
    (axes,) = panels(figure)
    assert drawn(axes) == {
        "no filter: 50.0% → 62.5%": ([1, 2, 3], [0.25, 0.5, 0.75]),
        "gaussian σ = 1.5: 0.0% → 100.0%": ([1, 2, 3], [1, 2, 4]),
        "fix: 50.0% → 62.5%": ([1, 3], [5, 6]),
    }
    assert axes.get_legend().get_title().get_text() == "success, steps 3 → 6"
    assert figure.get_suptitle() == "Convergence at ε = 0.5\npgd, digits, mlp"


@pytest.mark.parametrize("efforts", [[], [{"cell": {}}]], ids=["noise", "not traced"])
def test_an_attack_whose_loss_is_not_followed_says_so(efforts):
    figure = loss_by_step(efforts)
    assert figure.axes == []
    assert "no loss that is followed" in figure.get_suptitle()


@pytest.mark.parametrize(("count", "columns"), [(LEGEND, 1), (LEGEND + 1, 2)])
def test_the_legend_names_all_lines_in_as_many_columns_as_they_need(count, columns):
    efforts = [effort("aware", "gaussian", f"sigma~{i + 1}") for i in range(count)]
    (axes,) = panels(loss_by_step(efforts))
    assert len(axes.lines) == len(axes.get_legend().get_texts()) == count
    assert axes.get_legend()._ncols == columns


def test_lines_of_filters_that_share_a_colour_have_other_markers():
    names = [f"own_{i}" for i in range(8)]
    (axes,) = panels(loss_by_step([effort("aware", name, "fixed") for name in names]))
    assert len({(to_hex(line.get_color()), line.get_marker()) for line in axes.lines}) == 8
    assert len({to_hex(line.get_color()) for line in axes.lines}) < 8


# --- Fooling images


def test_fooling_images_are_a_row_each_and_bold_where_they_are_accepted():
    predictions = np.array([[3, 3, 3], [5, 7, 5]])
    probabilities = np.array([[0.95, 0.9, 0.89], [1, 1, 0.5]], np.float32)
    rejected = np.array([[False, True, False], [False, False, True]])
    images = np.random.default_rng(0).random((2, 3, 1, 8, 8), dtype=np.float32)
    figure = draw_fooling(
        images,
        predictions,
        probabilities,
        rejected,
        targets=np.array([3, 7]),
        budget="confidence~0.9",
        strengths=["fixed", "sigma~1", "sigma~2"],
        title="fooling on mlp, digits, gaussian",
    )
    found = panels(figure)
    labels = [axes.get_xlabel() for axes in found]
    assert labels == [
        *("3 (95%)", "3 (90%),\nrejected", "3 (89%)"),
        *("5 (100%)", "7 (100%)", "5 (50%),\nrejected"),
    ]
    weights = [axes.xaxis.label.get_fontweight() for axes in found]
    # Named as the target, with the confidence that was asked for, and accepted.
    assert [weight == "bold" for weight in weights] == [True, False, False, False, True, False]
    assert [axes.get_title() for axes in found[:3]] == ["no filter", "σ = 1", "σ = 2"]
    rows = [axes.get_ylabel() for axes in found if axes.get_ylabel()]
    assert rows == ["made for 3", "made for 7"]
    assert "confidence = 0.9 or more" in figure.get_supxlabel()
    for axes, image in zip(found, images.reshape(6, 8, 8), strict=True):
        assert np.array_equal(axes.images[0].get_array(), image)


def test_the_gallery_of_fooling_images_is_the_first_of_each_class_at_the_largest_confidence(
    tmp_path, trained, clean_file, checkpoint, make_job
):
    generator = torch.Generator().manual_seed(0)
    labels = torch.tensor([0, 0, 2, 2, 7])
    sets, paths = [], []
    for level in ("confidence~0.5", "confidence~0.9"):
        sets.append(torch.rand(5, 1, 8, 8, generator=generator))
        path = tmp_path / f"{level}.safetensors"
        paths.append(write_rows(path, sets[-1], labels, list(range(5)), labels.tolist()))
    settings = {
        "model": trained.settings,
        "budgets": ["confidence~0.5", "confidence~0.9"],
        "filters": filters(1),
    }
    written = str(tmp_path / "gaussian.safetensors")
    # They are chosen without a look at what became of them.
    gallery_fooling(
        make_job(settings),
        test=str(clean_file),
        checkpoint=str(checkpoint),
        adversarial=paths,
        gallery=written,
    )
    found = read_tensors(written, ("images", "predictions", "index", "label"), CPU)
    assert found["index"].tolist() == [0, 2, 4]
    assert found["label"].tolist() == [0, 2, 7]
    assert torch.equal(found["images"][:, 0], sets[1][[0, 2, 4]])
    smooth = Gaussian(sigma=1)(sets[1][[0, 2, 4]])
    torch.testing.assert_close(found["images"][:, 1], smooth)
    assert torch.equal(found["predictions"][:, 1], trained.model(smooth).argmax(1))
    job = make_job(draw_settings(figures_of("filter"), family=FOOLING), **FGSM)
    draw(job, figures=[str(tmp_path / "gaussian/gallery.svg")], galleries=[written])
    drawn_gallery = (tmp_path / "gaussian/gallery.svg").read_text(encoding="utf-8")
    assert drawn_gallery.count("made for") == 3


def test_the_gallery_of_rows_shows_the_image_that_the_row_is_of(
    tmp_path, trained, clean_file, checkpoint, make_job
):
    clean = read_clean(clean_file, CPU)
    index, target = [4, 4, 9, 9], [0, 1, 0, 1]
    images = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    path = tmp_path / "rows.safetensors"
    write_rows(path, images, clean.labels[index], index, target)
    ledger = str(tmp_path / "rows.parquet")
    columns = {"index": np.array(index), "correct": bits("1100"), "correct_clean": bits("1111")}
    write_ledger(ledger, columns, {})
    settings = {
        "model": trained.settings,
        "budgets": ["gamma~0.1"],
        "filters": filters(1),
    }
    written = str(tmp_path / "gallery.safetensors")
    make_gallery(
        make_job(settings),
        test=str(clean_file),
        checkpoint=str(checkpoint),
        adversarial=[str(path)],
        ledgers=[ledger],
        gallery=written,
    )
    found = read_tensors(written, ("images", "index", "label"), CPU)
    # The first that is fooled is the third row, of image 9.
    assert found["index"].tolist() == [9, 9]
    assert torch.equal(found["images"][:, 0], torch.stack([clean.images[9], images[2]]))
    assert found["label"].tolist() == [int(clean.labels[9])] * 2


# --- Drawing into files


DRAWN_TWICE = {
    "accuracy": lambda: accuracy_by_strength(chosen(), "lowpass"),
    "gallery": lambda: gallery(2),
    "threats": lambda: blind_and_aware(both((0, 1))),
}


@pytest.mark.parametrize("name", DRAWN_TWICE)
def test_a_figure_drawn_twice_is_the_same_bytes(tmp_path, name):
    for folder in ("one", "two"):
        with style.theme():
            save_figure(DRAWN_TWICE[name](), tmp_path / folder / "figure.svg")
    for suffix in (".svg", ".png"):
        one, two = (tmp_path / folder / f"figure{suffix}" for folder in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()
    svg = (tmp_path / "one" / "figure.svg").read_text(encoding="utf-8")
    # Text stays text; a date would differ tomorrow.
    assert "<text" in svg
    assert "dc:date" not in svg
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == [
        "figure.png",
        "figure.svg",
    ]


def checks_file(tmp_path, *failures):
    """A table of checks in which some subjects failed and everything else passed."""
    found = [Verdict("monotone", subject, "fail", 1.0, 0.0, "It is not.") for subject in failures]
    found.append(Verdict("logits", {"model": "mlp"}, "pass", 0.0, 1.0, "They are."))
    path = tmp_path / "checks.csv"
    tabulate_checks(found).to_csv(path, index=False)
    return str(path)


def rows_of(tmp_path, *failures, norms=None, **cell):
    """The rows of `cells.csv` that a figure is drawn from."""
    pd.DataFrame(columns=OF_SEEDS).to_csv(tmp_path / "seeds.csv", index=False)
    files = {name: str(tmp_path / f"{name}.csv") for name in ("cells", "seeds")}
    files["checks"] = checks_file(tmp_path, *failures)
    return FigureData({**FGSM, **cell}, {"norms": norms or {}}, files).rates("cells")


def test_the_rows_of_a_figure_are_those_of_its_data_set_model_and_attack(tmp_path):
    other = table(attack="other")
    mine = pd.concat([table().assign(seed=5), table(threat="aware").assign(seed=5)])
    everything = pd.concat([other, mine, mine.assign(model="wide"), mine.assign(dataset="mnist")])
    everything.to_csv(tmp_path / "cells.csv", index=False)
    found = rows_of(tmp_path, norms={"fgsm": "l2"})
    assert len(found) == len(mine)
    assert set(found["seed"]) == {5}
    assert set(found["attack"]) == {"fgsm"}
    # Both threats: which one is shown is the figure's business.
    assert set(found["threat"]) == {"blind", "aware"}
    assert set(found["norm"]) == {"l2"}
    assert not found["in_doubt"].any()


def test_the_rows_of_a_figure_say_what_a_failed_check_concerns(tmp_path):
    pd.concat([table((0, 1)), table(attack="other")]).to_csv(tmp_path / "cells.csv", index=False)
    failures = (
        {**FGSM, "seed": 1, "filter": "gaussian", "strength": "sigma~1.5"},
        {"dataset": "digits", "filter": "band"},
        {"model": "mlp", "attack": "other"},
    )
    found = rows_of(tmp_path, *failures)
    expected = (found["filter"] == "band") | ((found["seed"] == 1) & (found["strength"] == 1.5))
    assert found["in_doubt"].tolist() == expected.tolist()


# Names that a configuration may give, and that a reader of CSV may take for something else.
@pytest.mark.parametrize("name", ["null", "nan", "true", "inf"])
def test_a_name_is_a_name_whatever_it_looks_like(tmp_path, name):
    table().assign(model=name).to_csv(tmp_path / "cells.csv", index=False)
    found = rows_of(tmp_path, {"model": name}, model=name)
    assert len(found) == len(table())
    assert found["in_doubt"].all()


def test_a_table_is_read_when_it_is_asked_for_and_once(tmp_path):
    table().to_csv(tmp_path / "cells.csv", index=False)
    # What no figure asks for need not even be there.
    files = {"cells": str(tmp_path / "cells.csv"), "fallen": str(tmp_path / "none.csv")}
    data = FigureData(FGSM, {"norms": {}}, {**files, "checks": checks_file(tmp_path)})
    found = data.rates("cells")
    (tmp_path / "cells.csv").unlink()
    # The figures of every filter share what has been read.
    for name in ("gaussian", "lowpass"):
        assert replace(data, cell={**FGSM, "filter": name}).rates("cells") is found


@pytest.fixture
def files(tmp_path, trained, clean_file, checkpoint, attacked, spectrum, make_job):
    """What the stages read, by argument."""
    cells = both().drop(columns=["norm", "in_doubt"])
    cells.to_csv(tmp_path / "cells.csv", index=False)
    as_fallen(cells).to_csv(tmp_path / "fallen.csv", index=False)
    headlined(cells).assign(**FGSM).to_csv(tmp_path / "headline.csv", index=False)
    worst = as_worst_case(cells)
    worst = pd.concat([worst.assign(norm="linf"), worst.assign(norm="l2")])
    worst.to_csv(tmp_path / "worst_case.csv", index=False)
    as_attacks(cells).assign(norm="linf").to_csv(tmp_path / "attacks.csv", index=False)
    settings = {
        "model": trained.settings,
        "budgets": ["eps~0", "eps~0.5"],
        "filters": filters(0.5, 1),
    }
    images = str(tmp_path / "gaussian.safetensors")
    make_gallery(
        make_job(settings),
        test=str(clean_file),
        checkpoint=str(checkpoint),
        **attacked,
        gallery=images,
    )
    names = ("cells", "fallen", "headline", "worst_case", "attacks")
    tables = {name: str(tmp_path / f"{name}.csv") for name in names}
    probe = tmp_path / "probe.json"
    write_json(probe, EFFORT)
    return {
        **tables,
        "galleries": [images],
        "spectrum": str(spectrum),
        "probes": [str(probe)],
    }


EFFORT = {
    "cell": {"threat": "blind", "filter": "none", "strength": "fixed"},
    "budget": "eps~0.5",
    "spends": "steps",
    "tried": [3, 6],
    "errors": [0.5, 0.625],
    "steps": [1, 2, 3],
    "losses": [0.25, 0.5, 0.75],
}
NORMS = {"fgsm": "linf", "pgd": "linf", "pgd_l2": "l2"}
MODEL = {"dataset": "digits", "model": "mlp"}
READ = {
    "attack": ("cells", "fallen", "headline", "spectrum", "probes"),
    "filter": ("cells", "galleries"),
    "model": ("cells", "attacks", "worst_case"),
}
# All but those of detectors and votes.
DRAWN = {
    scope: {
        name: kind
        for name, kind in FIGURES[scope].items()
        if kind.needs not in ("detectors", "smoothing")
    }
    for scope in READ
}
FOLDERS = {"attack": "", "filter": "gaussian/", "model": ""}


def draw_all(files, out, make_job, checks, norms=NORMS, scopes=tuple(READ)):
    """Run the stage for each scope."""
    for scope in scopes:
        cell, kinds = MODEL if scope == "model" else FGSM, DRAWN[scope]
        draw(
            make_job(draw_settings(kinds, norms=norms, family="single_step"), **cell),
            figures=[str(out / f"{FOLDERS[scope]}{name}.svg") for name in kinds],
            checks=checks,
            **{name: files[name] for name in READ[scope]},
        )


def test_the_stages_draw_their_figures_as_svg_and_png(tmp_path, files, make_job):
    out = tmp_path / "figures"
    draw_all(files, out, make_job, checks_file(tmp_path))
    found = sorted(str(path.relative_to(out)) for path in out.rglob("*.*"))
    names = (
        *("accuracy", "success", "spectrum", "threats", "smallest", "convergence"),
        *("attacks", "worst_case", "gaussian/accuracy", "gaussian/gallery"),
    )
    assert found == sorted(f"{name}{suffix}" for name in names for suffix in (".png", ".svg"))
    gallery_svg = (out / "gaussian" / "gallery.svg").read_text(encoding="utf-8")
    assert "Test image 5" in gallery_svg
    assert "fgsm, digits, mlp, gaussian" in gallery_svg
    # Of the norm that most attacks have.
    worst = (out / "worst_case.svg").read_text(encoding="utf-8")
    assert "Worst case over the attacks in ℓ∞" in worst


@pytest.mark.parametrize(
    ("failure", "doubted"),
    [
        (
            {"attack": "fgsm", "threat": "blind", "filter": "none"},
            {
                *("accuracy", "success", "threats", "smallest"),
                *("gaussian/accuracy", "attacks", "worst_case"),
            },
        ),
        (
            {"attack": "fgsm", "threat": "aware", "filter": "gaussian"},
            {"threats", "smallest", "worst_case"},
        ),
        (
            {"attack": "fgsm", "threat": "blind", "filter": "lowpass"},
            {"success", "threats", "worst_case"},
        ),
        # Of another norm than the figure of worst cases, and of another attack.
        ({"attack": "pgd_l2", "threat": "aware", "filter": "gaussian"}, set()),
        ({"attack": "pgd", "threat": "aware", "filter": "gaussian"}, {"worst_case"}),
        ({"dataset": "mnist"}, set()),
    ],
)
def test_the_figures_that_a_failed_check_concerns_say_so(
    tmp_path, monkeypatch, files, make_job, failure, doubted
):
    said = {}

    def save(figure, svg, formats):
        name = str(svg.relative_to(tmp_path).with_suffix(""))
        said[name] = "in doubt" in note(figure)

    monkeypatch.setattr("epsigma.stages.draw.save_figure", save)
    draw_all(files, tmp_path, make_job, checks_file(tmp_path, failure))
    assert {name for name, is_said in said.items() if is_said} == doubted


def test_a_model_that_nothing_bounded_attacks_has_figures_that_say_so(tmp_path, make_job):
    cells = table(attack="fgsm")
    cells.to_csv(tmp_path / "cells.csv", index=False)
    as_worst_case(cells.assign(norm="linf"))[:0].to_csv(tmp_path / "worst_case.csv", index=False)
    as_attacks(cells.assign(norm="linf"))[:0].to_csv(tmp_path / "attacks.csv", index=False)
    names = ("cells", "attacks", "worst_case")
    files = {name: str(tmp_path / f"{name}.csv") for name in names}
    norms = {"fgsm": None}
    draw_all(files, tmp_path, make_job, checks_file(tmp_path), norms=norms, scopes=["model"])
    for name in DRAWN["model"]:
        assert "no cells" in (tmp_path / f"{name}.svg").read_text(encoding="utf-8")


def test_of_many_points_in_doubt_some_are_marked():
    axes = Figure().subplots()
    many = pd.DataFrame({"rate": 0.5, "low": 0.4, "high": 0.6, "in_doubt": True}, index=range(95))
    draw_line(axes, many, color="k")
    (marks,) = [line for line in axes.lines if line.get_marker() == "x"]
    assert list(marks.get_xdata()) == list(range(0, 95, 10))
