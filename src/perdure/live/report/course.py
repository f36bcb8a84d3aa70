"""Prequential accuracy over the examples, and what happened on the way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np

from perdure.figure import BLUE, GREEN, ORANGE, RED, SOFT, VIOLET, figure
from perdure.live.project import Project
from perdure.live.service.dashboard.views.curve import (
    LONGEST,
    Curve,
    curve,
    fading_mean,
    windowed_mean,
)
from perdure.live.service.dashboard.views.history import Entry

SIZE: Final = (10.4, 3.7)
SHARE: Final = 20
"""A window is this part of all answers, so that what happened in between can be seen."""
NARROWEST, WIDEST = 50, 500
"""Answers that a window holds at least, and at most."""
WIDTH: Final = 0.011
"""Of a label's letter, as a share of the plot's: where two would meet, one goes up a row."""
LABELS: Final = 3
"""Rows of labels above the plot; what finds no room in them is a line alone."""
LINES: Final = {"promotion": GREEN, "rollback": VIOLET, "refusal": RED}

Kind = Literal["drift", "promotion", "rollback", "refusal"]


@dataclass(frozen=True)
class Event:
    """Something that happened on the way.

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
class Course:
    """Prequential accuracy with a window made to fit, and what happened, in order."""

    curve: Curve
    events: tuple[Event, ...]


def course(project: Project, versions: Sequence[Entry]) -> Course:
    """The prequential accuracy of the latest answers.

    Args:
        project: whose answers they are.
        versions: among which the refused ones are looked for.
    """
    held = curve(project)
    found = project.database.read(
        "SELECT seq, predicted = outcomes.label AS hit FROM outcomes JOIN examples USING (seq)"
        " ORDER BY seq DESC LIMIT ?",
        (LONGEST,),
    )[::-1]
    window = min(max(len(found) // SHARE, NARROWEST), WIDEST)
    decay = 1 - 1 / window
    hits = np.array([row["hit"] for row in found], dtype=np.float64)
    places = np.searchsorted([row["seq"] for row in found], held.seq)
    fitted = replace(
        held,
        windowed=tuple(windowed_mean(hits, window)[places].round(4).tolist()),
        fading=tuple(fading_mean(hits, decay)[places].round(4).tolist()),
        window=window,
        decay=decay,
    )
    marks = [Event(mark.kind, mark.seq, mark.at, mark.label, mark.text) for mark in held.marks]
    events = sorted([*marks, *_refusals(versions, held.seq)], key=lambda one: (one.seq, one.at))
    return Course(fitted, tuple(events))


def _refusals(versions: Iterable[Entry], seqs: Sequence[int]) -> list[Event]:
    found = []
    for entry in versions:
        said = entry.verdicts[0] if entry.verdicts else None
        number, upto = entry.version.version, entry.version.upto
        if said is not None and said.verdict.word == "refuse" and seqs and upto >= seqs[0]:
            text = f"version {number} refused: {said.verdict.reasons[0]}"
            seq = min(upto, seqs[-1])
            found.append(Event("refusal", seq, said.at, f"v{number} refused", text))
    return found


def plot(held: Course) -> str:
    """The course as SVG; "" where there is no point yet."""
    if not held.curve.seq:
        return ""

    def draw(axes: Any) -> None:
        line = held.curve
        axes.plot(line.seq, [100 * v for v in line.fading], color=SOFT, lw=1.1, dashes=(3, 2))
        axes.plot(line.seq, [100 * v for v in line.windowed], color=BLUE)
        axes.set_ylim(-2, 102)
        axes.set_xlim(line.seq[0], line.seq[-1] + 0.02 * (line.seq[-1] - line.seq[0] + 1))
        axes.set_xlabel("example")
        axes.set_ylabel("right, %")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}".replace(",", "\u202f"))
        _drifts(axes, held.events)
        _named(axes, held.events)

    return figure("Prequential accuracy over the examples", SIZE, draw)


def _drifts(axes: Any, events: Iterable[Event]) -> None:
    base = axes.get_xaxis_transform()
    for seq in [event.seq for event in events if event.kind == "drift"]:
        axes.axvline(seq, color=ORANGE, lw=0.9, dashes=(1, 2))
        axes.plot([seq], [0.035], "^", color=ORANGE, ms=7, transform=base)


def _named(axes: Any, events: Iterable[Event]) -> None:
    """Promotions, rollbacks and refusals: a line each, and a label above the plot."""
    low, high = axes.get_xlim()
    free = [low] * LABELS  # where each row of labels has room again
    for event in [one for one in events if one.kind in LINES]:
        axes.axvline(event.seq, color=LINES[event.kind], lw=1.1)
        row = next((i for i, place in enumerate(free) if event.seq >= place), None)
        if row is None:
            continue
        label = f"back to {event.label}" if event.kind == "rollback" else event.label
        width = (high - low) * WIDTH * (len(label) + 2)
        free[row] = event.seq + width
        axes.annotate(
            label,
            (event.seq, 1.0),
            xycoords=axes.get_xaxis_transform(),
            xytext=(0, 4 + 12 * row),
            textcoords="offset points",
            ha="right" if event.seq > high - width else "left",
            color=LINES[event.kind],
            fontsize=9.5,
            fontweight="bold",
        )
