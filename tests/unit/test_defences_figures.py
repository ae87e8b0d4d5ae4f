import math
from itertools import pairwise, product

import numpy as np
import pandas as pd
import pytest
from epsigma.figures import defences, detectors, style
from epsigma.figures.data import FigureData
from epsigma.plan.figures import draw_settings, figures_of
from epsigma.stages.draw import draw
from epsigma.tables.best import COST, best_strengths
from epsigma.vocabulary import AWARE, BLIND
from matplotlib.container import ErrorbarContainer


def accuracy_against_cost(table, families=()):
    names = {"families": {name: name for name in families}}
    data = FigureData({"dataset": "digits"}, {"names": names}, tables={"defences": table})
    return defences.accuracy_against_cost(data)


def operating_characteristics(curves, thresholds):
    cell, tables = {"dataset": "digits", "model": "mlp"}, {"roc": curves, "detectors": thresholds}
    return detectors.operating_characteristics(FigureData(cell, {"seed": 0}, tables=tables))


# --- Accuracy against cost


def row(model="mlp", name="none", strength=None, budget=0.1, aware=0.5, blind=0.7, **changed):
    return {
        "dataset": "digits",
        "norm": "linf",
        "seed": 0,
        "model": model,
        "filter": name,
        "strength_name": None if strength is None else "sigma",
        "strength": strength,
        "budget_name": "eps",
        "budget": budget,
        "clean_n": 2000,
        **counted("aware", aware, changed.pop("aware_validation", aware)),
        **counted("blind", blind, changed.pop("blind_validation", blind)),
        COST: 10.0,
        **changed,
    }


def counted(attacker, test, validation):
    """The counts of an attacker: such shares are right of 1,000 images each."""
    if np.isnan(test):
        names = ("attacks", "n", "n_correct", "n_validation", "n_correct_validation")
        return {f"{attacker}_{name}": np.nan for name in names}
    right, chose_right = round(1000 * test), round(1000 * validation)
    return {
        f"{attacker}_attacks": 1,
        f"{attacker}_n": 2000,
        f"{attacker}_n_correct": right + chose_right,
        f"{attacker}_n_validation": 1000,
        f"{attacker}_n_correct_validation": chose_right,
    }


def study():
    """Two models, without a filter and with one of three strengths, at two budgets."""
    rows = []
    for budget in (0.1, 0.2):
        for model, cost in (("mlp", 2.0), ("adv", 3.0)):
            aware = (0.3 if model == "mlp" else 0.6) - budget
            rows.append(row(model, budget=budget, aware=aware, **{COST: cost}))
            for strength, gain in ((0.5, 0.05), (1, 0.15), (2, 0.1)):
                rows.append(
                    row(
                        model,
                        "gaussian",
                        strength,
                        budget,
                        aware=aware + gain,
                        # The blind attacker would have another one chosen.
                        blind=0.7 - gain,
                        **{COST: 10 * cost + strength},
                    )
                )
    return pd.DataFrame(rows)


def panels(figure):
    return [axes for axes in figure.axes if axes.get_visible()]


def points(axes):
    """The points of a panel, and how far their bars reach: x, y, below, above."""
    found = []
    for container in axes.containers:
        assert isinstance(container, ErrorbarContainer)
        line, _, (bars,) = container.lines
        ((x, y),) = line.get_xydata()
        (segment,) = bars.get_segments()
        found.append((x, y, segment[0][1], segment[1][1]))
    return found


def looks(axes):
    """What tells a defence in a panel: of each point the colour and the marker, and the fill."""
    lines = [container.lines[0] for container in axes.containers]
    return [((line.get_color(), line.get_marker()), line.get_fillstyle()) for line in lines]


def test_the_best_strength_of_a_filter_is_that_of_the_aware_attacker():
    best = best_strengths(study())
    assert len(best) == 2 * 2 * 2
    assert set(best.loc[best["filter"] == "gaussian", "strength"]) == {1}
    assert best.loc[best["filter"] == "none", "strength"].isna().all()


