"""New instances and classes: a long stream of small batches, each of one class or few."""

from __future__ import annotations

import heapq

import torch
from torch import Generator, Tensor

from perdure.errors import InvalidValue
from perdure.scenario import Scenario
from perdure.streams.data import as_data
from perdure.streams.dataset import Data
from perdure.streams.draws import seeded
from perdure.streams.rows import Rows
from perdure.streams.stream import Stream, Task

FIRST = 0.2
"""Share of the classes that the first batch has: CORe50's ten of fifty."""
INTRODUCED = 2 / 3
"""Share of the small batches over which the other classes come in, evenly."""


def nic(
    dataset: str | Data,
    batches: int = 391,
    first: int | None = None,
    *,
    classes: int = 1,
    seed: int = 0,
) -> Stream:
    """A first batch of some classes, then many small ones that bring new classes and old ones anew.

    Each class's rows are dealt into sessions of about the same size. The first batch has one
    session of each of its classes, every later one has `classes` sessions; a session comes once,
    so every row does. Classes that the first batch lacks come in evenly over the first two thirds
    of the stream; between and after them, sessions of known classes are drawn at random. Labels are
    the data set's own, and a batch is a task of the scenario `class`. All tasks share one test set,
    the whole: a matrix of tasks says nothing here, a curve over batches does.

    Source: NICv2-391 of CORe50, Lomonaco, Maltoni & Pellegrini 2020,
    https://arxiv.org/abs/1907.03799: 50 classes in 8 sessions, 10 of these 400 in the first batch
    and one in each of 390. With 50 classes of equal size, the defaults are that.
    Differs: a session there is a video, here a random part of a class; the paper's own order of
    sessions, and so where each class first comes in, is not reproduced.

    Args:
        dataset: a name that `load` knows, or the data.
        batches: how many, >= 2, the first included.
        first: classes of the first batch; None takes a fifth of all.
        classes: sessions of a later batch, and so the classes that it has at most.
        seed: of the order of classes, the dealing of rows and the order of sessions.

    Raises:
        InvalidValue: a number out of range, too few sessions for a class to have one, or too few
            rows for a session to have one.
        Impossible: the data set is a regression.

    Example:
        >>> stream = nic("digits", batches=40)
        >>> len(stream), stream.tasks[0].classes, len(stream.tasks[0].test)
        (40, (9, 1), 359)
    """
    data = as_data(dataset)
    data.need_classes("a stream of new instances and classes")
    generator = seeded(seed, "nic")
    there = data.train_y.unique()
    order = there[torch.randperm(len(there), generator=generator)].tolist()
    first = max(round(FIRST * len(order)), 1) if first is None else first
    _check(data, order, batches, first, classes)
    parts = _batches(data.train_y, order, batches, first, classes, generator)
    test = Rows(data.test_x, data.test_y)
    made = [
        Task(
            t,
            f"batch {t}",
            Rows(data.train_x, data.train_y, task=t, index=torch.cat([rows for _, rows in part])),
            test,
            classes=tuple(dict.fromkeys(c for c, _ in part)),
        )
        for t, part in enumerate(parts)
    ]
    return Stream(f"nic-{batches} {data.name}", Scenario.CLASS, tuple(made), data.outputs)


def _check(data: Data, order: list[int], batches: int, first: int, classes: int) -> None:
    if batches < 2 or classes < 1 or not 1 <= first <= len(order):
        raise InvalidValue(
            "batches are at least 2, classes at least 1, first in "
            f"[1, {len(order)}]: {batches=}, {classes=}, {first=}"
        )
    sessions, rows = first + (batches - 1) * classes, len(data.train_y)
    if not len(order) <= sessions <= rows:
        raise InvalidValue(
            f"{batches} batches take {sessions} sessions ({first} + {batches - 1} x {classes}) "
            f"and {data.name} has {len(order)} classes, each to have one, and {rows} rows, one a "
            "session at least; change batches, first or classes"
        )


Session = tuple[int, Tensor]  # a class, and the positions (n,) of rows


def _batches(
    y: Tensor, order: list[int], batches: int, first: int, classes: int, generator: Generator
) -> list[list[Session]]:
    """The sessions of each batch."""
    sessions = _deal(y, order, first + (batches - 1) * classes, generator)
    begin = [(c, sessions[c].pop()) for c in order[:first]]
    later = _later(order, first, sessions, generator)
    return [begin, *(later[at : at + classes] for at in range(0, len(later), classes))]


def _deal(
    y: Tensor, order: list[int], sessions: int, generator: Generator
) -> dict[int, list[Tensor]]:
    """Positions of rows by class and session: each time, the class of the longest gets one more."""
    rows = {c: (y == c).nonzero().flatten() for c in order}
    longest = [(-float(len(rows[c])), place, 1) for place, c in enumerate(order)]
    heapq.heapify(longest)
    for _ in range(sessions - len(order)):
        _, place, count = longest[0]
        heapq.heapreplace(longest, (-len(rows[order[place]]) / (count + 1), place, count + 1))
    dealt = {}
    for _, place, count in sorted(longest, key=lambda entry: entry[1]):
        own = rows[order[place]]
        shuffled = own[torch.randperm(len(own), generator=generator)]
        dealt[order[place]] = list(shuffled.tensor_split(count))
    return dealt


def _later(
    order: list[int], first: int, sessions: dict[int, list[Tensor]], generator: Generator
) -> list[Session]:
    """Every session that is left, in the order in which they come, each with its class."""
    total = sum(map(len, sessions.values()))
    waiting = order[first:]
    pace = len(waiting) / max(INTRODUCED * total, 1)  # new classes a session
    known = [(c, rows) for c in order[:first] for rows in sessions[c]]
    came: list[Session] = []
    introduced = 0
    while len(came) < total:
        if introduced < len(waiting) and (not known or introduced <= pace * len(came)):
            new = waiting[introduced]
            introduced += 1
            came.append((new, sessions[new][0]))
            known += [(new, rows) for rows in sessions[new][1:]]
        else:
            drawn = int(torch.randint(len(known), (), generator=generator))
            known[drawn], known[-1] = known[-1], known[drawn]
            came.append(known.pop())
    return came
