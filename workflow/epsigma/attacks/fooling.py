"""Fooling images: they mean nothing to a person, and the model is sure of their class."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from epsigma.attacks.gradient import input_gradient
from epsigma.attacks.losses import cross_entropy
from epsigma.attacks.pgd import L2
from epsigma.models.classifier import predict

# How far the noise of the start `mean` moves a pixel.
_JITTER = 0.05
# Generations after which the rate of mutation is halved, each time.
_HALVING = 1000
# What another batch size makes of a logit, relative to the largest one, and of a log-odds.
_LOGIT_ROUNDING = 1e-5
_ODDS_ROUNDING = 1e-3
# What softmax in float32 makes of a probability, and what it rounds to 1.
_SOFTMAX_ROUNDING = 2.0**-22
_SURE = 2.0**-26

OnStep = Callable[[Tensor], None]


def fooling(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    confidence: float,
    start: str = "noise",
    steps: int = 1000,
    learning_rate: float = 0.1,
    on_step: OnStep | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Ascend the log-probability of a class until the model is confident of it.

    A step goes along the gradient of log p, made to a fixed length, without the pixels that
    would leave [0, 1]. The gradient of a wrong class's log p does not vanish where the model is
    sure of another, as that of p itself does, and its length does not count. Where there is no
    way up (dead units, a corner of the pixel range) a row starts anew, at noise of a random
    range of grey. Each row stops at the confidence, so it is as far from its start as it must
    be; one that does not get there comes back as the most confident image on its way.

    Args:
        model: from images to logits, in eval mode; it has a gradient.
        images: (N, C, H, W) float in [0, 1], the data set's; only their shape and their mean
            count; not modified.
        labels: (M,) int64, the classes aimed at; rows of the same class differ.
        confidence: softmax probability to reach, in (0, 1); it is passed by a little, so that it
            holds too when the images are scored in another batch.
        start: a key of `STARTS`: `noise`, uniform in [0, 1], or `mean`, the mean of `images`. If
            several rows aim at one class, each gets noise of at most 0.05 a pixel of its own.
        steps: how many, at most.
        learning_rate: ℓ2 length of a step, in units of the pixel range.
        on_step: called before each step with −log p of the rows still worked on, (m,).
        generator: draws the starts; torch's global one if None.

    Returns:
        (M, C, H, W), in [0, 1], of the type of `images`.

    Raises:
        ValueError: if an argument is out of range.

    Source: Nguyen, Yosinski & Clune 2015 (arXiv:1412.1897), the section on gradient ascent; here
    without their optional L2 regularisation.
    """
    if start not in STARTS:
        raise ValueError(f"start = {start!r} is none of {', '.join(STARTS)}")
    if steps < 1:
        raise ValueError(f"steps = {steps} is less than 1")
    if not 0 < learning_rate < math.inf:
        raise ValueError(f"learning_rate = {learning_rate} is not positive and finite")
    needed = _needed(confidence)
    _check(model, images, labels)
    x = STARTS[start](images, labels, generator)
    result = x.clone()
    best = torch.full(labels.shape, -torch.inf, dtype=x.dtype, device=x.device)
    at = torch.arange(len(labels), device=x.device)
    for step in range(steps + 1):
        if not len(at):
            break
        aims = labels[at]
        gradient, logits = input_gradient(model, x, aims, "cross_entropy")
        height = log_odds(logits, aims)
        better = height > best[at]
        result[at[better]], best[at[better]] = x[better], height[better]
        left = height < needed
        if not left.all():
            at, x, gradient, logits = (kept[left] for kept in (at, x, gradient, logits))
        if step == steps or not len(at):
            break
        if on_step:
            on_step(cross_entropy(logits, labels[at]))
        _climb(x, gradient.neg_(), learning_rate, generator)
    return result


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
    on_step: OnStep | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Evolve images, pixel by pixel, until the model is confident of their classes.

    MAP-Elites: a population keeps the best image of each class that the model knows, its elite,
    and each of a generation's offspring, a mutated elite of any class, becomes the elite of every
    class of which the model is surer. The n-th row of a class belongs to the n-th population:
    rows of one class come from different populations, rows of different classes may have
    ancestors in common. Populations know nothing of each other. An elite that has reached the
    confidence is not replaced any more, but has offspring; a population all of whose rows have
    reached it leaves. The model is asked for logits only.

    Args:
        model: from images to logits, in eval mode; it needs no gradient.
        images: (N, C, H, W) float in [0, 1], the data set's; only their shape counts.
        labels: (M,) int64, the classes aimed at; rows of the same class differ.
        confidence: softmax probability to reach, in (0, 1); it is passed by a little, so that it
            holds too when the images are scored in another batch.
        generations: how many, at most, after the first one, which is noise.
        offspring: of a population in a generation.
        mutation_rate: probability that a pixel mutates, in (0, 1]; halved every 1000 generations.
        mutation_strength: η of `polynomial_mutation`, at least 0; the larger, the less it moves.
        on_step: called before each generation with −log p of the rows still worked on, (m,).
        generator: draws noise, parents and mutations; torch's global one if None.

    Returns:
        (M, C, H, W), in [0, 1], of the type of `images`; a row that does not reach the confidence
        is the elite of its class.

    Raises:
        ValueError: if an argument is out of range.

    Source: Nguyen, Yosinski & Clune 2015 (arXiv:1412.1897), the sections on evolution, with their
    direct encoding; Mouret & Clune 2015 (arXiv:1504.04909).
    """
    if generations < 1 or offspring < 1:
        raise ValueError(
            f"generations = {generations} and offspring = {offspring} must be at least 1"
        )
    if not 0 < mutation_rate <= 1:
        raise ValueError(f"mutation_rate = {mutation_rate} is outside (0, 1]")
    if not 0 <= mutation_strength < math.inf:
        raise ValueError(f"mutation_strength = {mutation_strength} is no finite number from 0 on")
    needed = _needed(confidence)
    classes = _check(model, images, labels)
    shape = images.shape[1:]
    result = images.new_empty((len(labels), *shape))
    # Of each population and class: which row aims at it (-1: none), its elite and how it stands.
    rows = _populations(labels, classes)
    elites = images.new_zeros((*rows.shape, *shape))
    height = torch.full(rows.shape, -torch.inf, dtype=images.dtype, device=images.device)
    loss = height.neg()
    children = images.new_empty((len(rows), offspring, *shape)).uniform_(generator=generator)
    for generation in range(generations + 1):
        if not len(rows):
            break
        logits = predict(model, children.flatten(0, 1))
        found, champion = all_log_odds(logits).view(-1, offspring, classes).max(1)
        log_p = logits.log_softmax(1).view(-1, offspring, classes)
        population, cell = ((found > height) & (height < needed)).nonzero(as_tuple=True)
        child = champion[population, cell]
        elites[population, cell] = children[population, child]
        height[population, cell] = found[population, cell]
        loss[population, cell] = -log_p[population, child, cell]
        todo = (rows >= 0) & (height < needed)
        left = todo.any(1)
        if generation == generations:
            left = torch.zeros_like(left)
        if not left.all():
            aimed = (rows >= 0) & ~left.unsqueeze(1)
            result[rows[aimed]] = elites[aimed]
            rows, elites, height, loss, todo = (
                kept[left] for kept in (rows, elites, height, loss, todo)
            )
        if not len(rows):
            break
        if on_step:
            on_step(loss[todo])
        parents = torch.randint(
            classes, (len(rows), offspring), device=rows.device, generator=generator
        )
        children = elites[torch.arange(len(rows), device=rows.device).unsqueeze(1), parents]
        rate = mutation_rate / 2.0 ** (generation // _HALVING)
        polynomial_mutation(children, rate, mutation_strength, generator)
    return result


def polynomial_mutation(
    x: Tensor, rate: float, strength: float, generator: torch.Generator | None = None
) -> Tensor:
    """Mutate pixels, each on its own, in place: x ← clip(x + δ), δ ~ (η + 1)(1 − |δ|)^η / 2.

    Args:
        x: of any shape, float in [0, 1].
        rate: probability that a pixel mutates, in [0, 1].
        strength: η, at least 0; |δ| is 1 / (η + 2) on average.
        generator: draws; torch's global one if None.

    Returns:
        `x`.

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