def test_another_budget_may_have_another_best_strength():
    table = pd.DataFrame(
        [
            row(name="gaussian", strength=1, budget=0.1, aware=0.6),
            row(name="gaussian", strength=2, budget=0.1, aware=0.5),
            row(name="gaussian", strength=1, budget=0.2, aware=0.2),
            row(name="gaussian", strength=2, budget=0.2, aware=0.3),
        ]
    )
    best = best_strengths(table)
    assert dict(zip(best["budget"], best["strength"], strict=True)) == {0.1: 1, 0.2: 2}


def test_where_nobody_is_aware_the_best_is_the_blind_attacker_s():
    table = pd.DataFrame(
        [
            row(name="gaussian", strength=strength, aware=np.nan, blind=blind)
            for strength, blind in ((1, 0.5), (2, 0.6), (3, 0.4))
        ]
    )
    assert best_strengths(table)["strength"].tolist() == [2]


def test_of_equally_good_strengths_the_smallest_is_shown():
    table = pd.DataFrame([row(name="gaussian", strength=s, aware=0.5) for s in (2, 1, 3)])
    assert best_strengths(table)["strength"].tolist() == [1]


def test_the_images_that_choose_are_not_those_that_are_shown():
    table = pd.DataFrame(
        [
            row(name="gaussian", strength=1, aware=0.4, aware_validation=0.6, blind=0.5),
            # On all images and on those that are shown, it would be this one.
            row(name="gaussian", strength=2, aware=0.9, aware_validation=0.5, blind=0.7),
        ]
    )
    (best,) = best_strengths(table).to_dict("records")
    assert (best["strength"], best["aware"], best["blind"]) == (1, 0.4, 0.5)


def test_a_single_seed_has_wilson_s_interval_of_the_images_that_are_shown():
    (best,) = best_strengths(pd.DataFrame([row(aware=0.5, aware_validation=0.9)])).to_dict(
        "records"
    )
    # Wilson 1927 at one half: the half width is z / 2 / sqrt(n + z²).
    half = 1.959964 / 2 / math.sqrt(1000 + 1.959964**2)
    assert (best["aware_low"], best["aware_high"]) == pytest.approx((0.5 - half, 0.5 + half))


def test_of_several_seeds_the_mean_and_its_interval_are_shown():
    table = pd.DataFrame(
        [row(seed=seed, aware=aware) for seed, aware in enumerate((0.3, 0.6, 0.6))]
    )
    bounds = {"aware_test_seeds_low": 0.45, "aware_test_seeds_high": 0.55}
    table = table.assign(**bounds, blind_test_seeds_low=0.0, blind_test_seeds_high=1.0)
    (best,) = best_strengths(table).to_dict("records")
    assert best["aware"] == pytest.approx(0.5)
    assert (best["aware_low"], best["aware_high"]) == (0.45, 0.55)


def test_a_panel_a_budget_and_attacker_has_a_point_a_defence():
    figure = accuracy_against_cost(study())
    found = panels(figure)
    assert len(found) == 4
    assert [axes.get_title() for axes in found] == [
        f"ε = {budget}, {attacker}"
        for budget in ("0.1", "0.2")
        for attacker in ("blind: knows the undefended model", "aware: knows the defence")
    ]
    for axes in found:
        assert len(points(axes)) == 4
        assert axes.get_xscale() == "log"
        assert len(set(looks(axes))) == 4


@pytest.mark.parametrize(("at", "budget", "attacker"), [(0, 0.1, "blind"), (3, 0.2, "aware")])
def test_points_are_where_the_table_has_them_with_their_intervals(at, budget, attacker):
    best = best_strengths(study())
    rows = best[best["budget"] == budget].to_dict("records")
    expected = [
        (one[COST], *(one[f"{attacker}{of}"] for of in ("", "_low", "_high"))) for one in rows
    ]
    found = points(panels(accuracy_against_cost(study()))[at])
    np.testing.assert_allclose(sorted(found), sorted(expected))


