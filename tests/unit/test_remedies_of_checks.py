"""What a check says to do when it fails or warns makes it pass: measured, done, measured again."""

import sys
import types
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from epsigma.attacks.apgd import apgd
from epsigma.attacks.carlini_wagner import carlini_wagner
from epsigma.attacks.fgsm import fgsm
from epsigma.attacks.fooling import fooling
from epsigma.attacks.pgd import pgd
from epsigma.attacks.square import square
from epsigma.checks.evidence import Evidence
from epsigma.checks.remedies import REMEDIES, add_remedy
from epsigma.checks.verdict import FAIL, PASS, WARN, Verdict
from epsigma.defence import Expectation
from epsigma.filters.filter import Filter
from epsigma.filters.gaussian import Gaussian
from epsigma.filters.surrogate import as_part
from epsigma.loading import load
from epsigma.models.mlp import MLP
from epsigma.plan import cells
from epsigma.probing.attacks import (
    Successes,
    count_successes,
    run_auto_pgd,
    share_lost_gradients,
    try_longer,
)
from epsigma.probing.filters import examine_filter
from epsigma.probing.models import examine_model
from epsigma.registry.checks import CHECKS
from epsigma.storage.images import measure
from epsigma.storage.rounding import round_to_nearest, round_towards
from epsigma.study import validate
from epsigma.tables.intervals import wilson
from scipy.stats import binom
from torch import Tensor, nn
from torch.nn import functional

N = 200
CELL = {
    "dataset": "digits",
    "model": "mlp",
    "seed": 0,
    "threat": "blind",
    "attack": "tried",
    "filter": "none",
    "strength": "fixed",
}
ATTACKS = {"tried": {"family": "iterative", "norm": "linf", "spends": "steps"}}
FILTERS = {"soft": {"kind": "soft", "gradient": "exact", "random": False, "detectors": []}}
TRUSTED = ("scored_apart", "proofs_hold", "counterexamples", "smoothing_holds")


def judge(check: str, **known: Any) -> Verdict:
    """The worst verdict of a check of this evidence, with the remedy that the stage adds."""
    given = {"tables": {}, "attacks": ATTACKS, "filters": FILTERS} | known
    found = list(load(CHECKS[check].implementation)(Evidence(**given)))
    order = [FAIL, WARN, PASS]
    return add_remedy(min(found, key=lambda one: order.index(one.verdict)))


def hold(check: str, words: str, wrong: Verdict, right: Verdict, verdict: str = FAIL) -> None:
    """The first is a failure (or a warning) that says these words; the second passes."""
    assert wrong.verdict == verdict, wrong
    assert words in wrong.sentence.removesuffix(REMEDIES[check]) + REMEDIES[check]
    assert wrong.sentence.endswith(REMEDIES[check])
    assert right.verdict == PASS, right
    assert REMEDIES[check] not in right.sentence


def test_every_check_has_a_remedy_and_no_other() -> None:
    assert list(REMEDIES) == list(CHECKS)
    assert {name for name, said in REMEDIES.items() if "report it" in said} == set(TRUSTED)


# --- Models


class Shaken(nn.Module):
    """The logits of a model, with something done to its images or logits at every call."""

    def __init__(
        self,
        model: nn.Module,
        before: Callable = lambda self, x: x,
        after: Callable = lambda z: z,
    ) -> None:
        super().__init__()
        self.model, self.layer = model, nn.Dropout(0.5)
        self.before, self.after = before, after

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.model(self.before(self, x)))


def with_train(self: Shaken, x: Tensor) -> Tensor:
    self.layer.train()
    return x


def centred(self: Shaken, x: Tensor) -> Tensor:
    return x - x.mean(0)


MODELS = {
    "logits": ({"after": lambda z: z.softmax(1)}, "leave out the softmax", {}),
    "eval_mode": ({"before": with_train}, "Take what calls train() out", {}),
    "deterministic": (
        {"before": lambda self, x: functional.dropout(x)},
        "say training=self.training",
        {"before": lambda self, x: functional.dropout(x, training=self.training)},
    ),
    "deterministic, of the batch": (
        {"before": centred},
        "what an image has of the others in its batch",
        {},
    ),
}


@pytest.mark.parametrize(("wrong", "words", "right"), MODELS.values(), ids=MODELS)
def test_a_model_passes_once_that_is_done(
    request: pytest.FixtureRequest, trained: Any, wrong: Any, words: str, right: Any
) -> None:
    check = request.node.callspec.id.partition(",")[0]

    def look(how: Any) -> Verdict:
        model = Shaken(trained.model, **how).eval()
        with torch.no_grad():
            found = examine_model(model, trained.images, trained.labels)
        return judge(check, model_probes=[{"cell": CELL, **found}])

    hold(check, words, look(wrong), look(right))


