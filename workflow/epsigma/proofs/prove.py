"""What can be proved of a cell: the bounds of all its examples, and exact answers of the first."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from epsigma.proofs.crown import certify
from epsigma.proofs.exact import SAFE, UNSAFE, UNSETTLED, Model, settle
from epsigma.proofs.network import Network

# The columns of a ledger by name, (N,) each.
Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Proofs:
    """What is known of each example.

    Args:
        columns: of a ledger, (N,) arrays by name, see `prove`.
        counterexamples: (N, C, H, W) float32, those that `settle` found; of other examples the
            image itself.
    """

    columns: Columns
    counterexamples: Tensor

    @property
    def bracket(self) -> tuple[float, float]:
        """Shares of the examples: proved safe, and not fooled. The truth is between them."""
        status = self.columns["status"]
        return float((status == SAFE).mean()), float((status != UNSAFE).mean())


def prove(
    network: Network,
    model: Model,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    norm: str = "linf",
    fooled: Tensor | None = None,
    exact_examples: int = 0,
    seconds: float = 10.0,
) -> Proofs:
    """Prove of images that nothing in their ball fools the model, or find what does.

    Args:
        network: `fold(filter, classifier, shape)`, which refuses what proofs do not know.
        model: the filter and the classifier in float32: `nn.Sequential(filter, classifier)`.
        images: (N, C, H, W) float32 in [0, 1].
        labels: (N,) int64.
        eps: radius of the ball, within [0, 1].
        norm: `linf` or `l2`.
        fooled: (N,) bool, the examples that an aware attack has fooled within ε; None for none.
        exact_examples: settle what is open among the first so many examples; ℓ∞ only.
        seconds: processor time that each of them may take.

    Returns:
        Columns `index` int32; `label` int16; `lower` float64, what no margin falls below;
        `certified` bool, whether that is a proof; and `status`: `safe`, by the bound or the exact
        answer, `unsafe`, fooled by the attack or a counterexample, or `unsettled`. An example that
        is both certified and fooled is `unsafe`: a fault of the code, to be looked for.

    Raises:
        ValueError: if exact answers are asked for in ℓ2.
    """
    if exact_examples and norm != "linf":
        raise ValueError(f"exact answers are for linf only, not for {norm}")
    lower, certified = certify(network, images, labels, eps=eps, norm=norm)
    known = torch.zeros(len(labels), dtype=torch.bool) if fooled is None else fooled
    columns = know_attacks(labels, known)
    columns |= {"lower": lower.numpy(), "certified": certified.numpy()}
    status = columns["status"]
    status[(certified & ~known).numpy()] = SAFE
    counterexamples = images.clone()
    at = (~known & ~certified)[:exact_examples].nonzero().squeeze(1)
    answers = settle(network, model, images[at], labels[at], eps=eps, seconds=seconds)
    status[at.numpy()] = answers.status
    counterexamples[at] = answers.counterexamples
    return Proofs(columns, counterexamples)


def know_attacks(labels: Tensor, fooled: Tensor) -> Columns:
    """Make the columns of `prove` where attacks are all that is known: nothing is proved."""
    return {
        "index": np.arange(len(labels), dtype=np.int32),
        "label": labels.numpy().astype(np.int16),
        "lower": np.full(len(labels), -np.inf),
        "certified": np.zeros(len(labels), dtype=bool),
        "status": np.where(fooled.numpy(), np.array(UNSAFE, dtype=object), UNSETTLED),
    }
