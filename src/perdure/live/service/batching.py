"""Micro-batching: requests that arrive together share one forward pass."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from perdure.live.refusals import Full, TooLarge

S = TypeVar("S")
Bytes = NDArray[np.uint8]
Tasks = NDArray[np.int64]
Answers = NDArray[np.float32]
Forward = Callable[[S, Bytes, Tasks | None], Answers]
Group = tuple[Any, bool]


@dataclass(eq=False)
class _Asked(Generic[S]):
    served: S
    rows: Bytes  # (n, row_bytes)
    task: Tasks | None  # (n,)
    arrived: float
    answer: asyncio.Future[Answers] = field(repr=False)


class Batcher(Generic[S]):
    """Collects rows until there are `max_batch`, or the oldest has waited `max_wait` seconds.

    While one batch is computed the next one fills. A request that comes alone, after one that came
    alone, does not wait. Rows for different versions, and rows with and without task ids, never
    share a batch.

    Args:
        forward: from a version, encoded rows (n, row_bytes) and tasks (n,) or None to answers
            (n, classes); called in `thread`, for one batch at a time.
        thread: where it computes.
        max_batch: rows of one forward pass.
        max_wait: seconds that a row waits for company.
        max_queue: rows that may wait; more are refused.
        watch: called with the rows of each batch, for metrics.
    """

    def __init__(
        self,
        forward: Forward[S],
        thread: Executor,
        max_batch: int = 64,
        max_wait: float = 0.002,
        max_queue: int = 4096,
        watch: Callable[[int], None] | None = None,
    ) -> None:
        self.max_batch = max_batch
        self.max_wait = max_wait
        self.max_queue = max_queue
        self.queued = 0
        self._forward = forward
        self._thread = thread
        self._watch = watch
        self._groups: dict[Group, deque[_Asked[S]]] = {}
        self._busy = False
        self._company = False
        self._timer: asyncio.TimerHandle | None = None

    async def ask(self, served: S, rows: Bytes, task: Tasks | None = None) -> Answers:
        """Answers (n, classes) of a version to encoded rows (n, row_bytes), n >= 1.

        Raises:
            Full: too many rows wait.
            TooLarge: more rows than may ever wait.
        """
        if len(rows) > self.max_queue:
            raise TooLarge(
                f"{len(rows)} rows in one request; at most {self.max_queue} can be answered"
            )
        if self.queued + len(rows) > self.max_queue:
            raise Full(
                f"{self.queued} rows wait for an answer, of at most {self.max_queue}; try again",
                retry_after=1.0,
            )
        size = self.max_batch  # a long request goes in pieces, so that short ones get between them
        pieces = [
            self._queue(served, rows[i : i + size], None if task is None else task[i : i + size])
            for i in range(0, len(rows), size)
        ]
        self._pump()
        if len(pieces) == 1:
            return await pieces[0]
        return np.concatenate(await asyncio.gather(*pieces))

    def _queue(self, served: S, rows: Bytes, task: Tasks | None) -> asyncio.Future[Answers]:
        loop = asyncio.get_running_loop()
        asked = _Asked(served, rows, task, loop.time(), loop.create_future())
        self._groups.setdefault((served, task is not None), deque()).append(asked)
        self.queued += len(rows)
        return asked.answer

    def _pump(self) -> None:
        """Start the next batch if it is time, or set the clock for when it will be."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._busy or not self._groups:
            return
        group = min(self._groups, key=lambda name: self._groups[name][0].arrived)
        waiting = self._groups[group]
        loop = asyncio.get_running_loop()
        left = waiting[0].arrived + self.max_wait - loop.time()
        alone = len(waiting) == 1 and not self._company
        if left > 0 and not alone and sum(len(a.rows) for a in waiting) < self.max_batch:
            self._timer = loop.call_later(left, self._pump)
        else:
            self._start(group)

    def _start(self, group: Group) -> None:
        batch = self._take(group)
        if not batch:
            self._pump()
            return
        self._busy, self._company = True, len(batch) > 1
        if self._watch is not None:
            self._watch(sum(len(asked.rows) for asked in batch))
        loop = asyncio.get_running_loop()
        done = loop.run_in_executor(self._thread, self._compute, batch)
        done.add_done_callback(lambda future: self._finish(batch, future))

    def _compute(self, batch: list[_Asked[S]]) -> list[Answers | Exception]:
        """In the thread: an answer for each request, or what went wrong with it."""
        rows = np.concatenate([asked.rows for asked in batch])
        tasks = [asked.task for asked in batch if asked.task is not None]
        try:
            held = self._forward(batch[0].served, rows, np.concatenate(tasks) if tasks else None)
        except Exception as error:  # noqa: BLE001  # whoever asked gets it
            if len(batch) == 1:
                return [error]
            # One request's fault is no other's: each by itself.
            return [self._compute([asked])[0] for asked in batch]
        ends = np.cumsum([len(asked.rows) for asked in batch])
        return list(np.split(held, ends[:-1]))

    def _take(self, group: Group) -> list[_Asked[S]]:
        """The oldest of a group that fit a batch; those that nobody waits for any more fall out."""
        waiting, batch, rows = self._groups[group], [], 0
        while waiting and rows + len(waiting[0].rows) <= self.max_batch:
            asked = waiting.popleft()
            self.queued -= len(asked.rows)
            if not asked.answer.done():
                batch.append(asked)
                rows += len(asked.rows)
        if not waiting:
            del self._groups[group]
        return batch

    def _finish(
        self, batch: list[_Asked[S]], done: asyncio.Future[list[Answers | Exception]]
    ) -> None:
        self._busy = False
        for asked, answer in zip(batch, done.result(), strict=True):
            if asked.answer.done():  # its caller went away
                continue
            if isinstance(answer, Exception):
                asked.answer.set_exception(answer)
            else:
                asked.answer.set_result(answer)
        self._pump()
