"""Time the kinds of filter of `filter_cases.py` on 200 images of 28 × 28, on one thread.

    PYTHONPATH=workflow:tests python -m benchmarks.filter_costs

Prints microseconds of the processor an image: of the filter in a batch of 200 (the fastest of
three), of the filter on an image alone (the fastest of ten), and of an attacker's step through it
in a batch of 100, forward and backward.
"""

from time import process_time

import torch
from epsigma.filters.build import build_filter
from epsigma.filters.filter import Filter
from epsigma.filters.gaussian import Gaussian
from epsigma.filters.surrogate import attackable
from epsigma.registry.filters import FILTERS
from filter_cases import CASES
from torch import Tensor


def time_filter(module: Filter, images: Tensor) -> float:
    """Take the seconds of the processor that a filter needs for images (N, C, H, W)."""
    started = process_time()
    with torch.no_grad():
        module(images)
    return process_time() - started


def main() -> None:
    """Print a line a kind."""
    torch.set_num_threads(1)
    noise = torch.rand(200, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    # Blobs on black, about as many as digits have.
    images = Gaussian(sigma=2)(noise).sub(0.5).mul(8).clamp(0, 1)
    for kind, parameters in CASES.items():
        about = FILTERS[kind]
        settings = {"implementation": about.implementation, "gradient": about.gradient}
        settings |= {"parameters": parameters, "random": about.random}
        module = build_filter(settings, torch.Generator().manual_seed(0))
        seconds = min(time_filter(module, images) for _ in range(3))
        alone = min(time_filter(module, images[at : at + 1]) for at in range(10))
        given, started = images[:100].clone().requires_grad_(), process_time()
        attackable(module, about.gradient)(given).square().sum().backward()
        step = process_time() - started
        batch, alone, step = seconds / 200 * 1e6, alone * 1e6, step / 100 * 1e6
        print(f"{kind}: {batch:.0f}, alone {alone:.0f}, step {step:.0f}", flush=True)


if __name__ == "__main__":
    main()
