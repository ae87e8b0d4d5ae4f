"""The registry of autoencoders.

An implementation is an `nn.Module` from images in [0, 1] to images of the same shape in [0, 1].
"""

from epsigma.kinds import Kind

AUTOENCODERS = {
    "convolutional": Kind(
        "epsigma.autoencoders.convolutional:Convolutional",
        parameters={
            "channels": {
                "description": "of each convolution but the last",
                "type": "integer",
                "minimum": 1,
                "default": 3,
            },
            "pool": {
                "description": "how the encoder halves the image between two convolutions, and the "
                "decoder doubles it again: MagNet's autoencoder I for MNIST averages; its II does "
                "neither (null), and has a convolution less on each side",
                "enum": ["average", "max", None],
                "default": "average",
            },
        },
    ),
}
