"""state = fold(observe, stream): the one loop that a benchmark, a tutorial and a test share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from perdure.batch import Batch
from perdure.errors import InvalidValue
from perdure.step import Step
from perdure.streams import Stream


@dataclass(frozen=True)
class Schedule:
    """How often a learner sees each task's rows: every method gets the same.

    Args:
        batch_size: rows a batch.
        epochs: passes over each task's rows; one, unless `steps` is given.
        steps: updates a task instead, over as many shuffled passes as that takes.

    Raises:
        InvalidValue: both `epochs` and `steps`, or a number below 1.
    """

    batch_size: int = 64
    epochs: int | None = None
    steps: int | None = None

    def __post_init__(self) -> None:
        if self.epochs is None and self.steps is None:
            object.__setattr__(self, "epochs", 1)
        if self.epochs is not None and self.steps is not None:
            raise InvalidValue(f"give epochs or steps, not both: {self}")
        given = [n for n in (self.batch_size, self.epochs, self.steps) if n is not None]
        if min(given) < 1:
            raise InvalidValue(f"batch_size, epochs and steps are at least 1: {self}")

    def updates(self, rows: int) -> int:
        """Updates that a task of so many rows takes."""
        if self.steps is not None:
            return self.steps
        return -(-rows // self.batch_size) * (self.epochs or 1)


@dataclass(frozen=True)
class Position:
    """Where in the stream a fold stands: a checkpoint of the learner beside it can go on from here.

    Args:
        task: index of the task in progress.
        batch: batches of it observed so far.
        closed: whether the task has ended and was consolidated.
        step: the last update, None at a task's end.
    """

    task: int = 0
    batch: int = 0
    closed: bool = False
    step: Step | None = None


class Learns(Protocol):
    """What a fold feeds: a learner, or whatever watches one, such as `measure.Meter`."""

    def observe(self, batch: Batch) -> Step:
        """Learn from one batch."""
        ...

    def consolidate(self, data: Iterable[Batch]) -> None:
        """Close a task."""
        ...


def fold(
    learner: Learns,
    stream: Stream,
    schedule: Schedule = Schedule(),
    *,
    seed: int = 0,
    start: Position = Position(),
) -> Iterator[Position]:
    """Feed the stream to the learner, yielding after each update and after each task's end.

    In the scenario `free` no task is consolidated; a `closed` position still comes where the
    stream's builder knows that a part ended, so that a bench can measure there.

    Args:
        learner: learns.
        stream: what it learns from.
        schedule: batch size, and passes or updates a task.
        seed: of the order of rows; with the same seed the order is the same.
        start: continue from here; earlier batches are skipped without being read.
    """
    for index, task in enumerate(stream.tasks):
        if index < start.task or (index == start.task and start.closed):
            continue
        done = start.batch if index == start.task else 0
        rows = stream.training_rows(index)
        batches = rows.batches(
            schedule.batch_size,
            seed=seed * 1_000_003 + index,
            epochs=schedule.epochs,
            steps=schedule.steps,
            start=done,
        )
        at = Position(index, done)
        for batch in batches:
            at = replace(at, batch=at.batch + 1, step=learner.observe(batch))
            yield at
        if stream.scenario.boundaries:
            learner.consolidate(task.train)
        yield replace(at, closed=True, step=None)
