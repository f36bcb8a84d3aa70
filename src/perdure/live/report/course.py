"""Prequential accuracy over the examples, and what happened on the way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from perdure.live.project import Project
from perdure.live.report.figure import BLUE, FAINT, GREEN, ORANGE, RED, SOFT, VIOLET, figure
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
APART: Final = 0.06
"""Of the width: labels that stand closer go to the next row."""
LABELS: Final = 3
"""Rows of labels above the plot."""

Named = tuple[int, str, str]  # seq, label, colour


@dataclass(frozen=True)
class Refusal:
    """A challenger that the gate did not let through.

    Args:
        seq: the last example that it had learnt.
        version: its number.
        reason: the weightiest.
    """

    seq: int
    version: int
    reason: str


@dataclass(frozen=True)
class Course:
    """The curve with its window made to fit, and the challengers that were refused."""

    curve: Curve
    refusals: tuple[Refusal, ...]


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
    return Course(fitted, tuple(_refusals(versions, held.seq)))


def _refusals(versions: Iterable[Entry], seqs: Sequence[int]) -> list[Refusal]:
    found = []
    for entry in versions:
        said = entry.verdicts[0].verdict if entry.verdicts else None
        upto = entry.version.upto
        if said is not None and said.word == "refuse" and seqs and upto >= seqs[0]:
            found.append(Refusal(min(upto, seqs[-1]), said.version, said.reasons[0]))
    return found[::-1]


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
        _drifts(axes, line)
        _named(axes, held)

    return figure("Prequential accuracy over the examples", SIZE, draw)


def _drifts(axes: Any, line: Curve) -> None:
    base = axes.get_xaxis_transform()
    for seq in [mark.seq for mark in line.marks if mark.kind == "drift"]:
        axes.axvline(seq, color=ORANGE, lw=0.9, dashes=(1, 2))
        axes.plot([seq], [0.035], "^", color=ORANGE, ms=7, transform=base)


def _named(axes: Any, held: Course) -> None:
    """Promotions, rollbacks and refusals: a line each, and a label above the plot."""
    low, high = axes.get_xlim()
    ends = [low - (high - low)] * LABELS
    for seq, label, colour in _marks(held):
        axes.axvline(seq, color=colour, lw=1.1)
        width = (high - low) * (APART + 0.008 * len(label))
        row = next((i for i, end in enumerate(ends) if seq >= end), None)
        if row is None:
            continue
        ends[row] = seq + width
        axes.annotate(
            label,
            (seq, 1.0),
            xycoords=axes.get_xaxis_transform(),
            xytext=(0, 4 + 12 * row),
            textcoords="offset points",
            ha="right" if seq > high - width else "left",
            color=colour,
            fontsize=9.5,
            fontweight="bold",
            arrowprops={"arrowstyle": "-", "color": FAINT} if row else None,
        )


def _marks(held: Course) -> list[Named]:
    look = {"promotion": ("", GREEN), "rollback": ("back to ", VIOLET)}
    found = [
        (mark.seq, look[mark.kind][0] + mark.label, look[mark.kind][1])
        for mark in held.curve.marks
        if mark.kind in look
    ]
    found += [(one.seq, f"v{one.version} refused", RED) for one in held.refusals]
    return sorted(found)
