"""A project that has lived: three spans, four versions, a drift, a verdict of each kind."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.live import tiny

from perdure.batch import Batch
from perdure.live import ledger
from perdure.live.answers import ANCHOR, Cell
from perdure.live.gate.examination import Examined, record
from perdure.live.gate.verdict import Finding, Verdict, Word
from perdure.live.jobs import finish
from perdure.live.ledger import Entry, Twin
from perdure.live.project import Project
from perdure.measure.cost import Cost

ROWS = 120
STEP = 40
"""Rows of a span."""
CORRECT = {  # of ten held-out rows a span, by version
    1: {1: 9},
    2: {1: 7, 2: 9},
    3: {1: 8, 2: 9, 3: 9},
    4: {1: 9, 2: 9, 3: 10},
}
WORDS: Mapping[int, Word] = {
    1: "promote",
    2: "promote",
    3: "promote",
    4: "not enough evidence",
}


def told(directory: Path, said: Mapping[str, Mapping[str, Any]] | None = None) -> Project:
    """The project after all of it: version 3 serves, version 4 is the challenger."""
    project = tiny.project(directory, said)
    for number in range(4):
        if number < 3:
            rows = [
                tiny.row(i, subject=f"s{i}", source="camera" if i % 3 else "kiosk")
                for i in range(number * STEP, (number + 1) * STEP)
            ]
            project.log.append(rows).result()
            project.database.transact(lambda c, n=number: _span(c, n))
        made = version(project)
        judge(project, made)
        if made < 4:
            project.registry.promote(made, actor="updater", reason=f"promote: {made} is good")
    project.log.append([tiny.row(i, label=None) for i in range(ROWS, ROWS + 5)]).result()
    answer(project, [seq % 10 != 0 for seq in range(1, 61)] + [seq % 4 == 0 for seq in range(60)])
    drift(project, 70)
    return project


def version(project: Project) -> int:
    """Learn all rows that are there into a version, without a gate."""
    job = project.jobs.ask("update", f"{STEP} new rows", "updater")
    champion = project.registry.champion()
    parent = None if champion is None else champion.version
    after = 0 if champion is None else champion.upto
    upto = project.log.head()
    project.jobs.start(job.id, parent, after, upto)
    learner = project.learner() if parent is None else project.load(parent)
    batch = project.log.examples(after, upto).batch
    if len(batch):
        learner.observe(Batch(batch.x, batch.y, batch.task, batch.extras))
    cost = Cost(flops=1000 * job.id, flops_counted=1000, seconds=0.5, rows=2 * STEP, updates=5)
    note = {"cost": vars(cost), "rows": len(batch), "left_out": 0}
    return project.registry.create(
        learner.state_dict(), parent=parent, job=job.id, after=after, upto=upto, note=note
    )


def verdict(number: int, word: Word, champion: int | None) -> Verdict:
    """What the gate said, in words that no other verdict has."""
    findings = (
        Finding("accuracy", "", "pass", f"rule one of {number}", rows=30, value=0.021, low=-0.01,
                high=0.05, limit=-0.02, p=0.4, lost=1, gained=2),
        Finding("span", "2", "undecided" if word == "not enough evidence" else "pass",
                f"rule two of {number}", blocks=word == "not enough evidence"),
        Finding("latency", "", "pass", "a call takes as long", value=1.25, limit=3.0),
    )  # fmt: skip
    return Verdict(
        word=word,
        version=number,
        champion=champion,
        reasons=(f"reason one of {number}", f"reason two of {number}"),
        findings=findings,
        rows=30,
        effect=1.0,
        accuracy=0.9,
        champion_accuracy=None if champion is None else 0.88,
        error=0.025,
        attempt=1,
        looks=1,
        share=None,
        data="d",
    )


def judge(project: Project, number: int) -> None:
    """Write down what the gate says, and end the job, as the updater does."""
    champion = project.registry.champion()
    held = project.registry.get(number)
    said = verdict(number, WORDS[number], None if champion is None else champion.version)
    cells = [Cell(number, span, "", 10, right) for span, right in CORRECT[number].items()]
    cells += [Cell(number, span, "class:red", 4, right // 3) for span, right in
              CORRECT[number].items()]  # fmt: skip
    cells.append(Cell(number, ANCHOR, "anchor:abc", 20, 18))

    def work(connection: sqlite3.Connection) -> None:
        record(connection, number, Examined(said, tuple(cells)))
        state = "blessed" if said.word == "promote" else "undecided"
        connection.execute("UPDATE versions SET state = ? WHERE version = ?", (state, number))
        assert held.job is not None
        finish(connection, held.job, "done", version=number)
        job = project.jobs.get(held.job)
        ledger.write(connection, job, held.note, 4096, said.accuracy)
        twin = Twin(ROWS, 4000.0 * number, 2.0, 500.0, None, 0.92, measured=number % 2 == 1)
        entered = Entry(job.id, number, STEP, 1000.0 * number, 0.5, 80.0, 2**20, 4096, 0.9, twin)
        connection.execute(
            "UPDATE ledger SET report = ? WHERE job = ?", (json.dumps(entered.to_dict()), job.id)
        )

    project.database.transact(work)


def answer(project: Project, hits: Sequence[bool]) -> None:
    """Give each example, from the first on, an answer by the version that served."""
    found = project.database.read("SELECT seq, label FROM examples ORDER BY seq LIMIT ?",
                                  (len(hits),))  # fmt: skip
    now = time.time()
    values = [
        {
            "seq": row["seq"],
            "version": 1 + (row["seq"] - 1) // STEP,
            "predicted": row["label"] if hit else (row["label"] + 1) % 3,
            "label": row["label"],
            "source": "camera" if row["seq"] % 3 else "kiosk",
            "at": now,
        }
        for row, hit in zip(found, hits, strict=False)
    ]
    project.database.transact(
        lambda c: c.executemany(
            "INSERT INTO outcomes (seq, version, predicted, label, source, confidence, served, at)"
            " VALUES (:seq, :version, :predicted, :label, :source, 0.8, 1, :at)",
            values,
        )
    )


def drift(project: Project, seq: int) -> None:
    """A detector has found one."""
    detail = {"error_before": 0.1, "error_since": 0.75, "rows_since": 10, "version": 2}
    project.database.transact(
        lambda c: c.execute(
            "INSERT INTO drifts (at, seq, detector, detail) VALUES (?, ?, 'adwin', ?)",
            (time.time(), seq, json.dumps(detail)),
        )
    )


def _span(connection: sqlite3.Connection, number: int) -> None:
    connection.execute(
        "INSERT INTO spans VALUES (?, ?, ?, ?)",
        (number + 1, str(number + 1), number * STEP + 1, (number + 1) * STEP),
    )
