"""Which held-out rows stay when they are more than may be kept.

Of each group, which is a span and a label, the rows of lowest priority stay, and groups have equal
shares. A priority is a hash of the row, so that what stays of a group is a uniform sample of all
that ever came, and does not depend on the order in which it came, or on how it was batched: the
same rows folded again leave the same. A group that let rows go remembers the lowest priority among
them; nothing above that enters any more, or later rows would be favoured.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from perdure.errors import check_range

Group = tuple[int, int]
"""A span and a label."""


@dataclass(frozen=True)
class Candidate:
    """A row that may stay.

    Args:
        key: of the row.
        group: its span and label.
        priority: in [0, 1); the lowest of a group stay longest.
    """

    key: int
    group: Group
    priority: float


@dataclass(frozen=True)
class Selection:
    """What stays.

    Args:
        keys: of the rows that stay.
        limits: group -> the lowest priority that it let go; groups that let none go have none.
    """

    keys: frozenset[int]
    limits: Mapping[Group, float]


def select(
    candidates: Sequence[Candidate], limits: Mapping[Group, float], capacity: int
) -> Selection:
    """At most `capacity` rows out of those held and those that came, in any order.

    Args:
        candidates: rows held and new rows, each key once.
        limits: as the last selection left them.
        capacity: rows at most, in all groups together.

    Raises:
        InvalidValue: a capacity below 1.
    """
    check_range("select", "capacity", capacity, 1, float("inf"))
    members: dict[Group, list[Candidate]] = {}
    for one in candidates:
        if one.priority < limits.get(one.group, 1.0):
            members.setdefault(one.group, []).append(one)
    sizes = {group: len(rows) for group, rows in members.items()}
    allowed = shares(sizes, frozenset(limits), capacity)
    kept: set[int] = set()
    after = dict(limits)
    for group, rows in members.items():
        rows.sort(key=lambda one: (one.priority, one.key))
        kept.update(one.key for one in rows[: allowed[group]])
        if allowed[group] < len(rows):
            after[group] = rows[allowed[group]].priority
    return Selection(frozenset(kept), after)


def shares(
    sizes: Mapping[Group, int], dropped: frozenset[Group], capacity: int
) -> dict[Group, int]:
    """Rows for each group: all of a small one, and of the others an equal number.

    What cannot be shared equally goes, a row each, to groups in the order of a hash. So a group's
    share never grows as rows come, and follows from the true sizes of the groups, of which a group
    that dropped rows shows only what it holds.

    Args:
        sizes: rows of each group that are there now.
        dropped: groups that had more.
        capacity: rows in all.
    """
    level, rest = _level(sizes, capacity)
    larger = [group for group, size in sizes.items() if size > level or group in dropped]
    favoured = set(sorted(larger, key=_order)[:rest])
    return {group: min(size, level + (group in favoured)) for group, size in sizes.items()}


def merge_limits(limits: Mapping[Group, float], gone: int, into: int) -> dict[Group, float]:
    """The limits after one span became part of another: the lower one of each label."""
    merged: dict[Group, float] = {}
    for (span, label), limit in limits.items():
        group = (into if span == gone else span, label)
        merged[group] = min(limit, merged.get(group, 1.0))
    return merged


def _level(sizes: Mapping[Group, int], capacity: int) -> tuple[int, int]:
    """The largest equal share that fits, and how many rows then are left over."""
    room, waiting = capacity, Counter(sizes.values())
    groups, level = len(sizes), 0
    for size in sorted(waiting):
        if (size - level) * groups > room:
            return level + room // groups, room % groups
        room -= (size - level) * groups
        groups -= waiting[size]
        level = size
    return level, room


def _order(group: Group) -> bytes:
    return hashlib.blake2b(repr(group).encode(), digest_size=8).digest()
