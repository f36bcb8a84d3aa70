"""Runs over processes: one pipe a process, so that a death harms nothing but its own run."""

from __future__ import annotations

import os
import signal
import threading
import traceback
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from time import monotonic

from perdure.bench.experiment import Experiment
from perdure.bench.result import NoResult, Record
from perdure.bench.running import Progress, run
from perdure.errors import Impossible, PerdureError, check_range

EVERY = 0.1  # seconds from one report of progress to the next
GRACE = 5.0  # seconds for a process that closed its pipe to end
THREADS = "OMP_NUM_THREADS"


@dataclass(frozen=True)
class Progressed:
    """A run has done so many of its batches."""

    experiment: Experiment
    done: int
    total: int


Event = Progressed | Record


def spread(experiments: Iterable[Experiment], workers: int) -> Generator[Event, None, None]:
    """Do every experiment, each in one of `workers` fresh processes of one thread.

    Yields progress as it comes, and a record at the end of each run: a run that raises, or whose
    process dies, is a `NoResult` and the others go on. Closing the iterator ends the processes; so
    does the death of this process, whatever it dies of. A script that calls this needs the guard
    `if __name__ == "__main__":`, since each process imports the script anew.

    Args:
        experiments: what to do.
        workers: processes at a time, at least 1.
    """
    check_range("spread", "workers", workers, 1, float("inf"))
    waiting = deque(experiments)
    crew = [_Worker() for _ in range(min(workers, len(waiting)))]
    try:
        busy = {worker: worker.begin(waiting.popleft()) for worker in crew}
        while busy:
            ready = wait([worker.pipe for worker in busy])
            worker = next(worker for worker in busy if worker.pipe in ready)
            event = worker.event(busy[worker])
            yield event
            if isinstance(event, Progressed):
                continue
            del busy[worker]
            if waiting:
                busy[worker] = worker.begin(waiting.popleft())
    finally:
        for worker in crew:
            worker.end()


def attempt(experiment: Experiment, report: Progress) -> Record:
    """Run; what stops it becomes the reason of a `NoResult`."""
    try:
        return run(experiment, report)
    except Impossible as error:
        return NoResult(experiment, "refused", str(error))
    except PerdureError as error:
        return NoResult(experiment, "failed", str(error))
    except Exception as error:  # noqa: BLE001  whatever it is, the other runs go on
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(frame.filename).name}, line {frame.lineno}"
        return NoResult(experiment, "failed", f"{type(error).__name__}: {error} ({place})")


class _Worker:
    """A process and the pipe to it."""

    def __init__(self) -> None:
        self._start()

    def begin(self, experiment: Experiment) -> Experiment:
        """Take on a run, in a new process where the old one died."""
        if self.pipe.closed:
            self._start()
        self.pipe.send(experiment)
        return experiment

    def event(self, experiment: Experiment) -> Event:
        """What the process says of its run, or that it died."""
        try:
            said: tuple[int, int] | Record = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join(GRACE)
            self.end()
            cause = _cause(self.process.exitcode)
            return NoResult(experiment, "failed", f"the process of this run died: {cause}")
        return Progressed(experiment, *said) if isinstance(said, tuple) else said

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()

    def _start(self) -> None:
        context = get_context("spawn")  # a fork would copy a process whose threads are not there
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,), daemon=True)
        with one_thread_meanwhile():
            self.process.start()
        theirs.close()


def _serve(pipe: Connection) -> None:
    """A worker's life: run what comes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this
    threading.Thread(target=die_with_parent, daemon=True).start()
    while True:
        experiment: Experiment = pipe.recv()
        pipe.send(attempt(experiment, _Reporter(pipe)))


class _Reporter:
    """Sends progress, no more often than a person can see."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe
        self.last = 0.0

    def __call__(self, done: int, total: int) -> None:
        now = monotonic()
        if now - self.last >= EVERY:
            self.last = now
            self.pipe.send((done, total))


def die_with_parent() -> None:
    """Otherwise a worker whose parent was killed would wait for ever for its next run."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _cause(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    return f"{name}, as when memory runs out; try fewer workers" if name == "SIGKILL" else name


@contextmanager
def one_thread_meanwhile() -> Iterator[None]:
    """What OpenMP reads when the process that starts meanwhile imports torch."""
    before = os.environ.get(THREADS)
    os.environ[THREADS] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[THREADS]
        else:
            os.environ[THREADS] = before
