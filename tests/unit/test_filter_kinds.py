"""All kinds of filter on one table of images, and each against an implementation of others."""

import math
from fractions import Fraction
from itertools import product

import clarabel
import cv2
import numpy as np
import pytest
import pywt
import skimage.exposure
import skimage.restoration
import torch
from epsigma.attacks.pgd import pgd
from epsigma.defence import defend
from epsigma.filters import total_variation
from epsigma.filters.build import build_filter
from epsigma.filters.filter import Filter
from epsigma.filters.resampling import shrink
from epsigma.probing.filters import conformance
from epsigma.registry.filters import FILTERS
from filter_cases import CASES
from kornia.filters import bilateral_blur
from PIL import Image
from scipy import ndimage, signal, sparse
from sklearn.cluster import KMeans
from torch.nn import functional
from untrained import any_components, autoencoder

FIRST = {
    "gaussian": {"sigma": 1},
    **{
        kind: {"cutoff": 0.2, "dc": "keep", "post": "clip"}
        for kind in ("lowpass", "highpass", "bandpass")
    },
    "bitdepth": {"bits": 2},
    "jpeg": {"quality": 50},
    "median": {"size": 3},
    "noise": {"std": 0.1},
    "reformer": {"passes": 1, "autoencoder": autoencoder()},
    "pca": {"components": 2, "autoencoder": any_components()},
}
EVERY = {**FIRST, **CASES}
# Values may leave [0, 1].
UNBOUNDED = ("noise", "pca")
# Grey and colour; odd, even and not square; a row, a pixel, and what is smaller than windows.
SHAPES = [(1, 1, 28, 28), (1, 3, 9, 14), (1, 1, 1, 5), (1, 1, 3, 2), (1, 3, 1, 1)]
# What a row is filled with is not unique.
AMBIGUOUS = [("total_variation_dropout", (1, 1, 1, 5))]


def build(kind, seed=0, **parameters):
    about = FILTERS[kind]
    settings = {"implementation": about.implementation, "gradient": about.gradient}
    settings |= {"random": True} if about.random else {}
    settings["parameters"] = {**EVERY[kind], **parameters}
    return build_filter(settings, torch.Generator().manual_seed(seed))


def images(*shape, seed=0, dtype=torch.float64):
    """Images of 256 levels."""
    drawn = torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return (drawn * 255).round() / 255


def strokes(*shape, seed=0):
    """Images that are black for the most part, with bright lines."""
    given = images(*shape, seed=seed)
    smooth = torch.from_numpy(ndimage.gaussian_filter(given.numpy(), (0, 0, 1, 1)))
    return torch.where(smooth > 0.52, given, 0)


def special(*shape):
    """Noise, strokes, images of one value, of none but 0 and 1, and a single bright pixel."""
    constant = [torch.full(shape, value, dtype=torch.float64) for value in (0, 128 / 255, 1)]
    point = torch.zeros(shape, dtype=torch.float64)
    point[..., -1, -1] = 1
    drawn = images(*shape)
    return torch.cat([drawn, strokes(*shape), *constant, drawn.round(), point]).float()


# --- Every kind


def test_every_kind_is_here():
    assert set(EVERY) == set(FILTERS) - {"none", "identity"}


@pytest.mark.parametrize("kind", EVERY)
def test_a_filter_is_its_formula_on_images_of_every_kind(kind):
    for shape in SHAPES:
        given, module = special(*shape), build(kind)
        found = conformance(module, given)
        allowed = 1e-5 + 6 * found["standard_error"] + found["tolerance"]
        assert (kind, shape) in AMBIGUOUS or found["formula_error"] < allowed, shape
        made = module(given)
        assert made.shape == given.shape
        assert torch.isfinite(made).all()
        if kind not in UNBOUNDED:
            assert made.min() > -1e-6
            assert made.max() < 1 + 1e-6