def test_a_defence_looks_the_same_in_every_panel_and_models_and_filters_are_told_apart():
    figure = accuracy_against_cost(study())
    first, *others = [looks(axes) for axes in panels(figure)]
    assert all(one == first for one in others)
    assert len({of_filter for of_filter, _ in first}) == 2
    assert len({of_model for _, of_model in first}) == 2
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "mlp",
        "adv",
        "no filter",
        "gaussian",
    ]


def test_more_filters_than_colours_are_told_apart():
    names = [f"own_{at}" for at in range(26)]
    rows = [row(model, name, 1) for model in ("mlp", "adv") for name in names]
    with style.theme():
        figure = accuracy_against_cost(pd.DataFrame(rows), names)
        figure.draw_without_rendering()
    for axes in panels(figure):
        found = looks(axes)
        assert len({colour for (colour, _), _ in found}) < 26
        assert len({of_filter for of_filter, _ in found}) == 26
        assert len(set(found)) == 52
    # The sheet has room for its legend.
    (legend,) = figure.legends
    assert legend.get_window_extent().height <= figure.bbox.height


@pytest.mark.parametrize("most", [20.0, 200.0, 30_000.0])
def test_the_numbers_of_costs_do_not_overlap(most):
    table = pd.DataFrame([row(), row(name="gaussian", strength=1, **{COST: most})])
    figure = accuracy_against_cost(table.assign(**{COST: [3.0, most]}))
    figure.draw_without_rendering()
    for axes in panels(figure):
        low, high = axes.get_xbound()
        texts = [text for text in axes.get_xticklabels() if low <= text.get_position()[0] <= high]
        boxes = [text.get_window_extent() for text in texts]
        assert len(boxes) >= 3
        assert all(one.x1 < other.x0 for one, other in pairwise(boxes))


def test_a_defence_that_no_attacker_of_a_kind_met_has_no_point_there():
    table = pd.DataFrame([row("mlp"), row("adv", blind=np.nan)])
    blind, aware = panels(accuracy_against_cost(table))
    assert (len(points(blind)), len(points(aware))) == (1, 2)


def test_a_panel_says_of_how_many_images_it_is_where_attacks_are_on_fewer_than_all():
    few = row(budget=0.2, blind=np.nan, clean_n=5000)
    titles = [
        axes.get_title() for axes in panels(accuracy_against_cost(pd.DataFrame([row(), few])))
    ]
    assert [title.partition(":")[0] for title in titles] == [
        f"ε = {level}, {attacker}" for level in (0.1, 0.2) for attacker in (BLIND, AWARE)
    ]
    assert [title.endswith(" (1000 images)") for title in titles] == [False, False, False, True]


def test_several_seeds_are_said_to_be_averaged():
    assert "seeds" not in accuracy_against_cost(study()).get_suptitle()
    both = pd.concat([study(), study().assign(seed=1)], ignore_index=True)
    for name in (BLIND, AWARE):
        for bound in ("low", "high"):
            both[f"{name}_test_seeds_{bound}"] = 0.5
    tables = {"defences": both, "seeds": pd.DataFrame({"table": [], "rate": []})}
    figure = defences.accuracy_against_cost(FigureData({"dataset": "digits"}, tables=tables))
    assert "mean over 2 seeds, 95 % intervals clustered by image" in figure.get_suptitle()


def test_a_rate_of_0_or_1_is_drawn():
    table = pd.DataFrame([row(aware=1.0), row("adv", aware=0)])
    (_, aware) = panels(accuracy_against_cost(table))
    assert sorted(y for _, y, _, _ in points(aware)) == [0, 1]


def test_without_defences_it_says_so():
    figure = accuracy_against_cost(study().iloc[:0])
    assert not figure.axes
    assert "no cells" in figure.get_suptitle()


