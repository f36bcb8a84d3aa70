"""Accuracy of answers that were given before their labels came, and what happened meanwhile."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from perdure.live.project import Project

LONGEST: Final = 20_000
"""Answers that are looked at: the latest ones."""
POINTS: Final = 400
"""Points of a line, at most."""
WINDOW: Final = 500
"""Answers that the windowed line remembers."""
LEAST: Final = 20
"""Answers before the first point: an accuracy of fewer says nothing."""
DECAY: Final = 0.998
"""What the fading line keeps of the past at each answer."""
MARKS: Final = 50
"""Marks of one kind, at most: the latest ones."""

NAMES: Final = {
    "adwin": "ADWIN",
    "page-hinkley": "Page-Hinkley",
    "features": "Inputs",
    "scenario": "Scenario shift",
}
"""What people call the detectors."""

Kind = Literal["drift", "promotion", "rollback"]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Mark:
    """Something that happened.

    Args:
        kind: of thing.
        seq: the last example before it.
        at: seconds since the epoch.
        label: a word or two.
        text: a sentence.
    """

    kind: Kind
    seq: int
    at: float
    label: str
    text: str


@dataclass(frozen=True)
class Curve:
    """Prequential accuracy over the examples, oldest first.

    Args:
        seq: of the example at each point.
        at: when its label came, seconds since the epoch.
        windowed: accuracy over the last `window` answers, or over all while there are fewer.
        fading: the same with weights that fade by `decay` an answer.
        version: which answered.
        marks: what happened meanwhile, in order.
        rows: answers in all that were looked at.
        window, decay: see above.
    """

    seq: tuple[int, ...]
    at: tuple[float, ...]
    windowed: tuple[float, ...]
    fading: tuple[float, ...]
    version: tuple[int, ...]
    marks: tuple[Mark, ...]
    rows: int
    window: int = WINDOW
    decay: float = DECAY

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for the chart."""
        return {**vars(self), "marks": [asdict(mark) for mark in self.marks]}

    @property
    def lowest(self) -> int | None:
        """The point at which the windowed line is lowest; None before the first."""
        return int(np.argmin(self.windowed)) if self.windowed else None


@dataclass(frozen=True)
class Group:
    """How the last answers of one group did.

    Args:
        kind: "version", "class", "task" or "source".
        name: of the group.
        rows, correct: of the last answers.
    """

    kind: str
    name: str
    rows: int
    correct: int

    @property
    def accuracy(self) -> float:
        """Share of the answers that were right."""
        return self.correct / self.rows


def curve(project: Project) -> Curve:
    """The prequential accuracy of the latest answers."""
    found = project.database.read(
        "SELECT seq, labelled, version, predicted = outcomes.label AS hit"
        " FROM outcomes JOIN examples USING (seq) ORDER BY seq DESC LIMIT ?",
        (LONGEST,),
    )[::-1]
    hits = np.array([row["hit"] for row in found], dtype=np.float64)
    windowed, fading = windowed_mean(hits, WINDOW), fading_mean(hits, DECAY)
    # A line that begins in the middle of the log begins once its window is full.
    first = min(WINDOW if len(found) == LONGEST else LEAST - 1, len(found) - 1) if found else 0
    places = _places(first, len(found))
    seqs = [row["seq"] for row in found]
    times = [row["labelled"] for row in found]
    ats = np.maximum.accumulate(times).tolist() if times else []  # clocks are set back at times
    marks = _marks(project, seqs[first:], ats[first:]) if found else []
    return Curve(
        tuple(seqs[i] for i in places),
        tuple(ats[i] for i in places),
        tuple(round(float(windowed[i]), 4) for i in places),
        tuple(round(float(fading[i]), 4) for i in places),
        tuple(found[i]["version"] for i in places),
        tuple(marks),
        len(found),
    )


