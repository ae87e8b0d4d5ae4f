import math

import pytest
import torch
from epsigma.attacks.carlini_wagner import carlini_wagner
from epsigma.attacks.craft import make_set
from epsigma.attacks.fgsm import fgsm
from epsigma.attacks.gradient import input_gradient
from epsigma.attacks.jsma import jsma
from epsigma.attacks.losses import LOSSES, margin
from epsigma.attacks.pgd import pgd, pgd_l2
from epsigma.attacks.rows import attacked_rows
from epsigma.attacks.square import square
from epsigma.defence import Expectation, build_target, defend
from epsigma.detectors.detector import Detector
from epsigma.detectors.divergence import Divergence
from epsigma.detectors.rejection import ClassifierWithDetectors, attacked_logits, fold_rejection
from epsigma.detectors.squeezing import Squeezing
from epsigma.filters.bitdepth import BitDepth
from epsigma.filters.gaussian import Gaussian
from epsigma.filters.median import Median
from epsigma.filters.noise import GaussianNoise
from epsigma.filters.surrogate import Bpda
from epsigma.plan.plan import Plan
from epsigma.storage.files import write_json
from epsigma.study import validate
from running import SMALL
from torch import nn


class Given(nn.Module):
    """A classifier whose logits are its images, but for the last two values of each."""

    def forward(self, images):
        return images.flatten(1)[:, :-2]


class Value(Detector):
    """Scores an image by one of its values."""

    def __init__(self, at):
        super().__init__()
        self.at = at

    def forward(self, images, logits, model):
        return images.flatten(1)[:, self.at]


class Rough(Detector):
    """Scores an image by how much its neighbouring pixels differ, which attacks raise."""

    def forward(self, images, logits, model):
        return images.diff(dim=-1).square().flatten(1).mean(1)


THRESHOLDS = (0.5, 0.25)


def by_hand(thresholds=THRESHOLDS):
    """Two detectors, whose scores are the last two values."""
    return ClassifierWithDetectors(Given(), Given(), [Value(-2), Value(-1)], thresholds)


def rows(*values):
    return torch.tensor(values)[:, None, None]


# --- The logit of rejection


@pytest.mark.parametrize(
    ("scores", "excess"),
    [
        # The larger of log(score / threshold), of thresholds ½ and ¼.
        ((0.5, 0.25), 0),
        ((1.0, 0.25), math.log(2)),
        ((0.5, 1.0), math.log(4)),
        ((1.0, 1.0), math.log(4)),
        ((0.25, 0.125), -math.log(2)),
        ((0.125, 0.125), -math.log(2)),
    ],
)
def test_the_logit_of_rejection_is_hand_computed(scores, excess):
    # The largest logit, 3, stands out from the mean, 1, by 2.
    found = by_hand()(rows([3.0, 0.0, 0.0, *scores]))
    assert found.tolist() == [pytest.approx([3, 0, 0, 3 + 2 * excess])]


@pytest.mark.parametrize(
    ("scores", "rejected"),
    [
        ((0.0, 0.0), False),
        ((0.4999, 0.2499), False),
        ((0.5, 0.25), False),
        ((0.5001, 0.0), True),
        ((0.0, 0.2501), True),
        ((9.0, 9.0), True),
        # The next number of float32 is above, too.
        ((math.nextafter(0.5, 1) + 6e-8, 0.0), True),
    ],
)
@pytest.mark.parametrize(
    "logits", [(3.0, 0.0, 0.0), (-3.0, -5.0, -4.0), (1e4, 0.0, -1e4), (1.0, 1.0, 1.0)]
)
def test_the_logit_of_rejection_is_the_largest_exactly_if_a_score_exceeds_its_threshold(
    logits, scores, rejected
):
    model, given = by_hand(), rows([*logits, *scores])
    assert model.reject(model.score(given)).any().item() is rejected
    found = model(given)
    assert (found[0, -1] > found[0, :-1].max()).item() is rejected
    assert found.argmax(1).item() == (3 if rejected else logits.index(max(logits)))
    assert torch.isfinite(found).all()


