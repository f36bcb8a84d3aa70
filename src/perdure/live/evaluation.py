"""The held-out memory: a bounded sample of the rows that no version may learn from.

Rows come in when they have their label, are told apart by span (when they came) and label, and
stay or go as `selection` says. They hold copies of their features, so that the log can be trimmed.
Beside them lie the anchor rows, which never go: see `anchor`.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from perdure.errors import UnseenTask
from perdure.learner import Learner
from perdure.live import anchor, splits
from perdure.live.answers import ANCHOR, Answers, HeldOut, Mask, numbered
from perdure.live.fairness import fair
from perdure.live.keys import key
from perdure.live.project import Project
from perdure.live.selection import Candidate, Group, select
from perdure.live.settings import Settings
from perdure.model import takes_task

CHUNK = 1024  # rows that one transaction takes in
ASKED = 256  # rows that a model is asked at a time
PROGRESS = "SELECT value FROM meta WHERE key = 'evaluation'"


@dataclass(frozen=True)
class Progress:
    """How far the memory has read the log, and what its groups no longer take.

    Args:
        seq: of the last example that was offered.
        limits: group -> the lowest priority that it let go.
    """

    seq: int = 0
    limits: Mapping[Group, float] = field(default_factory=dict)

    @classmethod
    def parse(cls, value: str | None) -> Progress:
        """From what the database holds, or from nothing."""
        if value is None:
            return cls()
        held = json.loads(value)
        return cls(held["seq"], {(s, label): limit for s, label, limit in held["limits"]})

    @classmethod
    def of(cls, connection: sqlite3.Connection) -> Progress:
        """As a transaction sees it."""
        row = connection.execute(PROGRESS).fetchone()
        return cls.parse(None if row is None else row["value"])

    def write(self, connection: sqlite3.Connection) -> None:
        """Within the transaction that changes the rows."""
        limits = [[*group, limit] for group, limit in sorted(self.limits.items())]
        value = json.dumps({"seq": self.seq, "limits": limits})
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('evaluation', ?)", (value,))


@dataclass(frozen=True, eq=False)
class Questions:
    """The held-out rows with their features.

    Args:
        x: as the schema decodes them, (n, ...).
        task: ids (n,) int64, -1 where a row has none.
        rows: what they are compared by.
        classes: how many there are: outputs beyond them are no answers, as in the service.
    """

    x: Tensor
    task: Tensor
    rows: HeldOut
    classes: int


def take(project: Project, upto: int) -> int:
    """Offer the held-out examples up to a seq to the memory; says how many it had not read yet.

    Taking the same examples again changes nothing.
    """
    total = 0
    while True:
        seq = progress(project).seq
        found = project.database.read(
            "SELECT seq, key, label, revision, task, source, subject, part, segment, slot,"
            " min(event_time, received) AS event_time FROM examples JOIN rows USING (position)"
            " WHERE seq > ? AND seq <= ? AND use = 'evaluate' ORDER BY seq LIMIT ?",
            (seq, upto, CHUNK),
        )
        end = int(found[-1]["seq"]) if len(found) == CHUNK else max(seq, upto)
        x = project.segments.read((row["segment"], row["slot"]) for row in found)
        offer = _Offer(project.settings, seq, end, tuple(found), x)
        total += project.database.transact(offer.take)
        if len(found) < CHUNK:
            return total


def progress(project: Project) -> Progress:
    """How far the memory has read the log."""
    return Progress.parse(project.database.value(PROGRESS))


def read(project: Project) -> Questions:
    """The held-out rows and the anchor, ordered by key.

    Of a source with more than `abuse.max_source_share` of a span's rows, some are left out: what
    nobody may teach alone, nobody may ask for alone.

    Raises:
        CheckpointMismatch: an anchor row is not as it was pinned.
    """
    found = project.database.read("SELECT * FROM evaluation ORDER BY key")
    found = _fair(found, project.settings.abuse.max_source_share)
    classes = project.classes()
    anchor.check_seal(project)
    data = np.frombuffer(b"".join(row["x"] for row in found), dtype=np.uint8)
    rows = HeldOut(
        keys=np.array([row["key"] for row in found], dtype=np.int64),
        y=np.array([row["label"] for row in found], dtype=np.int64),
        span=np.array([row["span"] for row in found], dtype=np.int64),
        subject=numbered([row["subject"] for row in found]),
        slices=_slices(found, project.settings.evaluation.slices, classes),
        spans={r["span"]: r["name"] for r in project.database.read("SELECT * FROM spans")},
    )
    x = project.schema.decode(data.reshape(-1, project.schema.row_bytes))
    task = [-1 if row["task"] is None else row["task"] for row in found]
    return Questions(x, torch.tensor(task, dtype=torch.int64), rows, len(classes))


def ask(learner: Learner, questions: Questions, version: int = 0) -> Answers:
    """The labels that a learner predicts; its state does not change.

    A row that it cannot answer, since it has no part for the row's task or its outputs are not
    finite, counts as wrong.

    Args:
        learner: whom to ask.
        questions: the held-out rows.
        version: how to call it in the answers.
    """
    predicted = torch.full((len(questions.x),), -1)
    places: list[tuple[Tensor, int | None]] = [(torch.arange(len(predicted)), None)]
    if takes_task(learner.model):
        tasks = questions.task.unique().tolist()
        places = [((questions.task == task).nonzero()[:, 0], task) for task in tasks]
    for mine, task in places:
        for part in mine.split(ASKED):
            predicted[part] = _labels(learner, questions.x[part], task, questions.classes)
    return Answers(version, questions.rows, predicted.numpy())


def accuracy(project: Project, learner: Learner) -> float | None:
    """A learner's accuracy on the held-out rows; None where there are none."""
    return ask(learner, read(project)).accuracy()