def test_a_model_is_above_chance_once_it_is_trained_for_longer(trained: Any) -> None:
    def look(model: nn.Module) -> Verdict:
        with torch.no_grad():
            found = examine_model(model, trained.images, trained.labels)
        return judge("above_chance", model_probes=[{"cell": CELL, **found}])

    torch.manual_seed(0)
    untrained = look(MLP((1, 8, 8), 10, hidden=32).eval())
    hold("above_chance", "Train for longer", untrained, look(trained.model))


def test_a_model_is_as_when_clean_once_it_does_not_draw(trained: Any) -> None:
    def look(**how: Any) -> Verdict:
        model = Shaken(trained.model, **how).eval()
        with torch.no_grad():
            once, again = (model(trained.images).amax(1) for _ in range(2))
        row = {
            **place("clean"),
            "largest_change": float((once - again).abs().max()),
            "largest_margin": float(once.abs().max()),
        }
        return judge("clean_at_zero", tables={"paired": pd.DataFrame([row])})

    wrong = look(before=lambda self, x: functional.dropout(x))
    hold("clean_at_zero", "Take out of the model's forward what draws", wrong, look())


# --- Filters


class Halved(Filter):
    """x ← 0.5·x + 0.25: what is wrong with it is changed."""

    is_linear = True

    def forward(self, images: Tensor) -> Tensor:
        return images * 0.5 + 0.25 * self.lift

    lift = 0.0

    def formula(self, images: Tensor) -> Tensor:
        return images * 0.5

    def response(self, frequency: Tensor) -> Tensor:
        return torch.full_like(frequency, 0.5)


class Lifted(Halved):
    lift = 1.0


class Louder(Halved):
    def response(self, frequency: Tensor) -> Tensor:
        return torch.full_like(frequency, 0.6)


class Idle(Halved):
    def forward(self, images: Tensor) -> Tensor:
        return images.clone()


class Noisy(Filter):
    is_linear = False
    deviation = 0.1

    def forward(self, images: Tensor) -> Tensor:
        noise = torch.randn(images.shape, generator=self.generator)
        return images + 0.1 * noise

    def formula(self, images: Tensor) -> Tensor:
        return images


class Misjudged(Noisy):
    deviation = 0.2


class Scaled(Filter):
    def __init__(self, *, scale: float = 0.5) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, images: Tensor) -> Tensor:
        return images * self.scale

    formula = forward


class NotLinear(Louder):
    is_linear = False


OF_FILTERS: dict[str, tuple[type[Filter], str, type[Filter], str]] = {
    "formula": (Lifted, "Correct the filter's forward or its formula", Halved, FAIL),
    "deviation": (Misjudged, "Correct the filter's deviation", Noisy, FAIL),
    "response": (Louder, "Correct the filter's response", Halved, FAIL),
    "changes_pixels": (Idle, "or correct its forward", Halved, FAIL),
}


def examine(kind: Any, trained: Any, identity: Any = None, **parameters: Any) -> dict[str, Any]:
    module: Any = types.ModuleType("filters_of_a_user")
    module.made = kind
    sys.modules["filters_of_a_user"] = module
    try:
        settings = {"implementation": "filters_of_a_user:made", "parameters": parameters}
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            found = examine_filter(settings, identity or {}, trained.images[:20], generator)
    finally:
        del sys.modules["filters_of_a_user"]
    return {"cell": {"dataset": "digits", "filter": "soft", "strength": "fixed"}, **found}


@pytest.mark.parametrize("check", OF_FILTERS)
def test_a_filter_passes_once_it_is_corrected(trained: Any, check: str) -> None:
    wrong, words, right, verdict = OF_FILTERS[check]
    looks = [judge(check, filter_probes=[examine(kind, trained)]) for kind in (wrong, right)]
    hold(check, words, *looks, verdict)


def test_a_filter_that_is_not_linear_is_held_to_no_response(trained: Any) -> None:
    assert "or say is_linear = False" in REMEDIES["response"]
    assert examine(Louder, trained)["response_error"] > 0.05
    assert examine(NotLinear, trained)["response_error"] is None


