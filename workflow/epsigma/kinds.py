"""The entries of the registries: what a configuration may name, and where it lives."""

from collections.abc import Callable, Mapping
from dataclasses import InitVar, dataclass, field
from functools import cached_property
from typing import Annotated, Any, Generic, Self, TypeVar, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    WrapValidator,
    create_model,
    field_validator,
)
from pydantic_core import PydanticCustomError

from epsigma.cell import FIXED_LEVEL, Level
from epsigma.fraction import validate_fractions
from epsigma.vocabulary import FAMILIES, THREATS, queries_model

K = TypeVar("K", bound="Kind")
Schema = dict[str, Any]
Count = Annotated[int, Field(ge=1)]


class Strict(BaseModel):
    """Typed keys of a configuration: nothing is coerced, and what is written stays as it is."""

    model_config = ConfigDict(
        strict=True, extra="forbid", regex_engine="python-re", defer_build=True
    )

    @field_validator("*", mode="wrap")
    @classmethod
    def _keep_as_written(cls, value: Any, handler: Callable[[Any], Any]) -> Any:
        """Keep 1 where 1.0 means the same: it is spelled in paths and tables; 8/255 is a number."""
        value, made = validate_fractions(value, handler)
        if isinstance(value, bool) and not isinstance(made, bool):
            raise PydanticCustomError("literal_error", "a truth value is no number")
        return value if made == value else made

    def __getitem__(self, key: str) -> Any:
        """Look a key up by its name."""
        return getattr(self, key)


class Hyperparameters(Strict):
    """The hyper-parameters of a kind: their types, ranges, descriptions and defaults."""


class Configured(Strict, Generic[K]):
    """What has a `kind`: the keys that all kinds have, and the hyper-parameters of its own."""

    model_config = ConfigDict(extra="allow")

    _entry: Any = PrivateAttr(None)
    _own: Hyperparameters = PrivateAttr(default_factory=Hyperparameters)

    kind: str = Field(description="what it is; a key of its registry")

    @property
    def given(self) -> dict[str, Any]:
        """The hyper-parameters as the configuration has them, not checked yet."""
        return dict(self.model_extra or {})

    @property
    def entry(self) -> K:
        """The registry's entry of its kind."""
        return cast(K, self._entry)

    @property
    def own(self) -> Hyperparameters:
        """The hyper-parameters, checked, defaults filled in."""
        return self._own

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """The hyper-parameters by name, as plain values."""
        return {name: getattr(self._own, name) for name in type(self._own).model_fields}

    @property
    def levels(self) -> list[Level]:
        """The values of what is swept, in the configuration's order."""
        swept = self.entry.swept
        return [FIXED_LEVEL] if swept is None else [Level(swept, one) for one in self[swept]]

    def with_hyperparameters(
        self, entry: K, hyperparameters: Hyperparameters, **changed: Any
    ) -> Self:
        """Copy it, with its hyper-parameters checked, and other keys changed."""
        made = self.model_copy(update=changed)
        made._entry, made._own = entry, hyperparameters
        made.__pydantic_extra__ = {}
        return made

    def __getitem__(self, key: str) -> Any:
        """Look a key or a hyper-parameter up by its name."""
        return getattr(self if key in type(self).model_fields else self._own, key)

    def get(self, key: str, default: Any = None) -> Any:
        """Look a key or a hyper-parameter up; `default` if there is none."""
        is_there = key in type(self).model_fields or key in type(self._own).model_fields
        return self[key] if is_there else default


class Part(Configured["FilterKind"]):
    """A filter within another block: its hyper-parameters are values, none of them a list."""


def _check_distinct(values: Any, handler: Callable[[Any], Any]) -> Any:
    """Refuse a list that holds a value twice, as it was written; 1 and true are two values."""
    made = handler(values)
    told = [(isinstance(value, bool), value) for value in values]
    if any(value in told[:index] for index, value in enumerate(told)):
        raise PydanticCustomError("said", "{shown} holds a value twice; remove the duplicate")
    return made


DISTINCT = WrapValidator(_check_distinct)


@dataclass(frozen=True)
class Kind:
    """A kind of data set, model, training, autoencoder, attack, filter or detector.

    Args:
        implementation: where it lives, as `package.module:name`. It is imported only by the job
            that runs it.
        hyperparameters: what the configuration says of it, in the order of the documentation.
        swept: the hyper-parameter that the configuration lists and the paths spell, such as
            `eps`; None if there is nothing to sweep.
        parameters: what entries had before `hyperparameters`: nothing, or an empty mapping.
    """

    implementation: str
    hyperparameters: type[Hyperparameters] = Hyperparameters
    swept: str | None = None
    parameters: InitVar[Mapping[str, Any] | None] = field(default=None, kw_only=True)

    def __post_init__(self, parameters: Mapping[str, Any] | None) -> None:
        """Refuse what names no hyper-parameter, and `parameters` that has some; ValueError."""
        if parameters:
            raise ValueError(
                f"parameters = {parameters!r} of {self.implementation} declares nothing: "
                "hyper-parameters are a class now, of which CONTRIBUTING.md has examples"
            )
        for role in ("swept", "source", "spends", "autoencoder", "filters"):
            name, known = getattr(self, role, None), self.hyperparameters.model_fields
            if name is not None and name not in known:
                raise ValueError(
                    f"{role} = {name!r} is no hyper-parameter of {self.implementation}, which has "
                    f"{', '.join(known) or 'none'}"
                )

    @property
    def module(self) -> str:
        """The module of the implementation."""
        return self.implementation.partition(":")[0]

    @cached_property
    def schemas(self) -> Mapping[str, Schema]:
        """Each hyper-parameter's JSON schema; the swept one's is that of a value."""
        found: Mapping[str, Schema] = self.hyperparameters.model_json_schema()["properties"]
        return found

    @cached_property
    def block(self) -> type[Hyperparameters]:
        """The hyper-parameters of a block of the configuration: the swept one is a list."""
        if self.swept is None:
            return self.hyperparameters
        about = self.hyperparameters.model_fields[self.swept]
        value: Any = Annotated[(about.annotation, Field(), *about.metadata)]
        listed: Any = Annotated[list[value], DISTINCT]
        about_list = Field(min_length=1, description=f"swept: {about.description}")
        changed: dict[str, Any] = {self.swept: (listed, about_list)}
        name, base = self.hyperparameters.__name__, self.hyperparameters
        return cast("type[Hyperparameters]", create_model(name, __base__=base, **changed))


