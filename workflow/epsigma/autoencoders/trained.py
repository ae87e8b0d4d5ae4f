"""Trained autoencoders, read from their checkpoints."""

from typing import Any

import torch
from torch import nn

from epsigma.loading import load
from epsigma.memoize import Memoized
from epsigma.storage.checkpoint import load_weights, read_checkpoint


def load_autoencoder(settings: dict[str, Any], device: torch.device) -> nn.Module:
    """Read a trained autoencoder, by its `implementation`, `parameters` and `checkpoint`.

    It maps images to images in [0, 1], in eval mode, its parameters frozen; `Memoized`, so that
    detectors and a reformer of the same checkpoint evaluate it once.
    """
    about, weights = read_checkpoint(settings["checkpoint"])
    made: nn.Module = load(settings["implementation"])(about["shape"], **settings["parameters"])
    load_weights(made, weights, settings["checkpoint"])
    # Convolutions of few channels take a third to a half of the time so.
    made.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    # Clipped to the pixel range here, so that all users get the same tensor.
    within = nn.Sequential(made, nn.Hardtanh(0, 1)).eval()
    return Memoized(within, settings["checkpoint"])
