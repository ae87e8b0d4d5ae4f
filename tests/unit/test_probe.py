from itertools import pairwise

import numpy as np
import pytest
import torch
from epsigma.attacks.gradient import differentiate_as_is
from epsigma.attacks.pgd import pgd
from epsigma.attacks.rows import attacked_rows
from epsigma.filters.bitdepth import BitDepth
from epsigma.filters.filter import Filter
from epsigma.filters.frequency import HighPass, LowPass
from epsigma.filters.gaussian import Gaussian
from epsigma.filters.median import Median
from epsigma.filters.noise import GaussianNoise
from epsigma.filters.none import Identity
from epsigma.models.mlp import MLP
from epsigma.probing.attacks import Trace, find_successes
from epsigma.probing.filters import response_error
from epsigma.registry.attacks import ATTACKS
from epsigma.registry.filters import FILTERS
from epsigma.stages.fooling.probe import probe_fooling
from epsigma.stages.probe import probe_attack, probe_filter, probe_model
from epsigma.storage.files import read_json
from epsigma.storage.images import write_tensors
from epsigma.storage.ledgers import write_ledger
from filter_cases import CASES
from torch import nn
from untrained import saved

CPU = torch.device("cpu")


def settings(implementation, random=False, **parameters):
    """How to make something, as the rules say it."""
    module = implementation.__module__
    made = {"implementation": f"{module}:{implementation.__name__}", "parameters": parameters}
    return made | ({"random": True} if random else {})


# --- Models


class Softmax(MLP):
    def forward(self, images):
        return super().forward(images).softmax(1)


class Awake(MLP):
    """A model that eval mode does not reach."""

    def __init__(self, shape, classes, *, hidden):
        super().__init__(shape, classes, hidden=hidden)
        self.dropout = nn.Dropout(0.5)

    def train(self, mode=True):
        super().train(mode)
        self.dropout.train()
        return self

    def forward(self, images):
        return super().forward(self.dropout(images))


class Sociable(MLP):
    """A model whose logits are relative to those of the other images of a batch."""

    def forward(self, images):
        logits = super().forward(images)
        return logits - logits.mean(0)


class Saturated(MLP):
    def forward(self, images):
        return 1e6 * super().forward(images)


@pytest.fixture
def ask_model(tmp_path, clean_file, checkpoint, make_job):
    """Probe a model that has the weights of the trained one."""

    def ask(implementation=MLP, test=clean_file):
        path = tmp_path / "model.json"
        job = make_job({"model": settings(implementation, hidden=32)}, dataset="digits", seed="3")
        probe_model(job, test=str(test), checkpoint=str(checkpoint), facts=str(path))
        return read_json(path)

    return ask


def test_a_model_is_asked_what_it_gets_right_and_how_its_logits_look(ask_model, trained):
    found = ask_model()
    right = trained.model(trained.images).argmax(1) == trained.labels
    assert found["cell"] == {"dataset": "digits", "seed": "3"}
    assert (found["n"], found["n_correct"]) == (360, int(right.sum()))
    assert found["majority"] == pytest.approx(int(trained.labels.bincount().max()) / 360)
    assert found["probability_like"] == 0
    assert found["training_modules"] == 0
    assert found["repeat_error"] == 0
    # Sums in another order.
    assert found["batch_error"] < 1e-4


def test_probabilities_are_told_from_logits(ask_model):
    assert ask_model(Softmax)["probability_like"] == 1


def test_a_model_that_does_not_go_into_eval_mode_is_noticed(ask_model):
    found = ask_model(Awake)
    assert found["training_modules"] == 1
    assert found["repeat_error"] > 0.1


def test_a_model_that_looks_at_the_whole_batch_is_noticed(ask_model):
    found = ask_model(Sociable)
    assert found["repeat_error"] == 0
    assert found["batch_error"] > 0.1


def test_a_model_is_right_by_chance_on_shuffled_labels(ask_model, trained, tmp_path):
    order = torch.randperm(360, generator=torch.Generator().manual_seed(0))
    test = tmp_path / "shuffled.safetensors"
    images = (trained.images * 255).round().byte()
    write_tensors(test, {"images": images, "labels": trained.labels[order]}, {"classes": "10"})
    assert ask_model(test=test)["n_correct"] / 360 < 0.2


