"""Versions as they came, what the gate said of each, and what people did."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from perdure.live.gate.verdict import Verdict
from perdure.live.project import Project
from perdure.live.registry import Version

PAGE: Final = 25
"""Versions or audit entries at a time."""


@dataclass(frozen=True)
class Said:
    """A verdict and when it was given."""

    at: float
    verdict: Verdict


@dataclass(frozen=True)
class Entry:
    """A version in the list.

    Args:
        version: what is listed.
        aliases: that name it.
        verdicts: the gate's, newest first.
        served: stretches of time in which it served, (since, until), newest first; until is None
            while it does.
        mixed: (share, number) of the version that it was mixed from with its parent, by the gate.
        became: the version that the gate made of it so.
    """

    version: Version
    aliases: tuple[str, ...]
    verdicts: tuple[Said, ...]
    served: tuple[tuple[float, float | None], ...]
    mixed: tuple[float, int] | None = None
    became: int | None = None


@dataclass(frozen=True)
class Act:
    """An audit entry.

    Args:
        id: its number.
        at: seconds since the epoch.
        actor: who.
        action: did what, one word.
        reason: why; "" where nobody said.
        detail: the rest, as (name, value).
    """

    id: int
    at: float
    actor: str
    action: str
    reason: str
    detail: tuple[tuple[str, str], ...]


def versions(project: Project, limit: int = PAGE) -> list[Entry]:
    """The latest versions, newest first."""
    held = project.registry.all()[: -limit - 1 : -1]
    numbers = [one.version for one in held]
    names: dict[int, list[str]] = defaultdict(list)
    for alias, number in project.registry.aliases().items():
        names[number].append(alias)
    said, stretches = verdicts_of(project, numbers), _served(project, numbers)
    mixed = {
        one.version: (float(how["share"]), int(how["from"]))
        for one in held
        if (how := one.note.get("interpolated"))
    }
    became = {source: number for number, (_, source) in mixed.items()}
    return [
        Entry(
            one,
            tuple(names[one.version]),
            tuple(said.get(one.version, [])),
            tuple(stretches.get(one.version, [])),
            mixed.get(one.version),
            became.get(one.version),
        )
        for one in held
    ]


def verdicts_of(project: Project, numbers: Sequence[int]) -> dict[int, list[Said]]:
    """Verdicts by version, newest first."""
    found = project.database.read(
        "SELECT version, at, report FROM verdicts"
        " WHERE version IN (SELECT value FROM json_each(?)) ORDER BY id DESC",
        (json.dumps(list(numbers)),),
    )
    held: dict[int, list[Said]] = defaultdict(list)
    for row in found:
        verdict = Verdict.from_dict(json.loads(row["report"]))
        held[row["version"]].append(Said(row["at"], verdict))
    return dict(held)


def audit(project: Project, before: int | None = None, limit: int = PAGE) -> list[Act]:
    """Audit entries, newest first.

    Args:
        project: whose they are.
        before: only entries with a lower number; None begins with the newest.
        limit: entries at most.
    """
    found = project.database.read(
        "SELECT * FROM audit WHERE ? IS NULL OR id < ? ORDER BY id DESC LIMIT ?",
        (before, before, limit),
    )
    return [_act(row["id"], row["at"], row["actor"], row["action"], row["detail"]) for row in found]


def _act(id_: int, at: float, actor: str, action: str, detail: str) -> Act:
    said: dict[str, Any] = json.loads(detail)
    reason = str(said.pop("reason", None) or "")
    plain = tuple((key, _plain(value)) for key, value in said.items() if value is not None)
    return Act(id_, at, actor, action, reason, plain)


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(_plain, value))
    return value if isinstance(value, str) else json.dumps(value)


def _served(
    project: Project, numbers: Sequence[int]
) -> dict[int, list[tuple[float, float | None]]]:
    found = project.database.read(
        "SELECT version, since, until FROM served"
        " WHERE version IN (SELECT value FROM json_each(?)) ORDER BY id DESC",
        (json.dumps(list(numbers)),),
    )
    held: dict[int, list[tuple[float, float | None]]] = defaultdict(list)
    for row in found:
        held[row["version"]].append((row["since"], row["until"]))
    return dict(held)
