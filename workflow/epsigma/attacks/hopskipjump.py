"""HopSkipJump, in ℓ∞ and ℓ2: a decision-based attack, which sees labels and nothing else."""

import math

import torch
from torch import Tensor, nn

from epsigma.attacks.boundary import L2, LINF, Walk, WalkNorm
from epsigma.detectors.rejection import REJECTED, predict
from epsigma.storage.batches import batches


def hopskipjump(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    queries: int = 1000,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Walk along the decision boundary towards the image, by labels alone, in ℓ∞.

    Starts from noise, or, where 20 draws of it have the image's own class, from the nearest image
    of the batch that has another one. From a misclassified point, a bisection of its perturbation
    (clipped) leads to the boundary. There random points nearby are asked about: the mean of the
    misclassified less that of the others estimates the gradient of the margin. A step along its
    sign, halved until it is misclassified, ends with a bisection again.

    As in the paper, the t-th estimate takes 100·√t queries, and the t-th step starts at 1/√t of
    the distance. The boundary is found to d^−1.5 of the distance, d being the number of values, as
    in the paper in ℓ2 (in ℓ∞ it has d^−2, which takes more queries), but no finer than float32
    tells points apart. Points nearby are at 8/√d of the distance (in ℓ2 3/√d), where the paper has
    1/d: as good without a filter, and better behind one that rounds: nearer points see no step.

    Nothing is read but the class of the largest logit, which with detectors is the true one where
    they reject. Behind a filter that draws, each query is a draw, and what was misclassified once
    need not be so again. ε decides nothing but what is returned.

    Args:
        eps: radius of the ball, in [0, 1].
        queries: evaluations of the model on an image, at most, beside the first look at it. The
            default is Square's.

    Returns:
        (N, C, H, W): of each example the nearest misclassified image that was met, if it is within
        ε; else, or if the example is misclassified as it is, the image itself.

    Raises:
        ValueError: if `eps` or `queries` is out of range.

    Source: Chen, Jordan & Wainwright 2020 (arXiv:1904.02144), algorithm 2 and section 5;
    untargeted.
    """
    if not 0 <= eps <= 1:
        raise ValueError(f"eps = {eps} is outside [0, 1]")
    return _minimise(LINF, model, images, labels, eps, queries, generator)


def hopskipjump_l2(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    queries: int = 1000,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Walk along the decision boundary towards the image in ℓ2, as `hopskipjump`; any ε.

    Bisections are of the segment, and steps are along the gradient.
    """
    if not 0 <= eps < math.inf:
        raise ValueError(f"eps = {eps} is no finite number from 0 on")
    return _minimise(L2, model, images, labels, eps, queries, generator)


@torch.no_grad()
def _minimise(
    norm: WalkNorm,
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    eps: float,
    queries: int,
    generator: torch.Generator | None,
) -> Tensor:
    if queries < 1:
        raise ValueError(f"queries = {queries} is less than 1")
    result = images.clone()
    if eps == 0:
        return result
    # Looks at what is to be attacked are no queries, as in the other attacks.
    classes = torch.cat([predict(model, part) for (part,) in batches(images)])
    at = ((classes == labels) | (classes == REJECTED)).nonzero().squeeze(1)
    if not len(at):
        return result
    walk = Walk.begin(norm, model, images[at], labels[at], queries, generator)
    walk.start(images.flatten(1), classes)
    step = 1
    while walk.step(step):
        step += 1
    walk.step_back()
    found = (walk.length <= eps).squeeze(1)
    result[at[found]] = walk.nearest[found].view_as(images[at[found]])
    return result
