"""A second device on a machine that has none: "simulated", which no CPU tensor may meet.

Its tensors lie in RAM and say that they are elsewhere. An operation on them runs on the CPU, after
the checks that CUDA makes. A process registers a device once, and before its first backward pass:
tests run scripts that import this file first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Self

import torch
from torch import Generator, Tensor
from torch.utils import _foreach_utils
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "simulated"
CPU = torch.device("cpu")
aten = torch.ops.aten
# CUDA takes indices from the CPU in these, and a CPU scalar where nothing but a number is read.
INDEXING = {
    aten.index.Tensor,
    aten.index_put.default,
    aten.index_put_.default,
    aten._index_put_impl_.default,
}
READING = {aten.fill_.Tensor, aten.masked_fill.Tensor, aten.masked_fill_.Tensor}


class Simulated(Tensor):
    """What looks like a tensor on the device, around a CPU tensor that has its values."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> Self:
        made = Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=torch.device(NAME, 0),
        )
        made.held = held
        return made

    def __init__(self, held: Tensor) -> None:
        """Nothing is left to do."""

    def tolist(self) -> Any:
        """As CUDA gives it; torch refuses it to subclasses."""
        return self.held.tolist()

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        """What the CPU says, and where."""
        return f"{self.held!r} on {NAME}"

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func not in {aten.copy_.default, aten._to_copy.default}:
            check(func, args, kwargs)
        return run(func, args, kwargs)


def run(func: Any, args: Any, kwargs: Any) -> Any:
    """The operation on what is held; its result is on the device that it asks for, or on ours."""
    device = kwargs.get("device")
    asked = kwargs if device is None else {**kwargs, "device": CPU}
    ours = {id(v.held): v for v in each((args, *kwargs.values())) if is_simulated(v)}
    out = func(*changed(bare, args), **{name: changed(bare, v) for name, v in asked.items()})
    if device is not None and torch.device(device).type != NAME:
        return out

    def dressed(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        known = ours.get(id(value))
        if known is None:
            return Simulated(value)
        if known.shape != value.shape:
            raise NotImplementedError(f"{func} changed a tensor's shape in place")
        return known

    return changed(dressed, out)


def check(func: Any, args: Any, kwargs: Any) -> None:
    """Raise where CUDA would: at a CPU tensor, unless it is an index or a number, or generator."""
    looked = args[:1] + args[2:] if func in INDEXING else args
    leaves = list(each((looked, *kwargs.values())))
    written = func._schema.is_mutable and not is_simulated(next(each(args), None))
    numbers = torch.Tag.pointwise in func.tags or func in READING | INDEXING
    strangers = [v for v in leaves if isinstance(v, Tensor) and not is_simulated(v)]
    allowed = numbers and not written and len(strangers) <= 1
    if strangers and not (allowed and strangers[0].dim() == 0):
        shapes = [(*v.shape,) for v in strangers]
        raise RuntimeError(
            f"Expected all tensors to be on the same device: {func} got tensors of {shapes} "
            f"on the CPU beside others on {NAME!r}"
        )
    if any(isinstance(v, Generator) and v.device.type != NAME for v in leaves):
        raise RuntimeError(f"{func}: Expected a {NAME!r} generator but found one of the CPU")
    if func in INDEXING and not is_simulated(args[0]):
        raise RuntimeError(f"{func}: a CPU tensor cannot be indexed from {NAME!r}")


def each(value: Any) -> Iterator[Any]:
    """What is in nested lists and tuples."""
    if isinstance(value, (list, tuple)):
        for held in value:
            yield from each(held)
    else:
        yield value


def changed(change: Callable[[Any], Any], value: Any) -> Any:
    """Nested lists and tuples with everything in them changed."""
    if isinstance(value, (list, tuple)):
        return type(value)(changed(change, held) for held in value)
    return change(value)


def is_simulated(value: Any) -> bool:
    """Whether it is a tensor of the device."""
    return isinstance(value, Simulated)


def bare(value: Any) -> Any:
    """The CPU tensor in it."""
    return value.held if isinstance(value, Simulated) else value


# -- what torch asks of a device -------------------------------------------------------------------


class _Module:
    """torch.simulated."""

    def is_initialized(self) -> bool:
        return True

    def is_available(self) -> bool:
        return True

    def current_device(self) -> int:
        return 0

    def device_count(self) -> int:
        return 1

    def _is_in_bad_fork(self) -> bool:
        return False

    def manual_seed_all(self, seed: int) -> None:
        """Its draws are the CPU's."""

    def get_rng_state(self, device: object = None) -> Tensor:
        return torch.get_rng_state()

    def set_rng_state(self, state: Tensor, device: object = None) -> None:
        """As above."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]


def _making(func: Any) -> Any:
    def make(*args: Any, **kwargs: Any) -> Any:
        check(func, args, kwargs)
        return run(func, args, kwargs)

    return make


def _copy_from(source: Tensor, target: Tensor, non_blocking: bool = False) -> Tensor:
    """How `torch.tensor(..., device=...)` brings values over."""
    bare(target).copy_(bare(source))
    return target


def register() -> tuple[torch.library.Library, ...]:
    """Make torch know the device."""
    _setup_privateuseone_for_python_backend(NAME, backend_module=_Module())
    _foreach_utils._foreach_supported_types.append(Simulated)
    library = torch.library.Library("aten", "IMPL")
    for name in torch._C._dispatch_get_all_op_names():
        if name.startswith("aten::") and _makes(name):
            func = getattr(getattr(aten, name[6:].split(".")[0]), (name + ".default").split(".")[1])
            library.impl(name[6:], _making(func), "PrivateUse1")
    library.impl("_copy_from", _copy_from, "PrivateUse1")
    everything = torch.library.Library("_", "IMPL")
    everything.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    return library, everything


def _makes(name: str) -> bool:
    """Whether the operation makes a tensor from no other, on a device that it is told."""
    if torch._C._dispatch_has_kernel_for_dispatch_key(name, "CompositeImplicitAutograd"):
        return False
    try:
        schema = torch._C._get_schema(*(name.split(".") if "." in name else (name, "")))
    except RuntimeError:
        return False
    given = [argument.type.annotation_str for argument in schema.arguments]
    return "device" in {argument.name for argument in schema.arguments} and not any(
        "Tensor" in kind or "Storage" in kind for kind in given
    )


LIBRARIES = register()
