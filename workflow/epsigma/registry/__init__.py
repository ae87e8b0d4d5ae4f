"""What a configuration may name, a file a section."""

from collections.abc import Mapping

from epsigma.kinds import Kind
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
