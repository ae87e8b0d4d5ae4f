import re
from html.parser import HTMLParser
from itertools import pairwise

import pandas as pd
import pytest
from epsigma.checks.verdict import Verdict
from epsigma.stages.card import CELLS, DISTORTION, FOOLING, OPTIMALITY, make_card
from epsigma.stages.check import tabulate_verdicts
from epsigma.storage.files import write_json

SVG = """<?xml version="1.0"?>
<!DOCTYPE svg>
<svg xmlns="http://www.w3.org/2000/svg"><text>the loss</text></svg>
"""
# Of classes without names.
UNNAMED = tuple(name for name in FOOLING if name != "target_name")
WHERE = {"dataset": "mnist", "model": "cnn", "attack": "mine"}
NAMES = {
    "datasets": {"mnist": "MNIST"},
    "models": {"mnist": {"cnn": "CNN"}},
    "attacks": {"mine": "JSMA (mine)"},
    "filters": {"gaussian": "Gaussian"},
}
BLOCK = {
    "kind": "jsma",
    "name": "mine",
    "threats": ["blind"],
    "examples": None,
    "gamma": [0.1, 0.145],
    "targets": "all",
    "theta": -1,
}
EFFORT = {
    "cell": {**WHERE, "seed": "3", "threat": "aware", "filter": "gaussian", "strength": "sigma~2"},
    "n": 500,
    "budget": "gamma~0.1",
    "spends": "steps",
    "tried": [20, 40],
    "errors": [0.875, 0.9375],
    "sizes": [1.25, None],
    "lost_gradients": 0.0625,
}


