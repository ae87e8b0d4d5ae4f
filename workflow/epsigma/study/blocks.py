"""The blocks of a study's sections, as typed objects: which keys there are, and what they may be.

The hyper-parameters of each kind of data set, model, attack and so on are described where the kind
is registered (`epsigma.registry`).
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from epsigma.cell import NAME, Level, spell
from epsigma.kinds import (
    DISTINCT,
    AttackKind,
    Configured,
    Count,
    DatasetKind,
    DetectorKind,
    FilterKind,
    Hyperparameters,
    K,
    Kind,
    Part,
    Strict,
    TrainingKind,
)
from epsigma.registry.filters import FILTERS
from epsigma.vocabulary import NO_FILTER, THREATS

Positive = Annotated[float, Field(gt=0)]
_Pixel = Annotated[float, Field(ge=0, le=1)]
Threats = Annotated[list[Literal["blind", "aware"]], Field(min_length=1), DISTINCT]
Names = Annotated[list[str], DISTINCT]
Models = Annotated[Names, Field(min_length=1)] | None


class Block(Configured[K]):
    """A block of a section."""

    # The name that no block may have.
    RESERVED: ClassVar[str | None] = None

    name: Annotated[str, Field(pattern=rf"^{NAME}\Z")] = Field(
        "", description="what paths and tables call it; the kind, if left out"
    )


class Dataset(Block[DatasetKind]):
    """A data set."""

    @property
    def own_source(self) -> str | None:
        """The path, relative to `data_dir`, of the user's own data; None if its source is known."""
        return self[self.entry.source] if self.entry.source else None


class Training(Configured[TrainingKind]):
    """How a model is trained, with Adam."""

    kind: str = Field("standard", description="what is minimised; a key of its registry")
    epochs: Count = Field(5, description="passes over the training images")
    batch_size: Count = Field(128, description="images a step")
    learning_rate: Positive = Field(0.001, description="of Adam; the largest, if it varies")
    schedule: Literal["constant", "cycle"] = Field(
        "constant",
        description="of the learning rate: `constant`, or `cycle`, up in a straight line over the "
        "first 40 % of the steps, and down",
    )
    validation: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.1, description="fraction of the training images held out for the validation curve"
    )


class Normalization(Strict):
    """What a network subtracts from images, and divides them by, a channel at a time."""

    mean: _Pixel | Annotated[list[_Pixel], Field(min_length=1)] = Field(
        description="mean of the images, one number or a list of one a channel; 0 to 1, in units "
        "of the pixel range: divide what is of pixels from 0 to 255 by 255"
    )
    std: Positive | Annotated[list[Positive], Field(min_length=1)] = Field(
        description="standard deviation of the images, one number or a list of one a channel; "
        "greater than 0, in units of the pixel range"
    )


class Preprocessing(Strict):
    """How a network's images come from those of the data set."""

    resize: Count | None = Field(
        None,
        description="length in pixels that the shorter side gets, the other in proportion; null to "
        "leave the size",
    )
    crop: Count | None = Field(
        None,
        description="side in pixels of the square that is cut out of the centre; null for all",
    )
    interpolation: Literal["bilinear", "bicubic"] = Field(
        "bilinear", description="of resizing, low-passed where it shrinks"
    )


class Model(Block[Kind]):
    """A model, trained on every data set."""

    training: Training = Field(
        default_factory=lambda: Training(),
        description="how the model is trained (with Adam); each `kind` has hyper-parameters of its "
        "own",
    )
    checkpoint: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        description="file of weights that are loaded instead of training the model: a state_dict "
        "or a Lightning checkpoint, written by torch.save, or a .safetensors file; relative to the "
        "working directory. Null to train",
    )
    checkpoint_key: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        description="under which name the file has the weights that are meant, where it has "
        "several, such as `ema`. Null where it has one",
    )
    preprocess: Preprocessing | None = Field(
        None,
        description="`resize`, `crop` and `interpolation` of a network of images of another size, "
        "before `normalize`; they become part of the model, so that attacks and filters work on "
        "the images as they are. Null for a network of these",
    )
    normalize: Normalization | None = Field(
        None,
        description="`mean` and `std` of a network that takes normalised images, (x − mean) / std; "
        "they become part of the model, so that attacks and filters work on images in [0, 1]. Null "
        "for a network of images in [0, 1]",
    )
    defends: str | None = Field(
        None,
        description="name of the undefended model of which this one is a defended variant; to be "
        "set beside it in the table of defences. Null if it is none",
    )

    @property
    def has_teacher(self) -> bool:
        """Whether it learns from a teacher, which is trained first."""
        return self.checkpoint is None and self.training.entry.teacher

    @property
    def label(self) -> str:
        """What it is, for what compares it with others: `cnn`, `cnn adversarial pgd`."""
        if self.checkpoint is not None or self.training.kind == "standard":
            return self.kind
        how = self.training.get("method", "")
        if inner := self.training.entry.filters:
            how = " ".join(part.kind for part in self.training[inner])
        if self.training.entry.swept is not None:
            how = spell(self.training[self.training.entry.swept])
        return f"{self.kind} {self.training.kind} {how}".rstrip()


