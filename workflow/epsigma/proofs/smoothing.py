"""Randomised smoothing: radii in ℓ2 within which a majority vote over noise cannot change.

Behind a filter that adds Gaussian noise a classifier f draws: it is right with a probability. The
smoothed classifier g returns the class that f returns most often. The more often, the farther an
image has to be moved in ℓ2 until another class is as frequent, whatever f is.

Source: Cohen, Rosenfeld & Kolter 2019 (arXiv:1902.02918): theorem 1, and CERTIFY of section 3.2.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv, ndtr, ndtri
from torch import Tensor, nn

from epsigma.filters.filter import Filter
from epsigma.filters.noise import GaussianNoise
from epsigma.proofs.network import UnprovableError, is_random
from epsigma.storage.batches import each_batch

# The columns of a ledger by name, (N,) each.
Columns = dict[str, NDArray[Any]]
Floats = NDArray[np.float64]


def find_noise(module: Filter) -> float:
    """Find the standard deviation of the Gaussian noise that a filter starts with.

    What follows the noise, such as clipping or rounding, is part of the classifier that the noise
    is in front of: theorem 1 holds for any function of x + δ, if it is the same for each draw.

    Raises:
        UnprovableError: if the filter has another form than noise and then, if anything, filters
            that do not draw.
    """
    first, *others = module.parts
    if not isinstance(first, GaussianNoise):
        raise UnprovableError(
            f"the filter starts with {type(first).__name__}: smoothing is proved for Gaussian "
            "noise that nothing comes before"
        )
    drawing = [type(part).__name__ for part in others if is_random(part)]
    if drawing:
        raise UnprovableError(f"the filter draws again after its noise: {', '.join(drawing)}")
    return first.deviation


def certify_votes(
    module: Filter,
    classifier: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    samples: int,
    selection: int,
    alpha: float,
) -> Columns:
    """Certify the majority vote over noise, image by image, as CERTIFY does.

    A few draws select a class; of others it is counted how often they agree. There is no decision
    before all are counted, and no draw is shared between images: each radius is wrong with a
    probability of at most α, for itself.

    Args:
        module: the filter, see `find_noise`; it draws anew at each call.
        classifier: what follows, in eval mode: each image is classified alone.
        images: (N, C, H, W) float32, where the filter and the classifier are.
        labels: (N,) int64.
        samples: n, draws that are counted for each image.
        selection: n₀, draws that select its class.
        alpha: α in (0, 1).

    Returns:
        (N,) arrays: `index` int32, `label` int16; `prediction` int16, the selected class; `votes`
        int32, how many draws are for it; `lower` float64, below which its probability is not
        (Clopper–Pearson, one-sided); `abstained` bool, if that is at most 1/2: an error, whatever
        the label; `radius` float64, σ Φ⁻¹(lower) in ℓ2, 0 if abstained; and, the same for all
        images, `std`, σ, and `alpha`, float64.

    Raises:
        UnprovableError: if the filter is none that `find_noise` knows.
        ValueError: if the logits are not finite.
    """
    std = find_noise(module)
    model = nn.Sequential(module, classifier)
    drawn = module.parts[0].generator
    prediction = np.zeros(len(images), dtype=np.int16)
    votes = np.zeros(len(images), dtype=np.int32)
    for row, image in enumerate(images):
        chosen = int(count_votes(model, image, selection, drawn).argmax())
        prediction[row] = chosen
        votes[row] = int(count_votes(model, image, samples, drawn)[chosen])
    lower = bound_share(votes, samples, alpha)
    return _describe(labels, prediction, votes, lower, std, alpha)


def know_nothing(labels: Tensor, alpha: float) -> Columns:
    """Make the columns of `certify_votes` where nothing is certified: no class, no votes, no σ."""
    n = len(labels)
    none = np.full(n, -1, dtype=np.int16)
    return _describe(labels, none, np.zeros(n, dtype=np.int32), np.zeros(n), np.nan, alpha)


def _describe(
    labels: Tensor,
    prediction: NDArray[np.int16],
    votes: NDArray[np.int32],
    lower: Floats,
    std: float,
    alpha: float,
) -> Columns:
    n = len(labels)
    abstained = lower <= 0.5
    return {
        "index": np.arange(n, dtype=np.int32),
        "label": labels.cpu().numpy().astype(np.int16),
        "prediction": prediction,
        "votes": votes,
        "lower": lower,
        "abstained": abstained,
        "radius": np.where(abstained, 0.0, std * ndtri(lower)),
        "std": np.full(n, std),
        "alpha": np.full(n, alpha),
    }


@torch.no_grad()
def count_votes(
    model: nn.Module, image: Tensor, draws: int, generator: torch.Generator | None = None
) -> Tensor:
    """Count how often a model that draws returns each class for an image (C, H, W): (K,) int64.

    Batch by batch; the generator is what it draws from.

    Raises:
        ValueError: if the logits are not finite.
    """

    def vote(rows: slice) -> Tensor:
        logits = model(image.expand(rows.stop - rows.start, *image.shape))
        if not torch.isfinite(logits).all():
            raise ValueError(
                "the model's logits are not finite: train it with a smaller learning_rate, or look "
                "for overflows in it"
            )
        counts: Tensor = logits.argmax(1).bincount(minlength=logits.shape[1])
        return counts

    return torch.stack([*each_batch(draws, vote, generator=generator)]).sum(0)


def bound_share(successes: ArrayLike, trials: int, alpha: float) -> Floats:
    """Bound a probability from below by successes in independent trials (Clopper–Pearson 1934).

    One-sided: the bound exceeds the probability with a probability of at most α.
    """
    count = np.asarray(successes, dtype=np.float64)
    # Without a success the quantile is not defined, and 0 is the bound.
    quantile = betaincinv(np.maximum(count, 1), trials - count + 1, alpha)
    return np.where(count > 0, quantile, 0.0)


def bound_draw(lower: ArrayLike, distance: ArrayLike, std: ArrayLike) -> Floats:
    """Bound the probability of one draw for a class at an image that was moved in ℓ2.

    Φ(Φ⁻¹(p) − r / σ) for an image whose draws are for the class with a probability of p at least:
    what a certificate says of the draws themselves. At its radius it is 1/2.

    Source: Cohen et al., proof of theorem 1; Salman et al. 2019 (arXiv:1906.04584), appendix A.
    """
    bound: Floats = ndtr(ndtri(lower) - np.asarray(distance) / std)
    return bound
