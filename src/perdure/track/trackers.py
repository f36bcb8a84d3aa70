"""From what a person writes to what takes runs, and one that never does harm."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from perdure.errors import InvalidValue
from perdure.track.board import Board
from perdure.track.run import Run, Tracker
from perdure.track.server import Server

log = logging.getLogger(__name__)


def opened(said: str, directory: str | Path = "") -> Tracker:
    """The tracker of "mlflow", "mlflow:URI" or "tensorboard:FOLDER".

    Args:
        said: without a URI, MLflow keeps a local store.
        directory: that a local store and a relative folder lie in.

    Raises:
        InvalidValue: it is none of these.
        MissingExtra: what it needs is not installed.
    """
    kind, _, where = said.partition(":")
    if kind == "mlflow":
        return Server(where or f"sqlite:///{Path(directory).resolve() / 'mlflow.db'}")
    if kind == "tensorboard" and where:
        return Board(Path(directory) / where)
    raise InvalidValue(
        f"{said!r} takes no runs; write mlflow, mlflow:URI or tensorboard:FOLDER, as in "
        "mlflow:https://tracking.example"
    )


class Guarded:
    """A tracker whose failures are noted and do no harm; after the first it is left alone.

    Args:
        said: as of `opened`.
        directory: as of `opened`.
    """

    def __init__(self, said: str, directory: str | Path = "") -> None:
        self.tracker = opened(said, directory)
        self.said = said
        self.sent = 0
        self.problem: str | None = None

    def send(self, made: Callable[[], Run]) -> None:
        """Make a run and send it, unless one failed before."""
        if self.problem is not None:
            return
        try:
            self.sent += self.tracker.send(made())
        except Exception as error:  # noqa: BLE001  whatever a server does, the runs go on
            self.problem = f"{self.said}: {type(error).__name__}: {error}"
            log.warning("not tracked: %s", self.problem)
