"""Labels that come after their rows: joined by the row's id, in time, late, or changed later."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Literal

from perdure.live.database import Database
from perdure.live.refusals import NotFound, RowRefused
from perdure.live.schema import Schema
from perdure.live.settings import Settings

Status = Literal["joined", "duplicate", "revised", "late", "dropped"]


@dataclass(frozen=True)
class Label:
    """A label for a row that is in the log.

    Args:
        id: of the row: the caller's, or the prediction id that an answer came with.
        label: a class by name.
    """

    id: str
    label: str | int


@dataclass(frozen=True)
class Joined:
    """What became of a label.

    Args:
        id: of the row.
        status: "joined" makes the row an example, "revised" makes it one again with another label,
            "late" came after the wait and is used as the settings say, "dropped" changes nothing,
            "duplicate" was known.
    """

    id: str
    status: Status


class Labels:
    """The join of labels to rows.

    Args:
        database: of the log.
        settings: how long a row waits, and what a late label is good for.
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database = database
        self.settings = settings
        self._settled = 0

    def give(self, labels: Sequence[Label]) -> Future[list[Joined]]:
        """Join labels to their rows, all of them or none; the future resolves when it is durable.

        Giving the same label twice changes nothing; another label revises the first.

        Raises:
            RowRefused: the schema has no such class; the future raises NotFound for an unknown id.
        """
        self._check_classes(labels)
        return self.database.write(
            lambda c: [self._join(c, held, index) for index, held in enumerate(labels)]
        )

    def check(self, labels: Sequence[Label]) -> None:
        """Raise what `give` would, and change nothing.

        Raises:
            RowRefused: the schema has no such class.
            NotFound: no row has the id.
        """
        self._check_classes(labels)
        for index, held in enumerate(labels):
            if self.database.one("SELECT 1 FROM rows WHERE id = ?", (held.id,)) is None:
                raise _unknown(held.id, index)

    def expire(self, now: float) -> int:
        """Give rows whose wait is over the default label, or let them go; says how many.

        Args:
            now: seconds since the epoch.
        """
        wait, default = self.settings.labels.wait_seconds, self.settings.labels.default
        if not wait:
            return 0
        end = self.database.value(  # from there on rows still wait; before `_settled` none does
            "SELECT coalesce((SELECT min(position) FROM rows WHERE position > ?1 AND"
            " received >= ?2), (SELECT max(position) + 1 FROM rows), 1)",
            (self._settled, now - wait),
        )
        span = (self._settled, end)
        waiting = (
            "FROM rows WHERE position > ? AND position < ? AND NOT EXISTS"
            " (SELECT 1 FROM examples WHERE examples.position = rows.position)"
        )

        def work(connection: sqlite3.Connection) -> int:
            if default is None:
                return connection.execute(f"DELETE {waiting}", span).rowcount
            found = connection.execute(f"SELECT position, part {waiting}", span).fetchall()
            label = index_of(connection, self.settings.schema_, default)
            for row in found:
                _add(connection, row["position"], label, 0, use_of(row["part"]), now)
            return len(found)

        some = self.database.value(f"SELECT 1 {waiting}", span) is not None
        expired = self.database.transact(work) if some else 0
        self._settled = max(self._settled, end - 1)
        return expired

    def _check_classes(self, labels: Sequence[Label]) -> None:
        for index, held in enumerate(labels):
            try:
                self.settings.schema_.check_label(held.label)
            except RowRefused as refused:
                raise refused.at(index) from None

    def _join(self, connection: sqlite3.Connection, given: Label, index: int) -> Joined:
        row = connection.execute(
            "SELECT position, part, received FROM rows WHERE id = ?", (given.id,)
        ).fetchone()
        if row is None:
            raise _unknown(given.id, index)
        label = index_of(connection, self.settings.schema_, given.label)
        last = connection.execute(
            "SELECT label, revision FROM examples WHERE position = ? ORDER BY revision DESC",
            (row["position"],),
        ).fetchone()
        if last is not None and last["label"] == label:
            return Joined(given.id, "duplicate")
        now = time.time()
        use, status = use_of(row["part"]), "joined" if last is None else "revised"
        wait = self.settings.labels.wait_seconds
        if wait and now - row["received"] > wait:
            if self.settings.labels.late == "drop":
                return Joined(given.id, "dropped")
            use, status = (use if self.settings.labels.late == "train" else "evaluate"), "late"
        revision = 0 if last is None else last["revision"] + 1
        _supersede(connection, row["position"])
        _add(connection, row["position"], label, revision, use, now)
        return Joined(given.id, status)  # type: ignore[arg-type]


def index_of(connection: sqlite3.Connection, schema: Schema, label: str | int) -> int:
    """The number of a class, a new one where the label space is open."""
    name = schema.check_label(label)
    row = connection.execute("SELECT label FROM classes WHERE name = ?", (name,)).fetchone()
    if row is not None:
        return int(row["label"])
    number = int(connection.execute("SELECT count(*) FROM classes").fetchone()[0])
    if schema.max_classes is not None and number >= schema.max_classes:
        raise RowRefused(
            f"it would be class {number + 1} and the schema allows {schema.max_classes}; raise "
            "max_classes in perdure.toml if the model has room",
            field="label",
            value=name,
        )
    connection.execute("INSERT INTO classes VALUES (?, ?)", (number, name))
    return number


def _unknown(name: str, row: int) -> NotFound:
    return NotFound(
        "no row with this id is in the log; it was never stored, or it left the log before its "
        "label came",
        field="id",
        value=name,
        row=row,
    )


def use_of(part: str) -> str:
    """What an example of a row in this part of the log is for."""
    return "train" if part == "train" else "evaluate"


def _add(
    connection: sqlite3.Connection, position: int, label: int, revision: int, use: str, now: float
) -> None:
    connection.execute(
        "INSERT INTO examples (position, label, revision, labelled, use) VALUES (?, ?, ?, ?, ?)",
        (position, label, revision, now, use),
    )


def _supersede(connection: sqlite3.Connection, position: int) -> None:
    """An earlier label that no version has learnt yet, and no job now learns, need never be."""
    connection.execute(
        "UPDATE examples SET use = 'superseded' WHERE position = ? AND seq >"
        " (SELECT coalesce(max(upto), 0) FROM (SELECT upto FROM versions UNION ALL"
        "  SELECT upto FROM jobs WHERE state = 'running'))",
        (position,),
    )
