"""Randomised smoothing: certificates, the stage, the table that attacks are held to, the figure."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from epsigma.cell import Cell, Level
from epsigma.checks.verdict import Verdict, tabulate_verdicts
from epsigma.figures.data import FigureData
from epsigma.figures.smoothed import certified_by_radius
from epsigma.filters.bitdepth import BitDepth
from epsigma.filters.filter import Filter
from epsigma.filters.gaussian import Gaussian
from epsigma.filters.low_rank import LowRank
from epsigma.filters.noise import GaussianNoise
from epsigma.filters.none import Identity
from epsigma.filters.pixel_deflection import PixelDeflection
from epsigma.filters.resampling import RandomCrop, RandomResizePad
from epsigma.filters.sequence import Sequence
from epsigma.filters.shield import Shield
from epsigma.models.classifier import load_classifier
from epsigma.proofs.network import UnprovableError
from epsigma.proofs.smoothing import (
    bound_draw,
    bound_share,
    certify_votes,
    count_votes,
    find_noise,
    know_nothing,
)
from epsigma.stages import smooth as stage
from epsigma.stages.smooth import smooth
from epsigma.storage.batches import BATCH, batches_of
from epsigma.storage.files import read_json
from epsigma.storage.ledgers import read_cell, read_ledger
from epsigma.tables.reading import write_table
from epsigma.tables.scores import Attack, Scored, Scores
from epsigma.tables.smoothed import COLUMNS, bound_chance, tabulate_smoothed
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, norm
from statsmodels.stats.proportion import proportion_confint
from torch import nn

ALPHA = 0.001
STD = 0.5
SHAPE = (1, 4, 4)


class Halved(Filter):
    """What a filter may do after noise: here everything at half its size."""

    def forward(self, images):
        return images / 2

    def formula(self, images):
        return images / 2


class Flipped(Filter):
    """A filter of one's own that draws, and says nothing of it but its generator."""

    def __init__(self, generator):
        super().__init__()
        self.generator = generator

    def forward(self, images):
        return images.flip(3) if torch.rand(1, generator=self.generator) < 0.5 else images

    def formula(self, images):
        return images


DRAWING = [
    PixelDeflection(share=0.1),
    RandomResizePad(smallest=0.8),
    RandomCrop(share=0.8),
    Shield(lowest=20),
    LowRank(rank=2),
    Flipped(torch.Generator()),
]


def noise(std=STD, seed=0):
    return GaussianNoise(std=std, generator=torch.Generator().manual_seed(seed))


def in_sequence(*filters):
    return Sequence(filters, filters)


def plane(scale=1.0):
    """A linear classifier of two classes, and images at known distances to its hyperplane."""
    weight = torch.randn(16, generator=torch.Generator().manual_seed(1))
    weight /= weight.norm()
    linear = nn.Linear(16, 2)
    with torch.no_grad():
        linear.weight.copy_(torch.stack([0 * weight, weight / scale]))
        linear.bias.copy_(torch.tensor([0.0, -0.25]))
    distance = torch.linspace(-3 * STD, 3 * STD, 61)
    images = (distance[:, None] + 0.25) * weight
    model = nn.Sequential(nn.Flatten(), linear).requires_grad_(False).eval()
    return model, images.view(-1, *SHAPE), distance.double().numpy()


def certified(module, model, images, labels=None, samples=4000, selection=100, alpha=ALPHA):
    labels = torch.zeros(len(images), dtype=torch.long) if labels is None else labels
    how = {"samples": samples, "selection": selection, "alpha": alpha}
    return certify_votes(module, model, images, labels, **how)


# --- The bound of a share


@given(
    st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))),
    st.sampled_from([0.5, 0.05, 0.001, 1e-6]),
)
def test_the_bound_is_clopper_and_pearson_s_as_scipy_and_statsmodels_have_it(case, alpha):
    count, trials = case
    found = bound_share(count, trials, alpha)
    exact = binomtest(count, trials, alternative="greater").proportion_ci(1 - alpha, "exact").low
    assert found == pytest.approx(exact, rel=1e-6)
    both, _ = proportion_confint(count, trials, 2 * alpha, method="beta")
    assert found == pytest.approx(both, rel=1e-9)


