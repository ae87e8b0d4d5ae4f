"""Adversarial sets that are stored as float16 or 8 bits, and scored as they are stored."""

import copy
import os
import sys
import types
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
from epsigma.attacks.craft import make_set, rows_of
from epsigma.attacks.fooling_set import fooling_rows, make_fooling_set
from epsigma.attacks.stored import MEASURED, round_made
from epsigma.checks import attacks as checks
from epsigma.checks.evidence import Evidence
from epsigma.device import CPU
from epsigma.models.mlp import MLP
from epsigma.plan import paths
from epsigma.plan.disk import Disk
from epsigma.plan.inputs import has_direction
from epsigma.plan.plan import Plan
from epsigma.plan.settings import attack_settings, stored_settings
from epsigma.stages.attack import attack
from epsigma.stages.evaluate import evaluate, evaluate_clean
from epsigma.stages.filter import filter_set
from epsigma.storage import stored
from epsigma.storage.files import read_json
from epsigma.storage.held import HeldSet
from epsigma.storage.images import measure, read_image_set, read_tensors, to_float, write_tensors
from epsigma.storage.ledgers import read_ledger
from epsigma.storage.rounding import DTYPES, encode, round_towards
from epsigma.storage.stored import open_image_set
from epsigma.study import validate
from epsigma.tables.cells import tabulate_cells
from epsigma.vocabulary import widen
from running import SMALL

ROUNDED = ["float16", "uint8"]
# Attacks of each norm that bounds them, and of none, at budgets from nothing to much.
ATTACKS = {
    "fgsm": ("linf", ["eps~0", "eps~0.002", "eps~0.1", "eps~0.0313725", "eps~0.031"]),
    "pgd": ("linf", ["eps~0.1"]),
    "pgd_l2": ("l2", ["eps~0.02", "eps~1"]),
    "apgd_l2": ("l2", ["eps~1"]),
    "fab": ("linf", ["eps~0.3"]),
    "square": ("linf", ["eps~0.1"]),
    "hopskipjump_l2": ("l2", ["eps~2"]),
    "jsma": ("l0", ["gamma~0.1"]),
    "uniform_noise": ("linf", ["eps~0.1"]),
    "l2_noise": ("l2", ["eps~1"]),
    "feature_noise": ("l0", ["gamma~0.2"]),
    "carlini_wagner": (None, ["kappa~0"]),
    "ddn": (None, ["kappa~0"]),
    "fmn": (None, ["kappa~0"]),
    "fmn_l0": (None, ["kappa~0"]),
}
QUICK = {
    "carlini_wagner": {"steps": 20, "search_steps": 2},
    "hopskipjump_l2": {"queries": 300},
}
CASES = [(name, level) for name, (_, levels) in ATTACKS.items() for level in levels]
CELL = {
    **{"dataset": "digits", "model": "mlp", "seed": "0", "threat": "blind", "attack": "mine"},
    **{"budget": "eps~0.1", "filter": "none", "strength": "fixed"},
}
NONE = {"implementation": "epsigma.filters.none:Identity", "parameters": {}}
NOISE = {
    **{"implementation": "epsigma.filters.noise:GaussianNoise", "parameters": {"std": 0.1}},
    **{"random": True, "gradient": "exact"},
}


def study_of(stored_as="float32", **keys):
    return validate({**copy.deepcopy(SMALL), "stored_as": stored_as, **keys})


@cache
def settings(kind, level, stored_as="float32", **more):
    swept, _, value = level.partition("~")
    block = {"kind": kind, swept: [float(value)], **QUICK.get(kind, {}), **more}
    return told(study_of(stored_as, attacks=[block]), kind, level)


def told(study, name, level):
    return attack_settings(study, name, level) | stored_settings(study, name)


@cache
def colour_model():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = MLP((3, 6, 6), 10, hidden=16)
    return model.eval().requires_grad_(False)


def colour_images(kind="8 bits"):
    """(12, 3, 6, 6) in [0, 1], with black and white: of 8 bits, or of float32's own values."""
    images = torch.rand((12, 3, 6, 6), generator=torch.Generator().manual_seed(1))
    images[:, :, 0] = 0
    images[:, :, 1] = 1
    levels = (images * 255).round().byte()
    return to_float(levels) if kind == "8 bits" else images


def run(how, model, images, labels):
    rows = rows_of({**how, "examples": 12}, labels, 10)
    generator = torch.Generator().manual_seed(0)
    made, measures = make_set(how, generator, model, images, rows)
    return rows, made, measures


