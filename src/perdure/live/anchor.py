"""The anchor: the operator's own rows, by which every version is measured.

They are never trained on and never evicted, and belong to no span. A digest seals them, so that a
changed one is noticed.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence

from perdure.errors import CheckpointMismatch
from perdure.live import audit, labels
from perdure.live.answers import ANCHOR
from perdure.live.intake import check_subjects
from perdure.live.keys import key
from perdure.live.project import Project
from perdure.live.refusals import RowRefused
from perdure.live.rows import Row, check_names
from perdure.live.schema import Schema

ROWS = "SELECT key, label, task, x FROM evaluation WHERE span = -1 ORDER BY key"


def pin(project: Project, rows: Sequence[Row], actor: str) -> str:
    """Make labelled rows the anchor, in place of the one before; the digest that seals it.

    Args:
        project: whose anchor it is.
        rows: with id and label; no version may have learnt from them.
        actor: who does it, for the audit.

    Raises:
        RowRefused: a row has no id or no label, does not fit the schema, is in the log as a row to
            learn from, or shares its id with another.
        Erased: one is of a subject who was erased.
    """
    data = project.schema.encode_many([row.features for row in rows])
    named = [_named(project.schema, row, place) for place, row in enumerate(rows)]
    if len({name for name, _ in named}) < len(named):
        raise RowRefused("two anchor rows have the same id; give each its own", field="id")

    def work(connection: sqlite3.Connection) -> str:
        check_subjects(connection, [row.subject for row in rows])
        connection.execute("DELETE FROM evaluation WHERE span = ?", (ANCHOR,))
        for place, (row, (name, said), x) in enumerate(zip(rows, named, data, strict=True)):
            _check_untaught(connection, name, place)
            label = labels.index_of(connection, project.schema, said)
            connection.execute(
                "INSERT OR REPLACE INTO evaluation (key, span, label, task, source, subject, part,"
                " x) VALUES (?, ?, ?, ?, ?, ?, 'anchor', ?)",
                (key(name), ANCHOR, label, row.task, row.source, row.subject, x.tobytes()),
            )
        digest = seal(connection)
        audit.write(connection, actor, "pin", {"rows": len(rows), "digest": digest})
        return digest

    return project.database.transact(work)


def seal(connection: sqlite3.Connection) -> str:
    """Write down what the anchor is now; for whoever changes it rightfully, as erasure does."""
    digest = _digest(connection.execute(ROWS).fetchall())
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('anchor', ?)", (digest,))
    return digest


def check_seal(project: Project) -> None:
    """Raise `CheckpointMismatch` where the anchor rows are not those that were sealed."""
    sealed = project.database.value("SELECT value FROM meta WHERE key = 'anchor'")
    found = project.database.read(ROWS)
    if sealed is not None and _digest(found) != sealed:
        raise CheckpointMismatch(
            f"the {len(found)} anchor rows in {project.database.path} are not the ones that were "
            "pinned; pin them again from the file that you keep, and find out who changed them"
        )


def _named(schema: Schema, row: Row, place: int) -> tuple[str, str]:
    """A row's id and label, as the log would take them."""
    if row.id is None or row.label is None:
        missing = "id" if row.id is None else "label"
        raise RowRefused("an anchor row needs an id and a label", field=missing, row=place)
    check_names(row, place)
    try:
        return row.id, schema.check_label(row.label)
    except RowRefused as refused:
        raise refused.at(place) from None


def _check_untaught(connection: sqlite3.Connection, name: str, place: int) -> None:
    taught = connection.execute(
        "SELECT 1 FROM rows WHERE id = ? AND part = 'train'", (name,)
    ).fetchone()
    if taught is not None:
        raise RowRefused(
            "a row with this id is in the log to be learnt from; an anchor row must be unseen",
            field="id",
            value=name,
            row=place,
        )


def _digest(found: Sequence[sqlite3.Row]) -> str:
    state = hashlib.sha256()
    for row in found:
        state.update(f"{row['key']} {row['label']} {row['task']} {len(row['x'])} ".encode())
        state.update(row["x"])
    return state.hexdigest()
