"""The aliases and the pile of versions that served, within a transaction: all of it moves at once.

Promotion adds to the pile, rollback takes from it, and its top is the champion.
"""

from __future__ import annotations

import sqlite3
import time

from perdure.live import audit
from perdure.live.refusals import Conflict


def point(connection: sqlite3.Connection, **aliases: int | None) -> None:
    """Move aliases within a transaction; a new generation begins."""
    for name, number in aliases.items():
        if number is None:
            connection.execute("DELETE FROM aliases WHERE name = ?", (name,))
        else:
            connection.execute("INSERT OR REPLACE INTO aliases VALUES (?, ?)", (name, number))
    connection.execute("UPDATE meta SET value = value + 1 WHERE key = 'generation'")


def serve(connection: sqlite3.Connection, number: int, actor: str, reason: str) -> None:
    """Let a version serve, within a transaction: champion and previous move together.

    Raises:
        Conflict: it serves already, its files are gone, or it learnt from a subject who was erased
            since and the champion did not.
    """
    now, champion = time.time(), named(connection, "champion")
    if champion == number:
        raise Conflict("this version serves already", field="version", value=number)
    held = connection.execute(
        "SELECT state, tainted FROM versions WHERE version = ?", (number,)
    ).fetchone()
    if held["state"] == "removed":
        raise Conflict("its files are gone", field="version", value=number)
    if held["tainted"] is not None and not _tainted(connection, champion):
        raise Conflict(
            "this version learnt from a subject who was erased since; it can only take the place "
            "of another one that did",
            field="version",
            value=number,
        )
    connection.execute(
        "UPDATE served SET until = ?, watch = (SELECT state FROM watch) WHERE until IS NULL", (now,)
    )
    connection.execute("INSERT INTO served (version, since) VALUES (?, ?)", (number, now))
    point(connection, champion=number, previous=champion)
    said = {"from": champion, "to": number, "reason": reason}
    audit.write(connection, actor, "promote", said)


def below(connection: sqlite3.Connection) -> list[int]:
    """Versions that served before the champion and could again, the latest first."""
    found = connection.execute(
        "SELECT served.version FROM served JOIN versions USING (version)"
        " WHERE rolled_back = 0 AND until IS NOT NULL AND state != 'removed'"
        " AND (tainted IS NULL OR ?) ORDER BY id DESC",
        (_tainted(connection, named(connection, "champion")),),
    ).fetchall()
    return [int(row["version"]) for row in found]


def _tainted(connection: sqlite3.Connection, number: int | None) -> bool:
    row = connection.execute("SELECT tainted FROM versions WHERE version = ?", (number,)).fetchone()
    return row is not None and row["tainted"] is not None


def generation(connection: sqlite3.Connection) -> int:
    """Counts every change of an alias."""
    return int(connection.execute("SELECT value FROM meta WHERE key = 'generation'").fetchone()[0])


def named(connection: sqlite3.Connection, name: str) -> int | None:
    """The version that an alias names, or None."""
    row = connection.execute("SELECT version FROM aliases WHERE name = ?", (name,)).fetchone()
    return None if row is None else int(row["version"])
