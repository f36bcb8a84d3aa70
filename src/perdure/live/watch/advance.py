"""Bring the watch of a project up to date with its log.

Test, then train: a row is scored by the answer that it was given, or else by that of the latest
version that has not learnt it. Outcomes, drifts and the watch's state move in one transaction.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any
from weakref import WeakKeyDictionary

from perdure.live.project import Project
from perdure.live.shift import ScenarioShift
from perdure.live.watch.answering import Asked, Versions
from perdure.live.watch.state import from_text, to_text
from perdure.live.watch.watch import Drift, Outcome, Sighting, Watch

CHUNK, OUTCOMES = 1000, 20_000
POSITION = "watched_position"


@dataclass
class _Memory:
    """What is in memory of an open project: the watch as it was written last, and learners."""

    text: str = ""
    watch: Watch | None = None
    versions: Versions = field(default_factory=Versions)


_MEMORY: WeakKeyDictionary[Project, _Memory] = WeakKeyDictionary()


def advance(project: Project, now: float) -> list[Drift]:
    """Score the examples that are new and look at the rows that are new; the drifts found.

    Args:
        project: its log, versions and tables.
        now: seconds since the epoch: when the drifts were found.
    """
    memory = _MEMORY.setdefault(project, _Memory())
    memory.versions.refresh(project)
    found: list[Drift] = []
    for take in (_score, _look):
        drifts = take(project, memory, now)
        while drifts is not None:
            found += drifts
            drifts = take(project, memory, now)
    return found


def accuracy(project: Project) -> dict[str, Any]:
    """How the champion does on what comes in.

    Returns:
        version, rows, overall, windowed, fading, expected (from confidences alone, without
        labels), expected_error and slices (name -> windowed); empty before anything was scored.
    """
    champion = project.registry.champion()
    scores = None if champion is None else restored(project).scores.get(champion.version)
    if champion is None or scores is None:
        return {}
    expected = scores.expected.estimate()
    return {
        "version": champion.version,
        "rows": scores.overall.rows,
        "overall": scores.overall.accuracy(),
        "windowed": scores.overall.windowed(),
        "fading": scores.overall.fading(),
        "expected": None if expected is None else expected.accuracy,
        "expected_error": None if expected is None else expected.error,
        "slices": {name: score.windowed() for name, score in scores.slices.items()},
    }


def last_drift(project: Project) -> dict[str, Any] | None:
    """The latest drift: detector, seq, at and detail; None before the first."""
    row = project.database.one(
        "SELECT detector, seq, at, detail FROM drifts ORDER BY id DESC LIMIT 1"
    )
    return None if row is None else {**dict(row), "detail": json.loads(row["detail"])}


def restored(project: Project) -> Watch:
    """The watch as it was written last; a new one before that."""
    return _made(project, _written(project)[1])


# -- outcomes ------------------------------------------------------------------------------------


def _score(project: Project, memory: _Memory, now: float) -> list[Drift] | None:
    """Score a chunk of examples; None where there was none."""
    seq, text = _written(project)
    rows = project.database.read(
        "SELECT seq, position, e.label, revision, use, source, task, segment, slot, labelled,"
        " p.version, p.label AS predicted, confidence FROM examples e JOIN rows USING (position)"
        " LEFT JOIN predictions p USING (position) WHERE seq > ? ORDER BY seq LIMIT ?",
        (seq, CHUNK),
    )
    if not rows:
        return None
    counted = [row for row in rows if _counts(project, row)]
    outcomes = _outcomes(project, memory.versions, counted)
    watch = _taken(project, memory, text)
    drifts = [replace(drift, at=now) for drift in watch.observe(outcomes)]

    def work(connection: sqlite3.Connection) -> None:
        connection.executemany(
            "INSERT INTO outcomes (seq, version, predicted, label, task, source, confidence,"
            " served, at) SELECT :seq, :version, :predicted, :label, :task, :source, :confidence,"
            " :served, :at WHERE EXISTS (SELECT 1 FROM examples WHERE seq = :seq)",  # or erased
            [asdict(outcome) for outcome in outcomes],
        )
        connection.execute("DELETE FROM outcomes WHERE seq <= ?", (rows[-1]["seq"] - OUTCOMES,))

    return _write(project, memory, _Turn(watch, text, seq, rows[-1]["seq"], drifts), work)


def _counts(project: Project, row: sqlite3.Row) -> bool:
    """Whether an example is scored: not what was set aside, and no row a second time."""
    if row["use"] not in ("train", "evaluate"):
        return False
    sql = "SELECT 1 FROM outcomes JOIN examples USING (seq) WHERE position = ?"
    return row["revision"] == 0 or project.database.one(sql, (row["position"],)) is None


def _outcomes(project: Project, versions: Versions, rows: Sequence[sqlite3.Row]) -> list[Outcome]:
    """What was answered to the rows, or would have been; nothing where nobody could answer."""
    asked = [
        Asked(row["seq"], row["use"] == "train", row["task"], (row["segment"], row["slot"]))
        for row in rows
        if row["version"] is None
    ]
    answers = versions.answers(project, asked)
    made_up = {one.seq: answer for one, answer in zip(asked, answers, strict=True)}
    found = []
    for row in rows:
        served = row["version"] is not None
        given = (row["version"], row["predicted"], row["confidence"])
        answer = given if served else made_up[row["seq"]]
        if answer is not None:
            version, predicted, confidence = answer
            about = (served, row["labelled"], row["task"], row["source"])
            found.append(Outcome(row["seq"], version, predicted, row["label"], confidence, *about))
    return found


# -- rows, labelled or not -----------------------------------------------------------------------


def _look(project: Project, memory: _Memory, now: float) -> list[Drift] | None:
    """Look at a chunk of rows, whole blocks of them; None where there was none."""
    seq, text = _written(project)
    last = int(project.database.value("SELECT value FROM meta WHERE key = ?", (POSITION,)) or 0)
    rows = project.database.read(
        "SELECT position, received, task, segment, slot, p.version, confidence"
        " FROM rows LEFT JOIN predictions p USING (position)"
        " WHERE position > ? AND part != 'anchor' ORDER BY position LIMIT ?",
        (last, CHUNK),
    )
    watch, versions = _taken(project, memory, text), memory.versions
    block = watch.features.block
    rows = rows[: len(rows) // block * block]
    if not rows:
        return None
    watch.encode_by(versions.encoder(project, watch.encoder))
    x = project.schema.decode(project.segments.read((r["segment"], r["slot"]) for r in rows))
    sightings = [
        Sighting(r["position"], r["received"], r["version"], r["confidence"], r["task"] is not None)
        for r in rows
    ]
    features = versions.features(project, watch.encoder or 0, x, block)
    drifts = [replace(drift, at=now) for drift in watch.see(sightings, features, seq)]
    if any(drift.detector == "features" for drift in drifts):
        watch.encode_by(versions.encoder(project, None))

    def work(connection: sqlite3.Connection) -> None:
        place = str(rows[-1]["position"])
        connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (POSITION, place))

    return _write(project, memory, _Turn(watch, text, seq, seq, drifts), work)


# -- the state -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Turn:
    """A watch that moved from one state to the next."""

    watch: Watch
    before: str
    after_seq: int
    seq: int
    drifts: list[Drift]


def _written(project: Project) -> tuple[int, str]:
    row = project.database.one("SELECT seq, state FROM watch")
    return (0, "") if row is None else (row["seq"], row["state"])


def _made(project: Project, text: str) -> Watch:
    watch = Watch(shift=ScenarioShift() if project.schema.tasks else None)
    if text:
        watch.load_state_dict(from_text(text))
    return watch


def _taken(project: Project, memory: _Memory, text: str) -> Watch:
    """The watch of a written state, to be changed: memory lets go of it until it is written."""
    watch, memory.watch = memory.watch, None
    return watch if watch is not None and memory.text == text else _made(project, text)


def _write(
    project: Project, memory: _Memory, turn: _Turn, more: Callable[[sqlite3.Connection], None]
) -> list[Drift]:
    """Write state, drifts and what else the turn brings; nothing if another process was faster."""
    text = to_text(turn.watch.state_dict())

    def work(connection: sqlite3.Connection) -> bool:
        connection.execute("INSERT OR IGNORE INTO watch (id, seq, state) VALUES (1, 0, '')")
        swapped = connection.execute(
            "UPDATE watch SET seq = ?, state = ? WHERE seq = ? AND state = ?",
            (turn.seq, text, turn.after_seq, turn.before),
        ).rowcount
        if not swapped:
            return False
        connection.executemany(
            "INSERT INTO drifts (at, seq, detector, detail) VALUES (?, ?, ?, ?)",
            [(d.at, d.seq, d.detector, json.dumps(d.detail)) for d in turn.drifts],
        )
        more(connection)
        return True

    if not project.database.transact(work):
        return []
    memory.text, memory.watch = text, turn.watch
    return turn.drifts
