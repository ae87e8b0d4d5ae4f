"""The registry of attacks.

An implementation takes `(model, images, labels)` and its hyper-parameters by keyword, those of a
random kind also `generator`, and returns the adversarial images.
"""

from epsigma.grid import BLIND
from epsigma.kinds import AttackKind, Schema

_EPS: Schema = {
    "description": "radius of the l-infinity ball, in units of the pixel range [0, 1]",
    "type": "number",
    "minimum": 0,
    "maximum": 1,
}
_EPS_L2: Schema = {
    "description": "radius of the l2 ball, in units of the pixel range [0, 1]",
    "type": "number",
    "minimum": 0,
}
_LOSS: Schema = {
    "description": "what the attack ascends: the cross-entropy J of the paper, or the logit margin "
    "(largest wrong logit minus the right one), which saturation cannot mask",
    "enum": ["cross_entropy", "margin"],
    "default": "cross_entropy",
}
_PGD: dict[str, Schema] = {
    "steps": {
        "description": "steps along the gradient",
        "type": "integer",
        "minimum": 1,
        "default": 40,
    },
    "step_size": {
        "description": "length of a step, in the units of eps; null: 2.5 eps / steps",
        "type": ["number", "null"],
        "exclusiveMinimum": 0,
        "default": None,
    },
    "random_start": {
        "description": "start at a random point of the ball, not at the image",
        "type": "boolean",
        "default": True,
    },
    "restarts": {
        "description": "runs, each from a start of its own; the best of each example counts",
        "type": "integer",
        "minimum": 1,
        "default": 1,
    },
    "early_stop": {
        "description": "leave an example alone as soon as it is misclassified",
        "type": "boolean",
        "default": False,
    },
    "loss": _LOSS,
}

ATTACKS = {
    "fgsm": AttackKind(
        "epsigma.attacks.fgsm:fgsm",
        swept="eps",
        parameters={"eps": _EPS, "loss": _LOSS},
        norm="linf",
        family="single_step",
    ),
    "pgd": AttackKind(
        "epsigma.attacks.pgd:pgd",
        swept="eps",
        parameters={"eps": _EPS, **_PGD},
        norm="linf",
        random=True,
        effort="steps",
    ),
    "pgd_l2": AttackKind(
        "epsigma.attacks.pgd:pgd_l2",
        swept="eps",
        parameters={"eps": _EPS_L2, **_PGD},
        norm="l2",
        random=True,
        effort="steps",
    ),
    "square": AttackKind(
        "epsigma.attacks.square:square",
        swept="eps",
        parameters={
            "eps": _EPS,
            "queries": {
                "description": "times the model is asked about an image, at most",
                "type": "integer",
                "minimum": 1,
                "default": 1000,
            },
            "p_init": {
                "description": "part of the image that the first squares cover",
                "type": "number",
                "exclusiveMinimum": 0,
                "maximum": 1,
                "default": 0.8,
            },
        },
        norm="linf",
        family="gradient_free",
        random=True,
        effort="queries",
    ),
    "sign_noise": AttackKind(
        "epsigma.attacks.noise:sign_noise",
        swept="eps",
        parameters={"eps": _EPS},
        norm="linf",
        family="noise",
        random=True,
        threats=(BLIND,),
    ),
    "uniform_noise": AttackKind(
        "epsigma.attacks.noise:uniform_noise",
        swept="eps",
        parameters={"eps": _EPS},
        norm="linf",
        family="noise",
        random=True,
        threats=(BLIND,),
    ),
    "transfer": AttackKind(
        "epsigma.attacks.transfer:transfer",
        swept="eps",
        parameters={
            "eps": _EPS,
            "attack": {
                "description": "name of the attack whose sets are taken over",
                "type": "string",
            },
            "source_model": {
                "description": "name of the model that they are made on; null: the one attacked",
                "type": ["string", "null"],
                "default": None,
            },
            "source_seed": {
                "description": "seed of the model that they are made on; null: the one attacked",
                "type": ["integer", "null"],
                "minimum": 0,
                "maximum": 4294967295,
                "default": None,
            },
        },
        family="transfer",
        threats=(BLIND,),
    ),
}
