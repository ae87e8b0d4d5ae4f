"""Networks that proofs know: affine maps with rectified linear units between them.

A linear filter in front of a classifier is part of the first affine map, and whatever is affine
between two rectified linear units is one map. Each is found by asking the layers themselves about
the basis, in float64, and no layer's formula is written down twice.
"""

import copy
import math
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce

import numpy as np
import torch
from torch import Tensor, nn

from epsigma.filters.filter import Filter
from epsigma.filters.none import Identity
from epsigma.models.preprocessing import Normalize
from epsigma.storage.batches import BATCH

# What is affine in eval mode: sums, means, what shifts and scales, and what computes nothing.
SUMS = (nn.Linear, nn.Conv1d, nn.Conv2d)
MEANS = (nn.AvgPool1d, nn.AvgPool2d)
SCALES = (nn.BatchNorm1d, nn.BatchNorm2d, Normalize)
UNCHANGED = (nn.Flatten, nn.Unflatten, nn.Identity, nn.Dropout, nn.Dropout2d)
AFFINE = (*SUMS, *MEANS, *SCALES, *UNCHANGED)
# Operations behind a value of a batch normalisation, at most.
OF_SCALE = 10

# Entries of the largest matrix: 1 GiB of float64.
LARGEST = 2**27
# How far a filter, or a model, may be from its matrices, in units of the largest value.
ROUNDING = 1e-9
# Random images that matrices are tried on.
TRIED = 16

Function = Callable[[Tensor], Tensor]


class UnprovableError(ValueError):
    """A defended model that proofs do not know; the message says which part of it, and why."""


@dataclass(frozen=True)
class Magnitudes:
    """How large the sums may be that an affine map is computed by, a layer after the other.

    What cancels between its layers is no part of the map, and float32 rounds it all the same.

    Args:
        weight: (out, in), the product of the magnitudes of the layers' weights.
        bias: (out,), their biases, likewise.
        terms: how many operations are behind a value of each layer.
    """

    weight: Tensor
    bias: Tensor
    terms: tuple[int, ...]


@dataclass(frozen=True)
class Affine:
    """x ↦ W x + b: `weight` (out, in) and `bias` (out,), float64.

    `steps` are None if it is computed as it stands, as one sum.
    """

    weight: Tensor
    bias: Tensor
    steps: Magnitudes | None = None

    @property
    def magnitudes(self) -> Magnitudes:
        """How large the sums may be that it is computed by."""
        terms = (self.weight.shape[1] + 1,)
        return self.steps or Magnitudes(self.weight.abs(), self.bias.abs(), terms)

    def __call__(self, x: Tensor) -> Tensor:
        """Map (…, in) to (…, out)."""
        return x @ self.weight.T + self.bias


@dataclass(frozen=True)
class Network:
    """Affine maps, the first of flattened images, with a rectified linear unit between any two."""

    layers: tuple[Affine, ...]

    @property
    def hidden(self) -> list[int]:
        """How many rectified linear units each layer of them has."""
        return [len(layer.bias) for layer in self.layers[:-1]]

    def __call__(self, x: Tensor) -> Tensor:
        """Map flattened images (…, C·H·W) float64 to logits (…, K)."""
        first, *others = self.layers
        value = first(x)
        for layer in others:
            value = layer(value.relu())
        return value


@torch.no_grad()
def fold(module: Filter, model: nn.Module, shape: tuple[int, int, int]) -> Network:
    """Write a classifier behind a linear filter as a network of affine maps.

    Args:
        module: the filter.
        model: the classifier, in eval mode, as it was built: no wrapper around it.
        shape: (C, H, W) of the images.

    Raises:
        UnprovableError: if the filter is not linear, or the classifier is made of other things
            than affine layers and rectified linear units, one after the other, or is too large.
    """
    _check_filter(module, shape)
    # The copies alone are float64: what is defended stays as it is.
    front = [copy.deepcopy(part).cpu().double().eval() for part in module.parts]
    classifier = copy.deepcopy(model).cpu().double().eval()
    images = _random_images(shape)
    filtered = _compose(front)(images)
    segments = _cut(classifier, filtered)
    layers = []
    size: tuple[int, ...] = tuple(shape)
    for segment in segments:
        layer, size = _fold_segment(front, segment, size)
        layers.append(layer)
        front = []
    network = Network(tuple(layers))
    logits = classifier(filtered)
    if logits.shape != (TRIED, len(layers[-1].bias)) or _differ(network(images.flatten(1)), logits):
        raise UnprovableError("the model does something else than its layers one after the other")
    return network


def is_random(part: Filter) -> bool:
    """Whether a filter draws: it adds noise, draws what its formula draws, or has a generator."""
    return part.deviation > 0 or part.is_replayed or part.generator is not None


def _check_filter(module: Filter, shape: tuple[int, int, int]) -> None:
    """Refuse a filter of which a part draws or is not linear."""
    for part in module.parts:
        name = type(part).__name__
        if is_random(part):
            raise UnprovableError(f"the filter {name} is random: there is no one network to prove")
        if not part.is_linear:
            raise UnprovableError(f"the filter {name} is not linear")
        front = copy.deepcopy(part).cpu().double()
        one, other = _random_images(shape), _random_images(shape, seed=1)
        # Of an affine one the weights add up to one.
        together = front(3 * one - 2 * other)
        if _differ(together, 3 * front(one) - 2 * front(other)):
            raise UnprovableError(f"the filter {name} says that it is linear, and is not")


