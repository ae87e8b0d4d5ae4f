"""The registry of attacks.

An implementation takes `(model, images, labels)` and its hyper-parameters by keyword, those of a
random kind also `generator`, of a targeted one `targets`, of a traced one `on_step`, and returns
the adversarial images.
"""

from epsigma.kinds import AttackKind, Schema
from epsigma.vocabulary import BLIND

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
_GAMMA: Schema = {
    "description": "Υ, the largest share of the features that may change",
    "type": "number",
    "minimum": 0,
    "maximum": 1,
}
_THETA: Schema = {
    "description": "θ, what is added to a feature, in units of the pixel range",
    "type": "number",
    "minimum": -1,
    "maximum": 1,
    "not": {"const": 0},
    "default": 1,
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
    "optimizer": {
        "description": "`steepest`: each step is the gradient's steepest of its length; `adam`: "
        "steps remember the gradients before, which helps where these turn at every step, as at "
        "the edge of what a detector accepts",
        "enum": ["steepest", "adam"],
        "default": "steepest",
    },
    "loss": _LOSS,
}


def _targets(default: str) -> Schema:
    return {
        "description": "the classes to aim at, each in turn: `all` but the true one, or a list"
        + ("; `untargeted` aims at any wrong one" if default == "untargeted" else ""),
        "anyOf": [
            {"enum": ["all", "untargeted"] if default == "untargeted" else ["all"]},
            {
                "type": "array",
                "minItems": 1,
                "uniqueItems": True,
                "items": {"type": "integer", "minimum": 0},
            },
        ],
        "default": default,
    }


def _confidence(images: int) -> dict[str, Schema]:
    return {
        "confidence": {
            "description": "softmax probability of the class at which an image is done",
            "type": "number",
            "exclusiveMinimum": 0,
            "exclusiveMaximum": 1,
        },
        "images": {
            "description": "how many to make for each class",
            "type": "integer",
            "minimum": 1,
            "default": images,
        },
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
        traced=True,
        random=True,
        effort="steps",
    ),
    "pgd_l2": AttackKind(
        "epsigma.attacks.pgd:pgd_l2",
        swept="eps",
        parameters={"eps": _EPS_L2, **_PGD},
        norm="l2",
        traced=True,
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
    "jsma": AttackKind(
        "epsigma.attacks.jsma:jsma",
        swept="gamma",
        parameters={
            "gamma": _GAMMA,
            "targets": _targets("all"),
            "theta": _THETA,
            "outputs": {
                "description": "what the saliency map differentiates",
                "enum": ["logits", "softmax"],
                "default": "softmax",
            },
            "memory": {
                "description": "MiB that the search for pairs may take at once",
                "type": "integer",
                "minimum": 1,
                "default": 256,
            },
        },
        norm="l0",
        minimises="l0",
        targeted=True,
    ),
    "carlini_wagner": AttackKind(
        "epsigma.attacks.carlini_wagner:carlini_wagner",
        swept="kappa",
        parameters={
            "kappa": {
                "description": "κ, the logit margin by which an example must be misclassified",
                "type": "number",
                "minimum": 0,
            },
            "targets": _targets("untargeted"),
            "steps": {
                "description": "of Adam, in each step of the search for c",
                "type": "integer",
                "minimum": 1,
                "default": 1000,
            },
            "search_steps": {
                "description": "steps of the search for c, the weight of misclassification",
                "type": "integer",
                "minimum": 1,
                "default": 9,
            },
            "learning_rate": {
                "description": "of Adam",
                "type": "number",
                "exclusiveMinimum": 0,
                "default": 0.01,
            },
            "initial_c": {
                "description": "c that the search starts from",
                "type": "number",
                "exclusiveMinimum": 0,
                "default": 0.001,
            },
            "abort_early": {
                "description": "end a search step on an example whose loss has stopped falling",
                "type": "boolean",
                "default": True,
            },
        },
        minimises="l2",
        targeted=True,
        traced=True,
        effort="steps",
    ),
    "fooling": AttackKind(
        "epsigma.attacks.fooling:fooling",
        swept="confidence",
        parameters={
            **_confidence(10),
            "start": {
                "description": "what the ascent starts from: uniform noise, or the mean image",
                "enum": ["noise", "mean"],
                "default": "noise",
            },
            "steps": {
                "description": "steps along the gradient, at most",
                "type": "integer",
                "minimum": 1,
                "default": 1000,
            },
            "learning_rate": {
                "description": "l2 length of a step, in units of the pixel range",
                "type": "number",
                "exclusiveMinimum": 0,
                "default": 0.1,
            },
        },
        family="fooling",
        traced=True,
        random=True,
        effort="steps",
    ),
    "fooling_evolution": AttackKind(
        "epsigma.attacks.fooling_evolution:fooling_evolution",
        swept="confidence",
        parameters={
            **_confidence(10),
            "generations": {
                "description": "of the evolution, at most",
                "type": "integer",
                "minimum": 1,
                "default": 5000,
            },
            "offspring": {
                "description": "images a generation and population",
                "type": "integer",
                "minimum": 1,
                "default": 20,
            },
            "mutation_rate": {
                "description": "share of the values that mutate; halved every 1,000 generations",
                "type": "number",
                "exclusiveMinimum": 0,
                "maximum": 1,
                "default": 0.1,
            },
            "mutation_strength": {
                "description": "index of the polynomial mutation: a larger one makes smaller steps",
                "type": "number",
                "minimum": 0,
                "default": 15,
            },
        },
        family="fooling",
        traced=True,
        random=True,
        effort="generations",
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
    "l2_noise": AttackKind(
        "epsigma.attacks.noise:l2_noise",
        swept="eps",
        parameters={"eps": _EPS_L2},
        norm="l2",
        family="noise",
        random=True,
        threats=(BLIND,),
    ),
    "feature_noise": AttackKind(
        "epsigma.attacks.noise:feature_noise",
        swept="gamma",
        parameters={"gamma": _GAMMA, "theta": _THETA},
        norm="l0",
        family="noise",
        random=True,
        threats=(BLIND,),
    ),
    "fooling_noise": AttackKind(
        "epsigma.attacks.noise:fooling_noise",
        swept="confidence",
        parameters=_confidence(10),
        family="fooling",
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
