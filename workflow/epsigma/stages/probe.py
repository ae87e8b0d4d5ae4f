"""Stage probe: measure what the checks ask of models, filters and attacks."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from epsigma.attacks.craft import make_set, rows_of
from epsigma.attacks.gradient import input_gradient
from epsigma.cell import Level
from epsigma.defence import build_target
from epsigma.detectors.rejection import attacked_logits
from epsigma.device import CPU
from epsigma.filters.build import build_filter
from epsigma.filters.filter import Filter
from epsigma.job import Job
from epsigma.models.classifier import load_classifier, most_probable, predict
from epsigma.randomness import seeded_generator
from epsigma.storage.files import write_json
from epsigma.storage.images import batches, read_classes, read_clean

# Images that probes look at, from the start of the test set, and rows of an attack on them.
IMAGES = 500
# By what images are multiplied, so that their values are not those of 8 bits.
DIMMED = 0.97
# Draws of a random filter.
DRAWS = 400
# Standard errors that the mean of its draws may be from a random filter's formula.
STANDARD_ERRORS = 6.0
# Steps of a loss curve that are kept.
POINTS = 400
# Budgets that bound nothing, of images of d values.
LIMITS: dict[str, Callable[[int], float]] = {"linf": lambda d: 1.0, "l2": lambda d: d**0.5}
# Shorter gradients than this (largest component) are as good as none.
VANISHING = 1e-12


def probe_model(job: Job, *, test: str, checkpoint: str, facts: str) -> None:
    """Ask a classifier what the checks want to know.

    Args:
        job: its settings are the `model`.
        test: clean test images.
        checkpoint: of the classifier.
        facts: JSON to write: `n`, `n_correct` and `majority` (share of the most frequent class)
            of the test set; `probability_like`, the share of outputs that look like softmax's;
            `training_modules`; `repeat_error` and `batch_error`, how far logits differ when asked
            again, and one image at a time.
    """
    with job.logged():
        clean = read_clean(test, CPU)
        model = load_classifier(checkpoint, job.settings["model"], CPU)
        logits = predict(model, clean.images)
        few = clean.images[:64]
        alone = torch.cat([predict(model, image[None]) for image in few])
        sums = (logits.sum(1) - 1).abs() < 1e-4
        counts = torch.bincount(clean.labels)
        write_json(
            facts,
            {
                "cell": job.cell,
                "n": len(logits),
                "n_correct": int((logits.argmax(1) == clean.labels).sum()),
                "majority": float(counts.max() / counts.sum()),
                "probability_like": float(((logits >= 0).all(1) & sums).float().mean()),
                "training_modules": sum(module.training for module in model.modules()),
                "repeat_error": _distance(predict(model, clean.images), logits),
                "batch_error": _distance(alone, logits[: len(few)]),
            },
        )


def probe_filter(job: Job, *, test: str, facts: str) -> None:
    """Hold a filter against its definition.

    Args:
        job: its settings are the `filter`, how to make it, and `identity_parameters`, the
            hyper-parameters with which it changes nothing.
        test: clean test images.
        facts: JSON to write: `changed`, how far it moves a pixel of the test images;
            what `conformance` says of it; `response_error`, how far the
            transform of the impulse response is from its `response` (null if there is none, or
            the border has a say); `all_pass_error`, how far it moves a pixel if it passes all.
    """
    with job.logged():
        images = read_clean(test, CPU).images[:IMAGES]
        generator = seeded_generator(job, CPU, "filter")
        settings, identity_parameters = job.settings["filter"], job.settings["identity_parameters"]
        module = build_filter(settings, generator)
        impulse = torch.zeros_like(images[:1])
        height, width = images.shape[-2:]
        impulse[..., height // 2, width // 2] = 1
        probes = torch.cat([impulse, images[:20]])
        found = conformance(module, probes)
        everything = None
        if identity_parameters:
            wide = {**settings, "parameters": {**settings["parameters"], **identity_parameters}}
            everything = _distance(build_filter(wide, generator)(images), images)
        write_json(
            facts,
            {
                "cell": job.cell,
                # A filter may round to 8 bits, which test images have.
                "changed": _distance(module(images * DIMMED), images * DIMMED),
                **found,
                "response_error": response_error(module, impulse),
                "all_pass_error": everything,
            },
        )


def conformance(module: Filter, probes: Tensor) -> dict[str, float]:
    """Hold a filter, or each of those that it puts one after the other, against its definition.

    Args:
        module: the filter.
        probes: (N, C, H, W), an impulse and images; those after the first are given what the one
            before returns.

    Returns:
        Of the one that is farthest, `formula_error`, how far the mean over its draws (one, if it
        does not draw) is from its `formula`, and the `standard_error` of that mean; of one that
        draws, `deviation` and `measured_deviation` of its draws.
    """
    every = []
    for part in module.parts:
        draws = torch.stack([part(probes) for _ in range(DRAWS if part.deviation else 1)])
        every.append(
            {
                "formula_error": _distance(draws.double().mean(0), part.formula(probes.double())),
                "standard_error": part.deviation / len(draws) ** 0.5,
                "deviation": part.deviation,
                "measured_deviation": float(draws.std(0).mean()) if part.deviation else 0.0,
            }
        )
        probes = draws[0]
    # One that draws is off by its standard errors.
    farthest = max(
        every, key=lambda one: one["formula_error"] - STANDARD_ERRORS * one["standard_error"]
    )
    drawn = max(every, key=lambda one: one["deviation"])
    deviations = {name: drawn[name] for name in ("deviation", "measured_deviation")}
    return {**farthest, **deviations}


def response_error(module: Filter, impulse: Tensor) -> float | None:
    """Compare the transform of an impulse response with the formula's, along the x axis.

    Args:
        module: the filter.
        impulse: (1, C, H, W), a one in the middle.

    Returns:
        The largest difference; None if the filter has no response, if what it does to the range
        is not linear, or if the impulse response reaches the border, where it is folded back.
    """
    width = impulse.shape[-1]
    frequency = torch.fft.rfftfreq(width, dtype=torch.float64)
    expected = module.response(frequency)
    if expected is None or not module.is_linear:
        return None
    found = module(impulse)
    if not module.is_periodic and _reaches_border(found):
        return None
    # A kernel that is cut off has a response of either sign.
    return _distance(torch.fft.rfft2(found[0, 0].double())[0].abs(), expected.abs())


def _reaches_border(image: Tensor) -> bool:
    sides = (image[..., 0], image[..., -1], image[..., 0, :], image[..., -1, :])
    return any(bool((side != 0).any()) for side in sides)


def probe_attack(job: Job, *, test: str, checkpoint: str, facts: str) -> None:
    """Try an attack without bounds, try it twice as long, and look at the gradient it follows.

    Args:
        job: its settings are those of `epsigma.stages.attack.attack` at a budget in the middle
            of the grid, and `norm`, `family`, `swept`, `spends` and `traced` of the attack's kind.
        test: clean test images.
        checkpoint: of the classifier.
        facts: JSON to write: `n`, `chance`, `budget`; of an iterative attack `unbounded_accuracy`
            (unless it is one of the features' number) and, in ℓ∞, `half_accuracy` (at ε = 0.5),
            with the counts `n_unbounded` and `n_half` of what is still right; of
            one that can try longer `effort`, `tried`, and with its effort and twice that `errors`,
            the rates at which it gets what it wants, and `sizes`, the mean ℓ2 norms where it does
            (null if nowhere, and of fooling images); of one that is traced `losses`, the mean loss
            over the rows that it still works on, at `steps`; of one that follows the gradient of a
            `loss` `lost_gradients`, the share of zero, vanishing or infinite ones.
    """
    with job.logged():
        clean = read_clean(test, CPU)
        settings, how = job.settings, dict(job.settings["attack"])
        if "fooling" not in how:
            how["examples"] = min(how.get("examples") or IMAGES, IMAGES, len(clean.labels))
        rows = rows_of(how, clean.labels, read_classes(test))
        if "fooling" not in how:
            # Of one that aims at several classes, too: in one batch, which has one loss curve.
            rows = rows[:IMAGES]
        generator = seeded_generator(job, CPU, "attack")
        bare: nn.Module = load_classifier(checkpoint, settings["model"], CPU)
        model = build_target(settings, bare, generator)
        parameters, swept, effort = how["parameters"], settings["swept"], settings["spends"]

        def rate(**changed: Any) -> tuple[float, float | None, int]:
            """How often the attack gets what it wants, and the mean ℓ2 norm where it does."""
            made, measures = make_set(how, generator, model, clean.images, rows, **changed)
            aimed = rows.targets
            with torch.no_grad():
                logits = [
                    attacked_logits(model, batch, labels) if aimed is None else model(batch)
                    for batch, labels in batches(made, rows.labels)
                ]
            prediction, probability = most_probable(torch.cat(logits))
            reached = prediction != rows.labels if aimed is None else prediction == aimed
            if "fooling" in how:
                reached &= probability >= parameters[swept]
            size = float(measures["l2"][reached].mean())
            count = int(reached.sum())
            return float(reached.float().mean()), None if math.isnan(size) else size, count

        def leave(accuracy: str, count: str, reached: tuple[float, float | None, int]) -> None:
            """Note what the attack leaves right."""
            found[accuracy], found[count] = 1 - reached[0], found["n"] - reached[2]

        found: dict[str, Any] = {
            "cell": job.cell,
            "n": len(rows.index),
            "chance": 1 / read_classes(test),
            "budget": str(Level(swept, parameters[swept])),
        }
        if effort:
            trace = Trace()
            traced = {"on_step": trace} if settings["traced"] else {}
            once = rate(**traced)
            twice = rate(**{effort: 2 * parameters[effort]})
            found["effort"], found["tried"] = effort, [parameters[effort], 2 * parameters[effort]]
            found["errors"], found["sizes"], _ = zip(once, twice, strict=True)
            if traced:
                found["steps"], found["losses"] = trace.thinned(POINTS)
        if settings["family"] == "iterative" and settings["norm"] in LIMITS:
            limit = LIMITS[settings["norm"]](clean.images[0].numel())
            leave("unbounded_accuracy", "n_unbounded", rate(**{swept: limit}))
            if settings["norm"] == "linf":
                leave("half_accuracy", "n_half", rate(**{swept: 0.5}))
        elif settings["family"] == "iterative" and settings["norm"] is None:
            leave("unbounded_accuracy", "n_unbounded", once if effort else rate())
        if "loss" in parameters:
            given, labels = rows.of(clean.images), rows.labels
            gradient, _ = input_gradient(model, given, labels, parameters["loss"])
            size = gradient.flatten(1).abs().amax(1)
            found["lost_gradients"] = float((~(size > VANISHING) | size.isinf()).float().mean())
        write_json(facts, found)


class Trace:
    """Keeps the mean loss of each step, of the rows that an attack still works on."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def __call__(self, losses: Tensor) -> None:
        """Note a step: `losses` (M,), of the rows still worked on."""
        self.losses.append(float(losses.mean()))

    def thinned(self, points: int) -> tuple[list[int], list[float]]:
        """Return steps, from 1, and their losses; so many at most, evenly spread, the last too."""
        count = len(self.losses)
        kept = sorted({round(at) for at in np.linspace(0, count - 1, min(points, count))})
        return [at + 1 for at in kept], [self.losses[at] for at in kept]


def _distance(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max())
