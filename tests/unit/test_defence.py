import pytest
import torch
from epsigma.attacks.fgsm import fgsm
from epsigma.attacks.gradient import input_gradient
from epsigma.attacks.pgd import pgd, pgd_l2
from epsigma.defence import Expectation, build_target, defend
from epsigma.filters.bitdepth import BitDepth
from epsigma.filters.build import apply_filter, build_filter
from epsigma.filters.filter import Filter
from epsigma.filters.gaussian import Gaussian
from epsigma.filters.jpeg import Jpeg
from epsigma.filters.median import Median
from epsigma.filters.noise import GaussianNoise
from epsigma.filters.none import Identity
from epsigma.filters.surrogate import GRADIENTS, Bpda
from epsigma.randomness import seeded_generator
from epsigma.registry.filters import FILTERS
from epsigma.stages.attack import attack
from epsigma.storage.images import read_clean, read_image_set
from filter_cases import CASES as OTHERS
from torch import nn
from torch.nn import functional
from untrained import any_components, autoencoder, saved

CPU = torch.device("cpu")


def images(*shape, seed=0, dtype=torch.float32):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def gradient_of(function, given, weight):
    """∇ₓ Σ weight · function(x)."""
    x = given.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((function(x) * weight).sum(), x)
    return gradient


def fooled(model, images, labels):
    return model(images).argmax(1) != labels


# Filters with a surrogate of their own.
KNOW_BETTER = (
    *("jpeg", "median", "nonlocal_means", "opening", "closing"),
    *("unsharp_mask", "shield", "low_rank", "kmeans", "total_variation_dropout"),
)
# A filter of each kind; those of frequencies are one class at heart.
CASES = {
    "none": {},
    "identity": {},
    "gaussian": {"sigma": 0.8},
    "lowpass": {"cutoff": 0.3, "shape": "butterworth", "dc": "keep"},
    "highpass": {"cutoff": 0.2, "dc": "keep"},
    "bandpass": {"cutoff": 0.25, "width": 0.4, "dc": "keep"},
    "bitdepth": {"bits": 2},
    "jpeg": {"quality": 25},
    "median": {"size": 3},
    "noise": {"std": 0.1},
    "reformer": {"passes": 2, "autoencoder": autoencoder()},
    "pca": {"components": 2, "autoencoder": any_components()},
    **OTHERS,
}


def settings_of(kind, **parameters):
    """What a job is told of a filter that an attacker knows."""
    found = FILTERS[kind]
    settings = {
        "implementation": found.implementation,
        "parameters": {**CASES[kind], **parameters},
        "gradient": found.gradient,
    }
    return settings | ({"random": True} if found.random else {})


def make(kind):
    return build_filter(settings_of(kind), torch.Generator().manual_seed(0))


# --- BPDA


@pytest.mark.parametrize("kind", FILTERS)
def test_bpda_filters_exactly_as_the_filter_does(kind):
    given = images(3, 3, 9, 14)
    before = given.clone()
    assert torch.equal(Bpda(make(kind))(given), make(kind)(given))
    assert torch.equal(given, before)


@pytest.mark.parametrize("kind", FILTERS)
def test_bpda_has_the_gradient_of_the_surrogate(kind):
    given, weight = images(3, 3, 9, 14), images(3, 3, 9, 14, seed=1)
    found = gradient_of(Bpda(make(kind)), given, weight)
    # Of the same draw, if it draws.
    assert torch.equal(found, gradient_of(make(kind).surrogate, given, weight))
    assert found.abs().max() > 0


def test_bpda_does_not_differentiate_the_filter():
    class Trap(Filter):
        def forward(self, images):
            assert not images.requires_grad
            return images.round()

        def formula(self, images):
            return images.round()

        def surrogate(self, images):
            return images**2

    given = images(3, 1, 4, 4)
    found = gradient_of(Bpda(Trap()), given, torch.ones_like(given))
    torch.testing.assert_close(found, 2 * given)


@pytest.mark.parametrize("kind", [kind for kind in FILTERS if kind not in KNOW_BETTER])
def test_the_surrogate_is_the_identity_unless_the_filter_knows_better(kind):
    given = images(3, 2, 9, 14)
    assert make(kind).surrogate(given) is given


# --- JPEG's surrogate


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_s_gradient_is_half_the_codec_s_and_half_the_identity_s(channels):
    given, weight = images(2, channels, 9, 14), images(2, channels, 9, 14, seed=1)
    module = Jpeg(quality=50)
    expected = (gradient_of(module, given, weight) + weight) / 2
    torch.testing.assert_close(gradient_of(module.surrogate, given, weight), expected)