@pytest.mark.parametrize("kind", EVERY)
def test_an_attacker_s_gradient_is_finite_wherever_an_image_is(kind):
    for shape in SHAPES:
        x, module = special(*shape).requires_grad_(), build(kind)
        follow = module if FILTERS[kind].gradient == "exact" else module.surrogate
        (gradient,) = torch.autograd.grad(follow(x).square().sum(), x)
        assert torch.isfinite(gradient).all(), shape


@pytest.mark.parametrize("kind", EVERY)
def test_what_becomes_of_an_image_does_not_depend_on_its_neighbours(kind):
    given = images(4, 1, 9, 14, dtype=torch.float32)
    other = given.clone()
    other[1:] = strokes(3, 1, 9, 14, seed=1).float()
    first = build(kind)(given)[0]
    torch.testing.assert_close(build(kind)(other)[0], first, atol=1e-6, rtol=0)
    if not FILTERS[kind].random:
        torch.testing.assert_close(build(kind)(given[:1])[0], first, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", [kind for kind in EVERY if FILTERS[kind].random])
def test_a_random_filter_draws_for_each_image_anew_and_from_its_generator(kind):
    given = images(1, 1, 28, 28).expand(2, -1, -1, -1).contiguous()
    module = build(kind)
    one, other = module(given)
    assert not torch.equal(one, other)
    assert not torch.equal(module(given)[0], one)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        assert torch.equal(build(kind)(given)[0], one)
    assert not torch.equal(build(kind, seed=1)(given)[0], one)


# --- Attacked


# Of a random one, and one of a direction that rounding hides, a few images are chance.
@pytest.mark.parametrize("kind", CASES)
def test_who_knows_the_filter_succeeds_as_often_as_who_does_not_or_takes_it_for_nothing(
    trained, kind
):
    samples = 10 if FILTERS[kind].random else None
    right = trained.model(trained.images).argmax(1) == trained.labels
    slow = ("total_variation", "total_variation_dropout", "nonlocal_means", "shield")
    n = 50 if kind in slow else 150
    given, labels = trained.images[right][:n], trained.labels[right][:n]

    def success(model):
        drawn = torch.Generator().manual_seed(0)
        how = {"eps": 0.1, "steps": 10, "loss": "margin", "generator": drawn}
        attacked = pgd(model, given, labels, **how)
        return int((trained.model(build(kind, seed=1)(attacked)).argmax(1) != labels).sum())

    class Straight(Filter):
        """The same filter, with the identity for its surrogate."""

        def forward(self, images):
            return module(images)

        def formula(self, images):
            return module.formula(images)

    module = build(kind)
    aware, straight = (
        success(defend(one, trained.model, gradient=gradient, eot_samples=samples))
        for one, gradient in ((module, FILTERS[kind].gradient), (Straight(), "bpda"))
    )
    slack = 8 if samples else 3
    assert aware >= success(trained.model) - slack
    assert aware >= straight - slack


def test_who_assigns_values_to_clusters_softly_succeeds_more_often_than_by_the_means_alone(trained):
    class Mean(type(build("kmeans"))):
        """The same filter, with the mean of the image and of its clusters' means as surrogate."""

        def surrogate(self, images):
            return (images + self(images)) / 2

    def success(module):
        model = defend(module, trained.model, gradient="bpda")
        right = model(trained.images).argmax(1) == trained.labels
        given, labels = trained.images[right], trained.labels[right]
        drawn = torch.Generator().manual_seed(0)
        attacked = pgd(model, given, labels, eps=0.1, steps=20, loss="margin", generator=drawn)
        return int((model(attacked).argmax(1) != labels).sum())

    assert success(build("kmeans", levels=2)) > success(Mean(levels=2)) + 20


# --- Each against an implementation of others

PLANES = [(2, 1, 28, 28), (1, 3, 9, 14), (1, 1, 2, 3)]
MODES = {"reflect": "mirror", "replicate": "nearest", "constant": "constant", "circular": "wrap"}


def by_plane(function):
    """Apply a function of a plane (H, W) to each channel of each image."""

    def apply(given):
        made = np.empty(given.shape)
        for at in np.ndindex(*given.shape[:2]):
            made[at] = function(given[at].numpy())
        return torch.from_numpy(made)

    return apply


def agree(kind, parameters, reference, shapes=PLANES, atol=1e-6, make=images):
    for shape in shapes:
        for given in (make(*shape), strokes(*shape)):
            found = build(kind, **parameters)(given)
            torch.testing.assert_close(found, reference(given), atol=atol, rtol=0)


@pytest.mark.parametrize("border", MODES)
@pytest.mark.parametrize("radius", [1, 2])
def test_the_box_is_scipy_s_uniform_filter(radius, border):
    def reference(given):
        sizes = (1, 1, *(2 * min(radius, side - 1) + 1 for side in given.shape[-2:]))
        made = ndimage.uniform_filter(given.numpy(), sizes, mode=MODES[border])
        return torch.from_numpy(made)

    agree("box", {"radius": radius, "border": border}, reference)


@pytest.mark.parametrize("sigma", [0.1, 0.5])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_bilateral_filter_is_opencv_s(sigma, channels):
    # OpenCV's window is round. Here the corners of a square one weigh 1e-7.
    parameters = {"sigma_color": sigma, "sigma_space": 0.7, "radius": 4}

    def reference(given):
        planes = given.movedim(1, -1).float().numpy()
        made = [cv2.bilateralFilter(one, 9, sigma, 0.7).reshape(one.shape) for one in planes]
        return torch.from_numpy(np.stack(made)).movedim(-1, 1).double()

    shapes = [(2, channels, 28, 28), (1, channels, 9, 14)]
    agree("bilateral", parameters, reference, shapes, atol=1e-4)


def test_colours_are_as_far_apart_for_the_bilateral_filter_as_all_their_channels_are():
    given = images(1, 3, 9, 14)
    alone = torch.cat([build("bilateral")(one) for one in given.split(1, 1)], 1)
    assert (build("bilateral")(given) - alone).abs().max() > 0.05
    blurred = bilateral_blur(given, 5, 1e6, (1.5, 1.5))
    torch.testing.assert_close(build("bilateral", sigma_color=1e6)(given), blurred)
    torch.testing.assert_close(
        blurred,
        torch.from_numpy(
            ndimage.gaussian_filter(given.numpy(), (0, 0, 1.5, 1.5), mode="mirror", radius=2)
        ),
    )


@pytest.mark.parametrize(("search", "patch", "channels"), [(7, 3, 1), (5, 1, 3), (3, 5, 1)])
def test_nonlocal_means_are_weighted_by_how_alike_their_patches_are(search, patch, channels):
    given, around = images(1, channels, 9, 8), search // 2 + patch // 2
    wide = np.pad(given[0].numpy(), [(0, 0), (around, around), (around, around)], mode="reflect")

    def patch_at(y, x):
        reach = patch // 2
        return wide[:, y - reach : y + reach + 1, x - reach : x + reach + 1]

    expected = np.empty((channels, 9, 8))
    for y, x in np.ndindex(9, 8):
        at = [(y + down, x + across) for down, across in np.ndindex(search, search)]
        at = [(row + patch // 2, column + patch // 2) for row, column in at]
        own = patch_at(y + around, x + around)
        weights = [np.exp(-((patch_at(*one) - own) ** 2).mean() / 0.2**2) for one in at]
        expected[:, y, x] = np.average([wide[:, *one] for one in at], axis=0, weights=weights)
    found = build("nonlocal_means", strength=0.2 * 255, search=search, patch=patch)(given)
    # OpenCV rounds means, and leaves out weights of less than a thousandth.
    np.testing.assert_allclose(found[0], expected, atol=0.015)


@pytest.mark.parametrize("weight", [0.05, 0.2])
def test_the_minimiser_of_the_total_variation_is_scikit_image_s(weight):
    def reference(plane):
        how = {"weight": weight, "eps": 0, "max_num_iter": 1500}
        return skimage.restoration.denoise_tv_chambolle(plane, **how)

    agree("total_variation", {"weight": weight}, by_plane(reference), PLANES[1:2], atol=5e-3)


@pytest.mark.parametrize("weight", [0.5, 1])
def test_the_minimiser_is_as_near_at_weights_and_sizes_beyond_those_of_digits(weight, monkeypatch):
    # Smooth blobs, a few pixels wide.
    blobs = ndimage.gaussian_filter(images(1, 1, 64, 64).numpy(), (0, 0, 2.3, 2.3))
    given = torch.from_numpy((blobs - blobs.min()) / np.ptp(blobs))
    module = build("total_variation", weight=weight)
    found = module(given)
    monkeypatch.setattr(total_variation, "STEPS", 3000)
    monkeypatch.setattr(total_variation, "LIGHT", 1)
    assert (found - module(given)).abs().max() < module.tolerance / 4


def test_the_steps_of_the_minimiser_do_not_grow_before_a_weight_of_a_fifth(monkeypatch):
    given = strokes(1, 1, 28, 28)
    modules = [build("total_variation", weight=weight) for weight in (0.05, 0.15, 0.2, 0.25)]
    found = [module(given) for module in modules]
    monkeypatch.setattr(total_variation, "LIGHT", 1)
    equal = [torch.equal(one, module(given)) for one, module in zip(found, modules, strict=True)]
    assert equal == [True, True, True, False]


@pytest.mark.parametrize("make", [images, strokes])
def test_the_gradient_of_the_minimiser_is_that_of_differences(make):
    given = make(1, 1, 6, 7).requires_grad_()
    weight, direction = images(1, 1, 6, 7, seed=1) - 0.5, images(1, 1, 6, 7, seed=2) - 0.5
    module = build("total_variation")
    (gradient,) = torch.autograd.grad((module(given) * weight).sum(), given)
    with torch.no_grad():
        steps = [(module(given + by * direction) * weight).sum() for by in (1e-4, -1e-4)]
    found = float((gradient * direction).sum())
    assert found == pytest.approx(float(steps[0] - steps[1]) / 2e-4, rel=0.02, abs=1e-3)


def solve_cones(plane, is_kept, weight):
    """Minimise ‖M(x − z)‖ + weight · Σ ‖rows or columns apart‖ by an interior-point method."""
    height, width = plane.shape
    down = sparse.kron(sparse.diags([-1.0, 1.0], [0, 1], (height - 1, height)), sparse.eye(width))
    right = sparse.kron(sparse.diags([-1.0, 1.0], [0, 1], (width - 1, width)), sparse.eye(height))
    # A pixel's place if an image is read by columns.
    turned = np.arange(height * width).reshape(height, width).T.ravel()
    right = right.tocsc()[:, np.argsort(turned)]
    blocks = [sparse.eye(height * width).tocsr()[is_kept.ravel()]]
    blocks += [down.tocsr()[row * width : (row + 1) * width] for row in range(height - 1)]
    blocks += [right.tocsr()[row * height : (row + 1) * height] for row in range(width - 1)]
    constants = [-plane[is_kept], *[np.zeros(one.shape[0]) for one in blocks[1:]]]
    # (length, vector) is in a cone; the unknowns are the pixels and the lengths.
    lengths = sparse.eye(len(blocks)).tocsr()
    left = [
        part
        for number, block in enumerate(blocks)
        for part in (
            sparse.hstack([sparse.csr_matrix((1, height * width)), -lengths[number]]),
            sparse.hstack([-block, sparse.csr_matrix((block.shape[0], len(blocks)))]),
        )
    ]
    offsets = np.concatenate([np.append(0, constant) for constant in constants])
    cost = np.r_[np.zeros(height * width), 1, np.full(len(blocks) - 1, weight)]
    cones = [clarabel.SecondOrderConeT(1 + block.shape[0]) for block in blocks]
    quiet = clarabel.DefaultSettings()
    quiet.verbose = False
    none = sparse.csc_matrix((len(cost), len(cost)))
    problem = none, cost, sparse.vstack(left).tocsc(), offsets, cones, quiet
    solution = clarabel.DefaultSolver(*problem).solve()
    assert solution.status == clarabel.SolverStatus.Solved
    return np.array(solution.x[: height * width]).reshape(height, width)


@pytest.mark.parametrize("keep", [0.5, 0.9])
@pytest.mark.parametrize("weight", [0.03, 0.2, 0.5])
def test_the_least_total_variation_after_dropout_is_that_of_a_conic_solver(weight, keep):
    for given in (images(1, 2, 9, 14), strokes(2, 1, 16, 16)):
        module = build("total_variation_dropout", weight=weight, keep=keep)
        is_kept = build("total_variation_dropout", weight=weight, keep=keep)._draw(given)
        found = module(given)
        for at in np.ndindex(*given.shape[:2]):
            expected = solve_cones(given[at].numpy(), is_kept[at].numpy(), weight)
            np.testing.assert_allclose(found[at], expected, atol=module.tolerance)


def test_a_small_weight_leaves_what_is_not_dropped_as_it_is():
    given = strokes(4, 1, 28, 28).float()
    for weight in (0.03, 0.048, 0.5):
        module = build("total_variation_dropout", weight=weight)
        is_kept = build("total_variation_dropout")._draw(given)
        moved = (module(given) - given).abs()
        assert (moved[is_kept].max() < 1e-6) == (weight < 0.05)
        assert moved[~is_kept].max() > 0.5


@pytest.mark.parametrize("method", ["bayes", "visu"])
@pytest.mark.parametrize("wavelet", ["db1", "db4"])
def test_wavelet_shrinkage_is_scikit_image_s(method, wavelet):
    names = {"bayes": "BayesShrink", "visu": "VisuShrink"}

    def reference(plane):
        how = {"sigma": 0.2, "wavelet": wavelet, "method": names[method], "rescale_sigma": False}
        return skimage.restoration.denoise_wavelet(plane, mode="soft", **how).clip(0, 1)

    shapes = [(1, 1, 64, 57), *PLANES[:2]]
    agree("wavelet", {"method": method, "wavelet": wavelet}, by_plane(reference), shapes)


@pytest.mark.parametrize("radius", [1, 2])
def test_the_wiener_filter_is_scipy_s(radius):
    @by_plane
    def reference(plane):
        return signal.wiener(plane, 2 * radius + 1)

    parameters = {"radius": radius, "border": "constant"}
    with np.errstate(all="ignore"):
        agree("wiener", parameters, reference, PLANES[:2])


@pytest.mark.parametrize("radius", [1, 3])
def test_the_wiener_filter_weighs_mean_and_variance_of_reflected_windows(radius):
    @by_plane
    def reference(plane):
        wide = np.pad(plane, radius, mode="reflect")
        windows = np.lib.stride_tricks.sliding_window_view(wide, (2 * radius + 1,) * 2)
        mean, variance = windows.mean((-2, -1)), windows.var((-2, -1))
        # A window of one value has a variance of 0, or of what rounding leaves.
        noise, variance = variance.mean(), np.maximum(variance, 1e-12)
        return mean + np.maximum(0, 1 - noise / variance) * (plane - mean)

    agree("wiener", {"radius": radius, "border": "reflect"}, reference, PLANES[:2])


@pytest.mark.parametrize("levels", [2, 5, 16])
def test_a_thermometer_has_as_many_bits_as_thresholds_and_its_levels_are_evenly_spaced(levels):
    ramp = torch.linspace(0, 1, 1001, dtype=torch.float64)[None, None, None]
    code = np.digitize(ramp.numpy(), np.arange(1, levels) / levels + 1e-6, right=True)
    found = build("thermometer", levels=levels)(ramp)
    torch.testing.assert_close(found, torch.from_numpy(code / (levels - 1)))


@pytest.mark.parametrize("levels", [2, 3, 4])
def test_k_means_are_scikit_learn_s(levels):
    def reference(plane):
        values = plane.reshape(-1, 1)
        spaced = (np.arange(levels)[:, None] + 0.5) / levels
        start = values.min() + np.ptp(values) * spaced
        made = KMeans(levels, init=start, n_init=1, max_iter=300, tol=0).fit(values)
        return made.cluster_centers_[made.labels_].reshape(plane.shape)

    for shape in PLANES[:2]:
        given = images(*shape)
        found = build("kmeans", levels=levels)(given)
        torch.testing.assert_close(found, by_plane(reference)(given))


@pytest.mark.parametrize(
    ("kind", "reference"), [("opening", ndimage.grey_opening), ("closing", ndimage.grey_closing)]
)
@pytest.mark.parametrize("radius", [1, 3])
def test_morphology_is_scipy_s(kind, reference, radius):
    side = 2 * radius + 1
    by_scipy = by_plane(lambda plane: reference(plane, (side, side), mode="reflect"))
    agree(kind, {"radius": radius}, by_scipy)


@pytest.mark.parametrize("kind", ["opening", "closing"])
def test_the_surrogate_of_morphology_has_its_value_and_shares_the_gradient(kind):
    given = strokes(2, 3, 9, 14)
    module = build(kind)
    torch.testing.assert_close(module.surrogate(given), module(given))
    flat = torch.full((1, 1, 9, 9), 0.5, requires_grad=True)
    (gradient,) = torch.autograd.grad(module.surrogate(flat)[..., 4, 4].sum(), flat)
    weights = functional.conv2d(torch.ones(1, 1, 3, 3), torch.ones(1, 1, 3, 3) / 81, padding=2)
    torch.testing.assert_close(gradient[..., 2:7, 2:7], weights)


@pytest.mark.parametrize("amount", [0.5, 3])
def test_unsharp_masking_is_scipy_s_gaussian_the_other_way(amount):
    def reference(given):
        smooth = ndimage.gaussian_filter(
            given.numpy(), (0, 0, 1, 1), mode="mirror", radius=(0, 0, 4, 4)
        )
        return (given + amount * (given - torch.from_numpy(smooth))).clamp(0, 1)

    agree("unsharp_mask", {"amount": amount}, reference, PLANES[:2])


def test_equalisation_is_scikit_image_s_with_its_lowest_level_moved_to_0():
    @by_plane
    def reference(plane):
        levels = np.round(plane * 255).astype(np.uint8)
        made = skimage.exposure.equalize_hist(levels, nbins=256)
        return np.round((made - made.min()) / (1 - made.min()) * 255) / 255

    # What is halfway between two levels goes to either.
    agree("equalize", {}, reference, atol=1.01 / 255)


def test_an_image_is_resized_and_padded_as_pillow_does():
    given = images(20, 1, 28, 28)
    sizes = set()
    for image, made in zip(given[:, 0], build("resize_pad")(given)[:, 0], strict=True):
        rows, columns = (torch.nonzero(made.sum(axis))[:, 0] for axis in (1, 0))
        top, bottom, left, right = (int(at) for at in (*rows[[0, -1]], *columns[[0, -1]]))
        size = bottom + 1 - top
        assert size == right + 1 - left
        assert 23 <= size <= 28
        sizes.add(size)
        source = Image.fromarray(image.numpy().astype(np.float32))
        # A pixel's upper left corner, not its middle, decides what is nearest.
        moved = (28 / size, 0, -14 / size, 0, 28 / size, -14 / size)
        expected = source.transform((size, size), Image.Transform.AFFINE, moved)
        inner = made[top : bottom + 1, left : right + 1]
        assert (inner.float().numpy() == np.asarray(expected)).mean() > 0.9
    assert len(sizes) > 3


def test_a_crop_is_enlarged_as_opencv_does():
    given = images(5, 3, 28, 28)
    made = build("random_crop")(given)
    side = math.ceil(0.8 * 28)
    for image, found in zip(given, made, strict=True):
        pixels = image.movedim(0, -1).numpy()
        crops = [
            cv2.resize(pixels[y : y + side, x : x + side], (28, 28), interpolation=cv2.INTER_LINEAR)
            for y, x in product(range(28 - side + 1), repeat=2)
        ]
        off = np.abs(np.stack(crops) - found.movedim(0, -1).numpy()).max((1, 2, 3))
        assert sorted(off < 1e-5) == [False] * (len(crops) - 1) + [True]


def test_many_crops_are_the_mean_of_those_that_opencv_makes_at_the_places_drawn():
    given, crops = images(2, 3, 20, 28), 3
    made = build("random_crop", crops=crops, seed=5)(given)
    tall, wide = math.ceil(0.8 * 20), math.ceil(0.8 * 28)
    places = torch.rand((2, 2, crops), generator=torch.Generator().manual_seed(5)).double()
    for image, found, (downs, acrosses) in zip(given, made, places, strict=True):
        pixels, expected = image.movedim(0, -1).numpy(), np.zeros((20, 28, 3))
        for down, across in zip(downs, acrosses, strict=True):
            y, x = int(down * (20 - tall + 1)), int(across * (28 - wide + 1))
            crop = pixels[y : y + tall, x : x + wide]
            expected += cv2.resize(crop, (28, 20), interpolation=cv2.INTER_LINEAR) / crops
        np.testing.assert_allclose(found.movedim(0, -1), expected, atol=1e-5)


def test_a_side_is_the_ceiling_of_its_share_whatever_floating_point_makes_of_it():
    for percent, side in product(range(1, 101), (1, 8, 28, 32, 50, 100, 224, 299)):
        assert shrink(percent / 100, side) == math.ceil(Fraction(percent, 100) * side)
    # A crop of 55 of 100 pixels begins at one of 46 places.
    given = images(1, 1, 100, 100)
    found = build("random_crop", share=0.55)(given)
    crops = [
        functional.interpolate(given[..., y : y + 55, x : x + 55], (100, 100), mode="bilinear")
        for y, x in product(range(46), repeat=2)
    ]
    assert min((crop - found).abs().max() for crop in crops) < 1e-9


def test_the_mean_of_many_crops_is_smooth():
    given = images(1, 1, 28, 28)
    one, many = (build("random_crop", crops=crops)(given).std() for crops in (1, 30))
    assert many < 0.6 * one


def test_a_shield_takes_each_block_from_a_jpeg_of_one_of_its_qualities():
    given = images(3, 1, 28, 28)
    made = build("shield")(given)
    every = torch.stack([build("jpeg", quality=quality)(given) for quality in (20, 40, 60, 80)])
    counts = torch.zeros(4)
    for image, row, column in product(range(3), range(4), range(4)):
        block = (image, 0, slice(8 * row, 8 * row + 8), slice(8 * column, 8 * column + 8))
        found = [torch.equal(made[block], one[block]) for one in every]
        assert sum(found) == 1
        counts += torch.tensor(found)
    assert counts.min() > 3


def test_deflected_pixels_come_from_their_windows_and_are_as_many_as_asked_for():
    # Each pixel knows where it comes from.
    place = torch.arange(28 * 28, dtype=torch.float64).view(1, 1, 28, 28) / 1000
    made = build("pixel_deflection", share=0.25, radius=3)(place)
    source, home = (made * 1000).round().long(), (place * 1000).round().long()
    down, across = (source // 28 - home // 28).abs(), (source % 28 - home % 28).abs()
    assert max(int(down.max()), int(across.max())) == 3
    # One in 49 is deflected to itself.
    assert 0.25 * 784 * 0.9 < int((source != home).sum()) <= 0.25 * 784


@pytest.mark.parametrize("rank", [1, 3])
def test_all_that_is_kept_of_a_low_rank_is_numpy_s_truncated_decomposition(rank):
    def reference(plane):
        left, values, right = np.linalg.svd(2 * plane - 1)
        made = (left[:, :rank] * values[:rank]) @ right[:rank]
        return np.clip((made + 1) / 2, 0, 1)

    agree("low_rank", {"rank": rank, "keep": 1}, by_plane(reference), PLANES[:2])


def test_the_surrogate_of_a_low_rank_has_the_derivative_of_a_matrix_that_has_this_rank():
    columns, rows = images(2, 2, 12, 1) / 2, images(2, 2, 1, 9, seed=1)
    given = (columns * rows).sum(1, keepdim=True) / 2 + 0.5  # moved to [−1, 1] it has rank 2
    module = build("low_rank", rank=2, keep=1)
    torch.testing.assert_close(module.surrogate(given), given)
    direction, step = images(2, 1, 12, 9, seed=2) - 0.5, 1e-5
    ahead, behind = (module.formula(given + way * direction) for way in (step, -step))
    moved = given.clone().requires_grad_()
    gradient = torch.autograd.grad(module.surrogate(moved), moved, direction)[0]
    # The projection is symmetric, so that its product with a gradient is a derivative.
    torch.testing.assert_close(gradient, (ahead - behind) / (2 * step), atol=1e-7, rtol=1e-5)
    assert (gradient - direction).abs().max() > 0.1


def test_what_is_dropped_is_made_good_on_average():
    given = images(1, 1, 12, 12).expand(4000, -1, -1, -1)
    observed = build("low_rank", keep=0.5)._observe(given)
    assert observed.eq(0).double().mean().item() == pytest.approx(0.5, abs=0.01)
    torch.testing.assert_close(observed.mean(0), 2 * given[0] - 1, atol=0.1, rtol=0)


def test_the_operators_of_a_wavelet_are_its_transform():
    plane = images(1, 1, 15, 10)[0, 0].numpy()
    module = build("wavelet", wavelet="db2", noise=1e-9, method="visu")
    found = module(torch.from_numpy(plane)[None, None])
    np.testing.assert_allclose(found[0, 0], plane, atol=1e-6)
    assert pywt.dwt_max_level(10, "db2") == 1


@pytest.mark.parametrize(
    ("kind", "parameters", "said"),
    [
        ("box", {"radius": -1}, "radius = -1 is less than 0"),
        ("wiener", {"radius": -1}, "radius = -1 is less than 0"),
        ("opening", {"radius": -1}, "radius = -1 is less than 0"),
        ("bilateral", {"sigma_color": 0}, "sigma_color = 0 is not positive"),
        ("bilateral", {"sigma_space": 0}, "sigma_space = 0 is not positive"),
        ("nonlocal_means", {"strength": 0}, "strength = 0 is not positive"),
        ("nonlocal_means", {"search": 4}, "search = 4 is no odd number"),
        ("nonlocal_means", {"patch": 2}, "patch = 2 is no odd number"),
        ("total_variation", {"weight": 0}, "weight = 0 is not positive"),
        ("wavelet", {"noise": 0}, "noise = 0 is not positive"),
        ("wavelet", {"method": "sure"}, "method = 'sure' is none of bayes, visu"),
        ("pixel_deflection", {"share": 2}, "share = 2 is not within 0 and 1"),
        ("thermometer", {"levels": 1}, "levels = 1 is less than 2"),
        ("kmeans", {"levels": 0}, "levels = 0 is less than 1"),
        ("unsharp_mask", {"amount": 0}, "amount = 0 is not positive"),
        ("resize_pad", {"smallest": 0}, "smallest = 0 is not within 0 and 1"),
        ("random_crop", {"share": 0}, "share = 0 is not within 0 and 1"),
        ("random_crop", {"crops": 0}, "crops = 0 is less than 1"),
        ("shield", {"lowest": 41}, "lowest = 41 is not within 1 and 40"),
        ("total_variation_dropout", {"weight": 0}, "weight = 0 is not positive"),
        ("total_variation_dropout", {"keep": 0}, "keep = 0 is not within 0 and 1"),
        ("low_rank", {"rank": 0}, "rank = 0 is less than 1"),
        ("low_rank", {"keep": 0}, "keep = 0 is not within 0 and 1"),
    ],
)
def test_a_parameter_out_of_range_is_refused(kind, parameters, said):
    with pytest.raises(ValueError, match=said):
        build(kind, **parameters)


def test_patches_of_five_channels_are_refused():
    with pytest.raises(ValueError, match="1 to 4 channels, not of 5"):
        build("nonlocal_means")(images(1, 5, 8, 8))