def test_the_answers_of_a_classifier_are_rejected_exactly_where_they_are_suspicious(trained):
    scores = Rough()(trained.images, None, None)
    middle = scores.median().item()
    model = ClassifierWithDetectors(trained.model, trained.model, [Rough()], [middle])
    assert torch.equal(model(trained.images).argmax(1) == 10, scores > middle)
    assert torch.equal(model(trained.images)[:, :-1], trained.model(trained.images))


def test_a_threshold_of_0_rejects_what_scores_at_all():
    model = by_hand((0.0, 0.0))
    given = rows([3.0, 0.0, 0.0, 0.0, 0.0], [3.0, 0.0, 0.0, 1e-9, 0.0], [3.0, 0.0, 0.0, 0.0, 1.0])
    found = model(given)
    assert found.argmax(1).tolist() == [0, 3, 3]
    assert torch.isfinite(found).all()


def test_the_detectors_see_the_images_and_the_bare_classifier_and_not_what_the_filter_returns():
    class Asked(Detector):
        def forward(self, images, logits, model):
            self.seen = images, logits, model
            return images.flatten(1).mean(1)

    bare, one = nn.Flatten(), Asked()
    through = nn.Sequential(Gaussian(sigma=2), bare)
    given = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    found = ClassifierWithDetectors(through, bare, [one], [0.5])(given)
    images, logits, model = one.seen
    assert images is given
    assert torch.equal(logits, given.flatten(1))
    assert model is bare
    assert torch.equal(found[:, :-1], through(given))


def test_only_how_far_the_logits_stand_out_is_not_differentiated():
    given = rows([3.0, 0.0, 0.0, 1.0, 0.0]).requires_grad_()
    (gradient,) = torch.autograd.grad(by_hand()(given)[0, -1], given)
    # ∂(top + 2 · log(score / ½)): 1 by the top, 2 / score by the score.
    assert gradient.flatten().tolist() == pytest.approx([1, 0, 0, 2, 0])


@pytest.mark.parametrize("thresholds", [(), (0.5,), (0.5, 0.5, 0.5)])
def test_as_many_thresholds_as_detectors_are_wanted(thresholds):
    said = f"^2 detectors, {len(thresholds)} thresholds$"
    with pytest.raises(ValueError, match=said):
        by_hand(thresholds)
    with pytest.raises(ValueError, match=r"^0 detectors, 0 thresholds$"):
        ClassifierWithDetectors(Given(), Given(), [], [])


# --- Whom a rejection helps


@pytest.mark.parametrize(
    ("logits", "expected"),
    [
        # Of label 1: what is rejected counts as right.
        ([3.0, 1.0, 0.0, 5.0], [3, 5, 0]),
        # What is not counts as it is.
        ([3.0, 1.0, 0.0, 0.5], [3, 1, 0]),
        # Rejected and right.
        ([3.0, 4.0, 0.0, 5.0], [3, 5, 0]),
        # Not rejected, but nearly: the rejection comes first on the way to being right.
        ([3.0, 1.0, 0.0, 2.5], [3, 2.5, 0]),
    ],
)
def test_a_rejection_counts_for_the_right_class(logits, expected):
    given, label = torch.tensor([logits]), torch.tensor([1])
    before = given.clone()
    found = fold_rejection(given, label)
    assert found.tolist() == [expected]
    assert torch.equal(given, before)
    # An attack has succeeded exactly if it is neither right nor rejected.
    succeeded = given.argmax(1) not in (1, 3)
    assert (margin(found, label) > 0).item() is succeeded


def test_only_a_watched_model_s_rejections_are_settled(trained):
    images, labels = trained.images, trained.labels
    assert torch.equal(attacked_logits(trained.model, images, labels), trained.model(images))
    model = ClassifierWithDetectors(trained.model, trained.model, [Rough()], [0.05])
    assert torch.equal(
        attacked_logits(model, images, labels), fold_rejection(model(images), labels)
    )
    assert attacked_logits(model, images, labels).shape == (360, 10)