# --- Filters


class Stronger(Gaussian):
    """A Gaussian that is one percent too bright."""

    def forward(self, images):
        return super().forward(images) * 1.01


class Idle(Gaussian):
    def forward(self, images):
        return images


class Louder(GaussianNoise):
    """Noise that is a fifth louder than it says."""

    def forward(self, images):
        return images + 1.2 * (super().forward(images) - images)


class Biased(GaussianNoise):
    def forward(self, images):
        return super().forward(images) + 0.1


@pytest.fixture
def ask_filter(tmp_path, clean_file, make_job):
    def ask(implementation, identity_parameters=None, random=False, **parameters):
        made = settings(implementation, random, **parameters)
        how = {"filter": made, "identity_parameters": identity_parameters or {}}
        path = tmp_path / "filter.json"
        job = make_job(how, dataset="digits", filter="mine", strength="fixed")
        probe_filter(job, test=str(clean_file), facts=str(path))
        return read_json(path)

    return ask


def test_no_filter_changes_nothing(ask_filter):
    found = ask_filter(Identity)
    assert found["cell"] == {"dataset": "digits", "filter": "mine", "strength": "fixed"}
    assert (found["changed"], found["formula_error"]) == (0, 0)
    assert (found["deviation"], found["standard_error"], found["measured_deviation"]) == (0, 0, 0)
    assert found["response_error"] is None
    assert found["all_pass_error"] is None


EVERY = {
    "gaussian": {"sigma": 1.0},
    "lowpass": {"cutoff": 0.2, "dc": "keep"},
    "highpass": {"cutoff": 0.1, "dc": "drop"},
    "bandpass": {"cutoff": 0.2, "dc": "drop"},
    "bitdepth": {"bits": 2},
    "jpeg": {"quality": 50},
    "median": {"size": 3},
    "noise": {"std": 0.1},
    "reformer": {"passes": 2},
    "pca": {"components": 5},
    **CASES,
}


def test_every_filter_that_does_something_is_probed():
    assert set(EVERY) == {name for name in FILTERS if name not in ("none", "identity")}


@pytest.mark.parametrize("kind", EVERY)
def test_every_filter_is_its_formula_changes_images_and_can_pass_all(
    tmp_path, clean_file, make_job, kind
):
    about = FILTERS[kind]
    parameters = dict(EVERY[kind])
    if about.autoencoder:
        parameters[about.autoencoder] = saved(tmp_path, kind)
    how = {"implementation": about.implementation, "parameters": parameters}
    how |= {"random": True} if about.random else {}
    job = make_job(
        {"filter": how, "identity_parameters": dict(about.identity_parameters)}, filter=kind
    )
    path = tmp_path / "filter.json"
    probe_filter(job, test=str(clean_file), facts=str(path))
    found = read_json(path)
    assert found["changed"] > 0.01
    assert found["formula_error"] <= 1e-5 + 6 * found["standard_error"] + found["tolerance"]
    if about.identity_parameters:
        assert found["all_pass_error"] <= 1e-5
    else:
        assert found["all_pass_error"] is None
    if kind == "noise":
        assert found["measured_deviation"] == pytest.approx(found["deviation"], rel=0.01)
        assert found["standard_error"] == pytest.approx(found["deviation"] / 20)


def test_a_filter_that_is_a_percent_off_its_formula_is_noticed(ask_filter):
    right, wrong = (ask_filter(which, sigma=0.5) for which in (Gaussian, Stronger))
    assert right["formula_error"] < 1e-6
    assert wrong["formula_error"] == pytest.approx(0.01, rel=0.1)
    assert right["response_error"] < 1e-6
    assert wrong["response_error"] == pytest.approx(0.01, rel=0.01)


def test_a_filter_that_does_nothing_is_noticed(ask_filter):
    found = ask_filter(Idle, sigma=1.0)
    assert found["changed"] == 0
    assert found["formula_error"] > 0.1


