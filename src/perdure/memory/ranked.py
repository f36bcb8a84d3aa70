"""What balanced and herded memories share: equal room for each group, best rows first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from perdure.batch import Batch
from perdure.errors import check_range
from perdure.memory.memory import By, Memory, group_ids


class Ranked(Memory):
    """Of each group the rows with the smallest keys; groups have equal shares of the capacity.

    A group that is smaller than its share leaves room to the others. Once a group dropped a row, no
    row of an equal or larger key enters it any more: the rows held of a group are always all those
    with keys below its limit, so that uniform random keys make them a uniform sample of the group.

    Args:
        capacity: rows at most, >= 1.
        by: what a group is.
        quota: rows a group at most, >= 1; None sets no limit but the share.
    """

    keeps: ClassVar[tuple[str, ...]] = ("keys", "ids", "groups", "limits")

    def __init__(self, capacity: int, by: By, quota: int | None = None) -> None:
        super().__init__(capacity, by)
        check_range(type(self).__name__, "quota", 1 if quota is None else quota, 1, float("inf"))
        self.quota = quota
        self.keys = torch.empty(0, dtype=torch.float64)  # (rows held,)
        self.ids = torch.empty(0, dtype=torch.long)  # (rows held,)
        self.groups = torch.empty(0, dtype=torch.long)  # (groups that dropped rows,), ascending
        self.limits = torch.empty(0, dtype=torch.float64)  # (groups that dropped rows,)

    def merge(self, batch: Batch, keys: Tensor) -> None:
        """Offer rows with their keys (n,) float64."""
        ids = group_ids(batch, self.by)
        entering = (keys < self._limits_of(ids)).nonzero()[:, 0]
        if not len(entering):
            return
        all_ids = torch.cat((self.ids, ids[entering]))
        all_keys = torch.cat((self.keys, keys[entering]))
        kept, held = self._smallest(all_ids, all_keys), len(self)
        freed = (~kept[:held]).nonzero()[:, 0]
        chosen = kept[held:].nonzero()[:, 0]
        slots = torch.cat((freed, torch.arange(held, held + len(chosen) - len(freed))))
        self.storage.write(slots, batch, entering[chosen])
        source = torch.arange(len(self))
        source[slots] = held + chosen
        self.ids, self.keys = all_ids[source], all_keys[source]

    def _keep(self, slots: Tensor) -> None:
        super()._keep(slots)
        self.ids, self.keys = self.ids[slots], self.keys[slots]

    def _limits_of(self, ids: Tensor) -> Tensor:
        """The key that each row (n,) must stay below: infinity where its group dropped none."""
        limits = torch.full(ids.shape, torch.inf, dtype=torch.float64)
        if len(self.groups):
            at = torch.searchsorted(self.groups, ids).clamp_(max=len(self.groups) - 1)
            limits = torch.where(self.groups[at] == ids, self.limits[at], limits)
        return limits

    def _smallest(self, ids: Tensor, keys: Tensor) -> Tensor:
        """Mask (n,) of the rows that fit; sets the limits of the groups that lose rows."""
        order = keys.argsort()
        order = order[ids[order].argsort(stable=True)]
        groups, sizes = ids[order].unique_consecutive(return_counts=True)
        shares = torch.tensor(equal_shares(sizes.tolist(), self.capacity, self.quota))
        start = sizes.cumsum(0) - sizes
        rank = torch.arange(len(ids)) - start.repeat_interleave(sizes)
        kept = torch.empty(len(ids), dtype=torch.bool)
        kept[order] = rank < shares.repeat_interleave(sizes)
        losing = shares < sizes
        dropped = keys[order[(start + shares)[losing]]]
        self.groups, at = torch.cat((self.groups, groups[losing])).unique(return_inverse=True)
        limits = torch.full(self.groups.shape, torch.inf, dtype=torch.float64)
        self.limits = limits.scatter_reduce(0, at, torch.cat((self.limits, dropped)), "amin")
        return kept


def equal_shares(sizes: Sequence[int], capacity: int, quota: int | None = None) -> list[int]:
    """Rows for each group: as equal as its size allows, at most `capacity` in all.

    Of two groups of one size that cannot have the same, the later has one row more.
    """
    shares, room = [0] * len(sizes), capacity
    ascending = sorted(range(len(sizes)), key=lambda group: sizes[group])
    for done, group in enumerate(ascending):
        fair = room // (len(sizes) - done)
        shares[group] = min(sizes[group], fair if quota is None else min(fair, quota))
        room -= shares[group]
    return shares
