"""What messages about results, challenges, proofs and this machine say to do helps."""

import importlib
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml
from epsigma import engine
from epsigma.attacks.carlini_wagner import carlini_wagner
from epsigma.attacks.confidence import count_classes
from epsigma.attacks.jsma import jsma
from epsigma.autoencoders import pca
from epsigma.challenge import making
from epsigma.challenge.making import make_challenge
from epsigma.challenge.rules import Ball, Rules, SubmissionError, read_rules
from epsigma.challenge.scoring import _name
from epsigma.challenge.sets import read_submission
from epsigma.challenge.trial import read_study, try_filter
from epsigma.checks.verdict import Verdict, tabulate_verdicts
from epsigma.detectors.squeezing import Squeezing
from epsigma.device import resolve
from epsigma.engine import _check_records
from epsigma.filters.bitdepth import BitDepth
from epsigma.filters.filter import Filter
from epsigma.filters.gaussian import Gaussian
from epsigma.filters.jpeg import Jpeg
from epsigma.filters.noise import GaussianNoise
from epsigma.filters.none import Identity
from epsigma.filters.nonlocal_means import NonlocalMeans
from epsigma.filters.pca import PCA
from epsigma.filters.sequence import Sequence
from epsigma.filters.surrogate import attackable
from epsigma.library import StudyResults, open_study
from epsigma.models.mlp import MLP
from epsigma.plan.settings import settings
from epsigma.proofs.network import UnprovableError, fold
from epsigma.proofs.smoothing import find_noise
from epsigma.scoring import score
from epsigma.stages.gate import gate
from epsigma.storage.files import read_json, write_json
from epsigma.storage.images import read_training, write_tensors
from epsigma.study import validate
from epsigma.training.filtered import Filtered
from epsigma.training.lightning import split_validation
from running import SMALL
from safetensors.torch import save_file
from snakemake.exceptions import WorkflowError
from torch import Tensor, nn

SHAPE = (1, 4, 4)
IMAGES = torch.rand(6, *SHAPE, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 0, 1, 2])


def linear(*layers: nn.Module) -> nn.Module:
    """Layers between flat images and three logits."""
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), *layers, nn.Linear(8, 3)).eval()


def hold(error: Any, remedy: str, wrong: Callable[[], Any], right: Callable[[], Any]) -> None:
    """The first raises an error of a few lines that says this; the second does not."""
    with pytest.raises(error) as raised:
        wrong()
    said = str(raised.value)
    assert remedy in said
    assert len(said.splitlines()) <= 10
    right()


# --- What is computed


class Undeclared(Filter):
    def forward(self, images: Tensor) -> Tensor:
        return images

    formula = forward


def with_logits(factor: float) -> Callable[[], Any]:
    """Score a model after a step of stochastic gradient descent of a learning rate."""

    def run() -> Any:
        torch.manual_seed(0)
        model = linear()
        loss = nn.functional.cross_entropy(model(IMAGES), LABELS)
        for parameter, slope in zip(
            model.parameters(), torch.autograd.grad(loss, [*model.parameters()]), strict=True
        ):
            parameter.data -= factor * slope
        with torch.no_grad():
            return score(model, IMAGES, LABELS)

    return run


def hold_out(fraction: float) -> Callable[[], Any]:
    from epsigma.storage.images import ImageSet

    return lambda: split_validation(ImageSet(IMAGES, LABELS), None, fraction=fraction, seed=0)


def keep(components: int, shape: tuple[int, int, int] = SHAPE) -> nn.Module:
    made = pca.PrincipalComponents(shape, components=components)
    made.fit(torch.rand(20, *shape))
    return made


def squeeze(*filters: Filter) -> Callable[[], Any]:
    return lambda: Squeezing(filters=list(filters))


