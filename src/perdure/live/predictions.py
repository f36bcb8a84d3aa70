"""What was asked and answered: each answer is a row of the log that still waits for its label."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perdure.live.intake import encoded
from perdure.live.log import Log
from perdure.live.rows import Row, check_names


@dataclass(frozen=True)
class Prediction:
    """An answer to one row.

    Args:
        id: of the row, by which its label will come.
        data: the row, encoded, (row_bytes,) uint8.
        version: that answered.
        label: the number of the class that it gave.
        confidence: its probability.
        subject, source, task: of the row.
    """

    id: str
    data: NDArray[np.uint8]
    version: int
    label: int
    confidence: float
    subject: str | None = None
    source: str | None = None
    task: int | None = None


def record(log: Log, predictions: Sequence[Prediction]) -> Future[None]:
    """Write answers down, all of them or none; the future resolves when they are on the disk.

    Raises:
        RowRefused: an id or another name is no text that can be stored, or two have one id.
        Conflict: an id names another row of the log; the future raises this, Erased and Full.
    """
    now = time.time()
    rows = [Row(one.id, None, None, now, one.subject, one.source, one.task) for one in predictions]
    for place, row in enumerate(rows):
        check_names(row, place)
    asked = encoded(rows, np.stack([one.data for one in predictions]))

    def work(connection: sqlite3.Connection) -> None:
        known = log.intake.known(connection, asked)
        positions = log.intake.store(connection, [held for held in asked if held.id not in known])
        connection.executemany(
            "INSERT INTO predictions VALUES (?, ?, ?, ?, ?)",
            [
                (positions[one.id], one.version, one.label, one.confidence, now)
                for one in predictions
                if one.id in positions
            ],
        )

    return log.database.write(work)
