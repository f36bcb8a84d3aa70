"""The few rows whose mean feature comes closest to that of their whole class."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from perdure.batch import Batch
from perdure.errors import InvalidValue
from perdure.learner import Learner
from perdure.memory.memory import Memory, group_ids
from perdure.memory.ranked import Ranked, equal_shares


class Herding(Ranked):
    """Equal shares for all groups, and of each group the exemplars that herding picks first.

    Exemplars are ordered, and a group whose share shrinks drops its last ones. Rows of a group that
    comes again are merged with its exemplars in proportion to the rows that each were picked from.

    Source: Rebuffi et al. 2017, "iCaRL", algorithms 4 and 5, https://arxiv.org/abs/1611.07725.

    Args:
        capacity: rows at most, >= 1. A group is a label within a task, or a label alone where rows
            have no task ids.
        quota: rows a group at most, >= 1; None sets no limit but the share.

    Example:
        >>> memory = Herding(capacity=2)
        >>> rows = Batch(torch.arange(3), torch.zeros(3).long())
        >>> memory.add(rows.with_extras(features=torch.tensor([[0.0, 1], [1, 1], [1, 0]])))
        >>> memory.rows().x
        tensor([1, 0])
    """

    def __init__(self, capacity: int, quota: int | None = None) -> None:
        super().__init__(capacity, "group", quota)

    def add(self, batch: Batch) -> None:
        """Choose among rows that come with an extra column `features` (n, d), which is not kept.

        Raises:
            InvalidValue: the column is missing.
        """
        if "features" not in batch.extras:
            raise InvalidValue("Herding chooses by features: add_all(data, learner.features)")
        features = batch.extras["features"]
        extras = {name: held for name, held in batch.extras.items() if name != "features"}
        ids = group_ids(batch, self.by)
        groups, sizes = torch.cat((self.ids, ids)).unique(return_counts=True)
        shares = equal_shares(sizes.tolist(), self.capacity, self.quota)
        picked, keys = [torch.empty(0).long()], [torch.empty(0, dtype=torch.float64)]
        for group, share in zip(groups.tolist(), shares, strict=True):
            members = (ids == group).nonzero()[:, 0]
            order = herd(features[members.to(features.device)], share).cpu()
            picked.append(members[order])
            keys.append(torch.arange(1, len(order) + 1, dtype=torch.float64) / len(members))
        self.merge(replace(batch, extras=extras)[torch.cat(picked)], torch.cat(keys))

    def add_all(self, data: Iterable[Batch], features: Callable[[Tensor], Tensor]) -> None:
        """Choose among all rows of a task."""
        parts = [rows.with_extras(features=embed(features, rows.x)) for rows in data if len(rows)]
        if parts:
            self.add(_joined(parts))


def herd(features: Tensor, rows: int) -> Tensor:  # (n, d) -> (min(rows, n),) int64
    """The rows whose running mean stays closest to the mean of all, in the order of their choice.

        p_k = argmin over x of || mu - (phi(x) + sum_{j<k} phi(p_j)) / k ||

    Features and their mean mu are scaled to unit length; no row is chosen twice.

    Source: Rebuffi et al. 2017, algorithm 4.
    """
    unit = F.normalize(features, dim=1)  # (n, d)
    mean = F.normalize(unit.mean(0), dim=0)  # (d,)
    # Up to terms that are the same for all rows, the squared distance times k^2 is -2 * closeness.
    toward = unit @ mean
    closeness = toward - unit.square().sum(1) / 2
    picks = []
    for _ in range(min(rows, len(unit))):
        pick = closeness.argmax()
        picks.append(pick)
        closeness += toward - unit @ unit[pick]
        closeness[pick] = -torch.inf
    return torch.stack(picks) if picks else torch.empty(0).long()


def embed(features: Callable[[Tensor], Tensor], x: Tensor, rows: int = 512) -> Tensor:  # (n, d)
    """`features` of raw inputs (n, ...), so many rows at a time, so that activations stay small."""
    return torch.cat([features(part) for part in x.split(rows)])


def feature_sums(
    rows: Batch, features: Callable[[Tensor], Tensor], classes: int
) -> Tensor:  # (classes, d)
    """The sum over each label's rows of their features at unit length, for labels from 0 on."""
    unit = F.normalize(embed(features, rows.x), dim=1)  # (n, d)
    sums = unit.new_zeros(max(classes, int(rows.y.max()) + 1), unit.shape[1])
    return sums.index_add_(0, rows.y.to(unit.device), unit)


def class_means(learner: Learner, memory: Memory, classes: int) -> Tensor | None:  # (classes, d)
    """The mean feature of each label's rows, at unit length; zero where there are none of it.

    None from an empty memory. Means are those of the rows of all ranks together.
    """
    rows = memory.rows()
    if rows is None:
        return None
    sums = learner.engine.average({"sums": feature_sums(rows, learner.features, classes)})["sums"]
    return F.normalize(sums, dim=1)


def _joined(parts: list[Batch]) -> Batch:
    """All rows in order, by halves, so that each is copied log n times and not n."""
    if len(parts) == 1:
        return parts[0]
    half = len(parts) // 2
    return _joined(parts[:half]) + _joined(parts[half:])
