"""What figures, cards and the report call what a study names."""

from collections.abc import Callable
from typing import Any

from epsigma.registry.datasets import SIZES
from epsigma.registry.labels import LABELS
from epsigma.study.blocks import NONE, Model
from epsigma.study.schema import Study

# Hidden widths of the networks whose layers are a name for readers.
_LAYERS: dict[str, Callable[[Model], tuple[int, ...]]] = {
    "mlp": lambda model: (model["hidden"],),
    "softmax": lambda _: (),
    "maxout": lambda model: (model["units"], model["units"]),
}


def names_of(study: Study) -> dict[str, Any]:
    """Say what readers call the blocks of a study.

    A block with a name of its own has it after that of its kind: `PGD (pgd_40)`.

    Returns:
        Names by block: `datasets`, `attacks`, `filters` (`none` among them), `models` by data set,
        whose images say how wide a network is; and `families`, the kind of each filter.
    """
    return {
        "datasets": {one.name: _name(one, "datasets") for one in study.datasets},
        "attacks": {one.name: _name(one, "attacks") for one in study.attacks},
        "filters": {one.name: _name(one, "filters") for one in (NONE, *study.filters)},
        "models": {
            dataset.name: {model.name: _name_model(model, dataset.kind) for model in study.models}
            for dataset in study.datasets
        },
        "families": {one.name: one.kind for one in study.filters},
    }


def _name(block: Any, section: str, more: str = "") -> str:
    kind = block.kind.rpartition(":")[2].lower()
    label = LABELS[section].get(block.kind)
    if label is None:
        return str(block.name)
    return f"{label}{more}" if block.name == kind else f"{label}{more} ({block.name})"


def _name_model(model: Model, dataset: str) -> str:
    """Name a model: one of few layers by their widths, if the size of the images is known."""
    name, _, level = model.name.partition("/")
    swept = f", {level.replace('~', ' = ')}" if level else ""
    layers, size = _LAYERS.get(model.kind), SIZES.get(dataset)
    widths = ""
    if layers is not None and size is not None:
        widths = " " + "–".join(map(str, (size.values, *layers(model), size.classes)))
    return _name(model.model_copy(update={"name": name}), "models", widths) + swept
