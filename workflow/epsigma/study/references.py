"""What one block of a study says of another: names that must be there, and what goes together."""

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from epsigma.cell import spell
from epsigma.kinds import AttackKind, Configured, Part
from epsigma.registry.autoencoders import AUTOENCODERS
from epsigma.registry.checks import ALL, CHEAP, CHECKS
from epsigma.registry.datasets import SIZES
from epsigma.registry.figures import NAMES
from epsigma.storage.digest import code_digest
from epsigma.study.blocks import Attack, Detector, Filter
from epsigma.study.faults import list_names
from epsigma.study.gradients import check_gradients, check_identity, list_squeezers
from epsigma.study.named import check_named
from epsigma.study.schema import Study, expand
from epsigma.study.shares import check_shares
from epsigma.vocabulary import FOOLING, TRANSFER


def check_references(study: Study, *, with_files: bool) -> list[str]:
    """List the faults that need more than one block, or the user's own code, to be seen.

    Args:
        study: whose blocks are right by themselves.
        with_files: whether files of the user's own weights have to be there.
    """
    checks = (
        _check_examples,
        check_gradients,
        check_identity,
        _check_transfers,
        _check_sources,
        _check_weights,
        _check_fixed_sources,
        _check_defended,
        check_named,
        _check_autoencoders,
        _check_components,
        _check_smoothing,
        _check_chosen,
        check_shares,
        *([_check_files] if with_files else []),
    )
    return list(chain.from_iterable(check(study) for check in checks))


def _check_chosen(study: Study) -> Iterator[str]:
    """Refuse checks and figures that there are not."""
    for key, chosen, words, known in (
        ("checks", study.checks, (ALL, CHEAP), CHECKS),
        ("figures.kinds", study.figures.kinds, (ALL,), NAMES),
    ):
        given, allowed = ([chosen], words) if isinstance(chosen, str) else (chosen, known)
        unknown = [name for name in given if name not in allowed]
        if unknown:
            yield (
                f"{key}: there is no {list_names(map(repr, unknown))} here; allowed: "
                f"{', '.join(words)}, or a list of {list_names(known)}"
            )


def source_of(attack: Attack, model: str, seed: int) -> tuple[str, int]:
    """Say which model and seed an attack's sets are made on, to be scored on `model`, `seed`.

    The same, unless the attack is a transfer.
    """
    if attack.entry.family != TRANSFER:
        return model, seed
    source_model, source_seed = attack["source_model"], attack["source_seed"]
    return (
        model if source_model is None else source_model,
        seed if source_seed is None else source_seed,
    )


def find_attack_kind(study: Study, attack: Attack) -> AttackKind:
    """Find the entry of an attack's kind; a transfer has the norm of what it takes over."""
    if attack.entry.family != TRANSFER:
        return attack.entry
    source = study.find("attacks", attack["attack"])
    return replace(attack.entry, norm=find_attack_kind(study, source).norm)


def _check_examples(study: Study) -> Iterator[str]:
    """Fooling images are made, not taken from the test set."""
    for index, attack in enumerate(study.attacks):
        if attack.entry.family == FOOLING and attack.examples is not None:
            yield (
                f"attacks[{index}] ({attack.name}).examples: fooling images are of no test "
                "image; say with `images` how many to make for each class"
            )


def _parts(study: Study) -> Iterator[tuple[str, Filter | Detector | Part]]:
    """List filters, detectors, and the filters within these and trainings, with where it stands."""
    for index, block in enumerate(study.filters):
        at = f"filters[{index}] ({block.name})"
        yield at, block
        yield from ((f"{at}.then[{number}]", part) for number, part in enumerate(block.then))
    for index, model in enumerate(study.models):
        at, inner = f"models[{index}] ({model.name})", model.training.entry.filters
        for number, part in enumerate(model.training[inner] if inner else []):
            yield f"{at}.training.{inner}[{number}]", part
    for index, detector in enumerate(study.detectors):
        at, inner = f"detectors[{index}] ({detector.name})", detector.entry.filters
        yield at, detector
        yield from (
            (f"{at}.{inner}[{number}]", part)
            for number, part in enumerate(list_squeezers(detector))
        )


def _check_transfers(study: Study) -> Iterator[str]:
    """A transfer takes over another attack of the study, from another model or seed."""
    models = expand(study).names("models")
    sources = [
        attack.name
        for attack in study.attacks
        if attack.entry.family != TRANSFER
        and attack.entry.swept == "eps"
        and not attack.entry.targeted
    ]
    for index, transfer in enumerate(study.attacks):
        if transfer.entry.family != TRANSFER:
            continue
        at = f"attacks[{index}] ({transfer.name})"
        if transfer["attack"] not in sources:
            allowed = list_names(sources) or "none, for no other is untargeted and by eps"
            yield f"{at}.attack: {transfer['attack']!r} is not allowed; allowed: {allowed}"
        if transfer["source_model"] not in (None, *models):
            yield (
                f"{at}.source_model: there is no model {transfer['source_model']!r}; allowed: "
                f"{list_names(models)}, or null"
            )
        elif all(
            source_of(transfer, model, seed) == (model, seed)
            for model in models
            for seed in study.seeds
        ):
            yield (
                f"{at}: the source is the model that is attacked; name another source_model or "
                "source_seed"
            )