def test_a_filter_passes_everything_once_its_entry_says_how(trained: Any) -> None:
    wrong, right = (
        judge("all_pass", filter_probes=[examine(Scaled, trained, {"scale": scale})])
        for scale in (0.9, 1.0)
    )
    hold("all_pass", "Correct the identity_parameters of the filter's entry", wrong, right)


@pytest.mark.parametrize("check", ["changes_pixels", "filter_applied"])
def test_a_filter_does_something_once_its_strength_is_one_that_does(
    trained: Any, check: str
) -> None:
    def look(sigma: float) -> Verdict:
        found = examine(Gaussian, trained, sigma=sigma)
        with torch.no_grad():
            margins = trained.model(Gaussian(sigma=sigma)(trained.images)).amax(1)
            change = float((margins - trained.model(trained.images).amax(1)).abs().max())
        row = {**place("none"), "filter": "soft", "largest_change": change}
        tables = {"paired": pd.DataFrame([row])}
        return judge(check, filter_probes=[found], tables=tables)

    words = "Take a strength at which the filter does something"
    hold(check, words, look(0.01), look(1), WARN)


def test_a_filter_is_attacked_once_both_list_the_threat() -> None:
    def look(attack: str, block: str) -> Verdict:
        text = f"""
            datasets: [{{kind: digits}}]
            models: [{{kind: mlp}}]
            attacks: [{{kind: fgsm, eps: [0.1]{attack}}}]
            filters: [{{kind: bitdepth, name: soft, bits: [1]{block}}}]
        """
        table = pd.DataFrame([cell.columns for cell in cells(validate(yaml.safe_load(text)))])
        about = {"soft": {"random": False, "gradient": "bpda"}}
        return judge("attacked_aware", tables={"cells": table}, filters=about)

    right = look("", ", threats: [blind, aware]")
    for wrong in (look(", threats: [blind]", ""), look("", ", threats: [blind]")):
        hold("attacked_aware", "both list aware among their threats", wrong, right)


def test_a_detector_is_as_loud_as_asked_once_validation_images_are_like_the_test_s() -> None:
    random = np.random.default_rng(0)
    test, like, unlike = random.normal(1, 1, 2000), random.normal(1, 1, 2000), np.zeros(2000)

    def look(validation: Any) -> Verdict:
        count = int((test > np.quantile(validation, 0.95)).sum())
        row = {**place(""), "detector": "one", "n_clean": len(test)}
        row["false_positive"] = count / len(test)
        row["false_positive_low"] = wilson(count, len(test))[0]
        tables = {"detectors": pd.DataFrame([row])}
        return judge("false_positives", tables=tables, rates={"one": 0.05})

    words = "validation images that are like those of the test"
    hold("false_positives", words, look(unlike), look(like), WARN)


# --- Attacks


def place(against: str, budget: float = 0.1) -> dict[str, Any]:
    """The columns that say of what a row of a table is."""
    names = {name: value for name, value in CELL.items() if name != "strength"}
    level = {"budget_name": "eps", "budget": budget, "strength_name": None, "strength": None}
    return {**names, **level, "against": against, "filter": "soft"}


def attack_digits(trained: Any, attack: Callable, model: nn.Module | None = None) -> Tensor:
    """Attack the first images of the digits; return which are misclassified."""
    images, labels = trained.images[:N], trained.labels[:N]
    generator = torch.Generator().manual_seed(0)
    options = {} if attack.func is fgsm else {"generator": generator}  # type: ignore[attr-defined]
    made = attack(model or trained.model, images, labels, **options)
    with torch.no_grad():
        return trained.model(made).argmax(1) != labels


def noisy(model: Any, images: Tensor, labels: Tensor, *, eps: float, generator: Any) -> Tensor:
    sign = (torch.rand(images.shape, generator=generator) - 0.5).sign()
    return (images + eps * sign).clamp(0, 1)


WEAK = partial(pgd, steps=1, step_size=1e-4, random_start=False)
LONGER = partial(pgd, steps=40, step_size=0.02, random_start=False)
# What an attack is compared with, and what comes of that.
COMPARED = {
    "monotone": ("smaller_budget", partial(pgd, eps=0.05, steps=40)),
    "iterative": ("single_step", partial(fgsm, eps=0.1)),
    "above_transfer": ("transfer", partial(fgsm, eps=0.1)),
    "above_noise": ("noise", partial(noisy, eps=0.4)),
    "aware": ("blind", partial(pgd, eps=0.1, steps=40)),
}


