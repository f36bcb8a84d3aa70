"""A stream of the past, to try candidates on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from perdure.measure import AccuracyMatrix, Cost
from perdure.tune.candidate import Candidate, Space
from perdure.tune.outcome import Measured

Column = Sequence[float | None]


class Source(Protocol):
    """Plain values that say which stream of the past candidates learn, and how: it may travel."""

    def title(self) -> str:
        """The stream, for people."""
        ...

    def space(self) -> Space:
        """What may be tried."""
        ...

    def check(self, candidate: Candidate) -> None:
        """Raise where the candidate cannot work here at all."""
        ...

    def simulate(self, candidate: Candidate) -> Iterator[Measured]:
        """Learn one span after the other, and say after each how the candidate stands."""
        ...

    def line(self) -> dict[str, Any]:
        """What two searches share for one to begin where the other ended."""
        ...

    def question(self) -> dict[str, Any]:
        """What two searches share that are one: all that an outcome depends on."""
        ...


def digest(said: Any) -> str:
    """Sixteen hexadecimal digits that name plain values."""
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def stands(columns: Sequence[Column], before: float | None, cost: Cost) -> Measured:
    """How a candidate stands after a span.

    Args:
        columns: for each span so far, the accuracies on the held-out rows of that and all earlier
            ones, right after it; a span that had no answer counts as 0.
        before: accuracy on the span's rows before they were learnt.
        cost: so far.
    """
    seen = [[held or 0.0 for held in column[: len(columns)]] for column in columns]
    matrix = AccuracyMatrix.from_columns([c[: j + 1] for j, c in enumerate(seen)])
    return Measured(
        span=len(columns) - 1,
        accuracy=matrix.accuracy() or 0.0,
        forgetting=matrix.forgetting() or 0.0,
        before=before,
        flops=cost.flops,
        seconds=cost.seconds,
        state_bytes=cost.state_bytes,
    )
