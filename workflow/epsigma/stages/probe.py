"""Stage probe: measure what the checks judge of models, filters and attacks."""

from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from epsigma.attacks.craft import is_fooled, make_set, rows_of
from epsigma.attacks.fitting import fit_attacked_batches
from epsigma.attacks.rows import Rows
from epsigma.cell import Level
from epsigma.defence import build_target
from epsigma.device import CPU
from epsigma.filters.build import build_filter
from epsigma.job import Job
from epsigma.models.classifier import load_classifier
from epsigma.probing.attacks import (
    Successes,
    count_successes,
    find_successes,
    run_auto_pgd,
    share_lost_gradients,
    try_longer,
    unbound,
)
from epsigma.probing.filters import examine_filter
from epsigma.probing.models import examine_model
from epsigma.randomness import seeded_generator
from epsigma.sizing import fit_batches
from epsigma.storage.files import write_json
from epsigma.storage.images import read_classes
from epsigma.storage.ledgers import read_ledger
from epsigma.storage.stored import StoredSet, count_kept, open_clean
from epsigma.vocabulary import IDENTITY

# Images that probes look at, at most, from the start of the test set, and rows of an attack.
IMAGES = 500


def probe_model(job: Job, *, test: str, checkpoint: str, facts: str) -> None:
    """Write what `examine_model` returns as JSON; the job's settings are the `model`."""
    with job.logged():
        clean = open_clean(test, CPU)
        model = load_classifier(checkpoint, job.settings["model"], CPU)
        with torch.no_grad(), fit_batches(job, clean.images, model, CPU):
            found = examine_model(model, clean.images, clean.labels)
        write_json(facts, {"cell": job.cell, **found})


def probe_filter(job: Job, *, test: str, facts: str) -> None:
    """Write what `examine_filter` returns as JSON; it says what the job's settings are."""
    with job.logged():
        stored = open_clean(test, CPU).images
        images = stored[: _count_probed(stored.shape)]
        generator = seeded_generator(job, CPU, "filter")
        settings, identity = job.settings["filter"], job.settings["identity_parameters"]

        def filter_one(image: Tensor) -> Tensor:
            filtered: Tensor = build_filter(settings, generator)(image)
            return filtered

        with torch.no_grad(), fit_batches(job, images, filter_one, CPU, generator):
            found = examine_filter(settings, identity, images, generator)
        write_json(facts, {"cell": job.cell, **found})


def probe_attack(job: Job, *, test: str, checkpoint: str, facts: str, ledger: str = "") -> None:
    """Run an attack longer and without bounds, and look at the gradient that it follows.

    JSON: `n`, `majority` (share of the most frequent class among these), `budget`, and what the
    `parts` that the settings list find: `longer`, what `try_longer` returns, the errors being the
    rates of success; `unbounded`, what `unbound` returns; `gradients`, `lost_gradients`, the share
    of zero, vanishing or infinite ones of the `loss`; `auto_pgd`, how many the attack fools,
    `n_fooled`, and, if it `is_held` to that, `n_fooled_by_auto_pgd`, how many `run_auto_pgd` does;
    `by_identity`, `n_fooled`, and `n_fooled_by_identity`, how many it fools if it differentiates
    through the filter as if that were the identity; `draws`, `n_fooled`, and `n_fooled_by_draws`,
    if it averages over twice as many `draws`, both of which are there.
    The other settings are those of the stage `attack` at a budget in the middle of the grid, and
    `norm`, `swept`, `spends` and `traced` of the attack's kind. A `ledger`, of the cell at that
    budget, says what comes of the attack as it is.
    """
    with job.logged() as log:
        clean, classes = open_clean(test, CPU), read_classes(test)
        settings, how = job.settings, dict(job.settings["attack"])
        rows = _choose_rows(how, clean, classes)
        generator = seeded_generator(job, CPU, "attack")
        classifier = load_classifier(checkpoint, settings["model"], CPU)
        model = build_target(settings, classifier, generator)
        parameters, swept = how["parameters"], settings["swept"]
        given = rows.of(clean.images)

        def run(along: nn.Module = model, **changed: Any) -> Successes:
            made, measures = make_set(how, generator, along, clean.images, rows, **changed)
            return count_successes(is_fooled(model, made, rows), measures["l2"])

        def measure(part: str, once: Successes | None) -> tuple[Successes | None, dict[str, Any]]:
            if part == "longer":
                return try_longer(run, parameters, settings["spends"], settings["traced"], once)
            if part == "unbounded":
                return once, unbound(run, settings, given[0].numel(), once)
            if part == "gradients":
                lost = share_lost_gradients(model, given, rows.labels, parameters["loss"])
                return once, {"lost_gradients": lost}
            once = once or run()
            if part == "by_identity":
                target = build_target(settings, classifier, generator, IDENTITY)
                is_it = settings.get("gradient") == IDENTITY
                return once, _told(once, "identity", once if is_it else run(target))
            if part == "draws":
                draws = settings["eot_samples"]
                more = build_target({**settings, "eot_samples": 2 * draws}, classifier, generator)
                return once, _told(once, "draws", run(more)) | {"draws": [draws, 2 * draws]}
            if not settings["is_held"]:
                return once, {"n_fooled": once.count}
            norm, eps = settings["norm"], parameters[swept]
            made = run_auto_pgd(model, given, rows.labels, norm=norm, eps=eps, generator=generator)
            # Looked at once, as the others: a model that draws has no second chance.
            n_fooled = int(is_fooled(model, made, rows).sum())
            return once, {"n_fooled": once.count, "n_fooled_by_auto_pgd": n_fooled}

        found = _about(job, rows, Level(swept, parameters[swept]))
        once = find_successes(read_ledger(ledger), rows) if ledger else None
        with fit_attacked_batches(job, model, given, rows.labels, generator):
            for part in settings["parts"]:
                started = perf_counter()
                once, more = measure(part, once)
                found |= more
                log.info("%s: %.2f s", part, perf_counter() - started)
        write_json(facts, found)


def _about(job: Job, rows: Rows, budget: Level) -> dict[str, Any]:
    """Say which attack a probe is of, and on what."""
    return {
        "cell": job.cell,
        "n": len(rows.index),
        "majority": float(rows.labels.bincount().max()) / len(rows.index),
        "budget": str(budget),
    }


def _told(once: Successes, by: str, other: Successes) -> dict[str, Any]:
    return {"n_fooled": once.count, f"n_fooled_by_{by}": other.count}


def _choose_rows(how: dict[str, Any], clean: StoredSet, classes: int) -> Rows:
    """Choose the rows of an attack on few of the images; its settings then say of how many."""
    most = _count_probed(clean.images.shape)
    how["examples"] = min(how.get("examples") or most, most, len(clean.labels))
    # Of one that aims at several classes, too.
    return rows_of(how, clean.labels, classes)[:most]


def _count_probed(shape: torch.Size) -> int:
    """Say how many images, of (N, C, H, W), a probe looks at."""
    return min(IMAGES, count_kept(shape))
