"""Rows of several kinds as one, each drawn with its own transform and task id."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from perdure.streams.draws import seeded
from perdure.streams.rows import Rows


def joined(parts: Sequence[Rows]) -> Rows:
    """All rows of the parts, one part after the other; nothing but the labels is copied.

    Where a part reads ahead in workers, the joined rows do not.
    """
    tasks = [_task_ids(part) for part in parts]
    known = [task for task in tasks if task is not None]
    task = torch.cat(known) if len(known) == len(parts) else None
    shared = _shared_index(parts)
    if shared is None:
        y = torch.cat([part.labels() for part in parts])
        return Rows(_Joined(parts), y, task=task, ordered=True)
    x, y = parts[0].x, parts[0].y
    if task is not None:
        task = torch.full((len(y),), -1, device=y.device).index_copy(0, shared, task)
    return Rows(x, y, task=task, index=shared, ordered=True)


def _shared_index(parts: Sequence[Rows]) -> Tensor | None:
    """The positions of all rows, where the parts are disjoint rows of one and the same tensor."""
    first = parts[0]
    index = [part.index for part in parts if part.index is not None and part.transform is None]
    same = all(part.x is first.x and part.y is first.y for part in parts)
    if not same or not isinstance(first.x, Tensor) or len(index) < len(parts):
        return None
    positions = torch.cat(index)
    return positions if len(positions.unique()) == len(positions) else None


def shuffled_within(parts: Sequence[Rows], seed: int) -> Tensor:  # (rows,)
    """The order of joined rows in which each part stays in its place and is shuffled by itself.

    A part whose order belongs to the stream is not shuffled.
    """
    orders, first = [], 0
    for number, part in enumerate(parts):
        shuffled = torch.randperm(len(part), generator=seeded(seed, "within", number))
        orders.append(first + (torch.arange(len(part)) if part.ordered else shuffled))
        first += len(part)
    return torch.cat(orders)


def _task_ids(part: Rows) -> Tensor | None:  # (n,)
    if part.task is None:
        return None
    if isinstance(part.task, Tensor):
        return part.task if part.index is None else part.task[part.index]
    return torch.full((len(part),), part.task, device=part.y.device)


class _Joined:
    def __init__(self, parts: Sequence[Rows]) -> None:
        self.parts = tuple(parts)
        self.ends = torch.tensor([len(part) for part in parts]).cumsum(0)

    def __len__(self) -> int:
        return int(self.ends[-1])

    def gather(self, index: Tensor) -> Tensor:
        index = index.cpu()
        owner = torch.bucketize(index, self.ends, right=True)  # (n,) the part of each row
        drawn: list[tuple[Tensor, Tensor]] = []
        for number in owner.unique().tolist():
            where = (owner == number).nonzero().flatten()
            first = int(self.ends[number - 1]) if number else 0
            drawn.append((where, self.parts[number].batch(index[where] - first).x))
        if len(drawn) == 1:
            return drawn[0][1]
        x = drawn[0][1].new_empty((len(index), *drawn[0][1].shape[1:]))
        for where, part in drawn:
            x[where] = part
        return x

    def draw(self, indices: Iterable[Tensor]) -> Iterator[Tensor]:
        return map(self.gather, indices)
