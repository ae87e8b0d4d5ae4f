"""The entries of the registries: what a configuration may name, and where it lives."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from epsigma.loading import load
from epsigma.vocabulary import THREATS, queries_model

Schema = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """A kind of data set, model, training, autoencoder, attack, filter or detector.

    Args:
        implementation: where it lives, as `package.module:name`. It is imported only by the job
            that runs it.
        swept: the hyper-parameter that the configuration lists and the paths spell, such as
            `eps`; None if there is nothing to sweep.
        parameters: each hyper-parameter's JSON schema, in the order of the documentation. One
            with a `default` may be left out of the configuration.
    """

    implementation: str
    swept: str | None = None
    parameters: Mapping[str, Schema] = field(default_factory=dict)

    @property
    def module(self) -> str:
        """The module of the implementation."""
        return self.implementation.partition(":")[0]


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
    """

    teacher: bool = False


@dataclass(frozen=True)
class AttackKind(Kind):
    """A kind of attack.

    Args:
        norm: what bounds the perturbation by the swept hyper-parameter: `linf`, `l2`, or `l0`, the
            share of the features that change; None if nothing does.
        family: `single_step` and `iterative` follow the gradient, `gradient_free` asks for logits
            only, `noise` does not look at the model, `transfer` was made on another, `fooling`
            makes images of its own, that show nothing.
        minimises: the norm that it keeps as small as it can, `l2` or `l0`; None if it spends what
            the budget allows.
        targeted: whether it can aim at a class: it then takes `targets`, a class an example, and
            the configuration's `targets` says which.
        traced: whether it takes `on_step`, to be called with the losses at each step.
        random: whether it draws: it then takes a `torch.Generator` as `generator`.
        spends: the hyper-parameter that says how long it tries, such as `steps`; None if it
            cannot try longer.
        threats: what may be asked of it, and is by default.
    """

    norm: str | None = None
    family: str = "iterative"
    minimises: str | None = None
    targeted: bool = False
    traced: bool = False
    random: bool = False
    spends: str | None = None
    threats: tuple[str, ...] = THREATS

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
        filters: the hyper-parameter that is a list of filters, each a block with a `kind`; the
            implementation is given their modules. None if it has none.
    """

    autoencoder: str | None = None
    filters: str | None = None


@dataclass(frozen=True)
class TableKind:
    """A table that is made of the ledgers, once a study.

    Args:
        implementation: the function of `epsigma.tables.scores.Scores` that returns it, as
            `package.module:name`.
        label: how the report calls it, with `workflow/report/<name>.rst` as its caption; None if
            the report does not show it.
    """

    implementation: str
    label: str | None = None

    @property
    def module(self) -> str:
        """The module of the implementation."""
        return self.implementation.partition(":")[0]


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
