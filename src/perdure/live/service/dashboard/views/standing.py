"""Who serves, who wants to, and what waits to be learnt."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from perdure.live.answers import ANCHOR
from perdure.live.gate.verdict import Verdict
from perdure.live.jobs import Job
from perdure.live.project import Project
from perdure.live.registry import Version
from perdure.live.service.dashboard.views.history import verdicts_of

SHOWN: Final = ("champion", "challenger", "shadow", "baseline")
"""The aliases that have a card, in this order."""


@dataclass(frozen=True)
class Card:
    """A version that an alias names.

    Args:
        alias: the first of `SHOWN` that names it.
        others: further aliases that do.
        version: what is named.
        since: when it began to serve; None where it does not.
        verdict: the gate's last one on it.
        correct, rows: of the held-out rows, without the anchor.
        job: the update that made it.
        promotable: whether it could serve.
    """

    alias: str
    others: tuple[str, ...]
    version: Version
    since: float | None
    verdict: Verdict | None
    correct: int
    rows: int
    job: Job | None
    promotable: bool

    @property
    def accuracy(self) -> float | None:
        """On the held-out rows; None where there are none."""
        return self.correct / self.rows if self.rows else None


@dataclass(frozen=True)
class Work:
    """The job that runs or waits, or the last one.

    Args:
        job: what is asked for.
        done, total: batches learnt, and in all; None before the first.
    """

    job: Job
    done: int | None
    total: int | None

    @property
    def open(self) -> bool:
        """Whether it has not ended."""
        return self.job.state in ("queued", "running")


@dataclass(frozen=True)
class Queue:
    """What came in and is not learnt.

    Args:
        since: when the oldest example came that the champion has not learnt; None without one.
        room: rows that the log may hold.
        held_out: rows of the evaluation memory, without the anchor.
        anchor: pinned rows.
    """

    since: float | None
    room: int
    held_out: int
    anchor: int


def cards(project: Project) -> list[Card]:
    """A card for each version that one of the shown aliases names."""
    aliases = project.registry.aliases()
    named: dict[int, list[str]] = {}
    for alias in SHOWN:
        if alias in aliases:
            named.setdefault(aliases[alias], []).append(alias)
    return [_card(project, number, names) for number, names in named.items()]


def work(project: Project) -> Work | None:
    """The job that runs or waits; where there is none, the last one; None before the first."""
    last = project.jobs.latest(limit=1)
    job = project.jobs.open() or (last[0] if last else None)
    if job is None:
        return None
    done, total = job.progress.get("batches"), job.progress.get("of")
    return Work(job, done, total)


def queue(project: Project) -> Queue:
    """What waits, beside what `status` says of it."""
    champion = project.registry.champion()
    learnt = 0 if champion is None else champion.upto
    since = project.database.value(
        "SELECT labelled FROM examples WHERE seq > ? AND use = 'train' ORDER BY seq LIMIT 1",
        (learnt,),
    )
    held = project.database.one(
        "SELECT count(*) - sum(span = ?) AS held_out, coalesce(sum(span = ?), 0) AS anchor"
        " FROM evaluation",
        (ANCHOR, ANCHOR),
    )
    assert held is not None  # noqa: S101
    return Queue(since, project.settings.log.max_rows, held["held_out"] or 0, held["anchor"])


def promotable(project: Project, versions: Iterable[Version]) -> set[int]:
    """Those of the versions that promoting could let serve.

    One that learnt from an erased subject can only take the place of another that did.
    """
    champion = project.registry.champion()
    tainted = champion is not None and champion.tainted is not None
    return {
        held.version
        for held in versions
        if held.state != "removed"
        and (held.tainted is None or tainted)
        and (champion is None or held.version != champion.version)
    }


def _card(project: Project, number: int, names: list[str]) -> Card:
    held = project.registry.get(number)
    scored = project.database.one(
        "SELECT coalesce(sum(rows), 0) AS rows, coalesce(sum(correct), 0) AS correct"
        " FROM accuracy WHERE version = ? AND slice = '' AND span != ?",
        (number, ANCHOR),
    )
    assert scored is not None  # noqa: S101
    since = project.database.value(
        "SELECT since FROM served WHERE version = ? AND until IS NULL", (number,)
    )
    said = verdicts_of(project, [number]).get(number, [])
    return Card(
        names[0],
        tuple(names[1:]),
        held,
        since,
        said[0].verdict if said else None,
        scored["correct"],
        scored["rows"],
        _job(project, held.job),
        bool(promotable(project, [held])),
    )


def _job(project: Project, number: int | None) -> Job | None:
    """A version's job; old ones are let go."""
    known = project.database.value("SELECT id FROM jobs WHERE id = ?", (number,))
    return None if known is None else project.jobs.get(known)
