"""The protocol of a module that gains parameters while it learns: heads, columns, adapters."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from perdure.batch import Batch


@runtime_checkable
class Grows(Protocol):
    """A module that appends blocks, so that old parameters keep name, tensor and optimiser moments.

    `plan` and `rebuild` let a checkpoint restore the modules before it restores their tensors.
    """

    def grow(self, batch: Batch) -> bool:
        """Add what the batch's `y` and `task` call for; say whether anything was added."""
        ...

    def plan(self) -> Any:
        """What was grown, as plain values (numbers, strings, lists, dicts with string keys)."""
        ...

    def rebuild(self, plan: Any) -> None:
        """Grow an untouched module to the shape that `plan` describes."""
        ...
