"""What the memories of a version hold, counted from the columns of its file that say so."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from safetensors import safe_open

from perdure.live.keys import key
from perdure.live.project import Project, method_named
from perdure.live.registry import STATE, Version
from perdure.memory import Memory

SHOWN: Final = 12
"""Sources at most, the others as one."""


@dataclass(frozen=True)
class Share:
    """Rows of one class or source.

    Args:
        name: of it; "" for what is left of many, or has no name here.
        rows: held.
    """

    name: str
    rows: int


@dataclass(frozen=True)
class Composition:
    """A method's memory.

    Args:
        method: whose it is.
        policy: that says which rows stay.
        capacity: rows at most; None without a bound.
        rows: held.
        classes: by class, in the order of their numbers, those without a row included.
        sources: by source, the largest first; empty where rows do not say.
        oldest, newest: times of events, seconds since the epoch; None where rows do not say.
    """

    method: str
    policy: str
    capacity: int | None
    rows: int
    classes: tuple[Share, ...]
    sources: tuple[Share, ...]
    oldest: float | None
    newest: float | None

    @property
    def most(self) -> int:
        """Rows of the largest class."""
        return max((share.rows for share in self.classes), default=0)


def compositions(project: Project, held: Version) -> list[Composition]:
    """The memories of a version, of each method that has one.

    Only the columns that are counted are read, not the rows' features.
    """
    path = project.registry.path(held) / STATE
    if held.state == "removed" or not path.exists():
        return []
    found = []
    for said in project.settings.learner.methods:
        method = method_named(said)
        for name, part in method.parts().items():
            if isinstance(part, Memory):
                columns = _columns(path, f"/methods/{method.name}/{name}/rows/")
                found.append(_composition(project, method.name, part, columns))
    return found


def _columns(path: Path, place: str) -> Mapping[str, list[float]]:
    """The memory's columns of one number a row that say what the row is."""
    with safe_open(path, framework="pt") as file:
        there = set(file.keys())
        return {
            column: file.get_tensor(place + column).tolist()
            for column in ("y", "source", "time")
            if place + column in there
        }


def _composition(
    project: Project, method: str, memory: Memory, columns: Mapping[str, list[float]]
) -> Composition:
    y, times = columns.get("y", []), columns.get("time", [])
    by_class = Counter(y)
    return Composition(
        method,
        type(memory).__name__,
        None if memory.capacity == sys.maxsize else memory.capacity,
        len(y),
        tuple(Share(name, by_class[label]) for label, name in enumerate(project.classes())),
        _sources(project, columns.get("source", [])),
        min(times, default=None),
        max(times, default=None),
    )


def _sources(project: Project, keys: Iterable[float]) -> tuple[Share, ...]:
    """By name, as far as the log still knows the names that the numbers stand for."""
    names = [row["source"] for row in project.database.read("SELECT DISTINCT source FROM rows")]
    known = {key(name or ""): name or "without a source" for name in names}
    counts: Counter[str] = Counter()
    for number, rows in Counter(keys).items():
        counts[known.get(int(number), "")] += rows
    named = [(name, rows) for name, rows in counts.most_common() if name]
    rest = counts[""] + sum(rows for _, rows in named[SHOWN:])
    shares = [Share(name, rows) for name, rows in named[:SHOWN]]
    return (*shares, Share("", rest)) if rest else tuple(shares)
