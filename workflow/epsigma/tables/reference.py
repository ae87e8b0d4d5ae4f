"""`reference.csv`: figures that were read in their source, and what a study measured."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from epsigma.tables.intervals import with_bounds
from epsigma.vocabulary import BLIND, NO_FILTER

ALZANTOT = "Alzantot, Chakraborty & Srivastava, Mitigating Adversarial Examples in Neural Networks"
GOODFELLOW = "Goodfellow, Shlens & Szegedy 2014 (arXiv:1412.6572), section 4"
TUTORIAL = "PyTorch tutorial, Adversarial Example Generation"
PAPERNOT = "Papernot et al. 2016 (arXiv:1511.07528), abstract"
CARLINI = "Carlini & Wagner 2017 (arXiv:1608.04644), table IV"
DISTILLATION = "Papernot et al. 2016 (arXiv:1511.04508), section V"
MADRY = "Madry et al. 2018 (arXiv:1706.06083), table 1"
# What all that published FGSM ascend.
CROSS_ENTROPY = {"loss": "cross_entropy"}
ALL_TARGETS: dict[str, Any] = {"targets": "all"}
# Models, kind of the attack, budget and what else must be so.
JSMA = (("cnn",), "jsma", 0.145, {**ALL_TARGETS, "theta": 1})
CARLINI_WAGNER = (("cnn",), "carlini_wagner", 0, ALL_TARGETS)


@dataclass(frozen=True)
class Published:
    """A published figure.

    Args:
        source: who published it, and where in it.
        quantity: which column of which table is ours: `clean`, `accuracy`, `error`, `confidence`,
            `success`, `changed`, `l2_best`.
        figure: as published; rates in [0, 1].
        setting: in the source's words.
        why: why ours differs, or may.
        model: what models it is compared with: kinds and, where they are not trained on the images
            as they are, how (`epsigma.study.blocks.Model.label`).
        attack: kind of the attack; None on clean images.
        budget: of the attack.
        parameters: what else must be so in the attack's block.
    """

    source: str
    quantity: str
    figure: float
    setting: str
    why: str
    model: tuple[str, ...]
    attack: str | None = None
    budget: float | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)


def _goodfellow() -> Iterator[Published]:
    why = "another training run; they do not state epochs or learning rate"
    for model, name, error, confidence in (
        ("softmax", "a shallow softmax classifier", 0.999, 0.793),
        ("maxout", "a maxout network", 0.894, None),
    ):
        setting = f"MNIST, {name}, FGSM, eps = 0.25"
        of_attack = ((model,), "fgsm", 0.25, CROSS_ENTROPY)
        yield Published(GOODFELLOW, "error", error, setting, why, *of_attack)
        if confidence is not None:
            note = f"{why}; ours is over all test images, right or wrong"
            yield Published(GOODFELLOW, "confidence", confidence, setting, note, *of_attack)


def _tutorial() -> Iterator[Published]:
    budgets = (0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3)
    accuracies = (0.981, 0.943, 0.851, 0.683, 0.43, 0.208, 0.087)
    why = "another network of the LeNet family, and training; theirs normalises its input"
    for eps, accuracy in zip(budgets, accuracies, strict=True):
        setting = f"MNIST, LeNet, FGSM, eps = {eps:g}"
        of_attack = (("cnn",), "fgsm", eps, CROSS_ENTROPY)
        yield Published(TUTORIAL, "accuracy", accuracy, setting, why, *of_attack)


def _distillation() -> Iterator[Published]:
    why = (
        "another network and training; ours counts targets of test images that are right when clean"
    )
    for model, name, success in (
        ("cnn", "not distilled", 0.9589),
        ("cnn distillation 100", "distilled at T = 100", 0.0045),
    ):
        of_attack = ((model,), "jsma", 0.145, {**ALL_TARGETS, "theta": 1, "outputs": "softmax"})
        setting = f"MNIST, {name}, JSMA"
        yield Published(DISTILLATION, "success", success, setting, why, *of_attack)


PUBLISHED: tuple[Published, ...] = (
    Published(
        ALZANTOT,
        "clean",
        0.9516,
        "MNIST, a shallow network, clean test images",
        "width and epochs are not stated there; ours were chosen to come near",
        ("mlp",),
    ),
    *_goodfellow(),
    *_tutorial(),
    Published(
        PAPERNOT,
        "success",
        0.97,
        "MNIST, LeNet-5, JSMA, gamma = 0.145, all nine targets",
        "another network and training; ours counts targets of test images that are right when "
        "clean, and differentiates what `outputs` says",
        *JSMA,
    ),
    Published(
        PAPERNOT,
        "changed",
        0.0402,
        "MNIST, LeNet-5, JSMA, gamma = 0.145, share of features changed, successes",
        "another network and training; ours is a mean over successes",
        *JSMA,
    ),
    *_distillation(),
    Published(
        MADRY,
        "accuracy",
        0.932,
        "MNIST, adversarially trained with PGD at eps = 0.3, PGD with 40 steps, eps = 0.3",
        "a smaller network, fewer steps in training, far fewer epochs; ours may ascend the margin",
        ("cnn adversarial pgd",),
        "pgd",
        0.3,
        {"steps": 40},
    ),
    Published(
        CARLINI,
        "success",
        1.0,
        "MNIST, their CNN, C&W l2, targeted",
        "another network and training, and fewer steps (they take 10,000)",
        *CARLINI_WAGNER,
    ),
    Published(
        CARLINI,
        "l2_best",
        1.36,
        "MNIST, their CNN, C&W l2, the easiest target",
        "another network and training (pixels of both are in units of the range); they take "
        "10,000 steps",
        *CARLINI_WAGNER,
    ),
)

COLUMNS = [
    *("source", "setting", "quantity", "published", "ours", "ours_low", "ours_high", "difference"),
    *("n", "dataset", "model", "seed", "attack", "why"),
]


@dataclass(frozen=True)
class Study:
    """What was measured, tables of these names, and what the names in them stand for.

    By name the kinds of `datasets`, what `models` are, as in `Published.model`, and of `attacks`
    `kind` and hyper-parameters but for the swept one.
    """

    clean: pd.DataFrame
    cells: pd.DataFrame
    distortion: pd.DataFrame
    datasets: Mapping[str, str]
    models: Mapping[str, str]
    attacks: Mapping[str, Mapping[str, Any]]


def scoreboard(study: Study, published: Sequence[Published] = PUBLISHED) -> pd.DataFrame:
    """Set a study's figures beside the published ones.

    Returns:
        The columns `COLUMNS`: a row a published figure and a data set (MNIST, whole), model and
        seed of the study that it can be compared with; one without ours if there is none. Rates
        have their Wilson interval; `difference` is ours minus published.
    """
    rows = []
    for figure in published:
        known = {
            "source": figure.source,
            "setting": figure.setting,
            "quantity": figure.quantity,
            "published": figure.figure,
        }
        found = [
            {**known, **ours, "difference": ours["ours"] - figure.figure, "why": figure.why}
            for ours in _measured(study, figure)
        ]
        rows += found or [{**known, "why": "not measured: the study has no such cell"}]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"seed": "Int64", "n": "Int64"})


def _measured(study: Study, figure: Published) -> Iterator[dict[str, Any]]:
    """Look up what a study has of a published figure."""
    rate = "accuracy" if figure.quantity in ("clean", "error") else figure.quantity
    for name, table in _lookups(study, figure):
        of_model = table["model"].map(study.models).isin(figure.model)
        rows = table[of_model & (table["dataset"].map(study.datasets) == "mnist")]
        rows = rows[rows["filter"] == NO_FILTER]
        if name is not None:
            rows = rows[(rows["attack"] == name) & (rows["threat"] == BLIND)]
            rows = rows[rows["budget"] == figure.budget]
        for _, row in rows.iterrows():
            # A column that is not there (a mean has no interval) is no number.
            ours, low, high = (float(row.get(column, math.nan)) for column in with_bounds(rate))
            if figure.quantity == "error":
                ours, low, high = 1 - ours, 1 - high, 1 - low
            yield {
                **{"ours": ours, "ours_low": low, "ours_high": high, "attack": name},
                **{column: row[column] for column in ("n", "dataset", "model", "seed")},
            }


def _lookups(study: Study, figure: Published) -> Iterator[tuple[str | None, pd.DataFrame]]:
    """Name the attacks and the table that a figure is to be looked up in."""
    if figure.attack is None:
        yield None, study.clean
    wanted = {"kind": figure.attack, **figure.parameters}
    is_in_cells = figure.quantity in ("accuracy", "error", "confidence")
    for name, block in study.attacks.items():
        if all(block.get(key) == value for key, value in wanted.items()):
            yield name, study.cells if is_in_cells else study.distortion