@pytest.mark.parametrize("stored_as", ROUNDED)
@pytest.mark.parametrize("look", ["grey", "colour"])
@pytest.mark.parametrize(("kind", "level"), CASES)
def test_what_is_stored_is_in_the_ball_and_nearer_to_the_clean_image(
    trained, kind, level, look, stored_as
):
    model, images = trained.model, trained.images[:12]
    if look == "colour":
        model, images = colour_model(), colour_images()
    labels = trained.labels[:12] if look == "grey" else model(images).argmax(1)
    norm = ATTACKS[kind][0]
    rows, whole, before = run(settings(kind, level), model, images, labels)
    _, made, measures = run(settings(kind, level, stored_as), model, images, labels)
    clean = images[rows.index]
    # What a file has of it is all of it.
    assert torch.equal(to_float(encode(made, stored_as)), made)
    for name, value in measure(made, clean).items():
        assert torch.equal(measures[name], value)
    assert measures["outside"].max() == 0
    step = 1 / 255 if stored_as == "uint8" else 1 / 255 / 8
    moved = (made - whole).abs().max()
    if norm is None:
        assert moved <= step / 2 + 1e-6, "to the nearest"
    else:
        budget = float(level.partition("~")[2])
        # Of the check `in_ball`.
        assert measures[MEASURED[norm]].max() <= widen(budget)
        assert moved <= step + 1e-6
        assert (made - clean).abs().sub_((whole - clean).abs()).max() <= 1e-6
        # Never to the other side, nor away from a value that is as it was.
        assert ((made - clean) * (whole - clean)).min() >= -1e-9
    assert torch.equal(made[whole == clean], clean[whole == clean])
    # What fooled the model is known from before.
    fooled = [model(one).argmax(1) != rows.labels for one in (whole, made)]
    if rows.targets is not None:
        fooled = [model(one).argmax(1) == rows.targets for one in (whole, made)]
    assert torch.equal(measures["fooled_unrounded"], fooled[0])
    assert torch.equal(measures["fooled_rounded"], fooled[1])
    assert not {"fooled_unrounded", "fooled_rounded"} & set(before)


@pytest.mark.parametrize(
    ("eps", "steps"), [("8/255", 8), (0.0313725, 8), (0.03137, 7), (0.0039, 0), (1.5 / 255, 1)]
)
def test_a_budget_between_two_levels_is_worth_the_lower_one(trained, eps, steps):
    study = study_of("uint8", attacks=[{"kind": "fgsm", "eps": [eps]}])
    level = str(study.attacks[0].levels[0])
    how = told(study, "fgsm", level)
    _, _, measures = run(how, trained.model, trained.images, trained.labels)
    assert (measures["linf"] * 255).round().max() == steps
    in_float16 = told(study_of("float16", attacks=study.dump()["attacks"]), "fgsm", level)
    _, _, measures = run(in_float16, trained.model, trained.images, trained.labels)
    budget = how["parameters"]["eps"]
    assert budget - 1 / 255 / 8 <= measures["linf"].max() <= widen(budget)


@pytest.mark.parametrize("stored_as", ROUNDED)
@pytest.mark.parametrize(
    ("kind", "level", "fits"),
    [
        ("fgsm", "eps~0", {"float16": False, "uint8": False}),
        ("fgsm", "eps~0.001", {"float16": True, "uint8": False}),
        ("fgsm", "eps~0.002", {"float16": True, "uint8": True}),
        ("pgd", "eps~0.03", {"float16": True, "uint8": True}),
        ("pgd_l2", "eps~0.001", {"float16": False, "uint8": False}),
        ("pgd_l2", "eps~1", {"float16": True, "uint8": True}),
        ("jsma", "gamma~0.1", {"float16": False, "uint8": False}),
        ("fmn_l0", "kappa~0", {"float16": False, "uint8": False}),
        ("ddn", "kappa~0", {"float16": True, "uint8": True}),
    ],
)
def test_data_between_the_levels_stays_in_its_ball_or_is_refused_by_name(
    kind, level, fits, stored_as
):
    model, images = colour_model(), colour_images("floats")
    labels = model(images).argmax(1)
    how = settings(kind, level, stored_as)
    if not fits[stored_as]:
        with pytest.raises(ValueError, match=rf"no multiples of 1/255, which {stored_as}.*float32"):
            run(how, model, images, labels)
        return
    _, made, measures = run(how, model, images, labels)
    assert torch.equal(to_float(encode(made, stored_as)), made)
    assert measures["outside"].max() == 0
    if norm := ATTACKS[kind][0]:
        budget = float(level.partition("~")[2])
        assert measures[MEASURED[norm]].max() <= widen(budget)


