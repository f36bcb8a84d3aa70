"""What a version answers to the held-out rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from perdure.errors import InvalidValue

ANCHOR = -1
"""The span of the anchor rows, which belong to no time."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Cell:
    """How many rows of a span and slice a version has right.

    Args:
        version: which answered.
        span: of the rows; ANCHOR for the anchor rows.
        slice: "" for all rows of the span, or "class:7", "source:web", "task:2"; for the anchor
            rows "anchor:" and what identifies them.
        rows: of the span and slice.
        correct: of them.
    """

    version: int
    span: int
    slice: str
    rows: int
    correct: int


@dataclass(frozen=True, eq=False)
class HeldOut:
    """The rows that versions are compared on, without their features.

    Args:
        keys: of the rows, (n,) int64.
        y: labels, (n,) int64.
        span: in which each row came, (n,) int64; ANCHOR for anchor rows.
        subject: a number for each subject, (n,) int64; rows without one have a number each.
        slices: name -> mask (n,) of its rows.
        spans: span -> name, for people.

    Raises:
        InvalidValue: the columns differ in length, or a key is double.
    """

    keys: NDArray[np.int64]
    y: NDArray[np.int64]
    span: NDArray[np.int64]
    subject: NDArray[np.int64]
    slices: Mapping[str, Mask] = field(default_factory=dict)
    spans: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        columns = [self.y, self.span, self.subject, *self.slices.values()]
        if any(column.shape != self.keys.shape for column in columns):
            raise InvalidValue(f"{len(self.keys)} held-out rows and columns of another length")
        if len(np.unique(self.keys)) < len(self.keys):
            raise InvalidValue("two held-out rows have one key")

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def anchor(self) -> Mask:  # (n,)
        """The operator's own rows."""
        found: Mask = self.span == ANCHOR
        return found

    @property
    def newest(self) -> int | None:
        """The last span that has rows; None without rows."""
        spans = self.span[~self.anchor]
        return int(spans.max()) if len(spans) else None

    @property
    def past(self) -> Mask:  # (n,)
        """Rows of every span but the newest."""
        earlier: Mask = ~self.anchor & (self.span != self.newest)
        return earlier

    def by_span(self) -> Iterator[tuple[int, Mask]]:
        """Each span with its rows, oldest first, without the anchor."""
        for span in np.unique(self.span[~self.anchor]).tolist():
            yield span, self.span == span

    def called(self, span: int) -> str:
        """A span's name."""
        return self.spans.get(span, str(span))

    def digest(self) -> str:
        """Identifies rows, labels and spans: equal where two comparisons used the same."""
        order = np.argsort(self.keys)
        columns = (self.keys, self.y, self.span)
        data = b"".join(column[order].astype("<i8").tobytes() for column in columns)
        return hashlib.blake2b(data, digest_size=16).hexdigest()

    def anchor_digest(self) -> str:
        """Identifies the anchor rows and their labels."""
        order = np.argsort(self.keys)
        order = order[self.anchor[order]]
        data = self.keys[order].astype("<i8").tobytes() + self.y[order].astype("<i8").tobytes()
        return hashlib.blake2b(data, digest_size=8).hexdigest()


@dataclass(frozen=True, eq=False)
class Answers:
    """The labels that a version predicts for held-out rows.

    Args:
        version: its number; 0 for a learner that has none yet.
        rows: that were asked.
        predicted: labels, (n,) int64; -1 where it could not answer.

    Raises:
        InvalidValue: there is not one answer a row.
    """

    version: int
    rows: HeldOut
    predicted: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.predicted.shape != self.rows.y.shape:
            raise InvalidValue(f"{self.predicted.shape} answers to {len(self.rows)} rows")

    @property
    def right(self) -> Mask:  # (n,)
        """Where the answer is the label."""
        right: Mask = self.predicted == self.rows.y
        return right

    def accuracy(self, mask: Mask | None = None) -> float | None:
        """On the rows of `mask`, or on all but the anchor; None where there are none."""
        right = self.right[~self.rows.anchor if mask is None else mask]
        return float(right.mean()) if len(right) else None

    def cells(self, min_rows: int = 1) -> list[Cell]:
        """R's entries of this version: each span, and each span of slices of `min_rows` in all."""
        rows = self.rows
        held = [self._cell(span, "", mask) for span, mask in rows.by_span()]
        for name, members in rows.slices.items():
            if (members & ~rows.anchor).sum() >= min_rows:
                parts = ((span, members & mask) for span, mask in rows.by_span())
                held += [self._cell(span, name, mask) for span, mask in parts if mask.any()]
        if rows.anchor.any():
            held.append(self._cell(ANCHOR, f"anchor:{rows.anchor_digest()}", rows.anchor))
        return held

    def _cell(self, span: int, name: str, mask: Mask) -> Cell:
        return Cell(self.version, span, name, int(mask.sum()), int(self.right[mask].sum()))


def check_same(a: Answers, b: Answers) -> None:
    """Raise `InvalidValue` unless both answered the same rows in the same order."""
    if a.rows is not b.rows and not (
        np.array_equal(a.rows.keys, b.rows.keys) and np.array_equal(a.rows.y, b.rows.y)
    ):
        raise InvalidValue(
            f"versions {a.version} and {b.version} answered different rows; ask both the same"
        )


def numbered(names: Sequence[str | None]) -> NDArray[np.int64]:  # (n,)
    """A number for each name, and one of its own for each None."""
    known: dict[str, int] = {}
    numbers = [
        known.setdefault(name, len(known)) if name is not None else -1 - i
        for i, name in enumerate(names)
    ]
    return np.array(numbers, dtype=np.int64)
