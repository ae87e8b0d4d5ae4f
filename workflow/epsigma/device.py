"""Where tensors live."""

import torch

# Where sets are scored and looked at: little work, in jobs that never ask for a GPU.
CPU = torch.device("cpu")


def resolve(device: str) -> torch.device:
    """Find the device that the configuration's `auto`, `cpu` or `cuda` means here.

    Raises:
        RuntimeError: if `cuda` is asked for and there is none.
    """
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise RuntimeError(
            "device: cuda, but torch sees no GPU here; set device to auto or cpu, or install a "
            "torch for this machine's GPU"
        )
    return torch.device("cuda" if device != "cpu" and available else "cpu")
