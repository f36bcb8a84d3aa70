"""Work that outlives the process that does it: asked for, taken, watched, ended."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from perdure.live.database import Database
from perdure.live.refusals import Conflict, NotFound

State = Literal["queued", "running", "done", "failed", "cancelled"]
Kind = Literal["update", "rebuild"]


@dataclass(frozen=True)
class Job:
    """A piece of work.

    Args:
        id: its number.
        kind: "update" folds new rows into a challenger; "rebuild" folds the log again.
        state: "queued", "running", "done", "failed" or "cancelled".
        reason: why it was asked for, a sentence.
        actor: who asked.
        created, started, finished, heartbeat: seconds since the epoch.
        parent, after, upto: what it continues, and which examples it learns; fixed when it starts.
        version: what came of it.
        progress: plain values, for people.
        error: why it failed.
    """

    id: int
    kind: Kind
    state: State
    reason: str
    actor: str
    created: float
    started: float | None
    finished: float | None
    heartbeat: float | None
    parent: int | None
    after: int | None
    upto: int | None
    version: int | None
    erasures: int | None
    progress: dict[str, Any]
    error: str | None


class Jobs:
    """The jobs of a state directory.

    Args:
        database: holds them.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    def ask(
        self, kind: Kind, reason: str, actor: str, request: Mapping[str, Any] | None = None
    ) -> Job:
        """Ask for a job; where one of its kind waits or runs already, that one.

        Args:
            kind: of work.
            reason: why, a sentence.
            actor: who asks.
            request: what the worker must know, plain values; it becomes the job's progress.
        """

        def work(connection: sqlite3.Connection) -> int:
            waiting = connection.execute(
                "SELECT id FROM jobs WHERE kind = ? AND state IN ('queued', 'running')", (kind,)
            ).fetchone()
            if waiting is not None:
                return int(waiting["id"])
            added = connection.execute(
                "INSERT INTO jobs (kind, state, reason, actor, created, progress)"
                " VALUES (?, 'queued', ?, ?, ?, ?)",
                (kind, reason, actor, time.time(), json.dumps(dict(request or {}))),
            )
            return int(added.lastrowid or 0)

        return self.get(self.database.transact(work))

    def get(self, number: int) -> Job:
        """A job by its number.

        Raises:
            NotFound: there is none.
        """
        row = self.database.one("SELECT * FROM jobs WHERE id = ?", (number,))
        if row is None:
            raise NotFound("there is no such job", field="job", value=number)
        return _job(row)

    def latest(self, limit: int = 50) -> list[Job]:
        """The latest jobs, newest first."""
        found = self.database.read("SELECT * FROM jobs ORDER BY id DESC LIMIT ?", (limit,))
        return [_job(row) for row in found]

    def open(self) -> Job | None:
        """The job that runs or, if none does, the next one that waits."""
        row = self.database.one(
            "SELECT * FROM jobs WHERE state IN ('queued', 'running')"
            " ORDER BY state = 'running' DESC, id LIMIT 1"
        )
        return None if row is None else _job(row)

    def start(self, number: int, parent: int | None, after: int, upto: int) -> Job:
        """Fix what a queued job will do; a job that was started before keeps what was fixed."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE jobs SET state = 'running', started = ?, parent = ?, after = ?, upto = ?,"
                " erasures = (SELECT count(*) FROM erased) WHERE id = ? AND state = 'queued'",
                (time.time(), parent, after, upto, number),
            )
            connection.execute(
                "UPDATE jobs SET pid = ?, heartbeat = ? WHERE id = ? AND state = 'running'",
                (os.getpid(), time.time(), number),
            )

        self.database.transact(work)
        return self.get(number)

    def beat(self, number: int, **progress: Any) -> None:
        """Say that the job is alive, and how far it is.

        Raises:
            Conflict: it was cancelled, or a subject was erased since it began.
        """

        def work(connection: sqlite3.Connection) -> None:
            check_goes_on(connection, number)
            connection.execute(
                "UPDATE jobs SET heartbeat = ?, progress = json_patch(progress, ?) WHERE id = ?",
                (time.time(), json.dumps(progress), number),
            )

        self.database.transact(work)

    def cancel(self, number: int, actor: str) -> Job:
        """Give up a job that has not ended.

        Raises:
            Conflict: it has ended.
        """

        def work(connection: sqlite3.Connection) -> int:
            return connection.execute(
                "UPDATE jobs SET state = 'cancelled', finished = ?, error = ?"
                " WHERE id = ? AND state IN ('queued', 'running')",
                (time.time(), f"cancelled by {actor}", number),
            ).rowcount

        if not self.database.transact(work):
            raise Conflict("the job has ended", field="job", value=number)
        return self.get(number)

    def fail(self, number: int, error: str) -> None:
        """End a job without a result."""
        self.database.transact(lambda c: finish(c, number, "failed", error=error))


def check_goes_on(connection: sqlite3.Connection, number: int) -> None:
    """Raise `Conflict` where a job must not write its result: it ended, or learnt what is erased.

    Args:
        connection: of the transaction that is to write.
        number: of the job.
    """
    held = connection.execute(
        "SELECT state, error, erasures, (SELECT count(*) FROM erased) AS now FROM jobs"
        " WHERE id = ?",
        (number,),
    ).fetchone()
    if held is None or held["state"] != "running":
        said = "it has ended" if held is None else held["error"] or f"it is {held['state']}"
        raise Conflict(f"the job does not go on: {said}", field="job", value=number)
    if held["erasures"] != held["now"]:
        raise Conflict(
            "a subject was erased while the job ran; ask for it again", field="job", value=number
        )


def finish(
    connection: sqlite3.Connection,
    number: int,
    state: State,
    *,
    version: int | None = None,
    error: str | None = None,
) -> None:
    """End a job within the transaction that records its result."""
    connection.execute(
        "UPDATE jobs SET state = ?, finished = ?, version = coalesce(?, version), error = ?"
        " WHERE id = ? AND state IN ('queued', 'running')",
        (state, time.time(), version, error, number),
    )


def _job(row: sqlite3.Row) -> Job:
    held = {name: row[name] for name in row.keys() if name != "pid"}  # noqa: SIM118
    return Job(**{**held, "progress": json.loads(row["progress"])})
