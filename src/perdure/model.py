"""What perdure may ask of a model beyond `torch.nn.Module`, all of it optional; and stand-ins."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn


@runtime_checkable
class TakesTask(Protocol):
    """A model whose forward may need the task id of each row."""

    takes_task: bool
    """True: it is called as `model(x, task)` with task ids (n,) int64; False: as `model(x)`."""


@runtime_checkable
class HasFeatures(Protocol):
    """A model that offers the representation under its head."""

    def features(self, x: Tensor) -> Tensor:
        """The representation (n, d) of inputs (n, ...)."""
        ...


@runtime_checkable
class Prepares(Protocol):
    """A model that says how its raw inputs are to be prepared, such as a text encoder."""

    @property
    def prepare(self) -> Callable[[Tensor], Tensor]:
        """From raw inputs (n, ...) to what the model takes; asked for once, so a method will do."""
        ...


def takes_task(model: nn.Module) -> bool:
    """Whether the model must be told the task id of each row."""
    return isinstance(model, TakesTask) and model.takes_task


_set_mode = object.__setattr__  # that of modules looks for parameters first, which takes longer


class Substitution:
    """Other tensors in the places of a model's parameters and buffers, for a while.

    What `torch.func.functional_call` does, with the walk over the modules made once: make another
    one when the model has grown.
    """

    def __init__(self, model: nn.Module) -> None:
        self._modules = list(model.modules())
        stores = [s for m in self._modules for s in (m._parameters, m._buffers)]  # noqa: SLF001
        places: dict[Tensor, list[tuple[dict[str, Any], str]]] = {}
        for store, key in [(s, key) for s in stores for key in s]:
            tensor = store[key]
            if tensor is not None:  # tied tensors lie in several places
                places.setdefault(tensor, []).append((store, key))
        named = (*model.named_parameters(), *model.named_buffers())
        self._places = {name: places[tensor] for name, tensor in named}

    @contextmanager
    def of(self, tensors: Mapping[str, Tensor]) -> Iterator[None]:
        """Within it the model is in evaluation mode and has `tensors`, each in its name's places.

        Names that it lacks keep what they hold; each module's own mode comes back afterwards.
        """
        modes = [module.training for module in self._modules]
        held = [(*place, place[0][place[1]]) for name in tensors for place in self._places[name]]
        try:
            for module in self._modules:
                _set_mode(module, "training", False)
            for name, tensor in tensors.items():
                for store, key in self._places[name]:
                    store[key] = tensor
            yield
        finally:
            for store, key, tensor in held:
                store[key] = tensor
            for module, mode in zip(self._modules, modes, strict=True):
                _set_mode(module, "training", mode)
