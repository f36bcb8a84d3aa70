"""No source more than its share, and of the others a uniform sample."""

from __future__ import annotations

from typing import ClassVar, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from perdure.batch import Batch
from perdure.errors import InvalidValue, check_range
from perdure.memory.memory import By, Grouping
from perdure.memory.ranked import Ranked


class Capped(Ranked):
    """A uniform sample in which no source has more than a share of the capacity.

    Each row draws a uniform key when it comes. Held are, of the rows that are among the smallest
    keys of their own source, those with the smallest keys of all. So every row of a source below
    its cap is held with one and the same probability, and of a source at its cap a uniform sample
    is held, however many rows it floods the stream with.

    Args:
        capacity: rows at most, >= 1.
        share: in (0, 1]: the part of the capacity that one source may hold, and one row at least.
        by: what a source is: the extra "source" (n,) int64, or a "class", "task" or "group".

    Raises:
        InvalidValue: an argument out of range.

    Example:
        >>> memory = Capped(capacity=10, share=0.3)
        >>> source = torch.arange(100).clamp(min=80)  # 81 rows of one source, one each of others
        >>> memory.add(Batch(source, source, extras={"source": source}))
        >>> len(memory), memory.group_counts()[80]
        (10, 3)
    """

    keeps: ClassVar[tuple[str, ...]] = (*Ranked.keeps, "limit")

    def __init__(self, capacity: int, share: float = 0.5, by: Grouping = "source") -> None:
        check_range("Capped", "share", share, 0, 1, open_low=True)
        if by not in ("source", *get_args(By)):
            raise InvalidValue(f"Capped: by is {by!r}; give 'source' or one of {get_args(By)}")
        super().__init__(capacity, by)
        self.share = share
        self.cap = max(1, int(share * capacity + 1e-9))  # rows; 0.29 * 100 is a little below 29
        self.limit = 1.0  # keys that enter are smaller, whatever their source

    def add(self, batch: Batch) -> None:
        """Offer rows, each of them for the first time."""
        keys = torch.rand(len(batch), generator=self.rng, dtype=torch.float64)
        entering = keys < self.limit
        self.merge(batch[entering.to(batch.y.device)], keys[entering])

    def expire(self, rows: Tensor) -> int:
        """Erase rows of a past that is over: rows enter by the share that stays.

        Raises:
            InvalidValue: a mask of another length, or an index out of range.
        """
        before = len(self)
        erased = super().expire(rows)
        self.limit = min(1.0, self.limit * before / len(self)) if len(self) else 1.0
        return erased

    def _drop(self, ids: NDArray[np.int64], keys: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Mask (n,) of the rows that fit; sets the limit of all and those of sources at the cap."""
        order = np.lexsort((keys, ids))
        sources, first, sizes = np.unique(ids[order], return_index=True, return_counts=True)
        rank = np.arange(len(ids)) - np.repeat(first, sizes)
        ranked = order[rank < self.cap]
        ranked = ranked[np.argsort(keys[ranked])]
        if len(ranked) > self.capacity:
            self.limit = float(keys[ranked[self.capacity]])
        over = zip(sources[sizes > self.cap], order[rank == self.cap], strict=True)
        here = {*ids[ranked[: self.capacity]].tolist()}
        limits = {**self.limits, **{int(s): float(keys[row]) for s, row in over}}
        self.limits = {source: limit for source, limit in limits.items() if source in here}
        kept = np.zeros(len(ids), dtype=np.bool_)
        kept[ranked[: self.capacity]] = True
        return kept
