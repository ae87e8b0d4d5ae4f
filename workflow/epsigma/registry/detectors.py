"""The registry of detectors.

An implementation is an `epsigma.detectors.detector.Detector`, made from its hyper-parameters by
keyword.
"""

from epsigma.kinds import DetectorKind, Schema

_AUTOENCODER: Schema = {
    "description": "name of an autoencoder of the study",
    "type": "string",
}

DETECTORS = {
    "reconstruction": DetectorKind(
        "epsigma.detectors.reconstruction:Reconstruction",
        parameters={
            "autoencoder": _AUTOENCODER,
            "p": {
                "description": "power of the differences whose mean over the values is the score",
                "enum": [1, 2],
                "default": 1,
            },
        },
        autoencoder="autoencoder",
    ),
    "divergence": DetectorKind(
        "epsigma.detectors.divergence:Divergence",
        parameters={
            "autoencoder": _AUTOENCODER,
            "temperature": {
                "description": "T by which the logits are divided before the softmax",
                "type": "number",
                "exclusiveMinimum": 0,
                "default": 10,
            },
        },
        autoencoder="autoencoder",
    ),
    "squeezing": DetectorKind(
        "epsigma.detectors.squeezing:Squeezing",
        parameters={
            "filters": {
                "description": "the squeezers, each a block with the `kind` of a filter and its "
                "hyper-parameters, of which none is a list",
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "required": ["kind"],
                    "properties": {"kind": {"type": "string"}},
                },
            },
        },
        filters="filters",
    ),
}
