"""Measuring what a learner spends, with FLOPs counted on sampled updates."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import torch
from torch.utils.flop_counter import FlopCounterMode

from perdure.batch import Batch
from perdure.errors import InvalidValue
from perdure.learner import Learner
from perdure.measure.cost import Cost
from perdure.step import Step


@dataclass
class _Tally:
    """Calls of `observe` that cost the same, but for the first; `updates` counts the calls."""

    first: Cost = field(default_factory=Cost)
    counted: Cost = field(default_factory=Cost)
    plain: Cost = field(default_factory=Cost)


class Meter:
    """Measures what a learner spends inside the `with` block; `observe` through the meter.

    Counting FLOPs makes a small update about three times as slow, so updates are sampled. Updates
    are alike when their rows have one shape (recalled rows included), the model as many trainable
    parameters, and as many consolidations went before. Among alike updates the first is counted
    and stands for itself alone, since methods set up there what a task needs; so are the third
    and every `every`-th after it, and the others are charged the mean of these. Where alike updates
    came but none was counted (an odd batch before the next could be), they are charged by the row,
    at the mean of all counted updates. Consolidations are always counted.

    Time is that of the whole block. A counted update is charged the mean time of the alike ones
    that were not counted, where there were any; consolidations are charged as they ran, counting
    included.

    FLOPs are those of torch's own counter: matrix products, convolutions and attention, backward
    passes included; it does not see element-wise work, nor kernels it has no formula for. Peak
    memory on a GPU is that of torch's allocator since the block began. On a CPU it is the largest
    resident size of the process **since the process started**, whatever else it did.

    Args:
        learner: whose `observe` and `consolidate` are measured.
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
        self.every = every
        self._tallies: dict[Hashable, _Tally] = {}
        self._expected: dict[Hashable, Hashable] = {}
        self._consolidated = Cost()
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
        before = self._key(batch)
        due = self._due(before)
        start = self._started()
        flops = 0
        if due:
            with _flop_counter() as counter:
                step = self.learner.observe(batch)
            flops = counter.get_total_flops()
        else:
            step = self.learner.observe(batch)
        seconds, cpu = _since(start, self._now())
        spent = Cost(flops, flops, seconds, cpu, rows=len(step.batch), updates=1)
        after = self._expected[before] = self._key(step.batch)
        tally = self._tallies.setdefault(after, _Tally())
        if not due:
            tally.plain += spent
        elif tally.first.updates:
            tally.counted += spent
        else:
            tally.first += spent
        return step

    def consolidate(self, data: Batch | Iterable[Batch] | None = None) -> None:
        """`Learner.consolidate`, measured."""
        self._started()
        read = None if data is None else _Reading([data] if isinstance(data, Batch) else data)
        with _flop_counter() as counter:
            self.learner.consolidate(read)
        flops = counter.get_total_flops()
        rows = 0 if read is None else read.rows
        self._consolidated += Cost(flops=flops, flops_counted=flops, rows=rows)

    @property
    def cost(self) -> Cost:
        """What was spent so far."""
        tallies = self._tallies.values()
        counted = sum((tally.first + tally.counted for tally in tallies), Cost())
        plain = sum((tally.plain for tally in tallies), Cost())
        flops, seconds, cpu = counted.flops, 0.0, 0.0
        for tally in tallies:
            known = tally.counted if tally.counted.updates else tally.first
            if known.updates:
                flops += tally.plain.updates * known.flops // known.updates
            else:
                flops += tally.plain.rows * counted.flops // counted.rows
            slowed = tally.first + tally.counted
            if slowed.updates and tally.plain.updates:
                alike = slowed.updates / tally.plain.updates
                seconds += alike * tally.plain.seconds - slowed.seconds
                cpu += alike * tally.plain.cpu_seconds - slowed.cpu_seconds
        updates = Cost(flops, counted.flops, seconds, cpu, counted.rows + plain.rows)
        return self._elapsed_so_far() + self._consolidated + updates

    def _due(self, key: Hashable) -> bool:
        """Whether the next update is to be counted; at once where alike ones await a count."""
        if key not in self._expected:
            return True
        tally = self._tallies[self._expected[key]]
        if not tally.first.updates:
            return True
        calls = tally.counted.updates + tally.plain.updates
        return calls >= min(1, self.every - 1) + self.every * tally.counted.updates

    def _key(self, batch: Batch) -> Hashable:
        trainable = sum(parameter.numel() for parameter in self.learner.params.values())
        return tuple(batch.x.shape), trainable, self.learner.consolidations

    def _now(self) -> tuple[float, float]:
        """Wall-clock and CPU time, once the device has finished."""
        if self.learner.engine.device.type == "cuda":
            torch.cuda.synchronize(self.learner.engine.device)
        return time.perf_counter(), time.process_time()

    def _started(self) -> tuple[float, float]:
        if self._entered is None:
            raise InvalidValue(
                "a meter measures inside its block only; write: with Meter(learner) as meter: "
                "meter.observe(batch)"
            )
        return self._now()

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


@contextmanager
def _flop_counter() -> Iterator[FlopCounterMode]:
    with warnings.catch_warnings(), FlopCounterMode(display=False) as counter:
        # the counter's hooks on modules fire once more for a compiled one, which changes no total
        warnings.filterwarnings("ignore", message=r"Using `torch\.compile\(module\)` when there")
        yield counter


def _since(start: tuple[float, float], end: tuple[float, float]) -> tuple[float, float]:
    return end[0] - start[0], end[1] - start[1]
