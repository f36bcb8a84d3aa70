"""Accuracy of versions on spans of the log: R[version, span]."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from perdure.live.answers import ANCHOR
from perdure.live.project import Project
from perdure.live.spans import Span

LEVELS: Final = 20
"""Shades, from 0 for the lowest accuracy of the map to this for the highest."""
NARROWEST: Final = 0.1
"""The scale spans at least this much accuracy: small differences must not look large."""
VERSIONS: Final = 20
"""Versions shown unless more are asked for."""


@dataclass(frozen=True)
class Cell:
    """An accuracy.

    Args:
        rows, correct: that it was measured on.
        level: its shade, from 0 to `LEVELS`.
        drop: how far it lies below the best on this span of older versions of the map that served;
            0 where it is the best.
        few: whether the rows are too few to say anything.
    """

    rows: int
    correct: int
    level: int
    drop: float
    few: bool

    @property
    def accuracy(self) -> float:
        """Share of the rows that are right."""
        return self.correct / self.rows


@dataclass(frozen=True)
class Line:
    """A version's accuracies.

    Args:
        version: its number.
        aliases: that name it.
        cells: one a span; None where it was not measured.
        overall: on all rows, without the anchor; None where there are none.
        anchor: on the pinned rows; None where there are none.
    """

    version: int
    aliases: tuple[str, ...]
    cells: tuple[Cell | None, ...]
    overall: Cell | None
    anchor: Cell | None


@dataclass(frozen=True)
class Heatmap:
    """Versions, newest first, against spans, oldest first.

    Args:
        spans: columns; the last may be the open one.
        lines: rows.
        low, high: accuracies at the ends of the scale.
        slice: that is shown; "" for all rows.
        slices: that could be.
        forgetting: the drop that the gate allows.
        more: versions that are left out.
    """

    spans: tuple[Span, ...]
    lines: tuple[Line, ...]
    low: float
    high: float
    slice: str
    slices: tuple[str, ...]
    forgetting: float
    more: int

    @property
    def has_anchor(self) -> bool:
        """Whether any version was measured on pinned rows."""
        return any(line.anchor is not None for line in self.lines)


Counts = tuple[int, int]  # rows, correct


def heatmap(project: Project, slice_: str = "", limit: int = VERSIONS) -> Heatmap:
    """The accuracy matrix of the latest versions.

    Args:
        project: whose versions they are.
        slice_: "" for all rows, or a name such as "class:7"; an unknown one shows all rows.
        limit: versions at most.
    """
    versions, more = _versions(project, limit)
    slices = _slices(project, versions)
    chosen = slice_ if slice_ in slices else ""
    held, anchors = _cells(project, versions, chosen), _anchors(project, versions)
    spans = _spans(project, held)
    low, high = _ends([*held.values(), *anchors.values()])
    painter = _Painter(low, high, project.settings.gate.min_rows)
    names = project.registry.aliases()
    served = {row["version"] for row in project.database.read("SELECT version FROM served")}
    best = dict.fromkeys((span.span for span in spans), 0.0)
    lines: list[Line] = []
    for version in reversed(versions):
        counts = [held.get((version, span.span)) for span in spans]
        cells = [painter.cell(c, best[s.span]) for c, s in zip(counts, spans, strict=True)]
        aliases = tuple(alias for alias, number in names.items() if number == version)
        overall, anchor = painter.cell(_total(counts)), painter.cell(anchors.get(version))
        lines.insert(0, Line(version, aliases, tuple(cells), overall, anchor))
        best |= {
            span.span: max(best[span.span], cell.accuracy)
            for span, cell in zip(spans, cells, strict=True)
            if cell is not None and version in served
        }
    forgetting = project.settings.gate.max_forgetting
    return Heatmap(tuple(spans), tuple(lines), low, high, chosen, slices, forgetting, more)


@dataclass(frozen=True)
class _Painter:
    low: float
    high: float
    min_rows: int

    def cell(self, counts: Counts | None, best: float = 0.0) -> Cell | None:
        if counts is None or counts[0] == 0:
            return None
        share = counts[1] / counts[0]
        place = (share - self.low) / (self.high - self.low)
        few = counts[0] < self.min_rows
        return Cell(*counts, round(place * LEVELS), max(0.0, best - share), few)


def _versions(project: Project, limit: int) -> tuple[list[int], int]:
    """The latest versions that were measured, newest first, and how many are left out."""
    found = project.database.read(
        "SELECT version FROM versions WHERE EXISTS"
        " (SELECT 1 FROM accuracy WHERE accuracy.version = versions.version)"
        " ORDER BY version DESC"
    )
    return [row["version"] for row in found[:limit]], max(0, len(found) - limit)


def _slices(project: Project, versions: Sequence[int]) -> tuple[str, ...]:
    """Those that the newest version was measured on."""
    found = project.database.read(
        "SELECT DISTINCT slice FROM accuracy WHERE version = ? AND slice != '' AND span != ?"
        " ORDER BY slice",
        (max(versions, default=0), ANCHOR),
    )
    return tuple(row["slice"] for row in found)


def _cells(project: Project, versions: Sequence[int], slice_: str) -> dict[tuple[int, int], Counts]:
    found = project.database.read(
        "SELECT version, span, rows, correct FROM accuracy WHERE slice = ? AND span != ?"
        " AND version IN (SELECT value FROM json_each(?))",
        (slice_, ANCHOR, json.dumps(list(versions))),
    )
    return {(row["version"], row["span"]): (row["rows"], row["correct"]) for row in found}


def _anchors(project: Project, versions: Sequence[int]) -> dict[int, Counts]:
    """By version; only on the rows that are pinned now, for other ones cannot be compared."""
    found = project.database.read(
        "SELECT version, slice, rows, correct FROM accuracy WHERE span = ?"
        " AND version IN (SELECT value FROM json_each(?)) ORDER BY version DESC",
        (ANCHOR, json.dumps(list(versions))),
    )
    return {
        row["version"]: (row["rows"], row["correct"])
        for row in found
        if row["slice"] == found[0]["slice"]
    }


def _spans(project: Project, held: dict[tuple[int, int], Counts]) -> list[Span]:
    known = {
        row["span"]: Span(**row)
        for row in project.database.read("SELECT * FROM spans ORDER BY span")
    }
    head = project.log.head()
    used = sorted({span for _, span in held} | known.keys())
    last = max((span.last for span in known.values()), default=0)
    return [known.get(span) or Span(span, "open", last + 1, head) for span in used]


def _ends(counts: Sequence[Counts]) -> tuple[float, float]:
    shares = [correct / rows for rows, correct in counts if rows]
    if not shares:
        return 0.0, 1.0
    low, high = min(shares), max(shares)
    middle = min(max((low + high) / 2, NARROWEST / 2), 1 - NARROWEST / 2)
    return min(low, middle - NARROWEST / 2), max(high, middle + NARROWEST / 2)


def _total(counts: Sequence[Counts | None]) -> Counts | None:
    there = [held for held in counts if held is not None]
    return (sum(c[0] for c in there), sum(c[1] for c in there)) if there else None
