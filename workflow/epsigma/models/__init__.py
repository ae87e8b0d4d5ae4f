"""The registry of models. An implementation is an `nn.Module` from images to logits."""

from epsigma.kinds import Kind

MODELS = {
    "mlp": Kind(
        "epsigma.models.mlp:MLP",
        parameters={
            "hidden": {
                "description": "width of the hidden layer",
                "type": "integer",
                "minimum": 1,
                "default": 64,
            },
        },
    ),
}
