"""Random numbers of a job's own."""

import torch

from epsigma.cell import cell_seed
from epsigma.job import Job


def seeded_generator(job: Job, device: torch.device, purpose: str) -> torch.Generator:
    """Make a random generator of a job's own, for a purpose."""
    return torch.Generator(device).manual_seed(cell_seed({**job.cell, "purpose": purpose}))
