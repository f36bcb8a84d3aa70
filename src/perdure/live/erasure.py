"""Erasure: a subject's rows leave the log, every memory, and every file; a receipt says so.

    1. One transaction: a tombstone, so that later rows are refused and running updates know that
       they must not write their result; the rows go, and versions that learnt them are marked.
    2. Every version whose memory holds rows of the subject is rewritten without them.
    3. Bytes are written over, and the database is written anew: pages that SQLite once split keep
       old copies of rows, which deleting them does not reach.
    4. The receipt is signed.

A crash anywhere leaves the tombstone with a pending receipt; `finish` goes on from there.
"""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import replace

import torch

from perdure.errors import PerdureError
from perdure.live import anchor, audit, files, keeping, remembering
from perdure.live import rebuild as rebuilding
from perdure.live.alone import alone
from perdure.live.answers import ANCHOR
from perdure.live.drift import FeatureDrift
from perdure.live.keys import key, subject_digest
from perdure.live.project import Project
from perdure.live.receipt import Rebuild, Receipt
from perdure.live.refusals import Conflict
from perdure.live.registry import MANIFEST, Version, bytes_of, digest_of, folder_name, write
from perdure.live.watch.state import from_text, to_text
from perdure.memory.erasing import forget

WAIT_SECONDS, POLL_SECONDS, RETRY_SECONDS = 60.0, 0.1, 60.0


def erase(
    project: Project,
    subject: str,
    actor: str,
    rebuild: Rebuild = "none",
    *,
    dry_run: bool = False,
) -> Receipt:
    """Remove every byte of a subject. Doing it again changes nothing and gives the same receipt.

    Where an updater is at work, it is the one that finishes; after a minute of waiting for it the
    receipt is returned as it is, pending.

    Args:
        project: whose subject.
        subject: the name, as rows came with it.
        actor: who asks, for the audit, which does not name the subject.
        rebuild: "exact" learns again from before the subject's first row, "scheduled" leaves that
            to the next training from scratch, "none" keeps the versions that are marked.
        dry_run: say what would be done, and do nothing.

    Raises:
        Conflict: the log no longer holds what an exact rebuild needs; nothing was done.
    """
    secret = project.database.value("SELECT value FROM meta WHERE key = 'secret'")
    digest = subject_digest(secret, subject)
    found = Receipt(
        "dry run" if dry_run else "pending", digest, actor, time.time(), 0, 0, None, {}, (), rebuild
    )
    if dry_run:
        return project.database.transact(lambda c: _counted(c, found, subject))
    before = _receipt(project, digest)
    if rebuild == "exact":
        _check_rebuild(project, subject)
    if before is None:
        project.database.transact(lambda c: _strike(c, found, subject))
    elif rebuild not in ("none", before.rebuild):
        _write(project, replace(before, state="pending", rebuild=rebuild))
    return _finished(project, digest)


def finish(project: Project, *, again: bool = False) -> None:
    """Go on with every erasure that is pending; nobody else may be at work on the versions.

    What cannot be done now is noted in the receipt and tried again after a minute.

    Args:
        project: whose erasures.
        again: try now what failed less than a minute ago.
    """
    for receipt in pending(project):
        since = time.time() - (receipt.finished or 0.0)
        if receipt.problem is not None and 0 <= since < RETRY_SECONDS and not again:
            continue
        try:
            _write(project, _done(project, receipt))
        except (PerdureError, OSError, sqlite3.Error) as error:
            now = _receipt(project, receipt.subject) or receipt
            _write(project, replace(now, problem=str(error), finished=time.time()))
        project.database.checkpoint()


def pending(project: Project) -> list[Receipt]:
    """Receipts of erasures that have begun and not ended."""
    found = project.database.read(
        "SELECT receipt FROM erased WHERE json_extract(receipt, '$.state') = 'pending' ORDER BY at"
    )
    return [Receipt.of(row["receipt"]) for row in found]


# -- 1. the tombstone ----------------------------------------------------------------------------


