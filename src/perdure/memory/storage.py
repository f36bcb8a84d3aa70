"""Where a memory's rows lie: the contract of every storage, and what all know of columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from perdure.batch import Batch
from perdure.errors import CheckpointMismatch, InvalidValue

NAMES = ("x", "y", "task")
Layout = dict[str, tuple[torch.dtype, tuple[int, ...]]]
"""Dtype and row shape of each column by name."""


class Storage(Protocol):
    """Slots for rows, numbered from 0 without a gap, each column in the dtype in which it came.

    The first rows written say which columns there are. Weights belong to an update and are not
    kept. An extra of floats may become wider, as logits do where a head grows: what is missing of
    the narrower rows is NaN.

    Every storage reads as a list of rows reads, whatever it is made of, and its state is the same
    tensors, so that a checkpoint written with one storage loads into any other. One that lies in
    files opens with the rows that it finds there; each has a place of its own, and one writer.
    Copies (`copy.deepcopy`) lie in main memory.

    Attributes:
        capacity: slots, >= 1.
    """

    @property
    def capacity(self) -> int:
        """Slots at most."""
        ...

    def __len__(self) -> int:
        """Slots filled."""
        ...

    def write(self, slots: Tensor, batch: Batch, rows: Tensor) -> None:
        """Put row `rows[i]` of the batch into `slots[i]`: slots filled already, or the next ones.

        Of several rows for one slot the last one stays. A write that is refused changes nothing.

        Raises:
            InvalidValue: the batch has other columns, row shapes or dtypes than the rows held.
        """
        ...

    def read(self, slots: Tensor) -> Batch:
        """Copies of the rows in `slots` (n,), repeats included, none of them new."""
        ...

    def column(self, name: str) -> Tensor | None:
        """A copy of one column of all rows, (n, ...); None where the rows have none of that name.

        Args:
            name: "x", "y", "task", or an extra's name.
        """
        ...

    def keep(self, slots: Tensor) -> None:
        """Keep these slots alone, none named twice, renumbered in this order.

        Afterwards no byte of any other row is left in the storage or its files: of rows let go now,
        and of rows that were overwritten before.
        """
        ...

    def bytes(self) -> int:
        """Bytes that the columns take, slots not filled yet included."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """The filled slots by column."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Hold what `state_dict` gave, instead of what is held.

        Raises:
            CheckpointMismatch: there are more rows than slots.
        """
        ...


# -- columns -------------------------------------------------------------------------------------


def columns_of(batch: Batch) -> dict[str, Tensor]:
    """The batch's columns by name, on the CPU.

    Raises:
        InvalidValue: an extra is named like one of the batch's own columns.
    """
    taken = [name for name in NAMES if name in batch.extras]
    if taken:
        raise InvalidValue(f"extras named {taken} hide the batch's own columns; rename them")
    columns = {"x": batch.x, "y": batch.y, **batch.extras}
    if batch.task is not None:
        columns["task"] = batch.task
    return {name: column.detach().cpu() for name, column in columns.items()}


def batch_of(columns: Mapping[str, Tensor]) -> Batch:
    """Columns by name as a batch, none of its rows new."""
    extras = {name: column for name, column in columns.items() if name not in NAMES}
    return Batch(columns["x"], columns["y"], columns.get("task"), extras, new=0)


def layout_of(columns: Mapping[str, Tensor]) -> Layout:
    """What a storage must know of columns to hold their rows."""
    return {name: (column.dtype, tuple(column.shape[1:])) for name, column in columns.items()}


def row_bytes(layout: Layout) -> int:
    """Bytes of one row."""
    return sum(prod(shape) * dtype.itemsize for dtype, shape in layout.values())


def joint_layout(held: Layout, given: Layout) -> Layout:
    """Columns wide enough for the rows held and for those given; `held` is empty at first.

    Raises:
        InvalidValue: names, dtypes or shapes differ in more than the width of an extra of floats.
    """
    if held and held.keys() != given.keys():
        raise InvalidValue(
            f"the memory holds rows with columns {sorted(held)} and was given rows "
            f"with {sorted(given)}; give every batch of a stream the same columns"
        )
    return {name: _joint(name, held.get(name, given[name]), given[name]) for name in held or given}


def widened(column: Tensor, shape: Sequence[int]) -> Tensor:  # (n, ...) -> (n, *shape)
    """The column with its rows padded to this shape by NaN."""
    if tuple(column.shape[1:]) == tuple(shape):
        return column
    return F.pad(column, (0, shape[-1] - column.shape[-1]), value=float("nan"))


def check_room(state: Mapping[str, Tensor], capacity: int) -> int:
    """How many rows a storage's state holds.

    Raises:
        CheckpointMismatch: they are more than `capacity`.
    """
    filled = len(state["y"]) if state else 0
    if filled > capacity:
        raise CheckpointMismatch(
            f"the checkpoint's memory holds {filled} rows and this one has a capacity of "
            f"{capacity}; give it at least capacity={filled}"
        )
    return filled


def dtype_named(name: str) -> torch.dtype:
    """The dtype that prints as `name`, such as "torch.uint8".

    Raises:
        InvalidValue: torch has no such dtype.
    """
    dtype = getattr(torch, name.removeprefix("torch."), None)
    if not isinstance(dtype, torch.dtype):
        raise InvalidValue(f"{name!r} is no dtype of torch; the storage's files are damaged")
    return dtype


def _joint(
    name: str, held: tuple[torch.dtype, tuple[int, ...]], given: tuple[torch.dtype, tuple[int, ...]]
) -> tuple[torch.dtype, tuple[int, ...]]:
    (dtype, shape), (other, rows) = held, given
    alike = len(shape) == len(rows) > 0 and shape[:-1] == rows[:-1]
    widens = alike and name not in NAMES and dtype.is_floating_point
    if dtype != other or not (shape == rows or widens):
        raise InvalidValue(
            f"the memory's column {name!r} holds {dtype} rows of shape {shape} and was given "
            f"{other} rows of shape {rows}; bring them to one shape and dtype"
        )
    return dtype, max(shape, rows)
