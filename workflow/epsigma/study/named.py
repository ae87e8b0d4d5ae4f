"""What attacks and filters name: models, data sets, classes, filters and detectors, all there."""

from collections.abc import Iterator

from epsigma.registry.datasets import SIZES
from epsigma.study.blocks import Attack, Filter
from epsigma.study.faults import list_names
from epsigma.study.schema import Study, expand


def check_named(study: Study) -> Iterator[str]:
    """What attacks and filters name is there."""
    models = list(dict.fromkeys([*study.names("models"), *expand(study).names("models")]))
    detectors = study.names("detectors")
    blocks: list[tuple[str, Attack | Filter]] = [
        *((f"attacks[{index}] ({one.name})", one) for index, one in enumerate(study.attacks)),
        *((f"filters[{index}] ({one.name})", one) for index, one in enumerate(study.filters)),
    ]
    for at, block in blocks:
        for name in block.models or ():
            if name not in models:
                allowed = list_names(models)
                yield f"{at}.models: there is no model {name!r}; allowed: {allowed}"
        if block.kind == "identity" and not (block["detectors"] or block["then"]):
            yield (
                f"{at}: it changes nothing, and nothing looks at what it is given; give it "
                "`detectors`, or leave it out: no filter is always included"
            )
        if isinstance(block, Attack):
            yield from _check_met(study, block, at)
            yield from _check_targets(study, block, at)
        for name in block.get("detectors", ()):
            if name not in detectors:
                allowed = list_names(detectors) or "none, for the study has no `detectors`"
                yield f"{at}.detectors: there is no detector {name!r}; allowed: {allowed}"


def _check_met(study: Study, attack: Attack, at: str) -> Iterator[str]:
    """Data sets, filters and their strengths that an attack names are there."""
    for name in attack.datasets or ():
        if name not in (known := study.names("datasets")):
            yield f"{at}.datasets: there is no data set {name!r}; allowed: {list_names(known)}"
    met = {
        one.name: [one.name, *(f"{one.name}/{level}" for level in one.levels)]
        for one in study.filters
    }
    for name in attack.filters or ():
        block = name.partition("/")[0]
        if block not in met:
            allowed = list_names(met) or "none, for the study has no `filters`"
            yield f"{at}.filters: there is no filter {block!r}; allowed: {allowed}"
        elif name not in met[block]:
            yield f"{at}.filters: there is no {name!r}; allowed: {list_names(met[block])}"


def _check_targets(study: Study, attack: Attack, at: str) -> Iterator[str]:
    """Classes that an attack aims at are there, as far as it is known how many there are."""
    targets = attack.get("targets")
    if not isinstance(targets, list):
        return
    for dataset in study.datasets:
        size = SIZES.get(dataset.kind)
        if (
            size is not None
            and attack.is_for_dataset(dataset.name)
            and max(targets) >= size.classes
        ):
            yield (
                f"{at}.targets: there is no class {max(targets)} in {dataset.name}; allowed: 0 to "
                f"{size.classes - 1}"
            )