def test_what_is_wrong_but_rejected_is_led_out_of_the_rejection(trained):
    model = ClassifierWithDetectors(trained.model, trained.model, [Rough()], [1e-4])
    images = trained.images
    others = (trained.model(images).argmax(1) + 1) % 10
    before = model.score(images)
    assert model.reject(before).all()
    # The margin of another class is that of the rejection over the largest logit.
    gradient, _ = input_gradient(model, images, others, "margin")
    falls = -gradient_of_score(images)
    along = nn.functional.cosine_similarity(gradient.flatten(1), falls.flatten(1))
    torch.testing.assert_close(along, torch.ones(len(images)))
    assert (model.score(images + 1e-4 * gradient.sign()) < before).all()


def gradient_of_score(images):
    x = images.clone().requires_grad_()
    return torch.autograd.grad(Rough()(x, None, None).sum(), x)[0]


# --- Attacks on watched models


@pytest.fixture(scope="module")
def watched(trained):
    """A classifier behind a filter, watched by detectors that let half of the images pass."""
    smooth = Gaussian(sigma=0.6)
    detectors = [Rough(), Divergence(autoencoder=smooth, temperature=10)]
    bare = trained.model
    with torch.no_grad():
        scores = torch.stack([one(trained.images, bare(trained.images), bare) for one in detectors])
    through = defend(Gaussian(sigma=0.4), bare, gradient="exact")
    return ClassifierWithDetectors(through, bare, detectors, scores.median(1).values.tolist())


@pytest.fixture(scope="module")
def accepted(trained, watched):
    """Images that are right and not rejected: those that there is something to attack of."""
    good = watched(trained.images).argmax(1) == trained.labels
    return trained.images[good][:100], trained.labels[good][:100]


def seeded():
    return torch.Generator().manual_seed(0)


# With the share of images that they get through at least.
ATTACKS = {
    "fgsm": (fgsm, {"eps": 0.15, "loss": "margin"}, 0.6),
    "pgd": (pgd, {"eps": 0.15, "steps": 40, "loss": "margin", "generator": None}, 0.85),
    "pgd cross-entropy": (pgd, {"eps": 0.15, "steps": 40, "generator": None}, 0.85),
    "pgd restarts": (pgd, {"eps": 0.15, "steps": 20, "restarts": 3, "generator": None}, 0.85),
    "pgd_l2": (pgd_l2, {"eps": 1.0, "steps": 40, "loss": "margin", "generator": None}, 0.9),
    "square": (square, {"eps": 0.2, "queries": 300, "generator": None}, 0.9),
    "carlini_wagner": (carlini_wagner, {"kappa": 0, "steps": 100, "search_steps": 6}, 0.85),
    "carlini_wagner sure": (carlini_wagner, {"kappa": 2, "steps": 100, "search_steps": 6}, 0.3),
}


def attacked(name, model, images, labels):
    craft, how, _ = ATTACKS[name]
    how = {key: seeded() if key == "generator" else value for key, value in how.items()}
    return craft(model, images, labels, **how)


def gets_through(watched, images, labels):
    """Which images fool the classifier behind its filter, and no detector rejects."""
    with torch.no_grad():
        wrong = watched.filtered_classifier(images).argmax(1) != labels
        return wrong & ~watched.reject(watched.score(images)).any(1)


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_that_know_the_detectors_get_through_them(watched, accepted, name):
    images, labels = accepted
    found = gets_through(watched, attacked(name, watched, images, labels), labels)
    assert found.double().mean() >= ATTACKS[name][2]


@pytest.mark.parametrize("name", ["pgd", "pgd_l2", "carlini_wagner"])
def test_who_knows_the_detectors_gets_through_more_often(watched, accepted, name):
    images, labels = accepted
    aware, unaware = (
        gets_through(watched, attacked(name, model, images, labels), labels).double().mean()
        for model in (watched, watched.filtered_classifier)
    )
    assert aware > unaware + 0.1