def test_the_stage_draws_the_norm_of_most_rows_of_its_data_set(tmp_path, make_job, monkeypatch):
    table = pd.concat(
        [study(), study().iloc[:3].assign(norm="l2"), study().assign(dataset="other", norm="l2")]
    )
    path, figure = tmp_path / "defences.csv", tmp_path / "defences.svg"
    table.to_csv(path, index=False)
    drawn = []

    def noted(given):
        drawn.append(given)
        return best_strengths(given)

    monkeypatch.setattr(defences, "best_strengths", noted)
    job = make_job(
        draw_settings(figures_of("dataset", kinds=["dataset_defences"])), dataset="digits"
    )
    draw(job, figures=[str(figure)], defences=str(path))
    (given,) = drawn
    assert len(given) == len(study())
    assert set(given["norm"]) == {"linf"}
    assert figure.read_text().startswith("<?xml")
    assert figure.with_suffix(".png").stat().st_size > 1000


def test_the_stage_draws_a_data_set_that_nothing_attacks(tmp_path, make_job):
    path, figure = tmp_path / "defences.csv", tmp_path / "defences.svg"
    study().to_csv(path, index=False)
    job = make_job(draw_settings(figures_of("dataset")), dataset="other")
    draw(job, figures=[str(figure)], defences=str(path))
    assert "no cells" in figure.read_text()


# --- ROC curves


def curve(threat, attack, budget, detector, name="magnet", strength=np.nan, points=3):
    where = {
        "dataset": "digits",
        "model": "mlp",
        "seed": 0,
        "threat": threat,
        "attack": attack,
        "budget_name": "eps",
        "budget": budget,
        "filter": name,
        "strength_name": np.nan if np.isnan(strength) else "sigma",
        "strength": strength,
        "detector": detector,
    }
    false = np.linspace(0, 1, points)
    # No two curves are the same.
    true = false ** (0.5 if threat == BLIND else 0.8) * (1 - 0.1 * budget)
    return [
        {**where, "false_positive_rate": x, "true_positive_rate": y}
        for x, y in zip(false, true, strict=True)
    ], {**where, "false_positive": 0.01, "true_positive": 0.5 + budget}


def detected(
    attacks=("fgsm", "pgd"), filters=("magnet",), detectors=("rec", "jsd"), strengths=(np.nan,)
):
    curves, areas = [], []
    for name, strength in product(filters, strengths):
        for attack in attacks:
            for threat in (BLIND, AWARE):
                for budget in (0.1, 0.2):
                    for detector in detectors:
                        points, about = curve(threat, attack, budget, detector, name, strength)
                        curves += points
                        areas.append(about)
    return pd.DataFrame(curves), pd.DataFrame(areas)


def lines_of(axes):
    """The curves of a panel, and its dots."""
    curves = [line for line in axes.lines if line.get_marker() == "None"]
    dots = [line for line in axes.lines if line.get_marker() != "None" and len(line.get_xdata())]
    return curves, dots


def test_a_panel_a_filter_and_attack_has_a_curve_and_a_dot_a_detector_and_threat():
    figure = operating_characteristics(*detected(filters=("magnet", "squeezing")))
    found = panels(figure)
    assert [axes.get_title() for axes in found] == [
        f"{name}: {attack},\nε = 0.2"
        for name in ("magnet", "squeezing")
        for attack in ("fgsm", "pgd")
    ]
    for axes in found:
        curves, dots = lines_of(axes)
        assert (len(curves), len(dots)) == (4, 4)


def test_curves_and_dots_are_those_of_the_largest_budget():
    curves, detectors = detected(attacks=("fgsm",))
    (axes,) = panels(operating_characteristics(curves, detectors))
    drawn, dots = lines_of(axes)
    largest = curves[curves["budget"] == 0.2]
    expected = [
        rows["true_positive_rate"].tolist()
        for _, rows in largest.groupby(["threat", "detector"], sort=False)
    ]
    assert [list(line.get_ydata()) for line in drawn] == expected
    assert {tuple(dot.get_xydata()[0]) for dot in dots} == {(0.01, 0.7)}


