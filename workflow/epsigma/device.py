"""Where tensors live."""

import os

import torch

# Where sets are scored and probed: little work, in jobs that never request a GPU.
CPU = torch.device("cpu")


def resolve(device: str) -> torch.device:
    """Find the device that `auto`, `cpu` or `cuda` means here; RuntimeError if there is no such."""
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        # What tells a missing GPU from one that SLURM gave, and that this torch cannot use.
        given = os.environ.get("CUDA_VISIBLE_DEVICES")
        raise RuntimeError(
            "device: cuda, but torch sees no GPU here; set device to auto or cpu, or install a "
            f"torch for this machine's GPU (CUDA_VISIBLE_DEVICES is {given or 'not set'})"
        )
    return torch.device("cuda" if device != "cpu" and available else "cpu")
