"""Simulations, here or in other processes, that stop between spans where they are told to."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator, Iterator
from contextlib import closing
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Protocol

from perdure.bench.pool import die_with_parent, one_thread_meanwhile
from perdure.errors import Impossible, PerdureError
from perdure.tune.candidate import Candidate
from perdure.tune.outcome import Measured
from perdure.tune.source import Source

Said = Measured | str | None
"""Of a simulation: how it stands after a span, why it failed, or None when it has ended."""
GRACE = 5.0  # seconds for a process that closed its pipe to end


class Worker(Protocol):
    """Does one simulation at a time, a span whenever it is asked."""

    def begin(self, candidate: Candidate) -> None:
        """Take on a simulation."""
        ...

    def said(self) -> Said:
        """Wait for the next span, or the end."""
        ...

    def answer(self, goes_on: bool) -> None:
        """Say whether to go on after a span."""
        ...

    def end(self) -> None:
        """Stop whatever it does."""
        ...


class Here:
    """Simulates in this process."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.spans: Iterator[Said] = iter(())

    def begin(self, candidate: Candidate) -> None:
        """Take on a simulation."""
        self.spans = _spans(self.source, candidate)

    def said(self) -> Said:
        """Simulate the next span."""
        return next(self.spans, None)

    def answer(self, goes_on: bool) -> None:
        """Go on, or forget the simulation."""
        if not goes_on:
            self.spans = iter(())

    def end(self) -> None:
        """Forget the simulation."""
        self.spans = iter(())


class Elsewhere:
    """Simulates in a process of one thread; when that dies, its simulation has failed."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.heard = False
        self._start()

    def begin(self, candidate: Candidate) -> None:
        """Take on a simulation, in a new process where the old one died."""
        if self.pipe.closed:
            self._start()
        self.pipe.send(candidate)

    def said(self) -> Said:
        """What the process says.

        Raises:
            Impossible: it ended before its first word, as where a script has no main guard.
        """
        try:
            said: Said = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join(GRACE)
            self.end()
            code = self.process.exitcode
            if not self.heard and code and code > 0:
                raise Impossible(f"no process could begin: exit code {code}; see above") from None
            return f"its process died with exit code {code}; try fewer workers"
        self.heard = True
        return said

    def answer(self, goes_on: bool) -> None:
        """Tell the process."""
        self.pipe.send(goes_on)
        if not goes_on:
            self.said()  # its end

    def end(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.join()
        self.pipe.close()

    def _start(self) -> None:
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, self.source), daemon=True)
        with one_thread_meanwhile():
            self.process.start()
        theirs.close()


def ready(workers: list[Worker]) -> Worker:
    """One of these that has something to say."""
    first = workers[0]
    if not isinstance(first, Elsewhere):
        return first
    pipes = {worker.pipe: worker for worker in workers if isinstance(worker, Elsewhere)}
    pipe = wait([*pipes])[0]
    assert isinstance(pipe, Connection)  # noqa: S101
    return pipes[pipe]


def _serve(pipe: Connection, source: Source) -> None:
    """A process's life: simulate what comes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this
    threading.Thread(target=die_with_parent, daemon=True).start()
    while True:
        _tell(pipe, source, pipe.recv())


def _tell(pipe: Connection, source: Source, candidate: Candidate) -> None:
    """Simulate, and say how it stands after each span while the answer is to go on."""
    said: Said = None
    with closing(_spans(source, candidate)) as spans:
        for said in spans:
            pipe.send(said)
            if isinstance(said, Measured) and not pipe.recv():
                break
    if not isinstance(said, str):
        pipe.send(None)


def _spans(source: Source, candidate: Candidate) -> Generator[Said, None, None]:
    """The simulation; a reason where it fails."""
    try:
        yield from source.simulate(candidate)
    except PerdureError as error:
        yield str(error)
    except Exception as error:  # noqa: BLE001  whatever it is, the other trials go on
        yield f"{type(error).__name__}: {error}"
