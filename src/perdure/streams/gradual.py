"""Gradual: tasks that fade into each other."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from perdure.errors import InvalidValue
from perdure.streams.joined import joined, shuffled_within
from perdure.streams.stream import Stream


def gradual(stream: Stream, width: float = 0.5, *, seed: int = 0) -> Stream:
    """The same stream with blurry boundaries: near one, the rows of both neighbours are mixed.

    Across a boundary the share of the next task's rows rises in a straight line from 0 to 1, over
    `width` times the smaller of the two tasks. Every row still comes exactly once; it keeps its
    label and, where the scenario gives one, the id of the task that it was made for. A task is then
    what lies between two boundaries, in a fixed order; its test rows are unchanged.

    Source: the blurry boundaries of task-free streams, Aljundi et al. 2019.

    Args:
        stream: any stream, such as split("digits", scenario="free").
        width: in (0, 1]; at 1, ramps touch in the middle of a task.
        seed: of the order within each task.

    Raises:
        InvalidValue: the width is out of range, or no stream was given.
    """
    if not isinstance(stream, Stream):
        raise InvalidValue(
            f"gradual blurs a stream and was given {type(stream).__name__}; "
            "write gradual(split('digits'), width=0.5)"
        )
    if not 0 < width <= 1:
        raise InvalidValue(f"width is {width}; it must lie in (0, 1]")
    sizes = [len(task.train) for task in stream]
    parts = [task.train for task in stream]
    order = shuffled_within(parts, seed)
    ends = torch.tensor(sizes).cumsum(0).tolist()
    for end, before, after in zip(ends, sizes, sizes[1:], strict=False):
        half = int(width * min(before, after)) // 2
        window = order[end - half : end + half].clone()
        order[end - half : end + half] = window[_ramp(half)]
    rows = joined(parts)
    tasks = [
        replace(task, train=rows.take(order[end - size : end], ordered=True))
        for task, size, end in zip(stream, sizes, ends, strict=True)
    ]
    return replace(stream, name=f"gradual {stream.name}", tasks=tuple(tasks))


def _ramp(half: int) -> Tensor:  # (2 * half,)
    """An order of two halves in which the share of the second rises in a straight line.

    Rows get times at the quantiles of densities 2 - 2u and 2u over u in [0, 1]: together they are
    even, and at time u the second has the share u.
    """
    quantile = (torch.arange(half, dtype=torch.float64) + 0.5) / half
    return torch.cat((1 - (1 - quantile).sqrt(), quantile.sqrt())).argsort(stable=True)