@pytest.mark.parametrize("check", COMPARED)
def test_an_attack_is_not_the_weaker_once_it_is_given_more_steps(trained: Any, check: str) -> None:
    against, attack = COMPARED[check]
    other = attack_digits(trained, attack)

    def look(attack: Callable) -> Verdict:
        this = attack_digits(trained, attack)
        more, less = int((this & ~other).sum()), int((other & ~this).sum())
        row = {
            **place(against),
            "threat": "aware",
            "n": N,
            "difference": (more - less) / N,
            "p_value": min(1.0, 2 * binom.cdf(min(more, less), more + less, 0.5)),
        }
        return judge(check, tables={"paired": pd.DataFrame([row])})

    eps = 0.4 if check == "above_noise" else 0.1
    wrong, right = (look(partial(one, eps=eps)) for one in (WEAK, LONGER))
    hold(check, "Give the attack, where it has them, more steps or restarts", wrong, right)


def cell_of(trained: Any, attack: Callable) -> pd.DataFrame:
    images, labels = trained.images[:N], trained.labels[:N]
    found = measure(attack(trained.model, images, labels), images)
    longest = {name: float(found[name].max()) for name in ("linf", "outside")}
    row = {**place(""), "linf_max": longest["linf"], "outside_max": longest["outside"]}
    return pd.DataFrame([row])


@pytest.mark.parametrize(
    ("check", "words", "wrong", "right"),
    [
        (
            "in_ball",
            "Clip what the attack adds to its budget",
            lambda model, x, y: (x + 0.2 * (0.5 - x).sign()).clamp(0, 1),
            lambda model, x, y: (x + (0.2 * (0.5 - x).sign()).clamp(-0.1, 0.1)).clamp(0, 1),
        ),
        (
            "in_range",
            "Clip what the attack returns to [0, 1]",
            lambda model, x, y: x + 0.1 * (x - 0.5).sign(),
            lambda model, x, y: (x + 0.1 * (x - 0.5).sign()).clamp(0, 1),
        ),
    ],
)
def test_an_attack_stays_within_once_it_is_clipped(
    trained: Any, check: str, words: str, wrong: Callable, right: Callable
) -> None:
    looks = [judge(check, tables={"cells": cell_of(trained, attack)}) for attack in (wrong, right)]
    hold(check, words, *looks)


def test_sets_keep_their_successes_once_their_type_is_finer(trained: Any) -> None:
    """PGD in a ball of a third of an 8-bit step is nothing in 8 bits, and itself in float32."""
    images, labels = trained.images[:N], trained.labels[:N]
    images = round_to_nearest(images)
    made = pgd(trained.model, images, labels, eps=0.3, steps=40, random_start=False)
    # Of a success that is so near 8 bits leave the clean image.
    barely = images + (made - images) * 0.33 / 255 / 0.3

    def look(stored_as: str) -> Verdict:
        kept = round_towards(barely, images, stored_as)
        before = (barely != images).flatten(1).any(1)
        lost = int((before & (kept == images).flatten(1).all(1)).sum())
        row = {**place(""), "stored_as": stored_as, "n_fooled_unrounded": N, "n_lost": lost}
        return judge("stored", tables={"cells": pd.DataFrame([row])}, stored_as=stored_as)

    hold("stored", "Say stored_as: float32", look("uint8"), look("float32"), WARN)


def probe(trained: Any, **found: Any) -> dict[str, Any]:
    labels = trained.labels[:N]
    majority = float(labels.bincount().max() / N)
    return {"cell": CELL, "n": N, "budget": "eps~0.1", "majority": majority, **found}


def successes(fooled: Tensor) -> Successes:
    return count_successes(fooled, torch.ones(len(fooled)))


@pytest.mark.parametrize(("check", "eps"), [("unbounded", 1.0), ("half_range", 0.5)])
def test_an_attack_fools_everything_once_it_is_given_more_steps(
    trained: Any, check: str, eps: float
) -> None:
    name = check.partition("_range")[0]

    def look(**how: Any) -> Verdict:
        fooled = attack_digits(trained, partial(pgd, eps=eps, random_start=False, **how))
        found = successes(fooled).left(name)
        return judge(check, attack_probes=[probe(trained, **found)])

    wrong, right = look(steps=1, step_size=1e-4), look(steps=40)
    hold(
        check,
        "Give the attack, where it has them, more steps or restarts, a larger step_size",
        wrong,
        right,
    )


def saturated(trained: Any) -> nn.Module:
    """Logits so large that the cross-entropy has no gradient in float32."""
    return Shaken(trained.model, after=lambda z: z * 1e4).eval()


