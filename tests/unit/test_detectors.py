import copy
import json
import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from epsigma.detectors.build import build_detector, score_images
from epsigma.detectors.divergence import Divergence
from epsigma.detectors.reconstruction import Reconstruction
from epsigma.detectors.squeezing import Squeezing
from epsigma.device import CPU
from epsigma.filters.bitdepth import BitDepth
from epsigma.filters.median import Median
from epsigma.filters.surrogate import Bpda
from epsigma.models.classifier import load_classifier
from epsigma.registry.detectors import DETECTORS
from epsigma.stages import calibrate as stage
from epsigma.stages.calibrate import calibrate
from epsigma.storage.files import read_json
from epsigma.storage.images import ImageSet, read_clean, write_tensors
from epsigma.training.lightning import split_validation
from epsigma.training.validation import split
from scipy.spatial.distance import jensenshannon
from torch import nn


class Given(nn.Module):
    """A classifier whose logits are its images."""

    def forward(self, images):
        return images.flatten(1)


class Always(nn.Module):
    """An autoencoder, or a filter, that returns the same image of whatever it is given."""

    def __init__(self, values):
        super().__init__()
        self.values = torch.as_tensor(values)

    def forward(self, images):
        return self.values.expand_as(images)


class Mean(nn.Module):
    """An autoencoder that has learnt grey images; its parameters are what one has."""

    def __init__(self, shape=None):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, images):
        return self.gain * images.mean((1, 2, 3), keepdim=True).expand_as(images)


def rows(*values):
    """Images of one row, which are logits, too."""
    return torch.tensor(values)[:, None, None]


def asked(detector, images, model=None):
    model = Given() if model is None else model
    return detector(images, model(images), model)


# --- MagNet's reconstruction error


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        # |0.5|, |−0.25|, |0|, |0.25| of each four, and their squares.
        (1, [0.25, 0.0]),
        (2, [0.09375, 0.0]),
    ],
)
def test_the_reconstruction_error_is_the_mean_over_the_values(p, expected):
    given = rows([0.75, 0.0, 0.25, 0.5], [0.25, 0.25, 0.25, 0.25])
    detector = Reconstruction(autoencoder=Always(0.25), p=p)
    assert asked(detector, given).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("p", [0, 3, 1.5])
def test_another_power_is_refused(p):
    with pytest.raises(ValueError, match=f"^p = {p} is neither 1 nor 2$"):
        Reconstruction(autoencoder=Always(0.0), p=p)


def test_the_reconstruction_error_does_not_ask_the_classifier():
    class Unasked(nn.Module):
        def forward(self, images):
            raise AssertionError("asked")

    given = rows([0.5, 0.5])
    detector = Reconstruction(autoencoder=Always(0.0))
    assert detector(given, torch.zeros(1, 2), Unasked()).item() == 0.5


# --- MagNet's divergence


def logits_of(*probabilities):
    return np.log(np.array(probabilities)).tolist()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([0.75, 0.25], [0.25, 0.75]),
        ([0.9, 0.05, 0.05], [0.2, 0.3, 0.5]),
        ([0.999, 0.001], [0.5, 0.5]),
        ([0.4, 0.6], [0.4, 0.6]),
    ],
)
def test_the_divergence_is_jensen_s_and_shannon_s_in_nats_and_symmetric(one, other):
    expected = jensenshannon(one, other) ** 2
    for here, there in ((one, other), (other, one)):
        given = rows(logits_of(*here)).float()
        detector = Divergence(autoencoder=Always(rows(logits_of(*there)).float()), temperature=1)
        assert asked(detector, given).item() == pytest.approx(expected, abs=1e-6)


def test_the_divergence_is_of_logits_divided_by_the_temperature():
    given, other = rows([4.0, 0.0]), rows([0.0, 4.0])
    found = [
        asked(Divergence(autoencoder=Always(other), temperature=temperature), given).item()
        for temperature in (1, 10, 40)
    ]
    one, two = 1 / (1 + math.exp(-0.4)), 1 / (1 + math.exp(0.4))
    assert found[1] == pytest.approx(jensenshannon([one, two], [two, one]) ** 2, abs=1e-6)
    assert found[0] > found[1] > found[2] > 0


