"""A bounded store of rows: a policy says which rows stay, a storage holds them."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Generator, Tensor

from perdure.batch import Batch
from perdure.errors import CheckpointMismatch, InvalidValue, check_range
from perdure.memory.ram import RamStorage
from perdure.memory.storage import Storage

By = Literal["class", "task", "group"]
Grouping = By | Literal["source"]
TASK_BITS = 32


class Memory(ABC):
    """At most `capacity` rows of all that were added; a subclass says which.

    Constructor arguments are kept under their own names, so that `repr` round-trips. Every memory
    draws from its own generator, which is part of its state.

    Args:
        capacity: rows at most, >= 1.
        by: how `group_counts` groups rows.

    Raises:
        InvalidValue: the capacity is below 1.
    """

    keeps: ClassVar[tuple[str, ...]] = ()
    """Attributes, tensors or plain values, that are state beside the rows and the generator."""

    def __init__(self, capacity: int, by: Grouping = "class") -> None:
        check_range(type(self).__name__, "capacity", capacity, 1, float("inf"))
        self.capacity = capacity
        self.by: Grouping = by
        self.storage: Storage = RamStorage(capacity)
        self.rng = Generator().manual_seed(0)

    @abstractmethod
    def add(self, batch: Batch) -> None:
        """Offer rows, each of them for the first time; the policy keeps some and drops some.

        Raises:
            InvalidValue: the rows have other columns or shapes than those held.
        """

    def add_all(self, data: Iterable[Batch], features: Callable[[Tensor], Tensor]) -> None:
        """Offer all rows of a task; `features` maps raw inputs to (n, d) for policies that look."""
        for batch in data:
            self.add(batch)

    def sample(self, rows: int) -> Batch | None:
        """`rows` independent uniform draws from the rows held; None from an empty memory."""
        if len(self) == 0:
            return None
        return self.storage.read(torch.randint(len(self), (rows,), generator=self.rng))

    def rows(self) -> Batch | None:
        """A copy of all rows held; None from an empty memory."""
        return None if len(self) == 0 else self.storage.read(torch.arange(len(self)))

    def column(self, name: str) -> Tensor | None:
        """A copy of one column of all rows held, (n, ...); None where no row has it.

        Args:
            name: "x", "y", "task", or an extra's name.
        """
        return self.storage.column(name)

    def move(self, storage: Storage) -> None:
        """Let the rows lie in another storage from now on, and leave none of them in the old one.

        Which rows are held, drawn and saved does not depend on the storage.

        Args:
            storage: empty, of this memory's capacity, and of no other memory.

        Raises:
            InvalidValue: it has rows, or another capacity.
        """
        if storage.capacity != self.capacity or len(storage):
            raise InvalidValue(
                f"{self!r} cannot move to a storage of capacity {storage.capacity} with "
                f"{len(storage)} rows; give it one with capacity={self.capacity} and no row"
            )
        storage.load_state_dict(self.storage.state_dict())
        left, self.storage = self.storage, storage
        left.keep(torch.empty(0, dtype=torch.long))

    def erase(self, rows: Tensor) -> int:
        """Forget rows for good, given as a mask or an index into `rows()`; says how many.

        Raises:
            InvalidValue: a mask of another length, or an index out of range.
        """
        if rows.dtype == torch.bool and len(rows) != len(self):
            raise InvalidValue(f"a mask of {len(rows)} rows was given; the memory has {len(self)}")
        if rows.dtype != torch.bool and rows.numel() and int(rows.max()) >= len(self):
            raise InvalidValue(f"row {int(rows.max())} was named; the memory has {len(self)}")
        kept = torch.ones(len(self), dtype=torch.bool)
        kept[rows.cpu()] = False
        self._keep(kept.nonzero()[:, 0])
        return int((~kept).sum())

    def expire(self, rows: Tensor) -> int:
        """Erase rows that stand for a part of the past that is over, such as all that is old.

        The memory fills up again as if what is over had never come; until it has, rows that come
        are held more often than those that stay. After `erase` every row is held equally often, and
        a memory that has seen many rows fills up slowly.

        Raises:
            InvalidValue: a mask of another length, or an index out of range.
        """
        return self.erase(rows)

    def group_counts(self) -> dict[int | tuple[int, int], int]:
        """Rows held of each group: by label, by task id, by (task id, label), or by source."""
        y, source = self.column("y"), self.column("source")
        if y is None or not len(y):
            return {}
        extras = {} if source is None else {"source": source}
        held = Batch(y, y, self.column("task"), extras)  # groups do not depend on x
        ids, counts = group_ids(held, self.by).unique(return_counts=True)
        names = [_group_name(group, self.by) for group in ids.tolist()]
        return dict(zip(names, counts.tolist(), strict=True))

    def bytes(self) -> int:
        """Bytes of memory taken by the rows and by what the policy knows of them."""
        known = [getattr(self, key) for key in self.keeps]
        return self.storage.bytes() + sum(
            t.numel() * t.element_size() for t in known if isinstance(t, Tensor)
        )

    def seed(self, seed: int) -> None:
        """Start the memory's own generator anew."""
        self.rng = Generator().manual_seed(seed)

    def state_dict(self) -> dict[str, Any]:
        """Rows, generator and what the policy knows, as tensors and plain values."""
        own = {key: getattr(self, key) for key in self.keeps}
        return {"rows": self.storage.state_dict(), "rng": self.rng.get_state(), **own}

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device | str = "cpu") -> None:
        """Restore what `state_dict` gave; rows stay in their storage, whatever the device.

        Raises:
            CheckpointMismatch: another policy wrote it, or it holds more rows than fit.
        """
        expected = {"rows", "rng", *self.keeps}
        if set(state) != expected:
            raise CheckpointMismatch(
                f"{self!r} expects state {sorted(expected)} and the checkpoint has {sorted(state)}"
            )
        self.storage.load_state_dict(state["rows"])
        self.rng.set_state(state["rng"].cpu())
        for key in self.keeps:
            value = state[key]
            setattr(self, key, value.cpu().clone() if isinstance(value, Tensor) else value)

    def _keep(self, slots: Tensor) -> None:
        """Keep these rows alone, in this order."""
        self.storage.keep(slots)

    def __len__(self) -> int:
        return len(self.storage)

    def __repr__(self) -> str:
        parameters = inspect.signature(type(self)).parameters.values()
        given = [(p.name, getattr(self, p.name), p.default) for p in parameters]
        said = [f"{name}={value!r}" for name, value, default in given if value != default]
        return f"{type(self).__name__}({', '.join(said)})"


