"""Trying a model on a few images before anything is spent on it, as stages will ask it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call

from epsigma.models.classifier import CONTIGUOUS, ModelError, adapt

# Images on which a model is tried.
TRIED = 16


def try_model(model: nn.Module, images: Tensor, classes: int, *, trains: bool) -> list[str]:
    """Ask a model what stages will ask it: in eval mode, with gradients, in training mode.

    It is asked about one, two and more images, in the memory formats that stages use. The images,
    its weights and buffers, its modes and torch's random numbers stay as they are; what it needs
    of those who ask it, it has afterwards (`adapt`).

    Args:
        images: (N, C, H, W) in [0, 1], N of at least 1.
        trains: whether it is trained, too.

    Returns:
        What it needs: some of `epsigma.models.classifier.NEEDS`.

    Raises:
        ModelError: if it raises, or its outputs are not finite logits (N, K) in floating point, or
            have no gradient with respect to the images.
    """
    few = images[:TRIED].contiguous()
    with _kept(model, few.device):
        model.eval()
        needs = _try_outputs(model, few, classes)
        adapt(model, needs)
        if not _suits_channels_last(model, few):
            needs.append(CONTIGUOUS)
            adapt(model, [CONTIGUOUS])
    if trains:
        with _kept(model, few.device):
            _try_training(model, few[:2], classes)
    return needs


@contextmanager
def _kept(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Put modes and random numbers back afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            for module, mode in modes:
                module.training = mode


def _try_outputs(model: nn.Module, few: Tensor, classes: int) -> list[str]:
    """Try one, two and all images, without gradients; return what the answers show it needs."""
    needs = set()
    for count in sorted({len(few), min(2, len(few)), 1}, reverse=True):
        given = few[:count].clone()
        with torch.no_grad():
            logits = _ask(model, given)
        _check_logits(logits, given, classes)
        if not torch.equal(given, few[:count]):
            needs.add("copy")
        if logits.dtype != few.dtype:
            needs.add("float32")
    return sorted(needs)


def _ask(model: Callable[[Tensor], Tensor], images: Tensor, when: str = "") -> Tensor:
    try:
        return model(images)
    except Exception as error:
        raise ModelError(
            f"asked about images {tuple(images.shape)}{when}, it raised {_explain(error)}; "
            "make the model for images of this shape"
        ) from error


def _explain(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _check_logits(logits: Tensor, images: Tensor, classes: int, when: str = "") -> None:
    expected = (len(images), classes)
    if not isinstance(logits, Tensor) or tuple(logits.shape) != expected:
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ModelError(
            f"asked about images {tuple(images.shape)}{when}, it returned {shape}, not a tensor "
            f"{expected}; return one logit for each image and class"
        )
    if not logits.is_floating_point() or not logits.isfinite().all():
        raise ModelError(
            f"its outputs are not finite numbers, but {logits.dtype} such as "
            f"{logits.flatten()[:3].tolist()}; look for overflows and damaged weights"
        )
    if (logits >= 0).all() and ((logits.sum(1) - 1).abs() < 1e-4).all():
        raise ModelError(
            "its outputs are probabilities (no row has a negative number, and each sums to one), "
            "whose gradients vanish; return logits, without the softmax at the end"
        )


def _suits_channels_last(model: nn.Module, few: Tensor) -> bool:
    """Differentiate as stages do, with weights and images in either memory format.

    Returns:
        Whether it works with channels last. It has to with contiguous tensors.
    """
    _try_gradient(model, few, torch.contiguous_format)
    try:
        _try_gradient(model, few, torch.channels_last)
    except ModelError:
        return False
    return True


def _try_gradient(model: nn.Module, few: Tensor, memory_format: torch.memory_format) -> None:
    """Differentiate with respect to two images and one, with copies of the weights.

    Raises:
        ModelError: if there is no gradient, or no number in it is finite.
    """
    state = {
        name: value.detach().clone(
            memory_format=memory_format if value.dim() == 4 else torch.preserve_format
        )
        for name, value in (*model.named_parameters(), *model.named_buffers())
    }
    gradients = []
    for part in {len(few[:2]): few[:2], 1: few[:1]}.values():
        x = part.clone(memory_format=memory_format).requires_grad_()
        try:
            with torch.enable_grad():
                logits = functional_call(model, state, (x,))
                (gradient,) = torch.autograd.grad(logits.logsumexp(1).sum(), x)
        except Exception as error:
            raise ModelError(
                "its logits cannot be differentiated with respect to the images, which attacks "
                f"do: {_explain(error)}; compute them from the images by torch's own functions, "
                "without detach, no_grad or numpy, and change no tensor in place"
            ) from error
        gradients.append(gradient.flatten())
    if not torch.cat(gradients).isfinite().any():
        raise ModelError(
            "the gradient of its logits with respect to the images is nowhere a finite number; "
            "look for the square root, logarithm or quotient of zero in what is computed first "
            "(torch.where hides it from the logits alone): add a small number, or clamp"
        )


def _try_training(model: nn.Module, two: Tensor, classes: int) -> None:
    """Ask as training does, and differentiate, with copies of weights and buffers."""
    if not model.training:
        model.train()
    when = " in training mode"
    state = {name: value.detach().clone() for name, value in model.named_buffers()}
    for name, value in model.named_parameters():
        state[name] = value.detach().clone().requires_grad_(value.requires_grad)
    weights = [value for value in state.values() if value.requires_grad]
    with torch.enable_grad():
        logits = _ask(lambda x: functional_call(model, state, (x,)), two.clone(), when)
        _check_logits(logits, two, classes, when)
        try:
            if weights:
                torch.autograd.grad(logits.logsumexp(1).sum(), weights, allow_unused=True)
        except RuntimeError as error:
            raise ModelError(
                f"its logits cannot be differentiated with respect to its weights: "
                f"{_explain(error)}; change no tensor in place that they are computed from"
            ) from error
