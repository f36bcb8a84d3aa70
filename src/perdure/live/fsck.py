"""Is everything as it should be? Every checksum and invariant of a state directory.

What a crash leaves is unfinished, and mended without loss: files that nobody speaks of go, bytes
of rows that are gone are written over, erasures are ended. What is damaged is only told: data are
never invented.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from typing import Any, Literal

import numpy as np

from perdure.errors import PerdureError
from perdure.live import anchor, erasure, keeping
from perdure.live.alone import alone
from perdure.live.keys import key
from perdure.live.project import Project
from perdure.live.receipt import Receipt
from perdure.live.refusals import Conflict
from perdure.live.segments import checksums

CHUNK = 4096
RESTORE = "restore the directory from a backup"
REPAIR = "`perdure fsck --repair`, or the next updater, finishes it"


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be.

    Args:
        check: what was looked at: "database", "segments", "rows", "versions", ...
        severity: "damaged" needs somebody; "unfinished" can be mended, and "repaired" has been;
            "waiting" is as it should be after a stop, and goes on by itself.
        where: the file, table or row.
        what: a sentence.
        advice: what to do.
    """

    check: str
    severity: Literal["damaged", "unfinished", "repaired", "waiting"]
    where: str
    what: str
    advice: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def fsck(project: Project, *, repair: bool = False) -> list[Finding]:
    """Look at everything; the service may run meanwhile.

    While an updater is at work, files that nobody speaks of may be its own, and are passed over.

    Args:
        project: to look at.
        repair: mend what is unfinished; where an updater is at work, it does that itself.

    Returns:
        What was found, the worst first; of what was mended, that it was.
    """
    busy = _is_busy(project)
    found = list(_findings(project, busy))
    if repair and not busy and any(one.severity == "unfinished" for one in found):
        _mend(project)
        left = list(_findings(project, busy))
        found = [*left, *(replace(one, severity="repaired") for one in found if one not in left)]
    order = ("damaged", "unfinished", "repaired", "waiting")
    return sorted(found, key=lambda one: order.index(one.severity))


def _findings(project: Project, busy: bool) -> Iterator[Finding]:
    for check in (_database, _segments, _rows, _versions, _served, _places, _jobs, _erasures):
        yield from check(project)
    if not busy:
        yield from _stopped(project)


def _mend(project: Project) -> None:
    with alone(project.directory):
        stray = list(_stray(project))
        project.database.transact(
            lambda c: c.executemany("INSERT OR IGNORE INTO blanks VALUES (?, ?)", stray)
        )
        keeping.sweep(project)
        erasure.finish(project, again=True)
        keeping.wipe(project)


# -- checks --------------------------------------------------------------------------------------


def _damaged(check: str, where: str, what: str, advice: str = RESTORE) -> Finding:
    return Finding(check, "damaged", where, what, advice)


def _unfinished(check: str, where: str, what: str) -> Finding:
    return Finding(check, "unfinished", where, what, REPAIR)


def _database(project: Project) -> Iterator[Finding]:
    """SQLite's own checks, and what its constraints cannot say."""
    where = project.database.path.name
    for row in project.database.read("PRAGMA integrity_check"):
        if row[0] != "ok":
            yield _damaged("database", where, row[0])
    for row in project.database.read("PRAGMA foreign_key_check"):
        yield _damaged("database", where, f"table {row[0]}, row {row[1]}: there is no {row[2]}")
    classes = project.database.read("SELECT label, name FROM classes ORDER BY label")
    if [row["label"] for row in classes] != list(range(len(classes))):
        yield _damaged("classes", "classes", "their numbers have gaps")
    said = project.schema.classes
    if tuple(row["name"] for row in classes[: len(said)]) != said:
        yield _damaged("classes", "classes", "they are not those of the schema, in its order")
    unknown = project.database.value(
        "SELECT count(*) FROM examples WHERE label NOT IN (SELECT label FROM classes)"
    )
    if unknown:
        yield _damaged("classes", "examples", f"{unknown} examples have a label without a class")
    wrong = project.database.value(
        "SELECT count(*) FROM evaluation WHERE length(x) != ?", (project.schema.row_bytes,)
    )
    if wrong:
        yield _damaged("held-out", "evaluation", f"{wrong} held-out rows are not of the schema")
    try:
        anchor.check_seal(project)
    except PerdureError as error:
        yield _damaged("held-out", "evaluation", str(error), "pin the anchor rows again")


