"""The registry of ways to train a classifier.

An implementation is an `epsigma.training.objective.Objective`, made from its hyper-parameters by
keyword. That of a kind with a `teacher` is given the teacher's module, too, and its `of_teacher`
makes what the teacher learns.
"""

from epsigma.kinds import Schema, TrainingKind

_EPS: Schema = {
    "description": "radius of the l-infinity ball that is trained against",
    "type": "number",
    "minimum": 0,
    "maximum": 1,
}

TRAININGS = {
    "standard": TrainingKind("epsigma.training.standard:Standard"),
    "adversarial": TrainingKind(
        "epsigma.training.adversarial:Adversarial",
        parameters={
            "method": {
                "description": "how the images of a step are attacked: `fgsm`, a step along the "
                "sign of the gradient (Goodfellow et al. 2014); `pgd`, many from a random start "
                "(Madry et al. 2018); `fast`, one step from a random start (Wong et al. 2020)",
                "enum": ["fgsm", "pgd", "fast"],
            },
            "eps": _EPS,
            "steps": {
                "description": "steps of `pgd`; the others take one",
                "type": "integer",
                "minimum": 1,
                "default": 10,
            },
            "step_size": {
                "description": "length of a step; null: 2.5 eps / steps, of `fast` 1.25 eps. The "
                "step of `fgsm` is eps",
                "type": ["number", "null"],
                "exclusiveMinimum": 0,
                "default": None,
            },
            "clean_weight": {
                "description": "weight of the loss on clean images, that of attacked ones being "
                "the rest; null: 0.5 with `fgsm`, else 0",
                "type": ["number", "null"],
                "minimum": 0,
                "maximum": 1,
                "default": None,
            },
            "warm_up": {
                "description": "epochs in which eps rises from 0, step by step",
                "type": "number",
                "minimum": 0,
                "default": 0,
            },
        },
    ),
    "distillation": TrainingKind(
        "epsigma.training.distillation:Distillation",
        swept="temperature",
        parameters={
            "temperature": {
                "description": "T by which the logits of teacher and student are divided in "
                "training; at the test it is 1",
                "type": "number",
                "exclusiveMinimum": 0,
            },
        },
        teacher=True,
    ),
}
