"""The registry of autoencoders.

An implementation is an `nn.Module` from images in [0, 1] to images of the same shape in [0, 1]. One
that has a method `fit`, of the training images, is fitted by that, and not trained.
"""

from typing import Literal

from pydantic import Field

from epsigma.kinds import Count, Hyperparameters, Kind


class Convolutional(Hyperparameters):
    channels: Count = Field(3, description="of each convolution but the last")
    pool: Literal["average", "max", None] = Field(
        "average",
        description="how the encoder halves the image between two convolutions, and the decoder "
        "doubles it again: MagNet's autoencoder I for MNIST averages; its II does neither (null), "
        "and has a convolution less on each side",
    )


class PCA(Hyperparameters):
    components: Count = Field(
        100, description="directions that are kept, those of the largest variance; at most all"
    )


AUTOENCODERS = {
    "convolutional": Kind("epsigma.autoencoders.convolutional:Convolutional", Convolutional),
    "pca": Kind("epsigma.autoencoders.pca:PrincipalComponents", PCA),
}