@pytest.mark.parametrize("quality", [25, 50, 75, 90])
def test_who_follows_the_codec_s_gradient_alone_is_misled(trained, quality):
    module, given = Jpeg(quality=quality), (trained.images, trained.labels)
    masked = nn.Sequential(module, trained.model)
    by_codec, by_surrogate, blind = (
        fooled(masked, fgsm(model, *given, eps=0.1), trained.labels).double().mean()
        for model in (masked, defend(module, trained.model, gradient="bpda"), trained.model)
    )
    assert by_codec < blind - 0.05
    assert by_surrogate > blind - 0.02


# --- The median's surrogate


@pytest.mark.parametrize("border", ["reflect", "replicate", "constant", "circular"])
@pytest.mark.parametrize("levels", [2, 5, 1000])
@pytest.mark.parametrize("size", [2, 5])
def test_the_median_s_surrogate_has_its_value(border, levels, size):
    given = (images(2, 2, 9, 14) * (levels - 1)).round() / (levels - 1)
    module = Median(size=size, border=border)
    torch.testing.assert_close(module.surrogate(given), module(given), atol=1e-6, rtol=0)


@pytest.mark.parametrize("border", ["reflect", "replicate", "constant", "circular"])
@pytest.mark.parametrize("size", [2, 3, 4])
def test_where_all_values_differ_the_median_s_gradient_goes_to_the_one_that_it_is(border, size):
    given = images(2, 1, 9, 14, dtype=torch.float64)
    weight = images(2, 1, 9, 14, seed=1, dtype=torch.float64)
    module = Median(size=size, border=border)
    # A border repeats values, but only the pixel's own.
    expected = gradient_of(module.formula, given, weight)
    torch.testing.assert_close(gradient_of(module.surrogate, given, weight), expected)


def test_on_a_flat_image_the_median_s_gradient_is_that_of_the_mean():
    given, weight = torch.full((1, 1, 8, 8), 0.3), images(1, 1, 8, 8)

    def mean(x):
        return functional.avg_pool2d(functional.pad(x, [1] * 4, mode="circular"), 3, stride=1)

    found = gradient_of(Median(size=3, border="circular").surrogate, given, weight)
    torch.testing.assert_close(found, gradient_of(mean, given, weight))


def test_the_median_s_gradient_is_shared_equally_by_all_that_tie():
    given = torch.tensor([[0.1, 0.5, 0.2], [0.5, 0.9, 0.8], [0.5, 0.3, 0.7]])[None, None]
    middle = torch.zeros(1, 1, 3, 3)
    middle[..., 1, 1] = 1
    found = gradient_of(Median(size=3).surrogate, given, middle)
    torch.testing.assert_close(found, (given == 0.5).float() / 3)


# --- Attacks through a filter


@pytest.mark.parametrize("bits", [1, 3])
def test_an_attack_through_bit_depth_fails_by_its_own_gradient_and_succeeds_by_bpda(trained, bits):
    module = BitDepth(bits=bits)
    given = trained.images, trained.labels
    masked = nn.Sequential(module, trained.model)
    attackable = defend(module, trained.model, gradient="bpda")
    gradient, _ = input_gradient(masked, *given, "margin")
    assert not gradient.any()
    assert torch.equal(fgsm(masked, *given, eps=0.2), trained.images)
    assert torch.equal(pgd(masked, *given, eps=0.2, steps=5, random_start=False), trained.images)

    right = ~fooled(masked, *given)
    for attacked in (fgsm(attackable, *given, eps=0.2), pgd(attackable, *given, eps=0.2, steps=5)):
        assert fooled(masked, attacked, trained.labels)[right].double().mean() > 0.5


@pytest.mark.parametrize("kind", FILTERS)
def test_every_filter_is_attacked_through_a_gradient_that_is_there(trained, kind):
    model = defend(make(kind), trained.model, gradient=FILTERS[kind].gradient)
    gradient, _ = input_gradient(model, trained.images, trained.labels, "margin")
    assert torch.isfinite(gradient).all()
    assert (gradient != 0).flatten(1).any(1).all()


# How many examples more are fooled by who knows the filter, of the 346 that are classified
# correctly when clean. Rounding to few levels, and noise, leave the direction of attacks as it is.
@pytest.mark.parametrize(
    ("kind", "gain"),
    [
        ("gaussian", 60),
        ("lowpass", 30),
        ("highpass", 30),
        ("bandpass", 15),
        ("bitdepth", 0),
        ("jpeg", 15),
        ("median", 60),
        ("noise", -7),
    ],
)
@pytest.mark.parametrize(("craft", "eps"), [(pgd, 0.08), (pgd_l2, 0.5)])
def test_who_knows_the_filter_succeeds_at_least_as_often_as_who_does_not(
    trained, kind, gain, craft, eps
):
    how = {"eps": eps, "steps": 10, "restarts": 3, "loss": "margin"}
    samples = 4 if FILTERS[kind].random else None
    aware = defend(make(kind), trained.model, gradient=FILTERS[kind].gradient, eot_samples=samples)
    right = ~fooled(trained.model, trained.images, trained.labels)
    images, labels = trained.images[right], trained.labels[right]

    def success(model):
        generator = torch.Generator().manual_seed(0)
        attacked = craft(model, images, labels, generator=generator, **how)
        return fooled(trained.model, make(kind)(attacked), labels).sum()

    assert success(aware) >= success(trained.model) + gain


