"""The keys of a study, as typed objects."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

from pydantic import Field, PrivateAttr

from epsigma.kinds import DISTINCT, Configured, Count, Strict
from epsigma.registry.checks import ALL, CHEAP, CHECKS, COSTLY, CheckKind
from epsigma.study.blocks import (
    NONE,
    Attack,
    Autoencoder,
    Block,
    Dataset,
    Detector,
    Filter,
    Model,
)
from epsigma.study.options import Figures, Only, Proofs
from epsigma.vocabulary import FLOAT32


class Study(Strict):
    """A study: every model on every data set from every seed, attacked through every filter."""

    datasets: Annotated[list[Dataset], Field(min_length=1)] = Field(
        description="the data sets, each a block"
    )
    models: Annotated[list[Model], Field(min_length=1)] = Field(
        description="the models, each a block; every model is trained on every data set"
    )
    attacks: Annotated[list[Attack], Field(min_length=1)] = Field(
        description="the attacks, each a block; the swept hyper-parameter is a list"
    )
    filters: list[Filter] = Field(
        description="the filters, each a block; the swept hyper-parameter is a list. Without a "
        "filter (`none`) every adversarial set is scored anyway; `[]` for that alone"
    )
    autoencoders: list[Autoencoder] = Field(
        [],
        description="autoencoders, each a block; trained on every data set, for filters and "
        "detectors",
    )
    detectors: list[Detector] = Field(
        [],
        description="detectors, each a block; filters name those that look at what they are given",
    )
    seeds: Annotated[
        list[Annotated[int, Field(ge=0, le=4294967295)]], Field(min_length=1), DISTINCT
    ] = Field(
        [0],
        description="seeds of training (initial weights, validation split, order of the batches)",
    )
    data_dir: Annotated[str, Field(min_length=1)] = Field(
        "data",
        description="folder of data files that no package brings, or that they are downloaded to",
        json_schema_extra={"format": "path"},
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="where tensors live; `auto` is a GPU if there is one"
    )
    memory_mb: Annotated[int, Field(ge=100)] | None = Field(
        None,
        description="MB (of 10⁶ bytes) that a job's batch of images may take with what is computed "
        "of it. Null: 600, or less where the machine has less for each of its cores; of a GPU half "
        "of what is free. A batch is 1,000 images at most, of 28 × 28 pixels always",
    )
    batch_size: Count | None = Field(
        None,
        description="images that are attacked, filtered and scored at a time, in place of as many "
        "as `memory_mb` has room for",
    )
    columns: Literal["none", "filter", "attack"] = Field(
        "none",
        description="how many cells a job makes: `none`, one; `filter`, those of an attack at one "
        "budget and a filter at all its strengths; `attack`, those at all the attack's budgets, "
        "too. The same files either way",
    )
    keep_filtered: bool = Field(
        True,
        description="keep the filtered images; if not, those of the blind threat are not written, "
        "and those of the aware threat are removed as soon as they are scored, or not written "
        "either if `keep_aware` is false",
    )
    keep_directions: bool = Field(
        True,
        description="compute what FGSM steps along once for a filter and strength, and keep it, a "
        "byte a value: one ε more then needs no gradient. If not, each cell computes its own",
    )
    keep_aware: bool = Field(
        True,
        description="keep the adversarial images of the aware threat, a set for each filter and "
        "strength; if not, only what the filter makes of them is written",
    )
    stored_as: Literal["float32", "float16", "uint8"] = Field(
        "float32",
        description="the type of adversarial images, in files and as they are scored: rounded to "
        "it, towards the clean image where a norm bounds them, they are what the attack made. "
        "Filtered images are kept as float16 if it is not `float32`",
    )
    requantise: bool = Field(
        False,
        description="score every cell once more after its images were rounded to 8 bits, as those "
        "of files are",
    )
    measure_cost: bool = Field(
        False,
        description="measure what each defence costs (training, parameters, multiply-adds, time an "
        "image), and set accuracy beside it; a job that runs alone",
    )
    proofs: Proofs | None = Field(
        None,
        description="prove at each ε in the l-infinity ball, against the attacker who knows the "
        "filter, what share of the test images nothing fools: `certified` and `attacked` in "
        "`cells.csv`. Null for no proofs",
    )
    checks: str | Annotated[list[str], DISTINCT] = Field(
        ALL,
        description="which checks judge the results: `all`; `cheap`, those that run no attack; or "
        "a list of their names, each once. What only others need is not measured",
    )
    figures: Figures = Field(
        default_factory=lambda: Figures(),
        description="which figures are made, in which formats, how wide, in which size of letters",
    )
    only: Only | None = Field(
        None,
        description="run a part of the study: `datasets`, `models`, `attacks` and `filters` that "
        "are named, each a list. Null for all of it",
    )
    strict: bool = Field(
        True, description="end a run with an error, after everything is written, if a check fails"
    )

    _given: Mapping[str, Any] = PrivateAttr(default_factory=dict)

    def names(self, section: str) -> list[str]:
        """List the names of a section's blocks."""
        return [block.name for block in self[section]]

    @property
    def is_scored_raw(self) -> bool:
        """Whether cells are scored on sets that have yet to pass their filter.

        Detectors look at images before the filter, and so does what rounds them: a filtered set is
        a copy then, that nothing is scored on.
        """
        is_rounded = self.requantise or self.stored_as != FLOAT32
        return is_rounded or any(block.detectors for block in self.filters)

    def has_random_detectors(self, block: Filter) -> bool:
        """Whether one of the detectors of a filter draws."""
        return any(self.find("detectors", name).is_random for name in block.detectors)

    @property
    def smoothed_filters(self) -> list[str]:
        """The names of the filters that draw, without detectors, if smoothing is asked for."""
        if self.proofs is None or self.proofs.smoothing is None:
            return []
        return [one.name for one in self.filters if one.is_random and not one.detectors]

    @property
    def wanted_checks(self) -> dict[str, CheckKind]:
        """The checks that the study asks for, by name, in the registry's order."""
        return {
            name: check
            for name, check in CHECKS.items()
            if self.checks == ALL
            or (check.needs not in COSTLY if self.checks == CHEAP else name in self.checks)
        }

    @property
    def measurements(self) -> set[str | None]:
        """What the checks that are asked for need to be measured."""
        return {check.needs for check in self.wanted_checks.values()}

    def find(self, section: str, name: str) -> Any:
        """Find the block of a name; the filter `none` is always there.

        Raises:
            ValueError: if there is none; the message lists the names.
        """
        blocks = [*self[section], *([NONE] if section == "filters" else [])]
        for block in blocks:
            if block.name == name:
                return block
        allowed = ", ".join(block.name for block in blocks)
        raise ValueError(
            f"there is no {name!r} among the {section} of the configuration: {allowed}"
        )

    def dump(self) -> dict[str, Any]:
        """Write it as plain values, defaults included, keys in the order of what was given."""
        return cast(dict[str, Any], _dump(self, self._given))


