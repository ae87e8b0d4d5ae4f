"""Time the kinds of filter of `filter_cases.py` on 200 images of 28 × 28, on one thread.

    PYTHONPATH=workflow:tests python -m benchmarks.filter_costs

Prints microseconds of the processor an image: of the filter (the fastest of three), and of an
attacker's step through it, forward and backward.
"""

from time import process_time

import torch
from epsigma.filters.build import build_filter
from epsigma.filters.gaussian import Gaussian
from epsigma.filters.surrogate import attackable
from epsigma.registry.filters import FILTERS
from filter_cases import CASES


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
        seconds = []
        for _ in range(3):
            started = process_time()
            with torch.no_grad():
                module(images)
            seconds.append(process_time() - started)
        given, started = images[:100].clone().requires_grad_(), process_time()
        attackable(module, about.gradient)(given).square().sum().backward()
        step = process_time() - started
        print(f"{kind}: {min(seconds) / 200 * 1e6:.0f}, step {step / 100 * 1e6:.0f}", flush=True)


if __name__ == "__main__":
    main()
