"""What updating saved, beside training from scratch, and what it cost in accuracy."""

from __future__ import annotations

from dataclasses import dataclass

from perdure.live.ledger import Entry, entries
from perdure.live.project import Project


@dataclass(frozen=True)
class Total:
    """Updates and their twins, added up over the updates that have a twin.

    Args:
        updates: that have one.
        measured: of these twins that were trained; the others are extrapolated.
        flops, seconds, rows: of the updates.
        twin_flops, twin_seconds, twin_rows: of their twins.
        gap: mean of how much more accurate the measured twins are; None without one.
    """

    updates: int
    measured: int
    flops: float
    seconds: float
    rows: float
    twin_flops: float
    twin_seconds: float
    twin_rows: float
    gap: float | None

    @property
    def saved(self) -> float:
        """Share of the twins' FLOPs that the updates did not need."""
        return 1 - self.flops / max(self.twin_flops, 1.0)


@dataclass(frozen=True)
class Savings:
    """The ledger.

    Args:
        entries: newest first.
        total: None before the first twin.
        twin_every: updates from one measured twin to the next; 0 measures none.
    """

    entries: tuple[Entry, ...]
    total: Total | None
    twin_every: int


def savings(project: Project) -> Savings:
    """The ledger's latest entries, and their sum."""
    held = tuple(reversed(entries(project)))
    return Savings(held, _total(held), project.settings.update.twin_every)


def _total(held: tuple[Entry, ...]) -> Total | None:
    pairs = [(entry, entry.twin) for entry in held if entry.twin is not None]
    if not pairs:
        return None
    gaps = [entry.gap for entry in held if entry.gap is not None]
    return Total(
        len(pairs),
        sum(twin.measured for _, twin in pairs),
        sum(entry.flops for entry, _ in pairs),
        sum(entry.seconds for entry, _ in pairs),
        sum(entry.rows_read for entry, _ in pairs),
        sum(twin.flops for _, twin in pairs),
        sum(twin.seconds for _, twin in pairs),
        sum(twin.rows_read for _, twin in pairs),
        sum(gaps) / len(gaps) if gaps else None,
    )
