"""Runs over processes: one pipe a process, so that a death harms nothing but its own run."""

from __future__ import annotations

import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from time import monotonic
from typing import Any

from perdure.bench.experiment import Experiment
from perdure.bench.result import NoResult, Record
from perdure.bench.run import run
from perdure.errors import Impossible, PerdureError

EVERY = 0.1  # seconds from one report of progress to the next


@dataclass(frozen=True)
class Progressed:
    """A run has done so many of its batches; the first report of each run has done none."""

    experiment: Experiment
    done: int
    total: int


Event = Progressed | Record


def spread(experiments: Sequence[Experiment], workers: int) -> Iterator[Event]:
    """Do every experiment, each in one of `workers` fresh processes of one thread.

    Yields progress as it comes, and a record at the end of each run: a run that raises, or whose
    process dies, is a `NoResult` and the others go on. Closing the iterator ends the processes;
    so does the death of this process, however it dies.
    """
    waiting = list(reversed(experiments))
    with _one_thread_each(), _processes(min(workers, len(waiting))) as idle:
        busy: dict[Connection, _Worker] = {}
        while waiting or busy:
            while waiting and idle:
                worker = idle.pop()
                worker.begin(waiting.pop())
                busy[worker.pipe] = worker
            for pipe in wait(list(busy)):
                worker = busy[pipe]  # type: ignore[index]  # we gave it connections
                event = worker.event()
                yield event
                if not isinstance(event, Progressed):
                    del busy[worker.pipe]
                    idle.append(worker if worker.process.is_alive() else _Worker())


def attempt(experiment: Experiment, report: Callable[[int, int], None]) -> Record:
    """Run; what stops it becomes the reason of a `NoResult`."""
    try:
        return run(experiment, report)
    except Impossible as error:
        return NoResult(experiment, "refused", str(error))
    except PerdureError as error:
        return NoResult(experiment, "failed", f"{type(error).__name__}: {error}")
    except Exception as error:  # noqa: BLE001  whatever it is, the other runs go on
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{os.path.basename(where.filename)}:{where.lineno}"  # noqa: PTH119
        return NoResult(experiment, "failed", f"{type(error).__name__}: {error} ({place})")


class _Worker:
    """A process and the pipe to it."""

    def __init__(self) -> None:
        context = get_context("spawn")  # a fork would copy torch's threads half-dead
        self.pipe, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=_serve, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()
        self.experiment: Experiment | None = None

    def begin(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self.pipe.send(experiment)

    def event(self) -> Event:
        """What the process says, or that it died."""
        assert self.experiment is not None
        try:
            said: Any = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
            reason = f"the process of this run died ({_cause(self.process.exitcode)})"
            return NoResult(self.experiment, "failed", reason)
        return Progressed(self.experiment, *said) if isinstance(said, tuple) else said

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _serve(pipe: Connection) -> None:
    """A worker's life: run what comes, until nothing comes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    threading.Thread(target=_die_with_parent, daemon=True).start()
    while True:
        try:
            experiment = pipe.recv()
        except EOFError:
            return
        pipe.send(attempt(experiment, _Reporter(pipe)))


class _Reporter:
    """Sends progress, but not more often than anyone can see."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe
        self.last = 0.0

    def __call__(self, done: int, total: int) -> None:
        now = monotonic()
        if now - self.last >= EVERY:
            self.last = now
            self.pipe.send((done, total))


def _die_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _cause(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        return f"{name}; out of memory?" if name == "SIGKILL" else name
    return f"exit code {code}"


@contextmanager
def _processes(count: int) -> Iterator[list[_Worker]]:
    """Workers, of which none outlives the block."""
    made: list[_Worker] = []
    ...
