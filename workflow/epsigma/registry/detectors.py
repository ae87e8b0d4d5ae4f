"""The registry of detectors.

An implementation is an `epsigma.detectors.detector.Detector`, made from its hyper-parameters by
keyword.
"""

from typing import Annotated, Literal

from pydantic import Field

from epsigma.kinds import DetectorKind, Hyperparameters, Part


class _OfAutoencoder(Hyperparameters):
    autoencoder: str = Field(description="name of an autoencoder of the study")


class Reconstruction(_OfAutoencoder):
    p: Literal[1, 2] = Field(
        1, description="power of the differences whose mean over the values is the score"
    )


class Divergence(_OfAutoencoder):
    temperature: Annotated[float, Field(gt=0)] = Field(
        10, description="T by which the logits are divided before the softmax"
    )


class Squeezing(Hyperparameters):
    filters: Annotated[list[Part], Field(min_length=1)] = Field(
        description="the squeezers, each a block with the `kind` of a filter and its "
        "hyper-parameters, of which none is a list"
    )


DETECTORS = {
    "reconstruction": DetectorKind(
        "epsigma.detectors.reconstruction:Reconstruction", Reconstruction, autoencoder="autoencoder"
    ),
    "divergence": DetectorKind(
        "epsigma.detectors.divergence:Divergence", Divergence, autoencoder="autoencoder"
    ),
    "squeezing": DetectorKind(
        "epsigma.detectors.squeezing:Squeezing", Squeezing, filters="filters"
    ),
}
