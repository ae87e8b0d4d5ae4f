"""Autoencoders that have learnt nothing, for the filters and detectors that need one."""

import copy
from functools import cache
from pathlib import Path
from typing import Any

import torch
from epsigma.autoencoders.convolutional import Convolutional
from epsigma.autoencoders.pca import PrincipalComponents
from torch import Tensor, nn

IMPLEMENTATION = "epsigma.autoencoders.convolutional:Convolutional"
# By so much the first weights are too small to tell images apart.
GAIN = 3.0


def convolutional() -> Convolutional:
    """An autoencoder for a single channel, the same each time, in eval mode and frozen."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = Convolutional((1, 8, 8))
    for parameter in made.parameters():
        parameter.data.mul_(GAIN)
    return made.eval().requires_grad_(False)


class EachChannel(nn.Module):
    """An autoencoder for images of any depth, channel by channel, and of either precision."""

    def __init__(self) -> None:
        super().__init__()
        self.float32 = convolutional()
        self.float64 = copy.deepcopy(self.float32).double()

    def forward(self, images: Tensor) -> Tensor:
        """Reconstruct images (N, C, H, W)."""
        inner = self.float64 if images.dtype == torch.float64 else self.float32
        found: Tensor = inner(images.flatten(0, 1).unsqueeze(1))
        return found.view_as(images)


@cache
def autoencoder() -> nn.Module:
    """An autoencoder for any images; nobody changes it."""
    return EachChannel().eval()


class AnyComponents(PrincipalComponents):
    """Principal components of images of any shape: of each size directions at random."""

    def __init__(self) -> None:
        super().__init__((1, 1, 1))

    def basis(self, images: Tensor, components: int) -> tuple[Tensor, Tensor]:
        """Draw mean and directions, the same each time."""
        mean, directions = _draw_basis(images[0].numel())
        return mean.to(images), directions[:components].to(images)


@cache
def _draw_basis(size: int) -> tuple[Tensor, Tensor]:
    """Draw a mean image and up to ten orthonormal directions of so many values."""
    generator = torch.Generator().manual_seed(size)
    drawn = torch.randn(size, 11, generator=generator, dtype=torch.float64)
    directions, _ = torch.linalg.qr(drawn[:, 1:])
    return drawn[:, 0].sigmoid(), directions.T.contiguous()


@cache
def any_components() -> nn.Module:
    """Principal components for any images; nobody changes them."""
    return AnyComponents().eval()


def components() -> PrincipalComponents:
    """Principal components of noise, for a single channel."""
    made = PrincipalComponents((1, 8, 8), components=10)
    made.fit(torch.rand(100, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
    return made.eval()


def saved(folder: Path, kind: str = "reformer") -> dict[str, Any]:
    """Write the checkpoint of what a kind of filter needs, for one channel; returns settings."""
    path = folder / "autoencoder.ckpt"
    made, implementation, parameters = convolutional(), IMPLEMENTATION, {}
    if kind == "pca":
        made, implementation = components(), "epsigma.autoencoders.pca:PrincipalComponents"
        parameters = {"components": 10}
    weights = {f"model.{name}": value for name, value in made.state_dict().items()}
    torch.save({"state_dict": weights, "hyper_parameters": {"shape": [1, 8, 8]}}, path)
    return {"implementation": implementation, "parameters": parameters, "checkpoint": str(path)}