def _strike(connection: sqlite3.Connection, receipt: Receipt, subject: str) -> None:
    """Everything of the subject leaves the tables, and what learnt from it is marked."""
    if connection.execute(
        "SELECT 1 FROM erased WHERE subject_digest = ?", (receipt.subject,)
    ).fetchone():
        return  # somebody else was faster
    held = replace(_counted(connection, receipt, subject), key=key(subject))
    gone = connection.execute(
        "DELETE FROM evaluation WHERE subject = ?1"
        " OR key IN (SELECT key FROM rows WHERE subject = ?1) RETURNING span",
        (subject,),
    ).fetchall()
    if any(row["span"] == ANCHOR for row in gone):
        anchor.seal(connection)
    connection.execute("DELETE FROM rows WHERE subject = ?", (subject,))
    connection.execute("DELETE FROM subjects WHERE key = ?", (held.key,))
    connection.execute(  # and answers that name rows which nobody can tell any more whose they were
        "UPDATE requests SET answer = '', digest = '' WHERE answer != '' AND EXISTS (SELECT 1"
        " FROM json_each(CASE answer WHEN '' THEN '[]' ELSE answer END) AS one WHERE"
        " json_extract(one.value, '$.position') NOT IN (SELECT position FROM rows))"
    )
    connection.executemany(
        "UPDATE versions SET tainted = ? WHERE version = ? AND tainted IS NULL",
        [(held.at, number) for number in held.tainted],
    )
    _begin_again(connection)
    connection.execute("INSERT INTO erased VALUES (?, ?, ?)", (held.subject, held.at, held.text()))
    said = {"subject": held.subject, "rows": held.rows, "rebuild": held.rebuild}
    audit.write(connection, held.actor, "erase", said)


def _counted(connection: sqlite3.Connection, receipt: Receipt, subject: str) -> Receipt:
    """The receipt with what there is of the subject."""

    def value(sql: str, *args: object) -> int | None:
        row = connection.execute(sql, args).fetchone()
        return None if row is None else row[0]

    first = value("SELECT first FROM subjects WHERE key = ?", key(subject))
    learnt = connection.execute(
        "SELECT version, count(*) AS rows FROM versions JOIN examples ON seq > after AND"
        " seq <= upto JOIN rows USING (position) WHERE subject = ? AND use = 'train'"
        " GROUP BY version",
        (subject,),
    ).fetchall()
    tainted = connection.execute("SELECT version FROM versions WHERE upto >= ?", (first,))
    return replace(
        receipt,
        rows=value("SELECT count(*) FROM rows WHERE subject = ?", subject) or 0,
        held_out=value("SELECT count(*) FROM evaluation WHERE subject = ?", subject) or 0,
        first=first,
        learnt={str(row["version"]): row["rows"] for row in learnt},
        tainted=tuple(row["version"] for row in tainted),
    )


def _begin_again(connection: sqlite3.Connection) -> None:
    """Cancel what learns from the subject at this moment, and ask for it anew."""
    running = connection.execute("SELECT * FROM jobs WHERE state = 'running'").fetchall()
    for job in running:
        new = connection.execute(
            "INSERT INTO jobs (kind, state, reason, actor, created, progress)"
            " VALUES (?, 'queued', ?, ?, ?, ?)",
            (job["kind"], job["reason"], job["actor"], time.time(), job["progress"]),
        ).lastrowid
        connection.execute(
            "UPDATE jobs SET state = 'cancelled', finished = ?, error = ? WHERE id = ?",
            (time.time(), f"a subject was erased while it ran; job {new} begins again", job["id"]),
        )


def _check_rebuild(project: Project, subject: str) -> None:
    first = project.database.value("SELECT first FROM subjects WHERE key = ?", (key(subject),))
    if project.registry.champion() is not None:
        rebuilding.chain(project, "champion", first)


# -- 2 to 4 --------------------------------------------------------------------------------------


def _finished(project: Project, digest: str) -> Receipt:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            with alone(project.directory):
                finish(project, again=True)
        except Conflict:  # an updater is at work, and does it at its next turn
            time.sleep(POLL_SECONDS)
        receipt = _receipt(project, digest)
        assert receipt is not None  # noqa: S101
        if receipt.state == "done" or receipt.problem or time.monotonic() > deadline:
            return receipt


