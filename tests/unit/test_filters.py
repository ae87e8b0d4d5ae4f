import math
from itertools import pairwise, product
from pathlib import Path

import pytest
import torch
import yaml
from epsigma.filters import FILTERS
from epsigma.filters.frequency import (
    SHAPES,
    BandPass,
    HighPass,
    LowPass,
    fourier_basis,
    profile,
    radial_frequency,
)
from epsigma.filters.gaussian import BORDERS, Gaussian, gaussian_operator, kernel_radius
from epsigma.filters.none import Identity
from epsigma.kinds import load
from epsigma.stages.filter import apply, build, filter_set
from epsigma.tensors import ImageSet, read_image_set, write_image_set
from kornia.filters import gaussian_blur2d

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
    schema = FILTERS[kind].parameters
    defaults = {name: inner["default"] for name, inner in schema.items() if "default" in inner}
    return load(FILTERS[kind].implementation)(**{**defaults, **parameters})


def images(*shape, seed=0, dtype=torch.float32):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


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


LINEAR = [
    ("none", {}),
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


# --- All filters


@pytest.mark.parametrize(("kind", "parameters"), kind_cases(LINEAR + NOT_LINEAR))
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


@pytest.mark.parametrize(("kind", "parameters"), kind_cases(LINEAR + NOT_LINEAR))
def test_the_gradient_is_that_of_finite_differences(kind, parameters):
    # Of a size that no other test uses: what filters keep between calls is made here.
    given = images(1, 2, 5, 6, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(make(kind, **parameters), given)


# An aware attacker differentiates through the filter, in the process that filtered before.
@pytest.mark.parametrize("kind", sorted(FILTERS))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("size", [(11, 13), (11, 130)], ids=["small", "large"])
def test_a_filter_that_the_workflow_applied_is_still_differentiable(kind, size, dtype):
    swept = FILTERS[kind].swept
    module, given = make(kind, **({swept: 0.2} if swept else {})), images(2, 1, *size, dtype=dtype)
    apply(module, given)
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


@pytest.mark.parametrize(("kind", "parameters"), kind_cases(LINEAR + NOT_LINEAR))
def test_the_batch_size_changes_nothing(monkeypatch, kind, parameters):
    module, given = make(kind, **parameters), images(7, 3, 9, 14)
    together = apply(module, given)
    for batch in (1, 3):
        monkeypatch.setattr("epsigma.tensors.BATCH", batch)
        torch.testing.assert_close(apply(module, given), together, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("kind", "parameters"), kind_cases(LINEAR))
def test_linear_filters_take_each_channel_alone(kind, parameters):
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


def measured(module, side):
    """The amplitude of a filter at 0, 1, … side // 2 turns across, by an impulse."""
    impulse = torch.zeros(1, 1, side, side)
    impulse[0, 0, 0, 0] = 1
    return torch.fft.rfft2(module(impulse))[0, 0, 0].real.double()


@pytest.mark.parametrize("sigma", [1, 1.25, 1.5, 2, 3])
def test_the_blur_s_amplitude_falls_off_as_a_gaussian_of_frequency(sigma):
    f = torch.fft.rfftfreq(64, dtype=torch.float64)
    blur = Gaussian(sigma=sigma, border="circular")
    found = measured(blur, 64)
    expected = torch.exp(-2 * math.pi**2 * sigma**2 * f**2)
    torch.testing.assert_close(blur.response(f), expected)
    torch.testing.assert_close(found, expected, atol=8e-3, rtol=0)
    # What is left is aliasing: a sampled kernel's spectrum repeats every cycle per pixel.
    repeated = sum(blur.response(f + cycle) for cycle in range(-2, 3))
    torch.testing.assert_close(found, repeated, atol=2e-4, rtol=0)


def test_the_operator_of_an_axis_is_a_float32_matrix_of_its_side():
    operator = gaussian_operator(9, 1.0, 4.0, "reflect")
    assert (operator.shape, operator.dtype) == ((9, 9), torch.float32)
    torch.testing.assert_close(operator.sum(1), torch.ones(9))


# --- Filters of frequencies


@pytest.mark.parametrize("kind", ["lowpass", "highpass", "bandpass"])
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


@pytest.mark.parametrize("kind", ["lowpass", "highpass", "bandpass"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("dc", "share"), [("keep", 1), ("drop", 0)])
def test_dc_says_what_becomes_of_each_channel_s_mean(kind, shape, dc, share):
    for size in [(28, 28), (9, 14), (97, 3)]:
        given = images(2, 3, *size)
        means = make(kind, cutoff=0.1, shape=shape, dc=dc)(given).mean((2, 3))
        torch.testing.assert_close(means, share * given.mean((2, 3)), atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", ["lowpass", "highpass", "bandpass"])
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


@pytest.mark.parametrize("kind", ["lowpass", "highpass", "bandpass"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_response_is_an_amplitude_in_the_unit_interval(kind, shape):
    f = torch.linspace(0, 0.7072, 300, dtype=torch.float64)
    response = make(kind, cutoff=0.17, shape=shape).response(f)
    assert response.min() >= 0
    assert response.max() <= 1
    assert response.max() > 0.9


POST = [
    (kind, shape) for kind in ("lowpass", "highpass", "bandpass") for shape in ("ideal", "gaussian")
]


@pytest.mark.parametrize(("kind", "shape"), POST)
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


@pytest.mark.parametrize("kind", ["lowpass", "highpass", "bandpass"])
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


# --- The stage


def test_the_stage_filters_the_images_and_keeps_labels_and_norms(tmp_path, make_job):
    cpu = torch.device("cpu")
    norms = {name: images(6, seed=i) for i, name in enumerate(ImageSet.NORMS)}
    given = ImageSet(images(6, 1, 8, 8), torch.arange(6), norms)
    write_image_set(tmp_path / "adversarial.safetensors", given, {})
    settings = {
        "implementation": "epsigma.filters.gaussian:Gaussian",
        "parameters": {"truncate": 4, "border": "reflect", "sigma": 1.5},
    }
    filter_set(
        make_job(settings),
        adversarial=str(tmp_path / "adversarial.safetensors"),
        filtered=str(tmp_path / "filtered.safetensors"),
    )
    found = read_image_set(tmp_path / "filtered.safetensors", cpu)
    torch.testing.assert_close(found.images, Gaussian(sigma=1.5)(given.images))
    assert torch.equal(found.labels, given.labels)
    assert all(torch.equal(found.norms[name], norms[name]) for name in norms)


def test_a_filter_is_made_ready_for_use():
    module = build({"implementation": "epsigma.filters.none:Identity", "parameters": {}})
    assert not module.training