def log_odds(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute log p − log(1 − p) of a class, less what another batch size may make of the logits.

    It rises with the confidence p and, unlike it, is not rounded to 0 or 1.

    Args:
        logits: (N, K) float.
        labels: (N,) int64, the class of each.

    Returns:
        (N,) float.
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


def _needed(confidence: float) -> float:
    """Log-odds from which softmax in float32, in any batch, is at least the confidence."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence = {confidence} is outside (0, 1)")
    doubt = max(1 - confidence - _SOFTMAX_ROUNDING, _SURE)
    return math.log1p(-doubt) - math.log(doubt) + _ODDS_ROUNDING


def _check(model: nn.Module, images: Tensor, labels: Tensor) -> int:
    """Check what is given, and return how many classes the model knows."""
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


def _noise(images: Tensor, labels: Tensor, generator: torch.Generator | None) -> Tensor:
    return images.new_empty((len(labels), *images.shape[1:])).uniform_(generator=generator)


def _mean(images: Tensor, labels: Tensor, generator: torch.Generator | None) -> Tensor:
    noise = _noise(images, labels, generator).mul_(2 * _JITTER).sub_(_JITTER)
    alone = torch.bincount(labels)[labels] == 1
    noise[alone] = 0
    return noise.add_(images.mean(0)).clamp_(0, 1)


STARTS: dict[str, Callable[[Tensor, Tensor, torch.Generator | None], Tensor]] = {
    "noise": _noise,
    "mean": _mean,
}


def _climb(
    x: Tensor, uphill: Tensor, learning_rate: float, generator: torch.Generator | None
) -> None:
    """Take a step, in place; a row that cannot is set anywhere."""
    uphill.masked_fill_(((x <= 0) & (uphill < 0)) | ((x >= 1) & (uphill > 0)), 0)
    size = uphill.flatten(1).abs().amax(1)
    stuck = ~((size > 0) & (size < torch.inf))
    x.add_(L2.direction(uphill), alpha=learning_rate).clamp_(0, 1)
    if stuck.any():
        x[stuck] = _anywhere(x[stuck], generator)


def _anywhere(x: Tensor, generator: torch.Generator | None) -> Tensor:
    """Draw images of noise, each within a range of grey of its own, like x in shape."""
    ends = x.new_empty((2, len(x), 1, 1, 1)).uniform_(generator=generator)
    noise = torch.empty_like(x).uniform_(generator=generator)
    return torch.lerp(ends[0], ends[1], noise)


def _populations(labels: Tensor, classes: int) -> Tensor:
    """Deal the rows of each class to populations: (P, K) int64, a row's number or -1."""
    one_hot = functional.one_hot(labels, classes)
    turn = one_hot.cumsum(0).gather(1, labels.unsqueeze(1)).squeeze(1) - 1
    count = int(turn.max()) + 1 if len(labels) else 0
    rows = torch.full((count, classes), -1, device=labels.device)
    rows[turn, labels] = torch.arange(len(labels), device=labels.device)
    return rows


def fooling_noise(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    confidence: float,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw uniform noise, which the others start from: the control.

    Args:
        model: not asked.
        images: (N, C, H, W) in [0, 1]; only their shape counts.
        labels: (M,) int64, the classes that the images are to be taken for.
        confidence: not looked at; it is what the images are held to.
        generator: draws the noise; torch's global one if None.

    Returns:
        (M, C, H, W), in [0, 1].
    """
    shape = (len(labels), *images.shape[1:])
    return torch.rand(shape, dtype=images.dtype, device=images.device, generator=generator)
