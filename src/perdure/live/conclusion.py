"""The end of an update: the gate looks, and one transaction writes down all that follows."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from perdure.live import audit, evaluation, ledger, spans
from perdure.live.aliases import point, serve
from perdure.live.freezing import frozen
from perdure.live.gate import examine, record
from perdure.live.gate.verdict import Verdict
from perdure.live.jobs import Job, check_goes_on, finish
from perdure.live.project import Project
from perdure.live.registry import Version

ACTOR = "updater"


def conclude(project: Project, job: Job) -> Verdict:
    """Judge the version that a job made, and let follow what the mode says.

    Examination changes nothing, so a crash before the transaction has it done again. In mode
    `auto` the champion is replaced if it is still the one that the challenger was compared with.

    Returns:
        The verdict, of the interpolated version where the gate made one.

    Raises:
        Conflict: the job was cancelled, or a subject was erased since it began.
    """
    assert job.version is not None  # noqa: S101
    found = project.registry.get(job.version)
    made = project.registry.get(found.note.get("interpolated", {}).get("from", found.version))
    evaluation.take(project, made.upto)
    champion = project.registry.champion()
    examined = examine(project, made, champion)
    verdict = examined.verdict
    if examined.state is not None:  # where a crash came in between, it was made before
        new = found == made
        made = _interpolated(project, job, made, examined.state, verdict) if new else found
    size, accuracy = made.bytes, verdict.accuracy

    def work(connection: sqlite3.Connection) -> None:
        check_goes_on(connection, job.id)
        record(connection, made.version, examined)
        connection.execute(
            "UPDATE versions SET state = ? WHERE version = ?",
            (_state_of(verdict), made.version),
        )
        connection.execute(
            "UPDATE versions SET state = CASE upto WHEN ? THEN 'refused' ELSE 'undecided' END"
            " WHERE job = ? AND version != ?",
            (made.upto, job.id, made.version),
        )
        ledger.write(connection, replace(job, version=made.version), made.note, size, accuracy)
        _follow(connection, project, made, champion, verdict)
        settle(connection, project)
        finish(connection, job.id, "done", version=made.version)

    project.database.transact(work)
    return verdict


def settle(connection: sqlite3.Connection, project: Project) -> None:
    """Close the span of time that the champion has learnt; done again, it changes nothing."""
    champion = connection.execute(
        "SELECT upto FROM versions JOIN aliases USING (version) WHERE name = 'champion'"
    ).fetchone()
    if champion is not None:
        spans.end(connection, champion["upto"], project.settings.evaluation.max_spans)
    if not project.settings.retention.raw:
        evaluation.let_go(connection)


def verdict_of(project: Project, job: Job) -> Verdict | None:
    """What the gate said of the version that a job made; None before it has spoken."""
    held = project.database.one(
        "SELECT report FROM verdicts WHERE version = ? ORDER BY id DESC", (job.version,)
    )
    return None if held is None else Verdict.from_dict(json.loads(held["report"]))


def _follow(
    connection: sqlite3.Connection,
    project: Project,
    made: Version,
    champion: Version | None,
    verdict: Verdict,
) -> None:
    mode = project.settings.update.mode
    if mode == "apprentice":
        point(connection, shadow=made.version)
    if verdict.word == "promote" and mode == "auto" and frozen(project.database) is None:
        now = connection.execute("SELECT version FROM aliases WHERE name = 'champion'").fetchone()
        if (None if now is None else now["version"]) == (champion and champion.version):
            serve(connection, made.version, ACTOR, verdict.summary)
    if verdict.word == "refuse":
        said = {"version": made.version, "reason": verdict.summary}
        _set_aside(connection, project, made.after, made.upto, said)


def give_up(project: Project, job: Job, reason: str) -> None:
    """End an update whose rows cannot be learnt; they are set aside, as those of a refused one.

    Otherwise a single row on which the model overflows would have every later update fail, and the
    log fill up.
    """

    def work(connection: sqlite3.Connection) -> None:
        held = connection.execute(
            "SELECT after, upto FROM jobs WHERE id = ? AND state = 'running'", (job.id,)
        ).fetchone()
        count = 0
        if held is not None and job.kind == "update":
            said = {"job": job.id, "reason": reason}
            count = _set_aside(connection, project, held["after"], held["upto"], said)
        aside = f". Its {count} rows are set aside; `perdure update --release` lets them back in"
        finish(connection, job.id, "failed", error=reason + aside * bool(count))

    project.database.transact(work)


def _set_aside(
    connection: sqlite3.Connection, project: Project, after: int, upto: int, said: dict[str, Any]
) -> int:
    """Take rows behind the champion's out of use, where the settings say so; how many."""
    if not project.settings.abuse.quarantine:
        return 0
    count = connection.execute(
        "UPDATE examples SET use = 'quarantine' WHERE use IN ('train', 'evaluate')"
        " AND seq > ? AND seq <= ? AND seq > (SELECT coalesce(max(upto), 0) FROM versions"
        " JOIN aliases USING (version) WHERE name = 'champion')",
        (after, upto),
    ).rowcount
    connection.execute(
        "DELETE FROM evaluation WHERE key IN (SELECT key FROM rows JOIN examples USING (position)"
        " WHERE use = 'quarantine')"
    )
    # What was measured since the last span's end was measured on these rows.
    connection.execute(
        "DELETE FROM accuracy WHERE version IN (SELECT version FROM aliases"
        " WHERE name = 'champion') AND span > (SELECT coalesce(max(span), 0) FROM spans)"
    )
    audit.write(connection, ACTOR, "quarantine", {"rows": count, **said})
    return count


