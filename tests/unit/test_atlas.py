"""The atlas: every filter at its best strength, beside no filter; table, page and figure."""

import importlib.util
import math
from pathlib import Path

import pandas as pd
import pytest
import yaml
from epsigma.figures.atlas import aware_against_clean
from epsigma.figures.data import FigureData
from epsigma.figures.looks import distinguish
from epsigma.registry.filters import FILTERS
from epsigma.stages.atlas import set_side_by_side
from epsigma.study import validate
from epsigma.tables.atlas import COLUMNS, tabulate_atlas
from epsigma.tables.reading import read_table
from epsigma.tables.seeds import COLUMNS as SEEDS

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("docs_atlas", ROOT / "docs" / "atlas.py")
assert spec
assert spec.loader
page = importlib.util.module_from_spec(spec)
spec.loader.exec_module(page)
N = 200


def defence(name="none", strength=None, *, aware=20, chooses=None, blind=60, **changed):
    """A defence of which so many of 100 images are right, and of 100 others that choose."""
    chooses = aware if chooses is None else chooses
    clean = changed.pop("clean", 0.95)
    return {
        **{"dataset": "digits", "model": "mlp", "filter": name},
        **{"strength_name": "sigma" if strength else None, "strength": strength, "seed": 0},
        **{"norm": "linf", "budget_name": "eps", "budget": 0.1, "clean_n": 1000},
        **{"clean": clean, "clean_low": clean - 0.01, "clean_high": clean + 0.01},
        **{"aware_attacks": 2, "aware_n": N, "aware_n_validation": 100},
        **{"aware_n_correct": aware + chooses, "aware_n_correct_validation": chooses},
        **{"blind_attacks": 2, "blind_n": N, "blind_n_validation": 100},
        **{"blind_n_correct": 2 * blind, "blind_n_correct_validation": blind},
        **{"microseconds_1000": 3.0, "training_seconds": 9.0, "extra_training_seconds": 0.0},
        **changed,
    }


BLURS = [
    defence(),
    defence("blur", 0.5, aware=40, chooses=30, clean=0.9, microseconds_1000=5.0),
    # Keeps less of the images that score, more of those that choose.
    defence("blur", 1.0, aware=35, chooses=50, blind=70, clean=0.8, microseconds_1000=8.0),
    defence("sharp", 1.0, aware=10, blind=15, clean=0.94),
]
PROVED = {"model": "mlp", "filter": "blur", "strength": 1.0, "n_proofs": 50, "n_certified": 10}


def proofs(*rows):
    where = {"dataset": "digits", "seed": 0, "budget_name": "eps", "budget": 0.1, "attack": "pgd"}
    return pd.DataFrame([{**where, **row} for row in rows])


def tabulate(rows, cells=None):
    cells = pd.DataFrame({"dataset": []}) if cells is None else cells
    return tabulate_atlas(pd.DataFrame(rows), cells, pd.DataFrame(columns=SEEDS))


def test_each_filter_is_at_the_strength_that_other_images_chose_sorted_by_what_is_left():
    table = tabulate(BLURS)
    assert list(table) == COLUMNS
    assert table["filter"].tolist() == ["blur", "none", "sharp"]
    blur = table.iloc[0]
    assert (blur["strength"], blur["aware"], blur["blind"], blur["n"]) == (1.0, 0.35, 0.7, 100)
    # Wilson 1927.
    z, n, p = 1.959964, 100, 0.35
    middle = (p + z * z / 2 / n) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / 4 / n**2)
    bounds = (middle - half, middle + half)
    assert (blur["aware_low"], blur["aware_high"]) == pytest.approx(bounds, abs=1e-6)


def test_costs_are_beside_no_filter():
    table = tabulate(BLURS).set_index("filter")
    assert table["clean_cost"].to_dict() == pytest.approx({"blur": 0.15, "none": 0, "sharp": 0.01})
    assert table["filter_microseconds"].to_dict() == {"blur": 5, "none": 0, "sharp": 0}


def test_a_strength_that_only_cheap_attacks_met_is_not_chosen():
    cheap = defence("blur", 2.0, aware=90, aware_attacks=1)
    assert tabulate([*BLURS, cheap]).iloc[0]["strength"] == 1.0


def test_what_is_proved_of_that_strength_and_budget_is_beside_it():
    others = ({**PROVED, "strength": 0.5, "n_certified": 49}, {**PROVED, "budget": 0.2})
    cells = proofs(PROVED, {**PROVED, "attack": "fgsm"}, *others)
    table = tabulate(BLURS, cells).set_index("filter")
    assert (table.loc["blur", "certified"], table.loc["blur", "n_proofs"]) == (0.2, 50)
    assert table.loc[["none", "sharp"], "certified"].isna().all()


def test_models_and_budgets_are_apart_in_the_order_of_the_study():
    rows = [{**row, "model": model} for model in ("mlp", "cnn") for row in BLURS]
    table = tabulate([{**row, "budget": eps} for eps in (0.1, 0.2) for row in rows])
    groups = table[["model", "budget"]].drop_duplicates().itertuples(index=False)
    assert [*map(tuple, groups)] == [("mlp", 0.1), ("mlp", 0.2), ("cnn", 0.1), ("cnn", 0.2)]
    assert len(table) == 12


