"""What the report says, as plain data: the same for the page and for programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any, Final

from perdure.live.project import Project
from perdure.live.report.course import Course, course
from perdure.live.service.dashboard.views.composition import Composition, compositions
from perdure.live.service.dashboard.views.heatmap import Heatmap, heatmap
from perdure.live.service.dashboard.views.history import Act, Entry, audit, versions
from perdure.live.service.dashboard.views.savings import Savings, savings
from perdure.live.service.dashboard.views.standing import Card, Queue, cards, queue
from perdure.live.status import status

VERSIONS: Final = 25
"""Versions shown: the latest ones."""
ACTS: Final = 40
"""Entries of the audit log shown: the latest ones."""


@dataclass(frozen=True)
class Facts:
    """Everything that the report says of a project.

    Args:
        at: when it was looked at, seconds since the epoch.
        status: as `perdure status` says it.
        cards: who serves, and who wants to.
        queue: what waits to be learnt.
        course: prequential accuracy over the examples.
        heatmap: accuracy by version and span.
        versions: with their verdicts, newest first.
        older: versions that are left out.
        memories: of the version that serves.
        savings: the ledger, each update under the version that came of it in the end.
        served: the versions of the ledger that have been champion.
        audit: the latest entries, newest first.
    """

    at: float
    status: dict[str, Any]
    cards: tuple[Card, ...]
    queue: Queue
    course: Course
    heatmap: Heatmap
    versions: tuple[Entry, ...]
    older: int
    memories: tuple[Composition, ...]
    savings: Savings
    served: frozenset[int]
    audit: tuple[Act, ...]

    @property
    def price(self) -> float | None:
        """How much more accurate measured twins are than what served, on average, or None."""
        gaps = [
            entry.gap
            for entry in self.savings.entries
            if entry.version in self.served and entry.gap is not None
        ]
        return fmean(gaps) if gaps else None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        total = self.savings.total
        return asdict(self) | {
            "served": sorted(self.served),
            "price": self.price,
            "savings": {
                "entries": [entry.to_dict() for entry in self.savings.entries],
                "total": None if total is None else {**asdict(total), "saved": total.saved},
                "twin_every": self.savings.twin_every,
            },
        }


def facts(project: Project, now: float) -> Facts:
    """Look at everything once.

    Args:
        project: that is looked at; nothing of it changes.
        now: seconds since the epoch.
    """
    shown, champion = tuple(versions(project, VERSIONS)), project.registry.champion()
    return Facts(
        now,
        status(project),
        tuple(cards(project)),
        queue(project),
        course(project, shown),
        heatmap(project, limit=VERSIONS),
        shown,
        int(project.database.value("SELECT count(*) FROM versions")) - len(shown),
        () if champion is None else tuple(compositions(project, champion)),
        _savings(project),
        frozenset(row["version"] for row in project.database.read("SELECT version FROM served")),
        tuple(audit(project, limit=ACTS)),
    )


def _savings(project: Project) -> Savings:
    """The ledger; where the gate mixed a version with the champion, the mixture is what counts."""
    held = savings(project)
    found = project.database.read("SELECT id, version FROM jobs WHERE version IS NOT NULL")
    made = {row["id"]: row["version"] for row in found}
    entries = tuple(replace(one, version=made.get(one.job, one.version)) for one in held.entries)
    return replace(held, entries=entries)
