"""Measuring what a learner spends, with FLOPs counted on sampled updates."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from types import TracebackType
from typing import Self

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from perdure.batch import Batch
from perdure.errors import InvalidValue
from perdure.learner import Learner
from perdure.measure.cost import Cost
from perdure.measure.sampled import Sampled
from perdure.step import Step


class Meter:
    """Measures what a learner spends inside the `with` block; learn through the meter.

    Counting FLOPs makes a small update about three times as slow, so updates are sampled, those
    that a method makes at a boundary apart from those of `observe`. Updates are alike when their
    rows have one shape (recalled rows included), the model as many trainable parameters, and as
    many consolidations went before. Among alike updates the first is counted and stands for itself
    alone, since methods set up there what a task needs; so are the third and every `every`-th after
    it, and the others are charged the mean of these. Where alike updates came but none was counted
    (an odd batch before the next could be), they are charged by the row, at the mean of all counted
    updates. What a method does at a boundary beside updates, such as a Fisher information, and
    answers are always counted.

    Time is that of the whole block. A counted update is charged the mean time of the alike ones
    that were not counted, where there were any; all else is charged as it ran, counting included.

    FLOPs are those of torch's own counter: matrix products, convolutions and attention, backward
    passes included; it does not see element-wise work, nor kernels it has no formula for. Peak
    memory on a GPU is that of torch's allocator since the block began. On a CPU it is the largest
    resident size of the process **since the process started**, whatever else it did.

    Args:
        learner: whose `observe`, `consolidate` and `predict` are measured.
        every: alike updates from one counted to the next, at least 1, which counts all.

    Raises:
        InvalidValue: `every` is below 1.

    Example:
        >>> learner = Learner(torch.nn.Linear(4, 2))
        >>> with Meter(learner) as meter:
        ...     step = meter.observe(Batch(torch.zeros(8, 4), torch.zeros(8, dtype=torch.long)))
        >>> meter.cost.flops, meter.cost.rows  # 2 * 8 * 4 * 2 forward, as many for the weights
        (256, 8)
    """

    def __init__(self, learner: Learner, every: int = 100) -> None:
        if every < 1:
            raise InvalidValue(f"Meter: every is {every!r}; it must be at least 1")
        self.learner = learner
        self._observed = Sampled(every)
        self._at_boundaries = Sampled(every)
        self._beside = Cost()
        self._elapsed = Cost()
        self._entered: tuple[float, float, int] | None = None

    def __enter__(self) -> Self:
        device = self.learner.engine.device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        self._entered = (*self._now(), self.learner.updates)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._elapsed = self._elapsed_so_far()
        self._entered = None

    def observe(self, batch: Batch) -> Step:
        """`Learner.observe`, measured."""
        self._check_inside()
        return self._sampled(self._observed, self.learner.observe, batch)

    def consolidate(self, data: Batch | Iterable[Batch] | None = None) -> None:
        """`Learner.consolidate`, measured."""
        self._check_inside()
        read = None if data is None else _Reading([data] if isinstance(data, Batch) else data)
        counter, update = _Counter(), self.learner.update

        def apart(batch: Batch) -> Step:
            with counter.paused():
                return self._sampled(self._at_boundaries, update, batch)

        vars(self.learner)["update"] = apart
        try:
            with counter.counting():
                self.learner.consolidate(read)
        finally:
            del vars(self.learner)["update"]
        rows = 0 if read is None else read.rows
        self._beside += Cost(counter.flops, counter.flops, rows=rows)

    def predict(self, x: Tensor, task: int | Tensor | None = None) -> Tensor:  # (n, classes)
        """`Learner.predict`, measured: what learns in closed form solves at its first answer."""
        self._check_inside()
        counter = _Counter()
        with counter.counting():
            out = self.learner.predict(x, task)
        self._beside += Cost(counter.flops, counter.flops)
        return out

    @property
    def cost(self) -> Cost:
        """What was spent so far."""
        updates = self._observed.cost + self._at_boundaries.cost
        return self._elapsed_so_far() + self._beside + updates

    def _sampled(self, updates: Sampled, update: Callable[[Batch], Step], batch: Batch) -> Step:
        before = self._key(batch)
        due, counter = updates.due(before), _Counter()
        start = self._now()
        with counter.counting() if due else nullcontext():
            step = update(batch)
        seconds, cpu = _since(start, self._now())
        flops = counter.flops
        spent = Cost(flops, flops, seconds, cpu, rows=len(step.batch), updates=1)
        updates.note(before, self._key(step.batch), spent, counted=due)
        return step

    def _key(self, batch: Batch) -> Hashable:
        trainable = sum(parameter.numel() for parameter in self.learner.params.values())
        return tuple(batch.x.shape), trainable, self.learner.consolidations

    def _now(self) -> tuple[float, float]:
        """Wall-clock and CPU time, once the device has finished."""
        if self.learner.engine.device.type == "cuda":
            torch.cuda.synchronize(self.learner.engine.device)
        return time.perf_counter(), time.process_time()

    def _check_inside(self) -> None:
        if self._entered is None:
            raise InvalidValue(
                "a meter measures inside its block only; write: with Meter(learner) as meter: "
                "meter.observe(batch)"
            )

    def _elapsed_so_far(self) -> Cost:
        if self._entered is None:
            return self._elapsed
        seconds, cpu = _since(self._entered[:2], self._now())
        return self._elapsed + Cost(
            seconds=seconds,
            cpu_seconds=cpu,
            updates=self.learner.updates - self._entered[2],
            peak_memory_bytes=peak_memory_bytes(self.learner.engine.device),
            state_bytes=sum(method.state_bytes() for method in self.learner.methods),
            parameters=sum(parameter.numel() for parameter in self.learner.model.parameters()),
        )


def peak_memory_bytes(device: torch.device | str = "cpu") -> int | None:
    """Peak memory: of torch's allocator on a GPU, of the whole process since its start on a CPU.

    None on a CPU under Windows, whose C library has no such figure.
    """
    if torch.device(device).type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if sys.platform == "win32":
        return None
    import resource  # there is none on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in KiB


class _Reading:
    """Batches as often as they are iterated over, and how many rows that came to."""

    def __init__(self, batches: Iterable[Batch]) -> None:
        self.batches = batches
        self.rows = 0

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.batches:
            self.rows += len(batch)
            yield batch


class _Counter:
    """FLOPs of what runs while it counts."""

    def __init__(self) -> None:
        self.flops = 0
        self._mode = FlopCounterMode(display=False)

    @contextmanager
    def counting(self) -> Iterator[None]:
        with warnings.catch_warnings():
            # its hooks on modules fire once more for a compiled one, which changes no total
            warnings.filterwarnings(
                "ignore", message=r"Using `torch\.compile\(module\)` when there"
            )
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


def _since(start: tuple[float, float], end: tuple[float, float]) -> tuple[float, float]:
    return end[0] - start[0], end[1] - start[1]
