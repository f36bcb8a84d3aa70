"""Rows in a table of a database file, a row a slot."""

from __future__ import annotations

import json
import sqlite3
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from perdure.batch import Batch
from perdure.errors import InvalidValue
from perdure.memory.ram import RamStorage
from perdure.memory.sql import Sql
from perdure.memory.storage import (
    Layout,
    batch_of,
    check_room,
    columns_of,
    dtype_named,
    joint_layout,
    layout_of,
    row_bytes,
    widened,
)

SLOTS = 500
"""Slots named in one statement."""


class DatabaseStorage:
    """Rows in an SQLite table, a row a slot and a column a column, each value its bytes.

    A second table, `<table>_columns`, says each column's name, dtype and row shape. A write is one
    transaction: a process killed at any point leaves all of it or nothing. Letting rows go rewrites
    the file, since SQLite leaves copies of deleted rows in it, even with `secure_delete`: give the
    storage a file of its own.

    Args:
        capacity: slots, >= 1.
        path: the database file; it is made, or opened with the rows that are there.
        table: its name there, a Python identifier.

    Raises:
        InvalidValue: the name is none, or the table has more rows than slots.

    Example:
        >>> storage = DatabaseStorage(100, ":memory:")
        >>> storage.write(torch.arange(3), Batch(torch.eye(3), torch.arange(3)), torch.arange(3))
        >>> storage.read(torch.tensor([2, 2])).y
        tensor([2, 2])
    """

    def __init__(self, capacity: int, path: str | Path, table: str = "memory") -> None:
        if not table.isidentifier():
            raise InvalidValue(f"DatabaseStorage: table is {table!r}; it must be an identifier")
        self.capacity = capacity
        self._sql = Sql(table)
        self._link = sqlite3.connect(path, 30.0, isolation_level=None, check_same_thread=False)
        weakref.finalize(self, self._link.close)
        self._link.executescript(self._sql.open)
        self.layout: Layout = {
            name: (dtype_named(dtype), tuple(json.loads(shape)))
            for name, dtype, shape in self._link.execute(self._sql.layout)
        }
        self.filled: int = self._link.execute(self._sql.count).fetchone()[0]
        self._path, self._swept = path, -1
        if self.filled > capacity:
            raise InvalidValue(
                f"{path} has {self.filled} rows in {table!r}; give it at least "
                f"capacity={self.filled}"
            )

    def __len__(self) -> int:
        return self.filled

    def write(self, slots: Tensor, batch: Batch, rows: Tensor) -> None:
        """Put row `rows[i]` of the batch into `slots[i]`: slots filled already, or the next ones.

        Raises:
            InvalidValue: the batch has other columns, row shapes or dtypes than the rows held.
        """
        if not len(slots):
            return
        given = columns_of(batch)
        layout = joint_layout(self.layout, layout_of(given))
        with self._transaction():
            if not self.layout:
                self._create(layout)
            elif layout != self.layout:
                self._widen(layout)
            self._put(slots, {n: c.index_select(0, rows) for n, c in given.items()}, layout)
        self.layout, self.filled = layout, max(self.filled, int(slots.max()) + 1)

    def read(self, slots: Tensor) -> Batch:
        """Copies of the rows in `slots` (n,), none of them new."""
        wanted = slots.tolist()
        found: dict[int, tuple[bytes, ...]] = {}
        for part in _parts(sorted({*wanted})):
            for slot, *cells in self._link.execute(self._sql.select(len(part)), part):
                found[slot] = tuple(cells)
        return batch_of(_decoded(self.layout, [found[slot] for slot in wanted]))

    def column(self, name: str) -> Tensor | None:
        """A copy of one column of all rows, (n, ...); None where the rows have none."""
        if name not in self.layout:
            return None
        place = list(self.layout).index(name)
        cells = self._link.execute(self._sql.select_column(place)).fetchall()
        return _decoded({name: self.layout[name]}, cells)[name]

    def keep(self, slots: Tensor) -> None:
        """Keep these slots alone, renumbered in this order; no byte of the others is left.

        Raises:
            TimeoutError: another process went on reading; keep the rows again when it is done.
        """
        kept = slots.tolist()
        dropped = [(slot,) for slot in {*range(self.filled)} - {*kept}]
        # By way of negative numbers, so that no two rows want one slot meanwhile.
        moved = [(-1 - new, old) for new, old in enumerate(kept) if new != old]
        with self._transaction():
            self._link.executemany(self._sql.delete, dropped)
            self._link.executemany(self._sql.move, moved)
            self._link.execute(self._sql.arrive)
        self.filled = len(kept)
        self._sweep()

    def bytes(self) -> int:
        """Bytes of the rows held."""
        return self.filled * row_bytes(self.layout)

    def state_dict(self) -> dict[str, Any]:
        """The filled slots by column."""
        return {name: self.column(name) for name in self.layout}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Hold what `state_dict` gave, instead of what is held.

        Raises:
            CheckpointMismatch: there are more rows than slots.
            TimeoutError: another process went on reading.
        """
        filled, layout = check_room(state, self.capacity), layout_of(state)
        columns = {name: column.detach().cpu() for name, column in state.items()}
        with self._transaction():
            self._create(layout)
            self._put(torch.arange(filled), columns, layout)
        self.layout, self.filled = layout, filled
        self._sweep()

    def __deepcopy__(self, memo: dict[int, Any]) -> RamStorage:
        copied = RamStorage(self.capacity)
        copied.load_state_dict(self.state_dict())
        return copied

    def _create(self, layout: Layout) -> None:
        """An empty table of this layout."""
        self._link.execute(self._sql.drop)
        self._link.execute(self._sql.create(len(layout)))
        self._describe(layout)

    def _widen(self, layout: Layout) -> None:
        """The rows held, as wide as this layout says."""
        for part in torch.arange(self.filled).split(SLOTS):
            self._put(part, columns_of(self.read(part)), layout)
        self._describe(layout)

    def _describe(self, layout: Layout) -> None:
        said = [
            (place, name, str(dtype), json.dumps(shape))
            for place, (name, (dtype, shape)) in enumerate(layout.items())
        ]
        self._link.execute(self._sql.undescribe)
        self._link.executemany(self._sql.describe, said)

    def _put(self, slots: Tensor, columns: Mapping[str, Tensor], layout: Layout) -> None:
        """Row i of the columns into `slots[i]`."""
        put = self._sql.put(len(layout))
        for part in torch.arange(len(slots)).split(SLOTS) if len(slots) else ():
            cells = [
                _cells(widened(columns[name].index_select(0, part), shape))
                for name, (_, shape) in layout.items()
            ]
            self._link.executemany(put, zip(slots[part].tolist(), *cells, strict=True))

    def _sweep(self) -> None:
        """Write the file anew, without the bytes of rows that were deleted or overwritten."""
        if self._link.total_changes == self._swept:
            return
        self._link.execute(self._sql.rewrite)
        if self._link.execute(self._sql.empty_log).fetchone()[0]:
            raise TimeoutError(
                f"{self._path} is being read by another process, so that its log could not be "
                "emptied of rows let go; end that reader and erase again"
            )
        self._swept = self._link.total_changes

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._link.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._link.in_transaction:  # a full disk has ended it already
                self._link.execute("ROLLBACK")
            raise
        self._link.execute("COMMIT")


def _parts(slots: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(slots), SLOTS):
        yield slots[start : start + SLOTS]


def _cells(column: Tensor) -> list[bytes]:  # (n, ...)
    """The bytes of each row."""
    flat = column.contiguous().view(torch.uint8).numpy().tobytes()
    width = len(flat) // len(column)
    return [flat[start : start + width] for start in range(0, len(flat), width)]


def _decoded(layout: Layout, rows: Sequence[Sequence[bytes]]) -> dict[str, Tensor]:
    """Columns (n, ...) of rows of cells."""
    columns = {}
    for place, (name, (dtype, shape)) in enumerate(layout.items()):
        held = bytearray().join(row[place] for row in rows)
        flat = torch.frombuffer(held, dtype=dtype) if held else torch.empty(0, dtype=dtype)
        columns[name] = flat.view(len(rows), *shape)
    return columns
