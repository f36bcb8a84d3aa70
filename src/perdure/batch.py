"""Rows that travel together: what streams yield, methods recall and memories hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from perdure.errors import InvalidValue


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Frozen rows; `a + b` concatenates.

    The first `new` rows are shown to the learner for the first time ever: rows of a later epoch and
    rows that a memory recalls are not new, so a memory counts each row once.

    Args:
        x: inputs (n, ...), raw: images may stay uint8.
        y: labels (n,) int64, or targets (n, ...) for regression.
        task: task ids (n,) int64, or one id for all rows, or None where no boundary is known.
        extras: further columns by name, each (n, ...): logits, importance, source.
        weight: (n,), the weight of each row in the mean of the loss, held as float32; None means
            all ones.
        new: how many leading rows are new; None means all.

    Raises:
        InvalidValue: the columns differ in length.
    """

    x: Tensor
    y: Tensor
    task: Tensor | None = None
    extras: Mapping[str, Tensor] = field(default_factory=dict)
    weight: Tensor | None = None
    new: int = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        for name, column in (("x", self.x), ("y", self.y)):
            if not isinstance(column, Tensor):
                raise InvalidValue(
                    f"a batch's {name} is of type {type(column).__name__}; give a tensor, such as "
                    f"`torch.as_tensor({name})`"
                )
        rows = len(self.y)
        if isinstance(self.task, int):
            object.__setattr__(self, "task", torch.full((rows,), self.task, device=self.y.device))
        if self.new is None:
            object.__setattr__(self, "new", rows)
        if self.weight is not None:
            object.__setattr__(self, "weight", self.weight.float())  # as the losses are
        if len(self.x) != rows or (self.task is not None and len(self.task) != rows):
            raise InvalidValue(
                f"a batch's columns differ in length: x has {len(self.x)} rows, y {rows}, "
                f"task {None if self.task is None else len(self.task)}"
            )
        if self.weight is not None and self.weight.shape != (rows,):
            raise InvalidValue(
                f"weight has shape {tuple(self.weight.shape)}; it holds one number a row: ({rows},)"
            )
        for name, column in self.extras.items():
            if len(column) != rows:
                raise InvalidValue(f"extra {name!r} has {len(column)} rows where y has {rows}")

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, rows: slice | Tensor) -> Batch:
        """A slice keeps count of its new rows; rows picked by an index or mask are not new."""
        new = 0
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            new = len(range(start, min(stop, self.new), step))
        return self._each(lambda column: column[rows], new)

    def __add__(self, other: Batch) -> Batch:
        """All rows of both, new ones first.

        An extra that one side lacks is left out, since a value cannot be invented; a weight
        that one side lacks is one.
        """
        if self.new < len(self) and other.new:
            a, b, m = self, other, self.new
            return (a[:m] + b[: b.new]) + (a[m:].seen() + b[b.new :].seen())
        task = None
        if self.task is not None and other.task is not None:
            task = torch.cat((self.task, other.task))
        weight = None
        if self.weight is not None or other.weight is not None:
            weight = torch.cat((self.weights(), other.weights()))
        extras = {
            name: torch.cat((column, other.extras[name]))
            for name, column in self.extras.items()
            if name in other.extras
        }
        return Batch(
            torch.cat((self.x, other.x)),
            torch.cat((self.y, other.y)),
            task,
            extras,
            weight,
            self.new + other.new,
        )

    def weights(self) -> Tensor:  # (n,)
        """The rows' weights, ones where none were given."""
        return torch.ones(len(self), device=self.y.device) if self.weight is None else self.weight

    def fresh(self) -> Batch:
        """The new rows alone."""
        return self if self.new == len(self) else self[: self.new]

    def seen(self) -> Batch:
        """The same rows, none of them new."""
        return self if self.new == 0 else replace(self, new=0)

    def weighted(self, weight: float) -> Batch:
        """The same rows, each with this weight."""
        return replace(self, weight=torch.full((len(self),), weight, device=self.y.device))

    def with_extras(self, **columns: Tensor) -> Batch:
        """The same rows with further columns."""
        return replace(self, extras={**self.extras, **columns})

    def to(self, device: torch.device | str) -> Batch:
        """The same rows on another device; itself where it is there already."""
        if self.y.device == torch.device(device) and self.x.device == self.y.device:
            return self
        # Towards the CPU a copy that does not wait could be read before it has arrived.
        wait = torch.device(device).type == "cpu"
        return self._each(lambda column: column.to(device, non_blocking=not wait), self.new)

    def _each(self, change: Any, new: int) -> Batch:
        return Batch(
            change(self.x),
            change(self.y),
            None if self.task is None else change(self.task),
            {name: change(column) for name, column in self.extras.items()},
            None if self.weight is None else change(self.weight),
            new,
        )


def weighted_mean(each: Tensor, weight: Tensor) -> Tensor:
    """The mean of one value a row (n,), each by its weight (n,), 0-d; 0 where no row counts."""
    return torch.dot(each, weight) / weight.sum().clamp(min=torch.finfo(weight.dtype).tiny)


def scale_uint8(x: Tensor) -> Tensor:
    """uint8 to float32 in [0, 1]; anything else unchanged."""
    return x.float().div_(255) if x.dtype == torch.uint8 else x
