"""What a configuration may name, a file a section."""

from collections.abc import Mapping
from typing import Any

from epsigma.kinds import Kind
from epsigma.loading import load
from epsigma.registry.attacks import ATTACKS
from epsigma.registry.autoencoders import AUTOENCODERS
from epsigma.registry.datasets import DATASETS
from epsigma.registry.detectors import DETECTORS
from epsigma.registry.filters import FILTERS
from epsigma.registry.models import MODELS

REGISTRIES: dict[str, Mapping[str, Kind]] = {
    "datasets": DATASETS,
    "models": MODELS,
    "attacks": ATTACKS,
    "filters": FILTERS,
    "autoencoders": AUTOENCODERS,
    "detectors": DETECTORS,
}


def find(registry: Mapping[str, Any], name: str) -> Any:
    """Find the entry of a registry, or, as `package.module:ENTRY`, one that lives elsewhere.

    Returns:
        None if the registry has no such name.

    Raises:
        ImportError: if there is no such module, or no such name in it.
        TypeError: if what is named there is no entry as this registry has them.
    """
    if ":" not in name:
        return registry.get(name)
    found = load(name)
    wanted = type(next(iter(registry.values())))
    if type(found) is not wanted:
        raise TypeError(f"{name} is {found!r}, which is no {wanted.__name__} of epsigma.kinds")
    return found
