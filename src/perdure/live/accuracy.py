"""R[version, span]: what every version had right, kept as counts."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from perdure.live import evaluation, spans
from perdure.live.answers import ANCHOR, Answers, Cell, Mask
from perdure.live.project import Project
from perdure.measure.flips import Flips, count_flips
from perdure.measure.matrix import AccuracyMatrix


def write(connection: sqlite3.Connection, cells: Iterable[Cell]) -> None:
    """Replace what is known of the cells' versions, within a transaction."""
    held = list(cells)
    versions = {cell.version for cell in held}
    connection.executemany("DELETE FROM accuracy WHERE version = ?", [(v,) for v in versions])
    connection.executemany(
        "INSERT INTO accuracy VALUES (?, ?, ?, ?, ?)",
        [(cell.version, cell.span, cell.slice, cell.rows, cell.correct) for cell in held],
    )


def cells(project: Project, slice_: str = "", *, served: bool = False) -> list[Cell]:
    """The counts of all versions, or of those that served, for one slice of every span.

    Args:
        project: whose versions.
        slice_: "" for all rows, or a slice such as "class:7"; the anchor's cells begin "anchor:".
        served: only versions that have been champion.
    """
    found = project.database.read(
        "SELECT * FROM accuracy WHERE (slice = ? OR span = ?)"
        " AND (NOT ? OR version IN (SELECT version FROM served)) ORDER BY version, span",
        (slice_, ANCHOR, served),
    )
    return [Cell(**row) for row in found]


def matrix(project: Project, slice_: str = "") -> AccuracyMatrix | None:
    """Accuracy on each closed span of the version that served when each span had ended.

    A column is the first version that learnt the span to its end and served. None before the first
    span has closed; cells that were not measured are None.

    Args:
        project: whose versions.
        slice_: "" for all rows, or a slice such as "class:7".
    """
    ended = spans.closed(project)
    if not ended:
        return None
    served = project.database.read(
        "SELECT DISTINCT version, upto FROM versions JOIN served USING (version) ORDER BY version"
    )
    known = {(cell.version, cell.span): cell for cell in cells(project, slice_)}
    columns: list[list[float | None]] = []
    for span in ended:
        learnt = [row["version"] for row in served if row["upto"] >= span.last]
        held = [known.get((learnt[0], other.span)) if learnt else None for other in ended]
        columns.append([None if cell is None else cell.correct / cell.rows for cell in held])
    return AccuracyMatrix(
        [list(line) for line in zip(*columns, strict=True)], [span.name for span in ended]
    )


@dataclass(frozen=True)
class Difference:
    """How two versions differ on the held-out rows of one cell.

    Args:
        rule: "accuracy" for all of them, "span", "slice" or "anchor".
        name: of the span or slice.
        before, after: accuracies.
        flips: the counts.
    """

    rule: str
    name: str
    before: float
    after: float
    flips: Flips


def diff(project: Project, before: int | str, after: int | str) -> list[Difference]:
    """Ask two versions the held-out rows: in all, then by span, slice and anchor.

    Args:
        project: whose versions.
        before: a version, by number or alias.
        after: another.

    Raises:
        NotFound: there is no such version, or its files are gone.
    """
    questions = evaluation.read(project)
    a, b = (evaluation.ask(project.load(name), questions) for name in (before, after))
    rows = questions.rows
    masks: list[tuple[str, str, Mask]] = [("accuracy", "", ~rows.anchor)]
    masks += [("span", rows.called(span), mask) for span, mask in rows.by_span()]
    masks += [("slice", name, mask & ~rows.anchor) for name, mask in rows.slices.items()]
    masks += [("anchor", "", rows.anchor)]
    return [_difference(rule, name, a, b, mask) for rule, name, mask in masks if mask.any()]


def _difference(rule: str, name: str, a: Answers, b: Answers, mask: Mask) -> Difference:
    before, after, y = (
        torch.from_numpy(column[mask]) for column in (a.predicted, b.predicted, a.rows.y)
    )
    flips = count_flips(before, after, y)
    return Difference(rule, name, float(a.right[mask].mean()), float(b.right[mask].mean()), flips)
