"""One at a time works on a directory's versions and half-done updates."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from perdure.live.refusals import Conflict

LOCK = "updater.lock"


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Hold the updater's lock; the system lets go of it when the process ends, however it ends.

    Raises:
        Conflict: another updater works on this directory.
    """
    with (directory / "work" / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(f"another updater works on {directory}") from None
        yield
