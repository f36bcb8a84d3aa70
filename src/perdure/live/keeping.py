"""What is kept and what goes: every table and file of a state directory is bounded here."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from perdure.live import files, remembering
from perdure.live.alone import LOCK
from perdure.live.project import Project
from perdure.live.registry import folder_name
from perdure.live.settings import Settings
from perdure.live.update import checkpoint_name

REQUEST_DAYS, REQUEST_BYTES = 7, 64 * 2**20
JOBS, DRIFTS, VERSIONS = 1000, 1000, 1000
REBUILDS = (
    "SELECT 1 FROM jobs WHERE kind = 'rebuild' AND state IN ('queued', 'running') UNION ALL"
    " SELECT 1 FROM erased WHERE json_extract(receipt, '$.state') = 'pending'"
    " AND json_extract(receipt, '$.rebuild') = 'exact'"
)
"""Whether an exact rebuild is under way, or will be."""
NOT_BEST = (
    "version NOT IN (SELECT version FROM (SELECT version, max(correct) FROM accuracy"
    " JOIN served USING (version) WHERE span = -1 GROUP BY slice))"
)
"""A version that some other one that served surpasses on the anchor: the best stays known."""


def tidy(project: Project) -> None:
    """Let go of what the settings no longer keep; bytes that go are written over.

    Rows that wait to be learnt never go, whatever the settings.
    """
    project.database.transact(lambda c: _trim_log(c, project))
    project.database.transact(lambda c: _trim_tables(c, project.settings))
    project.registry.prune(project.settings.retention.versions)
    if remembering.must_not_stay(project.settings):
        remembering.clear(project.features)
    sweep(project)
    wipe(project)


def sweep(project: Project) -> list[Path]:
    """Remove what crashes left and nobody speaks of any more; nobody else may be at work.

    That is: folders of versions that never came to be, or that were to go; checkpoints of jobs
    that have ended; bytes of rows that were never committed.

    Returns:
        What was removed.
    """
    gone = leftovers(project)
    for path in gone:
        files.remove(path)
    project.database.transact(project.segments.blank_remains)
    return gone


def leftovers(project: Project) -> list[Path]:
    """Files and folders of versions and updates that the database does not speak of."""
    present = project.database.read(
        "SELECT version, redactions FROM versions WHERE state != 'removed'"
    )
    running = project.database.read("SELECT id FROM jobs WHERE state = 'running'")
    spoken = {LOCK, *(folder_name(row["version"], row["redactions"]) for row in present)}
    spoken |= {checkpoint_name(row["id"]) for row in running}
    there = [*project.registry.folder.iterdir(), *(project.directory / "work").iterdir()]
    return sorted(path for path in there if path.name not in spoken)


def wipe(project: Project) -> None:
    """Remove the files of segments that hold no row, and write zeros over rows that are gone."""
    project.segments.remove(project.database.transact(project.segments.drop_unused))
    found = project.database.read(
        "SELECT segment, slot FROM blanks b WHERE NOT EXISTS (SELECT 1 FROM rows"
        " WHERE rows.segment = b.segment AND rows.slot = b.slot)"
    )
    if found:
        places = [(row["segment"], row["slot"]) for row in found]
        project.segments.blank(places)
        project.database.transact(
            lambda c: c.executemany("DELETE FROM blanks WHERE segment = ? AND slot = ?", places)
        )
    project.database.checkpoint()


def _trim_log(connection: sqlite3.Connection, project: Project) -> None:
    if connection.execute(REBUILDS).fetchone():
        return  # it learns again what the champion has learnt
    kept, now = project.settings.log, time.time()
    learnt = _learnt(connection, project.settings)
    last = connection.execute("SELECT max(position) FROM rows").fetchone()[0] or 0
    oldest = last - kept.keep_rows if project.settings.retention.raw else last
    since = 0.0 if kept.keep_days is None else now - kept.keep_days * 86400
    connection.execute(
        "DELETE FROM rows WHERE (position <= :oldest OR received < :since) AND NOT EXISTS"
        " (SELECT 1 FROM examples e WHERE e.position = rows.position AND e.seq > :learnt)"
        " AND (EXISTS (SELECT 1 FROM examples e WHERE e.position = rows.position)"
        "      OR position <= :last - :keep OR received < :since)",
        {"oldest": oldest, "since": since, "learnt": learnt, "last": last, "keep": kept.keep_rows},
    )


def _learnt(connection: sqlite3.Connection, settings: Settings) -> int:
    """The seq up to which nobody will read an example again."""
    if settings.update.mode == "observe":
        sql = "SELECT seq FROM watch"
    elif not settings.retention.raw:  # an update has seen them: nothing may stay of them
        sql = "SELECT max(upto) FROM jobs WHERE state = 'done'"
    else:
        sql = "SELECT upto FROM versions JOIN aliases USING (version) WHERE name = 'champion'"
    found = connection.execute(sql).fetchone()
    watched = connection.execute("SELECT seq FROM watch").fetchone()
    learnt = 0 if found is None or found[0] is None else int(found[0])
    return min(learnt, 0 if watched is None else int(watched[0]))


def _trim_tables(connection: sqlite3.Connection, settings: Settings) -> None:
    connection.execute("DELETE FROM requests WHERE at < ?", (time.time() - REQUEST_DAYS * 86400,))
    connection.execute(
        "DELETE FROM requests WHERE rowid IN (SELECT rowid FROM (SELECT rowid,"
        " sum(length(answer) + 100) OVER (ORDER BY rowid DESC) AS newer FROM requests)"
        " WHERE newer > ?)",
        (REQUEST_BYTES,),
    )
    connection.execute(
        "DELETE FROM jobs WHERE state NOT IN ('queued', 'running')"
        " AND id <= (SELECT max(id) FROM jobs) - ?",
        (JOBS,),
    )
    if settings.evaluation.keep_days is not None:
        since = time.time() - settings.evaluation.keep_days * 86400
        connection.execute("DELETE FROM evaluation WHERE span >= 0 AND event_time < ?", (since,))
    connection.execute("DELETE FROM drifts WHERE id <= (SELECT max(id) FROM drifts) - ?", (DRIFTS,))
    connection.execute(  # rollback goes to versions that are there
        "UPDATE served SET watch = NULL WHERE watch IS NOT NULL AND version IN"
        " (SELECT version FROM versions WHERE state = 'removed')"
    )
    gone = "version IN (SELECT version FROM versions WHERE state = 'removed' AND version <="
    gone += " (SELECT max(version) FROM versions) - ?)"
    known = "version IN (SELECT version FROM versions)"
    for table, where in {
        "served": f"{NOT_BEST} AND id <= (SELECT max(id) FROM served) - ?",  # noqa: S608
        "accuracy": f"({gone} OR NOT {known}) AND (span != -1 OR {NOT_BEST})",
        "verdicts": gone,
        "ledger": gone,
        "versions": gone,
    }.items():
        sql = f"DELETE FROM {table} WHERE {where}"  # noqa: S608 - names of ours
        connection.execute(sql, (VERSIONS,))