def test_rounding_finds_of_all_values_of_a_type_the_last_before_the_image_s():
    generator = torch.Generator().manual_seed(0)
    clean = torch.randint(0, 256, (4000,), generator=generator).float()
    made = (clean + torch.randn(4000, generator=generator) * 3).clamp(0, 255)
    halves = torch.arange(0, 0x5C00, dtype=torch.int16).view(torch.float16).float()
    for stored_as, values in (
        ("uint8", torch.arange(256).float()),
        ("float16", halves[halves <= 255]),
    ):
        found = round_towards(made / 255, clean / 255, stored_as) * 255
        for start, end, one in zip(clean, made, found, strict=True):
            # What float32 carries a value beyond the image's counts as that.
            last = end + 1e-4 * (end - start).sign()
            between = values[(values - start) * (values - last) <= 0]
            wanted = between[(between - last).abs().argmin()]
            assert abs(float(one - wanted)) < 1e-3


def test_norms_are_measured_as_the_check_does():
    assert {n: column.removesuffix("_max") for n, column in checks.BOUNDED.items()} == MEASURED


def test_what_is_no_number_is_refused(trained):
    images = trained.images[:2]
    with pytest.raises(ValueError, match="not finite"):
        round_made(settings("fgsm", "eps~0.1", "uint8"), images * torch.nan, images)


@pytest.mark.parametrize("stored_as", ROUNDED)
def test_fooling_images_are_rounded_to_the_nearest(trained, stored_as):
    made = []
    for how in (
        settings("fooling", "confidence~0.9", one, images=1) for one in ("float32", stored_as)
    ):
        rows = fooling_rows(10, 1, CPU)
        generator = torch.Generator().manual_seed(0)
        made.append(make_fooling_set(how, generator, trained.model, trained.images, rows)[0])
    assert torch.equal(to_float(encode(made[0], stored_as)), made[1])


# --- Files, and sets in memory


@pytest.fixture
def scored(tmp_path, trained, clean_file, checkpoint, make_job):
    """Attack and score a cell, of a set that is kept or held; returns metrics and ledger."""
    clean = str(tmp_path / "clean.parquet")
    model = {"model": trained.settings}
    evaluate_clean(
        make_job({**model, "filter": NONE}, dataset="digits"),
        test=str(clean_file),
        checkpoint=str(checkpoint),
        ledger=clean,
    )

    def score(how, given, name="cell", known=None, **told):
        known = {"filter": known, "eot_samples": 2} if known else {}
        attacker = make_job({**model, "attack": how, **known}, **CELL)
        scorer = make_job({**model, **told}, **CELL)
        attack(attacker, test=str(clean_file), checkpoint=str(checkpoint), adversarial=given)
        files = {"metrics": f"{tmp_path}/{name}.json", "ledger": f"{tmp_path}/{name}.parquet"}
        source = "adversarial" if "filter" in told else "images"
        evaluate(scorer, checkpoint=str(checkpoint), clean=clean, **files, **{source: given})
        return read_json(files["metrics"]), read_ledger(files["ledger"])

    return score


@pytest.mark.parametrize("room", [0, 10**9], ids=["in a file", "in memory"])
@pytest.mark.parametrize("known", [None, NOISE], ids=["blind", "aware"])
@pytest.mark.parametrize("stored_as", ROUNDED)
def test_a_cell_scores_alike_whether_its_set_is_kept(
    monkeypatch, tmp_path, scored, stored_as, known, room
):
    monkeypatch.setattr(stored, "KEPT", room)
    how = settings("pgd", "eps~0.1", stored_as)
    told = {"filter": known} if known else {}
    path = str(tmp_path / "set.safetensors")
    metrics, ledger = scored(how, path, known=known, **told)
    with HeldSet(tmp_path / "held.parquet") as held:
        others, other = scored(how, held, "held", known=known, **told)
        assert held.open().stored_as == stored_as
    assert metrics == others
    assert list(ledger) == list(other)
    assert all(np.array_equal(ledger[name], other[name]) for name in ledger)


