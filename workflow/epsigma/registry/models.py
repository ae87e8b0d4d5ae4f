"""The registry of models. An implementation is an `nn.Module` from images to logits.

If it has a method `constrain`, training calls it after each step.
"""

from epsigma.kinds import Kind, Schema


def _count(of: str, default: int) -> Schema:
    return {"description": of, "type": "integer", "minimum": 1, "default": default}


def _dropped(of: str, default: float) -> Schema:
    return {
        "description": f"share of {of} that a step of training drops",
        "type": "number",
        "minimum": 0,
        "exclusiveMaximum": 1,
        "default": default,
    }


MODELS = {
    "mlp": Kind(
        "epsigma.models.mlp:MLP",
        parameters={"hidden": _count("width of the hidden layer", 64)},
    ),
    "softmax": Kind("epsigma.models.softmax:Softmax"),
    "maxout": Kind(
        "epsigma.models.maxout:Maxout",
        parameters={
            "units": _count("width of each of the two maxout layers", 240),
            "pieces": _count("affine functions of which a unit takes the largest", 5),
            "dropout_input": _dropped("the pixels", 0.2),
            "dropout_hidden": _dropped("each maxout layer's units", 0.5),
            "max_norm": {
                "description": "largest ℓ2 norm of a weight vector",
                "type": "number",
                "exclusiveMinimum": 0,
                "default": 1.9365,
            },
        },
    ),
    "cnn": Kind(
        "epsigma.models.cnn:CNN",
        parameters={
            "channels": _count(
                "channels of the first convolution; the second has twice as many", 16
            ),
            "hidden": _count("width of the hidden linear layer", 128),
        },
    ),
    "resnet": Kind(
        "epsigma.models.resnet:ResNet",
        parameters={
            "width": _count("channels of the first of the four stages; ResNet-18 has 64", 16),
            "blocks": _count("residual blocks of a stage; ResNet-18 has 2", 2),
        },
    ),
    "factory": Kind(
        "epsigma.models.factory:make",
        parameters={
            "factory": {
                "description": "a function of the user's own, as package.module:function, that "
                "takes an image's shape (C, H, W), the number of classes and `parameters` by "
                "keyword, and returns an nn.Module from images (N, C, H, W) in [0, 1] to logits "
                "(N, K); found in the working directory, else on Python's path",
                "type": "string",
                "pattern": r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*\Z",
                "examples": ["package.module:function"],
            },
            "parameters": {
                "description": "what the function takes beside shape and classes, by keyword",
                "type": "object",
                "propertyNames": {"type": "string", "pattern": r"^[A-Za-z_]\w*\Z"},
                "additionalProperties": {
                    "type": ["number", "string", "boolean", "null", "array", "object"]
                },
                "default": {},
            },
        },
    ),
}