def test_a_gradient_is_there_once_the_loss_is_the_margin(trained: Any) -> None:
    images, labels = trained.images[:N], trained.labels[:N]

    def look(loss: str) -> Verdict:
        lost = share_lost_gradients(saturated(trained), images, labels, loss)
        return judge("gradients", attack_probes=[probe(trained, lost_gradients=lost)])

    words = "Attack by loss: margin"
    hold("gradients", words, look("cross_entropy"), look("margin"), WARN)


@pytest.mark.parametrize("check", ["auto_pgd", "gradient_free"])
def test_no_other_attack_fools_more_once_the_other_loss_is_added(trained: Any, check: str) -> None:
    model, images, labels = saturated(trained), trained.images[:N], trained.labels[:N]
    how = partial(pgd, eps=0.1, steps=40, random_start=False)
    by = {
        loss: attack_digits(trained, partial(how, loss=loss), model)
        for loss in ("cross_entropy", "margin")
    }
    generator = torch.Generator().manual_seed(0)

    def look(*losses: str) -> Verdict:
        fooled = torch.stack([by[loss] for loss in losses]).any(0)
        if check == "auto_pgd":
            made = run_auto_pgd(model, images, labels, norm="linf", eps=0.1, generator=generator)
            with torch.no_grad():
                beside = int((model(made).argmax(1) != labels).sum())
            found = {"n_fooled": int(fooled.sum()), "n_fooled_by_auto_pgd": beside}
            return judge(check, attack_probes=[probe(trained, **found)])
        free = attack_digits(trained, partial(square, eps=0.1, queries=100), model)
        row = {**place(""), "threat": "aware", "n": N}
        row["gradient_free_only"] = int((free & ~fooled).sum())
        table = pd.DataFrame([row])
        tables = {"worst_case": table.drop(columns="attack"), "cells": table.head(0)}
        return judge(check, tables=tables)

    words = (
        "add the attack, or apgd, with the other one"
        if check == "auto_pgd"
        else "or the other loss"
    )
    hold(check, words, look("cross_entropy"), look("cross_entropy", "margin"))


@pytest.mark.parametrize("loss", ["cross_entropy", "margin"])
def test_the_strongest_attack_passes_once_apgd_is_added_with_the_other_loss(
    trained: Any, loss: str
) -> None:
    model, images, labels = saturated(trained), trained.images[:N], trained.labels[:N]
    generator = torch.Generator().manual_seed(0)
    attacks = {"tried": ATTACKS["tried"], "apgd": ATTACKS["tried"]}
    how = {"eps": 0.1, "random_start": False}
    weak = int(attack_digits(trained, partial(pgd, **how), model).sum())
    made = run_auto_pgd(model, images, labels, norm="linf", eps=0.1, generator=generator)
    with torch.no_grad():
        beside = int((model(made).argmax(1) != labels).sum())
    strong = int(attack_digits(trained, partial(apgd, eps=0.1, loss=loss), model).sum())
    first = probe(trained, n_fooled=weak, n_fooled_by_auto_pgd=beside)
    added = {**probe(trained, n_fooled=strong), "cell": {**CELL, "attack": "apgd"}}
    wrong, right = (
        judge("auto_pgd", attacks=attacks, attack_probes=probes)
        for probes in ([first], [first, added])
    )
    if loss == "margin":
        hold("auto_pgd", "or apgd, with the other one", wrong, right)
    else:  # the loss is what helps
        assert right.verdict == FAIL


class Rounded(Filter):
    """Rounding to two levels, whose own gradient is zero."""

    is_linear = False

    def forward(self, images: Tensor) -> Tensor:
        return (images * 3).round() / 3

    formula = forward


def test_an_attack_finds_as_much_as_by_the_identity_once_that_is_the_surrogate(
    trained: Any,
) -> None:
    def fool(gradient: str) -> int:
        model = nn.Sequential(as_part(Rounded(), gradient), trained.model)
        how = partial(pgd, eps=0.2, steps=20, random_start=False)
        made = how(model, trained.images[:N], trained.labels[:N])
        with torch.no_grad():
            return int((model(made).argmax(1) != trained.labels[:N]).sum())

    by_identity = fool("bpda")

    def look(gradient: str) -> Verdict:
        found = {"n_fooled": fool(gradient), "n_fooled_by_identity": by_identity}
        return judge("surrogate", attack_probes=[probe(trained, **found)])

    words = 'of a filter of your own say gradient="bpda" in its entry'
    hold("surrogate", words, look("exact"), look("bpda"))

    # Or the attack once more, by the gradient of the identity.
    twin = probe(trained, n_fooled=by_identity, n_fooled_by_identity=by_identity)
    own = probe(trained, n_fooled=fool("exact"), n_fooled_by_identity=by_identity)
    right = judge("surrogate", attack_probes=[own, twin])
    hold("surrogate", "Add the attack once more, with gradient: identity", look("exact"), right)