@pytest.mark.parametrize("kind", ["fgsm", "pgd", "ddn"])
@pytest.mark.parametrize("stored_as", ROUNDED)
def test_what_rounding_undoes_is_counted(tmp_path, scored, kind, stored_as):
    level = "kappa~0" if kind == "ddn" else "eps~0.1"
    whole, _ = scored(settings(kind, level), str(tmp_path / "a.safetensors"), "a")
    rounded, ledger = scored(settings(kind, level, stored_as), str(tmp_path / "b.safetensors"), "b")
    # The model is what is attacked: what it was before is the cell of a study of float32.
    assert rounded["n_fooled_unrounded"] == whole["n_fooled"] > 0
    right = ledger["correct_clean"]
    before, since = (ledger[name] & right for name in ("fooled_unrounded", "fooled_rounded"))
    assert rounded["n_fooled"] == since.sum()
    assert rounded["n_lost"] == (before & ~since).sum()
    assert (rounded["stored_as"], whole.get("stored_as")) == (stored_as, None)
    # An image just beyond the boundary is lost, or not, by chance.
    share = rounded["n_lost"] / rounded["n_fooled_unrounded"]
    assert share > 0.2 if kind == "ddn" and stored_as == "uint8" else share < 0.2
    table = tabulate_cells([{**whole, "stored_as": None}, rounded])
    assert table["lost"].iloc[1] == pytest.approx(share)
    assert np.isnan(table["lost"].iloc[0])
    assert table["stored_as"].fillna("").tolist() == ["", stored_as]


def test_of_8_bits_nothing_is_left_to_requantise(tmp_path, scored):
    path = str(tmp_path / "set.safetensors")
    metrics, ledger = scored(settings("pgd", "eps~0.1", "uint8"), path, requantise=True)
    assert np.array_equal(ledger["correct_8bit"], ledger["correct"])
    assert metrics["n_correct_8bit"] == metrics["n_correct"]


def test_a_file_has_the_type_and_the_bytes(tmp_path, scored, trained):
    sizes = {}
    for stored_as, dtype in DTYPES.items():
        path = str(tmp_path / f"{stored_as}.safetensors")
        scored(settings("fgsm", "eps~0.1", stored_as), path)
        tensors = read_tensors(path, ("images",), CPU)
        assert tensors["images"].dtype == dtype
        assert open_image_set(path, CPU).stored_as == stored_as
        found = read_image_set(path, CPU).images
        assert found.dtype == torch.float32
        assert torch.equal(found, open_image_set(path, CPU).images[:])
        sizes[stored_as] = os.path.getsize(path)
    values = trained.images.numel()
    marks = 2 * len(trained.images)
    assert sizes["float32"] - sizes["float16"] == pytest.approx(2 * values - marks, abs=300)
    assert sizes["float16"] - sizes["uint8"] == pytest.approx(values, abs=300)


@pytest.mark.parametrize("stored_as", ROUNDED)
def test_a_filtered_set_is_kept_with_values_outside(tmp_path, make_job, stored_as):
    images = torch.rand((5, 1, 6, 6), generator=torch.Generator().manual_seed(0)) * 1.5 - 0.25
    measures = measure(images.clamp(0, 1), images.clamp(0, 1))
    given, made = tmp_path / "given.safetensors", tmp_path / "made.safetensors"
    write_tensors(given, {"images": images, "labels": torch.arange(5), **measures}, {})
    job = make_job({"filter": NONE, "stored_as": stored_as}, **CELL)
    filter_set(job, adversarial=str(given), filtered=str(made))
    assert read_tensors(made, ("images",), CPU)["images"].dtype == torch.float16
    torch.testing.assert_close(read_image_set(made, CPU).images, images, atol=0, rtol=2**-11)


@pytest.mark.parametrize("stored_as", ROUNDED)
def test_that_an_attack_leaves_the_range_is_told_though_rounding_clips_it(stored_as, trained):
    def leave(model, images, labels, *, eps, **others):
        return images + eps

    how = settings("fgsm", "eps~0.2", stored_as)
    sys.modules["leaving"] = types.SimpleNamespace(leave=leave)
    try:
        how = {**how, "implementation": "leaving:leave", "random": False}
        _, made, measures = run(how, trained.model, trained.images[:12], trained.labels[:12])
    finally:
        del sys.modules["leaving"]
    assert made.max() <= 1
    assert measures["outside"].max() == pytest.approx(0.2, abs=0.01)


# --- The plan


class At(dict):
    """Wildcards, as Snakemake hands them over: by attribute, too."""

    __getattr__ = dict.__getitem__


def test_a_study_of_float32_is_told_nothing_new():
    plain, given = Plan(validate(copy.deepcopy(SMALL))), Plan(study_of())
    at = At(
        dataset="digits", model="mlp", seed="0", threat="aware", attack="fgsm",
        budget="eps~0.1", filter="gaussian", strength="sigma~1",
    )  # fmt: skip
    for name in ("attack", "attack_aware", "filter", "evaluate", "check"):
        found = [
            getattr(plan.recipes, name)(*([] if name == "check" else [at]))
            for plan in (plain, given)
        ]
        assert found[0] == found[1]
        assert "stored_as" not in str(found[0])