def test_what_square_stops_at_gets_through(watched, accepted):
    """It leaves an image alone as soon as it is misclassified, so all but the last are tried."""
    images, labels = accepted
    some = square(watched, images, labels, eps=0.2, queries=300, generator=seeded())
    more = square(watched, images, labels, eps=0.2, queries=299, generator=seeded())
    done = (some == more).flatten(1).all(1) & (
        margin(attacked_logits(watched, some, labels), labels) > 0
    )
    assert done.any()
    assert gets_through(watched, some, labels)[done].all()


@pytest.mark.parametrize("kappa", [0, 2])
def test_what_carlini_and_wagner_return_as_a_success_is_accepted(watched, accepted, kappa):
    images, labels = accepted
    found = carlini_wagner(watched, images, labels, kappa=kappa, steps=100, search_steps=6)
    success = (found != images).flatten(1).any(1)
    assert success.double().mean() > (0.5 if kappa == 0 else 0.2)
    assert gets_through(watched, found, labels)[success].all()
    lead = margin(attacked_logits(watched, found, labels), labels)
    assert lead[success].min() >= kappa - 1e-4


@pytest.mark.parametrize("kappa", [0, 2])
def test_a_targeted_success_is_the_target_and_beats_the_rejection(watched, accepted, kappa):
    images, labels = accepted
    targets = (labels + 1) % 10
    found = carlini_wagner(
        watched, images, labels, kappa=kappa, targets=targets, steps=200, search_steps=8
    )
    success = (found != images).flatten(1).any(1)
    assert success.double().mean() > (0.5 if kappa == 0 else 0.2)
    logits = watched(found[success])
    assert torch.equal(logits.argmax(1), targets[success])
    assert gets_through(watched, found, labels)[success].all()
    assert margin(logits, targets[success]).max() <= -kappa + 1e-4


@pytest.mark.parametrize("outputs", ["logits", "softmax"])
def test_what_jsma_stops_at_is_its_target_and_accepted(watched, accepted, outputs):
    images, labels = accepted
    targets = (labels + 1) % 10
    found = jsma(watched, images, labels, gamma=0.6, targets=targets, theta=0.3, outputs=outputs)
    reached = watched(found).argmax(1) == targets
    assert reached.any()
    assert gets_through(watched, found, labels)[reached].all()
    # One that does not know the detectors stops sooner, and is caught.
    bare = jsma(
        watched.filtered_classifier,
        images,
        labels,
        gamma=0.6,
        targets=targets,
        theta=0.3,
        outputs=outputs,
    )
    named = watched.filtered_classifier(bare).argmax(1) == targets
    assert not gets_through(watched, bare, labels)[named].all()


@pytest.mark.parametrize("steps", [1, 5, 10])
@pytest.mark.parametrize("loss", LOSSES)
def test_to_stop_early_keeps_what_gets_through_and_goes_on_with_what_is_rejected(
    watched, accepted, loss, steps
):
    images, labels = accepted
    how = {"eps": 0.15, "loss": loss, "early_stop": True, "step_size": 0.01}
    found, longer = (
        pgd(watched, images, labels, generator=seeded(), **{**how, "steps": many})
        for many in (steps, 2 * steps)
    )
    kept = gets_through(watched, found, labels)
    assert torch.equal(longer[kept], found[kept])
    assert not torch.equal(longer[~kept], found[~kept])
    # At the last step nobody looks back: all that was left alone before gets through.
    assert gets_through(watched, longer, labels).sum() >= kept.sum() > 0


def test_restarts_keep_a_result_that_gets_through(watched, accepted):
    images, labels = accepted
    how = {"eps": 0.15, "steps": 20, "loss": "cross_entropy"}
    one, three = (
        pgd(watched, images, labels, generator=seeded(), restarts=restarts, **how)
        for restarts in (1, 3)
    )
    first, of_all = (gets_through(watched, found, labels) for found in (one, three))
    assert first.any()
    assert of_all[first].all()
    assert of_all.sum() > first.sum()


