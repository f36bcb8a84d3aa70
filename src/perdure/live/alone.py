"""One at a time works on a directory's versions and half-done updates."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from perdure.live.refusals import Conflict

LOCK = "updater.lock"
POLL_SECONDS = 0.05


@contextmanager
def alone(directory: Path, wait: float = 0.0) -> Iterator[None]:
    """Hold the updater's lock; the system lets go of it when the process ends, however it ends.

    Args:
        directory: of the project.
        wait: seconds for somebody else to let go of it, as an erasure or `fsck` soon does.

    Raises:
        Conflict: another updater works on this directory.
    """
    deadline = time.monotonic() + wait
    with (directory / "work" / LOCK).open("w") as file:
        while not _held(file):
            if time.monotonic() >= deadline:
                raise Conflict(f"another updater works on {directory}")
            time.sleep(POLL_SECONDS)
        yield


def _held(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
