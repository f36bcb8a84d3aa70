"""Every class its share, and of each class a uniform sample."""

from __future__ import annotations

from typing import get_args

import torch

from perdure.batch import Batch
from perdure.errors import InvalidValue
from perdure.memory.memory import By
from perdure.memory.ranked import Ranked


class Balanced(Ranked):
    """Equal shares for all groups, and of each group a uniform sample of all its rows ever added.

    A new group takes its room from the largest ones, so the memory is full from the first
    `capacity` rows on. Each row draws a uniform key when it comes, and a group holds the rows with
    its smallest keys, which is a uniform sample at any time, after an erasure too.

    Source: the shares are those of Chrysakis & Moens 2020, "Online continual learning from
    imbalanced data", algorithm 1.

    Args:
        capacity: rows at most, >= 1.
        by: what a group is: a "class" (label), a "task" (id), or a "group": a label within a task,
            or a label alone where rows have no task ids.
        quota: rows a group at most, >= 1; None sets no limit but the share.

    Raises:
        InvalidValue: an argument out of range.

    Example:
        >>> memory = Balanced(capacity=6)
        >>> memory.add(Batch(torch.arange(90), torch.arange(90) // 80))
        >>> memory.group_counts()
        {0: 3, 1: 3}
    """

    def __init__(self, capacity: int, by: By = "class", quota: int | None = None) -> None:
        if by not in get_args(By):
            raise InvalidValue(f"Balanced: by is {by!r}; it must be one of {get_args(By)}")
        super().__init__(capacity, by, quota)

    def add(self, batch: Batch) -> None:
        """Offer rows, each of them for the first time."""
        self.merge(batch, torch.rand(len(batch), generator=self.rng, dtype=torch.float64))
