"""Rows as one tensor a column, wherever a subclass lets the tensors lie."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from perdure.batch import Batch
from perdure.memory.storage import (
    Layout,
    batch_of,
    check_room,
    columns_of,
    joint_layout,
    layout_of,
    widened,
)

ROWS = 4096
"""Rows moved at a time, so that columns which lie in files never come into main memory whole."""


class ColumnStorage(ABC):
    """A `Storage` of one tensor a column; columns double until they hold `capacity` rows.

    Args:
        capacity: slots, >= 1.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.columns: dict[str, Tensor] = {}
        self.filled = 0

    @abstractmethod
    def _empty(self, layout: Layout, rows: int) -> dict[str, Tensor]:
        """New columns of this layout with room for so many rows."""

    @abstractmethod
    def _adopt(self, columns: dict[str, Tensor], filled: int) -> None:
        """Hold these, that `_empty` made and that have so many rows by now, and nothing else."""

    def __len__(self) -> int:
        return self.filled

    def write(self, slots: Tensor, batch: Batch, rows: Tensor) -> None:
        """Put row `rows[i]` of the batch into `slots[i]`: slots filled already, or the next ones.

        Raises:
            InvalidValue: the batch has other columns, row shapes or dtypes than the rows held.
        """
        if not len(slots):
            return
        at, chosen = slots.numpy(), rows.numpy()
        given = columns_of(batch)
        filled = max(self.filled, int(at.max()) + 1)
        if not self._fit(given, filled):
            given = self._made_room(given, filled)
        for name, column in given.items():
            _items(self.columns[name])[at] = _items(column)[chosen]
        self.filled = filled

    def read(self, slots: Tensor) -> Batch:
        """Copies of the rows in `slots` (n,), none of them new."""
        return batch_of({name: c.index_select(0, slots) for name, c in self.columns.items()})

    def column(self, name: str) -> Tensor | None:
        """A copy of one column of all rows, (n, ...); None where the rows have none."""
        column = self.columns.get(name)
        return None if column is None else column[: self.filled].clone()

    def keep(self, slots: Tensor) -> None:
        """Keep these slots alone, renumbered in this order; the bytes of the others are let go."""
        # A row that is overwritten leaves nothing: where all are kept there is nothing to do.
        if not torch.equal(slots, torch.arange(self.filled)):
            self._copy(self.columns, slots, layout_of(self.columns), len(slots))

    def bytes(self) -> int:
        """Bytes that the columns take, slots not filled yet included."""
        return sum(c.numel() * c.element_size() for c in self.columns.values())

    def state_dict(self) -> dict[str, Any]:
        """The filled slots by column."""
        return {name: column[: self.filled] for name, column in self.columns.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Hold what `state_dict` gave, instead of what is held.

        Raises:
            CheckpointMismatch: there are more rows than slots.
        """
        filled = check_room(state, self.capacity)
        columns = {name: column.detach().cpu() for name, column in state.items()}
        self._copy(columns, torch.arange(filled), layout_of(columns), filled)

    def _fit(self, given: Mapping[str, Tensor], filled: int) -> bool:
        """Whether there is room for so many rows with just these names, dtypes and row shapes."""
        return self.columns.keys() == given.keys() and all(
            len(held) >= filled
            and held.dtype == given[name].dtype
            and held.shape[1:] == given[name].shape[1:]
            for name, held in self.columns.items()
        )

    def _made_room(self, given: dict[str, Tensor], filled: int) -> dict[str, Tensor]:
        """Hold columns for so many rows as wide as these and those held; these, as wide."""
        held = layout_of(self.columns)
        layout = joint_layout(held, layout_of(given))
        room = len(self.columns["y"]) if self.columns else 0
        if room < filled:
            room = min(self.capacity, max(filled, 2 * room))
        if layout != held or room > len(self.columns["y"]):
            self._copy(self.columns, torch.arange(self.filled), layout, room)
        return {name: widened(column, layout[name][1]) for name, column in given.items()}

    def _copy(
        self, columns: Mapping[str, Tensor], slots: Tensor, layout: Layout, room: int
    ) -> None:
        """Hold these slots of `columns`, in new ones of this layout with so much room."""
        new = self._empty(layout, room)
        for part in torch.arange(len(slots)).split(ROWS) if len(slots) else ():
            for name, column in new.items():
                rows = widened(columns[name].index_select(0, slots[part]), layout[name][1])
                column[part[0] : part[0] + len(part)] = rows
        self._adopt(new, len(slots))


def _items(column: Tensor) -> NDArray[np.void]:  # (n,)
    """The same memory in numpy with a row an item, which numpy copies whole.

    torch copies the rows of an index one element at a time.
    """
    flat = column.contiguous().view(torch.uint8).numpy()
    return np.ndarray(len(column), f"V{flat.nbytes // len(column)}", flat)