def _dump(value: Any, given: Any) -> Any:
    """Write a value down; of keys, those that were given come first, in their order."""
    if isinstance(value, list):
        listed = given if isinstance(given, list) else []
        return [_dump(one, listed[at] if at < len(listed) else {}) for at, one in enumerate(value)]
    if not isinstance(value, Strict):
        return value
    own = value.hyperparameters if isinstance(value, Configured) else {}
    keys = [*type(value).model_fields, *own]
    known = given if isinstance(given, Mapping) else {}
    if isinstance(value, Block):
        # The keys that all blocks have come first.
        order = [*type(value).model_fields, *(key for key in known if key in own), *own]
    else:
        order = [*(key for key in known if key in keys), *keys]
    return {key: _dump(value[key], known.get(key)) for key in dict.fromkeys(order)}


def expand(study: Study) -> Study:
    """Make of each model whose training is swept one for each level, `name/temperature~20`."""
    models = []
    for model in study.models:
        how = model.training
        if how.entry.swept is None:
            models.append(model)
            continue
        for level in how.levels:
            own = how.own.model_copy(update=level.parameters)
            training = how.with_hyperparameters(how.entry, own)
            changed = {"name": f"{model.name}/{level}", "training": training}
            models.append(model.with_hyperparameters(model.entry, model.own, **changed))
    return study.model_copy(update={"models": models})