class _Attacked(Block[K]):
    """What a cell is made of, if its attack and its filter both list the threat."""

    threats: Threats = Field(
        [],
        description="what the attacker may know of the filter: nothing (`blind`) or everything "
        "(`aware`). A cell is made if its attack and its filter both list the threat; left out, "
        "all that the kind allows",
    )

    def is_for(self, model: str) -> bool:
        """Whether it is for a model; one whose training is swept has many names."""
        names = self["models"]
        return names is None or model in names or model.partition("/")[0] in names


class Attack(_Attacked[AttackKind]):
    """An attack."""

    eot_samples: Count = Field(
        10,
        description="draws of a randomised filter, or of detectors that draw, which an aware "
        "attacker averages over at each step (expectation over transformation)",
    )
    gradient: Literal["own", "identity"] = Field(
        "own",
        description="which gradient an aware attacker takes of a filter: its `own`, or a "
        "surrogate's where it has none, or that of the `identity`, whatever the filter. An attack "
        "of `threats: [aware]` beside the same one with its own shows whether that is masked",
    )
    examples: Count | None = Field(
        None,
        description="attack only the first so many test images, if there are as many; null for "
        "all. Fooling attacks have `images`",
    )
    datasets: Models = Field(
        None, description="names of the data sets that it is for; null for all"
    )
    models: Models = Field(None, description="names of the models that it is for; null for all")
    filters: Names | None = Field(
        None,
        description="names of the filters that it meets, or of a filter at one strength as paths "
        "spell it, `gaussian/sigma~1`; null for all",
    )

    def is_for_dataset(self, dataset: str) -> bool:
        """Whether it is for a data set."""
        return self.datasets is None or dataset in self.datasets

    def strengths_of(self, block: "Filter") -> list[Level]:
        """List the strengths of a filter at which it meets it."""
        if self.filters is None or block.name in self.filters:
            return block.levels
        return [level for level in block.levels if f"{block.name}/{level}" in self.filters]


class Filter(_Attacked[FilterKind]):
    """A filter."""

    RESERVED = NO_FILTER

    then: list[Part] = Field(
        [],
        description="filters that what this one returns passes, one after the other: blocks with a "
        "`kind` and its hyper-parameters, of which none is a list",
    )
    detectors: Names = Field(
        [],
        description="names of the detectors that look at the images before the filter, and reject "
        "them",
    )
    models: Models = Field(None, description="names of the models that it is for; null for all")

    @property
    def gradient(self) -> str | None:
        """How an aware attacker differentiates through it and what follows it.

        None if nobody has said so of one of them; `bpda` if one of them wants it.
        """
        found = [part.entry.gradient for part in (self, *self.then)]
        return None if None in found else "bpda" if "bpda" in found else "exact"

    @property
    def is_random(self) -> bool:
        """Whether it draws, or one that follows it."""
        return any(part.entry.random for part in (self, *self.then))


# The filter that is none: it is always there.
NONE = Filter(kind=NO_FILTER, name=NO_FILTER).with_hyperparameters(
    FILTERS[NO_FILTER], Hyperparameters(), threats=list(THREATS)
)


class AutoencoderTraining(Strict):
    """How an autoencoder is trained: Adam on the mean squared error."""

    epochs: Count = Field(100, description="passes over the training images")
    batch_size: Count = Field(256, description="images a step")
    learning_rate: Positive = Field(0.001, description="of Adam")
    noise: Annotated[float, Field(ge=0)] = Field(
        0.1,
        description="standard deviation of the noise on what it is given, in units of the pixel "
        "range",
    )
    validation: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.1, description="fraction of the training images held out for the validation curve"
    )


class Autoencoder(Block[Kind]):
    """An autoencoder, trained on every data set."""

    training: AutoencoderTraining = Field(
        default_factory=lambda: AutoencoderTraining(),
        description="how it is trained (Adam on the mean squared error)",
    )


class Detector(Block[DetectorKind]):
    """A detector."""

    @property
    def is_random(self) -> bool:
        """Whether one of its filters draws."""
        parts = self[self.entry.filters] if self.entry.filters else []
        return any(part.entry.random for part in parts)

    false_positive_rate: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.001,
        description="share of the validation images that it rejects, at most: what its threshold "
        "is set by",
    )