# --- Expectation over transformation


class Dial(nn.Module):
    """A random model: logits scaled by 1, 2, 3, … in turn."""

    def __init__(self):
        super().__init__()
        self.asked = 0

    def forward(self, images):
        self.asked += 1
        return images.flatten(1).square() * self.asked


@pytest.mark.parametrize("samples", [1, 2, 5])
def test_an_expectation_is_the_mean_of_so_many_draws_and_so_is_its_gradient(samples):
    given, weight = images(3, 1, 1, 4), images(3, 4, seed=1)
    mean = (samples + 1) / 2
    model = Dial()
    torch.testing.assert_close(Expectation(model, samples)(given), given.flatten(1).square() * mean)
    assert model.asked == samples
    found = gradient_of(Expectation(Dial(), samples), given, weight)
    torch.testing.assert_close(found, (2 * given.flatten(1) * weight * mean).view_as(given))


def test_an_expectation_is_unbiased_and_its_variance_falls_with_the_samples(trained):
    module = GaussianNoise(std=0.3, generator=torch.Generator().manual_seed(0))
    # Linear, so that the mean of the logits is the logits of the mean.
    layer = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).requires_grad_(False)
    given, repeats = trained.images[:5], 400
    spread = {}
    for samples in (1, 16):
        model = defend(module, layer, gradient="exact", eot_samples=samples)
        draws = torch.stack([model(given) for _ in range(repeats)])
        spread[samples] = draws.var(0)
        error = 5 * (spread[samples] / repeats).sqrt()
        assert ((draws.mean(0) - layer(given)).abs() < error).all()
    assert (spread[1] / spread[16]).mean().item() == pytest.approx(16, rel=0.1)


def test_an_expectation_over_no_draws_is_refused(trained):
    with pytest.raises(ValueError, match="eot_samples = 0 is less than 1"):
        defend(GaussianNoise(std=0.1), trained.model, gradient="exact", eot_samples=0)


# --- Putting a filter in front of a model


@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("module", [Identity(), Gaussian(sigma=1), BitDepth(bits=2)], ids=str)
def test_a_defended_model_is_the_model_behind_the_filter(trained, module, gradient):
    model = defend(module, trained.model, gradient=gradient)
    assert torch.equal(model(trained.images), trained.model(module(trained.images)))


def test_the_gradient_is_the_filter_s_own_unless_it_is_to_be_the_surrogate_s(trained):
    module = Gaussian(sigma=1)
    weight = images(len(trained.images), 10)
    exact = gradient_of(defend(module, trained.model, gradient="exact"), trained.images, weight)
    own = gradient_of(lambda x: trained.model(module(x)), trained.images, weight)
    torch.testing.assert_close(exact, own)
    through = gradient_of(defend(module, trained.model, gradient="bpda"), trained.images, weight)
    straight = gradient_of(trained.model, module(trained.images), weight)
    torch.testing.assert_close(through, straight)
    assert not torch.allclose(exact, through)


@pytest.mark.parametrize("gradient", [None, "none", "eot"])
def test_a_filter_of_which_nobody_said_how_to_attack_it_is_refused(trained, gradient):
    said = "^Median is declared neither .*: say in its registry entry .* gradient .* exact, bpda$"
    with pytest.raises(ValueError, match=said):
        defend(Median(size=3), trained.model, gradient=gradient)


# --- The stage

EPS = 0.1
PGD = {
    "implementation": "epsigma.attacks.pgd:pgd",
    "parameters": {"eps": EPS, "steps": 5, "loss": "margin"},
    "random": True,
}


@pytest.fixture
def run(tmp_path, trained, clean_file, checkpoint, make_job):
    """Run the stage on a job that is aware of a filter: the job, and the sets that it wrote."""

    def run(kind, *, wanted=("adversarial", "filtered"), world=0, attacked_by=PGD, **cell):
        # An autoencoder is read from where it was written.
        needs = FILTERS[kind].autoencoder
        known = settings_of(kind, **({needs: saved(tmp_path, kind)} if needs else {}))
        settings = {"model": trained.settings, "attack": attacked_by, "filter": known}
        if FILTERS[kind].random:
            settings["eot_samples"] = 3
        job = make_job(settings, **cell)
        paths = {name: tmp_path / f"{name}.safetensors" for name in wanted}
        given = {"test": str(clean_file), "checkpoint": str(checkpoint)}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(world)
            attack(job, **given, **{name: str(path) for name, path in paths.items()})
        return job, {name: read_image_set(path, CPU) for name, path in paths.items()}

    return run


