"""A device that is no CPU, on any machine: what lies on it does not mix with what does not.

Its tensors are computed on the CPU, with real numbers, so that what a program reads of them
(`.item()`, `if`) works, and say that they lie on `DEVICE`. An operation that is given tensors of
both devices is an error, as on a GPU: `MixedDevicesError`. numpy refuses them, as those of a GPU.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

_setup_privateuseone_for_python_backend("placed")
# `fork_rng` of other tests asks every device for its generator: this one has the CPU's.
torch.placed.get_rng_state = lambda device=None: torch.random.get_rng_state()
torch.placed.set_rng_state = lambda state, device=None: None
DEVICE = torch.device("placed:0")
aten = torch.ops.aten
# What takes tensors of two devices on a GPU, too: copies, and indices on the CPU.
_COPIES = {aten.copy_.default, aten._to_copy.default}
_INDEXED = {aten.index.Tensor, aten.index_put_.default, aten.index_put.default}


class MixedDevicesError(RuntimeError):
    """An operation on tensors of two devices."""


class Placed(Tensor):
    """A tensor of `DEVICE`."""

    raw: Tensor

    @staticmethod
    def __new__(cls, raw: Tensor) -> "Placed":
        """Wrap a tensor of the CPU."""
        made = Tensor._make_wrapper_subclass(
            cls,
            raw.size(),
            strides=raw.stride(),
            storage_offset=raw.storage_offset(),
            dtype=raw.dtype,
            device=DEVICE,
        )
        made.raw = raw
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation on the CPU, unless it mixes devices."""
        return _run(func, args, kwargs or {})

    def tolist(self) -> Any:
        """List the values, as of a GPU's tensor."""
        return self.raw.tolist()

    def __repr__(self, **_: Any) -> str:
        """Say what it is."""
        return f"Placed({self.raw})"


class _Factories(TorchDispatchMode):
    """Makes what is made on `DEVICE`."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    given = [one for one in pytree.tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
    placed = any(isinstance(one, Placed) for one in given)
    if placed and func not in _COPIES:
        checked = pytree.tree_leaves(args[0]) if func in _INDEXED else given
        others = [one for one in checked if not isinstance(one, Placed) and one.dim()]
        if others or (func in _INDEXED and not isinstance(args[0], Placed)):
            raise MixedDevicesError(f"{func} of tensors of {DEVICE} and of the CPU")
    device = kwargs.get("device")
    if device is not None:
        placed = torch.device(device).type == DEVICE.type
        kwargs = {**kwargs, "device": "cpu"}
    elif func is aten.copy_.default:
        placed = isinstance(args[0], Placed)
    raw_args, raw_kwargs = pytree.tree_map_only(Placed, lambda one: one.raw, (args, kwargs))
    made = func(*raw_args, **raw_kwargs)
    if not placed:
        return made
    wrapped = pytree.tree_map_only(Tensor, lambda one: Placed(one), made)
    return return_and_correct_aliasing(func, args, kwargs, wrapped)


def _empty_strided(size: Any, stride: Any, *, dtype: Any = None, **_: Any) -> Tensor:
    return Placed(torch.empty_strided(size, stride, dtype=dtype, device="cpu"))


def _empty(size: Any, *, dtype: Any = None, memory_format: Any = None, **_: Any) -> Tensor:
    how = {"memory_format": memory_format} if memory_format is not None else {}
    return Placed(torch.empty(size, dtype=dtype, device="cpu", **how))


def _copy_from(given: Tensor, made: Tensor, _: bool = False) -> Tensor:
    raw, target = (one.raw if isinstance(one, Placed) else one for one in (given, made))
    target.copy_(raw)
    return made


# What is made where neither a mode nor a subclass is asked, as by `Tensor.new_tensor`.
_LIBRARY = torch.library.Library("aten", "IMPL")
_LIBRARY.impl("empty_strided", _empty_strided, "PrivateUse1")
_LIBRARY.impl("empty.memory_format", _empty, "PrivateUse1")
_LIBRARY.impl("_copy_from", _copy_from, "PrivateUse1")


class PlacedGenerator(torch.Generator):
    """A generator that says it draws on `DEVICE`."""

    device = DEVICE  # type: ignore[assignment]


@contextmanager
def placing() -> Iterator[torch.device]:
    """Let tensors be made on `DEVICE` in the body."""
    with _Factories():
        yield DEVICE