def _random_images(shape: tuple[int, int, int], seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(TRIED, *shape, generator=generator, dtype=torch.float64)


def _differ(one: Tensor, other: Tensor) -> bool:
    scale = max(1.0, float(other.abs().max()))
    return not float((one - other).abs().max()) <= ROUNDING * scale


def _compose(functions: Sequence[Function]) -> Function:
    return lambda x: reduce(lambda value, function: function(value), functions, x)


def _fold_segment(
    filters: Sequence[Filter], layers: Sequence[nn.Module], shape: tuple[int, ...]
) -> tuple[Affine, tuple[int, ...]]:
    """Write filters and affine layers, in turn, as one map; and the shape of what it returns."""
    affine, returned = _as_matrix(_compose([*filters, *layers]), shape)
    magnified = [*_magnify_filters(filters, shape), *map(_magnify_layer, layers)]
    sums, _ = _as_matrix(_compose(magnified), shape)
    terms = tuple(_count_terms(one, shape) for one in (*filters, *layers))
    return replace(affine, steps=Magnitudes(sums.weight, sums.bias, terms)), returned


def _magnify_filters(filters: Sequence[Filter], shape: tuple[int, ...]) -> Iterator[Function]:
    """Make of each filter the affine function of the magnitudes of its weights.

    Of the first without a matrix, which may be far larger than the segment's: it is right of the
    basis, and asked about nothing else.
    """
    for one in filters[:1]:
        yield partial(_magnify_of_basis, one, one(torch.zeros(1, *shape, dtype=torch.float64)))
    for one in filters[1:]:
        matrix, _ = _as_matrix(one, shape)
        positive = Affine(matrix.weight.abs(), matrix.bias.abs())
        yield partial(_multiply, positive)


def _magnify_of_basis(function: Function, origin: Tensor, x: Tensor) -> Tensor:
    return (function(x) - origin).abs() + origin.abs()


def _multiply(affine: Affine, x: Tensor) -> Tensor:
    return affine(x.flatten(1)).view_as(x)


def _magnify_layer(layer: nn.Module) -> Function:
    """Make of an affine layer that of the magnitudes of its weights."""
    made = copy.deepcopy(layer)
    for name, value in (*made.named_parameters(), *made.named_buffers()):
        # A mean is subtracted.
        value.copy_(-value.abs() if name in ("mean", "running_mean") else value.abs())
    return made


def _count_terms(layer: nn.Module, shape: tuple[int, ...]) -> int:
    """Count the operations behind a value that a layer, or filter of so large images, returns."""
    if isinstance(layer, (*UNCHANGED, Identity)):
        return 0
    if isinstance(layer, SUMS):
        return layer.weight[0].numel() + 1
    if isinstance(layer, MEANS):
        return int(np.broadcast_to(layer.kernel_size, 2).prod()) + 1
    return OF_SCALE if isinstance(layer, SCALES) else math.prod(shape) + 1


def _cut(model: nn.Module, images: Tensor) -> list[list[nn.Module]]:
    """Cut a model at its rectified linear units into lists of affine layers."""
    segments: list[list[nn.Module]] = [[]]
    for layer in _list_layers(model, images):
        if isinstance(layer, nn.ReLU):
            segments.append([])
        elif isinstance(layer, AFFINE):
            segments[-1].append(layer)
        else:
            raise UnprovableError(
                f"the model has a layer {type(layer).__name__}: proofs know affine layers (linear, "
                "convolution, mean pooling, batch normalisation) and ReLU"
            )
    return segments


def _list_layers(model: nn.Module, images: Tensor) -> list[nn.Module]:
    """List the layers that images pass, each of which has to be given what the last returned.

    By hooks of the model's own: `torch.fx` changes `nn.Module` itself while it traces, and other
    jobs run in threads of the same process.
    """
    layers: list[nn.Module] = []
    returned = [images]

    def record(layer: nn.Module, given: tuple[Tensor, ...], value: Tensor) -> None:
        layers.append(layer)
        if len(given) == 1 and given[0] is returned[-1]:
            returned.append(value)

    leaves = [layer for layer in model.modules() if next(layer.children(), None) is None]
    hooks = [layer.register_forward_hook(record) for layer in leaves]
    logits = model(images)
    for hook in hooks:
        hook.remove()
    if len(returned) != len(layers) + 1 or logits is not returned[-1]:
        raise UnprovableError(
            f"{type(model).__name__} does not only call its layers one after the other; what it "
            "does between them has to be layers, too, such as nn.Flatten and nn.ReLU"
        )
    return layers


def _as_matrix(function: Function, shape: tuple[int, ...]) -> tuple[Affine, tuple[int, ...]]:
    """Write an affine function of (N, *shape) as a matrix; and the shape of what it returns."""
    origin = function(torch.zeros(1, *shape, dtype=torch.float64))
    bias = origin.flatten()
    inputs = reduce(operator.mul, shape)
    if inputs * len(bias) > LARGEST:
        raise UnprovableError(
            f"a layer of {len(bias)} × {inputs} is too large for proofs: at most {LARGEST} entries"
        )
    weight = torch.empty(len(bias), inputs, dtype=torch.float64)
    for start in range(0, inputs, BATCH):
        stop = min(start + BATCH, inputs)
        basis = torch.zeros(stop - start, inputs, dtype=torch.float64)
        basis[range(stop - start), range(start, stop)] = 1
        weight[:, start:stop] = (function(basis.view(-1, *shape)).flatten(1) - bias).T
    if not (weight.isfinite().all() and bias.isfinite().all()):
        raise UnprovableError("the model has weights that are not finite numbers")
    return Affine(weight, bias), tuple(origin.shape[1:])
