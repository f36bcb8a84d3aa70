"""The savings ledger: what each update cost, beside a twin trained from scratch on the same rows.

A twin is the same model without any method, trained on all rows that the log keeps, with as many
passes as an update makes; a model without outputs has the methods that answer for it. Every so many
updates one is trained and measured; in between its cost is extrapolated from the last one by the
number of rows, and marked so. Savings without the accuracy gap mean nothing: both stand in one
entry.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict, dataclass
from typing import Any

import torch

from perdure.advise.architecture import Architecture, architecture_of
from perdure.learner import Learner
from perdure.live.jobs import Job
from perdure.live.project import Project, method_named, optimizer_of
from perdure.live.update import CLOSING, Challenger, newest_labels, schedule_of
from perdure.measure.cost import Cost
from perdure.measure.meter import Meter
from perdure.streams.rows import Rows


@dataclass(frozen=True)
class Twin:
    """What training from scratch costs.

    Args:
        rows: that it learns.
        flops, seconds: of learning them.
        rows_read: rows in all passes.
        peak_memory_bytes: as `Meter` has it: of the process since it started, or of a GPU.
        accuracy: on the held-out rows; None where it was extrapolated.
        measured: whether it was trained; otherwise flops, seconds and rows_read are the last
            measured twin's times the ratio of rows.
    """

    rows: int
    flops: float
    seconds: float
    rows_read: float
    peak_memory_bytes: int | None
    accuracy: float | None
    measured: bool


@dataclass(frozen=True)
class Entry:
    """One update in the ledger.

    Args:
        job: the update.
        version: that it made.
        rows: new examples that it learnt.
        flops, seconds: of learning them.
        rows_read: rows in all passes, recalled ones included.
        peak_memory_bytes: as `Meter` has it: of the process since it started, or of a GPU.
        bytes_stored: of the version's files.
        accuracy: on the held-out rows; None where there were none.
        twin: from scratch on the same rows, or None before the first one was measured.
    """

    job: int
    version: int
    rows: int
    flops: float
    seconds: float
    rows_read: float
    peak_memory_bytes: int | None
    bytes_stored: int
    accuracy: float | None
    twin: Twin | None

    @property
    def saved(self) -> float | None:
        """Share of the twin's FLOPs that the update did not need; None without a twin."""
        return None if self.twin is None else 1 - self.flops / max(self.twin.flops, 1.0)

    @property
    def gap(self) -> float | None:
        """How much more accurate the twin is; None where it was not measured."""
        if self.twin is None or self.twin.accuracy is None or self.accuracy is None:
            return None
        return self.twin.accuracy - self.accuracy

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "saved": self.saved, "gap": self.gap}


def cost_note(made: Challenger) -> dict[str, Any]:
    """What a version notes of its making."""
    return {"cost": asdict(made.cost), "rows": made.rows, "left_out": made.left_out}


def write(
    connection: sqlite3.Connection,
    job: Job,
    note: dict[str, Any],
    bytes_stored: int,
    accuracy: float | None,
) -> None:
    """Enter an update, within the transaction that ends it; its twin is extrapolated if it can be.

    Args:
        connection: the writer's.
        job: with its version.
        note: of the version.
        bytes_stored: of the version's files.
        accuracy: on the held-out rows.
    """
    cost = Cost(**note["cost"])
    assert job.version is not None  # noqa: S101
    seen = connection.execute("SELECT count(*) FROM examples WHERE use = 'train'").fetchone()[0]
    entry = Entry(
        job.id,
        job.version,
        note["rows"],
        cost.flops,
        cost.seconds,
        cost.rows,
        cost.peak_memory_bytes,
        bytes_stored,
        accuracy,
        _extrapolated(_last_measured(connection), int(seen)),
    )
    connection.execute(
        "INSERT OR REPLACE INTO ledger VALUES (?, ?, ?)",
        (job.id, job.version, json.dumps(entry.to_dict())),
    )


def entries(project: Project, limit: int = 200) -> list[Entry]:
    """The latest updates, oldest first."""
    found = project.database.read("SELECT report FROM ledger ORDER BY job DESC LIMIT ?", (limit,))
    return [_entry(json.loads(row["report"])) for row in reversed(found)]


def twin_is_due(project: Project) -> bool:
    """Whether the last update is one of those whose twin is to be measured."""
    every = project.settings.update.twin_every
    count = int(project.database.value("SELECT count(*) FROM ledger"))
    return every > 0 and count > 0 and (count - 1) % every == 0


def train_twin(project: Project, upto: int) -> tuple[Learner, Cost, int]:
    """Train from scratch on all examples up to a seq that the log keeps.

    Returns:
        The learner, what it cost, and how many rows it learnt.
    """
    rows = newest_labels(project.log.examples(0, upto)).batch
    said = project.settings
    model = project.model()
    used = [method_named(held) for held in said.learner.methods]
    headless = architecture_of(model) is Architecture.HEADLESS
    learner = Learner(
        model,
        *[method for method in used if headless and method.answers],
        optimizer=optimizer_of(said.learner),
        engine=project.engine(),
        seed=said.seed,
    )
    schedule = schedule_of(said)
    drawn = Rows(rows.x, rows.y, task=rows.task).batches(
        schedule.batch_size, seed=said.seed, epochs=schedule.epochs, steps=schedule.steps
    )
    with torch.random.fork_rng(), Meter(learner) as meter:
        torch.manual_seed(said.seed)  # growing heads draw from torch's own generator
        for batch in drawn:
            meter.observe(batch)
        if headless:
            meter.consolidate([rows[i : i + CLOSING] for i in range(0, len(rows), CLOSING)])
    return learner, meter.cost, len(rows)


def enter_twin(project: Project, job: Job, cost: Cost, rows: int, accuracy: float | None) -> None:
    """Write a measured twin beside the update that it is a twin of."""
    twin = Twin(
        rows, cost.flops, cost.seconds, cost.rows, cost.peak_memory_bytes, accuracy, measured=True
    )

    def work(connection: sqlite3.Connection) -> None:
        held = connection.execute("SELECT report FROM ledger WHERE job = ?", (job.id,)).fetchone()
        entry = _entry({**json.loads(held["report"]), "twin": asdict(twin)})
        connection.execute(
            "UPDATE ledger SET report = ? WHERE job = ?", (json.dumps(entry.to_dict()), job.id)
        )

    project.database.transact(work)


def _last_measured(connection: sqlite3.Connection) -> Twin | None:
    row = connection.execute(
        "SELECT json_extract(report, '$.twin') AS twin FROM ledger"
        " WHERE json_extract(report, '$.twin.measured') ORDER BY job DESC LIMIT 1"
    ).fetchone()
    return None if row is None else Twin(**json.loads(row["twin"]))


def _extrapolated(last: Twin | None, rows: int) -> Twin | None:
    if last is None or last.rows == 0:
        return None
    ratio = rows / last.rows
    return Twin(
        rows, last.flops * ratio, last.seconds * ratio, last.rows_read * ratio, None, None, False
    )


def _entry(held: dict[str, Any]) -> Entry:
    plain = {key: value for key, value in held.items() if key not in ("saved", "gap", "twin")}
    twin = held["twin"]
    return Entry(**plain, twin=None if twin is None else Twin(**twin))
