"""What attacks and filters name: models, data sets, filters and detectors that must be there."""

from collections.abc import Iterator

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