def _segments(project: Project) -> Iterator[Finding]:
    """Every file is there and long enough, and every row has a place of its own in one."""
    read = project.database.read
    used = dict(tuple(row) for row in read("SELECT number, used FROM segments"))
    for number, count in used.items():
        path, slots = project.segments.path(number), len(project.segments.rows_of(number))
        if slots < count:
            said = "is missing" if not path.exists() else f"holds {slots} rows"
            yield _damaged("segments", path.name, f"it {said} and should hold {count}")
    for row in read(
        "SELECT id, segment, slot FROM rows LEFT JOIN segments ON number = segment"
        " WHERE used IS NULL OR slot >= used OR EXISTS (SELECT 1 FROM blanks b"
        " WHERE b.segment = rows.segment AND b.slot = rows.slot)"
    ):
        where = f"segment {row['segment']}, slot {row['slot']}"
        yield _damaged("segments", where, f"row {row['id']!r} has no place of its own there")
    unknown, behind = project.database.transact(project.segments.remains)
    for number in sorted({*unknown, *(number for number, _ in behind)}):
        name = project.segments.path(number).name
        yield _unfinished("segments", name, "it holds bytes that were never committed")
    blanks = project.database.value("SELECT count(*) FROM blanks")
    if blanks:
        yield _unfinished("segments", "blanks", f"{blanks} rows that are gone have their bytes yet")
    stray = sum(1 for _ in _stray(project))
    if stray:
        yield _unfinished("segments", "segments", f"{stray} slots hold bytes that are no row's")


