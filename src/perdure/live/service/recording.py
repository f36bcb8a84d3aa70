"""Writing answers down: those that were given about the same time share one transaction."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Final, Literal

from perdure.errors import PerdureError
from perdure.live import predictions
from perdure.live.log import Log
from perdure.live.predictions import Prediction
from perdure.live.refusals import Refused

logger = logging.getLogger(__name__)

How = Literal["durable", "buffered", "off"]
BUFFER_SECONDS: Final = 0.05
BUFFER_ROWS: Final = 2048


@dataclass(eq=False)
class _Held:
    predictions: list[Prediction]
    written: asyncio.Future[None] = field(repr=False)


class Recorder:
    """Writes answers into the log, where their labels will find them.

    One group is written at a time, and the next one fills meanwhile.

    Args:
        log: that they become rows of.
        how: whether they are on the disk before they are given ("durable"), a moment later
            ("buffered"), or never ("off").
    """

    def __init__(self, log: Log, how: How) -> None:
        self.log = log
        self.how = how
        self.waiting = 0
        self._group: list[_Held] = []
        self._writing: list[_Held] = []
        self._timer: asyncio.Handle | None = None

    async def add(self, given: list[Prediction]) -> None:
        """Write the answers to one request, all of them or none.

        Raises:
            Conflict: an id names another row; with "buffered" it is only logged, as are Erased
                and Full.
        """
        if self.how == "off":
            return
        loop = asyncio.get_running_loop()
        held = _Held(given, loop.create_future())
        self._group.append(held)
        self.waiting += len(given)
        if not self._writing and self._timer is None:
            later = BUFFER_SECONDS if self.how == "buffered" else 0.0
            self._timer = loop.call_later(later, self._flush)
        if self.how == "durable" or self.waiting > BUFFER_ROWS:  # or memory would fill
            await asyncio.shield(held.written)  # its caller may go away: the others' rows stay
        else:
            held.written.add_done_callback(_complain)

    async def settle(self) -> None:
        """Wait until everything is written."""
        while waiting := [held.written for held in (*self._writing, *self._group)]:
            await asyncio.wait(waiting)
            await asyncio.sleep(0)

    def _flush(self) -> None:
        self._timer = None
        if self._group and not self._writing:
            self._writing, self._group = self._group, []
            self._write(list(self._writing))  # which shrinks as its parts are written

    def _write(self, group: list[_Held]) -> None:
        loop = asyncio.get_running_loop()
        together = [one for held in group for one in held.predictions]
        try:
            written = predictions.record(self.log, together)
        except PerdureError as error:  # the directory has been closed
            self._end(group, error)
            return
        written.add_done_callback(
            lambda done: loop.call_soon_threadsafe(self._end, group, done.exception())
        )

    def _end(self, group: list[_Held], error: BaseException | None) -> None:
        if isinstance(error, Refused) and len(group) > 1:
            for held in group:  # one request's fault is no other's
                self._write([held])
            return
        for held in group:
            self.waiting -= len(held.predictions)
            self._writing.remove(held)
            if held.written.done():  # its caller went away
                continue
            if error is None:
                held.written.set_result(None)
            else:
                held.written.set_exception(error)
        if not self._writing:
            self._flush()


def _complain(written: asyncio.Future[None]) -> None:
    if not written.cancelled() and written.exception() is not None:
        logger.error("answers were given and not written down: %s", written.exception())