@pytest.mark.parametrize("trials", [1, 10, 100])
@pytest.mark.parametrize("alpha", [0.001, 0.1])
def test_the_bound_is_above_the_truth_no_more_often_than_alpha_says(trials, alpha):
    count = np.arange(trials + 1)
    bound = bound_share(count, trials, alpha)
    for share in np.linspace(0.01, 0.99, 99):
        assert binom.pmf(count, trials, share)[bound > share].sum() <= alpha * (1 + 1e-9)


# --- Which filters have the form that the proof wants


def test_noise_is_added_whatever_the_image_is():
    one, other = torch.rand(2, 50, *SHAPE, generator=torch.Generator().manual_seed(2))
    added = noise()(one) - one
    torch.testing.assert_close(noise()(other * 9 - 4) - (other * 9 - 4), added, atol=3e-6, rtol=0)
    assert added.std() == pytest.approx(STD, rel=0.1)
    # Anew for each image and each call.
    assert len(added.unique()) == added.numel()
    again = noise()
    assert not torch.equal(again(one), again(one))


def test_noise_may_be_followed_by_what_does_not_draw():
    assert find_noise(noise(0.25)) == 0.25
    assert find_noise(in_sequence(noise(0.25), BitDepth(bits=2), Halved())) == 0.25


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (Identity(), "starts with Identity"),
        (in_sequence(Gaussian(sigma=1), noise()), "starts with Gaussian"),
        (in_sequence(noise(), BitDepth(bits=2), noise()), "draws again .*: GaussianNoise"),
        *((in_sequence(noise(), one), f"draws again .*: {type(one).__name__}") for one in DRAWING),
    ],
)
def test_another_filter_is_refused_and_why(module, said):
    with pytest.raises(UnprovableError, match=said):
        find_noise(module)
    with pytest.raises(UnprovableError, match=said):
        certified(module, nn.Flatten(), torch.zeros(1, *SHAPE))


# --- Certificates of a linear classifier, of which the smoothed one is known


@pytest.mark.parametrize(
    ("module", "scale"), [(noise(), 1.0), (in_sequence(noise(), Halved()), 0.5)]
)
def test_radii_are_below_the_distance_to_the_hyperplane_and_close(module, scale):
    model, images, distance = plane(scale)
    samples = 4000
    found = certified(module, model, images, samples=samples)
    share = norm.cdf(np.abs(distance) / STD)
    assert (found["lower"] <= share).all()
    assert (found["radius"] <= np.abs(distance) + 1e-12).all()
    # As many votes as there are to be expected, but for four standard deviations.
    deviation = np.sqrt(samples * share * (1 - share))
    assert (
        np.abs(found["votes"] - samples * share)[found["lower"] > 0.4] < 4 * deviation + 1
    ).all()
    fewest = np.floor(np.clip(samples * share - 4 * deviation - 1, 0, samples)).astype(int)
    least = [
        binomtest(k, samples, alternative="greater").proportion_ci(1 - ALPHA, "exact").low
        for k in fewest
    ]
    sure = np.array(least) > 0.5
    assert (found["radius"][sure] >= STD * norm.ppf(np.array(least)[sure])).all()
    # On the hyperplane nobody wins; near it there are too few draws; elsewhere the side is right.
    assert found["abstained"][30]
    assert found["radius"][30] == 0
    assert not found["abstained"][sure].any()
    assert (found["prediction"] == (distance > 0))[sure].all()
    assert sure.mean() > 0.8


def test_what_all_draws_agree_on_is_certified_as_far_as_their_number_goes():
    model, images, _ = plane()
    far = images[-1:] * 20
    found = certified(noise(), model, far, samples=1000)
    assert found["votes"] == 1000
    assert found["lower"] == pytest.approx(ALPHA ** (1 / 1000))
    assert found["radius"] == pytest.approx(STD * norm.ppf(ALPHA ** (1 / 1000)))
    # Nine draws are too few for any certificate at this α.
    for samples, abstains in ((9, True), (10, False)):
        assert certified(noise(), model, far, samples=samples)["abstained"] == abstains


def test_a_selection_that_errs_costs_the_certificate_not_its_truth():
    model, images, distance = plane()
    found = certified(noise(), model, images, selection=1)
    wrong = found["prediction"] != (distance > 0)
    assert wrong.any()
    assert found["abstained"][wrong].all()


