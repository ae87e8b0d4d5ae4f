"""The confidence that fooling images have to reach, as log-odds that no rounding takes back."""

import math

import torch
from torch import Tensor, nn

from epsigma.models.classifier import predict

# What another batch size makes of a logit, relative to the largest one, and of a log-odds.
_LOGIT_ROUNDING = 1e-5
_ODDS_ROUNDING = 1e-3
# What softmax in float32 makes of a probability, and what it rounds to 1.
_SOFTMAX_ROUNDING = 2.0**-22
_SURE = 2.0**-26


def log_odds(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute log p − log(1 − p) of a class, less what another batch size may make of the logits.

    (N,) of logits (N, K) and classes (N,). It rises with the confidence p and, unlike it, is not
    rounded to 0 or 1.
    """
    aimed = labels.unsqueeze(1)
    others = logits.scatter(1, aimed, -torch.inf).logsumexp(1)
    rounding = logits.abs().amax(1).mul_(_LOGIT_ROUNDING)
    return logits.gather(1, aimed).squeeze(1) - others - rounding


def all_log_odds(logits: Tensor) -> Tensor:
    """Compute `log_odds` of every class: (N, K) of (N, K)."""
    log_p = logits.log_softmax(1)
    rounding = logits.abs().amax(1, keepdim=True).mul_(_LOGIT_ROUNDING)
    odds = log_p - torch.log1p(-log_p.exp()) - rounding
    # Where p is nearly 1, 1 − p is lost; that can be the most probable class only.
    top = logits.argmax(1)
    return odds.scatter_(1, top.unsqueeze(1), log_odds(logits, top).unsqueeze(1))


def needed_log_odds(confidence: float) -> float:
    """Return the log-odds from which softmax in float32, in any batch, reaches the confidence."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence = {confidence} is outside (0, 1)")
    doubt = max(1 - confidence - _SOFTMAX_ROUNDING, _SURE)
    return math.log1p(-doubt) - math.log(doubt) + _ODDS_ROUNDING


def count_classes(model: nn.Module, images: Tensor, labels: Tensor) -> int:
    """Return how many classes the model knows; ValueError for no image, or labels of no class."""
    if not len(images):
        raise ValueError("images are none: at least one is needed, for its shape")
    classes = predict(model, images[:1]).shape[1]
    strange = labels[(labels < 0) | (labels >= classes)]
    if len(strange):
        raise ValueError(
            f"labels hold {int(strange[0])}, which is none of the model's {classes} classes, "
            f"0 to {classes - 1}"
        )
    return classes
