import io
import math
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from epsigma.filters.bitdepth import BitDepth
from epsigma.filters.build import apply_filter, build_filter
from epsigma.filters.frequency import (
    DC,
    POST,
    SHAPES,
    BandPass,
    HighPass,
    LowPass,
    fourier_basis,
    profile,
    radial_frequency,
)
from epsigma.filters.gaussian import BORDERS, Gaussian, gaussian_operator, kernel_radius
from epsigma.filters.jpeg import Jpeg
from epsigma.filters.median import Median
from epsigma.filters.noise import GaussianNoise
from epsigma.filters.none import Identity
from epsigma.filters.reformer import Reformer
from epsigma.loading import load
from epsigma.randomness import seeded_generator
from epsigma.registry.filters import FILTERS
from epsigma.stages.filter import filter_set
from epsigma.storage.images import ImageSet, read_image_set, write_image_set
from filter_cases import CASES
from kornia.enhance import jpeg_codec_differentiable
from kornia.filters import gaussian_blur2d
from PIL import Image
from scipy import ndimage, stats
from untrained import any_components, autoencoder

CPU = torch.device("cpu")
PAPER = Path(__file__).parents[2] / "config" / "paper.yaml"
SIGMAS = next(
    block["sigma"]
    for block in yaml.safe_load(PAPER.read_text(encoding="utf-8"))["filters"]
    if block["kind"] == "gaussian"
)

# Height and width: odd, even, not square, a single row.
SIZES = [(28, 28), (8, 8), (7, 7), (9, 14), (14, 9), (1, 5)]


def make(kind, **parameters):
    """Make a filter of a kind, with the configuration's defaults."""
    schema = FILTERS[kind].schemas
    defaults = {name: inner["default"] for name, inner in schema.items() if "default" in inner}
    if needs := FILTERS[kind].autoencoder:
        defaults[needs] = any_components() if kind == "pca" else autoencoder()
    return load(FILTERS[kind].implementation)(**{**defaults, **parameters})


def images(*shape, seed=0, dtype=torch.float32):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def eight_bit(*shape, dtype=torch.float32):
    """Images of 256 levels, as a data set's are."""
    return (images(*shape, dtype=dtype) * 255).round() / 255


def wave(size, turns, *, phase=0.0):
    """A cosine of so many turns down and across, around 0, and its frequency."""
    (height, width), (down, across) = size, turns
    y = torch.arange(height, dtype=torch.float64)[:, None]
    x = torch.arange(width, dtype=torch.float64)
    angle = 2 * math.pi * (down * y / height + across * x / width)
    return torch.cos(angle + phase)[None, None], math.hypot(down / height, across / width)


def kind_cases(cases):
    return [
        pytest.param(kind, parameters, id=f"{kind}-{'-'.join(map(str, parameters.values()))}")
        for kind, parameters in cases
    ]


# They change nothing.
IDENTITY = ("none", "identity")
LINEAR = [
    ("none", {}),
    ("identity", {}),
    *(("gaussian", {"sigma": sigma}) for sigma in (0.3, 1, 2.5, 20)),
    *(("gaussian", {"sigma": 1, "border": border}) for border in BORDERS),
    ("gaussian", {"sigma": 1.5, "truncate": 1.5}),
    *(
        (kind, {"cutoff": 0.2, "shape": shape})
        for kind in ("lowpass", "highpass", "bandpass")
        for shape in SHAPES
    ),
    ("lowpass", {"cutoff": 0.2, "dc": "drop"}),
    ("highpass", {"cutoff": 0.2, "dc": "keep"}),
    ("bandpass", {"cutoff": 0.1, "width": 0.3, "dc": "keep"}),
]
NOT_LINEAR = [
    ("highpass", {"cutoff": 0.05, "post": "clip"}),
    ("highpass", {"cutoff": 0.05, "post": "rescale"}),
    ("lowpass", {"cutoff": 0.3, "shape": "butterworth", "post": "rescale"}),
]
NOT_DIFFERENTIABLE = [
    ("bitdepth", {"bits": 1}),
    ("bitdepth", {"bits": 5}),
    ("median", {"size": 3, "border": "replicate"}),
    ("median", {"size": 5, "border": "constant"}),
    ("median", {"size": 2, "border": "circular"}),
]
# Neither differentiable nor of each channel alone.
MIXING = [("jpeg", {"quality": quality}) for quality in (10, 75)]
RECONSTRUCTING = [("reformer", {"passes": passes}) for passes in (1, 2)]
RANDOM = [("noise", {"std": 0.1})]
FIXED = LINEAR + NOT_LINEAR + NOT_DIFFERENTIABLE + MIXING + RECONSTRUCTING

FREQUENCY = ("lowpass", "highpass", "bandpass")
# Every kind that does not draw, with all that its options may be.
COMBINED = [
    ("none", {}),
    ("identity", {}),
    *(
        ("gaussian", {"sigma": sigma, "truncate": truncate, "border": border})
        for sigma, truncate, border in product((0.3, 1, 2.5, 20), (1.5, 4), BORDERS)
    ),
    *(
        (kind, {"cutoff": 0.2, "shape": shape, "order": order, "dc": dc, "post": post})
        for kind, shape, dc, post in product(FREQUENCY, SHAPES, DC, POST)
        for order in ((1, 3) if shape == "butterworth" else (2,))
    ),
    *(("bitdepth", {"bits": bits}) for bits in (1, 2, 5, 8, 16)),
    *(("jpeg", {"quality": quality}) for quality in (1, 10, 25, 49, 50, 75, 90, 95, 98, 100)),
    *(
        ("median", {"size": size, "border": border})
        for size, border in product((2, 3, 4, 5, 7), BORDERS)
    ),
    *(("reformer", {"passes": passes}) for passes in (1, 2, 5)),
    *(("pca", {"components": components}) for components in (1, 9)),
    *((kind, case) for kind, case in CASES.items() if not FILTERS[kind].random),
]