@pytest.mark.parametrize("stored_as", ROUNDED)
def test_what_is_rounded_is_attacked_and_filtered_anew_and_trained_no_more(stored_as):
    plain, other = Plan(study_of()), Plan(study_of(stored_as))
    at = At(
        dataset="digits", model="mlp", seed="0", threat="blind", attack="fgsm",
        budget="eps~0.1", filter="gaussian", strength="sigma~1",
    )  # fmt: skip
    for name in ("attack", "attack_aware", "filter"):
        assert getattr(plain.recipes, name)(at) != getattr(other.recipes, name)(at)
    # Where no set tells by its age, the recipe does.
    aware = At({**at, "threat": "aware"})
    assert plain.recipes.attack_when_scored(aware) != other.recipes.attack_when_scored(aware)
    for name in ("train", "probe_attack", "try_attack"):
        assert getattr(plain.recipes, name)(at) == getattr(other.recipes, name)(at)
    # An attack is probed as it is, not as its images are rounded.
    assert not other.inputs.probed_cells(at)
    # Scored as it is stored, through the filter; a filtered set is a copy.
    assert plain.inputs.filtered_set(at)
    assert not other.inputs.filtered_set(at)
    assert other.inputs.unfiltered_set(at).endswith("adversarial/blind/fgsm/eps~0.1.safetensors")
    kept = other.targets.kept_sets()
    assert paths.FILTERED_BLIND_SET.format(**at) in kept
    assert [has_direction(plan.study, at) for plan in (plain, other)] == [True, False]


@pytest.mark.parametrize(
    ("stored_as", "bytes_"), [("float32", (4, 4)), ("float16", (2, 2)), ("uint8", (1, 2))]
)
def test_its_disk_is_estimated(monkeypatch, tmp_path, stored_as, bytes_):
    monkeypatch.chdir(tmp_path)
    disk, of = Disk(study_of(stored_as)), {"dataset": "digits", "attack": "fgsm"}
    cell = {**CELL, **of}
    for pattern, size in zip((paths.BLIND_SET, paths.FILTERED_BLIND_SET), bytes_, strict=True):
        found, _ = disk.estimate([(pattern.format(**cell), cell)])
        assert found == 360 * (64 * size + 28)


# --- The check


def cells_table(*rows):
    columns = ("budget", "n_lost", "n_fooled_unrounded", "stored_as")
    of = {
        "dataset": "digits", "model": "mlp", "seed": 0, "threat": "blind", "attack": "fgsm",
        "filter": "none", "strength_name": None, "strength": np.nan, "budget_name": "eps",
    }  # fmt: skip
    return pd.DataFrame([{**of, **dict(zip(columns, row, strict=True))} for row in rows])


@pytest.mark.parametrize(
    ("rows", "says", "verdict", "figure"),
    [
        ([(0, 0, 0, "uint8"), (0.1, 2, 100, "uint8")], "uint8", "pass", 0.02),
        ([(0, 0, 0, "uint8"), (0.1, 6, 100, "uint8")], "uint8", "warn", 0.06),
        ([(0, 0, 0, "uint8"), (0.1, 0, 0, "uint8")], "uint8", "pass", 0),
        ([(0, 0, 0, "float16"), (0.1, 2, 100, "uint8")], "uint8", "fail", 1),
        ([(0, np.nan, np.nan, None), (0.1, 2, 100, "uint8")], "uint8", "fail", 1),
        ([(0, 0, 0, "float16"), (0.1, 2, 100, "uint8")], "float32", "fail", 2),
        # Fooling images.
        ([(0.9, np.nan, np.nan, "uint8")], "uint8", "pass", 0),
    ],
)
def test_the_check_tells_the_type_and_what_was_lost(rows, says, verdict, figure):
    evidence = Evidence(
        {"cells": cells_table(*rows)}, {"fgsm": {"family": "single_step"}}, {}, stored_as=says
    )
    (found,) = checks.stored(evidence)
    assert (found.verdict, found.figure) == (verdict, pytest.approx(figure))
    assert found.subject["attack"] == "fgsm"


def test_of_float32_the_check_says_nothing():
    table = cells_table((0.1, 0, 0, "float32")).drop(
        columns=["stored_as", "n_lost", "n_fooled_unrounded"]
    )
    assert list(checks.stored(Evidence({"cells": table}, {}, {}))) == []
