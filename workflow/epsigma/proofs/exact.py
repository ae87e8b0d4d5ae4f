"""The exact answer for examples that neither a bound nor an attack settles, by branch and bound.

The subproblems of all examples are worked on in batches. One whose bound proves it is done; of
another a unit is held off, and on, in two new ones; where no unit is left, a linear program
decides.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from epsigma.proofs import crown
from epsigma.proofs.crown import (
    Bounds,
    bound_units,
    difference_rows,
    float32_error,
    make_region,
)
from epsigma.proofs.duals import Nodes, Relaxation
from epsigma.proofs.leaves import minimise_leaf
from epsigma.proofs.network import Network

SAFE, UNSAFE, UNSETTLED = "safe", "unsafe", "unsettled"

# Subproblems at a time, and steps of their ascents: at first, and after a unit is held.
BATCH = 512
FIRST_STEPS, STEPS = 30, 5

Model = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Answers:
    """What is true of each example.

    Args:
        status: `safe`, `unsafe` or `unsettled`, one an example.
        counterexamples: (N, C, H, W) float32: of an unsafe example a misclassified image of its
            ball, of another the image itself.
        seconds: (N,) float64, processor time that each took.
    """

    status: list[str]
    counterexamples: Tensor
    seconds: Tensor


def settle(
    network: Network,
    model: Model,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    seconds: float,
) -> Answers:
    """Find out whether some image of the ℓ∞ ball, within [0, 1], is misclassified.

    Args:
        network: of `fold`.
        model: the defended model that it was made of, in float32: images that do not fool it
            are no counterexamples.
        images: (N, C, H, W) float32 in [0, 1].
        labels: (N,) int64.
        eps: radius of the ball.
        seconds: processor time that each example may take; one that takes longer is unsettled.

    An example is `safe` by bounds as of `certify`: beyond what float32 may be off. It is `unsafe`
    with a counterexample that is at most ε from the image in exact arithmetic. If it is neither,
    because its least margin is within rounding, it is `unsettled`.
    """
    search = _Search(network, model, images, labels, eps, seconds)
    search.run()
    return Answers(search.status, search.found, search.seconds)


class _Search:
    """Branch and bound over many examples."""

    def __init__(
        self,
        network: Network,
        model: Model,
        images: Tensor,
        labels: Tensor,
        eps: float,
        budget: float,
    ) -> None:
        self.network, self.model = network, model
        self.images, self.labels = images, labels
        self.eps, self.budget = eps, budget
        self.status = [UNSETTLED] * len(images)
        self.found = images.clone()
        self.seconds = torch.zeros(len(images), dtype=torch.float64)
        # Examples of which a subproblem was given up.
        self.is_doubtful = torch.zeros(len(images), dtype=torch.bool)

    def run(self) -> None:
        """Search until each example is settled, or has taken its time."""
        if not len(self.images):
            return
        self._bound()
        self._keep_fooling(torch.arange(len(self.images)), self.images)
        stack = self._begin()
        while len(stack := self._drop_settled(stack)):
            # The last first: the stack stays short.
            picked, stack = stack[-BATCH:], stack[:-BATCH]
            stack = stack.join(self._work(picked))
        open_ = torch.tensor([one == UNSETTLED for one in self.status])
        for index in (open_ & ~self.is_doubtful).nonzero().squeeze(1).tolist():
            self.status[index] = SAFE

    @torch.no_grad()
    def _bound(self) -> None:
        """Bound the units of all examples, and what their margins may be off in float32."""
        region = make_region(self.images.flatten(1), self.eps)
        low, high, errors = [], [], []
        for rows in torch.split(torch.arange(len(self.images)), crown.BATCH):
            some = region[rows]
            bounds = bound_units(self.network, some)
            # Networks without units have an empty row each.
            none = some.center[:, :0]
            low.append(torch.cat([none, *(one.low for one in bounds)], 1))
            high.append(torch.cat([none, *(one.high for one in bounds)], 1))
            errors.append(float32_error(self.network, some, bounds))
        error = torch.cat(errors)
        self.error = error + error.gather(1, self.labels.unsqueeze(1))
        differences = difference_rows(self.labels, error.shape[1])
        bounds_of_all = Bounds(torch.cat(low), torch.cat(high))
        self.relaxation = Relaxation(self.network, region, bounds_of_all, differences)

    def _begin(self) -> Nodes:
        """Make the subproblems of the margins of each example that are not proved at once."""
        others = torch.ones_like(self.error, dtype=torch.bool)
        others.scatter_(1, self.labels.unsqueeze(1), False)
        pairs = others.nonzero()
        left = self.relaxation.start(*pairs[:0].T)
        for some in torch.split(pairs, BATCH):
            nodes = self._ascend(self.relaxation.start(*some.T), 0)
            left = left.join(self._ascend(self._drop_settled(nodes), FIRST_STEPS))
        return left

    def _work(self, nodes: Nodes) -> Nodes:
        """Branch on subproblems, or solve them; return those that are left to be proved."""
        is_leaf = nodes.branch < 0
        for index in is_leaf.nonzero().squeeze(1).tolist():
            self._solve_leaf(nodes[index : index + 1])
        return self._ascend(self._drop_settled(nodes[~is_leaf]).hold(), STEPS)

    def _ascend(self, nodes: Nodes, steps: int) -> Nodes:
        """Bound subproblems, look at the images that their bounds lead to, and drop the proved."""
        if not len(nodes):
            return nodes
        started = time.thread_time()
        nodes, x = self.relaxation.ascend(nodes, steps)
        self._try(nodes.example, x)
        self._charge(nodes.example, time.thread_time() - started)
        # A bound that is no number proves nothing.
        is_proved = nodes.bound > self.error[nodes.example, nodes.other]
        return nodes[~is_proved]

    def _solve_leaf(self, node: Nodes) -> None:
        started = time.thread_time()
        index, other = int(node.example), int(node.other)
        about = self.relaxation
        region, difference = about.region[index : index + 1], about.differences[index, other]
        # No unit is unstable here: the slope of each is 1 or 0, as it is on or off.
        is_on = about.held(node).lower_slope()[0] > 0
        bound, x = minimise_leaf(self.network, region, node.signs[0], is_on, difference)
        self._try(node.example, x.unsqueeze(0))
        self.is_doubtful[index] |= not bound > self.error[index, other]
        self._charge(node.example, time.thread_time() - started)

    def _charge(self, examples: Tensor, seconds: float) -> None:
        """Divide the time that a batch took between its examples."""
        share = torch.full((len(examples),), seconds / len(examples), dtype=torch.float64)
        self.seconds.index_add_(0, examples, share)

    def _drop_settled(self, nodes: Nodes) -> Nodes:
        """Drop subproblems of examples that are fooled, or have taken their time."""
        late = self.seconds > self.budget
        self.is_doubtful[nodes.example[late[nodes.example]]] = True
        open_ = torch.tensor([one == UNSETTLED for one in self.status]) & ~late
        return nodes[open_[nodes.example]]

    @torch.no_grad()
    def _try(self, examples: Tensor, x: Tensor) -> None:
        """Look for counterexamples among images (B, D) float64 of the regions of examples."""
        logits = self.network(x)
        true = logits.gather(1, self.labels[examples].unsqueeze(1)).squeeze(1)
        wrong = logits.argmax(1) != self.labels[examples]
        # Of each example the worst, which is the last that is kept.
        order = (true - logits.amax(1))[wrong].argsort(descending=True)
        at = wrong.nonzero().squeeze(1)[order]
        if len(at):
            images = self.images[examples[at]]
            inside = cast_into_ball(x[at].view(images.shape), images, self.eps)
            self._keep_fooling(examples[at], inside)

    @torch.no_grad()
    def _keep_fooling(self, examples: Tensor, images: Tensor) -> None:
        """Keep those of float32 images (B, C, H, W) of examples' balls that fool the model."""
        fooled = self.model(images).argmax(1) != self.labels[examples]
        for index, image in zip(examples[fooled].tolist(), images[fooled], strict=True):
            self.status[index] = UNSAFE
            self.found[index] = image


def cast_into_ball(x: Tensor, images: Tensor, eps: float) -> Tensor:
    """Round float64 images to float32, at most ε from `images` in exact arithmetic, in [0, 1]."""
    exact = images.double()
    low, high = (exact - eps).clamp_(min=0), (exact + eps).clamp_(max=1)
    rounded = torch.clamp(x, low, high).float()
    # Rounding may have left the ball by a unit in the last place.
    inwards = torch.nextafter(rounded, images)
    outside = (rounded.double() < low) | (rounded.double() > high)
    return torch.where(outside, inwards, rounded)