def _stray(project: Project) -> Iterator[tuple[int, int]]:
    """Slots in use that hold bytes, and that neither a row nor a note of a gone one claims."""
    for number, used in project.database.read("SELECT number, used FROM segments"):
        claimed = project.database.read(
            "SELECT slot FROM rows WHERE segment = ?1 UNION SELECT slot FROM blanks"
            " WHERE segment = ?1",
            (number,),
        )
        free = np.setdiff1d(np.arange(used), [row["slot"] for row in claimed])
        held = project.segments.rows_of(number)
        for part in np.array_split(free[free < len(held)], 1 + len(free) // CHUNK):
            yield from ((number, int(slot)) for slot in part[held[part].any(axis=1)])


def _rows(project: Project) -> Iterator[Finding]:
    """Every row's bytes are those that were stored, and its keys are those of its names."""
    last = 0
    while True:
        found = project.database.read(
            "SELECT position, id, key, subject, subject_key, segment, slot, crc FROM rows"
            " WHERE position > ? ORDER BY position LIMIT ?",
            (last, CHUNK),
        )
        if not found:
            return
        last = found[-1]["position"]
        for number, rows in groupby(found, lambda row: int(row["segment"])):
            mine, held = list(rows), project.segments.rows_of(number)
            there = [row for row in mine if row["slot"] < len(held)]  # others: see _segments
            crcs = checksums(held[[row["slot"] for row in there]]) if there else []
            wrong = [row for row, crc in zip(there, crcs, strict=True) if row["crc"] != crc]
            wrong += [row for row in mine if not _named(row)]
            yield from (
                _damaged("rows", f"row {row['id']!r}", "its bytes or keys are not its own")
                for row in wrong
                if _is_there(project, row["position"])
            )


def _named(row: Any) -> bool:
    subject = None if row["subject"] is None else key(row["subject"])
    return bool(row["key"] == key(row["id"]) and row["subject_key"] == subject)


def _is_there(project: Project, position: int) -> bool:
    """Whether a row has not gone while it was looked at."""
    return project.database.one("SELECT 1 FROM rows WHERE position = ?", (position,)) is not None


def _versions(project: Project) -> Iterator[Finding]:
    """Every version that should be there is there, and its files are what their checksums say."""
    for held in project.registry.all():
        if held.state == "removed":
            continue
        try:
            project.registry.check(held.version)
        except (PerdureError, OSError) as error:
            if project.registry.get(held.version).state == "removed":
                continue  # meanwhile
            advice = f"{RESTORE}, or promote another version; `perdure update` makes a new one"
            yield _damaged("versions", f"version {held.version}", str(error), advice)


def _served(project: Project) -> Iterator[Finding]:
    """Aliases name versions that are there, and the champion is the top of what served."""
    states = {held.version: held.state for held in project.registry.all()}
    for name, number in project.registry.aliases().items():
        if states.get(number, "removed") == "removed":
            yield _damaged("aliases", name, f"it names version {number}, which is gone")
    pile = project.database.read(  # with the alias, as it was at the same moment
        "SELECT served.version, until, (SELECT version FROM aliases WHERE name = 'champion')"
        " AS champion FROM served WHERE rolled_back = 0 ORDER BY id DESC"
    )
    if not pile and "champion" in project.registry.aliases():
        yield _damaged("served", "champion", "it never began to serve", "promote it again")
    serving = [row["version"] for row in pile if row["until"] is None]
    if pile and (serving != [pile[0]["champion"]] or serving != [pile[0]["version"]]):
        what = f"the champion is {pile[0]['champion']}, and versions {serving} serve"
        yield _damaged("served", "champion", what, "promote the version that shall serve")


def _places(project: Project) -> Iterator[Finding]:
    """Nobody has learnt or scored what is not there yet."""
    places = {
        "versions": "SELECT max(upto) FROM versions",
        "jobs": "SELECT max(upto) FROM jobs",
        "watch": "SELECT seq FROM watch",
        "spans": "SELECT max(last) FROM spans",
        "examples": "SELECT max(seq) FROM examples",
    }
    found = {table: project.database.value(sql) or 0 for table, sql in places.items()}
    head = project.log.head()  # the last to be read: it only grows
    for table, seq in found.items():
        if seq > head:
            yield _damaged("positions", table, f"it is at seq {seq} and the log ends at {head}")


def _jobs(project: Project) -> Iterator[Finding]:
    """At most one runs, and what came of it is there."""
    running = project.database.value("SELECT count(*) FROM jobs WHERE state = 'running'")
    if running > 1:
        yield _damaged("jobs", "jobs", f"{running} jobs run at once", "cancel all but one")
    for row in project.database.read(
        "SELECT id, version FROM jobs WHERE state IN ('running', 'done') AND version IS NOT NULL"
        " AND version NOT IN (SELECT version FROM versions)"
        " AND version >= (SELECT min(version) FROM versions)"
    ):
        yield _damaged("jobs", f"job {row['id']}", f"its version {row['version']} is not there")


def _erasures(project: Project) -> Iterator[Finding]:
    """Every erasure came to its end, and its receipt is as it was signed."""
    secret = project.database.value("SELECT value FROM meta WHERE key = 'secret'")
    for row in project.database.read("SELECT receipt FROM erased"):
        receipt, where = Receipt.of(row["receipt"]), "erased"
        if receipt.state == "pending":
            said = f"the erasure of {receipt.subject[:16]} is pending: {receipt.problem or 'begun'}"
            yield _unfinished("erasures", where, said)
        elif not receipt.is_signed(secret):
            yield _damaged("erasures", where, f"receipt {receipt.subject[:16]} is not as signed")


def _stopped(project: Project) -> Iterator[Finding]:
    """What an updater that is no longer there has left."""
    for path in keeping.leftovers(project):
        where = str(path.relative_to(project.directory))
        yield _unfinished("leftovers", where, "nothing in the database speaks of it")
    for row in project.database.read("SELECT id, pid FROM jobs WHERE state = 'running'"):
        what = f"it stopped with process {row['pid']}"
        advice = "`perdure serve` or `perdure update` goes on with it"
        yield Finding("jobs", "waiting", f"job {row['id']}", what, advice)


def _is_busy(project: Project) -> bool:
    """Whether an updater is at work."""
    try:
        with alone(project.directory):
            return False
    except Conflict:
        return True