def test_one_draw_is_right_as_often_as_the_bound_says_where_an_attack_is_at_its_worst():
    for distance, moved in ((0.6, 0.0), (0.6, 0.6), (0.3, 0.9)):
        share = norm.cdf(distance / STD)
        assert bound_draw(share, moved, STD) == pytest.approx(norm.cdf((distance - moved) / STD))
    assert bound_draw(0.0, 1.0, STD) == 0
    # No function of the noise has fewer draws: here one of an interval.
    points = np.random.default_rng(0).normal(0, STD, 400_000)
    before, after = (((points + at > -0.5) & (points + at < 1)).mean() for at in (0, 0.4))
    assert bound_draw(before, 0.4, STD) < after + 0.003


def test_a_column_each_and_labels_as_they_are_given():
    model, images, _ = plane()
    labels = torch.arange(len(images)) % 2
    found = certified(noise(), model, images, labels, samples=20)
    nothing = know_nothing(labels, ALPHA)
    assert list(found) == list(nothing)
    for name, values in nothing.items():
        assert values.shape == found[name].shape == (len(images),)
        assert values.dtype == found[name].dtype
    assert (found["label"] == labels.numpy()).all()
    assert nothing["abstained"].all()
    assert (nothing["radius"] == 0).all()
    assert (nothing["prediction"] == -1).all()


# --- Votes


class Remembers(nn.Module):
    """Class 1 for a bright image; how many it was given at a time."""

    def __init__(self):
        super().__init__()
        self.given = []

    def forward(self, images):
        self.given.append(len(images))
        mean = images.flatten(1).mean(1)
        return torch.stack([0 * mean, mean, mean - 9], 1)


@pytest.mark.parametrize("draws", [1, BATCH, 2 * BATCH + 7])
def test_votes_are_of_as_many_draws_as_asked_in_batches(draws):
    model = Remembers()
    found = count_votes(nn.Sequential(noise(), model), torch.zeros(SHAPE), draws)
    assert found.shape == (3,)
    assert found.sum() == sum(model.given) == draws
    assert max(model.given) <= BATCH
    assert found[2] == 0
    if draws > BATCH:
        assert abs(found[1] - draws / 2) < 3 * (draws / 4) ** 0.5


def test_votes_are_the_same_however_many_draws_a_batch_has():
    model, images, _ = plane()
    whole = certified(noise(), model, images[25:35], samples=1500)
    with batches_of(48):
        parts = certified(noise(), model, images[25:35], samples=1500)
    for name, values in whole.items():
        np.testing.assert_array_equal(parts[name], values)


def test_logits_that_are_no_numbers_win_no_vote():
    with pytest.raises(ValueError, match="not finite"):
        certified(
            noise(),
            nn.Sequential(nn.Flatten(), nn.Threshold(9, torch.nan)),
            torch.zeros(SHAPE)[None],
        )


# --- The stage

CELL = {"dataset": "digits", "model": "mlp", "seed": "0", "filter": "noise", "strength": "std~0.1"}
NOISE = {
    "implementation": "epsigma.filters.noise:GaussianNoise",
    "parameters": {"std": 0.1},
    "random": True,
}
MEDIAN = {"implementation": "epsigma.filters.median:Median", "parameters": {"size": 3}}


@pytest.fixture
def run(make_job, trained, clean_file, checkpoint, tmp_path):
    def make(how=NOISE, limit=None, **asked):
        asked = {"samples": 200, "selection": 20, "alpha": ALPHA, "examples": 50, **asked}
        job = make_job({"model": trained.settings, "filter": how, "smoothing": asked}, **CELL)
        job = replace(job, **(limit or {}))
        out = {"metrics": str(tmp_path / "a.json"), "ledger": str(tmp_path / "a.parquet")}
        smooth(job, test=str(clean_file), checkpoint=str(checkpoint), **out)
        return read_json(out["metrics"]), read_ledger(out["ledger"])

    return make


