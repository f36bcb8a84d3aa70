"""What updates cost where some of them were counted and the others only timed."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from perdure.measure.cost import Cost


@dataclass
class _Kind:
    """Updates that cost the same, but for the first; `updates` counts them."""

    first: Cost = field(default_factory=Cost)
    counted: Cost = field(default_factory=Cost)
    plain: Cost = field(default_factory=Cost)


class Sampled:
    """Updates by their kind: which of them to count, and what all of them come to.

    Of each kind the first is counted and stands for itself alone, since methods set up there what a
    task needs; so are the third and every `every`-th after it, and the others are charged the mean
    of these. Where updates of a kind came but none was counted (an odd one before the next could
    be), they are charged by the row, at the mean of all counted updates.

    Args:
        every: updates of a kind from one counted to the next, at least 1, which counts all.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self._kinds: dict[Hashable, _Kind] = {}
        self._expected: dict[Hashable, Hashable] = {}

    def due(self, before: Hashable) -> bool:
        """Whether the next update is to be counted; at once where alike ones await a count.

        Args:
            before: the kind that the batch has before the update; recall may make it another.
        """
        if before not in self._expected:
            return True
        kind = self._kinds[self._expected[before]]
        if not kind.first.updates:
            return True
        calls = kind.counted.updates + kind.plain.updates
        return calls >= min(1, self.every - 1) + self.every * kind.counted.updates

    def note(self, before: Hashable, after: Hashable, spent: Cost, *, counted: bool) -> None:
        """An update was made: its kind before and after, and its cost."""
        self._expected[before] = after
        kind = self._kinds.setdefault(after, _Kind())
        if not counted:
            kind.plain += spent
        elif kind.first.updates:
            kind.counted += spent
        else:
            kind.first += spent

    @property
    def cost(self) -> Cost:
        """FLOPs and rows of all; of seconds only what corrects those of the block around them."""
        kinds = self._kinds.values()
        counted = sum((kind.first + kind.counted for kind in kinds), Cost())
        plain = sum((kind.plain for kind in kinds), Cost())
        flops, seconds, cpu = counted.flops, 0.0, 0.0
        for kind in kinds:
            known = kind.counted if kind.counted.updates else kind.first
            if known.updates:
                flops += kind.plain.updates * known.flops // known.updates
            else:
                flops += kind.plain.rows * counted.flops // counted.rows
            slowed = kind.first + kind.counted
            if slowed.updates and kind.plain.updates:
                alike = slowed.updates / kind.plain.updates
                seconds += alike * kind.plain.seconds - slowed.seconds
                cpu += alike * kind.plain.cpu_seconds - slowed.cpu_seconds
        return Cost(flops, counted.flops, seconds, cpu, counted.rows + plain.rows)
