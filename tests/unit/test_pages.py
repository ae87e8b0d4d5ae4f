"""Tables in a reader's words."""

import pandas as pd
import pytest
from epsigma.pages import table_page
from epsigma.pages.wording import HEADINGS, word_table, write_number, write_percent
from epsigma.stages.pages import write_pages

NAMES = {
    "datasets": {"mnist": "MNIST"},
    "models": {"mnist": {"mlp": "MLP 784–48–10"}},
    "attacks": {"pgd": "PGD"},
    "filters": {"none": "no filter", "blur": "Gaussian (blur)"},
}


def table(**changes):
    row = {
        **{"dataset": "mnist", "model": "mlp", "seed": 0, "threat": "aware", "attack": "pgd"},
        **{"budget_name": "eps", "budget": 0.1, "filter": "blur"},
        **{"strength_name": "sigma", "strength": 1.5, "n": 10000},
        **{"accuracy": 0.91649, "accuracy_low": 0.89, "accuracy_high": 0.932},
        "linf": 0.098765,
    }
    other = {"budget": 0.2, "filter": "none", "strength_name": None, "strength": None}
    return pd.DataFrame([{**row, **changes}, {**row, **other}])


def test_a_table_has_headings_names_levels_and_percentages_with_their_interval():
    found = word_table(table(), NAMES)
    assert found.common == "MNIST, MLP 784–48–10, seed 0"
    assert found.columns == [
        *("attacker", "attack", "budget", "filter", "filter strength", "images", "accuracy"),
        "mean ℓ∞",
    ]
    accuracy = "91.6 % (89.0 … 93.2)"
    assert found.rows == [
        ["aware", "PGD", "ε = 0.1", "Gaussian (blur)", "σ = 1.5", "10,000", accuracy, "0.0988"],
        ["aware", "PGD", "ε = 0.2", "no filter", "–", "10,000", accuracy, "0.0988"],
    ]


def test_what_differs_is_a_column_and_what_has_no_value_is_none():
    found = word_table(table(seed=1, linf=None).assign(linf=None), {})
    assert found.common == "mnist, mlp"
    assert [row[0] for row in found.rows] == ["1", "0"]
    assert "mean ℓ∞" not in found.columns


def test_a_rate_without_an_interval_or_a_value_is_said_all_the_same():
    without = table(accuracy_low=None)
    column = word_table(without, NAMES).columns.index("accuracy")
    assert word_table(without, NAMES).rows[0][column] == "91.6 %"
    assert word_table(table(accuracy=None), NAMES).rows[0][column] == "–"


def test_columns_that_are_chosen_are_shown_in_their_order():
    found = word_table(table(), NAMES, ("accuracy", "budget", "gone"))
    assert found.columns == ["accuracy", "budget"]


def test_levels_of_checks_are_spelled_as_paths_do_and_said_as_others():
    rows = pd.DataFrame({"filter": ["blur", "none"], "strength": ["sigma~1.5", "fixed"]})
    assert [row[1] for row in word_table(rows, NAMES).rows] == ["σ = 1.5", "–"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.123456, "0.123"),
        (999.49, "999"),
        (999.5, "1,000"),
        (-1709.21, "-1,709"),
        (float("inf"), "inf"),
        (12345, "12,345"),
        (2.0, "2"),
        (None, "–"),
        (float("nan"), "–"),
        ("a", "a"),
        (True, "yes"),
        (False, "no"),
    ],
)
def test_numbers_have_three_figures_and_counts_are_whole(value, said):
    assert write_number(value) == said


@pytest.mark.parametrize(("value", "said"), [(0.9999, "100.0 %"), (-0.0001, "0.0 %"), (None, "–")])
def test_shares_are_in_percent(value, said):
    assert write_percent(value) == said


def test_differences_of_shares_are_points():
    rows = pd.DataFrame({"clean_cost": [0.0234, -0.0002]})
    assert word_table(rows, {}).rows == [["2.3"], ["0.0"]]
    assert word_table(rows, {}).columns == [HEADINGS["clean_cost"]]


def test_what_is_shown_is_escaped_and_an_empty_table_says_so():
    page = table_page(pd.DataFrame({"why": ["<script>x</script>"]}), "A <b>", {})
    assert "<script>" not in page
    assert "A &lt;b&gt;" in page
    assert "nothing for this table" in table_page(table()[:0], "Empty", NAMES)


def test_the_stage_writes_a_page_a_table(tmp_path, make_job):
    paths = [tmp_path / "headline.csv", tmp_path / "seeds.csv"]
    for path in paths:
        table().to_csv(path, index=False)
    pages = [path.with_suffix(".html") for path in paths]
    job = make_job({"titles": {"headline": "what", "seeds": "rates over seeds"}, "names": NAMES})
    write_pages(job, tables=[*map(str, paths)], pages=[*map(str, pages)])
    first, second = (page.read_text(encoding="utf-8") for page in pages)
    assert "<h1>What</h1>" in first
    assert "<h1>Rates over seeds</h1>" in second
    # Of the headline readers get the columns that matter.
    assert "σ = 1.5" in first
    assert "mean ℓ∞" in second
    assert "mean ℓ∞" not in first
