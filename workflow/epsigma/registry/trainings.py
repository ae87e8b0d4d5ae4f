"""The registry of ways to train a classifier.

An implementation is an `epsigma.training.objective.Objective`, made from its hyper-parameters by
keyword. That of a kind with a `teacher` is given the teacher's module, too, and its `of_teacher`
makes what the teacher learns; that of one with `filters` is given their modules.
"""

from typing import Annotated, Literal

from pydantic import Field

from epsigma.kinds import Count, Hyperparameters, Part, TrainingKind

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Adversarial(Hyperparameters):
    method: Literal["fgsm", "pgd", "fast"] = Field(
        description="how the images of a step are attacked: `fgsm`, a step along the sign of the "
        "gradient (Goodfellow et al. 2014); `pgd`, many from a random start (Madry et al. 2018); "
        "`fast`, one step from a random start (Wong et al. 2020)"
    )
    eps: Share = Field(description="radius of the l-infinity ball that is trained against")
    steps: Count = Field(10, description="steps of `pgd`; the others take one")
    step_size: Positive | None = Field(
        None,
        description="length of a step; null: 2.5 eps / steps, of `fast` 1.25 eps. The step of "
        "`fgsm` is eps",
    )
    clean_weight: Share | None = Field(
        None,
        description="weight of the loss on clean images, that of attacked ones being the rest; "
        "null: 0.5 with `fgsm`, else 0",
    )
    warm_up: Annotated[float, Field(ge=0)] = Field(
        0, description="epochs in which eps rises from 0, step by step"
    )


class Distillation(Hyperparameters):
    temperature: Positive = Field(
        description="T by which the logits of teacher and student are divided in training; at the "
        "test it is 1"
    )


class Filtered(Hyperparameters):
    filters: Annotated[list[Part], Field(min_length=1)] = Field(
        description="what the images pass, one after the other: each a block with the `kind` of a "
        "filter and its hyper-parameters, of which none is a list"
    )


TRAININGS = {
    "standard": TrainingKind("epsigma.training.standard:Standard"),
    "filtered": TrainingKind("epsigma.training.filtered:Filtered", Filtered, filters="filters"),
    "adversarial": TrainingKind("epsigma.training.adversarial:Adversarial", Adversarial),
    "distillation": TrainingKind(
        "epsigma.training.distillation:Distillation",
        Distillation,
        swept="temperature",
        teacher=True,
    ),
}
