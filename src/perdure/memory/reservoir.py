"""A uniform sample of everything that ever came."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from perdure.batch import Batch
from perdure.memory.memory import Memory

Index = NDArray[np.int64]


class Reservoir(Memory):
    """A uniform sample of all rows ever added: each is held with the same probability.

    Row number t (from 1) enters with probability min(1, capacity / t), in place of a row drawn
    uniformly. A slot that an erasure emptied stays one of the slots to draw, so that the rows held
    are a uniform sample of those never erased, and the memory fills again as rows come.

    Source: Vitter 1985, "Random sampling with a reservoir", algorithm R.

    Args:
        capacity: rows at most, >= 1.

    Example:
        >>> memory = Reservoir(capacity=3)
        >>> memory.add(Batch(torch.arange(10), torch.arange(10)))
        >>> len(memory), memory.seen
        (3, 10)
    """

    keeps: ClassVar[tuple[str, ...]] = ("seen",)

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self.seen = 0

    def add(self, batch: Batch) -> None:
        """Offer rows, each of them for the first time."""
        count, filling = len(batch), max(0, self.capacity - self.seen)
        holes = len(self) < min(self.seen, self.capacity)
        number = np.arange(self.seen + 1, self.seen + count + 1)
        draws = torch.rand(count, generator=self.rng, dtype=torch.float64).numpy()
        slots = (draws * number).astype(np.int64)
        slots[:filling] = number[:filling] - 1
        self.seen += count
        entering = (slots < self.capacity).nonzero()[0]
        if not len(entering):
            return
        slots = slots[entering]
        if holes:
            slots, entering = self._closed(slots, entering)
        # Of several rows that draw one slot the last stays, as if they had come one by one.
        self.storage.write(torch.from_numpy(slots), batch, torch.from_numpy(entering))

    def expire(self, rows: Tensor) -> int:
        """Erase rows of a past that is over: of all rows seen, the share that stays counts on.

        Raises:
            InvalidValue: a mask of another length, or an index out of range.
        """
        before = len(self)
        erased = self.erase(rows)
        self.seen = round(self.seen * len(self) / max(1, before))
        return erased

    def _closed(self, slots: Index, rows: Index) -> tuple[Index, Index]:
        """The last row for each slot, those for empty slots in the first ones of these."""
        drawn, last = np.unique(slots[::-1], return_index=True)
        full = int((drawn < len(self)).sum())
        drawn[full:] = np.arange(len(self), len(self) + len(drawn) - full)
        return drawn, rows[::-1][last]