# --- All filters


@pytest.mark.parametrize(("kind", "parameters"), kind_cases(COMBINED))
def test_a_filter_is_what_its_formula_says(kind, parameters):
    module = make(kind, **parameters)
    # The last is too large for matrices.
    for size in [(9, 14), (28, 28), (12, 97)]:
        # The same values in either precision.
        given = eight_bit(2, 3, *size).double()
        expected = module.formula(given)
        allowed = 1e-5 + module.tolerance
        torch.testing.assert_close(module(given), expected, atol=allowed, rtol=0)
        # In the precision of the workflow.
        single = module(given.float()).double()
        torch.testing.assert_close(single, expected, atol=allowed, rtol=0)


def test_every_kind_that_does_not_draw_is_held_against_its_formula():
    assert {kind for kind, _ in COMBINED} == {
        name for name, kind in FILTERS.items() if not kind.random
    }


@pytest.mark.parametrize(
    ("kind", "parameters"), kind_cases([case for case in LINEAR if case[0] not in IDENTITY])
)
def test_a_response_is_the_transform_of_an_impulse_response(kind, parameters):
    module = make(kind, **parameters)
    # Large enough for the widest kernel, of σ = 20, not to reach the border.
    for height, width in [(164, 165), (171, 166)]:
        impulse = torch.zeros(1, 1, height, width, dtype=torch.float64)
        impulse[0, 0, height // 2, width // 2] = 1
        centred = module(impulse)[0, 0].roll((-(height // 2), -(width // 2)), dims=(0, 1))
        for along in (centred, centred.T):
            spectrum = torch.fft.rfft2(along)[0]
            f = torch.fft.rfftfreq(along.shape[1], dtype=torch.float64)
            torch.testing.assert_close(spectrum.real, module.response(f), atol=1e-6, rtol=0)
            torch.testing.assert_close(spectrum.imag, torch.zeros_like(f), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("kind", "parameters"), kind_cases(FIXED))
def test_only_what_is_linear_has_a_response_that_says_all(kind, parameters):
    module = make(kind, **parameters)
    assert module.is_linear == ((kind, parameters) in LINEAR)
    if (kind, parameters) in NOT_DIFFERENTIABLE + MIXING + RECONSTRUCTING:
        assert module.response(torch.tensor([0.0, 0.25])) is None


@pytest.mark.parametrize(("kind", "parameters"), kind_cases(LINEAR + NOT_LINEAR))
def test_a_periodic_filter_goes_round_with_the_image_and_another_does_not(kind, parameters):
    module, given = make(kind, **parameters), images(2, 1, 20, 20, dtype=torch.float64)
    by = {"shifts": (3, 7), "dims": (2, 3)}
    off = (module(given.roll(**by)) - module(given).roll(**by)).abs().max()
    if module.is_periodic or kind in IDENTITY or parameters.get("border") == "circular":
        assert off < 1e-9
    else:
        assert off > 1e-3


@pytest.mark.parametrize(("kind", "parameters"), kind_cases(FIXED + RANDOM))
def test_a_filter_says_how_far_its_draws_deviate(kind, parameters):
    module, given = make(kind, **parameters), images(2, 1, 8, 8)
    draws = torch.stack([module(given) for _ in range(200)]).double()
    assert draws.std(0).square().mean().sqrt().item() == pytest.approx(module.deviation, rel=0.03)
    # Of a random filter, the formula is the mean.
    off = (draws.mean(0) - module.formula(given.double())).abs().max()
    assert off < 1e-5 + 5 * module.deviation / 200**0.5
    assert (module.deviation > 0) == FILTERS[kind].random


@pytest.mark.parametrize(("kind", "parameters"), kind_cases(FIXED + RANDOM))
def test_shape_and_dtype_are_kept_and_the_input_is_not_modified(kind, parameters):
    for shape, dtype in product(
        [(2, 1, 28, 28), (3, 3, 9, 14), (1, 1, 1, 5)], [torch.float32, torch.float64]
    ):
        given = images(*shape, dtype=dtype)
        before = given.clone()
        filtered = make(kind, **parameters)(given)
        assert (filtered.shape, filtered.dtype) == (given.shape, given.dtype)
        assert torch.isfinite(filtered).all()
        assert torch.equal(given, before)


@pytest.mark.parametrize(("kind", "parameters"), kind_cases(LINEAR + NOT_LINEAR + RECONSTRUCTING))
def test_the_gradient_is_that_of_finite_differences(kind, parameters):
    # Of a size that no other test uses: what filters keep between calls is made here.
    given = images(1, 2, 5, 6, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(make(kind, **parameters), given)


# An aware attacker differentiates through the filter, in the process that filtered before. Where
# the gradient is not to be that of the filter itself, it is tested with the threats.
@pytest.mark.parametrize(
    "kind", sorted(name for name, kind in FILTERS.items() if kind.gradient == "exact")
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("size", [(11, 13), (11, 130)], ids=["small", "large"])
def test_a_filter_that_the_workflow_applied_is_still_differentiable(kind, size, dtype):
    swept = FILTERS[kind].swept
    value = 2 if swept in ("passes", "radius", "levels", "components") else 0.2
    module = make(kind, **({swept: value} if swept else {}))
    given = images(2, 1, *size, dtype=dtype)
    apply_filter(module, given)
    given.requires_grad_()
    (gradient,) = torch.autograd.grad(module(given).square().sum(), given)
    assert torch.isfinite(gradient).all()
    assert gradient.abs().max() > 0


@pytest.mark.parametrize(("kind", "parameters"), kind_cases(LINEAR))
def test_linear_filters_are_linear(kind, parameters):
    module = make(kind, **parameters)
    one, other = images(2, 3, 9, 14, seed=1).double(), images(2, 3, 9, 14, seed=2).double()
    torch.testing.assert_close(
        module(2 * one - 3 * other), 2 * module(one) - 3 * module(other), atol=1e-9, rtol=0
    )


@pytest.mark.parametrize(("kind", "parameters"), kind_cases(FIXED))
def test_the_batch_size_changes_nothing(monkeypatch, kind, parameters):
    module, given = make(kind, **parameters), images(7, 3, 9, 14)
    together = apply_filter(module, given)
    for batch in (1, 3):
        monkeypatch.setattr("epsigma.storage.batches.BATCH", batch)
        torch.testing.assert_close(apply_filter(module, given), together, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("kind", "parameters"), kind_cases(LINEAR + NOT_DIFFERENTIABLE))
def test_filters_take_each_channel_alone(kind, parameters):
    module, given = make(kind, **parameters), images(2, 3, 9, 14)
    alone = torch.cat([module(channel) for channel in given.split(1, dim=1)], dim=1)
    torch.testing.assert_close(module(given), alone, atol=1e-6, rtol=0)


def test_without_a_filter_the_images_are_the_same():
    given = images(2, 1, 8, 8)
    assert torch.equal(Identity()(given), given)


@pytest.mark.parametrize(
    ("construct", "said"),
    [
        (lambda: Gaussian(sigma=0), "sigma = 0 is not positive; σ = 0 is the filter `none`"),
        (lambda: Gaussian(sigma=-1), "sigma = -1 is not positive"),
        (lambda: Gaussian(sigma=1, truncate=0), "truncate = 0 is not positive"),
        (lambda: Gaussian(sigma=1, border="mirror"), "border = 'mirror' is none of reflect"),
        (lambda: LowPass(cutoff=0, dc="keep"), "cutoff = 0 is not positive"),
        (lambda: HighPass(cutoff=-0.1, dc="keep"), "cutoff = -0.1 is not positive"),
        (lambda: LowPass(cutoff=0.1, dc="keep", order=0), "order = 0 is less than 1"),
        (lambda: LowPass(cutoff=0.1, dc="keep", shape="box"), "shape = 'box' is none of ideal"),
        (lambda: LowPass(cutoff=0.1, dc="zero"), "dc = 'zero' is none of drop, keep"),
        (lambda: LowPass(cutoff=0.1, dc="keep", post="wrap"), "post = 'wrap' is none of none"),
        (lambda: BandPass(cutoff=0.1, dc="keep", width=0), "width = 0 is not positive"),
        (lambda: BitDepth(bits=0), "bits = 0 is less than 1"),
        (lambda: Jpeg(quality=0), "quality = 0 is not within 1 and 100"),
        (lambda: Jpeg(quality=101), "quality = 101 is not within 1 and 100"),
        (
            lambda: Reformer(passes=0, autoencoder=Identity()),
            "passes = 0 is less than 1",
        ),
        (lambda: Median(size=0), "size = 0 is less than 1"),
        (lambda: Median(size=-1), "size = -1 is less than 1"),
        (lambda: GaussianNoise(std=0), "std = 0 is not positive"),
    ],
)
def test_an_argument_out_of_range_is_refused(construct, said):
    with pytest.raises(ValueError, match=said):
        construct()


# --- The Gaussian


@pytest.mark.parametrize(
    ("sigma", "truncate", "side", "radius"),
    [
        (1, 4, 28, 4),
        (0.3, 4, 28, 2),
        (1.25, 4, 28, 5),
        (1.1, 4, 28, 5),
        (3, 4, 28, 12),
        (2.5, 2, 28, 5),
        (0.01, 4, 28, 1),
        (6.75, 4, 28, 27),
        (10, 4, 28, 27),
        (10, 4, 8, 7),
        (1, 4, 1, 0),
    ],
)
def test_the_kernel_s_radius_is_rounded_up_and_ends_at_the_side_less_one(
    sigma, truncate, side, radius
):
    assert kernel_radius(sigma, truncate, side) == radius


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize(("size", "sigma"), [((96, 97), 1.2), ((224, 130), 1.0), ((99, 224), 0.3)])
def test_a_large_image_is_blurred_as_kornia_does_whoever_computes_it(size, sigma, border):
    given, module = images(2, 3, *size), Gaussian(sigma=sigma, border=border)
    assert module._is_for_opencv(given) == (border != "circular")
    side = 2 * math.ceil(4 * sigma) + 1
    expected = gaussian_blur2d(given, (side, side), (sigma, sigma), border)
    followed = given.clone().requires_grad_()
    found = [module(given), module(given.to(memory_format=torch.channels_last)), module(followed)]
    with torch.no_grad():
        found.append(module(followed))
    for filtered in found:
        torch.testing.assert_close(filtered.detach(), expected, atol=1e-6, rtol=0)
    assert found[2].requires_grad
    assert torch.equal(found[0], found[3])


def test_a_small_image_or_a_long_kernel_is_for_matrices():
    assert not Gaussian(sigma=1)._is_for_opencv(images(1, 1, 95, 224))
    assert not Gaussian(sigma=4)._is_for_opencv(images(1, 1, 224, 224))
    assert not Gaussian(sigma=1)._is_for_opencv(images(1, 1, 224, 224).double())


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("sigma", SIGMAS)
def test_the_gaussian_operator_is_kornia_s_blur(sigma, border):
    for shape in [(2, 1, 28, 28), (2, 3, 17, 30), (1, 1, 30, 13)]:
        given = images(*shape)
        kernel = tuple(2 * min(math.ceil(4 * sigma), side - 1) + 1 for side in shape[-2:])
        expected = gaussian_blur2d(given, kernel, (sigma, sigma), border)
        found = Gaussian(sigma=sigma, border=border)(given)
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("border", ["reflect", "replicate", "circular"])
@pytest.mark.parametrize("sigma", [0.3, 1, 2.5, 40])
def test_the_kernel_sums_to_one_also_where_it_outgrows_the_image(sigma, border):
    for size in SIZES:
        constant = torch.full((1, 2, *size), 0.7)
        filtered = Gaussian(sigma=sigma, border=border)(constant)
        torch.testing.assert_close(filtered, constant, atol=1e-6, rtol=0)


@pytest.mark.parametrize("sigma", [0.5, 1, 2])
def test_a_border_of_zeros_darkens_the_border_and_not_the_middle(sigma):
    filtered = Gaussian(sigma=sigma, border="constant")(torch.ones(1, 1, 28, 28))[0, 0]
    assert filtered[14, 14] == pytest.approx(1, abs=1e-6)
    assert filtered[0, 14] < 0.9
    assert filtered[0, 0] == pytest.approx(float(filtered[0, 14]) ** 2, abs=1e-6)


@pytest.mark.parametrize("sigma", [0.5, 1, 2])
def test_the_kernel_is_gaussian(sigma):
    side = 33
    impulse = torch.zeros(1, 1, side, side)
    impulse[0, 0, 16, 16] = 1
    filtered = Gaussian(sigma=sigma)(impulse)[0, 0].double()
    distance = torch.arange(side, dtype=torch.float64) - 16
    weights = torch.exp(-(distance**2) / (2 * sigma**2))
    weights[distance.abs() > math.ceil(4 * sigma)] = 0
    weights /= weights.sum()
    torch.testing.assert_close(filtered, torch.outer(weights, weights), atol=1e-6, rtol=0)


@pytest.mark.parametrize("border", BORDERS)
def test_smoothing_twice_over_takes_away_more(border):
    given = images(4, 1, 28, 28)
    spread = [
        Gaussian(sigma=sigma, border=border)(given)[..., 8:20, 8:20].var() for sigma in SIGMAS
    ]
    assert all(more < less for less, more in pairwise(spread))


@pytest.mark.parametrize(
    ("sigma", "allowed"), [(1, 7.3e-3), (1.25, 6e-4), (1.5, 2e-4), (2, 2e-4), (3, 2e-4)]
)
def test_the_blur_s_amplitude_falls_off_as_a_gaussian_of_frequency(sigma, allowed):
    def continuous(f):
        return torch.exp(-2 * math.pi**2 * sigma**2 * f**2)

    f = torch.linspace(0, 0.5, 101, dtype=torch.float64)
    found = Gaussian(sigma=sigma).response(f)
    torch.testing.assert_close(found, continuous(f), atol=allowed, rtol=0)
    # What is more than the cut tails is aliasing: a sampled kernel's spectrum repeats every cycle
    # per pixel.
    repeated = sum(continuous(f + cycle) for cycle in range(-2, 3))
    torch.testing.assert_close(found, repeated, atol=2e-4, rtol=0)


def test_the_operator_of_an_axis_is_a_float32_matrix_of_its_side():
    operator = gaussian_operator(9, 1.0, 4.0, "reflect")
    assert (operator.shape, operator.dtype) == ((9, 9), torch.float32)
    torch.testing.assert_close(operator.sum(1), torch.ones(9))


# --- Filters of frequencies


@pytest.mark.parametrize("kind", FREQUENCY)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [*SIZES, (20, 20), (5, 10), (30, 31)], ids=str)
def test_matrices_and_transform_filter_alike(kind, shape, size):
    given = images(2, 3, *size, dtype=torch.float64)
    for cutoff, order in product((0.05, 0.1, 0.2, 0.25, 0.3, 0.5), (1, 3)):
        module = make(kind, cutoff=cutoff, shape=shape, order=order)
        by_matrices, by_transform = module.by_matrices(given), module.by_transform(given)
        torch.testing.assert_close(by_matrices, by_transform, atol=1e-6, rtol=0)
        # In the precision of the workflow, up to its rounding.
        single = module.by_matrices(given.float()).double()
        torch.testing.assert_close(single, by_matrices, atol=2e-6, rtol=0)


# Nothing passes, everything passes, and the extremes between.
@pytest.mark.parametrize(
    ("kind", "parameters"),
    kind_cases(
        [
            ("lowpass", {"cutoff": 1e-6, "dc": "drop"}),
            ("lowpass", {"cutoff": 1e-6, "dc": "keep"}),
            ("lowpass", {"cutoff": 0.7072, "dc": "drop"}),
            ("lowpass", {"cutoff": 0.7072, "dc": "keep"}),
            ("highpass", {"cutoff": 0.7072, "dc": "drop"}),
            ("highpass", {"cutoff": 0.7072, "dc": "keep"}),
            ("highpass", {"cutoff": 1e-6, "dc": "drop"}),
            ("highpass", {"cutoff": 1e-6, "dc": "keep"}),
            ("bandpass", {"cutoff": 0.01, "width": 1e-6, "dc": "drop"}),
            ("bandpass", {"cutoff": 0.01, "width": 1e-6, "dc": "keep"}),
            ("bandpass", {"cutoff": 0.7, "width": 0.01, "dc": "keep"}),
            ("bandpass", {"cutoff": 0.3536, "width": 1, "dc": "drop"}),
        ]
    ),
)
@pytest.mark.parametrize("shape", SHAPES)
def test_matrices_and_transform_filter_alike_at_the_ends_of_the_spectrum(kind, parameters, shape):
    module = make(kind, shape=shape, **parameters)
    for size in SIZES:
        given = images(2, 3, *size)
        found, expected = module.by_matrices(given), module.by_transform(given.double())
        torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("module", "passes", "needed"),
    [
        # Along each axis of 28 pixels: the mean, cosine and sine of 1/28 and of 2/28.
        (LowPass(cutoff=0.1, dc="keep"), True, (5, 5)),
        (HighPass(cutoff=0.1, dc="drop"), False, (5, 5)),
        # Without the mean, which is a product of the constants that others need too.
        (LowPass(cutoff=0.1, dc="drop"), True, (5, 5)),
        (HighPass(cutoff=0.1, dc="keep"), False, (5, 5)),
        (BandPass(cutoff=0.05, width=0.06, dc="drop"), True, (5, 5)),
        # Only the corner of the spectrum, (1/2, 1/2), is above.
        (LowPass(cutoff=0.7, dc="keep"), False, (1, 1)),
        (HighPass(cutoff=0.7, dc="drop"), True, (1, 1)),
        # Nothing passes, and nothing is stopped.
        (LowPass(cutoff=0.01, dc="drop"), True, (0, 0)),
        (HighPass(cutoff=0.01, dc="keep"), False, (0, 0)),
        (LowPass(cutoff=0.1, dc="keep", shape="gaussian"), True, (28, 28)),
    ],
)
def test_the_products_take_no_more_of_the_basis_than_they_need(module, passes, needed):
    found, (down, across, response) = module._plan(28, 28)
    assert found == passes
    assert response.shape == needed
    assert (down.shape, across.shape) == ((28, needed[0]), (28, needed[1]))


def test_where_nothing_passes_the_image_is_black_and_where_all_passes_the_same():
    given = images(2, 3, 9, 14)
    assert torch.equal(LowPass(cutoff=0.01, dc="drop")(given), torch.zeros_like(given))
    assert torch.equal(HighPass(cutoff=0.01, dc="keep")(given), given)


@pytest.mark.parametrize("size", [(28, 28), (97, 4), (4, 120)], ids=str)
def test_small_and_large_images_are_filtered_alike(size):
    given = images(1, 2, *size)
    module = LowPass(cutoff=0.2, shape="butterworth", dc="keep")
    torch.testing.assert_close(module(given), module.by_transform(given), atol=2e-6, rtol=0)


@pytest.mark.parametrize("side", [1, 2, 5, 8, 28])
def test_the_fourier_basis_is_orthonormal_and_of_its_frequencies(side):
    basis, frequency = fourier_basis(side)
    assert (basis.dtype, frequency.dtype) == (torch.float64, torch.float64)
    torch.testing.assert_close(basis.T @ basis, torch.eye(side, dtype=torch.float64))
    power = torch.fft.rfft(basis, dim=0).abs() ** 2
    expected = torch.fft.rfftfreq(side, dtype=torch.float64)
    torch.testing.assert_close(expected[power.argmax(0)], frequency)


def test_frequencies_are_in_cycles_per_pixel():
    f = radial_frequency(8, 6)
    assert (f.shape, f.dtype) == ((8, 4), torch.float64)
    assert f[0, 0] == 0
    assert f[4, 0] == f[0, 3] == 0.5
    assert f[4, 3] == pytest.approx(0.7071, abs=1e-4)
    assert f[1, 0] == f[7, 0] == 1 / 8


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("order", [1, 2, 7])
def test_a_profile_falls_from_one_at_zero_towards_zero(shape, order):
    u = torch.linspace(0, 20, 501, dtype=torch.float64)
    amplitude = profile(u, shape, order)
    assert amplitude[0] == 1
    assert amplitude[-1] < 0.01
    assert (amplitude.diff() <= 0).all()


def test_a_butterworth_profile_of_a_high_order_is_nearly_ideal():
    u = torch.tensor([0.5, 0.9, 1.1, 2], dtype=torch.float64)
    torch.testing.assert_close(
        profile(u, "butterworth", 100), profile(u, "ideal", 1), atol=1e-7, rtol=0
    )


# Waves whose frequency is a round number, and others.
WAVES = [
    ((8, 8), (0, 2)),
    ((8, 8), (3, 0)),
    ((28, 28), (7, 0)),
    ((28, 28), (5, 3)),
    ((20, 20), (0, 6)),
    ((20, 20), (2, 0)),
    ((50, 50), (3, 4)),
    ((9, 14), (2, 5)),
    ((9, 14), (4, 0)),
]
PATHS = ["by_matrices", "by_transform"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("size", "turns"), WAVES, ids=str)
def test_an_ideal_filter_passes_or_stops_a_pure_wave(size, turns, path):
    given, f = wave(size, turns, phase=0.4)
    stopped = torch.zeros_like(given)
    for module, expected in (
        (LowPass(cutoff=f, dc="keep"), given),
        (LowPass(cutoff=f * 0.999, dc="keep"), stopped),
        (HighPass(cutoff=f, dc="drop"), stopped),
        (HighPass(cutoff=f * 0.999, dc="drop"), given),
        (BandPass(cutoff=f, width=0.001, dc="drop"), given),
        (BandPass(cutoff=f + 0.01, width=0.019, dc="drop"), stopped),
        (BandPass(cutoff=f - 0.01, width=0.019, dc="drop"), stopped),
    ):
        found = getattr(module, path)(given)
        torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("size", "turns", "cutoff", "width"),
    [
        ((8, 8), (0, 2), 0.3, 0.1),
        ((28, 28), (7, 0), 0.3, 0.1),
        ((20, 20), (0, 6), 0.2, 0.2),
        ((20, 20), (2, 0), 0.2, 0.2),
        ((10, 10), (1, 0), 0.15, 0.1),
        ((10, 10), (2, 0), 0.15, 0.1),
    ],
)
def test_an_ideal_band_includes_its_edges(size, turns, cutoff, width, path):
    given, f = wave(size, turns)
    assert abs(f - cutoff) == pytest.approx(width / 2)
    found = getattr(BandPass(cutoff=cutoff, width=width, dc="drop"), path)(given)
    torch.testing.assert_close(found, given, atol=1e-12, rtol=0)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("shape", ["gaussian", "butterworth"])
@pytest.mark.parametrize(("size", "turns"), WAVES, ids=str)
def test_smooth_filters_have_half_amplitude_at_their_edge(size, turns, shape, path):
    given, f = wave(size, turns)
    for order in (1, 4):
        for module in (
            LowPass(cutoff=f, shape=shape, order=order, dc="keep"),
            HighPass(cutoff=f, shape=shape, order=order, dc="drop"),
            BandPass(cutoff=f + 0.05, width=0.1, shape=shape, order=order, dc="drop"),
            BandPass(cutoff=f - 0.05, width=0.1, shape=shape, order=order, dc="drop"),
        ):
            found = getattr(module, path)(given)
            torch.testing.assert_close(found, given / 2, atol=1e-6, rtol=0)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("cutoff", [0.02, 0.1, 0.25, 0.5, 0.7])
@pytest.mark.parametrize(("of_low", "of_high"), [("keep", "drop"), ("drop", "keep")])
def test_low_pass_and_high_pass_add_up_to_the_image(shape, cutoff, of_low, of_high):
    for size in SIZES:
        given = images(2, 3, *size)
        low = LowPass(cutoff=cutoff, shape=shape, dc=of_low)(given)
        high = HighPass(cutoff=cutoff, shape=shape, dc=of_high)(given)
        torch.testing.assert_close(low + high, given, atol=2e-6, rtol=0)


@pytest.mark.parametrize("kind", FREQUENCY)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("dc", "share"), [("keep", 1), ("drop", 0)])
def test_dc_says_what_becomes_of_each_channel_s_mean(kind, shape, dc, share):
    for size in [(28, 28), (9, 14), (97, 3)]:
        given = images(2, 3, *size)
        means = make(kind, cutoff=0.1, shape=shape, dc=dc)(given).mean((2, 3))
        torch.testing.assert_close(means, share * given.mean((2, 3)), atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", FREQUENCY)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dc", ["keep", "drop"])
def test_the_response_is_what_an_impulse_shows(kind, shape, dc):
    module = make(kind, cutoff=0.17, shape=shape, dc=dc)
    for size in [(28, 28), (9, 14)]:
        impulse = torch.zeros(1, 1, *size, dtype=torch.float64)
        impulse[0, 0, 0, 0] = 1
        spectrum = torch.fft.rfft2(module(impulse))[0, 0]
        expected = module.response(radial_frequency(*size))
        torch.testing.assert_close(spectrum.real, expected, atol=1e-6, rtol=0)
        torch.testing.assert_close(spectrum.imag, torch.zeros_like(expected), atol=1e-12, rtol=0)


@pytest.mark.parametrize("kind", FREQUENCY)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_response_is_an_amplitude_in_the_unit_interval(kind, shape):
    f = torch.linspace(0, 0.7072, 300, dtype=torch.float64)
    response = make(kind, cutoff=0.17, shape=shape).response(f)
    assert response.min() >= 0
    assert response.max() <= 1
    assert response.max() > 0.9


@pytest.mark.parametrize("kind", FREQUENCY)
@pytest.mark.parametrize("shape", ["ideal", "gaussian"])
def test_clipping_clips_and_rescaling_maps_each_image_s_range_to_the_unit_interval(kind, shape):
    given = images(3, 3, 9, 14)
    given[1] *= 0.1
    raw, clipped, rescaled = (
        make(kind, cutoff=0.1, shape=shape, post=post)(given)
        for post in ("none", "clip", "rescale")
    )
    assert torch.equal(clipped, raw.clamp(0, 1))
    low, high = raw.amin((1, 2, 3), keepdim=True), raw.amax((1, 2, 3), keepdim=True)
    assert rescaled.amin((1, 2, 3)).tolist() == pytest.approx([0] * 3)
    assert rescaled.amax((1, 2, 3)).tolist() == pytest.approx([1] * 3)
    torch.testing.assert_close(rescaled * (high - low) + low, raw, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", FREQUENCY)
@pytest.mark.parametrize("dc", ["keep", "drop"])
@pytest.mark.parametrize("post", ["none", "clip", "rescale"])
def test_an_image_of_one_value_has_its_mean_and_nothing_else(kind, dc, post):
    for shape, size, value in product(
        ("ideal", "gaussian"), [(8, 8), (28, 28), (73, 73), (97, 97)], (0.0, 0.3, 0.5, 1.0)
    ):
        module = make(kind, cutoff=0.1, shape=shape, dc=dc, post=post)
        given = torch.full((1, 1, *size), value)
        expected = given if dc == "keep" else torch.zeros_like(given)
        torch.testing.assert_close(module(given), expected, atol=1e-5, rtol=0)


# --- Bit depth


@pytest.mark.parametrize("bits", [1, 2, 3, 8])
def test_bit_depth_takes_each_value_to_the_nearest_of_its_levels(bits):
    ramp = torch.linspace(0, 1, 5001, dtype=torch.float64)[None, None, None]
    found = BitDepth(bits=bits)(ramp)
    levels = torch.arange(2**bits, dtype=torch.float64) / (2**bits - 1)
    torch.testing.assert_close(found.unique(), levels)
    nearest = (ramp.flatten()[:, None] - levels).abs().amin(1)
    torch.testing.assert_close((found - ramp).abs().flatten(), nearest)


@pytest.mark.parametrize(
    ("bits", "value", "level"),
    [(1, 1 / 2, 0), (2, 1 / 6, 0), (2, 1 / 2, 2 / 3), (2, 5 / 6, 2 / 3), (3, 1 / 2, 4 / 7)],
)
def test_a_value_between_two_levels_goes_to_the_even_one(bits, value, level):
    given = torch.full((1, 1, 1, 1), value, dtype=torch.float64)
    assert BitDepth(bits=bits)(given).item() == pytest.approx(level)


@pytest.mark.parametrize("bits", range(1, 17))
def test_bits_that_are_gone_stay_gone(bits):
    module, given = BitDepth(bits=bits), images(2, 3, 9, 14)
    once = module(given)
    assert not torch.equal(once, given)
    assert torch.equal(module(once), once)


def test_eight_bits_are_all_that_a_data_set_s_images_have():
    every = torch.arange(256).float().div(255).view(1, 1, 16, 16)
    for bits in (8, 16):
        assert torch.equal(BitDepth(bits=bits)(every), every)
    assert not torch.equal(BitDepth(bits=7)(every), every)


def test_values_that_a_filter_before_left_outside_get_the_nearest_level():
    given = torch.tensor([-3, -0.4, 0.1, 1.1, 7]).view(1, 1, 1, 5)
    module = BitDepth(bits=2)
    assert torch.equal(module(given).flatten(), torch.tensor([0.0, 0, 0, 1, 1]))
    assert torch.equal(module(given), module.formula(given))


# --- JPEG

QUALITIES = (1, 10, 25, 50, 75, 90, 95)


def smooth(*shape):
    """Images as photographs are: what is near looks alike."""
    return Gaussian(sigma=2)(images(*shape)).sub(0.5).mul(4).add(0.5).clamp(0, 1)


def libjpeg(given, quality):
    """What a real encoder and decoder make of images."""
    decoded = []
    for image in given.mul(255).round().byte().permute(0, 2, 3, 1).squeeze(-1).numpy():
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality)
        decoded.append(np.asarray(Image.open(file)))
    stacked = torch.from_numpy(np.stack(decoded)) / 255
    return stacked.view(len(given), *given.shape[-2:], -1).permute(0, 3, 1, 2)


@pytest.mark.parametrize("size", [*SIZES, (16, 16), (32, 32), (33, 40), (224, 224)], ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_its_formula_whatever_the_size(channels, size):
    for quality, make_images in product(QUALITIES, (images, eight_bit)):
        given, module = make_images(2, channels, *size), Jpeg(quality=quality)
        expected = module.formula(given.double())
        torch.testing.assert_close(module(given).double(), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("quality", QUALITIES)
def test_coefficients_halfway_between_two_steps_are_rounded_as_the_formula_does(trained, quality):
    # Of few levels, on a black background: in float32, some come out another way.
    module = Jpeg(quality=quality)
    expected = module.formula(trained.images.double())
    found = module(trained.images).double()
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("quality", QUALITIES)
def test_grey_is_the_luma_of_kornia_s_codec(quality):
    # Of a range in which nothing is clipped, that a rounded block may leave at a low quality.
    grey = (0.5 + (smooth(3, 1, 28, 28) - 0.5) / (10 if quality == 1 else 3)).double()
    of = grey.new_tensor([quality])
    colours = jpeg_codec_differentiable(grey.expand(-1, 3, -1, -1).contiguous(), of)
    assert 0 < colours.min() < colours.max() < 1
    luma = (colours * grey.new_tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1, keepdim=True)
    torch.testing.assert_close(Jpeg(quality=quality)(grey), luma, atol=1e-9, rtol=0)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("quality", [10, 25, 50, 75, 90])
def test_jpeg_does_about_what_libjpeg_does(channels, quality):
    given = smooth(20, channels, 28, 28)
    real, found = libjpeg(given, quality), Jpeg(quality=quality)(given)
    # Tables read across instead of down would make it 0.69 and more.
    assert (found - real).abs().mean() < 0.6 * (real - given).abs().mean()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_lower_quality_takes_away_more(channels):
    given = smooth(8, channels, 28, 28)
    lost = [(Jpeg(quality=q)(given) - given).square().mean() for q in QUALITIES]
    assert all(more > 1.1 * less for more, less in pairwise(lost))


@pytest.mark.parametrize("quality", QUALITIES)
def test_grey_jpegs_are_coded_block_by_block(quality):
    given, module = images(1, 1, 28, 28), Jpeg(quality=quality)
    other = given.clone()
    other[..., 8:16, 16:24] = 1 - other[..., 8:16, 16:24]
    changed = module(other) != module(given)
    assert changed[..., 8:16, 16:24].any()
    changed[..., 8:16, 16:24] = False
    assert not changed.any()


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_stays_in_the_pixel_range(channels):
    ends = (images(4, channels, 28, 28) > 0.5).float()
    for quality in QUALITIES:
        found = Jpeg(quality=quality)(ends)
        assert found.min() == 0
        assert found.max() == 1


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("method", ["forward", "formula"])
def test_jpeg_refuses_what_is_neither_grey_nor_rgb(channels, method):
    said = (
        rf"^JPEG codes images of 1 channel or 3 \(grey or RGB\), not of {channels}: leave it out$"
    )
    with pytest.raises(ValueError, match=said):
        getattr(Jpeg(quality=75), method)(images(2, channels, 8, 8))


# --- The median


@pytest.mark.parametrize(
    ("border", "mode"),
    [
        ("reflect", "mirror"),
        ("replicate", "nearest"),
        ("constant", "constant"),
        ("circular", "wrap"),
    ],
)
@pytest.mark.parametrize("size", [2, 3, 4, 5, 10, 11])
def test_the_median_is_scipy_s(size, border, mode):
    for shape in [(2, 3, 28, 28), (1, 2, 9, 14)]:
        given = images(*shape)
        expected = ndimage.median_filter(given.numpy(), size=(1, 1, size, size), mode=mode)
        found = Median(size=size, border=border)(given)
        assert torch.equal(found, torch.from_numpy(expected))


@pytest.mark.parametrize("shape", [(1, 1, 4, 24), (1, 3, 1, 5), (2, 1, 1, 1), (1, 1, 5, 2)])
@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("size", [2, 5, 8, 11])
def test_the_median_of_an_image_smaller_than_its_window_is_of_what_there_is(size, border, shape):
    given, module = images(*shape), Median(size=size, border=border)
    assert torch.equal(module(given), module.formula(given))
    assert torch.isfinite(module.surrogate(given)).all()
    if (border, shape, size) == ("reflect", (1, 3, 1, 5), 11):
        # The window is cut to 1 x 9, and the middle of the row sees it all, its ends once.
        seen = given[..., [2, 1, 0, 1, 2, 3, 4, 3, 2]]
        assert torch.equal(module(given)[..., 2], seen.median(-1).values)


def test_the_median_removes_single_pixels_and_keeps_an_edge():
    edge = torch.zeros(1, 1, 10, 10)
    edge[..., 4:] = 1
    specks = edge.clone()
    specks[0, 0, 2, 7] = 0
    specks[0, 0, 6, 1] = 1
    assert torch.equal(Median(size=3)(specks), edge)


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("at_once", [1, 3, 1000])
def test_the_median_of_many_images_is_that_of_each(size, at_once, monkeypatch):
    monkeypatch.setattr("epsigma.filters.median._PIECE", at_once * 63)
    given, module = images(5, 2, 9, 7), Median(size=size)
    expected = module.formula(given)
    assert torch.equal(module(given), expected)
    assert torch.equal(module(given.to(memory_format=torch.channels_last)), expected)
    assert torch.equal(module(given[:, :, ::2].clone()), module(given[:, :, ::2]))
    # With a gradient, and in other precisions, by other code.
    followed = given.clone().requires_grad_()
    assert torch.equal(module(followed), expected)
    assert module(followed).requires_grad
    assert torch.equal(module(given.double()), expected.double())
    with torch.no_grad():
        assert torch.equal(module(followed), expected)


@pytest.mark.parametrize("border", BORDERS)
def test_the_median_knows_the_order_of_values_and_nothing_else(border):
    given, module = images(2, 1, 9, 14), Median(size=3, border=border)
    assert torch.equal(module(given**3), module(given) ** 3)


# --- Noise


def test_noise_is_normal_of_its_deviation_and_white():
    given = images(400, 1, 6, 6)
    noise = (
        GaussianNoise(std=0.2, generator=torch.Generator().manual_seed(0))(given) - given
    ) / 0.2
    assert stats.kstest(noise.flatten(), "norm").pvalue > 0.01
    assert noise.mean().item() == pytest.approx(0, abs=4 / 14_400**0.5)
    assert noise.std().item() == pytest.approx(1, abs=0.03)
    assert noise.flatten(1).T.corrcoef().fill_diagonal_(0).abs().max() < 0.25


def test_noise_may_leave_the_pixel_range():
    ends = torch.tensor([0.0, 1.0]).repeat(50).view(1, 1, 10, 10)
    found = GaussianNoise(std=0.1)(ends)
    assert found.min() < 0
    assert found.max() > 1


def test_noise_is_drawn_anew_each_time_from_its_generator_and_from_nothing_else():
    given = images(2, 1, 8, 8)

    def draws(seed, world):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(world)
            module = GaussianNoise(std=0.1, generator=torch.Generator().manual_seed(seed))
            return module(given), module(given)

    first, second = draws(seed=1, world=1)
    assert not torch.equal(first, second)
    again = draws(seed=1, world=2)
    assert torch.equal(first, again[0])
    assert torch.equal(second, again[1])
    assert not torch.equal(first, draws(seed=2, world=1)[0])


# --- The stage


def test_the_stage_filters_the_images_and_keeps_labels_and_norms(tmp_path, make_job):
    cpu = torch.device("cpu")
    norms = {name: images(6, seed=i) for i, name in enumerate(ImageSet.MEASURES)}
    given = ImageSet(images(6, 1, 8, 8), torch.arange(6), norms)
    write_image_set(tmp_path / "adversarial.safetensors", given, {})
    settings = {
        "implementation": "epsigma.filters.gaussian:Gaussian",
        "parameters": {"truncate": 4, "border": "reflect", "sigma": 1.5},
    }
    filter_set(
        make_job({"filter": settings}),
        adversarial=str(tmp_path / "adversarial.safetensors"),
        filtered=str(tmp_path / "filtered.safetensors"),
    )
    found = read_image_set(tmp_path / "filtered.safetensors", cpu)
    torch.testing.assert_close(found.images, Gaussian(sigma=1.5)(given.images))
    assert torch.equal(found.labels, given.labels)
    assert all(torch.equal(found.measures[name], norms[name]) for name in norms)


def test_a_filter_is_made_ready_for_use():
    module = build_filter({"implementation": "epsigma.filters.none:Identity", "parameters": {}})
    assert not module.training


NOISE = {
    "implementation": "epsigma.filters.noise:GaussianNoise",
    "parameters": {"std": 0.1},
    "random": True,
}


def test_what_a_filter_draws_is_the_same_for_a_cell_and_another_for_others(tmp_path, make_job):
    path = tmp_path / "adversarial.safetensors"
    norms = {name: torch.zeros(6) for name in ImageSet.MEASURES}
    write_image_set(path, ImageSet(images(6, 1, 8, 8), torch.arange(6), norms), {})

    def drawn(world, **cell):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(world)
            filtered = tmp_path / "filtered.safetensors"
            job = make_job({"filter": NOISE}, **cell)
            filter_set(job, adversarial=str(path), filtered=str(filtered))
        return read_image_set(filtered, CPU).images

    first = drawn(1, strength="std~0.1", seed="0")
    assert torch.equal(first, drawn(2, strength="std~0.1", seed="0"))
    assert not torch.equal(first, drawn(1, strength="std~0.1", seed="1"))


def test_a_job_s_generators_are_its_own_and_one_for_each_purpose(make_job):
    def seed(purpose, **cell):
        return seeded_generator(make_job({}, **cell), CPU, purpose).initial_seed()

    assert seed("attack", eps="0.1", sigma="1") == seed("attack", sigma="1", eps="0.1")
    others = [seed(purpose, eps=eps) for purpose in ("attack", "filter") for eps in ("0.1", "0.2")]
    assert len(set(others)) == 4


def test_only_a_random_filter_is_given_the_generator():
    generator = torch.Generator()
    assert build_filter(NOISE, generator).generator is generator
    fixed = {"implementation": "epsigma.filters.bitdepth:BitDepth", "parameters": {"bits": 3}}
    assert build_filter(fixed, generator).steps == 7