COMPUTED = {
    "logits beyond all numbers": (
        with_logits(1e38),
        "train it with a smaller learning_rate",
        with_logits(0.1),
    ),
    "nothing to validate on": (
        hold_out(0.05),
        "validate on: say another, so that each has one",
        hold_out(0.2),
    ),
    "components that were not kept": (
        lambda: PCA(components=5, autoencoder=keep(4))(IMAGES),
        "is more than the 4 that were kept: ask for fewer",
        lambda: PCA(components=4, autoencoder=keep(4))(IMAGES),
    ),
    "components of another autoencoder": (
        lambda: PCA(components=4, autoencoder=MLP(SHAPE, 3, hidden=4)),
        "the filter pca needs an autoencoder of the kind pca",
        lambda: PCA(components=4, autoencoder=keep(4)),
    ),
    "images of many values": (
        lambda: pca.PrincipalComponents((3, 100, 100)),
        ": resize them (size), or take another filter",
        lambda: pca.PrincipalComponents((3, 32, 32)),
    ),
    "two channels, JPEG": (
        lambda: Jpeg(quality=75)(torch.rand(1, 2, 8, 8)),
        "of 1 channel or 3 (grey or RGB), not of 2: leave it out",
        lambda: Gaussian(sigma=1)(torch.rand(1, 2, 8, 8)),
    ),
    "five channels, OpenCV": (
        lambda: NonlocalMeans(strength=0.1)(torch.rand(1, 5, 8, 8)),
        "OpenCV compares patches of 1 to 4 channels, not of 5: leave it out",
        lambda: Gaussian(sigma=1)(torch.rand(1, 5, 8, 8)),
    ),
    "a gradient that nobody has said": (
        lambda: attackable(Undeclared(), None),
        "say in its registry entry that its gradient is one of",
        lambda: attackable(Undeclared(), "exact"),
    ),
    "no squeezer": (
        squeeze(),
        "there is no squeezer: name a filter at least",
        squeeze(BitDepth(bits=1)),
    ),
    "no filter to train through": (
        lambda: Filtered(filters=[]),
        "there is no filter to train through: name one at least",
        lambda: Filtered(filters=[BitDepth(bits=1)]),
    ),
    "a target for all images": (
        lambda: carlini_wagner(linear(), IMAGES, LABELS, kappa=0, targets=LABELS[:1], steps=1),
        ": give one class an image, (6,)",
        lambda: carlini_wagner(linear(), IMAGES, LABELS, kappa=0, targets=2 - LABELS, steps=1),
    ),
    "no image": (
        lambda: count_classes(linear(), IMAGES[:0], LABELS[:0]),
        "images are none: at least one is needed, for its shape",
        lambda: count_classes(linear(), IMAGES[:1], LABELS[:1]),
    ),
    "labels that there are not": (
        lambda: count_classes(linear(), IMAGES, LABELS + 1),
        "which is none of the model's 3 classes, 0 to 2",
        lambda: count_classes(linear(), IMAGES, LABELS),
    ),
    "targets that are no integers": (
        lambda: jsma(linear(), IMAGES, LABELS, gamma=0.2, targets=LABELS.float()),
        "not an int64 tensor: give one class for each image",
        lambda: jsma(linear(), IMAGES, LABELS, gamma=0.2, targets=2 - LABELS),
    ),
    "fewer targets than images": (
        lambda: jsma(linear(), IMAGES, LABELS, gamma=0.2, targets=LABELS[:1]),
        ": repeat an image for each of its targets",
        lambda: jsma(linear(), IMAGES, LABELS, gamma=0.2, targets=2 - LABELS),
    ),
    "targets that there are not": (
        lambda: jsma(linear(), IMAGES, LABELS, gamma=0.2, targets=LABELS + 3),
        "targets are no classes: the model has 0 to 2",
        lambda: jsma(linear(), IMAGES, LABELS, gamma=0.2, targets=2 - LABELS),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("wrong", "remedy", "right"), COMPUTED.values(), ids=COMPUTED)
def test_it_is_computed_once_that_is_done(wrong: Callable, remedy: str, right: Callable) -> None:
    hold((ValueError, TypeError), remedy, wrong, right)


class Skipping(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(16, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.last(self.first(x.flatten(1)).relu())
        return logits


class Bent(Identity):
    def forward(self, images: Tensor) -> Tensor:
        return images.sqrt()


PROVED = {
    "a function between layers": (
        (Identity(), Skipping().eval()),
        "such as nn.Flatten and nn.ReLU",
        (Identity(), linear(nn.ReLU())),
    ),
    "another layer": (
        (Identity(), linear(nn.Sigmoid())),
        "proofs know affine layers (linear, convolution, mean pooling, batch normalisation)",
        (Identity(), linear(nn.BatchNorm1d(8))),
    ),
    "a filter that is not linear": (
        (BitDepth(bits=1), linear()),
        "is not linear",
        (Gaussian(sigma=1), linear()),
    ),
    "a filter that says it is linear": (
        (Bent(), linear()),
        "says that it is linear, and is not",
        (Identity(), linear()),
    ),
    "a filter that draws": (
        (GaussianNoise(std=0.1), linear()),
        "is random: there is no one network to prove",
        (Gaussian(sigma=1), linear()),
    ),
}


@pytest.mark.parametrize(("wrong", "remedy", "right"), PROVED.values(), ids=PROVED)
def test_it_is_proved_once_that_is_so(wrong: Any, remedy: str, right: Any) -> None:
    hold(UnprovableError, remedy, lambda: fold(*wrong, SHAPE), lambda: fold(*right, SHAPE))


def sequence(*filters: Filter) -> Sequence:
    return Sequence(list(filters), list(filters))


def test_noise_is_smoothed_by_once_nothing_comes_before_and_nothing_draws_after() -> None:
    noise, soft = GaussianNoise(std=0.1), Gaussian(sigma=1)
    right = sequence(noise, soft)
    for wrong, remedy in (
        (sequence(soft, noise), "smoothing is proved for Gaussian noise that nothing comes before"),
        (sequence(noise, noise), "the filter draws again after its noise"),
    ):
        hold(
            UnprovableError,
            remedy,
            lambda wrong=wrong: find_noise(wrong),
            lambda: find_noise(right),
        )


# --- Files and this machine


def test_what_is_damaged_is_read_once_it_is_deleted_and_made_again(tmp_path: Path) -> None:
    path = tmp_path / "results" / "own.json"
    write_json(path, {"n": 1})
    content = path.read_text(encoding="utf-8")
    path.write_text(content[:3], encoding="utf-8")

    def again() -> Any:
        path.unlink()
        write_json(path, {"n": 1})
        return read_json(path)

    remedy = "delete it and run again to remake it"
    hold(ValueError, remedy, lambda: read_json(path), again)


def test_a_model_is_trained_once_there_are_training_images(tmp_path: Path) -> None:
    path = tmp_path / "train.safetensors"

    def read(n: int) -> Any:
        tensors = {"images": IMAGES[:n], "labels": LABELS[:n]}
        write_tensors(path, tensors, {"classes": "3"})
        return read_training(path, torch.device("cpu"))

    remedy = "to train models or autoencoders, or to set thresholds of detectors, add training"
    hold(ValueError, remedy, lambda: read(0), lambda: read(6))


def test_a_study_that_is_not_strict_ends_well(tmp_path: Path, make_job: Any) -> None:
    checks = tmp_path / "checks.csv"
    tabulate_verdicts([Verdict("logits", {}, "fail", 1, 0, "No.")]).to_csv(checks, index=False)

    def end(strict: bool) -> None:
        job = make_job({"strict": strict})
        gate(job, checks=str(checks), verdict=str(tmp_path / "verdict.txt"))

    hold(ValueError, "`strict: false` in the", lambda: end(True), lambda: end(False))


def test_a_folder_is_run_in_once_it_is_writable_or_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    # As another user's is; root may write everywhere.
    closed, other = tmp_path / "closed", tmp_path / "other"
    closed.mkdir()
    other.mkdir()
    shut = {closed}
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) not in shut)
    remedy = "make it writable, or run in another folder (--directory)"
    hold(WorkflowError, remedy, lambda: _check_records(closed), lambda: _check_records(other))
    shut.clear()
    _check_records(closed)


def test_a_study_is_read_once_its_python_has_what_jobs_need(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(engine, "keep_short", lambda workflow: None)
    monkeypatch.setattr(engine, "shows_line", lambda workflow: False)
    settings = types.SimpleNamespace(config={})
    workflow = types.SimpleNamespace(configfiles=[], config_settings=settings)

    def read(*missing: str) -> Any:
        monkeypatch.setattr(engine, "missing_packages", lambda: list(missing))
        return engine.read_study(workflow, SMALL, tmp_path)

    remedy = "there (pip install -r), or start Snakemake from an environment that has it"
    hold(WorkflowError, remedy, lambda: read("torch"), read)


def test_a_study_runs_on_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    remedy = "set device to auto or cpu"
    hold(RuntimeError, remedy, lambda: resolve("cuda"), lambda: resolve("auto"))
    assert resolve("auto") == resolve("cpu") == torch.device("cpu")


# --- Results in Python


@pytest.fixture
def results(tmp_path: Path) -> StudyResults:
    """What can be asked of a study without its cells' files."""
    tables = tmp_path / "results" / "tables"
    tables.mkdir(parents=True)
    study = validate({**SMALL, "attacks": [{"kind": "fgsm", "eps": [0, 0.1]}]})
    (tables / "configuration.yaml").write_text(yaml.safe_dump(study.dump()), encoding="utf-8")
    pd.DataFrame({"attack": ["fgsm"], "n": [3]}).to_csv(tables / "worst_case.csv", index=False)
    return open_study(tmp_path / "results")


LOOKED_UP: dict[str, tuple[Callable[[Any], Any], str, Callable[[Any], Any]]] = {
    "a table": (
        lambda study: study.table("worst"),
        "no table 'worst' in",
        lambda study: study.table("worst_case"),
    ),
    "a column": (
        lambda study: study.worst_case(attacks="fgsm"),
        "worst_case.csv has no column 'attacks'; it has attack, n",
        lambda study: study.worst_case(attack="fgsm"),
    ),
    "a value": (
        lambda study: study.cell(attack="pgd"),
        "no cell has attack='pgd'; attack: fgsm",
        lambda study: study.cell(attack="fgsm", filter="none", eps=0),
    ),
    "a name": (
        lambda study: study.cell(epsilon=0.1),
        "; there are dataset, model, seed, threat, attack, filter, eps",
        lambda study: study.cell(attack="fgsm", filter="none", eps=0.1),
    ),
    "several cells": (
        lambda study: study.cell(filter="none"),
        " cells are so: say more. eps: 0, 0.1",
        lambda study: study.cell(filter="none", eps=0.1),
    ),
}


@pytest.mark.parametrize(("wrong", "remedy", "right"), LOOKED_UP.values(), ids=LOOKED_UP)
def test_it_is_found_once_that_is_asked(
    results: StudyResults, wrong: Callable, remedy: str, right: Callable
) -> None:
    hold(LookupError, remedy, lambda: wrong(results), lambda: right(results))


def test_results_are_opened_once_their_folder_is_named(results: StudyResults) -> None:
    remedy = "is not the results of a study: name the folder that `make results` wrote"
    above, folder = results.folder.parent, results.folder
    hold(FileNotFoundError, remedy, lambda: open_study(above), lambda: open_study(folder))


# --- Challenges


PACKAGE = Path(__file__).parents[2] / "workflow"
TEMPLATE = (PACKAGE / "epsigma" / "challenge" / "my_filter.py").read_text(encoding="utf-8")
FORWARD = "return images * (images >= self.threshold)"
LINEAR = "    is_linear = False"
VALUES = 'VALUES = {"threshold": [0.25, 0.5]}'
BALL = Ball(norm="linf", name="eps", budget=0.1, images={"digits": 6})
RULES = Rules(balls=[BALL], study=validate(SMALL).dump())
MASK = "(images >= self.threshold)"
# What is submitted in place of what, what the message says, and that done.
FILTERS = {
    "no FILTER": ("FILTER = ", "OTHER = ", "keep these two names", "FILTER = "),
    "no gradient": ('"bpda"', "None", "; and it takes no autoencoder", '"bpda"'),
    "a key that is none": (VALUES, 'VALUES = {"std": [0.5]}', "; allowed: threshold", VALUES),
    "a value that is none": (
        VALUES,
        'VALUES = {"threshold": [2]}',
        "VALUES do not fit its hyper-parameters",
        'VALUES = {"threshold": [1]}',
    ),
    "a line that raises": (FORWARD, "return nothing", "name 'nothing' is not defined", FORWARD),
    "another shape": (
        FORWARD,
        f"return (images * {MASK})[:, :, 1:]",
        "it has to keep the shape",
        FORWARD,
    ),
    "no filter": (
        'f"{__name__}:MyFilter"',
        '"torch.nn:Identity"',
        "FILTER names no subclass of epsigma.filters.filter.Filter",
        '"submission:MyFilter"',
    ),
    "float64": (
        FORWARD,
        f"{FORWARD}.double()",
        ": make them float32",
        f"{FORWARD}.double().float()",
    ),
    "no number": (
        FORWARD,
        f"{FORWARD} / (images * 0)",
        "look for the root, logarithm or quotient of zero",
        f"{FORWARD} / (images * 0 + 1)",
    ),
    "values above 1": (
        FORWARD,
        f"return images * {MASK} * (1 + images * 0 + 1) / 1",
        "keep them in [0, 1], as by clamp(0, 1)",
        f"return (images * {MASK}).clamp(0, 1)",
    ),
    "changes its images": (
        FORWARD,
        f"return images.mul_({MASK})",
        "it changes the images that it is given: work on a copy",
        f"return images.clone().mul_({MASK})",
    ),
    "looks at the batch": (
        FORWARD,
        "return (images - images.mean() + 0.5).clamp(0, 1)",
        "filter each image alone",
        FORWARD,
    ),
    "draws": (
        FORWARD,
        f"return images * {MASK} * __import__('torch').rand(1)",
        "say random=True in FILTER, and draw from nothing but the `generator`",
        FORWARD,
    ),
    "knows who attacks": (
        FORWARD,
        f"return images * {MASK} * (0.9 if images.requires_grad else 1)",
        "it filters images that want a gradient another way than others: take requires_grad out",
        FORWARD,
    ),
    "not its formula": (
        FORWARD,
        "return images * (images >= 0.9)",
        "forward and formula have to be the same filter",
        FORWARD,
    ),
    "far from its formula": (
        LINEAR,
        f"{LINEAR}\n    tolerance = 0.1",
        "declare 2/255 at most, and let forward come as close to formula",
        f"{LINEAR}\n    tolerance = 0.005",
    ),
    "noise that it does not add": (
        LINEAR,
        f"{LINEAR}\n    deviation = 0.1",
        "declare that of its draws, and none if it adds no noise",
        f"{LINEAR}\n    deviation = 0.0",
    ),
}  # fmt: skip


@pytest.fixture
def attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Try the template, with a part of it in the place of another."""
    monkeypatch.syspath_prepend(tmp_path)

    def try_changed(part: str, other: str) -> None:
        assert part in TEMPLATE
        path = tmp_path / "submission.py"
        path.unlink(missing_ok=True)
        path.write_text(TEMPLATE.replace(part, other), encoding="utf-8")
        for cached in tmp_path.glob("__pycache__/*"):
            cached.unlink()
        monkeypatch.delitem(sys.modules, "submission", raising=False)
        importlib.invalidate_caches()
        study = read_study(RULES, "mine")
        (block,) = study.filters
        made = settings(study, "filters", "mine", str(block.levels[0]))
        images = torch.rand((3, 1, 8, 8), generator=torch.Generator().manual_seed(0))
        try_filter(made, str(block.entry.gradient), images)

    return try_changed


@pytest.mark.parametrize(("part", "wrong", "remedy", "right"), FILTERS.values(), ids=FILTERS)
def test_a_submitted_filter_is_taken_once_that_is_done(
    attempt: Callable[[str, str], None], part: str, wrong: str, remedy: str, right: str
) -> None:
    hold(SubmissionError, remedy, lambda: attempt(part, wrong), lambda: attempt(part, right))


CLEAN = torch.full((10, 1, 8, 8), 0.5)
MADE = {"images": CLEAN[:6] + 0.1, "labels": torch.arange(6)}
HOLED = MADE["images"].clone()
HOLED[3, 0, 0, 0] = torch.nan
SETS: dict[str, tuple[dict[str, Any], str]] = {
    "too far": ({"images": CLEAN[:6] + 0.2}, ": bring it into one"),
    "no number": ({"images": HOLED}, "image 3 has values that are not finite: leave none"),
    "beyond 1": ({"images": CLEAN[:6] + 0.6}, ": keep them in [0, 1]"),
    "float64": ({"images": MADE["images"].double()}, ": make them float32 and int64"),
    "flat": (
        {"images": MADE["images"].flatten(1)},
        ": make them (N, C, H, W), of the 384 values at most that the challenge's have",
    ),
    "fewer labels": ({"labels": torch.arange(5)}, ": one an image"),
    "another order": ({"labels": torch.arange(6).flip(0)}, "all of them in the order of the test"),
    "another tensor": ({"more": torch.zeros(1)}, ": it needs images and labels, and no others"),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The images of a challenge: ten, of which six are attacked."""
    made = tmp_path / "challenge"
    path = made / "data" / "digits" / "test.safetensors"
    write_tensors(path, {"images": CLEAN, "labels": torch.arange(10)}, {"classes": "10"})
    return made


@pytest.mark.parametrize(("changed", "remedy"), SETS.values(), ids=SETS)
def test_a_submitted_set_is_taken_once_it_is_as_asked(
    folder: Path, changed: dict[str, Tensor], remedy: str
) -> None:
    def submit(tensors: dict[str, Tensor]) -> None:
        save_file(tensors, folder / "mine.safetensors")
        assert read_submission(folder / "mine.safetensors", RULES, folder)[1] == BALL

    hold(SubmissionError, remedy, lambda: submit(MADE | changed), lambda: submit(MADE))


def test_a_set_is_read_once_it_is_written_by_safetensors(folder: Path) -> None:
    path = folder / "mine.safetensors"
    path.write_bytes(b"words")

    def again() -> None:
        save_file(MADE, path)
        read_submission(path, RULES, folder)

    remedy = "write it with safetensors.torch.save_file"
    hold(SubmissionError, remedy, lambda: read_submission(path, RULES, folder), again)


@pytest.mark.parametrize(
    ("wrong", "remedy"),
    [
        ("mine.txt", " (a filter) nor .safetensors (an adversarial set)"),
        ("My Filter.py", "give the file one of small letters, digits and _, a letter first"),
        ("gaussian.py", "a letter first, and none of the study's: "),
        ("absent.py", "is not there, or is no file: name the file of the submission"),
        ("large.py", ": leave out what the filter does not need"),
    ],
)
def test_a_submission_is_taken_once_its_file_is_one(
    tmp_path: Path, wrong: str, remedy: str
) -> None:
    (tmp_path / "mine.py").touch()
    if "absent" not in wrong:
        (tmp_path / wrong).write_bytes(b" " * (10_000_000 if "large" in wrong else 0))
    hold(
        SubmissionError,
        remedy,
        lambda: _name(tmp_path / wrong, RULES),
        lambda: _name(tmp_path / "mine.py", RULES),
    )


def test_a_challenge_is_made_once_its_folder_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "_make_rules", lambda results: (RULES, {}))
    monkeypatch.setattr(making, "_copy_files", lambda made, *about: made.mkdir())
    monkeypatch.setattr(making, "_write_files", lambda *about: None)
    folder = tmp_path / "challenge"
    folder.mkdir()
    remedy = "remove it, scores and all, or name another folder"

    def again() -> None:
        make_challenge(tmp_path, tmp_path / "another")
        folder.rmdir()
        make_challenge(tmp_path, folder)

    hold(FileExistsError, remedy, lambda: make_challenge(tmp_path, folder), again)


def test_rules_are_read_once_a_challenge_is_made(tmp_path: Path) -> None:
    def again() -> None:
        (tmp_path / "rules.yaml").write_text(RULES.model_dump_json(), encoding="utf-8")
        read_rules(tmp_path)

    hold(FileNotFoundError, "`make challenge` makes", lambda: read_rules(tmp_path), again)


def test_a_challenge_has_something_to_score_by_once_an_attack_is_in_a_ball(
    results: StudyResults, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = {"seed": [0], "filter": ["none"], "dataset": ["digits"], "aware_n": [3]}
    columns |= {"model": ["mlp"], "norm": ["linf"], "budget_name": ["eps"]}

    def make(budget: float) -> Any:
        table = pd.DataFrame(columns | {"budget": [budget]})
        monkeypatch.setattr(making, "_read_table", lambda path: table)
        return making._make_rules(results.folder)

    remedy = "there is nothing to score a filter by: add an attack with a budget over 0"
    hold(ValueError, remedy, lambda: make(0.0), lambda: make(0.1))


def test_a_challenge_has_its_tables_once_the_study_was_run(tmp_path: Path) -> None:
    path = tmp_path / "robust.csv"

    def again() -> None:
        path.write_text("n\n1\n", encoding="utf-8")
        making._read_table(path)

    hold(
        FileNotFoundError, "run the study to its end first", lambda: making._read_table(path), again
    )