def group_ids(batch: Batch, by: Grouping) -> Tensor:  # (n,) int64
    """One number for each row's group: its label, its task id, both ("group"), or its source.

    Raises:
        InvalidValue: the rows lack the labels, task ids or sources that they are to be grouped by.
    """
    if by == "source":
        if "source" not in batch.extras:
            raise InvalidValue('rows without an extra "source" (n,) int64 cannot be grouped by it')
        return batch.extras["source"].cpu()
    if by == "task":
        if batch.task is None:
            raise InvalidValue("rows without task ids cannot be grouped by task; give task=...")
        return batch.task.cpu()
    if batch.y.ndim != 1 or torch.is_floating_point(batch.y):
        raise InvalidValue(
            f"targets of shape {tuple(batch.y.shape)} and dtype {batch.y.dtype} are no class "
            "labels to group rows by; use a Reservoir, or group by task"
        )
    if by == "class" or batch.task is None:
        return batch.y.cpu()
    return ((batch.task.cpu() + 1) << TASK_BITS) + batch.y.cpu()


def _group_name(group: int, by: Grouping) -> int | tuple[int, int]:
    """The label or task id behind a number of `group_ids`, or (task id, label)."""
    task, label = divmod(group, 1 << TASK_BITS)
    return (task - 1, label) if by == "group" and task else group
