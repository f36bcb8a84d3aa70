"""Stretches of the log that accuracy is measured on apart: what R[version, span] is indexed by."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace

from perdure.live.evaluation import Progress
from perdure.live.project import Project
from perdure.live.selection import merge_limits

BETWEEN = ".."


@dataclass(frozen=True)
class Span:
    """Examples of one stretch of time.

    Args:
        span: its number; the open one, into which rows come now, has the next.
        name: its number or, of spans that were merged, the first and the last: "3..5".
        first, last: the seqs of its examples, both included.
    """

    span: int
    name: str
    first: int
    last: int


def closed(project: Project) -> list[Span]:
    """The spans that have ended, oldest first."""
    return [Span(**row) for row in project.database.read("SELECT * FROM spans ORDER BY span")]


def close(project: Project, upto: int, name: str | None = None) -> Span | None:
    """End the open span with the example `upto`, which the held-out memory must have read.

    Where there are more spans than the settings allow, the two neighbours with the fewest held-out
    rows become one, in the accuracies too.

    Args:
        project: whose span it is.
        upto: the seq of its last example.
        name: for people; its number by default.

    Returns:
        The span, or None where nothing came since the last one closed.
    """
    allowed = project.settings.evaluation.max_spans
    return project.database.transact(lambda c: end(c, upto, allowed, name))


def end(
    connection: sqlite3.Connection, upto: int, allowed: int, name: str | None = None
) -> Span | None:
    """The same within a transaction; `allowed` is how many spans there may be."""
    row = connection.execute(
        "SELECT coalesce(max(span), 0) + 1 AS span, coalesce(max(last), 0) + 1 AS first FROM spans"
    ).fetchone()
    if upto < row["first"]:
        return None
    ended = Span(row["span"], name or str(row["span"]), row["first"], upto)
    connection.execute(
        "INSERT INTO spans VALUES (?, ?, ?, ?)",
        (ended.span, ended.name, ended.first, ended.last),
    )
    while _count(connection) > allowed:
        _merge(connection, *_smallest(connection))
    return ended


def _count(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM spans").fetchone()[0])


def _smallest(connection: sqlite3.Connection) -> tuple[Span, Span]:
    """The two neighbours with the fewest held-out rows, the oldest of several."""
    found = connection.execute(
        "SELECT spans.*, count(key) AS held FROM spans LEFT JOIN evaluation USING (span)"
        " GROUP BY span ORDER BY span"
    ).fetchall()
    rows = [row["held"] for row in found]
    least = min(range(len(rows) - 1), key=lambda place: rows[place] + rows[place + 1])
    a, b = (
        Span(row["span"], row["name"], row["first"], row["last"])
        for row in found[least : least + 2]
    )
    return a, b


def _merge(connection: sqlite3.Connection, a: Span, b: Span) -> None:
    """Let `a` become part of `b`, whose number stays; accuracies of both add up."""
    first, last = a.name.partition(BETWEEN)[0], b.name.rpartition(BETWEEN)[2]
    connection.execute("DELETE FROM spans WHERE span = ?", (a.span,))
    connection.execute(
        "UPDATE spans SET name = ?, first = ? WHERE span = ?",
        (f"{first}{BETWEEN}{last}", a.first, b.span),
    )
    connection.execute("UPDATE evaluation SET span = ? WHERE span = ?", (b.span, a.span))
    connection.execute(
        "INSERT INTO accuracy SELECT version, ?, slice, rows, correct FROM accuracy"
        " WHERE span = ? ON CONFLICT DO UPDATE SET rows = rows + excluded.rows,"
        " correct = correct + excluded.correct",
        (b.span, a.span),
    )
    connection.execute("DELETE FROM accuracy WHERE span = ?", (a.span,))
    before = Progress.of(connection)
    limits = merge_limits(before.limits, gone=a.span, into=b.span)
    replace(before, limits=limits).write(connection)