class Dropped(nn.Module):
    """Drops four of five pixels at random."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, images: Tensor) -> Tensor:
        return 5 * images * (torch.rand(images.shape, generator=self.generator) < 0.2)


def test_an_attack_on_what_draws_finds_as_much_as_over_twice_as_many_once_it_has_enough(
    trained: Any,
) -> None:
    images, labels = trained.images[:N], trained.labels[:N]

    def fool(draws: int) -> int:
        model = nn.Sequential(Dropped(), trained.model)
        averaged = Expectation(model, draws)
        made = pgd(averaged, images, labels, eps=0.1, steps=2, random_start=False)
        with torch.no_grad():
            return int((Expectation(model, 300)(made).argmax(1) != labels).sum())

    def look(draws: int) -> Verdict:
        counts = {"n_fooled": fool(draws), "n_fooled_by_draws": fool(2 * draws)}
        found = {**counts, "draws": [draws, 2 * draws]}
        return judge("draws", attack_probes=[probe(trained, **found)])

    hold("draws", "Give the attack more eot_samples", look(1), look(16))


def longer(trained: Any, steps: int, attack: Callable, **more: Any) -> dict[str, Any]:
    """What a probe finds of an attack of so many steps, and of twice as many."""
    images, labels = trained.images[:N], trained.labels[:N]

    def run(on_step: Any = None, on_batch: Any = None, **changed: Any) -> Successes:
        how = {"steps": steps, "on_step": on_step, **more, **changed}
        made = attack(trained.model, images, labels, **how)
        with torch.no_grad():
            fooled = trained.model(made).argmax(1) != labels
        return count_successes(fooled, measure(made, images)["l2"])

    return try_longer(run, {"steps": steps, **more}, "steps", traced=True)[1]


@pytest.mark.parametrize(("check", "verdict"), [("converged", FAIL), ("levelled", WARN)])
def test_an_attack_has_converged_once_it_is_given_more(
    trained: Any, check: str, verdict: str
) -> None:
    how = {"eps": 0.1, "step_size": 0.004, "random_start": False}
    wrong, right = (
        judge(check, attack_probes=[probe(trained, **longer(trained, steps, pgd, **how))])
        for steps in (8, 80)
    )
    words = "more of what it spends" if check == "converged" else "Give the attack more steps"
    hold(check, words, wrong, right, verdict)


def test_a_smallest_perturbation_is_found_once_the_attack_is_given_more(trained: Any) -> None:
    how = {"kappa": 0, "search_steps": 3, "learning_rate": 0.05}
    about = {"tried": {"family": "iterative", "norm": None, "minimises": "l2", "spends": "steps"}}
    wrong, right = (
        judge(
            "converged_size",
            attacks=about,
            attack_probes=[probe(trained, **longer(trained, steps, carlini_wagner, **how))],
        )
        for steps in (20, 160)
    )
    hold("converged_size", "Give the attack more of what it spends", wrong, right, WARN)


def fooled_images(trained: Any, **how: Any) -> Iterator[float]:
    labels = torch.arange(10)
    generator = torch.Generator().manual_seed(0)
    given = {"confidence": 0.99, "steps": 300} | how
    made = fooling(trained.model, trained.images, labels, **given, generator=generator)
    with torch.no_grad():
        found = trained.model(made).softmax(1)[labels, labels]
    yield float((found >= given["confidence"]).float().mean())


def test_fooling_images_are_accepted_once_there_are_more_steps_or_less_is_asked(
    trained: Any,
) -> None:
    about = {"tried": {"family": "fooling", "norm": None, "spends": "steps"}}

    def look(**how: Any) -> Verdict:
        row = {**place(""), "filter": "none", "attack_success": next(fooled_images(trained, **how))}
        return judge("accepted", attacks=about, tables={"cells": pd.DataFrame([row])})

    wrong = look(steps=20)
    hold("accepted", "Give the attack more steps", wrong, look(steps=300), WARN)
    hold("accepted", "or ask for less confidence", wrong, look(steps=20, confidence=0.5), WARN)
