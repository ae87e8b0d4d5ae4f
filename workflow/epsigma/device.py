"""Where tensors live."""

import os

import torch

from epsigma.gpus import choose_gpu

# Where sets are scored and probed: little work, in jobs that never request a GPU.
CPU = torch.device("cpu")


def resolve(device: str) -> torch.device:
    """Find the device that `auto`, `cpu` or `cuda` means here; RuntimeError if there is no such.

    Of several GPUs, a job gets one of its own (`choose_gpu`). On a GPU convolutions are computed in
    float32, as they are where sets are scored: torch's default, TF32, has 10 bits, and what just
    fools a model by these need not fool it by all.
    """
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        # What tells a missing GPU from one that SLURM gave, and that this torch cannot use.
        given = os.environ.get("CUDA_VISIBLE_DEVICES")
        raise RuntimeError(
            "device: cuda, but torch sees no GPU here; set device to auto or cpu, or install a "
            f"torch for this machine's GPU (CUDA_VISIBLE_DEVICES is {given or 'not set'})"
        )
    if device == "cpu" or not available:
        return CPU
    torch.backends.cudnn.allow_tf32 = False
    count = torch.cuda.device_count()
    if count < 2:
        return torch.device("cuda")
    names = [str(torch.cuda.get_device_properties(one).uuid) for one in range(count)]
    return torch.device("cuda", choose_gpu(names))
