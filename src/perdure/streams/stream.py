"""What a learner is folded over: tasks in a row, or one unbroken sequence of batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from perdure.batch import Batch
from perdure.errors import InvalidValue
from perdure.scenario import Scenario
from perdure.streams.draws import stratified
from perdure.streams.joined import joined, shuffled_within
from perdure.streams.rows import Rows


@dataclass(frozen=True, eq=False)
class Task:
    """Rows that belong together, to learn from and to be measured on.

    Args:
        id: its place in the stream, from 0.
        name: for people, such as "Dress+Trouser" or "45°".
        train: the rows to learn from.
        test: the rows to measure on, never learned from.
        valid: rows held out of `train`, to tune on.
        classes: the ids of its classes: the data set's own, in the order of the task.

    Raises:
        InvalidValue: there are no rows to learn from, or none to measure on.
    """

    id: int
    name: str
    train: Rows
    test: Rows
    valid: Rows | None = None
    classes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not len(self.train) or not len(self.test):
            raise InvalidValue(
                f"task {self.id} ({self.name}) has {len(self.train)} rows to learn from and "
                f"{len(self.test)} to measure on; it needs some of both"
            )


@dataclass(frozen=True, eq=False)
class Stream:
    """Tasks in the order in which they come.

    Training rows carry the id of their task in every scenario but `free`.

    Args:
        name: how it was built, such as "split mnist".
        scenario: what is known when a prediction is asked for.
        tasks: at least one, ids 0, 1, ...
        classes: outputs that the model needs: in `task` a head, in the others all of them.

    Raises:
        InvalidValue: no tasks, or ids that do not count up from 0.
    """

    name: str
    scenario: Scenario
    tasks: tuple[Task, ...]
    classes: int

    def __post_init__(self) -> None:
        ids = [task.id for task in self.tasks]
        if not ids or ids != list(range(len(ids))):
            raise InvalidValue(f"{self.name}: task ids are {ids}; they count up from 0")

    def __iter__(self) -> Iterator[Task]:
        return iter(self.tasks)

    def __len__(self) -> int:
        return len(self.tasks)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one input as the learner gets it, such as (1, 28, 28)."""
        return tuple(self.tasks[0].train.batch(torch.tensor([0])).x.shape[1:])

    def training_rows(self, index: int) -> Rows:
        """The rows that the task at this place brings."""
        return self.tasks[index].train

    def sequence(self, size: int, *, seed: int = 0, start: int = 0) -> Iterator[Batch]:
        """Every training row once, with no break between tasks: a batch may span two.

        Rows are shuffled within their task, unless their order is part of the stream.

        Args:
            size: rows a batch.
            seed: of the order within each task.
            start: batches to skip without reading them.
        """
        parts = [task.train for task in self.tasks]
        rows = joined(parts).take(shuffled_within(parts, seed))
        return rows.batches(size, seed=seed, epochs=1, start=start)

    def holdout(self, fraction: float, seed: int = 0) -> Stream:
        """The same stream with a share of each task's training rows held out as `valid`.

        A row that several tasks show, each in its own way, is held out of all of them or of none.

        Args:
            fraction: in (0, 1), of each class of each task.
            seed: of the choice.

        Raises:
            InvalidValue: the fraction is out of range, or rows are held out already.
        """
        tasks, choice = [], _Choice(fraction, seed)
        for task in self.tasks:
            if task.valid is not None:
                raise InvalidValue(f"task {task.id} ({task.name}) has held-out rows already")
            held = choice.of(task.train)
            tasks.append(replace(task, train=task.train.take(~held), valid=task.train.take(held)))
        return replace(self, tasks=tuple(tasks))

    def describe(self) -> str:
        """The stream in words: two lines, then one a task."""
        lines = [
            f"{self.name}: scenario {self.scenario}, {len(self)} tasks",
            f"  input {self.input_shape}, outputs {self.classes}",
        ]
        for task in self.tasks:
            held = "" if task.valid is None else f" + {len(task.valid)} held out"
            rows = f"{len(task.train)} rows{held}, {len(task.test)} test"
            lines.append(f"  {task.id}  {task.name}: {rows}")
        return "\n".join(lines)


class _Choice:
    """Which rows are held out: decided once for each, whatever tasks show it."""

    def __init__(self, fraction: float, seed: int) -> None:
        self.fraction, self.seed = fraction, seed
        self._of: dict[int, tuple[Tensor, Tensor]] = {}  # by inputs: which are decided, and held

    def of(self, rows: Rows) -> Tensor:  # (n,) bool
        """Whether each of these rows is held out."""
        index = torch.arange(len(rows)) if rows.index is None else rows.index.cpu()
        none = torch.zeros(len(rows.x), dtype=torch.bool)
        decided, held = self._of.setdefault(id(rows.x), (none, none.clone()))
        fresh = ~decided[index]
        _, picked = stratified(rows.labels().cpu()[fresh], self.fraction, self.seed)
        held[index[fresh][picked]] = True
        decided[index] = True
        return held[index]


def scenario_named(name: Scenario | str) -> Scenario:
    """The scenario of this name.

    Raises:
        InvalidValue: there is none; the message lists those there are.
    """
    known = [scenario.value for scenario in Scenario]
    if name not in known:
        raise InvalidValue(f"scenario is {name!r}; it must be one of {', '.join(known)}")
    return Scenario(name)