def test_the_divergence_goes_from_0_to_log_2():
    opposed, same = rows([1e4, -1e4]), rows([-1e4, 1e4])
    for other, expected in ((same, math.log(2)), (opposed, 0.0)):
        detector = Divergence(autoencoder=Always(other), temperature=1)
        assert asked(detector, opposed).item() == pytest.approx(expected, abs=1e-7)
    generator = torch.Generator().manual_seed(0)
    given, other = (20 * torch.randn(500, 1, 1, 10, generator=generator) for _ in range(2))
    for temperature in (0.01, 1, 100):
        found = asked(Divergence(autoencoder=Always(other), temperature=temperature), given)
        assert found.min() >= 0
        assert found.max() <= math.log(2) + 1e-6
        # Rounding is what remains of an answer that does not change.
        unmoved = asked(Divergence(autoencoder=Always(given), temperature=temperature), given)
        assert unmoved.max() < 1e-6


@pytest.mark.parametrize("temperature", [0, -1])
def test_a_temperature_that_is_not_positive_is_refused(temperature):
    with pytest.raises(ValueError, match=f"^temperature = {temperature} is not positive$"):
        Divergence(autoencoder=Always(0.0), temperature=temperature)


# --- Feature squeezing


@pytest.mark.parametrize(
    ("squeezed", "expected"),
    [
        # ‖(¾, ¼) − (½, ½)‖₁ and ‖(¾, ¼) − (¼, ¾)‖₁.
        ([[0.5, 0.5]], 0.5),
        ([[0.25, 0.75]], 1.0),
        ([[0.5, 0.5], [0.25, 0.75]], 1.0),
        ([[0.25, 0.75], [0.5, 0.5], [0.75, 0.25]], 1.0),
        ([[0.75, 0.25]], 0.0),
    ],
)
def test_squeezing_scores_by_the_squeezer_that_moves_the_answer_most(squeezed, expected):
    filters = [Always(rows(logits_of(*values)).float()) for values in squeezed]
    given = rows(logits_of(0.75, 0.25)).float()
    assert asked(Squeezing(filters=filters), given).item() == pytest.approx(expected, abs=1e-6)


def test_squeezing_takes_the_largest_for_each_image():
    given = rows([0.0, 0.0], [0.0, 1e4])
    filters = [Always(rows([1e4, 0.0])), Always(rows([0.0, 1e4]))]
    # From (½, ½) to either corner it is 1, from one corner to the other 2.
    assert asked(Squeezing(filters=filters), given).tolist() == pytest.approx([1, 2])


def test_squeezing_goes_from_0_to_2(trained):
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(trained.images.shape, generator=generator)
    detector = Squeezing(filters=[BitDepth(bits=1), Median(size=3), Always(noise)])
    found = asked(detector, trained.images, trained.model)
    assert found.min() >= 0
    assert 1 < found.max() <= 2 + 1e-6


def test_squeezing_has_a_gradient_where_the_classifier_is_sure_of_both_answers(trained, settings):
    # So sure that softmax in single precision has none.
    def sure(images):
        return 1e3 * trained.model(images)

    detector = build_detector(settings("squeezing"), CPU)
    x = trained.images.clone().requires_grad_()
    found = detector(x, sure(x), sure)
    # What is scored does not depend on whether a gradient is wanted.
    assert torch.equal(found, asked(detector, trained.images, sure))
    (gradient,) = torch.autograd.grad(found.sum(), x)
    assert torch.isfinite(gradient).all()
    assert (gradient != 0).flatten(1).any(1).all()
    # It goes where the squeezed image is answered as the image is.
    plain = build_detector(settings("squeezing"), CPU)
    softer = plain(x, trained.model(x), trained.model)
    (expected,) = torch.autograd.grad(softer.sum(), x)
    torch.testing.assert_close(gradient, expected, atol=1e-4, rtol=1e-2)


def test_no_squeezer_is_refused():
    with pytest.raises(ValueError, match="there is no squeezer"):
        Squeezing(filters=[])


# --- All detectors

SETTINGS = {
    "reconstruction": {"p": 1},
    "divergence": {"temperature": 10},
    "squeezing": {
        "filters": [
            {
                "implementation": "epsigma.filters.bitdepth:BitDepth",
                "parameters": {"bits": 1},
                "gradient": "bpda",
            },
            {
                "implementation": "epsigma.filters.median:Median",
                "parameters": {"size": 3},
                "gradient": "bpda",
            },
        ]
    },
}


@pytest.fixture
def autoencoder(tmp_path):
    """How to make an autoencoder, and its checkpoint."""
    path = tmp_path / "autoencoder.ckpt"
    weights = {f"model.{name}": value for name, value in Mean().state_dict().items()}
    torch.save({"state_dict": weights, "hyper_parameters": {"shape": [1, 8, 8]}}, path)
    made = {"implementation": f"{__name__}:Mean", "parameters": {}, "checkpoint": str(path)}
    return {"autoencoder": "mean", **made}


