"""Measuring what methods spend at boundaries, where some of them make thousands of updates."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from torch.utils.flop_counter import FlopCounterMode

from perdure.batch import Batch
from perdure.learner import Learner
from perdure.measure import Cost, Meter
from perdure.step import Step


class BoundaryMeter(Meter):
    """A meter that samples the updates which a method makes in `consolidate`, like any others.

    A plain meter counts the FLOPs of all of them, which makes retraining a small network ten times
    as slow as it is. Here the first update at a boundary is counted and every `every`-th after it;
    the others are charged their mean, and counted ones the mean time of the others. What a method
    does there beside updates, such as a Fisher information, is counted in full.

    Args:
        learner: as of `Meter`.
        every: as of `Meter`.
    """

    def __init__(self, learner: Learner, every: int = 100) -> None:
        super().__init__(learner, every)
        self._boundaries = Cost()

    def consolidate(self, data: Batch | Iterable[Batch] | None = None) -> None:
        """`Learner.consolidate`, measured."""
        read = None if data is None else _Reading([data] if isinstance(data, Batch) else data)
        counter = _Counter()
        updates = _Updates(self.learner.update, counter, self.every)
        vars(self.learner)["update"] = updates
        try:
            with counter.counting():
                self.learner.consolidate(read)
        finally:
            del vars(self.learner)["update"]
        rows = 0 if read is None else read.rows
        self._boundaries += updates.cost + Cost(counter.flops, counter.flops, rows=rows)

    @property
    def cost(self) -> Cost:
        """What was spent so far."""
        return super().cost + self._boundaries


class _Updates:
    """Stands for `learner.update` at one boundary: counts some updates and times the others."""

    def __init__(self, update: Callable[[Batch], Step], counter: _Counter, every: int) -> None:
        self.update = update
        self.counter = counter
        self.every = every
        self.counted = Cost()
        self.plain = Cost()

    def __call__(self, batch: Batch) -> Step:
        due = (self.counted.updates + self.plain.updates) % self.every == 0
        own = _Counter()
        with self.counter.paused():
            seconds, cpu = time.perf_counter(), time.process_time()
            if due:
                with own.counting():
                    step = self.update(batch)
            else:
                step = self.update(batch)
            seconds, cpu = time.perf_counter() - seconds, time.process_time() - cpu
        spent = Cost(own.flops, own.flops, seconds, cpu, rows=len(step.batch), updates=1)
        if due:
            self.counted += spent
        else:
            self.plain += spent
        return step

    @property
    def cost(self) -> Cost:
        """FLOPs and rows; of seconds only what corrects those of the whole block."""
        counted, plain = self.counted, self.plain
        if not plain.updates:
            return Cost(counted.flops, counted.flops, rows=counted.rows)
        alike = counted.updates / plain.updates
        return Cost(
            counted.flops + plain.updates * counted.flops // counted.updates,
            counted.flops,
            alike * plain.seconds - counted.seconds,
            alike * plain.cpu_seconds - counted.cpu_seconds,
            counted.rows + plain.rows,
        )


class _Counter:
    """FLOPs of what runs while it counts."""

    def __init__(self) -> None:
        self.flops = 0
        self._mode = FlopCounterMode(display=False)

    @contextmanager
    def counting(self) -> Iterator[None]:
        self._mode.__enter__()
        try:
            yield
        finally:
            self._stop()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave out what runs meanwhile."""
        self._stop()
        try:
            yield
        finally:
            self._mode.__enter__()

    def _stop(self) -> None:
        self._mode.__exit__(None, None, None)
        self.flops += self._mode.get_total_flops()


class _Reading:
    """Batches as often as they are iterated over, and how many rows that came to."""

    def __init__(self, batches: Iterable[Batch]) -> None:
        self.batches = batches
        self.rows = 0

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.batches:
            self.rows += len(batch)
            yield batch