def test_detectors_are_told_by_colour_and_threats_by_dashes():
    (axes,) = panels(operating_characteristics(*detected(attacks=("fgsm",))))
    drawn, dots = lines_of(axes)
    assert [line.get_linestyle() for line in drawn] == ["-", "-", "--", "--"]
    colours = [tuple(line.get_color()) for line in drawn]
    assert colours[0] == colours[2] != colours[1] == colours[3]
    assert [tuple(dot.get_color()) for dot in dots] == colours
    (legend,) = axes.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "rec",
        "jsd",
        "blind attacker",
        "aware attacker",
    ]


def test_a_threat_that_has_no_curve_at_the_largest_budget_shows_its_own_largest():
    curves, detectors = detected(attacks=("fgsm",), detectors=("rec",))
    gone = (curves["threat"] == AWARE) & (curves["budget"] == 0.2)
    (axes,) = panels(operating_characteristics(curves[~gone], detectors))
    drawn, dots = lines_of(axes)
    assert len(drawn) == 2
    assert drawn[1].get_ydata()[-1] == pytest.approx(1 - 0.1 * 0.1)
    assert [dot.get_ydata()[0] for dot in dots] == pytest.approx([0.7, 0.6])
    assert axes.get_title().endswith("blind ε = 0.2, aware ε = 0.1")


def test_each_strength_of_a_filter_has_a_panel():
    tables = detected(attacks=("fgsm",), filters=("gaussian",), strengths=(0.5, 2))
    found = panels(operating_characteristics(*tables))
    assert [axes.get_title() for axes in found] == [
        f"gaussian, σ = {strength}: fgsm,\nε = 0.2" for strength in ("0.5", "2")
    ]
    for axes in found:
        curves, dots = lines_of(axes)
        assert (len(curves), len(dots)) == (4, 4)
        assert all(np.diff(line.get_xdata()).min() >= 0 for line in curves)


def test_where_nothing_fools_the_classifier_the_panel_says_so():
    curves, detectors = detected(filters=("magnet", "squeezing"))
    gone = (curves["filter"] == "squeezing") & (curves["attack"] == "pgd")
    found = panels(operating_characteristics(curves[~gone], detectors))
    assert found[3].get_title() == "squeezing: pgd,\nnothing fools the classifier"
    assert lines_of(found[3]) == ([], [])


def test_an_attack_that_does_not_meet_a_filter_has_no_panel_there():
    tables = detected(filters=("magnet", "squeezing"))
    curves, detectors = (
        table[~((table["filter"] == "squeezing") & (table["attack"] == "pgd"))] for table in tables
    )
    found = operating_characteristics(curves, detectors).axes
    assert [axes.get_visible() for axes in found] == [True, True, True, False]
    # The numbers of its column are below the panel above.
    below = [axes.xaxis.get_tick_params()["labelbottom"] for axes in found[:3]]
    assert below == [False, True, True]


def test_without_curves_it_says_so():
    curves, detectors = detected()
    figure = operating_characteristics(curves.iloc[:0], detectors)
    assert not figure.axes


def test_the_stage_draws_one_model_and_seed(tmp_path, make_job, monkeypatch):
    tables = detected()
    paths = [tmp_path / name for name in ("roc.csv", "detectors.csv")]
    for path, table in zip(paths, tables, strict=True):
        more = [table.assign(model="adv"), table.assign(seed=1), table.assign(dataset="other")]
        pd.concat([table, *more]).to_csv(path, index=False)
    drawn = []
    monkeypatch.setattr("epsigma.stages.draw.save_figure", lambda *given: drawn.append(given))
    figures = figures_of("model", "detectors")
    job = make_job(draw_settings(figures, seed=0), dataset="digits", model="mlp")
    svg = tmp_path / "detectors.svg"
    draw(job, figures=[str(svg)], roc=str(paths[0]), detectors=str(paths[1]))
    ((figure, path, _),) = drawn
    assert path == svg

    def points_of(figure):
        return [line.get_xydata().tolist() for axes in panels(figure) for line in axes.lines]

    # Of others there are as many points again.
    assert points_of(figure) == points_of(operating_characteristics(*tables))
