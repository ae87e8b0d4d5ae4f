"""Fooling images by evolution, without gradients."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from epsigma.attacks.confidence import all_log_odds, count_classes, needed_log_odds
from epsigma.models.classifier import predict

# Generations after which the rate of mutation is halved, each time.
_HALVING = 1000


@torch.no_grad()
def fooling_evolution(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    confidence: float,
    generations: int = 5000,
    offspring: int = 20,
    mutation_rate: float = 0.1,
    mutation_strength: float = 15,
    on_step: Callable[[Tensor], None] | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Evolve images, pixel by pixel, until the model is confident of their classes.

    MAP-Elites: a population keeps the best image of each class that the model knows, its elite,
    and each of a generation's offspring, a mutated elite of any class, becomes the elite of every
    class of which the model is surer. The n-th row of a class belongs to the n-th population:
    rows of one class come from different populations, which know nothing of each other; rows of
    different classes may have ancestors in common. An elite that has reached the confidence is
    not replaced any more, but has offspring; a population all of whose rows have reached it
    leaves. Only the model's logits are used.

    Args:
        images: (N, C, H, W), the data set's; only their shape counts.
        labels: (M,) int64, the classes aimed at; rows of the same class differ.
        confidence: as in `fooling`.
        generations: how many, at most, after the first one, which is noise.
        offspring: of a population in a generation.
        mutation_rate: probability that a pixel mutates, in (0, 1]; halved every 1000 generations.
        mutation_strength: η of `polynomial_mutation`, at least 0; the larger, the less it moves.

    Returns:
        (M, C, H, W), in [0, 1], of the type of `images`; a row that does not reach the confidence
        is the elite of its class.

    Source: Nguyen, Yosinski & Clune 2015 (arXiv:1412.1897), the sections on evolution, with their
    direct encoding; Mouret & Clune 2015 (arXiv:1504.04909).
    """
    _check(generations, offspring, mutation_rate, mutation_strength)
    needed = needed_log_odds(confidence)
    classes = count_classes(model, images, labels)
    result = images.new_empty((len(labels), *images.shape[1:]))
    # What is still evolved.
    archive = _Archive.empty(images, labels, classes)
    shape = (len(archive.rows), offspring, *images.shape[1:])
    children = images.new_empty(shape).uniform_(generator=generator)
    for generation in range(generations + 1):
        if not len(archive.rows):
            break
        archive.admit(children, predict(model, children.flatten(0, 1)), needed)
        todo = archive.todo(needed)
        left = todo.any(1)
        if generation == generations:
            left = torch.zeros_like(left)
        if not left.all():
            done = (archive.rows >= 0) & ~left.unsqueeze(1)
            result[archive.rows[done]] = archive.elites[done]
            archive, todo = archive.of(left), todo[left]
        if not len(archive.rows):
            break
        if on_step:
            on_step(archive.loss[todo])
        children = archive.draw_parents(offspring, generator)
        rate = mutation_rate / 2.0 ** (generation // _HALVING)
        polynomial_mutation(children, rate, mutation_strength, generator)
    return result


def _check(
    generations: int, offspring: int, mutation_rate: float, mutation_strength: float
) -> None:
    if generations < 1 or offspring < 1:
        raise ValueError(
            f"generations = {generations} and offspring = {offspring} must be at least 1"
        )
    if not 0 < mutation_rate <= 1:
        raise ValueError(f"mutation_rate = {mutation_rate} is outside (0, 1]")
    if not 0 <= mutation_strength < math.inf:
        raise ValueError(f"mutation_strength = {mutation_strength} is no finite number from 0 on")


@dataclass(frozen=True)
class _Archive:
    """The elites (P, K, C, H, W) of P populations, one for each of K classes.

    `rows` (P, K) int64 says which row of the result aims at the class, -1 if none does. `height`
    is (P, K), their log-odds, -inf if there is none yet, and `loss` their -log p.
    """

    rows: Tensor
    elites: Tensor
    height: Tensor
    loss: Tensor

    @classmethod
    def empty(cls, images: Tensor, labels: Tensor, classes: int) -> "_Archive":
        """Make an archive without elites, for images like these and the rows of the labels."""
        rows = _populations(labels, classes)
        elites = images.new_zeros((*rows.shape, *images.shape[1:]))
        height = torch.full(rows.shape, -torch.inf, dtype=images.dtype, device=images.device)
        return cls(rows, elites, height, height.neg())

    def of(self, populations: Tensor) -> "_Archive":
        """Pick some populations, (P,) bool."""
        return _Archive(
            *(kept[populations] for kept in (self.rows, self.elites, self.height, self.loss))
        )

    def todo(self, needed: float) -> Tensor:
        """Mark, (P, K), the elites that rows aim at and that have not reached the log-odds."""
        return (self.rows >= 0) & (self.height < needed)

    def admit(self, children: Tensor, logits: Tensor, needed: float) -> None:
        """Let the best child (P, n, C, H, W) of each class replace an elite, in place."""
        count, classes = children.shape[1], logits.shape[1]
        found, champion = all_log_odds(logits).view(-1, count, classes).max(1)
        log_p = logits.log_softmax(1).view(-1, count, classes)
        better = (found > self.height) & (self.height < needed)
        population, cell = better.nonzero(as_tuple=True)
        child = champion[population, cell]
        self.elites[population, cell] = children[population, child]
        self.height[population, cell] = found[population, cell]
        self.loss[population, cell] = -log_p[population, child, cell]

    def draw_parents(self, count: int, generator: torch.Generator | None) -> Tensor:
        """Draw so many elites of each population, whatever their class: a copy (P, n, C, H, W)."""
        populations, classes = self.rows.shape
        device = self.rows.device
        shape = (populations, count)
        parents = torch.randint(classes, shape, device=device, generator=generator)
        return self.elites[torch.arange(populations, device=device).unsqueeze(1), parents]


def polynomial_mutation(
    x: Tensor, rate: float, strength: float, generator: torch.Generator | None = None
) -> Tensor:
    """Mutate pixels in [0, 1], at a rate, in place: x ← clip(x + δ), δ ~ (η + 1)(1 − |δ|)^η / 2.

    `strength` is η, at least 0; |δ| is 1 / (η + 2) on average.

    Source: Deb 2001, Multi-Objective Optimization Using Evolutionary Algorithms, page 124, cited by
    Nguyen et al.
    """
    draw = torch.empty_like(x).uniform_(generator=generator)
    chosen = draw < rate
    # What is drawn below the rate is uniform there: it says how far the pixel moves, too.
    side = draw[chosen].mul_(2 / rate).sub_(1) if rate else draw[chosen]
    delta = side.abs().neg_().add_(1).clamp_(min=0).pow_(1 / (strength + 1)).neg_().add_(1)
    x[chosen] = delta.mul_(side.sign()).add_(x[chosen]).clamp_(0, 1)
    return x


def _populations(labels: Tensor, classes: int) -> Tensor:
    """Deal the rows of each class to populations: (P, K) int64, a row's number or -1."""
    one_hot = functional.one_hot(labels, classes)
    turn = one_hot.cumsum(0).gather(1, labels.unsqueeze(1)).squeeze(1) - 1
    count = int(turn.max()) + 1 if len(labels) else 0
    rows = torch.full((count, classes), -1, device=labels.device)
    rows[turn, labels] = torch.arange(len(labels), device=labels.device)
    return rows
