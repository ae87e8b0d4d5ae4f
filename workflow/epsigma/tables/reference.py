"""The scoreboard: published figures, and what a study measured in their place.

Only figures that were read in their source. `published` lists them; `scoreboard` looks up ours.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

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
    accuracies = {
        0: 0.981,
        0.05: 0.943,
        0.1: 0.851,
        0.15: 0.683,
        0.2: 0.43,
        0.25: 0.208,
        0.3: 0.087,
    }
    why = "another network of the LeNet family, and training; theirs normalises its input"
    for eps, accuracy in accuracies.items():
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
        yield Published(
            DISTILLATION,
            "success",
            success,
            f"MNIST, {name}, JSMA",
            why,
            (model,),
            "jsma",
            0.145,
            {"targets": "all", "theta": 1, "outputs": "softmax"},
        )


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
        ("cnn",),
        "jsma",
        0.145,
        {"targets": "all", "theta": 1},
    ),
    Published(
        PAPERNOT,
        "changed",
        0.0402,
        "MNIST, LeNet-5, JSMA, gamma = 0.145, share of features changed, successes",
        "another network and training; ours is a mean over successes",
        ("cnn",),
        "jsma",
        0.145,
        {"targets": "all", "theta": 1},
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
        ("cnn",),
        "carlini_wagner",
        0,
        {"targets": "all"},
    ),
    Published(
        CARLINI,
        "l2_best",
        1.36,
        "MNIST, their CNN, C&W l2, the easiest target",
        "another network and training (pixels of both are in units of the range); they take "
        "10,000 steps",
        ("cnn",),
        "carlini_wagner",
        0,
        {"targets": "all"},
    ),
)

COLUMNS = [
    "source",
    "setting",
    "quantity",
    "published",
    "ours",
    "ours_low",
    "ours_high",
    "difference",
    "n",
    "dataset",
    "model",
    "seed",
    "attack",
    "why",
]


@dataclass(frozen=True)
class Study:
    """What was measured, and what the names in it stand for.

    Args:
        clean: `clean.csv`.
        cells: `cells.csv`.
        distortion: `distortion.csv`.
        datasets: kinds by name.
        models: by name what they are, as in `Published.model`.
        attacks: by name, their `kind` and their hyper-parameters but for the swept one.
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
    for name, table, columns in _lookups(study, figure):
        of_model = table["model"].map(study.models).isin(figure.model)
        rows = table[of_model & (table["dataset"].map(study.datasets) == "mnist")]
        rows = rows[rows["filter"] == NO_FILTER]
        if name is not None:
            rows = rows[
                (rows["attack"] == name)
                & (rows["threat"] == BLIND)
                & (rows["budget"] == figure.budget)
            ]
        for _, row in rows.iterrows():
            # A column that is not there (a mean has no interval) is no number.
            ours, low, high = (float(row.get(column, float("nan"))) for column in columns)
            if figure.quantity == "error":
                ours, low, high = 1 - ours, 1 - high, 1 - low
            yield {
                "ours": ours,
                "ours_low": low,
                "ours_high": high,
                "n": row["n"],
                "dataset": row["dataset"],
                "model": row["model"],
                "seed": row["seed"],
                "attack": name,
            }


def _lookups(
    study: Study, figure: Published
) -> Iterator[tuple[str | None, pd.DataFrame, tuple[str, str, str]]]:
    """Name the attacks, the table and its columns that a figure is to be looked up in."""
    rate = ("accuracy", "accuracy_low", "accuracy_high")
    if figure.attack is None:
        yield None, study.clean, rate
        return
    for name, block in study.attacks.items():
        wanted = {"kind": figure.attack, **figure.parameters}
        if any(block.get(key) != value for key, value in wanted.items()):
            continue
        if figure.quantity in ("accuracy", "error"):
            yield name, study.cells, rate
        elif figure.quantity == "confidence":
            yield name, study.cells, ("confidence", "", "")
        elif figure.quantity == "success":
            yield name, study.distortion, ("success", "success_low", "success_high")
        else:
            yield name, study.distortion, (figure.quantity, "", "")