def windowed_mean(hits: Floats, window: int) -> Floats:  # (n,) -> (n,)
    """At each place the mean of the last `window` values, of all while there are fewer."""
    sums = np.concatenate([[0.0], np.cumsum(hits)])
    ends = np.arange(1, len(hits) + 1)
    starts = np.maximum(ends - window, 0)
    means: Floats = (sums[ends] - sums[starts]) / np.maximum(ends - starts, 1)
    return means


def fading_mean(hits: Floats, decay: float) -> Floats:  # (n,) -> (n,)
    """S / B at each place, where S <- decay S + hit and B <- decay B + 1."""
    if not len(hits):
        return hits
    faded = [lfilter([1.0], [1.0, -decay], values) for values in (hits, np.ones_like(hits))]
    means: Floats = faded[0] / faded[1]
    return means


def groups(project: Project, *, sources: bool) -> list[Group]:
    """The last answers by version, class, task and, if asked for, source; the worst first."""
    kinds = ["version", "label", "task", *(["source"] if sources else [])]
    classes = project.classes()
    held = []
    for kind in kinds:
        found = project.database.read(
            f"SELECT {kind} AS name, count(*) AS rows, sum(predicted = label) AS correct"  # noqa: S608
            " FROM (SELECT * FROM outcomes ORDER BY seq DESC LIMIT ?)"
            f" WHERE {kind} IS NOT NULL GROUP BY {kind}",
            (WINDOW,),
        )
        for row in found:
            name = classes[row["name"]] if kind == "label" else str(row["name"])
            said = "class" if kind == "label" else kind
            held.append(Group(said, name, row["rows"], row["correct"]))
    return sorted(held, key=lambda group: group.accuracy)


def drifts(project: Project, limit: int = 20) -> list[Mark]:
    """The latest drifts, newest first."""
    found = project.database.read("SELECT * FROM drifts ORDER BY id DESC LIMIT ?", (limit,))
    return [
        Mark(
            "drift",
            row["seq"],
            row["at"],
            NAMES.get(row["detector"], row["detector"]),
            _said(json.loads(row["detail"])),
        )
        for row in found
    ]


def _places(first: int, count: int) -> Sequence[int]:
    if count - first <= POINTS:
        return range(first, count)
    return [int(i) for i in np.linspace(first, count - 1, POINTS).round()]


def _marks(project: Project, seqs: Sequence[int], ats: Sequence[float]) -> list[Mark]:
    """Drifts, promotions and rollbacks since the first of these answers, in order."""
    moves = project.database.read(
        "SELECT at, action, detail FROM audit WHERE action IN ('promote', 'rollback') AND at >= ?"
        " ORDER BY id DESC LIMIT ?",
        (ats[0], MARKS),
    )
    marks = [mark for mark in drifts(project, MARKS) if mark.seq >= seqs[0]]
    for row in moves:
        place = int(np.searchsorted(ats, row["at"], side="right")) - 1
        number = json.loads(row["detail"])["to"]
        kind: Kind = "promotion" if row["action"] == "promote" else "rollback"
        word = "began to serve" if kind == "promotion" else "serves again"
        text = f"version {number} {word}"
        marks.append(Mark(kind, seqs[place], row["at"], f"v{number}", text))
    return sorted(marks, key=lambda mark: (mark.seq, mark.at))


def _said(detail: dict[str, Any]) -> str:
    """A drift's detail as words, for the detectors that there are."""
    known = detail.keys()
    if {"error_before", "error_since", "rows_since", "version"} <= known:
        return (
            f"errors rose from {detail['error_before']:.1%} to {detail['error_since']:.1%} "
            f"over {detail['rows_since']} answers of v{detail['version']}"
        )
    if {"statistic", "threshold", "window"} <= known:
        return (
            f"the inputs of the last {detail['window']} rows are not those of before: "
            f"{detail['statistic']:.3g} over a limit of {detail['threshold']:.3g}"
        )
    if {"without_task", "requests"} <= known:
        share = f"{detail['without_task']:.0%}"
        return f"{share} of the last {detail['requests']} requests came without a task id"
    return ", ".join(f"{name} {_short(value)}" for name, value in detail.items())


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
