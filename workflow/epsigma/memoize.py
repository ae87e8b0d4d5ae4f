"""What several parts of a defence ask about the same images is computed once."""

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn

# By who is asked, about which tensor, and whether with a gradient: the tensor and the answer. The
# tensor is kept so that no other gets its id.
_Answers = dict[tuple[Hashable, int, bool], tuple[Tensor, Tensor]]
_ANSWERS: ContextVar[_Answers | None] = ContextVar("answers", default=None)


class Memoized(nn.Module):
    """A module that, inside `memoizing`, computes its answer about a tensor once.

    Args:
        module: of a tensor; it draws nothing, and nobody changes what it returns in place.
        key: modules with the same key are the same; by default it is like no other.
    """

    def __init__(self, module: nn.Module, key: Hashable | None = None) -> None:
        super().__init__()
        self.module = module
        self.key = object() if key is None else key
        self.training = module.training

    def forward(self, images: Tensor) -> Tensor:
        """Ask the module, unless one with this key was asked about this very tensor."""
        answers = _ANSWERS.get()
        if answers is None:
            alone: Tensor = self.module(images)
            return alone
        at = self.key, id(images), torch.is_grad_enabled()
        if at not in answers:
            answers[at] = images, self.module(images)
        return answers[at][1]


@contextmanager
def memoizing() -> Iterator[None]:
    """Let every `Memoized` remember its answers as long as the body (the outermost) runs."""
    if _ANSWERS.get() is not None:
        yield
        return
    token = _ANSWERS.set({})
    try:
        yield
    finally:
        _ANSWERS.reset(token)
