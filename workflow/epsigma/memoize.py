"""Memoization: what several parts of a defence compute of the same images is computed once."""

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn

# By the module's key, the tensor's id, and whether with a gradient: the tensor and the result. The
# tensor is kept so that no other gets its id.
_Results = dict[tuple[Hashable, int, bool], tuple[Tensor, Tensor]]
_RESULTS: ContextVar[_Results | None] = ContextVar("results", default=None)


class Memoized(nn.Module):
    """A module that, inside `memoizing`, computes its result for a tensor once.

    It is deterministic, and what it returns must not be changed in place. Modules with the same
    key are the same; by default it is equal to no other.
    """

    def __init__(self, module: nn.Module, key: Hashable | None = None) -> None:
        super().__init__()
        self.module = module
        self.key = object() if key is None else key
        self.training = module.training

    def forward(self, images: Tensor) -> Tensor:
        """Run the module, unless one with this key has run on this very tensor."""
        results = _RESULTS.get()
        if results is None:
            result: Tensor = self.module(images)
            return result
        at = self.key, id(images), torch.is_grad_enabled()
        if at not in results:
            results[at] = images, self.module(images)
        return results[at][1]


@contextmanager
def memoizing() -> Iterator[None]:
    """Let every `Memoized` keep its results as long as the body (the outermost) runs."""
    if _RESULTS.get() is not None:
        yield
        return
    token = _RESULTS.set({})
    try:
        yield
    finally:
        _RESULTS.reset(token)