def test_the_stage_certifies_the_first_images_the_same_each_time(run, trained, tmp_path):
    figures, ledger = run()
    assert read_cell(tmp_path / "a.parquet") == CELL
    assert (ledger["index"] == np.arange(50)).all()
    assert (ledger["label"] == trained.labels[:50].numpy()).all()
    right = ~ledger["abstained"] & (ledger["prediction"] == ledger["label"])
    assert 40 <= right.sum() == figures["n_correct"]
    assert figures["n_smoothed"] == 50
    assert figures["n_abstained"] == ledger["abstained"].sum()
    assert figures["radius"] == pytest.approx(ledger["radius"][right].sum() / 50)
    assert figures["refused"] is None
    assert (ledger["std"] == 0.1).all()
    again, same = run()
    assert again == figures
    assert all(np.array_equal(same[name], ledger[name]) for name in ledger)


@pytest.mark.parametrize("limit", [{"batch_size": 48}, {"memory_mb": 1}], ids=str)
def test_batches_of_draws_are_as_large_as_the_job_says(run, monkeypatch, limit):
    _, whole = run()
    sizes = []

    def load_counted(*args):
        classifier = load_classifier(*args)
        classifier.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
        return classifier

    monkeypatch.setattr(stage, "load_classifier", load_counted)
    _, parts = run(limit=limit)
    assert 1 < max(sizes) <= limit.get("batch_size", 199)
    for name, values in whole.items():
        np.testing.assert_array_equal(parts[name], values)


@pytest.mark.parametrize(("examples", "n"), [(1, 1), (None, 360), (10_000, 360)])
def test_as_many_images_as_there_are_and_as_are_asked_for(run, examples, n):
    figures, ledger = run(examples=examples, samples=10)
    assert len(ledger["index"]) == figures["n_smoothed"] == n


def test_of_a_filter_that_is_no_noise_nothing_is_certified_and_why(run):
    figures, ledger = run(MEDIAN)
    assert figures["refused"].startswith("the filter starts with Median")
    assert (figures["n_correct"], figures["n_abstained"], figures["radius"]) == (0, 50, 0)
    assert np.isnan(ledger["std"]).all()


# --- The table

DEFENCE = ("digits", "mlp", 0, "noise", Level("std", STD))
ATTACKS = {
    "pgd_l2": Attack("iterative", "l2"),
    "apgd_l2": Attack("iterative", "l2"),
    "pgd": Attack("iterative", "linf"),
    "carlini_wagner": Attack("iterative", None, minimises="l2"),
}


def at(threat="aware", attack="pgd_l2", eps=0.5, name="noise"):
    strength = Level("std", STD) if name == "noise" else Level(None, None)
    return Cell("digits", "mlp", 0, threat, attack, Level("eps", eps), name, strength)


def votes(radius, right=True, std=STD, alpha=ALPHA):
    """What is certified of images with these radii; those of 0 are abstained."""
    radius = np.asarray(radius, float)
    n = len(radius)
    return {
        "index": np.arange(n, dtype=np.int32),
        "label": np.zeros(n, np.int16),
        "prediction": np.where(right, 0, 1).astype(np.int16) * np.ones(n, np.int16),
        "votes": np.zeros(n, np.int32),
        "lower": np.where(radius > 0, norm.cdf(radius / std), 0.3),
        "abstained": radius == 0,
        "radius": radius,
        "std": np.full(n, std),
        "alpha": np.full(n, alpha),
    }


def attacked(fooled, l2=0.5, index=None):
    fooled = np.asarray(fooled, bool)
    index = np.arange(len(fooled)) if index is None else np.asarray(index)
    return {
        "index": index.astype(np.int32),
        "label": np.zeros(len(fooled), np.int16),
        "correct": ~fooled,
        "margin": np.where(fooled, -1, 1).astype(np.float32),
        "l2": np.full(len(fooled), l2, np.float32),
    }


def table(ledgers, smoothed):
    return tabulate_smoothed(
        Scores(
            cells={cell: Scored.of(columns) for cell, columns in ledgers.items()},
            clean={},
            attacks=ATTACKS,
            ledgers=ledgers,
            smoothed=smoothed,
        )
    )


def test_without_smoothing_the_table_is_empty_and_has_its_columns():
    found = table({at(): attacked([True])}, {})
    assert list(found) == COLUMNS
    assert found.empty