def test_of_several_seeds_rates_are_means_with_their_intervals():
    rows = [{**row, "seed": seed} for seed in (0, 1) for row in BLURS[:1]]
    rows[1] |= defence(aware=60, chooses=60) | {"seed": 1}
    rate = {"table": "robust", "dataset": "digits", "model": "mlp", "norm": "linf"}
    rate |= {"budget_name": "eps", "budget": 0.1, "filter": "none", "low": 0.3, "high": 0.5}
    seeds = pd.DataFrame([{**rate, "rate": f"{of}_test"} for of in ("aware", "blind")])
    (row,) = tabulate_atlas(
        pd.DataFrame(rows), pd.DataFrame(), seeds.reindex(columns=SEEDS)
    ).to_dict("records")
    assert (row["aware"], row["aware_low"], row["aware_high"]) == (0.4, 0.3, 0.5)


def test_the_page_has_a_table_a_data_set_and_is_escaped(tmp_path, make_job):
    other = [{**row, "dataset": "o<b>"} for row in BLURS]
    paths = {name: str(tmp_path / name) for name in ("defences", "cells", "seeds")}
    pd.DataFrame([*BLURS, *other]).to_csv(paths["defences"], index=False)
    proofs(PROVED).to_csv(paths["cells"], index=False)
    pd.DataFrame(columns=SEEDS).to_csv(paths["seeds"], index=False)
    written, page = tmp_path / "atlas.csv", tmp_path / "atlas.html"
    set_side_by_side(make_job({}), **paths, atlas=str(written), page=str(page))
    assert read_table(str(written)).groupby("dataset").size().to_dict() == {"digits": 3, "o<b>": 3}
    text = page.read_text()
    assert text.count("<table>") == text.count("<h2>") == 2
    assert "o&lt;b&gt;" in text
    assert "o<b>" not in text
    assert "35.0 % (26.4 … 44.7)" in text


def test_no_panel_is_empty_and_no_marker_at_its_edge():
    table = tabulate(BLURS)
    bare = table[table["filter"] == "none"].assign(norm="l0")
    data = FigureData({"dataset": "digits"}, tables={"atlas": pd.concat([bare, table])})
    (axes,) = (one for one in aware_against_clean(data).axes if one.get_visible())
    low, high = axes.get_xlim()
    assert low < 0
    assert high > 1.2 * 15


def test_a_filter_is_a_point_of_cost_and_accuracy_and_its_hollow_twin():
    table = tabulate(BLURS)
    figure = aware_against_clean(FigureData({"dataset": "digits"}, tables={"atlas": table}))
    (axes,) = (one for one in figure.axes if one.get_visible())
    filled = [tuple(box.lines[0].get_xydata()[0]) for box in axes.containers]
    assert filled == [pytest.approx((15, 0.35)), pytest.approx((1, 0.1))]
    hollow = [line for line in axes.lines if line.get_markerfacecolor() == "none"]
    assert [tuple(one.get_xydata()[0]) for one in hollow] == [
        pytest.approx((15, 0.7)),
        pytest.approx((1, 0.15)),
    ]
    joints = [line.get_xydata().tolist() for line in axes.lines if line.get_linewidth() == 0.6]
    assert joints[0] == [pytest.approx([15, 0.35]), pytest.approx([15, 0.7])]
    (bare,) = (line for line in axes.lines if line.get_linestyle() == ":")
    assert set(bare.get_ydata()) == {0.2}


def test_filters_of_one_colour_have_markers_of_their_own():
    # More kinds than there are colours.
    looks = distinguish({f"filter_{at}": "brown" if at % 6 else "blue" for at in range(12)})
    assert len({(look["color"], look["marker"]) for look in looks.values()}) == 12


def test_the_full_study_has_every_filter_and_random_ones_are_attacked_to_the_last_step():
    study = validate(yaml.safe_load((ROOT / "config" / "atlas.yaml").read_text(encoding="utf-8")))
    assert {one.kind for one in study.filters} == set(FILTERS) - {"none", "identity", "reformer"}
    random = {one.name for one in study.filters if one.is_random}
    for attack in study.attacks:
        if attack.filters is None:
            # Who knows no filter needs no luck.
            assert list(attack.threats) == ["blind"]
            assert not attack.get("early_stop")
            continue
        met = {name.partition("/")[0] for name in attack.filters}
        if attack.kind == "hopskipjump":  # it makes all of its queries
            continue
        assert met <= random or not met & random
        # The first success through a filter that draws may be luck.
        lucky = attack.get("early_stop") or attack.get("version") == "standard"
        assert not (lucky and met & random)
    for attack in (one for one in study.attacks if one.kind != "pgd"):
        assert all(len(attack.strengths_of(one)) <= 1 for one in study.filters)


@pytest.mark.parametrize("name", page.DRAWN)
def test_the_figures_of_the_page_are_drawn_from_its_tables(name, tmp_path):
    drawn = page.draw(name, tmp_path)
    assert drawn
    for path in drawn:
        assert path.read_bytes() == (page.IMAGES / path.name).read_bytes(), "run `make docs`"


def test_without_a_filter_there_is_nothing_to_draw():
    data = FigureData({"dataset": "digits"}, tables={"atlas": tabulate(BLURS[:1])})
    assert not aware_against_clean(data).axes
