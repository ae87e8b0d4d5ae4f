"""A small convolutional network in the manner of LeNet."""

from torch import Tensor, nn

SMALLEST = 8


class CNN(nn.Module):
    """Two convolutions, each pooled to half the size and rectified, and two linear layers.

    LeNet's order of layers, with rectified linear units, maximum pooling, and kernels of 5 × 5
    that are padded, so that small images do too, of 8 × 8 pixels or more (else ValueError). The
    second convolution has twice as many channels as the first; `hidden` is a layer's width.
    Rectifying the maximum is rectifying each value, to the bit and in its gradient, too, and takes
    a quarter of the work.

    Source: LeCun et al. 1998 (Gradient-based learning applied to document recognition), section
    II.B, for the order of the layers.
    """

    def __init__(
        self, shape: tuple[int, int, int], classes: int, *, channels: int = 16, hidden: int = 128
    ) -> None:
        super().__init__()
        depth, height, width = shape
        if min(height, width) < SMALLEST:
            raise ValueError(
                f"the model cnn takes images of {SMALLEST} × {SMALLEST} pixels or more, not "
                f"{height} × {width}: choose mlp, softmax or maxout"
            )
        self.layers = nn.Sequential(
            nn.Conv2d(depth, channels, 5, padding=2),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Conv2d(channels, 2 * channels, 5, padding=2),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(2 * channels * (height // 4) * (width // 4), hidden),
            nn.ReLU(),
            nn.Linear(hidden, classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, C, H, W) in [0, 1] to logits (N, K)."""
        logits: Tensor = self.layers(images)
        return logits
