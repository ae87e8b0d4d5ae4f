"""Subproblems that hold every unit: the network is linear there, and a linear program decides."""

import numpy as np
import torch
from scipy.optimize import linprog
from torch import Tensor

from epsigma.proofs.crown import Region
from epsigma.proofs.network import Network

# What leaving the subproblem costs, a unit: far more than any dual variable is worth, so that it is
# left only where it is empty.
PENALTY = 1e4


def minimise_leaf(
    network: Network, region: Region, signs: Tensor, is_on: Tensor, difference: Tensor
) -> tuple[float, Tensor]:
    """Minimise a margin where every unit is on or off.

    The solver's dual variables make the bound, as in `epsigma.proofs.duals`: it is a proof whatever
    the solver's tolerances are. Where no image has these units on and off, the bound is far above
    zero.

    Args:
        network: the network.
        region: a box, of one example.
        signs: (U,) float64: 1 where a unit is held on, −1 where it is held off; 0 where its bounds
            say what it is.
        is_on: (U,) bool, which units are on, held or by their bounds.
        difference: (K,), the margin as a function of the logits.

    Returns:
        A lower bound of the margin there, and (D,), the image of the least margin that was found.
    """
    row, constant, held, offsets = _compose(network, signs, is_on, difference)
    low, high = (region.center - region.radius)[0], (region.center + region.radius)[0]
    # z_i ≥ −t_i for each held unit, and t_i ≥ 0 costs.
    excess = -torch.eye(len(held), dtype=torch.float64)
    solved = linprog(
        np.concatenate((row.numpy(), np.full(len(held), PENALTY))),
        A_ub=torch.cat((-held, excess), 1).numpy(),
        b_ub=offsets.numpy(),
        bounds=[*zip(low.tolist(), high.tolist(), strict=True), *[(0, None)] * len(held)],
        method="highs",
    )
    if solved.x is None:
        return -torch.inf, region.center[0]
    duals = torch.from_numpy(-solved.ineqlin.marginals).clamp_(min=0)
    least = region.minimum((row - duals @ held)[None, None])[0, 0]
    x = torch.from_numpy(solved.x[: len(row)]).clamp(low, high)
    return float(least + constant - duals @ offsets), x


def _compose(
    network: Network, signs: Tensor, is_on: Tensor, difference: Tensor
) -> tuple[Tensor, float, Tensor, Tensor]:
    """Write the margin and the held units as functions of the image, x ↦ A x + b.

    Returns:
        (D,) and a number, of the margin; (H, D) and (H,), of the held units times their signs.
    """
    weight = torch.eye(network.layers[0].weight.shape[1], dtype=torch.float64)
    bias = torch.zeros(len(weight), dtype=torch.float64)
    rows, offsets = [weight[:0]], [bias[:0]]
    parts, switches = (torch.split(units, network.hidden) for units in (signs, is_on.double()))
    for layer, part, on in zip(network.layers[:-1], parts, switches, strict=True):
        weight, bias = layer.weight @ weight, layer.weight @ bias + layer.bias
        at = part != 0
        rows.append(part[at, None] * weight[at])
        offsets.append(part[at] * bias[at])
        weight, bias = on[:, None] * weight, on * bias
    last = network.layers[-1]
    row = difference @ last.weight
    constant = float(row @ bias + difference @ last.bias)
    return row @ weight, constant, torch.cat(rows), torch.cat(offsets)
