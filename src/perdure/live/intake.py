"""How rows enter the log, within a transaction: what is known, what is refused, where they go."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perdure.live import labels, splits
from perdure.live.keys import key, subject_digest
from perdure.live.refusals import Conflict, Erased, Full, RowRefused
from perdure.live.rows import Row
from perdure.live.segments import Segments, checksums
from perdure.live.settings import Settings


@dataclass(frozen=True)
class Encoded:
    """A row that fits the schema.

    Args:
        id: its id, of the caller or a new one.
        row: what is known about it.
        data: its features, (row_bytes,) uint8.
        crc: their CRC-32.
    """

    id: str
    row: Row
    data: NDArray[np.uint8]
    crc: int


def encoded(rows: Sequence[Row], data: NDArray[np.uint8]) -> list[Encoded]:
    """Rows with ids, and their features (n, row_bytes), as one request.

    Raises:
        RowRefused: two of them have the same id.
    """
    ids = [str(row.id) for row in rows]
    if len(set(ids)) < len(ids):
        twice = next(i for i, one in enumerate(ids) if one in ids[:i])
        raise RowRefused(
            "it names two rows of one request; give each row its own id",
            field="id",
            value=ids[twice],
            row=twice,
        )
    return [Encoded(*held) for held in zip(ids, rows, data, checksums(data), strict=True)]


class Intake:
    """The door of a log: for rows that are sent to learn from, and for those that were asked.

    Args:
        segments: hold the features.
        settings: schema, limits and the share that is held out.
    """

    def __init__(self, segments: Segments, settings: Settings) -> None:
        self.segments = segments
        self.settings = settings
        self.schema = settings.schema_
        self._counted: tuple[int, int] | None = None  # rows held when the last one had a position

    def known(self, connection: sqlite3.Connection, rows: Sequence[Encoded]) -> dict[str, int]:
        """Position by id of those that are there already.

        Raises:
            Conflict: one is there with other features, or with labels that are not this one.
        """
        found = connection.execute(
            "SELECT id, position, crc, (SELECT json_group_array(name)"
            "  FROM examples JOIN classes USING (label) WHERE position = rows.position) AS labels"
            " FROM rows WHERE id IN (SELECT value FROM json_each(?))",
            (json.dumps([held.id for held in rows]),),
        ).fetchall()
        offered = {held.id: held for held in rows}
        for row in found:
            held = offered[row["id"]]
            # It may have got a label since it came first, or another one.
            said = None if held.row.label is None else self.schema.check_label(held.row.label)
            if row["crc"] != held.crc or said not in (None, *json.loads(row["labels"])):
                raise Conflict(
                    "a row with this id and another content is in the log; give a new row a new "
                    "id, and a new label of an old row to labels",
                    field="id",
                    value=row["id"],
                )
        return {row["id"]: row["position"] for row in found}

    def store(self, connection: sqlite3.Connection, rows: Sequence[Encoded]) -> dict[str, int]:
        """Store rows that are not known; their positions by id.

        Raises:
            Full: there is no room.
            Erased: one is of a subject who was erased.
            Conflict: one is pinned in the anchor.
            RowRefused: a label would be one class too many.
        """
        if not rows:
            return {}
        self._check_room(connection, len(rows))
        check_subjects(connection, [held.row.subject for held in rows])
        _check_unpinned(connection, rows)
        places = self.segments.append(connection, np.stack([held.data for held in rows]))
        first, now = _last(connection) + 1, time.time()
        values, examples, positions = [], [], {}
        for position, (held, place) in enumerate(zip(rows, places, strict=True), first):
            row, share = held.row, self.settings.evaluation.share
            part = splits.part(row.subject, held.id, share, self.settings.seed)
            values.append(
                (position, held.id, key(held.id), row.event_time, now, row.subject,
                 None if row.subject is None else key(row.subject), row.source, row.task, part,
                 *place, held.crc)
            )  # fmt: skip
            positions[held.id] = position
            if row.label is not None:
                label = labels.index_of(connection, self.schema, row.label)
                examples.append((position, label, 0, now, labels.use_of(part)))
        connection.executemany(
            "INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values
        )
        connection.executemany(
            "INSERT INTO examples (position, label, revision, labelled, use)"
            " VALUES (?, ?, ?, ?, ?)",
            examples,
        )
        return positions

    def _check_room(self, connection: sqlite3.Connection, count: int) -> None:
        """Counting all rows takes long: it is done where so many may have come since last time."""
        most, last = self.settings.log.max_rows, _last(connection)
        before, held = self._counted or (0, 0)
        if held + last - before + count > most:
            held = int(connection.execute("SELECT count(*) FROM rows").fetchone()[0])
            self._counted = (last, held)
            if held + count > most:
                raise Full(
                    f"the log holds {held} rows of {most}; rows leave it after an update has "
                    "learnt them: see `perdure status`",
                    retry_after=5.0,
                )


def check_subjects(connection: sqlite3.Connection, subjects: Sequence[str | None]) -> None:
    """Raise `Erased` where one of the subjects was erased."""
    secret = connection.execute("SELECT value FROM meta WHERE key = 'secret'").fetchone()[0]
    for subject in {named for named in subjects if named is not None}:
        digest = subject_digest(secret, subject)
        if connection.execute(
            "SELECT 1 FROM erased WHERE subject_digest = ?", (digest,)
        ).fetchone():
            raise Erased("rows of an erased subject are not taken again", field="subject")


def _check_unpinned(connection: sqlite3.Connection, rows: Sequence[Encoded]) -> None:
    """What every version is measured by must not be learnt."""
    pinned = connection.execute(
        "SELECT key FROM evaluation WHERE part = 'anchor' AND key IN"
        " (SELECT value FROM json_each(?))",
        (json.dumps([key(held.id) for held in rows]),),
    ).fetchone()
    if pinned is not None:
        named = next(held.id for held in rows if key(held.id) == pinned["key"])
        raise Conflict("this row is pinned in the anchor", field="id", value=named)


def _last(connection: sqlite3.Connection) -> int:
    """The last position that was given, whether or not its row is still there."""
    last = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'rows'").fetchone()
    return 0 if last is None else int(last[0])
