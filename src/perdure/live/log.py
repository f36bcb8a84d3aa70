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
from perdure.live.database import Database
from perdure.live.intake import Encoded, Intake, encoded
from perdure.live.keys import key
from perdure.live.refusals import Erased, KeyReused, RowRefused
from perdure.live.rows import Row, check_names
from perdure.live.segments import Segments
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
            names, "time" (n,) float64 is the time of the event, or of its row's arrival where it is
            said to lie after that: one wrong clock must not age all other rows.
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
        self.intake = Intake(segments, settings)

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

    def _encode(self, rows: Sequence[Row]) -> list[Encoded]:
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
        return encoded(named, data)

    def _append(
        self, connection: sqlite3.Connection, rows: list[Encoded], request: str | None, digest: str
    ) -> list[Accepted]:
        answered = self._answered(connection, request, digest)
        if answered is not None:
            return answered
        known = self.intake.known(connection, rows)
        new = self.intake.store(connection, [held for held in rows if held.id not in known])
        accepted = [
            Accepted(held.id, known[held.id], "duplicate")
            if held.id in known
            else Accepted(held.id, new[held.id], "stored")
            for held in rows
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

    def before(self, rows: int, use: Use = "train") -> int:
        """The seq behind which the newest `rows` examples of a use lie; 0 where all of them do."""
        found = self.database.value(
            "SELECT seq FROM examples WHERE use = ? ORDER BY seq DESC LIMIT 1 OFFSET ?", (use, rows)
        )
        return 0 if found is None else int(found)

    def examples(self, after: int, upto: int, use: Use = "train") -> Examples:
        """Examples with after < seq <= upto, in order, read into memory."""
        found = self.database.read(
            "SELECT seq, position, label, revision, key, subject_key, source, task,"
            " min(event_time, received) AS time, segment, slot"
            " FROM examples JOIN rows USING (position)"
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
                "time": torch.tensor([row["time"] for row in found], dtype=torch.float64),
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


def _int64(values: Sequence[int]) -> Tensor:
    return torch.tensor(values, dtype=torch.int64)
