"""Budgets that are a share of an image's features."""

import math


class ShareError(ValueError):
    """A share of too few features to attack; the message says which is enough."""


def count_features(gamma: float, features: int, *, at_once: int) -> int:
    """Count the features that a share allows to change, a multiple of as many as change at once.

    Args:
        gamma: Υ, in [0, 1].
        features: of an image, C·H·W.
        at_once: as many are changed in one step.

    Raises:
        ShareError: if the share is not 0, and too small for one step.
    """
    # 0.58 of 100 features is a little less than 58 as a product of floats.
    allowed = math.floor(features * gamma + 1e-9)
    if gamma > 0 and allowed < at_once:
        raise ShareError(
            f"gamma = {gamma} of an image's {features} values is {allowed}, and {at_once} are "
            f"changed at once: make it {at_once}/{features} or more, or 0"
        )
    return allowed - allowed % at_once