def test_certified_accuracy_falls_over_the_budgets_of_the_l2_attacks():
    ledgers = {
        at(eps=0.5): attacked([0, 0, 1, 1]),
        at("blind", eps=0.2): attacked([0, 0, 0, 1]),
        # Of the bare model, and attacks that no ε bounds in ℓ2.
        at("blind", eps=1, name="none"): attacked([1, 1, 1, 1]),
        at(attack="pgd", eps=0.7): attacked([1, 1, 1, 1]),
        at(attack="carlini_wagner", eps=0.8): attacked([1, 1, 1, 1]),
    }
    radii = [0, 0.3, 0.6, 0.6]
    found = table(ledgers, {DEFENCE: votes(radii, [True, True, True, False])})
    assert found["radius"].to_list() == [0, 0.2, 0.5, 1]
    assert (found["n"] == 4).all()
    assert found["n_certified"].to_list() == [2, 2, 1, 0]
    assert found["certified"].to_list() == [0.5, 0.5, 0.25, 0]
    assert found["attack"].isna().to_list() == [True, False, False, True]
    assert found["threat"].to_list()[1:3] == ["blind", "aware"]
    assert found["n_correct"].to_list()[1:3] == [3, 2]
    assert found["accuracy"][2] == 0.5
    assert found["accuracy_low"][2] < 0.5 < found["accuracy_high"][2]
    assert found["accuracy"].isna().to_list() == [True, False, False, True]
    # The mean of Φ((R − ε) / σ) over all images, with nothing for a vote that is wrong.
    lower = [0.3, norm.cdf(0.3 / STD), norm.cdf(0.6 / STD)]
    for row, eps in enumerate([0, 0.2, 0.5, 1]):
        bound = norm.cdf(norm.ppf(lower) - eps / STD).sum() / 4
        assert found["certified_draw"][row] == pytest.approx(bound)


def test_an_attack_is_held_to_the_images_that_it_shares_as_far_as_it_moved_them():
    # It attacked five images, in another order, and one of them twice.
    ledger = attacked([1, 0, 1, 1, 0, 0], index=[5, 3, 1, 0, 0, 2])
    ledger["l2"] = np.array([9, 0.1, 0.2, 0.3, 9, 0.4], np.float32)
    known = votes([0.6, 0.6, 0.3, 0.6, 0.6], [True, True, False, True, True])
    (row,) = [
        one
        for one in table({at(): ledger}, {DEFENCE: known}).to_dict("records")
        if one["threat"] == "aware"
    ]
    assert (row["n"], row["n_attacked"], row["n_correct"]) == (5, 4, 2)
    assert (row["n_held"], row["n_fooled"]) == (3, 2)
    allowed = 1 - norm.cdf((0.6 - np.array([0.1, 0.2, 0.3])) / STD)
    assert row["fooled_at_most"] == pytest.approx(allowed.sum())
    assert row["p_value"] == pytest.approx(bound_chance(2, allowed, ALPHA))


def test_where_nothing_is_certified_nothing_is_contradicted():
    refused = know_nothing(torch.zeros(4, dtype=torch.long), ALPHA)
    (_, row) = table({at(): attacked([1, 1, 1, 1])}, {DEFENCE: refused}).to_dict("records")
    assert (row["n_certified"], row["certified_draw"], row["n_held"], row["n_correct"]) == (
        0,
        0,
        0,
        0,
    )
    assert row["p_value"] == 1


def exact_tail(shares, alpha, fooled):
    """The probability of as many successes, of trials with these shares or α."""
    pmf = np.ones(1)
    for share in shares:
        either = 1 - (1 - share) * (1 - alpha)
        pmf = np.convolve(pmf, [1 - either, either])
    return pmf[fooled:].sum()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.sampled_from([0.0, 0.001, 0.05]))
def test_the_probability_of_so_many_fooled_draws_is_bounded(shares, alpha):
    for fooled in range(len(shares) + 1):
        bound = bound_chance(fooled, np.array(shares), alpha)
        assert exact_tail(shares, alpha, fooled) <= bound + 1e-12
        assert bound <= 1


