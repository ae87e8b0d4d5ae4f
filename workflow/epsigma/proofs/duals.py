"""The tightest lower bound of a margin where some units are held on or off.

A subproblem of branch and bound holds units at a sign: sₖ = 1 says that what unit k is given is
zₖ ≥ 0, sₖ = −1 that zₖ ≤ 0. With dual variables βₖ ≥ 0 the margin there is at least the minimum of
margin − Σ βₖ sₖ zₖ, and linear relaxation bounds that for any β ≥ 0 and any slopes of the lower
lines. So whatever the ascent finds is a proof, and where it stops costs tightness only.

Source: Wang et al. 2021 (β-CROWN, arXiv:2103.06624), sections 3.1 and 3.2, with the bounds of units
as they were before any was held.
"""

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from epsigma.proofs.crown import Bounds, Lines, Region, relax
from epsigma.proofs.network import Network

# Adam's, as Kingma & Ba (2015) have them, with a rate that falls.
_BETA1, _BETA2, _ADAM_EPS = 0.9, 0.999, 1e-8
RATE, FALL = 0.2, 0.95
# Of a unit whose lower line matters, in units of one whose upper line does.
_LOWER = 0.01


@dataclass(frozen=True)
class Nodes:
    """Subproblems, a row each; the units of all layers are beside each other, U in all.

    Args:
        example: (B,) int64, which region it is of.
        other: (B,) int64, the class whose margin to the label it bounds.
        signs: (B, U) float64 in {−1, 0, 1}: which units are held.
        slopes: (B, U), of the lower lines, where the ascent starts.
        duals: (B, U), where the ascent starts.
        bound: (B,), of the margin.
        branch: (B,) int64, the unit to be held next; −1 if none is left.
    """

    example: Tensor
    other: Tensor
    signs: Tensor
    slopes: Tensor
    duals: Tensor
    bound: Tensor
    branch: Tensor

    def __len__(self) -> int:
        return len(self.example)

    def __getitem__(self, rows: Tensor | slice) -> "Nodes":
        """Pick rows."""
        return Nodes(*(getattr(self, field.name)[rows] for field in fields(self)))

    def join(self, other: "Nodes") -> "Nodes":
        """Put the rows of others after these."""
        names = [field.name for field in fields(self)]
        return Nodes(*(torch.cat((getattr(self, name), getattr(other, name))) for name in names))

    def hold(self) -> "Nodes":
        """Make the two children of each: their unit held off, and on."""
        children = self.join(self)
        sides = torch.tensor([-1, 1], dtype=torch.float64).repeat_interleave(len(self))
        children.signs[torch.arange(len(children)), children.branch] = sides
        return children


class Relaxation:
    """Bounds of margins over regions, of which subproblems are made.

    Args:
        network: the network.
        region: of each example.
        bounds: of the units of all layers over these regions, (N, U).
        differences: (N, K, K), the margins as functions of the logits.
    """

    def __init__(
        self, network: Network, region: Region, bounds: Bounds, differences: Tensor
    ) -> None:
        self.network = network
        self.region = region
        self.bounds = bounds
        self.differences = differences

    def start(self, example: Tensor, other: Tensor) -> Nodes:
        """Make the subproblems where no unit is held."""
        slopes = self.bounds.lower_slope()[example]
        zero = torch.zeros_like(slopes)
        bound = torch.full(example.shape, -torch.inf, dtype=torch.float64)
        branch = torch.full_like(example, -1)
        return Nodes(example, other, zero, slopes, zero.clone(), bound, branch)

    def held(self, nodes: Nodes) -> Bounds:
        """Bound the units of all layers where some are held."""
        low, high = self.bounds.low[nodes.example], self.bounds.high[nodes.example]
        return Bounds(
            torch.where(nodes.signs > 0, low.clamp(min=0), low),
            torch.where(nodes.signs < 0, high.clamp(max=0), high),
        )

    def ascend(self, nodes: Nodes, steps: int) -> tuple[Nodes, Tensor]:
        """Ascend the bounds of subproblems, by Adam on their slopes and dual variables.

        Returns:
            The subproblems with the best bounds (those that they had, if these are better), where
            the ascent found its best, and the unit to be held next; and (B, D), the image at which
            the last bound is reached.
        """
        held = self.held(nodes)
        free, own = held.unstable, held.lower_slope()
        region = self.region[nodes.example]
        layers = [
            Bounds(*pair) for pair in zip(self._cut(held.low), self._cut(held.high), strict=True)
        ]
        rows = self.differences[nodes.example, nodes.other].unsqueeze(1)
        x = torch.cat((nodes.slopes, nodes.duals), 1).requires_grad_()
        best, bound = x.detach().clone(), torch.full_like(nodes.bound, -torch.inf)
        move = _Ascent(x)
        # Without units there is nothing to ascend.
        steps = steps if x.shape[1] else 0
        for step in range(steps + 1):
            slopes, duals = x.chunk(2, dim=1)
            lines = relax(
                self.network,
                rows,
                layers,
                self._cut(torch.where(free, slopes, own)),
                self._cut(-nodes.signs * duals),
            )
            reached = lines.minimum(region).squeeze(1)
            better = reached.detach() > bound
            best[better] = x.detach()[better]
            bound = torch.where(better, reached.detach(), bound)
            if step < steps:
                (gradient,) = torch.autograd.grad(reached.sum(), x)
                move(gradient, RATE * FALL**step, nodes.signs != 0)
        slopes, duals = best.chunk(2, dim=1)
        branch = _choose(lines, held, free)
        bound = torch.maximum(bound, nodes.bound)
        found = Nodes(nodes.example, nodes.other, nodes.signs, slopes, duals, bound, branch)
        return found, region.center - lines.rows.detach().squeeze(1).sign() * region.radius

    def _cut(self, units: Tensor) -> tuple[Tensor, ...]:
        """Cut values of all units into those of each layer."""
        return torch.split(units, self.network.hidden, 1) if self.network.hidden else ()


@torch.no_grad()
def _choose(lines: Lines, held: Bounds, free: Tensor) -> Tensor:
    """Choose the unit whose lines cost the bound most; −1 if none is left; (B,).

    The upper line of a unit costs its intercept at most, times its coefficient (Bunel et al. 2020,
    Branch and bound for piecewise linear neural network verification, section 5.1).
    """
    if not lines.of_units:
        return torch.full((len(free),), -1)
    rows = torch.cat(lines.of_units, 2).squeeze(1)
    negative = rows.clamp(max=0)
    _, intercept = held.upper_line()
    below = (rows - negative) * torch.minimum(-held.low, held.high)
    cost = torch.where(free, _LOWER * below - negative * intercept, -1)
    return torch.where(free.any(1), cost.argmax(1), -1)


class _Ascent:
    """Adam's steps, upwards, in place; slopes stay in [0, 1], dual variables at 0 and above."""

    def __init__(self, x: Tensor) -> None:
        self.x = x
        self.mean, self.square = torch.zeros_like(x), torch.zeros_like(x)
        self.count = 0

    @torch.no_grad()
    def __call__(self, gradient: Tensor, rate: float, held: Tensor) -> None:
        self.count += 1
        self.mean.lerp_(gradient, 1 - _BETA1)
        self.square.lerp_(gradient.square(), 1 - _BETA2)
        length = (self.square / (1 - _BETA2**self.count)).sqrt_().add_(_ADAM_EPS)
        self.x.addcdiv_(self.mean / (1 - _BETA1**self.count), length, value=rate)
        slopes, duals = self.x.chunk(2, dim=1)
        slopes.clamp_(0, 1)
        duals.clamp_(min=0).mul_(held)