def test_a_filter_that_stops_something_of_everything_is_noticed(ask_filter):
    found = ask_filter(Stronger, identity_parameters={"sigma": 0.01}, sigma=1.0)
    assert found["all_pass_error"] == pytest.approx(0.01)


def test_noise_of_another_deviation_or_with_a_mean_is_noticed(ask_filter):
    right, louder, biased = (
        ask_filter(which, random=True, std=0.1) for which in (GaussianNoise, Louder, Biased)
    )
    for found in (right, louder, biased):
        assert found["deviation"] == 0.1
        assert found["standard_error"] == pytest.approx(0.005)
    assert right["measured_deviation"] == pytest.approx(0.1, rel=0.01)
    assert louder["measured_deviation"] == pytest.approx(0.12, rel=0.01)
    assert right["formula_error"] < 6 * 0.005 < 0.1 < biased["formula_error"]


def impulse(height, width):
    image = torch.zeros(1, 1, height, width)
    image[..., height // 2, width // 2] = 1
    return image


@pytest.mark.parametrize(
    ("module", "size"),
    [
        (Gaussian(sigma=0.5), (8, 8)),
        (Gaussian(sigma=2), (28, 28)),
        # Cut off early, it has a response of either sign.
        (Gaussian(sigma=2, truncate=1), (28, 28)),
        (Gaussian(sigma=2, border="constant"), (28, 28)),
        (Gaussian(sigma=2), (28, 40)),
        (Gaussian(sigma=3, border="circular"), (28, 28)),
        (LowPass(cutoff=0.2, dc="keep"), (8, 8)),
        (HighPass(cutoff=0.1, dc="drop", shape="gaussian"), (9, 12)),
    ],
    ids=str,
)
def test_an_impulse_response_has_the_spectrum_that_its_formula_says(module, size):
    assert response_error(module, impulse(*size)) < 1e-5


@pytest.mark.parametrize(
    ("module", "size"),
    [
        # Reaches the border, where the image goes on otherwise than with nothing.
        (Gaussian(sigma=1), (8, 8)),
        (Gaussian(sigma=4), (28, 28)),
        (Gaussian(sigma=1), (4, 28)),
        (Gaussian(sigma=1), (28, 4)),
        # Not linear.
        (LowPass(cutoff=0.2, dc="keep", post="clip"), (8, 8)),
        (LowPass(cutoff=0.2, dc="keep", post="rescale"), (8, 8)),
        (Median(size=3), (8, 8)),
        (BitDepth(bits=2), (8, 8)),
    ],
    ids=str,
)
def test_of_what_has_no_response_or_a_border_that_has_a_say_no_spectrum_is_asked(module, size):
    assert response_error(module, impulse(*size)) is None


# --- Attacks


def parts_of(kind, parameters, given):
    """What the checks of a study want to know of an attack of a kind."""
    entry, aims = ATTACKS[kind], given.get("targets", "untargeted") != "untargeted"
    is_iterative = entry.family == "iterative"
    wanted = {
        "longer": entry.spends,
        "unbounded": is_iterative and entry.norm != "l0",
        "auto_pgd": is_iterative and entry.norm in ("linf", "l2") and not aims,
        "gradients": "loss" in parameters,
    }
    return [part for part, is_wanted in wanted.items() if is_wanted]


def about(kind, budget, **parameters):
    """What the rules say of an attack: how to make it, and what its kind is."""
    entry = ATTACKS[kind]
    defaults = {
        name: schema["default"] for name, schema in entry.schemas.items() if "default" in schema
    }
    parameters = {**defaults, **parameters, entry.swept: budget}
    # Not hyper-parameters of the implementation, but what there is to make.
    given = {name: parameters.pop(name) for name in ("targets", "examples") if name in parameters}
    given |= {"images": parameters.pop("images")} if entry.family == "fooling" else {}
    attack = {"implementation": entry.implementation, "parameters": parameters, **given}
    return {
        "attack": attack
        | ({"random": True} if entry.random else {})
        | ({"ensemble": True} if entry.ensemble else {}),
        "norm": entry.norm,
        "family": entry.family,
        "parts": parts_of(kind, parameters, given),
        "is_held": not entry.ensemble,
        "swept": entry.swept,
        "spends": entry.spends,
        "traced": entry.traced,
    }


@pytest.fixture
def ask_attack(tmp_path, clean_file, checkpoint, make_job):
    def ask(how, model=MLP, files=None, **more):
        path = tmp_path / "attack.json"
        job = make_job({"model": settings(model, hidden=32), **how, **more}, dataset="digits")
        probe = probe_fooling if how["family"] == "fooling" else probe_attack
        probe(
            job, test=str(clean_file), checkpoint=str(checkpoint), facts=str(path), **(files or {})
        )
        return read_json(path)

    return ask


ALWAYS = {"cell", "n", "majority", "budget"}
TRIED = {"spends", "tried", "errors", "sizes"}
TRACED = {"steps", "losses"}
UNBOUNDED = {"unbounded_accuracy", "n_unbounded"}
HALF_RANGE = {"half_accuracy", "n_half"}
HELD = {"n_fooled", "n_fooled_by_auto_pgd"}


@pytest.mark.parametrize(
    ("kind", "parameters", "expected"),
    [
        ("fgsm", {}, {"lost_gradients"}),
        (
            "pgd",
            {"steps": 5},
            {*UNBOUNDED, *HALF_RANGE, "lost_gradients", *TRIED, *TRACED, *HELD},
        ),
        ("pgd_l2", {"steps": 5}, {*UNBOUNDED, "lost_gradients", *TRIED, *TRACED, *HELD}),
        ("square", {"queries": 10}, TRIED),
        # It has Auto-PGD among its attacks.
        (
            "autoattack",
            {"steps": 3, "queries": 5},
            {*UNBOUNDED, *HALF_RANGE, *TRIED, "n_fooled"},
        ),
    ],
)
def test_an_attack_is_asked_what_its_kind_can_say(ask_attack, trained, kind, parameters, expected):
    found = ask_attack(about(kind, 0.1, **parameters))
    assert set(found) == ALWAYS | expected
    assert (found["cell"], found["n"]) == ({"dataset": "digits"}, 360)
    assert found["majority"] == pytest.approx(trained.labels.bincount().max().item() / 360)


@pytest.mark.parametrize("kind", ["pgd", "pgd_l2"])
def test_auto_pgd_finds_what_an_attack_of_too_short_steps_does_not(ask_attack, kind):
    eps = 0.1 if kind == "pgd" else 1.0
    weak = ask_attack(about(kind, eps, steps=5, step_size=1e-4, random_start=False))
    strong = ask_attack(about(kind, eps, steps=40, loss="margin"))
    assert weak["n_fooled"] == round(weak["errors"][0] * weak["n"])
    assert weak["n_fooled"] + 20 < strong["n_fooled"]
    assert abs(strong["n_fooled_by_auto_pgd"] - strong["n_fooled"]) <= 10
    assert abs(weak["n_fooled_by_auto_pgd"] - strong["n_fooled_by_auto_pgd"]) <= 3


def made_of_nothing(kind):
    """What a probe of fooling images, which are of no test image, does not say."""
    return {"majority"} if kind.startswith("fooling") else set()


SEARCH = {"steps": 30, "search_steps": 3, "learning_rate": 0.1, "initial_c": 1.0}


@pytest.mark.parametrize(
    ("kind", "budget", "parameters", "n", "expected"),
    [
        # Its budget is a number of features: there is nothing to set free.
        ("jsma", 0.1, {"examples": 2}, 18, set()),
        (
            "carlini_wagner",
            0,
            {**SEARCH, "examples": 6},
            6,
            {*UNBOUNDED, *TRIED, *TRACED},
        ),
        (
            "carlini_wagner",
            0,
            {**SEARCH, "examples": 2, "targets": [3, 5]},
            4,
            {*UNBOUNDED, *TRIED, *TRACED},
        ),
        ("fooling", 0.9, {"images": 2, "steps": 30}, 20, {*TRIED, *TRACED}),
        (
            "fooling_evolution",
            0.9,
            {"images": 1, "generations": 20},
            10,
            {*TRIED, *TRACED},
        ),
    ],
)
def test_an_attack_without_a_ball_is_asked_row_by_row_what_its_kind_can_say(
    ask_attack, kind, budget, parameters, n, expected
):
    found = ask_attack(about(kind, budget, **parameters))
    assert set(found) == ALWAYS - made_of_nothing(kind) | expected
    assert (found["n"], found["budget"]) == (n, f"{ATTACKS[kind].swept}~{budget:g}")


@pytest.mark.parametrize("targets", ["untargeted", "all", [2, 7]])
def test_an_attack_that_is_longer_at_work_reaches_more_or_comes_nearer(ask_attack, targets):
    long = {**SEARCH, "steps": 20, "search_steps": 6, "initial_c": 10.0}
    found = ask_attack(about("carlini_wagner", 0, **long, examples=4, targets=targets))
    assert found["tried"] == [20, 40]
    assert 0.5 < found["errors"][0] <= found["errors"][1]
    assert found["errors"][0] < 1 or 0 < found["sizes"][1] < found["sizes"][0]
    assert found["unbounded_accuracy"] == pytest.approx(1 - found["errors"][0])


def test_where_nothing_is_reached_nothing_has_a_size(ask_attack):
    how = about("carlini_wagner", 1e6, **{**SEARCH, "steps": 2, "search_steps": 1}, examples=3)
    found = ask_attack(how)
    # No such lead of the logits is found; what is right when clean stays so.
    assert (found["errors"], found["sizes"]) == ([0, 0], [None, None])
    assert found["unbounded_accuracy"] == 1


def test_an_attack_without_bounds_need_not_be_able_to_try_longer(ask_attack):
    how = about("carlini_wagner", 0, **SEARCH, examples=6) | {"parts": ["unbounded"]}
    found = ask_attack(how)
    assert set(found) == ALWAYS | UNBOUNDED
    assert found["unbounded_accuracy"] == 0


def test_a_fooling_image_succeeds_at_the_confidence_only(ask_attack):
    # In few steps many are named, and fewer with confidence.
    low, high = (
        ask_attack(about("fooling", confidence, images=3, steps=12)) for confidence in (0.5, 0.9999)
    )
    assert low["errors"][0] > high["errors"][0] + 0.3
    assert high["errors"][0] < high["errors"][1]
    assert high["sizes"] == [None, None]


def test_a_loss_is_followed_step_by_step(ask_attack):
    found = ask_attack(about("pgd", 0.1, steps=7, random_start=False))
    assert found["steps"] == list(range(1, 8))
    assert found["losses"] == sorted(found["losses"])
    assert found["losses"][0] < found["losses"][-1] / 2


@pytest.mark.parametrize(
    ("kind", "plain", "several"),
    [
        ("apgd", {"early_stop": False}, {}),
        ("apgd", {"early_stop": False}, {"restarts": 2}),
        ("apgd", {"early_stop": False, "target_classes": 1}, {"target_classes": 3}),
        ("pgd", {}, {"early_stop": True}),
        ("pgd", {}, {"restarts": 3}),
    ],
)
def test_a_loss_is_followed_in_one_run_that_no_row_leaves(ask_attack, kind, plain, several):
    how = {"steps": 9, "loss": "targeted_dlr"} if "target_classes" in several else {"steps": 9}
    found = ask_attack(about(kind, 0.1, **how, **several))
    steps = 10 if kind == "apgd" else 9
    assert found["steps"] == list(range(1, steps + 1))
    assert found["losses"][0] < found["losses"][-1]
    # From the same start the curve is that of the attack which is such a run; here, from another.
    alone = ask_attack(about(kind, 0.1, **how, **plain))
    assert found["losses"] == pytest.approx(alone["losses"], rel=0.1, abs=0.05)
    # The rates are those of the attack as it is: with more restarts or targets, not lower.
    assert found["errors"][0] >= alone["errors"][0] - 0.02


def test_the_rows_of_a_probe_are_one_batch_with_one_loss_curve(ask_attack, monkeypatch):
    monkeypatch.setattr("epsigma.stages.probe.IMAGES", 20)
    monkeypatch.setattr("epsigma.storage.batches.BATCH", 20)
    how = about("carlini_wagner", 0, **{**SEARCH, "search_steps": 1}, targets="all")
    found = ask_attack(how)
    assert found["n"] == 20
    # Two batches would have had twice as many steps.
    assert found["steps"][-1] <= 30


def test_an_aware_probe_of_fooling_images_is_of_what_the_filter_makes_of_them(ask_attack):
    how = about("fooling", 0.9, images=2, steps=40)
    bare, blank = ask_attack(how), ask_attack(how, **aware(Blank, "exact"))
    assert bare["errors"][1] > 0.5
    assert blank["errors"] == [0, 0]
    assert len(blank["losses"]) == 40


@pytest.mark.parametrize("parts", [["gradients"], ["unbounded"], ["auto_pgd"], []], ids=str)
def test_nothing_is_measured_that_no_check_wants(ask_attack, monkeypatch, parts):
    gradients = []

    def count(model, images, *more, **options):
        gradients.append(len(images))
        return differentiate_as_is(model, images, *more, **options)

    monkeypatch.setattr("epsigma.probing.attacks.differentiate_as_is", count)
    monkeypatch.setattr("epsigma.attacks.gradient.differentiate_as_is", count)
    found = ask_attack(about("pgd", 0.1, steps=2) | {"parts": parts, "is_held": False})
    expected = {
        "gradients": ({"lost_gradients"}, 1),
        "unbounded": (UNBOUNDED | HALF_RANGE, 4),
        "auto_pgd": ({"n_fooled"}, 2),
    }
    more, runs = expected[parts[0]] if parts else (set(), 0)
    assert set(found) == ALWAYS | more
    assert sum(gradients) == runs * 360


@pytest.mark.parametrize(
    ("targets", "fooled"), [("untargeted", [True, False, True]), ([2], [False, True, False])]
)
def test_what_a_cell_has_found_is_looked_up_row_by_row(targets, fooled):
    rows = attacked_rows(torch.tensor([0, 1, 0]), 10, examples=None, targets=targets)
    columns = {"index": np.array([0, 1, 2], np.int32), "l2": np.array([3, 1, 2], np.float32)}
    columns |= {"correct": ~np.array(fooled), "reached": np.array(fooled)}
    columns |= {"target": np.array([2, 2, 2], np.int16)}
    found = find_successes(columns, rows)
    assert (found.count, found.n, found.size) == (sum(fooled), 3, 2.5 if fooled[0] else 1)
    # Of fewer images than were attacked, those; of more, none.
    assert find_successes(columns, rows[:2]).n == 2
    assert find_successes({name: column[:2] for name, column in columns.items()}, rows) is None


def test_a_probe_goes_on_from_its_cell(ask_attack, tmp_path):
    right = np.arange(360) % 3 == 0
    ledger = {"index": np.arange(360), "correct": right, "l2": np.ones(360, np.float32)}
    write_ledger(tmp_path / "cell.parquet", ledger, {})
    how = about("square", 0.1, queries=3)
    known = ask_attack(how, files={"ledger": str(tmp_path / "cell.parquet")})
    assert known["errors"][0] == pytest.approx(2 / 3)
    assert known["errors"][1] != known["errors"][0]


# --- Loss curves


@pytest.mark.parametrize(
    ("count", "points", "steps"),
    [
        (0, 400, []),
        (1, 400, [1]),
        (3, 400, [1, 2, 3]),
        (5, 5, [1, 2, 3, 4, 5]),
        (9, 5, [1, 3, 5, 7, 9]),
        (10, 2, [1, 10]),
    ],
)
def test_a_loss_curve_is_thinned_evenly_and_keeps_both_ends(count, points, steps):
    trace = Trace()
    for i in range(count):
        trace(torch.tensor([i - 1.0, i + 1.0]))
    assert trace.thinned(points) == (steps, [step - 1.0 for step in steps])


def test_a_long_loss_curve_has_so_many_points_at_most():
    trace = Trace()
    for i in range(9001):
        trace(torch.tensor([float(i)]))
    steps, losses = trace.thinned(400)
    assert len(steps) == len(losses) == 400
    gaps = {after - before for before, after in pairwise(steps)}
    assert gaps == {22, 23}


def test_few_of_many_images_are_enough(ask_attack, monkeypatch):
    monkeypatch.setattr("epsigma.stages.probe.IMAGES", 50)
    assert ask_attack(about("fgsm", 0.1))["n"] == 50


@pytest.mark.parametrize("kind", ["pgd", "pgd_l2"])
def test_without_bounds_gradients_fool_a_model_on_everything(ask_attack, kind):
    found = ask_attack(about(kind, 0.01, steps=20))
    assert found["unbounded_accuracy"] == 0
    assert found.get("half_accuracy", 0) <= 0.1


@pytest.mark.parametrize("kind", ["pgd", "pgd_l2"])
def test_steps_of_a_given_size_grow_with_the_ball(ask_attack, kind):
    how = {"steps": 10, "step_size": 0.01 * 0.25, "random_start": False}
    found = ask_attack(about(kind, 0.01, **how))
    assert found["unbounded_accuracy"] == 0
    assert found.get("half_accuracy", 0) <= 0.1


def test_an_attack_that_does_not_use_its_budget_is_noticed(ask_attack):
    found = ask_attack(about("pgd", 0.1, steps=1, step_size=0.001, random_start=False))
    assert found["unbounded_accuracy"] > 0.9
    assert found["half_accuracy"] > 0.9
    # Counts say the same.
    for accuracy, count in (("unbounded_accuracy", "n_unbounded"), ("half_accuracy", "n_half")):
        assert found[count] / found["n"] == pytest.approx(found[accuracy])


def test_an_attack_is_tried_for_as_long_as_it_is_configured_and_for_twice_as_long(
    ask_attack, trained
):
    how = about("pgd", 0.1, steps=3, step_size=0.02, random_start=False)
    found = ask_attack(how)
    assert found["budget"] == "eps~0.1"
    assert (found["spends"], found["tried"]) == ("steps", [3, 6])
    once, twice = found["errors"]
    for steps, error in ((3, once), (6, twice)):
        parameters = {**how["attack"]["parameters"], "steps": steps}
        attacked = pgd(trained.model, trained.images, trained.labels, **parameters)
        wrong = trained.model(attacked).argmax(1) != trained.labels
        # Images are 8 bits deep in the file.
        assert error == pytest.approx(wrong.float().mean().item(), abs=0.01)
    assert twice > once + 0.05


def test_a_search_finds_more_in_twice_as_many_queries(ask_attack):
    found = ask_attack(about("square", 0.2, queries=5))
    assert (found["spends"], found["tried"]) == ("queries", [5, 10])
    assert found["errors"][0] < found["errors"][1]


def test_the_same_is_found_each_time(ask_attack):
    one, other = (ask_attack(about("pgd", 0.1, steps=3)) for _ in range(2))
    assert one == other


@pytest.mark.parametrize(
    ("model", "loss", "lost"),
    [
        (MLP, "cross_entropy", 0),
        (MLP, "margin", 0),
        # A softmax that is 0 or 1 has no gradient; the logits' margin has.
        (Saturated, "cross_entropy", 0.9),
        (Saturated, "margin", 0),
    ],
)
def test_gradients_that_saturation_masks_are_counted(ask_attack, model, loss, lost):
    found = ask_attack(about("fgsm", 0.1, loss=loss), model)
    assert lost <= found["lost_gradients"] <= min(1, 1.2 * lost)


def aware(implementation, gradient, random=False, eot_samples=None, **parameters):
    how = {"filter": settings(implementation, random, **parameters) | {"gradient": gradient}}
    return how | ({} if eot_samples is None else {"eot_samples": eot_samples})


@pytest.mark.parametrize(("gradient", "lost"), [("exact", 1), ("bpda", 0)])
def test_gradients_that_a_filter_masks_are_counted_unless_they_are_approximated(
    ask_attack, gradient, lost
):
    found = ask_attack(about("fgsm", 0.1), **aware(BitDepth, gradient, bits=3))
    assert found["lost_gradients"] == lost


class Blank(Filter):
    """A filter that lets nothing pass."""

    def forward(self, images):
        return images * 0

    def formula(self, images):
        return images * 0


class Masked(Filter):
    """Black and white; an attacker finds no gradient."""

    def forward(self, images):
        return images.round()

    def formula(self, images):
        return images.round()

    def surrogate(self, images):
        return images * 0


def test_an_attacker_s_way_through_a_filter_is_held_to_that_of_the_identity(ask_attack):
    how = about("pgd", 0.3, steps=5, loss="margin") | {"parts": ["by_identity"]}
    masked = ask_attack(how, **aware(Masked, "bpda"))
    assert set(masked) == ALWAYS | {"n_fooled", "n_fooled_by_identity"}
    assert masked["n_fooled"] + 50 < masked["n_fooled_by_identity"]
    # Rounding itself, whose surrogate is the identity.
    open_ = ask_attack(how, **aware(BitDepth, "bpda", bits=1))
    assert abs(open_["n_fooled"] - open_["n_fooled_by_identity"]) <= 5
    assert open_["n_fooled"] == pytest.approx(masked["n_fooled_by_identity"], abs=5)


class Dropped(Filter):
    """Drops half of the pixels at random."""

    def __init__(self, *, generator=None):
        super().__init__()
        self.generator = generator

    def forward(self, images):
        return 2 * images * (torch.rand(images.shape, generator=self.generator) < 0.5)

    formula = forward


def test_an_attack_on_what_draws_is_held_to_one_of_twice_the_draws(ask_attack):
    how = about("pgd", 0.2, steps=1, random_start=False) | {"parts": ["draws"]}
    few = ask_attack(how, **aware(Dropped, "exact", random=True, eot_samples=1))
    assert set(few) == ALWAYS | {"n_fooled", "n_fooled_by_draws", "draws"}
    assert few["draws"] == [1, 2]
    assert few["n_fooled"] + 20 < few["n_fooled_by_draws"]
    many = ask_attack(how, **aware(Dropped, "exact", random=True, eot_samples=20))
    assert abs(many["n_fooled_by_draws"] - many["n_fooled"]) < 20


def test_an_attack_by_the_gradient_of_the_identity_is_what_others_are_held_to(ask_attack):
    how = about("pgd", 0.3, steps=5, loss="margin") | {"parts": ["by_identity"]}
    own = ask_attack(how, **aware(Masked, "bpda"))
    twin = ask_attack(how, **aware(Masked, "bpda") | {"gradient": "identity"})
    assert twin["n_fooled"] == twin["n_fooled_by_identity"] > own["n_fooled"] + 50
    assert twin["n_fooled"] == pytest.approx(own["n_fooled_by_identity"], abs=5)


def test_an_aware_attack_is_asked_about_filter_and_model_as_one(ask_attack, trained):
    how = about("pgd", 0.1, steps=2)
    bare, blank = ask_attack(how), ask_attack(how, **aware(Blank, "exact"))
    # Behind it all images look alike, whatever the attack does to them.
    (prediction,) = trained.model(torch.zeros(1, 1, 8, 8)).argmax(1)
    error = (trained.labels != prediction).float().mean().item()
    assert blank["errors"] == pytest.approx([error, error])
    assert blank["unbounded_accuracy"] == pytest.approx(1 - error)
    assert blank["lost_gradients"] == 1
    assert bare["errors"][1] < error


def test_an_aware_attack_averages_over_the_draws_of_a_random_filter(ask_attack, monkeypatch):
    counted = []
    draw = GaussianNoise.forward

    def forward(self, images):
        counted.append(len(images))
        return draw(self, images)

    monkeypatch.setattr(GaussianNoise, "forward", forward)
    how = aware(GaussianNoise, "exact", random=True, eot_samples=4, std=0.1)
    found = ask_attack(about("fgsm", 0.1), **how)
    # What is kept of four draws has the room that one has of a batch of 1,000.
    assert counted == [250] * 4 + [110] * 4
    assert found["lost_gradients"] == 0


def test_a_filter_that_nobody_said_how_to_attack_is_refused(ask_attack):
    with pytest.raises(ValueError, match="declared neither differentiable nor handled"):
        ask_attack(about("fgsm", 0.1), **aware(Gaussian, None, sigma=1.0))