@pytest.mark.parametrize("kind", FILTERS)
def test_the_stage_writes_the_aware_attacker_s_set_and_what_the_filter_makes_of_it(
    run, trained, clean_file, kind
):
    job, found = run(kind)
    clean, adversarial, filtered = read_clean(clean_file, CPU), *found.values()
    assert adversarial.images.min() >= 0
    assert adversarial.images.max() <= 1
    linf = (adversarial.images - clean.images).abs().flatten(1).amax(1)
    assert EPS / 2 < linf.max() <= EPS + 1e-6
    for images in (adversarial, filtered):
        assert torch.equal(images.labels, clean.labels)
        torch.testing.assert_close(images.measures["linf"], linf)
    # The filter draws what it draws in the stage filter, not what the attacker saw.
    module = build_filter(job.settings["filter"], seeded_generator(job, CPU, "filter"))
    assert torch.equal(filtered.images, apply_filter(module, adversarial.images))


@pytest.mark.parametrize("kind", ["gaussian", "bitdepth"])
def test_the_stage_attacks_the_filter_and_the_classifier_as_one(run, trained, clean_file, kind):
    deterministic = {
        "implementation": "epsigma.attacks.fgsm:fgsm",
        "parameters": {"eps": EPS, "loss": "margin"},
    }
    _, found = run(kind, attacked_by=deterministic)
    clean = read_clean(clean_file, CPU)
    whole = defend(make(kind), trained.model, gradient=FILTERS[kind].gradient)
    expected = fgsm(whole, clean.images, clean.labels, eps=EPS, loss="margin")
    torch.testing.assert_close(found["adversarial"].images, expected)
    blind = fgsm(trained.model, clean.images, clean.labels, eps=EPS, loss="margin")
    assert not torch.equal(expected, blind)


@pytest.mark.parametrize("kind", ["gaussian", "noise"])
def test_an_aware_attack_is_the_same_for_a_cell_and_another_for_others(run, kind):
    def both(**options):
        _, found = run(kind, **options)
        return torch.stack([found[name].images for name in ("adversarial", "filtered")])

    first = both(seed="0", world=1)
    assert torch.equal(first, both(seed="0", world=2))
    assert not torch.equal(first, both(seed="1", world=1))


@pytest.mark.parametrize("wanted", ["adversarial", "filtered"])
def test_the_stage_writes_only_what_is_wanted_and_the_same(run, tmp_path, wanted):
    _, found = run("noise", wanted=[wanted])
    for name in ("adversarial", "filtered"):
        assert (tmp_path / f"{name}.safetensors").exists() == (name == wanted)
    _, both = run("noise")
    assert torch.equal(found[wanted].images, both[wanted].images)


def test_a_random_filter_is_asked_as_often_as_its_samples_say(trained):
    settings = {"filter": settings_of("noise"), "eot_samples": 7}
    model = build_target(settings, trained.model, torch.Generator())
    assert isinstance(model, Expectation)
    assert model.samples == 7
    assert build_target({}, trained.model, torch.Generator()) is trained.model


@pytest.mark.parametrize("kind", ["median", "gaussian", "wavelet"])
def test_an_attacker_may_take_the_gradient_of_the_identity_instead(kind, trained):
    settings = {"filter": settings_of(kind), "gradient": "identity"}
    images = trained.images[:5].clone().requires_grad_()
    filtered = apply_filter(make(kind), trained.images[:5])
    logits = build_target(settings, trained.model, torch.Generator())(images)
    assert torch.equal(logits, trained.model(filtered))
    weights = torch.randn(logits.shape, generator=torch.Generator().manual_seed(0))
    (found,) = torch.autograd.grad((logits * weights).sum(), images)
    bare = filtered.requires_grad_()
    (expected,) = torch.autograd.grad((trained.model(bare) * weights).sum(), bare)
    torch.testing.assert_close(found, expected)


def test_a_part_of_which_nobody_said_how_to_attack_it_filters_and_refuses_an_attacker(trained):
    first, then = settings_of("gaussian"), {**settings_of("median"), "gradient": None}
    module = build_filter({**first, "then": [then]})
    expected = Median(size=3)(make("gaussian")(trained.images))
    assert torch.equal(apply_filter(module, trained.images), expected)
    with pytest.raises(ValueError, match="Median is declared neither differentiable nor handled"):
        fgsm(defend(module, trained.model, gradient="exact"), trained.images, trained.labels, eps=0)