class Page(HTMLParser):
    """What of a page a reader sees, and what it asks others for."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.asked, self.rows, self.words = [], [], [], []
        self.in_cell = False
        self.feed(text)
        self.text = " ".join("".join(self.words).split())

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.asked += [value for name, value in attributes if name in ("src", "href", "data")]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
            self.in_cell = True

    def handle_endtag(self, tag):
        self.in_cell &= tag not in ("td", "th")
        if tag == "table":
            # No table goes on in the next one.
            self.rows.append([])

    def handle_data(self, data):
        self.words.append(data)
        if self.in_cell:
            self.rows[-1][-1] += data.strip()

    def below(self, *heads):
        """The rows of the table with such a head."""
        at = self.rows.index([*heads])
        found = []
        for row in self.rows[at + 1 :]:
            if len(row) != len(heads):
                break
            found.append(row)
        return found


RESULTS = (
    *("budget", "images", "accuracy", "right when clean (images)", "attack success"),
    *("mean ℓ∞", "mean ℓ2", "mean ℓ0 (pixels)"),
)


def write(path, rows, columns):
    pd.DataFrame(rows, columns=[*WHERE, "filter", *columns]).to_csv(path, index=False)
    return str(path)


@pytest.fixture
def make_page(tmp_path, make_job):
    def make(
        cells=({},),
        parts=(),
        distortion=(),
        optimality=(),
        fooling=(),
        efforts=(),
        verdicts=(),
        block=BLOCK,
        implementation="epsigma.attacks.jsma:jsma",
        descriptions=None,
        svg=SVG,
    ):
        def rows(given, columns):
            numbers = dict.fromkeys(columns, 0.5) | {"seed": 0, "n": 10000, "n_correct_clean": 9876}
            shown = {name: numbers[name] for name in columns}
            return [{**WHERE, "filter": "none", **shown, **row} for row in given]

        found = [
            Verdict("logits", {"dataset": "mnist", "model": "cnn"}, "fail", 1, 0, "Of the model."),
            *verdicts,
        ]
        tabulate_verdicts(found).to_csv(tmp_path / "checks.csv", index=False)
        if svg:
            (tmp_path / "convergence.svg").write_text(svg, encoding="utf-8")
        paths = []
        for i, effort in enumerate(efforts):
            paths.append(str(tmp_path / f"{i}.json"))
            write_json(paths[-1], effort)
        settings = {
            "block": block,
            "implementation": implementation,
            "descriptions": descriptions or {"gamma": "Υ of it"},
            "names": NAMES,
        }
        card = tmp_path / "card.html"
        # Classes have names in some studies only.
        accepted = FOOLING if any("target_name" in one for one in fooling) else UNNAMED
        make_card(
            make_job(settings, **WHERE),
            cells=write(tmp_path / "cells.csv", rows(cells, CELLS), [*CELLS, *parts]),
            distortion=write(tmp_path / "distortion.csv", rows(distortion, DISTORTION), DISTORTION),
            optimality=write(tmp_path / "optimality.csv", rows(optimality, OPTIMALITY), OPTIMALITY),
            fooling=write(tmp_path / "fooling.csv", rows(fooling, accepted), accepted),
            checks=str(tmp_path / "checks.csv"),
            convergence=str(tmp_path / "convergence.svg") if svg else [],
            probes=paths,
            card=str(card),
        )
        return Page(card.read_text(encoding="utf-8"))

    return make


def test_a_card_names_every_hyper_parameter_with_its_value_and_what_it_is(make_page):
    page = make_page()
    listed = {row[0]: row[1:] for row in page.rows if len(row) == 3}
    assert listed == {
        "threats": ['["blind"]', ""],
        "examples": ["null", ""],
        "gamma": ["[0.1, 0.145]", "Υ of it"],
        "targets": ['"all"', ""],
        "theta": ["-1", ""],
    }
    assert "Kind jsma, epsigma.attacks.jsma:jsma." in page.text
    assert "Papernot, McDaniel, Jha" in page.text
    for name in ("torch", "python"):
        assert re.search(rf"{name} \d+\.\d+", page.text)


def test_a_card_has_the_attack_s_unfiltered_rows_and_no_others(make_page):
    others = [{name: "other"} for name in WHERE]
    page = make_page(
        [{"budget": 0.1}, {"budget": 0.145}, {"filter": "gaussian", "budget": 7}, *others],
        distortion=[{"l2_best": 1.36, "changed": None}, {"attack": "other"}],
    )
    found = page.below(*RESULTS)
    assert [row[0] for row in found] == ["0.1", "0.145"]
    # Counts are written in full; the seed that all rows have is above them.
    assert {(row[1], row[3]) for row in found} == {("10,000", "9,876")}
    assert "Results without a filter seed 0." in page.text
    (by_name,) = (
        dict(zip(heads, row, strict=True))
        for heads, row in pairwise(page.rows)
        if "mean ℓ2, easiest target" in heads
    )
    assert by_name["mean ℓ2, easiest target"] == "1.36"
    assert (by_name["success"], by_name["images, once a target"]) == ("0.5", "10,000")
    # What has no value has no column.
    assert "features changed" not in by_name
    assert not any("optimality" in row or "target" in row for row in page.rows)
    assert "JSMA (mine), MNIST, CNN" in page.text


def test_a_card_says_how_close_the_attack_comes_to_the_best_of_the_study(make_page):
    page = make_page(
        optimality=[
            {"norm": "linf", "attacks": 3, "largest": 0.25, "optimality": 0.875},
            {"filter": "gaussian"},
            {"attack": "other"},
        ]
    )
    heads = ("seed", "norm", "images", "attacks (number)", "largest budget", "optimality")
    assert page.below(*heads) == [["0", "ℓ∞", "10,000", "3", "0.25", "0.875"]]


def test_the_card_of_an_ensemble_counts_what_each_of_its_attacks_fooled(make_page):
    mine, others = ["n_fooled_by_apgd_ce", "n_fooled_by_square"], ["n_fooled_by_other"]
    page = make_page(
        [dict(zip(mine, (27, 3), strict=True)), {"attack": "other", others[0]: 5}],
        parts=mine + others,
    )
    (row,) = page.below("seed", *RESULTS, "first fooled by apgd_ce", "first fooled by square")
    assert row[-2:] == ["27", "3"]
    assert "was the first to fool" in page.text
    assert "by other" not in page.text
    assert "was the first to fool" not in make_page().text


@pytest.mark.parametrize("names", [None, ("ant", "bee", "c d")])
def test_the_card_of_fooling_images_counts_them_class_by_class(make_page, names):
    page = make_page(
        [{"linf": None}],
        fooling=[
            {"target": k, "n": 10, "n_accepted": k, "n_named": 9, "confidence": 0.99}
            | ({"target_name": names[k]} if names else {})
            for k in range(3)
        ],
        block={"kind": "fooling", "name": "mine", "confidence": [0.99]},
        implementation="epsigma.attacks.fooling:fooling",
    )
    named = ["name of the class"] if names else []
    counts = ("images", "accepted (images)", "class named (images)", "mean confidence")
    assert page.below("budget", "target", *named, *counts) == [
        ["0.5", str(k), *([names[k]] if names else []), "10", str(k), "9", "99.0 %"]
        for k in range(3)
    ]


HEADS = ("attacked", "at", "images", "tried", "success", "mean ℓ2 of successes", "gradients lost")


@pytest.mark.parametrize(
    ("efforts", "rows"),
    [
        # Noise and transfers are not tried longer, nor do they look at the model.
        ([], []),
        (
            [EFFORT],
            [
                [
                    *("seed 3, Gaussian σ = 2, aware", "Υ = 0.1", "500", "steps 20 → 40"),
                    *("87.5 % → 93.8 %", "1.25 → –", "6.2 %"),
                ]
            ],
        ),
        (
            [{name: EFFORT[name] for name in ("cell", "n", "budget")}],
            [["seed 3, Gaussian σ = 2, aware", "Υ = 0.1", "500", "–", "–", "–", "–"]],
        ),
    ],
)
def test_a_card_says_how_long_the_attack_was_tried_and_what_came_of_it(make_page, efforts, rows):
    page = make_page(efforts=efforts)
    assert (page.below(*HEADS) if rows else []) == rows
    assert ([*HEADS] in page.rows) == bool(rows)
    assert "the loss" in page.text


def test_a_card_counts_its_attack_s_verdicts_and_shows_those_that_are_no_pass(make_page):
    verdicts = [
        Verdict("in_ball", {**WHERE, "seed": 0}, "pass", 0, 0, "All is well."),
        Verdict("monotone", {**WHERE, "seed": 12}, "fail", 0, 0, "It is not."),
        Verdict("levelled", WHERE, "warn", 0, 0, "It might not."),
        Verdict("levelled", {**WHERE, "attack": "other"}, "warn", 0, 0, "Of another."),
    ]
    page = make_page(verdicts=verdicts)
    assert "1 pass, 1 warn, 1 fail." in page.text
    assert ["fail", "monotone (mnist cnn 12 mine)", "It is not."] in page.rows
    assert "It might not." in page.text
    assert not any(words in page.text for words in ("All is well", "Of another", "Of the model"))


def undocumented(model, images, labels):
    return images


def documented(model, images, labels):
    """Attack where x < 0 & y > 1: <script>alert(1)</script>."""
    return images


HOSTILE = "<img src=x onerror=alert(1)> & more"


def test_what_users_write_is_text_on_a_card(make_page):
    page = make_page(
        block={**BLOCK, "note": HOSTILE},
        descriptions={"note": HOSTILE},
        implementation=f"{__name__}:documented",
        verdicts=[Verdict("levelled", WHERE, "warn", 0, 0, HOSTILE)],
    )
    assert "script" not in page.tags
    assert "img" not in page.tags
    assert page.text.count(HOSTILE) == 3
    assert "Attack where x < 0 & y > 1: <script>alert(1)</script>." in page.text


def test_an_attack_of_one_s_own_may_have_no_docstring(make_page):
    page = make_page(implementation=f"{__name__}:undocumented")
    assert f"{__name__}:undocumented" in page.text
    assert "Definition Versions" in page.text


def test_a_card_needs_no_other_file(make_page):
    page = make_page(efforts=[EFFORT])
    assert page.asked == []
    assert not {"link", "script", "iframe", "object", "img"} & set(page.tags)
    assert page.tags.count("svg") == 1


def test_an_attack_whose_loss_is_not_followed_has_no_figure_on_its_card(make_page):
    page = make_page(svg="", efforts=[EFFORT])
    assert "svg" not in page.tags
    assert page.below(*HEADS)
    assert "Convergence" not in make_page(svg="").text