def test_what_cannot_be_chance_is_improbable():
    allowed = np.full(400, 0.1)
    assert bound_chance(40, allowed, ALPHA) == 1
    assert bound_chance(55, allowed, ALPHA) > 0.001
    assert bound_chance(75, allowed, ALPHA) < 1e-5
    assert bound_chance(0, allowed, ALPHA) == bound_chance(0, np.empty(0), ALPHA) == 1
    # One draw that was impossible may be a certificate that is wrong; ten are not.
    assert bound_chance(1, np.zeros(400), ALPHA) > 0.3
    assert bound_chance(10, np.zeros(400), ALPHA) < 1e-6


def test_certificates_that_hold_pass_and_that_do_not_fail():
    """A linear classifier, moved by an attack at its worst."""
    model, images, distance = plane()
    normal = images[-1] - images[0]
    normal /= normal.norm()
    labels = torch.from_numpy(distance > 0).long()
    images, labels = images.repeat(8, 1, 1, 1), labels.repeat(8)
    found = certified(noise(seed=3), model, images, labels, samples=1000)
    moved = images - 0.3 * normal * (2 * labels - 1).view(-1, 1, 1, 1)
    fooled = model(noise(seed=4)(moved)).argmax(1).ne(labels).numpy()
    ledger = attacked(fooled, l2=0.3)
    rows = table({at(eps=0.3): ledger}, {DEFENCE: found})
    assert rows["p_value"][1] > 0.05
    # The bound is what happens, but for what is lost to confidence.
    assert rows["n_fooled"][1] > 0.75 * rows["fooled_at_most"][1]
    # An attack that goes farther than it says is found out.
    farther = {at(eps=0.3): {**ledger, "l2": np.zeros(len(fooled), np.float32)}}
    assert table(farther, {DEFENCE: found})["p_value"][1] < 1e-4


# --- The figure


def drawn(rows, tmp_path, failed=()):
    """The panels that are drawn of a table: title, and the lines by their label."""
    paths = {name: str(tmp_path / f"{name}.csv") for name in ("smoothed", "checks")}
    write_table(paths["smoothed"], rows)
    verdicts = [
        Verdict("smoothing_holds", {"filter": name}, "fail", 0, 0.001, "") for name in failed
    ] or [Verdict("smoothing_holds", {}, "pass", 1, 0.001, "")]
    write_table(paths["checks"], tabulate_verdicts(verdicts))
    data = FigureData({"dataset": "digits", "model": "mlp"}, {"norms": {}}, paths)
    figure = certified_by_radius(data)
    return {
        axes.get_title(): {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
        for axes in figure.axes
    }


def test_the_figure_has_what_is_certified_and_the_strongest_attack(tmp_path):
    ledgers = {
        at(eps=0.0): attacked([0, 0, 0, 0]),
        at(eps=0.5): attacked([0, 0, 1, 1]),
        at("blind", eps=0.5): attacked([0, 0, 0, 1]),
        at(attack="apgd_l2", eps=0.5): attacked([0, 1, 1, 1]),
    }
    other = (*DEFENCE[:3], "quiet", Level("std", 0.25))
    known = {DEFENCE: votes([0, 0.3, 0.6, 0.6]), other: votes([0.3] * 4)}
    rows = table(ledgers, known)
    panels = drawn(rows, tmp_path)
    assert list(panels) == ["noise, std = 0.5", "quiet, std = 0.25"]
    lines = panels["noise, std = 0.5"]
    assert lines["vote, certified"] == [[0, 0.75], [0.5, 0.5]]
    assert lines["one draw, aware attack"] == [[0, 1], [0.5, 0.25]]
    assert lines["one draw, blind attack"] == [[0.5, 0.75]]
    of_draw = rows[rows["filter"] == "noise"].groupby("radius")["certified_draw"].first()
    assert lines["one draw, certified"] == pytest.approx(np.column_stack([[0, 0.5], of_draw]))
    assert not [label for label in panels["quiet, std = 0.25"] if "attack" in label]
    # What is contradicted is crossed out.
    crossed = drawn(rows, tmp_path, failed=["quiet"])
    assert len(crossed["quiet, std = 0.25"]) > len(panels["quiet, std = 0.25"])
    assert len(crossed["noise, std = 0.5"]) == len(lines)


def test_without_certified_votes_the_figure_says_so(tmp_path):
    assert drawn(table({}, {}), tmp_path) == {}
