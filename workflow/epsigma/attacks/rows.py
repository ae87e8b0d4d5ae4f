"""The rows of an adversarial set: an example each, or an example and a target class."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from epsigma.storage.batches import Images


@dataclass(frozen=True)
class Rows:
    """What is attacked, row by row.

    Args:
        index: (M,) int64, which example of the test set.
        labels: (M,) int64, the true classes.
        targets: (M,) int64, the classes aimed at; None if any wrong one will do.
        complete: whether the rows are the test set's images, all, in their order.
    """

    index: Tensor
    labels: Tensor
    targets: Tensor | None = None
    complete: bool = False

    @property
    def columns(self) -> dict[str, Tensor] | None:
        """The rows as an image set carries them: None if complete; -1 is no target."""
        if self.complete:
            return None
        nothing = torch.full_like(self.index, -1)
        return {"index": self.index, "target": nothing if self.targets is None else self.targets}

    def of(self, images: Images) -> Tensor:
        """Pick each row's image out of the test set's (N, C, H, W)."""
        if self.targets is None:
            # One by one, in order: a slice is no copy.
            return images[int(self.index[0]) : int(self.index[-1]) + 1]
        # Examples ascend: those of a batch are next to each other.
        first = int(self.index[0])
        return images[first : int(self.index[-1]) + 1][self.index - first]

    def __getitem__(self, part: slice | Tensor) -> "Rows":
        """Pick some of the rows, by a slice or by their places."""
        targets = None if self.targets is None else self.targets[part]
        return Rows(self.index[part], self.labels[part], targets)


def attacked_rows(
    labels: Tensor, classes: int, *, examples: int | None, targets: str | Sequence[int]
) -> Rows:
    """List the rows of an attack on images of labels (N,).

    Args:
        examples: how many of the first images are attacked, if there are as many; None for all.
        targets: `untargeted`; `all`, every class but the true one; or the classes to choose from.

    Returns:
        The examples in their order, the classes aimed at ascending, never the true one: an example
        that has no other class to aim at has no row.

    Raises:
        ValueError: if there is no such class, or nothing is left to aim at.
    """
    labels = labels[:examples]
    index = torch.arange(len(labels), device=labels.device)
    if targets == "untargeted":
        return Rows(index, labels, complete=examples is None)
    chosen = range(classes) if targets == "all" else sorted({int(k) for k in targets})
    unknown = [k for k in chosen if not 0 <= k < classes]
    if unknown:
        raise ValueError(
            f"targets = {targets}: the classes are 0 to {classes - 1}, name some of them"
        )
    aims = torch.tensor(list(chosen), device=labels.device)
    wrong = labels[:, None] != aims
    if not wrong.any():
        raise ValueError(f"targets = {targets}: every image is of that class, name another")
    return Rows(
        index[:, None].expand_as(wrong)[wrong],
        labels[:, None].expand_as(wrong)[wrong],
        aims.expand_as(wrong)[wrong],
    )
