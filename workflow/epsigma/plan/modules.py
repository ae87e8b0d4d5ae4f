"""Which modules make what a study names: what reruns when they, or what they import, are edited.

The recipes (`cell_recipes.py`, `recipes.py`) put them into digests, with those of the stages.
"""

from collections.abc import Iterator
from typing import Any

from epsigma.kinds import Configured
from epsigma.plan.settings import detector_settings, settings, training_settings
from epsigma.study.schema import Study
from epsigma.vocabulary import TRANSFER


def module_of(implementation: str) -> str:
    """Name the module of `package.module:name`."""
    return implementation.partition(":")[0]


def modules_of(made: Any) -> Iterator[str]:
    """Name the modules of all implementations in settings of any depth."""
    if isinstance(made, dict):
        if "implementation" in made:
            yield module_of(made["implementation"])
        made = list(made.values())
    if isinstance(made, list):
        for value in made:
            yield from modules_of(value)


def model_modules(study: Study, name: str) -> list[str]:
    """Name the modules of a model: also the user's own, of a factory."""
    model: Configured[Any] = study.find("models", name)
    factory = model.get("factory")
    return [model.entry.module, *([module_of(factory)] if factory else [])]


def training_modules(study: Study, name: str) -> list[str]:
    """Name the modules of how a model is trained, and of the filters that its images pass."""
    modules = list(modules_of(training_settings(study, name)))
    has_filters = study.find("models", name).training.entry.filters is not None
    return modules + ["epsigma.filters.build"] * has_filters


def attack_modules(study: Study, name: str) -> list[str]:
    """Name the modules of an attack, and of what it takes over if it is a transfer."""
    attack = study.find("attacks", name)
    taken_over = attack_modules(study, attack["attack"]) if attack.entry.family == TRANSFER else []
    return [attack.entry.module, *taken_over]


def filter_modules(study: Study, name: str, *, with_detectors: bool = True) -> list[str]:
    """Name the modules of a filter and of what follows it, and those of its detectors."""
    names = study.find("filters", name).detectors if with_detectors else []
    modules = list(modules_of(settings(study, "filters", name)))
    return modules + [module for one in names for module in detector_modules(study, one)]


def detector_modules(study: Study, name: str) -> list[str]:
    """Name the modules of a detector, of its autoencoder, and of its filters."""
    return list(dict.fromkeys(modules_of(detector_settings(study, name))))