class Ravine(Detector):
    """Accepts images of two values that are nearly alike."""

    def forward(self, images, logits, model):
        return images.flatten(1).diff(dim=1).abs().squeeze(1)


@pytest.mark.parametrize(("attack", "eps"), [(pgd, 0.3), (pgd_l2, 0.4)])
def test_along_what_is_accepted_adam_gets_on_where_steps_that_forget_go_to_and_fro(attack, eps):
    # The class is told by the first value; a step aside of half a step's length is rejected.
    bare = nn.Sequential(nn.Flatten(), nn.Linear(2, 2)).requires_grad_(False)
    bare[1].weight.copy_(torch.tensor([[0.0, 0.0], [10.0, 0.0]]))
    bare[1].bias.copy_(torch.tensor([0.0, -6.0]))
    model = ClassifierWithDetectors(bare, bare, [Ravine()], [0.005])
    images = torch.linspace(0.45, 0.55, 50).view(50, 1, 1, 1).expand(50, 1, 1, 2).contiguous()
    labels = torch.zeros(50, dtype=torch.int64)
    how = {"eps": eps, "steps": 40, "step_size": 0.01, "loss": "margin", "random_start": False}
    steepest, adam = (
        attack(model, images, labels, optimizer=one, early_stop=True, **how)
        for one in ("steepest", "adam")
    )
    assert gets_through(model, steepest, labels).float().mean() < 0.5
    assert gets_through(model, adam, labels).all()


# --- What a job is told


def made_of(implementation, gradient, **parameters):
    made = {"implementation": f"epsigma.{implementation}", "parameters": parameters}
    return {**made, "gradient": gradient}


@pytest.fixture
def told(tmp_path):
    """Settings of an aware attacker of a filter that a detector watches."""
    path = tmp_path / "threshold.json"
    write_json(path, {"threshold": 0.125})
    squeezer = made_of("filters.median:Median", "bpda", size=3)
    detector = {
        "detector": "squeezing",
        "implementation": "epsigma.detectors.squeezing:Squeezing",
        "parameters": {"filters": [squeezer]},
        "threshold": str(path),
    }
    return {
        "filter": made_of("filters.bitdepth:BitDepth", "bpda", bits=3),
        "detectors": [detector],
    }


def test_an_aware_attacker_is_told_of_the_detectors(trained, told):
    model = build_target(told, trained.model, seeded())
    assert isinstance(model, ClassifierWithDetectors)
    # Asked by the detectors and behind the filter, it answers once.
    assert model.classifier.module is trained.model
    assert model.filtered_classifier[1] is model.classifier
    assert model.thresholds == (0.125,)
    assert isinstance(model.detectors[0].filters[0], Bpda)
    expected = Squeezing(filters=[Median(size=3)])
    scores = expected(trained.images, trained.model(trained.images), trained.model)
    assert torch.equal(model.score(trained.images).squeeze(1), scores)
    through = defend(BitDepth(bits=3), trained.model, gradient="bpda")
    assert torch.equal(model(trained.images)[:, :-1], through(trained.images))


def test_a_random_filter_is_averaged_over_and_detectors_are_asked_once(trained, told):
    told |= {
        "filter": {**made_of("filters.noise:GaussianNoise", "exact", std=0.1), "random": True},
        "eot_samples": 5,
    }
    model = build_target(told, trained.model, seeded())
    assert isinstance(model.filtered_classifier, Expectation)
    assert model.filtered_classifier.samples == 5
    assert isinstance(model.filtered_classifier.model[0], GaussianNoise)
    assert torch.equal(model.score(trained.images), model.score(trained.images))


def test_detectors_that_draw_are_averaged_over(trained, told):
    noise = {**made_of("filters.noise:GaussianNoise", "exact", std=0.2), "random": True}
    told["detectors"][0]["parameters"]["filters"] = [noise]
    model = build_target({**told, "detector_samples": 4}, trained.model, seeded())
    logits, one = model(trained.images), build_target(told, trained.model, seeded())
    drawn = torch.stack([one(trained.images) for _ in range(4)])
    assert not torch.equal(drawn[0], drawn[1])
    torch.testing.assert_close(logits, drawn.mean(0))
    # The classes' own logits have no draw in them.
    assert torch.equal(logits[:, :-1], one.filtered_classifier(trained.images))


