"""The log: every row that was accepted, once, durably, in the order in which it came.

A row becomes an *example* when its label is known. Examples are numbered by `seq`, the one position
of the live loop: a version has learnt up to a seq, and the watcher has scored up to one.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from perdure.batch import Batch
from perdure.live import labels, splits
from perdure.live.database import Database
from perdure.live.keys import key, subject_digest
from perdure.live.refusals import Conflict, Erased, Full, KeyReused, RowRefused
from perdure.live.rows import Row, check_names
from perdure.live.segments import Segments, checksums
from perdure.live.settings import Settings

Use = Literal["train", "evaluate", "quarantine"]


@dataclass(frozen=True)
class Accepted:
    """A row that is in the log.

    Args:
        id: its id, the caller's or a new one.
        position: its place in the log.
        status: "stored", or "duplicate" where the same row was there already.
    """

    id: str
    position: int
    status: Literal["stored", "duplicate"]


@dataclass(frozen=True)
class Examples:
    """Labelled rows in the order of their labels.

    Args:
        batch: the rows; extras "row", "subject" and "source" (n,) int64 are hashes of these
            names, "time" (n,) float64 is the time of the event.
        seqs: (n,) int64.
        positions: (n,) int64, in the log.
        revisions: (n,) int64, 0 for the first label of a row.
        sources: n names or None.
    """

    batch: Batch
    seqs: NDArray[np.int64]
    positions: NDArray[np.int64]
    revisions: NDArray[np.int64]
    sources: tuple[str | None, ...]

    def __len__(self) -> int:
        return len(self.seqs)


@dataclass(frozen=True)
class _Encoded:
    row: Row
    data: NDArray[np.uint8]  # (row_bytes,)
    crc: int


class Log:
    """Rows of a state directory: append, read, let go.

    Args:
        database: holds all but the features.
        segments: hold the features.
        settings: schema, limits and the share that is held out.
    """

    def __init__(self, database: Database, segments: Segments, settings: Settings) -> None:
        self.database = database
        self.segments = segments
        self.settings = settings
        self.schema = settings.schema_
        self._secret: str = database.value("SELECT value FROM meta WHERE key = 'secret'")

    # -- writing ---------------------------------------------------------------------------------

    def append(
        self, rows: Sequence[Row], request: str | None = None, digest: str = ""
    ) -> Future[list[Accepted]]:
        """Store rows, all of them or none; the future resolves when they are on the disk.

        A row with an id that is there already is a duplicate and changes nothing, if it has the
        same features, and a label only if that one was given to it before.

        Args:
            rows: to store.
            request: an idempotency key: the same key and digest give the same answer again.
            digest: of the request's body.

        Raises:
            RowRefused: a row does not fit the schema; the future raises the other refusals:
            KeyReused, Conflict for an id with another content, Erased, and Full.
        """
        encoded = self._encode(rows)
        return self.database.write(lambda c: self._append(c, encoded, request, digest))

    def check(self, rows: Sequence[Row]) -> None:
        """Raise `RowRefused` where a row does not fit the schema; stores nothing."""
        self._encode(rows)

    def _encode(self, rows: Sequence[Row]) -> list[_Encoded]:
        data = self.schema.encode_many([row.features for row in rows])
        now = time.time()
        named = []
        for index, row in enumerate(rows):
            check_names(row, index)
            if row.label is not None:
                try:
                    self.schema.check_label(row.label)
                except RowRefused as refused:
                    raise refused.at(index) from None
            filled = replace(
                row,
                id=row.id or uuid.uuid4().hex,
                event_time=now if row.event_time is None else row.event_time,
            )
            named.append(filled)
        ids = [row.id for row in named]
        if len(set(ids)) < len(ids):
            twice = next(i for i, one in enumerate(ids) if one in ids[:i])
            raise RowRefused(
                "it names two rows of one request; give each row its own id",
                field="id",
                value=ids[twice],
                row=twice,
            )
        return [_Encoded(*held) for held in zip(named, data, checksums(data), strict=True)]

    def _append(
        self, connection: sqlite3.Connection, rows: list[_Encoded], request: str | None, digest: str
    ) -> list[Accepted]:
        answered = self._answered(connection, request, digest)
        if answered is not None:
            return answered
        known = self._known(connection, rows)
        new = [held for held in rows if held.row.id not in known]
        self._check_room(connection, len(new))
        self._check_subjects(connection, new)
        _check_unpinned(connection, new)
        positions = self._store(connection, new)
        accepted = [
            Accepted(held.row.id, known[held.row.id], "duplicate")
            if held.row.id in known
            else Accepted(held.row.id, positions[held.row.id], "stored")
            for held in rows
            if held.row.id is not None
        ]
        if request is not None:
            answer = json.dumps([asdict(one) for one in accepted])
            connection.execute(
                "INSERT INTO requests VALUES (?, ?, ?, ?)",
                (_hidden(request), digest, answer, time.time()),
            )
        return accepted

    def _answered(
        self, connection: sqlite3.Connection, request: str | None, digest: str
    ) -> list[Accepted] | None:
        if request is None:
            return None
        held = connection.execute(
            "SELECT digest, answer FROM requests WHERE key = ?", (_hidden(request),)
        ).fetchone()
        if held is None:
            return None
        if not held["answer"]:
            raise Erased(
                "rows of this request were erased, and it is not answered again",
                field="Idempotency-Key",
            )
        if held["digest"] != digest:
            raise KeyReused(
                "it came before with another body; give every new request a new key",
                field="Idempotency-Key",
                value=request,
            )
        return [Accepted(**one) for one in json.loads(held["answer"])]

    def _known(self, connection: sqlite3.Connection, rows: list[_Encoded]) -> dict[str, int]:
        found = connection.execute(
            "SELECT id, position, crc, (SELECT json_group_array(name)"
            "  FROM examples JOIN classes USING (label) WHERE position = rows.position) AS labels"
            " FROM rows WHERE id IN (SELECT value FROM json_each(?))",
            (json.dumps([held.row.id for held in rows]),),
        ).fetchall()
        offered = {held.row.id: held for held in rows}
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

    def _check_room(self, connection: sqlite3.Connection, count: int) -> None:
        first, last = connection.execute(  # each from the index: no row is read
            "SELECT (SELECT min(position) FROM rows), (SELECT max(position) FROM rows)"
        ).fetchone()
        held = 0 if last is None else last - first + 1
        if held + count > self.settings.log.max_rows:
            raise Full(
                f"the log holds {held} rows of {self.settings.log.max_rows}; rows leave it after "
                "an update has learnt them: see `perdure status`",
                retry_after=5.0,
            )

    def _check_subjects(self, connection: sqlite3.Connection, rows: list[_Encoded]) -> None:
        subjects = {held.row.subject for held in rows if held.row.subject is not None}
        for subject in subjects:
            digest = subject_digest(self._secret, subject)
            if connection.execute(
                "SELECT 1 FROM erased WHERE subject_digest = ?", (digest,)
            ).fetchone():
                raise Erased("rows of an erased subject are not taken again", field="subject")

    def _store(self, connection: sqlite3.Connection, rows: list[_Encoded]) -> dict[str, int]:
        if not rows:
            return {}
        places = self.segments.append(connection, np.stack([held.data for held in rows]))
        last = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'rows'").fetchone()
        first = 1 if last is None else last[0] + 1
        now, held_out = time.time(), self.settings.evaluation.share
        values, examples, positions = [], [], {}
        for position, (held, place) in enumerate(zip(rows, places, strict=True), first):
            row, name = held.row, str(held.row.id)
            part = splits.part(row.subject, name, held_out, self.settings.seed)
            values.append(
                (position, name, key(name), row.event_time, now, row.subject,
                 None if row.subject is None else key(row.subject), row.source, row.task, part,
                 *place, held.crc)
            )  # fmt: skip
            positions[name] = position
            if row.label is not None:
                label = labels.index_of(connection, self.schema, row.label)
                use = "train" if part == "train" else "evaluate"
                examples.append((position, label, 0, now, use))
        connection.executemany(
            "INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values
        )
        connection.executemany(
            "INSERT INTO examples (position, label, revision, labelled, use)"
            " VALUES (?, ?, ?, ?, ?)",
            examples,
        )
        return positions

    # -- reading ---------------------------------------------------------------------------------

    def head(self) -> int:
        """The last seq that was given, whether or not the log still holds it; 0 before any."""
        found = self.database.value("SELECT seq FROM sqlite_sequence WHERE name = 'examples'")
        return 0 if found is None else int(found)

    def count(self, after: int, upto: int | None = None, use: Use = "train") -> int:
        """Examples with after < seq <= upto."""
        upto = self.head() if upto is None else upto
        return int(
            self.database.value(
                "SELECT count(*) FROM examples WHERE seq > ? AND seq <= ? AND use = ?",
                (after, upto, use),
            )
        )

    def upto(self, after: int, rows: int, use: Use = "train") -> int:
        """The seq that at most `rows` examples of a use lie before, counted from `after`."""
        found = self.database.value(
            "SELECT seq FROM examples WHERE seq > ? AND use = ? ORDER BY seq LIMIT 1 OFFSET ?",
            (after, use, rows),
        )
        return self.head() if found is None else int(found) - 1

    def examples(self, after: int, upto: int, use: Use = "train") -> Examples:
        """Examples with after < seq <= upto, in order, read into memory."""
        found = self.database.read(
            "SELECT seq, position, label, revision, key, subject_key, source, task, event_time,"
            " segment, slot FROM examples JOIN rows USING (position)"
            " WHERE seq > ? AND seq <= ? AND use = ? ORDER BY seq",
            (after, upto, use),
        )
        x = self.schema.decode(self.segments.read((r["segment"], r["slot"]) for r in found))
        tasks = [row["task"] for row in found]
        batch = Batch(
            x,
            _int64([row["label"] for row in found]),
            None if None in tasks or not self.schema.tasks else _int64(tasks),
            {
                "row": _int64([row["key"] for row in found]),
                "subject": _int64([_owner(row["subject_key"], row["key"]) for row in found]),
                "source": _int64([key(row["source"] or "") for row in found]),
                "time": torch.tensor([row["event_time"] for row in found], dtype=torch.float64),
            },
        )
        return Examples(
            batch,
            np.array([row["seq"] for row in found], dtype=np.int64),
            np.array([row["position"] for row in found], dtype=np.int64),
            np.array([row["revision"] for row in found], dtype=np.int64),
            tuple(row["source"] for row in found),
        )

    def features(self, positions: Sequence[int]) -> Tensor:  # (n, ...)
        """The inputs of rows, labelled or not, by their positions and in this order."""
        found = self.database.read(
            "SELECT position, segment, slot FROM rows"
            " WHERE position IN (SELECT value FROM json_each(?))",
            (json.dumps(list(positions)),),
        )
        places = {row["position"]: (row["segment"], row["slot"]) for row in found}
        return self.schema.decode(self.segments.read(places[p] for p in positions))


def _hidden(request: str) -> str:
    """An idempotency key as it is kept: callers put names of subjects into them."""
    return hashlib.sha256(request.encode()).hexdigest()


def _owner(subject: int | None, row: int) -> int:
    """Whose row it is; one without a subject is its own, whatever subject is named like it."""
    return ~row if subject is None else subject


def _check_unpinned(connection: sqlite3.Connection, rows: list[_Encoded]) -> None:
    """What every version is measured by must not be learnt."""
    pinned = connection.execute(
        "SELECT key FROM evaluation WHERE part = 'anchor' AND key IN"
        " (SELECT value FROM json_each(?))",
        (json.dumps([key(str(held.row.id)) for held in rows]),),
    ).fetchone()
    if pinned is not None:
        named = next(held.row.id for held in rows if key(str(held.row.id)) == pinned["key"])
        raise Conflict("this row is pinned in the anchor", field="id", value=named)


def _int64(values: Sequence[int]) -> Tensor:
    return torch.tensor(values, dtype=torch.int64)
