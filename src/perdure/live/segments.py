"""Rows on disk: append-only files of fixed-size rows, read through memory maps."""

from __future__ import annotations

import os
import sqlite3
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from perdure.errors import CheckpointMismatch
from perdure.live import files

Bytes = NDArray[np.uint8]
Places = list[tuple[int, int]]


class Segments:
    """The files of a log's rows; which slots hold rows is written in the database.

    A row's bytes are written first and forced to the disk before the transaction that speaks of
    them commits. Bytes behind the last slot in use are the remains of a crash: they are written
    over.

    Args:
        folder: where the files lie.
        row_bytes: size of every row.
        segment_bytes: size of a file, at least one row.
    """

    def __init__(self, folder: Path, row_bytes: int, segment_bytes: int) -> None:
        self.folder = folder
        self.row_bytes = row_bytes
        self.slots = max(1, segment_bytes // row_bytes)
        self._written: set[int] = set()

    def append(self, connection: sqlite3.Connection, rows: Bytes) -> Places:  # (n, row_bytes)
        """Write rows behind those of the segments, within a transaction; their (segment, slot)s.

        Raises:
            OSError: the disk is full; nothing was added.
        """
        places: Places = []
        while len(places) < len(rows):
            number, used = self._tail(connection)
            part = rows[len(places) : len(places) + self._slots(number) - used]
            with files.opened(self.path(number), os.O_RDWR) as descriptor:
                files.write_at(descriptor, part.tobytes(), used * self.row_bytes)
            self._written.add(number)
            connection.execute(
                "UPDATE segments SET used = ? WHERE number = ?", (used + len(part), number)
            )
            places += [(number, used + i) for i in range(len(part))]
        return places

    def sync(self) -> None:
        """Force what was written since the last call to the disk."""
        for number in sorted(self._written):
            if self.path(number).exists():
                files.sync_file(self.path(number))
        self._written.clear()

    def read(self, places: Iterable[tuple[int, int]]) -> Bytes:  # (n, row_bytes)
        """Copies of the rows at (segment, slot)s, in this order."""
        where = np.array(list(places), dtype=np.int64).reshape(-1, 2)
        rows = np.empty((len(where), self.row_bytes), dtype=np.uint8)
        for number in np.unique(where[:, 0]).tolist():
            mine = (where[:, 0] == number).nonzero()[0]
            held = self.rows_of(number)
            if len(held) <= where[mine, 1].max():
                raise CheckpointMismatch(
                    f"{self.path(number)} is missing or too short; run `perdure fsck`"
                )
            rows[mine] = held[where[mine, 1]]
        return rows

    def rows_of(self, number: int) -> Bytes:  # (slots, row_bytes)
        """All slots of a segment, mapped and not read; none where the file is not there.

        A map is let go with the array, so that no process keeps a file alive that is gone.
        """
        shape = (self._slots(number), self.row_bytes)
        if not shape[0]:
            return np.empty(shape, dtype=np.uint8)
        return np.memmap(self.path(number), np.uint8, "r", shape=shape)

    def blank(self, places: Iterable[tuple[int, int]]) -> None:
        """Write zeros over rows at (segment, slot)s, durably; segments that are gone are passed."""
        by_segment: dict[int, list[int]] = {}
        for number, slot in places:
            by_segment.setdefault(number, []).append(slot)
        for number, slots in by_segment.items():
            if not self.path(number).exists():
                continue
            with files.opened(self.path(number), os.O_RDWR) as descriptor:
                for first, count in runs(sorted(slots)):
                    zeros = bytes(count * self.row_bytes)
                    files.write_at(descriptor, zeros, first * self.row_bytes)
                files.sync(descriptor)

    def drop_unused(self, connection: sqlite3.Connection) -> list[int]:
        """Take segments without rows, the last one excepted, out of the database; their numbers."""
        gone = connection.execute(
            "SELECT number FROM segments WHERE number < (SELECT max(number) FROM segments)"
            " AND NOT EXISTS (SELECT 1 FROM rows WHERE rows.segment = segments.number)"
        ).fetchall()
        numbers = [tuple(row) for row in gone]
        connection.executemany("DELETE FROM blanks WHERE segment = ?", numbers)
        connection.executemany("DELETE FROM segments WHERE number = ?", numbers)
        return [number for (number,) in gone]

    def remains(self, connection: sqlite3.Connection) -> tuple[list[int], Places]:
        """What was never committed, seen from within a transaction, when nobody else writes.

        Returns:
            Numbers of files that the database does not know, and places behind the last slot in use
            that hold bytes.
        """
        used = dict(tuple(row) for row in connection.execute("SELECT number, used FROM segments"))
        behind = [
            (number, slots + int(i))
            for number, slots in used.items()
            for i in np.flatnonzero(self.rows_of(number)[slots:].any(axis=1))
        ]
        return [number for number in self.found() if number not in used], behind

    def blank_remains(self, connection: sqlite3.Connection) -> None:
        """Remove what was never committed, within a transaction."""
        unknown, behind = self.remains(connection)
        self.remove(unknown)
        self.blank(behind)

    def remove(self, numbers: Iterable[int]) -> None:
        """Remove the files of segments that the database no longer knows."""
        for number in numbers:
            files.remove(self.path(number))

    def found(self) -> list[int]:
        """Numbers of the files that are there."""
        return sorted(int(path.stem) for path in self.folder.glob("*.seg"))

    def path(self, number: int) -> Path:
        """The file of a segment."""
        return self.folder / f"{number:08d}.seg"

    def _tail(self, connection: sqlite3.Connection) -> tuple[int, int]:
        last = connection.execute(
            "SELECT number, used FROM segments ORDER BY number DESC LIMIT 1"
        ).fetchone()
        if last is not None and last["used"] < self._slots(last["number"]):
            return last["number"], last["used"]
        number = 1 if last is None else last["number"] + 1
        with files.opened(self.path(number), os.O_RDWR | os.O_CREAT) as descriptor:
            os.ftruncate(descriptor, self.slots * self.row_bytes)
        files.sync_directory(self.folder)
        connection.execute("INSERT INTO segments VALUES (?, 0)", (number,))
        return number, 0

    def _slots(self, number: int) -> int:
        """Slots of a file; those of older files may be more or fewer than the settings now say."""
        path = self.path(number)
        return path.stat().st_size // self.row_bytes if path.exists() else 0


def checksums(rows: Bytes) -> list[int]:  # (n, row_bytes)
    """A CRC-32 for each row."""
    return [zlib.crc32(row) for row in np.ascontiguousarray(rows)]


def runs(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Sorted numbers as (first, count) of those that follow each other.

    Example:
        >>> runs([1, 2, 3, 7])
        [(1, 3), (7, 1)]
    """
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and number == sum(found[-1]):
            found[-1] = (found[-1][0], found[-1][1] + 1)
        else:
            found.append((number, 1))
    return found
