"""The updater as a child process: started, watched, started again. Predictions go on without."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

logger = logging.getLogger(__name__)

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 60.0
STEADY_SECONDS: Final = 30.0
"""A child that lived this long was well; its next end is a first one again."""
GRACE_SECONDS: Final = 10.0


class Supervisor:
    """Keeps one child process running.

    Args:
        command: that starts it.
        first_pause: seconds before the first restart; doubled for each further one.
    """

    def __init__(self, command: Sequence[str], first_pause: float = FIRST_PAUSE) -> None:
        self.command = tuple(command)
        self.first_pause = first_pause
        self.restarts = 0
        self.exit_code: int | None = None
        self._child: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Of the child, while it lives."""
        alive = self._child is not None and self._child.returncode is None
        return self._child.pid if self._child is not None and alive else None

    def start(self) -> None:
        """Begin; the child is there soon after."""
        self._task = asyncio.create_task(self._keep(), name="perdure-supervisor")

    async def stop(self) -> None:
        """End the child: politely, then by force."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._child is None or self._child.returncode is not None:
            return
        self._child.terminate()
        try:
            await asyncio.wait_for(self._child.wait(), GRACE_SECONDS)
        except TimeoutError:
            logger.warning("the updater did not stop in %g seconds", GRACE_SECONDS)
            self._child.kill()
            await self._child.wait()

    async def _keep(self) -> None:
        pause = self.first_pause
        while True:
            began = time.monotonic()
            self.exit_code = await self._run()
            if time.monotonic() - began > STEADY_SECONDS:
                pause = self.first_pause
            logger.error("the updater ended with %s; again in %g s", self.exit_code, pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            self.restarts += 1

    async def _run(self) -> int | None:
        try:
            self._child = await asyncio.create_subprocess_exec(*self.command)
        except OSError as error:
            logger.error("the updater cannot be started: %s", error)  # noqa: TRY400
            return None
        return await self._child.wait()


def updater(directory: Path) -> list[str]:
    """The command of a directory's updater."""
    return [sys.executable, "-m", "perdure.live.updater", str(directory)]
