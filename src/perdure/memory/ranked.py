"""What balanced and herded memories share: equal room for each group, best rows first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from perdure.batch import Batch
from perdure.errors import check_range
from perdure.memory.memory import Grouping, Memory, group_ids


class Ranked(Memory):
    """Of each group the rows with the smallest keys; groups have equal shares of the capacity.

    A group that is smaller than its share leaves room to the others. Once a group dropped a row, no
    row of an equal or larger key enters it any more: the rows held of a group are always all those
    with keys below its limit, so that uniform random keys make them a uniform sample of the group.
    A group whose last row is erased begins anew.

    Args:
        capacity: rows at most, >= 1.
        by: what a group is.
        quota: rows a group at most, >= 1; None sets no limit but the share.
    """

    keeps: ClassVar[tuple[str, ...]] = ("keys", "ids", "limits")

    def __init__(self, capacity: int, by: Grouping, quota: int | None = None) -> None:
        super().__init__(capacity, by)
        check_range(type(self).__name__, "quota", 1 if quota is None else quota, 1, float("inf"))
        self.quota = quota
        self.keys = torch.empty(0, dtype=torch.float64)  # (rows held,)
        self.ids = torch.empty(0, dtype=torch.long)  # (rows held,)
        self.limits: dict[int, float] = {}  # of the groups that dropped rows

    def merge(self, batch: Batch, keys: Tensor) -> None:
        """Offer rows with their keys (n,) float64."""
        ids = group_ids(batch, self.by)
        limits = [self.limits.get(group, inf) for group in ids.tolist()]
        entering = np.flatnonzero(keys.numpy() < np.array(limits))
        if not len(entering):
            return
        all_ids = np.concatenate((self.ids.numpy(), ids.numpy()[entering]))
        all_keys = np.concatenate((self.keys.numpy(), keys.numpy()[entering]))
        kept, held = self._drop(all_ids, all_keys), len(self)
        freed, chosen = np.flatnonzero(~kept[:held]), np.flatnonzero(kept[held:])
        slots = np.concatenate((freed, np.arange(held, held + len(chosen) - len(freed))))
        rows = torch.from_numpy(entering[chosen])
        self.storage.write(torch.from_numpy(slots), batch, rows)
        source = np.arange(len(self))
        source[slots] = held + chosen
        self.ids = torch.from_numpy(all_ids[source])
        self.keys = torch.from_numpy(all_keys[source])

    def expire(self, rows: Tensor) -> int:
        """Erase rows of a past that is over: a group lets rows in by the share of it that stays.

        Raises:
            InvalidValue: a mask of another length, or an index out of range.
        """
        before = self._sizes()
        erased = self.erase(rows)
        for group, left in self._sizes().items():
            if group in self.limits:
                self.limits[group] *= before[group] / left
        return erased

    def groups(self) -> list[int]:
        """The groups that have rows here, ascending: labels, task ids, or both in one number."""
        return list(self._sizes())

    def group(self, group: int, rows: int | None = None) -> Batch:
        """A copy of the rows held of a group, or of so many of them, drawn without replacement."""
        slots = (self.ids == group).nonzero()[:, 0]
        if rows is not None:
            slots = slots[torch.randperm(len(slots), generator=self.rng)[:rows]]
        return self.storage.read(slots)

    def state_dict(self) -> dict[str, Any]:
        """Rows, generator, and each row's key and group."""
        limits = {str(group): limit for group, limit in self.limits.items()}
        return {**super().state_dict(), "limits": limits}

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device | str = "cpu") -> None:
        """Restore what `state_dict` gave.

        Raises:
            CheckpointMismatch: another policy wrote it, or it holds more rows than fit.
        """
        super().load_state_dict(state, device)
        self.limits = {int(group): limit for group, limit in state["limits"].items()}

    def _keep(self, slots: Tensor) -> None:
        before = self._sizes()
        self.ids, self.keys = self.ids[slots], self.keys[slots]
        for group in before.keys() - self._sizes().keys():
            self.limits.pop(group, None)
        super()._keep(slots)

    def _sizes(self) -> dict[int, int]:
        """Rows held of each group."""
        groups, sizes = np.unique(self.ids.numpy(), return_counts=True)
        return dict(zip(groups.tolist(), sizes.tolist(), strict=True))

    def _drop(self, ids: NDArray[np.int64], keys: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Mask (n,) of the rows that fit; sets the limits of the groups that lose rows."""
        groups, sizes = np.unique(ids, return_counts=True)
        shares = equal_shares(sizes.tolist(), self.capacity, self.quota)
        kept = np.ones(len(ids), dtype=np.bool_)
        for group, size, share in zip(groups.tolist(), sizes, shares, strict=True):
            if share < size:
                members = np.flatnonzero(ids == group)
                ranked = members[np.argpartition(keys[members], share)]
                kept[ranked[share:]] = False
                self.limits[group] = float(keys[ranked[share]])
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