def test_an_aware_attacker_of_a_detector_that_draws_is_told_how_often_to_ask_it():
    def plan(squeezer):
        detector = {"kind": "squeezing", "filters": [squeezer]}
        watched = {"kind": "identity", "name": "watched", "detectors": ["squeezing"]}
        attacks = [{"kind": "fgsm", "eps": [0, 0.1], "eot_samples": 7}]
        return Plan(
            validate({**SMALL, "attacks": attacks, "detectors": [detector], "filters": [watched]})
        )

    at = {"model": "mlp", "attack": "fgsm", "seed": "0", "filter": "watched"}
    for squeezer, samples in (
        ({"kind": "noise", "std": 0.2}, 7),
        ({"kind": "median", "size": 3}, None),
    ):
        recipes = plan(squeezer).recipes
        known = recipes.attack_aware(at)["settings"]
        assert known.get("detector_samples") == samples
        assert "eot_samples" not in known
        # A check of a budget of 0 knows that it draws.
        about = recipes.check()["settings"]["filters"]["watched"]
        assert about["random"] is (samples is not None)


def test_without_detectors_nothing_is_watched(trained, told):
    del told["detectors"]
    assert not isinstance(build_target(told, trained.model, seeded()), ClassifierWithDetectors)


# --- The stage


def timid(model, images, labels, *, eps):
    """An attack that gives up where detectors look on."""
    return (
        images
        if isinstance(model, ClassifierWithDetectors)
        else fgsm(model, images, labels, eps=eps)
    )


def heedless(model, images, labels, *, eps):
    """An attack that gives up where none do."""
    return (
        fgsm(model, images, labels, eps=eps)
        if isinstance(model, ClassifierWithDetectors)
        else images
    )


def counted(model, images, labels, *, eps):
    """An attack that keeps of how many images it was asked."""
    counted.asked.append(len(images))
    return fgsm(model, images, labels, eps=eps)


def test_what_gets_through_watched_is_not_attacked_unwatched(trained):
    model = ClassifierWithDetectors(trained.model, trained.model, [Rough()], [1e3])
    settings = {"implementation": f"{__name__}:counted", "parameters": {"eps": 0.1}}
    rows = attacked_rows(trained.labels, 10, examples=None, targets="untargeted")
    counted.asked = []
    made, _ = make_set(settings, seeded(), model, trained.images, rows)
    fooled = trained.model(made).argmax(1) != trained.labels
    assert counted.asked == [len(trained.labels), int((~fooled).sum())]
    assert counted.asked[1] > 0


@pytest.mark.parametrize("attack", [timid, heedless], ids=lambda attack: attack.__name__)
@pytest.mark.parametrize("threshold", [0.0, 1e3], ids=["all rejected", "none rejected"])
def test_of_two_ways_to_attack_what_detectors_watch_the_one_that_gets_through_counts(
    trained, attack, threshold
):
    model = ClassifierWithDetectors(trained.model, trained.model, [Rough()], [threshold])
    settings = {"implementation": f"{__name__}:{attack.__name__}", "parameters": {"eps": 0.2}}
    rows = attacked_rows(trained.labels, 10, examples=None, targets="untargeted")
    made, _ = make_set(settings, seeded(), model, trained.images, rows)
    moved = (made != trained.images).flatten(1).any(1)
    bold = fgsm(trained.model, trained.images, trained.labels, eps=0.2)
    wrong = trained.model(bold).argmax(1) != trained.labels
    right = trained.model(trained.images).argmax(1) == trained.labels
    assert wrong[right].float().mean() > 0.5
    if attack is timid:
        # What the attack of the bare classifier finds is taken where it gets through, only there.
        assert torch.equal(moved[right], wrong[right] & (threshold > 0))
    elif threshold:
        assert moved[right & wrong].all()
