"""What a data sample says of a problem, and what it cannot say."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from perdure.advise.change import SIZE, Array, Shift, arrivals, beyond_chance, shifts
from perdure.advise.questions import Situation
from perdure.advise.records import AS_IN_FILE, Columns, Records, read

GROUPS = 20
"""Groups that are compared with the rest at most, the largest ones."""
COUNTER = 0.99
"""A column that moves as far as this is hardly an input."""
TINY = 1e-99
"""Chances below this are not told apart."""
SHUFFLED = "which says nothing if it was shuffled; name the time column"


@dataclass(frozen=True)
class Sample:
    """What was found in a sample.

    Attributes:
        path: of the sample.
        columns: which of its columns are no inputs.
        aside: further columns that are of no use as inputs: times, names, texts.
        rows: how many.
        classes: their names.
        growing: whether classes arrive over time; None where that cannot be seen.
        drifting: whether inputs change while the classes stay; None where that cannot be seen.
        tasks: how many different task ids there are; None where there is no such column.
        measured: each finding, in words.
        unmeasured: what the sample cannot say, and why.
    """

    path: Path
    columns: Columns
    aside: tuple[str, ...]
    rows: int
    classes: tuple[str, ...]
    growing: bool | None
    drifting: bool | None
    tasks: int | None
    measured: tuple[str, ...]
    unmeasured: tuple[str, ...]

    def fill(self, situation: Situation) -> Situation:
        """The situation with what it left open taken from the sample.

        How many rows and tasks there are is not: a sample need not be all of them.
        """
        return replace(
            situation,
            growing=self.growing if situation.growing is None else situation.growing,
            drifting=self.drifting if situation.drifting is None else situation.drifting,
            boundaries=True
            if situation.boundaries is None and self.tasks is not None
            else situation.boundaries,
        )


def measure(path: str | Path, columns: Columns) -> Sample:
    """Read a sample and look for classes that arrive and inputs that shift.

    Args:
        path: of a .csv, .parquet or .npz file, or of a folder with one sub-folder of pictures a
            class.
        columns: which of its columns are no inputs.

    Raises:
        InvalidValue: a column is not there, the label is no class, or the file is of another kind.
        DataUnavailable: there is nothing at the path.
        MissingExtra: a table without pandas.
    """
    records = read(path, columns)
    names, labels = np.unique(records.labels, return_inverse=True)
    classes = tuple(str(name) for name in names)
    growing, said = _growth(records, classes, labels)
    drifting, seen = _drift(records, labels)
    tasks = len(np.unique(records.groups["task"])) if "task" in records.groups else None
    found = [f"{len(labels):,} rows of {len(classes):,} classes, {_balance(labels)}"]
    missing = [] if records.skipped is None else [records.skipped]
    missing += [f"column {name!r}: it holds times, names or texts" for name in records.aside]
    for verdict, words in ((growing, said), (drifting, seen)):
        (missing if verdict is None else found).append(words)
    if "task" in records.groups:
        found.append(_own_labels(records.groups["task"], labels))
        missing.append("whether the task id is known when the model must answer: only you know")
    return Sample(
        Path(path),
        columns,
        records.aside,
        len(labels),
        classes,
        growing,
        drifting,
        tasks,
        tuple(found),
        tuple(missing),
    )


def _balance(labels: Array) -> str:
    counts = np.bincount(labels)
    return f"the rarest with {counts.min():,} and the commonest with {counts.max():,}"


def _growth(records: Records, classes: tuple[str, ...], labels: Array) -> tuple[bool | None, str]:
    if records.order is None:
        return None, "whether classes arrive over time: a folder has no order"
    late = beyond_chance(arrivals(labels))
    if late:
        last = max(late, key=lambda one: one.first)
        odds = f"{last.chance:.0e}" if last.chance > TINY else f"below {TINY:.0e}"
        return True, (
            f"{len(late)} of {len(classes)} classes came later than chance allows; the last, "
            f"{classes[last.label]!r}, at row {last.first:,} of {len(labels):,} "
            f"(rows {records.order}; chance in random order {odds})"
        )
    if records.order == AS_IN_FILE:
        return None, f"whether classes arrive over time: none does in the file's order, {SHUFFLED}"
    return False, f"no class came later than chance allows (rows {records.order})"


def _drift(records: Records, labels: Array) -> tuple[bool | None, str]:
    if not records.inputs or records.order is None:
        return None, "whether inputs change: there are no columns in an order to compare"
    looked = shifts(records.inputs, labels, _groups(records))
    if not looked:
        return None, "whether inputs change: no class is on both sides of any comparison"
    moved = [shift for shift in beyond_chance(looked) if shift.size >= SIZE]
    if moved:
        return True, (
            f"inputs shift while classes stay: {_most(moved)} "
            f"({len(looked)} comparisons within classes, corrected for their number)"
        )
    largest = max(looked, key=lambda shift: shift.size)
    gap = f"{largest.column!r} by {largest.size:.2f} {largest.where}"
    if largest.size >= SIZE:
        return None, f"whether inputs change: the largest gap, {gap}, may be chance in so few rows"
    if records.order == AS_IN_FILE and not records.groups:
        return None, f"whether inputs change: they do not in the file's order, {SHUFFLED}"
    return False, (
        f"no input shifts by {SIZE} or more; the largest gap is {gap} "
        f"({len(looked)} comparisons within classes, each column by itself)"
    )


def _groups(records: Records) -> dict[str, Array]:
    """The rows to compare with the others: each task, each source, and the later half."""
    found: dict[str, Array] = {}
    for role, values in records.groups.items():
        common = [value for value, _ in Counter(values.tolist()).most_common(GROUPS)]
        if len(common) > 1:
            found |= {f"in {role} {value}": values == value for value in common}
    if not found or records.order != AS_IN_FILE:
        rows = len(records.labels)
        found["in the later half"] = np.arange(rows) >= rows / 2
    return found


def _most(moved: list[Shift]) -> str:
    first = max(moved, key=lambda shift: shift.size)
    others = len({shift.column for shift in moved}) - 1
    more = f", and {others} more" if others else ""
    counter = " (a time or a counter? then leave it out)" if first.size > COUNTER else ""
    return f"{first.column!r} by {first.size:.2f} {first.where}{counter}{more}"


def _own_labels(tasks: Array, labels: Array) -> str:
    ids = np.unique(tasks)
    of = [set(labels[tasks == task].tolist()) for task in ids]
    shared = set.intersection(*of)
    own = sum(map(len, of)) == len(set.union(*of))
    kind = (
        "each with labels of its own"
        if own
        else "all with the same labels"
        if all(labels == shared for labels in of)
        else "with some labels in common"
    )
    return f"{len(ids)} task ids, {kind}"
