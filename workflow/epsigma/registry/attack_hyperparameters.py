"""The hyper-parameters of the attacks: a class for each kind of the registry."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from epsigma.kinds import DISTINCT, Count, Hyperparameters

Positive = Annotated[float, Field(gt=0)]
Loss = Literal["cross_entropy", "margin"]
Classes = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1), DISTINCT]
LinfRadius = Annotated[
    float,
    Field(
        ge=0, le=1, description="radius of the l-infinity ball, in units of the pixel range [0, 1]"
    ),
]
L2Radius = Annotated[
    float, Field(ge=0, description="radius of the l2 ball, in units of the pixel range [0, 1]")
]
Kappa = Annotated[
    float,
    Field(ge=0, description="κ, the logit margin by which an example must be misclassified"),
]
Share = Annotated[
    float, Field(ge=0, le=1, description="Υ, the largest share of the features that may change")
]


def _is_not_zero(theta: float) -> float:
    if theta == 0:
        raise PydanticCustomError("said", "{shown} is not allowed")
    return theta


Theta = Annotated[
    float,
    Field(ge=-1, le=1, description="θ, what is added to a feature, in units of the pixel range"),
    AfterValidator(_is_not_zero),
]


def _loss() -> Any:
    return Field(
        "cross_entropy",
        description="what the attack ascends: the cross-entropy J of the paper, or the logit "
        "margin (largest wrong logit minus the right one), which saturation cannot mask",
    )


def _targets(default: str) -> Any:
    return Field(
        default,
        description="the classes to aim at, each in turn: `all` but the true one, or a list"
        + ("; `untargeted` aims at any wrong one" if default == "untargeted" else ""),
    )


class FGSM(Hyperparameters):
    eps: LinfRadius
    loss: Loss = _loss()


class PGD(Hyperparameters):
    eps: LinfRadius
    steps: Count = Field(40, description="steps along the gradient")
    step_size: Positive | None = Field(
        None, description="length of a step, in the units of eps; null: 2.5 eps / steps"
    )
    random_start: bool = Field(
        True, description="start at a random point of the ball, not at the image"
    )
    restarts: Count = Field(
        1, description="runs, each from a start of its own; the best of each example counts"
    )
    early_stop: bool = Field(
        False, description="leave an example alone as soon as it is misclassified"
    )
    optimizer: Literal["steepest", "adam"] = Field(
        "steepest",
        description="`steepest`: each step is the gradient's steepest of its length; `adam`: "
        "steps remember the gradients before, which helps where these turn at every step, as at "
        "the edge of what a detector accepts",
    )
    loss: Loss = _loss()


class PGDL2(PGD):
    eps: L2Radius
    step_size: Positive | None = Field(
        None,
        description="length of a step, in the units of eps; null: 2.5 eps / steps, with "
        "`steepest` 0.1 eps at least",
    )


class APGD(Hyperparameters):
    eps: LinfRadius
    steps: Count = Field(100, description="steps along the gradient, of each run")
    restarts: Count = Field(
        1, description="runs (for each target), each from a random start of its own"
    )
    loss: Literal["cross_entropy", "margin", "dlr", "targeted_dlr"] = Field(
        "cross_entropy",
        description="what the attack ascends: the cross-entropy, the logit margin, or the "
        "difference of logits ratio, which is the margin over how far the logits are spread (three "
        "classes at least); `targeted_dlr`: towards one class after the other (four at least)",
    )
    target_classes: Count = Field(
        9, description="how many classes `targeted_dlr` aims at: the most probable wrong ones"
    )
    early_stop: bool = Field(
        True,
        description="leave an example alone as soon as it is misclassified; `false` for models "
        "that draw, and for examples that have yet to pass a filter",
    )


class APGDL2(APGD):
    eps: L2Radius


class AutoAttack(Hyperparameters):
    eps: LinfRadius
    version: Literal["standard", "rand"] = Field(
        "standard",
        description="`standard`: APGD on the cross-entropy and on the targeted DLR loss, FAB-T and "
        "Square; `rand`: APGD on the cross-entropy and on the DLR loss, for filters that draw "
        "(with `eot_samples: 20`)",
    )
    steps: Count = Field(100, description="steps of each run of APGD and of FAB-T")
    queries: Count = Field(5000, description="queries of Square about an image, at most")
    target_classes: Count = Field(
        9, description="how many classes APGD and FAB-T aim at: the most probable wrong ones"
    )


class AutoAttackL2(AutoAttack):
    eps: L2Radius


class Square(Hyperparameters):
    eps: LinfRadius
    queries: Count = Field(1000, description="times the model is asked about an image, at most")
    p_init: Annotated[float, Field(gt=0, le=1)] = Field(
        0.8, description="part of the image that the first squares cover"
    )


class SquareL2(Square):
    eps: L2Radius


class HopSkipJump(Hyperparameters):
    eps: LinfRadius
    queries: Count = Field(1000, description="times the model is asked about an image, at most")


class HopSkipJumpL2(HopSkipJump):
    eps: L2Radius


class FAB(Hyperparameters):
    eps: LinfRadius
    steps: Count = Field(100, description="steps, for each target and restart")
    restarts: Count = Field(
        1,
        description="runs towards each target, the first from the image, others from random "
        "points near it",
    )
    target_classes: Count = Field(
        9,
        description="how many wrong classes to aim at in turn, the most probable first; at most "
        "all of them",
    )


class FABL2(FAB):
    eps: L2Radius


class JSMA(Hyperparameters):
    gamma: Share
    targets: Literal["all"] | Classes = _targets("all")
    theta: Theta = 1
    outputs: Literal["logits", "softmax"] = Field(
        "softmax", description="what the saliency map differentiates"
    )
    memory: Count = Field(256, description="MiB that the search for pairs may take at once")


class CarliniWagner(Hyperparameters):
    kappa: Kappa
    targets: Literal["all", "untargeted"] | Classes = _targets("untargeted")
    steps: Count = Field(1000, description="of Adam, in each step of the search for c")
    search_steps: Count = Field(
        9, description="steps of the search for c, the weight of misclassification"
    )
    learning_rate: Positive = Field(0.01, description="of Adam")
    initial_c: Positive = Field(0.001, description="c that the search starts from")
    abort_early: bool = Field(
        True, description="end a search step on an example whose loss has stopped falling"
    )


class DDN(Hyperparameters):
    kappa: Kappa
    steps: Count = Field(300, description="steps along the gradient; the first is from the image")
    gamma: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.05, description="γ, the share by which the norm shrinks on success and grows on failure"
    )


class FMN(Hyperparameters):
    kappa: Kappa
    steps: Count = Field(300, description="steps along the gradient; the first is from the image")
    step_size: Positive = Field(
        1,
        description="α, the l2 length of the first step, in units of the pixel range; the last is "
        "0.01 of it",
    )
    gamma: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.05,
        description="γ, the share by which the radius shrinks on success and grows on failure at "
        "first",
    )


class FMNLinf(FMN):
    step_size: Positive = Field(
        10,
        description="α, the l2 length of the first step, in units of the pixel range; the last is "
        "0.01 of it",
    )


class FoolingNoise(Hyperparameters):
    confidence: Annotated[float, Field(gt=0, lt=1)] = Field(
        description="softmax probability of the class at which an image is done"
    )
    images: Count = Field(10, description="how many to make for each class")


class FoolingAscent(FoolingNoise):
    start: Literal["noise", "mean"] = Field(
        "noise", description="what the ascent starts from: uniform noise, or the mean image"
    )
    steps: Count = Field(1000, description="steps along the gradient, at most")
    learning_rate: Positive = Field(
        0.1, description="l2 length of a step, in units of the pixel range"
    )


class FoolingEvolution(FoolingNoise):
    generations: Count = Field(5000, description="of the evolution, at most")
    offspring: Count = Field(20, description="images a generation and population")
    mutation_rate: Annotated[float, Field(gt=0, le=1)] = Field(
        0.1, description="share of the values that mutate; halved every 1,000 generations"
    )
    mutation_strength: Annotated[float, Field(ge=0)] = Field(
        15, description="index of the polynomial mutation: a larger one makes smaller steps"
    )


class LinfNoise(Hyperparameters):
    eps: LinfRadius


class L2Noise(Hyperparameters):
    eps: L2Radius


class FeatureNoise(Hyperparameters):
    gamma: Share
    theta: Theta = 1


class Transfer(Hyperparameters):
    eps: LinfRadius
    attack: str = Field(description="name of the attack whose sets are taken over")
    source_model: str | None = Field(
        None, description="name of the model that they are made on; null: the one attacked"
    )
    source_seed: Annotated[int, Field(ge=0, le=4294967295)] | None = Field(
        None, description="seed of the model that they are made on; null: the one attacked"
    )