@dataclass(frozen=True)
class DatasetKind(Kind):
    """A kind of data set.

    Args:
        source: the parameter that is a path of a user's own file or folder, relative to
            `data_dir`, whose changes are watched; None if what is read is known and checked.
    """

    source: str | None = None


@dataclass(frozen=True)
class TrainingKind(Kind):
    """A way to train a model.

    Args:
        teacher: whether it learns from a model of the same shape that is trained first: its
            implementation then takes that as `teacher`, and `of_teacher` makes what that learns.
        filters: the hyper-parameter that is a list of filters (`list[Part]`); the implementation
            is given their modules. None if it has none.
    """

    teacher: bool = False
    filters: str | None = None


@dataclass(frozen=True)
class AttackKind(Kind):
    """A kind of attack.

    Args:
        norm: what bounds the perturbation by the swept hyper-parameter: `linf`, `l2`, or `l0`, the
            share of the features that change; None if nothing does.
        family: `single_step` and `iterative` follow the gradient, `gradient_free` asks for logits
            or labels only, `noise` does not query the model, `transfer` was made on another,
            `fooling` makes images of its own, that show nothing.
        minimises: the norm that it keeps as small as it can, `linf`, `l2`, `l1` or `l0`, which the
            budget may bound, too; None if it spends what the budget allows.
        targeted: whether it can aim at a class: it then takes `targets`, a class an example.
        traced: whether it takes `on_step`, to be called with the losses at each step.
        random: whether it draws: it then takes a `torch.Generator` as `generator`.
        ensemble: whether it runs several attacks, one after the other: it then takes `on_part`, to
            be called with the name of each, and the places (M,) of the examples that it fooled; and
            `progress`, to keep what it has done in and to go on from there (None: nowhere).
        gradient_free_parts: of an ensemble, those of its attacks that follow no gradient.
        spends: the hyper-parameter that says how much it tries; None if it cannot try longer.
        direction: `package.module:name` of what it steps along, if that is all; else None.
        threats: what may be asked of it, and is by default.
        at_once: how many features it changes in one step, if its budget is a share of them; a
            budget that allows fewer is refused.
    """

    norm: str | None = None
    family: str = "iterative"
    minimises: str | None = None
    targeted: bool = False
    traced: bool = False
    random: bool = False
    ensemble: bool = False
    gradient_free_parts: tuple[str, ...] = ()
    spends: str | None = None
    direction: str | None = None
    threats: tuple[str, ...] = THREATS
    at_once: int = 0

    def __post_init__(self, parameters: Mapping[str, Any] | None) -> None:
        """Refuse a family that there is not, too."""
        super().__post_init__(parameters)
        if self.family not in FAMILIES:
            allowed = ", ".join(FAMILIES)
            raise ValueError(
                f"family = {self.family!r} of {self.implementation}; allowed: {allowed}"
            )

    @property
    def queries_model(self) -> bool:
        """Whether it evaluates the model that it is scored on."""
        return queries_model(self.family, self.spends)


@dataclass(frozen=True)
class FilterKind(Kind):
    """A kind of filter.

    Args:
        gradient: how an aware attacker differentiates through it: `exact`, or `bpda`, by the
            gradient of its `surrogate`; None if nobody has said.
        random: whether it draws: it then takes a `torch.Generator` as `generator`, and an aware
            attacker takes the expectation over its draws.
        identity_parameters: hyper-parameters with which it changes nothing.
        autoencoder: the hyper-parameter that names an autoencoder of the study; the implementation
            is given its module. None if it needs none.
    """

    gradient: str | None = None
    random: bool = False
    identity_parameters: Mapping[str, Any] = field(default_factory=dict)
    autoencoder: str | None = None


@dataclass(frozen=True)
class DetectorKind(Kind):
    """A kind of detector.

    Args:
        autoencoder: the hyper-parameter that names an autoencoder of the study; the implementation
            is given its module. None if it needs none.
        filters: the hyper-parameter that is a list of filters (`list[Part]`); the implementation
            is given their modules. None if it has none.
    """

    autoencoder: str | None = None
    filters: str | None = None