def clear(project: Project) -> None:
    """Let go of every held-out row but the anchor: for projects that may not keep raw rows."""
    project.database.transact(let_go)


def let_go(connection: sqlite3.Connection) -> None:
    """The same within a transaction."""
    connection.execute("DELETE FROM evaluation WHERE span != ?", (ANCHOR,))


# -- inside --------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Offer:
    """Examples that were read and are to be taken in, or not, in one transaction."""

    settings: Settings
    after: int
    upto: int
    found: tuple[sqlite3.Row, ...]
    x: NDArray[np.uint8]

    def take(self, connection: sqlite3.Connection) -> int:
        before = Progress.of(connection)
        if before.seq != self.after:  # another process was faster
            return 0
        new = self._new(connection)
        held = connection.execute("SELECT key, span, label FROM evaluation WHERE span != -1")
        groups = {row["key"]: (row["span"], row["label"]) for row in held}
        known = set(groups)
        span = _open_span(connection)
        groups |= {row: (span, self.found[place]["label"]) for row, place in new.items()}
        offered = [
            Candidate(row, group, splits.priority(row, self.settings.seed))
            for row, group in groups.items()
        ]
        chosen = select(offered, before.limits, self.settings.evaluation.capacity)
        gone = [(row,) for row in known if row in new or row not in chosen.keys]
        connection.executemany("DELETE FROM evaluation WHERE key = ?", gone)
        connection.executemany(
            "INSERT INTO evaluation VALUES (?, ?, ?, ?, ?, ?, ?, 'evaluation', ?)",
            [self._row(place, span) for row, place in new.items() if row in chosen.keys],
        )
        Progress(self.upto, chosen.limits).write(connection)
        return len(self.found)

    def _new(self, connection: sqlite3.Connection) -> dict[int, int]:
        """Key -> place of its last label; without rows erased meanwhile, and the anchor's."""
        places = {
            row["key"]: place
            for place, row in enumerate(self.found)
            # a row that was learnt under its first label is not held out under the next
            if row["part"] != "train" or row["revision"] == 0
        }
        there = connection.execute(
            "SELECT key FROM rows WHERE key IN (SELECT value FROM json_each(:keys))"
            " AND key NOT IN (SELECT key FROM evaluation WHERE span = -1)",
            {"keys": json.dumps(list(places))},
        )
        present = {row["key"] for row in there}
        return {row: place for row, place in places.items() if row in present}

    def _row(self, place: int, span: int) -> tuple[Any, ...]:
        row = self.found[place]
        columns = (row["label"], row["task"], row["source"], row["subject"], row["event_time"])
        return (row["key"], span, *columns, self.x[place].tobytes())


def _open_span(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT coalesce(max(span), 0) + 1 FROM spans").fetchone()[0])


def _labels(learner: Learner, x: Tensor, task: int | None, classes: int) -> Tensor:  # (n,)
    """The likeliest of the known classes; -1 where there is no answer."""
    try:
        outputs = learner.predict(x, task)[:, :classes].cpu()
    except UnseenTask:
        return torch.full((len(x),), -1)
    if not outputs.shape[1]:
        return torch.full((len(x),), -1)
    return torch.where(outputs.isfinite().all(1), outputs.argmax(1), -1)


def _fair(found: Sequence[sqlite3.Row], share: float) -> list[sqlite3.Row]:
    """Without what sources have beyond their share of a span; the anchor as it is."""
    keys = np.array([row["key"] for row in found], dtype=np.int64)
    spans = np.array([row["span"] for row in found], dtype=np.int64)
    sources = np.array([key(row["source"] or "") for row in found], dtype=np.int64)
    kept = spans == ANCHOR
    for span in np.unique(spans[~kept]):
        mine = spans == span
        kept[mine] = fair(keys[mine], sources[mine], share)
    return [row for row, stays in zip(found, kept, strict=True) if stays]


def _slices(
    found: Sequence[sqlite3.Row], wanted: Sequence[str], classes: Sequence[str]
) -> dict[str, Mask]:
    """Name -> mask of its rows, as "class:7"; a row without a task or source is in none of them."""
    members: dict[str, list[int]] = {}
    for place, row in enumerate(found):
        values = {"class": classes[row["label"]], "task": row["task"], "source": row["source"]}
        for kind in wanted:
            if values[kind] is not None:
                members.setdefault(f"{kind}:{values[kind]}", []).append(place)
    masks: dict[str, Mask] = {}
    for name in sorted(members):
        masks[name] = np.zeros(len(found), dtype=np.bool_)
        masks[name][members[name]] = True
    return masks