def _check_sources(study: Study) -> Iterator[str]:
    """Look for the code of the user's own kinds and factories."""
    blocks: list[tuple[str, Configured[Any]]] = [*_parts(study)]
    for section in ("datasets", "models", "autoencoders", "attacks"):
        blocks += ((f"{section}[{at}] ({one.name})", one) for at, one in enumerate(study[section]))
    for index, model in enumerate(study.models):
        at = f"models[{index}] ({model.name})"
        blocks.append((f"{at}.training", model.training))
        if factory := model.get("factory"):
            yield from _check_source(factory, f"{at}.factory")
    for at, block in blocks:
        if ":" in block.kind:
            yield from _check_source(block.entry.implementation, f"{at}.kind")


def _check_files(study: Study) -> Iterator[str]:
    """Look for the user's own weights."""
    for index, model in enumerate(study.models):
        if model.checkpoint is None:
            continue
        path = Path(model.checkpoint)
        if not path.is_file():
            wrong = "is no file" if path.exists() else "does not exist"
            yield (
                f"models[{index}] ({model.name}).checkpoint: {path} {wrong}; name the file of the "
                f"weights, relative to the working directory ({Path.cwd()})"
            )


def _check_weights(study: Study) -> Iterator[str]:
    """Refuse weights of the user's own that no seed can change."""
    seeds = study.seeds
    for index, model in enumerate(study.models):
        at = f"models[{index}] ({model.name})"
        if model.checkpoint is None:
            if model.checkpoint_key is not None:
                yield f"{at}.checkpoint_key: there is no `checkpoint`; name one, or leave it out"
            continue
        if len(seeds) > 1:
            yield (
                f"{at}.checkpoint: these weights are the same from every seed, and {len(seeds)} "
                f"seeds would count them as {len(seeds)} models; set seeds: [{seeds[0]}], or train "
                "the model here"
            )


def _check_source(implementation: str, at: str) -> Iterator[str]:
    """Look for the source of the user's function or class, without importing it."""
    try:
        code_digest(implementation.partition(":")[0])
    except ModuleNotFoundError as error:
        yield (
            f"{at}: {error}, neither in the working directory ({Path.cwd()}) nor on Python's path; "
            "write it there, or correct the name"
        )
    except SyntaxError as error:
        yield f"{at}: {error.filename}, line {error.lineno}, is no Python: {error.msg}"


def _check_fixed_sources(study: Study) -> Iterator[str]:
    """Weights of a file are the same whatever the seed of a transfer's source."""
    fixed = {model.name for model in study.models if model.checkpoint is not None}
    for index, attack in enumerate(study.attacks):
        if attack.get("source_seed") in (None, *study.seeds[:1]):
            continue
        source = attack["source_model"]
        for model in sorted(fixed if source is None else fixed & {source}):
            yield (
                f"attacks[{index}] ({attack.name}).source_seed: the weights of {model} are "
                "those of its checkpoint, whatever the seed; leave source_seed out, and name "
                "another source_model"
            )


def _check_defended(study: Study) -> Iterator[str]:
    trained = expand(study).names("models")
    for index, model in enumerate(study.models):
        # Of a sweep one has to be named.
        others = [name for name in trained if name.partition("/")[0] != model.name]
        if model.defends not in (None, *others):
            allowed = f"{list_names(others)}, or null" if others else "null"
            yield (
                f"models[{index}] ({model.name}).defends: there is no model "
                f"{model.defends!r} beside it; allowed: {allowed}"
            )


def _check_autoencoders(study: Study) -> Iterator[str]:
    """Autoencoders that filters and detectors name are there."""
    names = study.names("autoencoders")
    allowed = list_names(names) or "none, for the study has no `autoencoders`"
    for at, found in _parts(study):
        needed = found.entry.autoencoder
        if needed and found[needed] not in names:
            yield f"{at}.{needed}: there is no autoencoder {found[needed]!r}; allowed: {allowed}"


def _check_components(study: Study) -> Iterator[str]:
    """Principal components are of an autoencoder that keeps as many."""
    sizes = [SIZES[block.kind].values for block in study.datasets if block.kind in SIZES]
    blocks = {block.name: block for block in study.autoencoders if block.kind in AUTOENCODERS}
    for at, found in _parts(study):
        block = blocks.get(found["autoencoder"]) if found.kind == "pca" else None
        if block is None:
            continue
        if block.kind != "pca":
            yield (
                f"{at}.autoencoder: {block.name!r} is of the kind {block.kind}, which keeps no "
                "principal components; name one of the kind pca"
            )
            continue
        asked, most = found["components"], min([block["components"], *sizes])
        largest = max(asked) if isinstance(asked, list) else asked
        if largest > most:
            more = "" if most in sizes else f", or raise the `components` of {block.name}"
            yield (
                f"{at}.components: {largest} is more than the {most} that {block.name!r} keeps of "
                f"an image; ask for fewer{more}"
            )


def _check_smoothing(study: Study) -> Iterator[str]:
    """There is noise to smooth by, and a radius that enough draws can prove."""
    smoothing = study.proofs and study.proofs.smoothing
    if not smoothing:
        return
    if not study.smoothed_filters:
        yield (
            "proofs.smoothing: no filter of the study draws (and has no detectors); add one of "
            "kind noise, or leave smoothing out"
        )
    fewest = math.floor(math.log(smoothing.alpha) / math.log(0.5)) + 1
    if smoothing.samples < fewest:
        yield (
            f"proofs.smoothing.samples: if all of {smoothing.samples} draws agree, that is no "
            f"proof at alpha = {spell(smoothing.alpha)}; at least {fewest}"
        )