def release(project: Project, actor: str, reason: str, but: Collection[str] = ()) -> int:
    """Let rows that were set aside be used after all, as new examples; says how many.

    Args:
        project: whose rows.
        actor: who does it, for the audit.
        reason: why, a sentence.
        but: sources whose rows stay aside.
    """
    said = project.settings.labels
    wait = said.wait_seconds if said.wait_seconds and said.late == "evaluate" else None

    def work(connection: sqlite3.Connection) -> int:
        found = connection.execute(
            "SELECT position, label, revision, labelled, CASE"
            " WHEN EXISTS (SELECT 1 FROM examples newer WHERE newer.position = e.position"
            "  AND newer.revision > e.revision) THEN 'superseded'"
            " WHEN part = 'train' AND coalesce(labelled - received <= :wait, 1) THEN 'train'"
            " ELSE 'evaluate' END FROM examples e JOIN rows USING (position)"
            " WHERE use = 'quarantine'"
            " AND coalesce(source, '') NOT IN (SELECT value FROM json_each(:but)) ORDER BY seq",
            {"wait": wait, "but": json.dumps(list(but))},
        ).fetchall()
        connection.executemany(
            "DELETE FROM examples WHERE position = ? AND revision = ?",
            [(row["position"], row["revision"]) for row in found],
        )
        connection.executemany(
            "INSERT INTO examples (position, label, revision, labelled, use)"
            " VALUES (?, ?, ?, ?, ?)",
            [tuple(row) for row in found],
        )
        detail = {"rows": len(found), "but": list(but), "reason": reason}
        audit.write(connection, actor, "release", detail)
        return len(found)

    return project.database.transact(work)


def _interpolated(
    project: Project, job: Job, made: Version, state: dict[str, Any], verdict: Verdict
) -> Version:
    """The version between champion and challenger that the gate lets through."""
    number = project.registry.create(
        state,
        parent=made.parent,
        job=job.id,
        after=made.after,
        upto=made.upto,
        note={**made.note, "interpolated": {"from": made.version, "share": verdict.share}},
    )
    return project.registry.get(number)


def _state_of(verdict: Verdict) -> str:
    return {"promote": "blessed", "refuse": "refused"}.get(verdict.word, "undecided")