@pytest.fixture
def settings(autoencoder):
    """How to make a detector of each kind."""

    def settings(kind):
        needs = {DETECTORS[kind].autoencoder: autoencoder} if DETECTORS[kind].autoencoder else {}
        parameters = {**copy.deepcopy(SETTINGS[kind]), **needs}
        return {"implementation": DETECTORS[kind].implementation, "parameters": parameters}

    return settings


@pytest.mark.parametrize("kind", DETECTORS)
def test_every_detector_scores_images_one_by_one_and_at_least_0(trained, settings, kind):
    detector = build_detector(settings(kind), CPU)
    assert not detector.training
    together = score_images(detector, trained.images, trained.model)
    assert together.shape == (360,)
    assert together.min() >= 0
    assert together.std() > 0
    alone = [score_images(detector, image[None], trained.model) for image in trained.images[:20]]
    torch.testing.assert_close(torch.cat(alone), together[:20], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", DETECTORS)
def test_every_detector_s_score_has_a_gradient_to_follow(trained, settings, kind):
    detector = build_detector(settings(kind), CPU)
    x = trained.images.clone().requires_grad_()
    found = detector(x, trained.model(x), trained.model)
    (gradient,) = torch.autograd.grad(found.sum(), x)
    assert torch.isfinite(gradient).all()
    assert (gradient != 0).flatten(1).any(1).double().mean() > 0.95
    # It says where the score falls.
    with torch.no_grad():
        lower = (x - 1e-4 * gradient.sign()).clamp(0, 1)
        after = detector(lower, trained.model(lower), trained.model)
    assert (after < found).double().mean() > (0.7 if kind == "squeezing" else 0.95)


def test_squeezers_are_attacked_by_bpda_and_score_as_they_are(trained, settings):
    made, plain = (
        build_detector(settings("squeezing"), CPU),
        Squeezing(filters=[BitDepth(bits=1), Median(size=3)]),
    )
    assert all(isinstance(one, Bpda) for one in made.filters)
    expected = asked(plain, trained.images, trained.model)
    assert torch.equal(asked(made, trained.images, trained.model), expected)

    def through_squeezer(detector):
        detector.filters = detector.filters[:1]
        x = trained.images.clone().requires_grad_()
        answer = trained.model(trained.images)
        return torch.autograd.grad(detector(x, answer, trained.model).sum(), x)[0]

    # Of rounding itself there is no gradient.
    assert not through_squeezer(plain).any()
    assert through_squeezer(made).any()


def test_a_squeezer_that_nobody_has_said_how_to_attack_scores_and_is_not_differentiated(
    trained, settings
):
    unknown = settings("squeezing")
    unknown["parameters"]["filters"][0]["gradient"] = None
    detector, known = build_detector(unknown, CPU), build_detector(settings("squeezing"), CPU)
    expected = score_images(known, trained.images, trained.model)
    assert torch.equal(score_images(detector, trained.images, trained.model), expected)
    x = trained.images.clone().requires_grad_()
    with pytest.raises(ValueError, match="BitDepth is declared neither differentiable nor handled"):
        asked(detector, x, trained.model)


# --- Thresholds


@pytest.fixture
def train_file(tmp_path, trained):
    """The digits that the fixtures have, as training images."""
    path = tmp_path / "train.safetensors"
    images = (trained.images * 255).round().byte()
    write_tensors(path, {"images": images, "labels": trained.labels}, {"classes": "10"})
    return path


@pytest.fixture
def calibrated(tmp_path, trained, train_file, checkpoint, make_job, settings):
    """Calibrate a detector: what was written."""

    def calibrated(kind, *, rate, validation=0.5, seed=3, batch_size=None):
        job = make_job(
            {
                "model": trained.settings,
                "detector": settings(kind) if isinstance(kind, str) else kind,
                "rate": rate,
                "validation": validation,
                "seed": seed,
            },
            detector=kind if isinstance(kind, str) else "own",
        )
        path = tmp_path / "threshold.json"
        given = {"images": str(train_file), "checkpoint": str(checkpoint)}
        calibrate(replace(job, batch_size=batch_size), **given, threshold=str(path))
        return read_json(path)

    return calibrated


@pytest.mark.parametrize("rate", [0, 0.001, 0.01, 0.05, 0.1, 0.5, 0.99])
@pytest.mark.parametrize("kind", DETECTORS)
def test_at_most_the_rate_of_the_held_out_images_is_rejected(
    calibrated, settings, trained, train_file, kind, rate
):
    found = calibrated(kind, rate=rate)
    rows, _ = split(360, fraction=0.5, seed=3)
    images = read_clean(train_file, CPU).images[rows]
    scores = score_images(build_detector(settings(kind), CPU), images, trained.model)
    assert found["n"] == 180
    assert found["rejected"] == int((scores > found["threshold"]).sum()) <= rate * 180
    assert found["median"] == pytest.approx(float(scores.median()))
    # No lower threshold would do: the next score below it would be one too many.
    below = scores[scores < found["threshold"]].max()
    assert int((scores > below).sum()) > rate * 180


@pytest.mark.parametrize("kind", DETECTORS)
def test_a_threshold_is_found_in_batches_as_large_as_the_job_says(calibrated, monkeypatch, kind):
    whole, sizes = calibrated(kind, rate=0.05), []

    def load_counted(*args):
        classifier = load_classifier(*args)
        classifier.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
        return classifier

    monkeypatch.setattr(stage, "load_classifier", load_counted)
    parts = calibrated(kind, rate=0.05, batch_size=32)
    assert max(sizes) == 32
    assert parts == whole | {name: pytest.approx(whole[name]) for name in ("threshold", "median")}


@pytest.mark.parametrize(("rate", "expected"), [(0.004, 0), (0.006, 1), (0.05, 9), (0.35, 63)])
def test_of_few_images_the_rate_may_allow_none(calibrated, rate, expected):
    found = calibrated("reconstruction", rate=rate)
    assert found["rejected"] == expected


def test_a_detector_that_draws_has_one_threshold_whatever_was_drawn_before(
    calibrated, settings, tmp_path
):
    noisy = settings("squeezing")
    noise = {"implementation": "epsigma.filters.noise:GaussianNoise", "parameters": {"std": 0.2}}
    noisy["parameters"]["filters"] = [{**noise, "gradient": "exact", "random": True}]
    written = []
    for seed in range(3):
        torch.manual_seed(seed)
        calibrated(noisy, rate=0.05)
        written.append((tmp_path / "threshold.json").read_bytes())
    assert len(set(written)) == 1


def test_few_images_leave_none_to_set_a_threshold_on(calibrated):
    with pytest.raises(ValueError, match=r"0.001 of 360 images leaves 360 .* and 0 to validate on"):
        calibrated("reconstruction", rate=0.05, validation=0.001)


def test_the_threshold_says_what_it_is_of(calibrated, tmp_path):
    found = calibrated("divergence", rate=0.05)
    assert found["cell"] == {"detector": "divergence"}
    assert found["rate"] == 0.05
    written = (tmp_path / "threshold.json").read_text()
    # In JSON as in the scores' own precision: the image that sets it is not above it.
    assert np.float32(json.loads(written)["threshold"]) == found["threshold"]


def test_another_seed_holds_other_images_out(calibrated):
    one, two = (calibrated("reconstruction", rate=0.05, seed=seed) for seed in (3, 4))
    assert one["median"] != two["median"]


# --- The images that are held out


def numbered(n):
    """Images and labels that say which they are."""
    return ImageSet(torch.arange(n, dtype=torch.float32).view(n, 1, 1, 1), torch.arange(n))


@pytest.mark.parametrize("seed", [0, 1, 4294967295])
@pytest.mark.parametrize(("n", "fraction"), [(100, 0.1), (1437, 0.1), (10, 0.5), (3, 0.4)])
def test_thresholds_are_set_on_what_training_held_out(n, fraction, seed):
    _, validation = split_validation(numbered(n), fraction=fraction, seed=seed)
    rows, _ = split(n, fraction=fraction, seed=seed)
    assert torch.equal(rows, validation.labels)
    assert len(rows.unique()) == len(rows)


def test_what_a_smaller_fraction_holds_out_a_larger_one_does_too():
    fractions = (0.01, 0.1, 0.25, 0.5)
    found = [set(split(500, fraction=fraction, seed=7)[0].tolist()) for fraction in fractions]
    for fraction, rows in zip(fractions, found, strict=True):
        assert len(rows) == 500 * fraction
    for smaller, larger in pairwise(found):
        assert smaller < larger
    # So what the smallest holds out none of them has learnt from.
    for fraction in fractions:
        learn, _ = split_validation(numbered(500), fraction=fraction, seed=7)
        assert not found[0] & set(learn.labels.tolist())
