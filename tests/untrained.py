"""Autoencoders that have learnt nothing, for the filters and detectors that need one."""

import copy
from functools import cache
from pathlib import Path
from typing import Any

import torch
from epsigma.autoencoders.convolutional import Convolutional
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


def saved(folder: Path) -> dict[str, Any]:
    """Write the checkpoint of an autoencoder for a single channel; returns its settings."""
    path = folder / "autoencoder.ckpt"
    weights = {f"model.{name}": value for name, value in convolutional().state_dict().items()}
    torch.save({"state_dict": weights, "hyper_parameters": {"shape": [1, 8, 8]}}, path)
    return {"implementation": IMPLEMENTATION, "parameters": {}, "checkpoint": str(path)}
