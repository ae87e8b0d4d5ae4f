"""Training on the images as they are."""

from epsigma.training.objective import SoftenedCrossEntropy


class Standard(SoftenedCrossEntropy):
    """The cross-entropy J(θ, x, y)."""

    def __init__(self) -> None:
        super().__init__()
