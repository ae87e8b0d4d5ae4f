"""The Square attack in ℓ2: random search that moves the perturbation's mass about."""

import math

import torch
from torch import Tensor, nn

from epsigma.attacks.balls import L2, normalise
from epsigma.attacks.losses import clear_margin
from epsigma.attacks.square import covered, draw_signs, draw_squares
from epsigma.detectors.rejection import attacked_logits

# The first perturbation is so many tiles along the shorter side, and no square is smaller.
TILES, SMALLEST = 5, 3
# Nothing to divide by.
_TINY = 1e-20

Squares = tuple[Tensor, Tensor, Tensor]


@torch.no_grad()
def square_l2(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    queries: int = 1000,
    p_init: float = 0.8,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Search the ℓ2 ball at random, square by square, for a negative logit margin.

    Starts from tiles of a bump beside its negative. Then each query takes the perturbation out of
    two squares of an image, and puts its energy, and what of ε² the pixel range has left unused,
    into the first: as what was there and a new bump with its negative. That is kept if the margin
    of the true class shrinks. An image is left alone as soon as it is misclassified, at once if it
    is so when clean.

    Args:
        eps: radius of the ball; any.
        queries: evaluations of the model on an image, at most, the start included.
        p_init: part of the image that the first squares cover, in (0, 1].

    Source: Andriushchenko, Croce, Flammarion & Hein 2020 (arXiv:1912.00049), algorithms 1 and 3.
    """
    if not 0 <= eps < math.inf:
        raise ValueError(f"eps = {eps} is no finite number from 0 on")
    if queries < 1:
        raise ValueError(f"queries = {queries} is less than 1")
    if not 0 < p_init <= 1:
        raise ValueError(f"p_init = {p_init} is outside (0, 1]")
    result = images.clone()
    right = attacked_logits(model, images, labels).argmax(1) == labels
    # Of the images still searched: their places in the batch, where they are, and by how much they
    # are misclassified.
    at = right.nonzero().squeeze(1)
    if not len(at):
        return result
    origin = images[at]
    project = L2.projection(origin, eps)
    x = project(draw_tiles(origin, generator).mul_(eps).add_(origin))
    lead = clear_margin(attacked_logits(model, x, labels[at]), labels[at])
    for query in range(1, queries + 1):
        left = lead <= 0
        if not left.all():
            result[at[~left]] = x[~left]
            at, x, origin, lead = (kept[left] for kept in (at, x, origin, lead))
            project = L2.projection(origin, eps)
        if not len(at) or query == queries:
            break
        side = _side(images, covered(query, queries, p_init))
        one, other = (draw_squares(x, side, generator) for _ in range(2))
        proposed = project(_move(x - origin, one, other, eps, generator).add_(origin))
        found = clear_margin(attacked_logits(model, proposed, labels[at]), labels[at])
        better = found > lead
        x = torch.where(better.view(-1, 1, 1, 1), proposed, x)
        lead = torch.maximum(found, lead)
    result[at] = x
    return result


def bump(height: int, width: int, like: Tensor) -> Tensor:
    """Make a bump (h, w): its middle is the highest, and it falls in rings; equation 2."""
    n = max(height, width) // 2
    rows, columns = (torch.arange(side, device=like.device) for side in (height, width))
    ring = torch.maximum(
        (rows - height // 2).abs().unsqueeze(1), (columns - width // 2).abs().unsqueeze(0)
    )
    weights = torch.arange(1, n + 2, device=like.device, dtype=like.dtype).pow(-2)
    # From the ring outwards.
    heights: Tensor = weights.flip(0).cumsum(0).flip(0)[ring]
    return heights


def bumps(side: int, like: Tensor) -> Tensor:
    """Make a square (side, side) of length 1: a bump over the negative of one."""
    half = side // 2
    both = torch.cat([bump(half, side, like), -bump(side - half, side, like)])
    length: Tensor = torch.linalg.vector_norm(both)
    return both / length


def draw_tiles(images: Tensor, generator: torch.Generator | None) -> Tensor:
    """Tile images (N, C, H, W) with `bumps` of either sign, upright or lying; of length 1."""
    n, channels, height, width = images.shape
    side = max(min(height, width) // TILES, 1)
    rows, columns = height // side, width // side
    shape = bumps(side, images).view(side, 1, side)
    signs = draw_signs((n, channels, rows, 1, columns, 1), images, generator)
    lies = draw_signs((n, 1, rows, 1, columns, 1), images, generator) > 0
    tiles = torch.where(lies, shape.transpose(0, 2), shape) * signs
    top, start = (height - rows * side) // 2, (width - columns * side) // 2
    tiled = torch.zeros_like(images)
    tiled[:, :, top : top + rows * side, start : start + columns * side] = tiles.reshape(
        n, channels, rows * side, columns * side
    )
    return normalise(tiled)


def _side(images: Tensor, part: float) -> int:
    """Side of a square that covers a part of an image, in pixels: odd, if there is room."""
    height, width = images.shape[-2:]
    side = max(SMALLEST, round(math.sqrt(part * height * width)))
    return min(side + (side + 1) % 2, height, width)


def _move(
    delta: Tensor, one: Squares, other: Squares, eps: float, generator: torch.Generator | None
) -> Tensor:
    """Move the energy of two squares of each δ (N, C, H, W), and what is unused, into the first."""
    (n, rows, columns), channels = one, delta.shape[1]
    moved = delta.clone()
    for places in (one, other):
        moved[places[0], :, places[1], places[2]] = 0
    energy = delta.square().sum((2, 3))
    freed = energy - moved.square().sum((2, 3))
    unused = (eps**2 - energy.sum(1, keepdim=True)).clamp_(min=0) / channels
    here = delta[n, :, rows, columns]
    length = torch.linalg.vector_norm(here, dim=(1, 2), keepdim=True).clamp_(min=_TINY)
    shape = bumps(rows.shape[1], delta).unsqueeze(-1)
    lies = draw_signs((len(delta), 1, 1, 1), delta, generator) > 0
    signs = draw_signs((len(delta), 1, 1, channels), delta, generator)
    fresh = torch.where(lies, shape.transpose(0, 1), shape) * signs + here / length
    wanted = (freed + unused).clamp_(min=0).sqrt_()[:, None, None, :]
    fresh *= wanted / torch.linalg.vector_norm(fresh, dim=(1, 2), keepdim=True).clamp_(min=_TINY)
    moved[n, :, rows, columns] = fresh
    return moved
