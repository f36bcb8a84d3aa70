"""Where a memory's rows lie: one tensor a column, in main memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from perdure.batch import Batch
from perdure.errors import CheckpointMismatch, InvalidValue

NAMES = ("x", "y", "task")


class RamStorage:
    """Numbered slots for rows, in main memory, each column in the dtype in which it came.

    The first rows written say which columns there are; columns double until they hold `capacity`
    rows. Weights belong to an update and are not kept. An extra of floats may become wider, as
    logits do where a head grows: what is missing of the narrower rows is NaN.

    Args:
        capacity: slots, >= 1.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.columns: dict[str, Tensor] = {}
        self.filled = 0

    def __len__(self) -> int:
        return self.filled

    def write(self, slots: Tensor, batch: Batch, rows: Tensor) -> None:
        """Put row `rows[i]` of the batch into `slots[i]`: slots filled already, or the next ones.

        Of several rows for one slot the last one stays.

        Raises:
            InvalidValue: the batch has other columns, row shapes or dtypes than the rows held.
        """
        if not len(slots):
            return
        at, chosen = slots.numpy(), rows.numpy()
        columns = _columns(batch)
        filled = max(self.filled, int(at.max()) + 1)
        if not self._fit(columns, filled):
            columns = self._made_room(columns, filled)
        for name, column in columns.items():
            _items(self.columns[name])[at] = _items(column)[chosen]
        self.filled = filled

    def read(self, slots: Tensor) -> Batch:
        """Copies of the rows in `slots` (n,), none of them new."""
        rows = {name: column.index_select(0, slots) for name, column in self.columns.items()}
        extras = {name: column for name, column in rows.items() if name not in NAMES}
        return Batch(rows["x"], rows["y"], rows.get("task"), extras, new=0)

    def keep(self, slots: Tensor) -> None:
        """Keep these slots alone, renumbered in this order; the bytes of the others are let go."""
        self.columns = {name: c.index_select(0, slots) for name, c in self.columns.items()}
        self.filled = len(slots)

    def bytes(self) -> int:
        """Bytes that the columns take, slots not filled yet included."""
        return sum(c.numel() * c.element_size() for c in self.columns.values())

    def state_dict(self) -> dict[str, Any]:
        """The filled slots by column."""
        return {name: column[: self.filled] for name, column in self.columns.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` gave.

        Raises:
            CheckpointMismatch: there are more rows than slots.
        """
        filled = len(state["y"]) if state else 0
        if filled > self.capacity:
            raise CheckpointMismatch(
                f"the checkpoint's memory holds {filled} rows and this one has a capacity of "
                f"{self.capacity}; give it at least capacity={filled}"
            )
        self.columns = {
            name: column.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, column in state.items()
        }
        self.filled = filled

    def _fit(self, columns: Mapping[str, Tensor], filled: int) -> bool:
        """Whether there is room for so many rows with just these names, dtypes and row shapes."""
        return self.columns.keys() == columns.keys() and all(
            len(held) >= filled
            and held.dtype == columns[name].dtype
            and held.shape[1:] == columns[name].shape[1:]
            for name, held in self.columns.items()
        )

    def _made_room(self, columns: Mapping[str, Tensor], filled: int) -> dict[str, Tensor]:
        """Hold memory for so many rows as wide as these and those held; these, as wide."""
        self._check(columns)
        pairs = {
            name: _equally_wide(self.columns.get(name, column[:0]), column)
            for name, column in columns.items()
        }
        self.columns = {name: self._reserved(held, filled) for name, (held, _) in pairs.items()}
        return {name: given for name, (_, given) in pairs.items()}

    def _reserved(self, column: Tensor, rows: int) -> Tensor:
        """The same column with room for so many rows."""
        if len(column) >= rows:
            return column
        room = min(self.capacity, max(rows, 2 * len(column)))
        wider = column.new_empty((room, *column.shape[1:]))
        wider[: self.filled] = column[: self.filled]
        return wider

    def _check(self, columns: Mapping[str, Tensor]) -> None:
        if self.columns and self.columns.keys() != columns.keys():
            raise InvalidValue(
                f"the memory holds rows with columns {sorted(self.columns)} and was given rows "
                f"with {sorted(columns)}; give every batch of a stream the same columns"
            )
        for name, rows in columns.items():
            held = self.columns.get(name, rows)
            if held.dtype != rows.dtype or not (
                held.shape[1:] == rows.shape[1:] or _may_widen(name, held, rows)
            ):
                raise InvalidValue(
                    f"the memory's column {name!r} holds {held.dtype} rows of shape "
                    f"{tuple(held.shape[1:])} and was given {rows.dtype} rows of shape "
                    f"{tuple(rows.shape[1:])}; bring them to one shape and dtype"
                )


def _columns(batch: Batch) -> dict[str, Tensor]:
    """The batch's columns by name, on the CPU."""
    taken = [name for name in NAMES if name in batch.extras]
    if taken:
        raise InvalidValue(f"extras named {taken} hide the batch's own columns; rename them")
    columns = {"x": batch.x, "y": batch.y, **batch.extras}
    if batch.task is not None:
        columns["task"] = batch.task
    return {name: column.detach().cpu() for name, column in columns.items()}


def _may_widen(name: str, held: Tensor, rows: Tensor) -> bool:
    """Whether two extras differ in the width of their rows alone."""
    narrow = held.ndim > 1 and held.ndim == rows.ndim and held.shape[1:-1] == rows.shape[1:-1]
    return narrow and name not in NAMES and torch.is_floating_point(rows)


def _equally_wide(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Both columns, the narrower one padded with NaN."""
    if a.shape[1:] == b.shape[1:]:
        return a, b
    lacking = a.shape[-1] - b.shape[-1]
    nan = float("nan")
    return F.pad(a, (0, max(0, -lacking)), value=nan), F.pad(b, (0, max(0, lacking)), value=nan)


def _items(column: Tensor) -> NDArray[np.void]:  # (n,)
    """The same memory in numpy with a row an item, which numpy copies whole.

    torch copies the rows of an index one element at a time.
    """
    flat = column.contiguous().view(torch.uint8).numpy()
    return np.ndarray(len(column), f"V{flat.nbytes // len(column)}", flat)
