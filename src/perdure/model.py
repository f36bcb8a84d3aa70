"""What perdure may ask of a model beyond `torch.nn.Module`; everything here is optional."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

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


def takes_task(model: nn.Module) -> bool:
    """Whether the model must be told the task id of each row."""
    return isinstance(model, TakesTask) and model.takes_task
