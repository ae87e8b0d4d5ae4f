"""The explorer of studies that lack something, or have more: made by hand, from a few cells."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from browsing import Visit
from epsigma.explorer.tables import IDENTITY, list_cells
from epsigma.pages import render_explorer

if TYPE_CHECKING:
    from playwright.sync_api import Browser

HOSTILE = "<img src=x onerror=alert(1)>"


def cell(right: int, **more: Any) -> dict[str, Any]:
    return {
        **{"dataset": "mnist", "model": "mlp", "seed": 0, "threat": "blind", "attack": "pgd"},
        **{"budget_name": "eps", "budget": 0.1, "filter": "none", "strength_name": None},
        **{"strength": None, "n": 100, "n_correct": right, "accuracy": right / 100},
        **{"accuracy_low": right / 100 - 0.05, "accuracy_high": right / 100 + 0.05},
        **{"attack_success": None, **more},
    }


def write_page(path: Path, *cells: dict[str, Any], **more: Any) -> Path:
    page = render_explorer(
        {
            "identity": list(IDENTITY),
            "cells": list_cells(pd.DataFrame(cells)),
            **{"clean": [], "checks": [], "by_class": None, "made": [None] * len(cells)},
            **{"makers": [], "followed": [None] * len(cells), "images": [None] * len(cells)},
            **{"sprites": [], "left_out": 0, "examples": {}, "labels": {}, "clean_images": {}},
            "clean_right": [],
            "attacks": {"pgd": {"family": "iterative", "norm": "linf"}},
            **{"names": {}, "class_names": {"mnist": []}, "metrics": "{model}/{budget}.json"},
            **{"configuration": "c.yaml", "versions": {"epsigma": "0"}, **more},
        }
    )
    path.write_text(page, encoding="utf-8")
    return path


def through(strength: float, threat: str) -> dict[str, Any]:
    return {"filter": "blur", "strength_name": "sigma", "strength": strength, "threat": threat}


STUDIES: dict[str, tuple[list[dict[str, Any]], dict[str, Any], str]] = {
    "no filters": ([cell(50), cell(40, budget=0.2)], {}, "pgd ε = 0.2, no filter 40.0 %"),
    "no budget": ([cell(50, budget_name=None, budget=None)], {}, "pgd, no filter 50.0 %"),
    "blind only": ([cell(50), cell(60, **through(1, "blind"))], {}, "blur σ = 1, blind 60.0 %"),
    "proofs": (
        [
            cell(
                50,
                **{"certified": 0.3, "attacked": 0.4, "n_attacked": 50, "n_unfooled": 20},
                **{"n_certified": 30, "n_proofs": 100},
            ),
            cell(45, **through(1, "aware"), certified=0.2, attacked=0.4),
        ],
        {},
        "proved … not fooled",
    ),
    "seeds": ([cell(50), cell(70, seed=1)], {}, "pgd ε = 0.1, no filter 50.0 %"),
    "fooling": (
        [cell(20, budget_name="confidence", budget=0.9, attack="fool")],
        {"attacks": {"fool": {"family": "fooling", "norm": None}}},
        "fooling images not accepted, 95 % interval 15.0 … 25.0 %",
    ),
    "worst cases": (
        [cell(50), cell(40, attack="worst case, linf"), cell(45, seed="mean")],
        {
            "attacks": {
                "pgd": {"family": "iterative", "norm": "linf"},
                "worst case, linf": {"family": "worst_case", "norm": "linf"},
            }
        },
        "1 cells.",
    ),
    "hostile": (
        [cell(50, model=HOSTILE)],
        {
            "names": {HOSTILE: HOSTILE},
            "checks": [{"check": "logits", "verdict": "warn", "sentence": HOSTILE}],
        },
        f"logits: {HOSTILE}",
    ),
}


@pytest.mark.parametrize("name", STUDIES)
def test_a_page_lives_with_what_a_study_has(browser: "Browser", tmp_path: Path, name: str) -> None:
    cells, more, said = STUDIES[name]
    visit = Visit(browser, write_page(tmp_path / "explorer.html", *cells, **more))
    # What a picture says is no text that is laid out.
    drawn = visit.page.evaluate("document.getElementById('over-budget').textContent")
    assert said in visit.text("body") + drawn
    assert visit.page.locator("img").count() == 0
    # Whatever can be chosen is shown.
    for control in visit.page.locator("#choices select").all():
        number = control.evaluate("(select) => select.options.length")
        for option in range(number if control.is_enabled() else 0):
            control.select_option(index=option)
    assert visit.errors == []
    visit.page.close()


def test_seeds_are_chosen_one_by_one(browser: "Browser", tmp_path: Path) -> None:
    page = write_page(tmp_path / "explorer.html", *STUDIES["seeds"][0])
    visit = Visit(browser, page)
    visit.page.select_option("#choose-seed", "1")
    assert visit.text("#figure") == "70.0 %"
    assert "snakemake --cores all --configfile c.yaml --force mlp/eps~0.1.json" in visit.text(
        "#cell"
    )
    visit.page.close()


@pytest.mark.parametrize(
    ("address", "title", "table", "what"),
    [
        ("attack=worst case, linf", "worst case, ℓ∞ ε = 0.1", "worst_case.csv", "worst case over"),
        ("seed=mean", "pgd ε = 0.1", "seeds.csv", "the mean over seeds"),
    ],
)
def test_what_is_condensed_says_so_and_names_its_table(
    browser: "Browser", tmp_path: Path, address: str, title: str, table: str, what: str
) -> None:
    cells, more, _ = STUDIES["worst cases"]
    configuration = {"configuration": "tables/configuration.yaml"}
    page = write_page(tmp_path / "explorer.html", *cells, **more, **configuration)
    visit = Visit(browser, page, f"#{address}")
    assert visit.text("#cell-title").startswith(title)
    shown = visit.text("#cell")
    assert f"{what}" in shown
    assert f": a row of tables/{table}." in shown
    assert shown.endswith(f"--force tables/{table} Copy the command")
    assert "Make this table again" in shown
    visit.page.close()


def test_checks_that_passed_stand_under_what_they_are_of(
    browser: "Browser", tmp_path: Path
) -> None:
    of = {"model": "mlp", "filter": "none", "verdict": "pass"}
    checks = [
        {"check": "logits", "model": "mlp", "verdict": "pass", "sentence": "Finite."},
        {"check": "converged", **of, "attack": "pgd", "sentence": "At eps~0.1 none with 40."},
        {"check": "response", **of, "sentence": "Unity."},
        {"check": "ranked", **of, "attack": "other", "sentence": "Of another attack."},
    ]
    visit = Visit(browser, write_page(tmp_path / "explorer.html", cell(50), checks=checks))
    visit.page.click('[data-fold="checks"] summary')
    assert visit.text('[data-fold="checks"]').split(" 0 fail ")[1] == (
        "Of pgd, no filter: the curve of all budgets, or the budget that is named "
        "pass converged: At ε = 0.1 none with 40. "
        "Of no filter, whatever the attack pass response: Unity. "
        "Of the model mlp pass logits: Finite."
    )
    visit.page.close()


RIVALS = {"against": "next_best", "other_filter": "blur", "other_strength": "sigma~1", "n": 100}


@pytest.mark.parametrize(
    ("low", "star", "words"), [(0.01, "★", "differs"), (-0.01, "☆", "may be chance")]
)
def test_a_star_is_full_only_where_the_best_filter_leads_beyond_chance(
    browser: "Browser", tmp_path: Path, low: float, star: str, words: str
) -> None:
    cells = [cell(30), cell(40, **through(1, "aware")), cell(50, **through(2, "aware"))]
    told = {**RIVALS, "difference": 0.1, "difference_low": low, "difference_high": 0.2}
    page = write_page(tmp_path / "explorer.html", *cells, rivals=[[], [], [told]])
    visit = Visit(browser, page, "#attack=pgd&filter=blur&strength=sigma~2")
    drawn = visit.page.evaluate(
        "[...document.querySelectorAll('#map text')].map(t => t.textContent)"
    )
    assert f"{star} 50" in drawn
    assert "against the best of another filter, blur σ = 1 +10.0 points" in visit.text("#cell")
    assert words in visit.text("#cell")
    visit.page.close()


def test_it_opens_with_the_best_filter_keeps_strengths_and_ends_of_rows_are_keys(
    browser: "Browser", tmp_path: Path
) -> None:
    cells = [
        *(cell(30 - place, budget=budget) for place, budget in enumerate((0.1, 0.2, 0.3))),
        *(cell(35, **through(1, "aware"), budget=budget) for budget in (0.1, 0.2, 0.3)),
        *(cell(45, **through(2, "aware"), budget=budget) for budget in (0.1, 0.2, 0.3)),
    ]
    visit = Visit(browser, write_page(tmp_path / "explorer.html", *cells))
    assert visit.text("#cell-title") == "pgd ε = 0.2, blur σ = 2, aware"
    visit.page.select_option("#choose-strength", "sigma~1")
    visit.page.select_option("#choose-filter", "none")
    visit.page.select_option("#choose-filter", "blur")
    assert visit.text("#cell-title") == "pgd ε = 0.2, blur σ = 1, aware"
    # What was unfolded stays so.
    visit.page.click("[data-fold=checks] summary")
    visit.page.focus('#map [tabindex="0"]')
    visit.page.keyboard.press("End")
    visit.page.keyboard.press("Enter")
    assert visit.text("#cell-title") == "pgd ε = 0.3, blur σ = 1, aware"
    assert visit.page.evaluate("window.scrollY") == 0
    assert visit.page.locator("[data-fold=checks]").evaluate("(fold) => fold.open")
    # Also where the next cell is drawn before the event of folding is told.
    is_open = """(strength) => {
        document.querySelector("[data-fold=checks] summary").click();
        const choose = document.querySelector("#choose-strength");
        choose.value = strength;
        choose.dispatchEvent(new Event("change"));
        return document.querySelector("[data-fold=checks]").open;
    }"""
    assert visit.page.evaluate(is_open, "sigma~2") is False
    assert visit.text("#cell-title") == "pgd ε = 0.3, blur σ = 2, aware"
    assert visit.page.evaluate(is_open, "sigma~1") is True
    assert visit.errors == []
    visit.page.close()


@pytest.mark.parametrize(
    ("of", "said"),
    [
        ({"budget_name": "eps"}, "Bars are 95 % intervals, ε is the radius of the ℓ0 ball."),
        ({"budget_name": "gamma"}, "Bars are 95 % intervals."),
    ],
)
def test_a_share_of_features_is_no_radius(
    browser: "Browser", tmp_path: Path, of: dict[str, Any], said: str
) -> None:
    attacks = {"pgd": {"family": "iterative", "norm": "l0"}}
    page = write_page(tmp_path / "explorer.html", cell(50, **of), attacks=attacks)
    visit = Visit(browser, page)
    assert said in visit.page.evaluate("document.getElementById('over-budget').textContent")
    visit.page.close()


def test_what_is_wrong_without_an_attack_is_not_fooled(browser: "Browser", tmp_path: Path) -> None:
    more = {
        "examples": {"mnist": [4, 7, 9]},
        "labels": {"mnist": [1, 2, 3]},
        "followed": [{"prediction": [0, 0, 3], "probability": [90, 80, 70], "right": [0, 0, 1]}],
        "clean_right": [["mnist", "mlp", "0", "none", "fixed", [1, 0, 1]]],
    }
    visit = Visit(browser, write_page(tmp_path / "explorer.html", cell(50), **more))
    visit.settle()
    shown = visit.text("#images")
    for words in ("Fooled (1)", "Wrong without an attack, too (1)", "Not fooled (1)"):
        assert words in shown
    visit.page.close()