def _done(project: Project, receipt: Receipt) -> Receipt:
    """The final receipt, when no byte is left."""
    keeping.sweep(project)
    remembering.clear(project.features)
    for held in project.registry.all():
        if receipt.key and held.version in receipt.tainted and held.state != "removed":
            receipt = _cleaned(project, receipt, held)
    _empty_windows(project)
    keeping.wipe(project)
    project.database.read("VACUUM")
    _truncate(project)
    champion = project.registry.champion()
    job = None
    if receipt.rebuild == "exact" and champion is not None and champion.tainted is not None:
        job = project.jobs.ask("rebuild", "a subject was erased", receipt.actor).id
    done = replace(receipt, state="done", key=None, problem=None, finished=time.time(), job=job)
    return done.signed(project.database.value("SELECT value FROM meta WHERE key = 'secret'"))


def _cleaned(project: Project, receipt: Receipt, held: Version) -> Receipt:
    """Rewrite a version's files without the subject; the receipt that says so."""
    try:
        learner = project.load(held.version)
        if not forget(learner, torch.tensor([receipt.key]), "subject"):
            return receipt
    except PerdureError:
        if held.version in project.registry.aliases().values():
            raise
        return _removed(project, receipt, held)
    new = replace(held, redactions=held.redactions + 1)
    beside = project.registry.folder / f".{folder_name(held.version)}.part"
    said = json.loads((project.registry.path(held) / MANIFEST).read_bytes())
    write(beside, learner.state_dict(), {**said, "redactions": new.redactions})
    digest, size = digest_of(beside / MANIFEST), bytes_of(beside)
    after = replace(receipt, redacted=(*receipt.redacted, held.version))

    def work(connection: sqlite3.Connection) -> None:
        files.remove(project.registry.path(new))
        files.rename(beside, project.registry.path(new))
        connection.execute(
            "UPDATE versions SET redactions = ?, digest = ?, bytes = ? WHERE version = ?",
            (new.redactions, digest, size, held.version),
        )
        _put(connection, after)

    project.database.transact(work)
    files.remove(project.registry.path(held))
    return after


def _removed(project: Project, receipt: Receipt, held: Version) -> Receipt:
    """Take away a version whose memory cannot be opened: nobody can say what is in it."""
    after = replace(receipt, removed=(*receipt.removed, held.version))

    def work(connection: sqlite3.Connection) -> None:
        sql = "UPDATE versions SET state = 'removed' WHERE version = ?"
        connection.execute(sql, (held.version,))
        _put(connection, after)

    project.database.transact(work)
    files.remove(project.registry.path(held))
    return after


def _empty_windows(project: Project) -> None:
    """Let the detectors of drift go of the rows that they compare with."""

    def without(text: str) -> str:
        state = from_text(text)
        return to_text({**state, "features": FeatureDrift().state_dict(), "encoder": None})

    def work(connection: sqlite3.Connection) -> None:
        for old, new in (
            ("SELECT id, state FROM watch", "UPDATE watch SET state = ? WHERE id = ?"),
            ("SELECT id, watch FROM served", "UPDATE served SET watch = ? WHERE id = ?"),
        ):
            found = connection.execute(old).fetchall()
            connection.executemany(new, [(without(text), i) for i, text in found if text])

    project.database.transact(work)


def _truncate(project: Project) -> None:
    """Move the write-ahead log into the database and leave it empty.

    Raises:
        PerdureError: somebody reads on and on; it is tried again later.
    """
    if not project.database.checkpoint(WAIT_SECONDS):
        raise PerdureError("the write-ahead log is being read and cannot be emptied yet")


def _receipt(project: Project, digest: str) -> Receipt | None:
    text = project.database.value("SELECT receipt FROM erased WHERE subject_digest = ?", (digest,))
    return None if text is None else Receipt.of(text)


def _write(project: Project, receipt: Receipt) -> None:
    project.database.transact(lambda c: _put(c, receipt))


def _put(connection: sqlite3.Connection, receipt: Receipt) -> None:
    connection.execute(
        "UPDATE erased SET receipt = ? WHERE subject_digest = ?", (receipt.text(), receipt.subject)
    )
