"""The Square attack: random search, no gradient."""

import math

import torch
from torch import Tensor, nn

from epsigma.attacks.losses import clear_margin
from epsigma.detectors.rejection import attacked_logits

# After which of 10,000 queries the part of the image that a square covers is halved, again.
HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)


def covered(query: int, queries: int, p_init: float) -> float:
    """Return the part of the image that the squares of a query cover.

    Halved after fixed fractions of the budget (the paper's section 5 for 10,000 queries, rescaled
    to others as its authors do).
    """
    of_ten_thousand = query * 10_000 // queries
    return p_init / 2.0 ** sum(of_ten_thousand > limit for limit in HALVINGS)


@torch.no_grad()
def square(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    queries: int = 1000,
    p_init: float = 0.8,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Search the ℓ∞ ball at random, square by square, for a negative logit margin.

    Starts from vertical stripes of ±ε; then each query moves a square by ±2ε (projected), and
    keeps it if the margin of the true class shrinks. An image is left alone as soon as it is
    misclassified, at once if it is so when clean.

    Args:
        eps: radius of the ball, in [0, 1].
        queries: evaluations of the model on an image, at most, the start included.
        p_init: part of the image that the first squares cover, in (0, 1].

    Source: Andriushchenko, Croce, Flammarion & Hein 2020 (arXiv:1912.00049), algorithms 1 and 2.
    """
    if not 0 <= eps <= 1:
        raise ValueError(f"eps = {eps} is outside [0, 1]")
    if queries < 1:
        raise ValueError(f"queries = {queries} is less than 1")
    if not 0 < p_init <= 1:
        raise ValueError(f"p_init = {p_init} is outside (0, 1]")
    result = images.clone()
    right = attacked_logits(model, images, labels).argmax(1) == labels
    # Of the images still searched: their places in the batch, bounds and margins.
    at = right.nonzero().squeeze(1)
    if not len(at):
        return result
    origin = images[at]
    low, high = (origin - eps).clamp_(min=0), (origin + eps).clamp_(max=1)
    stripes = draw_signs((len(at), images.shape[1], 1, images.shape[3]), images, generator)
    x = (origin + eps * stripes).clamp_(0, 1)
    lead = clear_margin(attacked_logits(model, x, labels[at]), labels[at])
    for query in range(1, queries + 1):
        left = lead <= 0
        if not left.all():
            result[at[~left]] = x[~left]
            at, x, low, high, lead = (kept[left] for kept in (at, x, low, high, lead))
        if not len(at) or query == queries:
            break
        side = _side(images, covered(query, queries, p_init))
        n, rows, columns = draw_squares(x, side, generator)
        before = x[n, :, rows, columns]
        move = draw_signs((len(at), 1, 1, x.shape[1]), images, generator).mul_(2 * eps)
        bounds = low[n, :, rows, columns], high[n, :, rows, columns]
        x[n, :, rows, columns] = (before + move).clamp_(*bounds)
        found = clear_margin(attacked_logits(model, x, labels[at]), labels[at])
        worse = found <= lead
        x[n[worse], :, rows[worse], columns[worse]] = before[worse]
        lead = torch.maximum(found, lead)
    result[at] = x
    return result


def _side(images: Tensor, part: float) -> int:
    """Side of a square that covers a part of an image, in pixels."""
    height, width = images.shape[-2:]
    return max(1, min(round(math.sqrt(part * height * width)), min(height, width) - 1))


def draw_squares(
    x: Tensor, side: int, generator: torch.Generator | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw a square in each image: indices of image, row and column that broadcast to (N, s, s)."""
    count, (height, width) = len(x), x.shape[-2:]

    def corner(room: int) -> Tensor:
        shape = (count, 1, 1)
        return torch.randint(room - side + 1, shape, device=x.device, generator=generator)

    along = torch.arange(side, device=x.device)
    n = torch.arange(count, device=x.device)[:, None, None]
    return n, corner(height) + along[:, None], corner(width) + along


def draw_signs(shape: tuple[int, ...], like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Draw −1 and 1 with equal chances, of the dtype of `like`."""
    signs = torch.empty(shape, dtype=like.dtype, device=like.device)
    return signs.bernoulli_(0.5, generator=generator).mul_(2).sub_(1)
