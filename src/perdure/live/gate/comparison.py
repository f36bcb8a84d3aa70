"""Champion and challenger on the same rows: what each rule draws its counts from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from perdure.live.answers import Answers, Cell, Mask, check_same
from perdure.live.gate.clusters import design_effect, shrunk
from perdure.live.gate.paired import Paired
from perdure.live.gate.verdict import Finding
from perdure.live.settings import GateSettings


@dataclass(frozen=True)
class Tested:
    """A finding as it stands unless the evidence refuses it; its `p` is not adjusted yet.

    Args:
        finding: with the p-value of the limit being kept.
        refusal: the sentence for the case that it is not.
    """

    finding: Finding
    refusal: str

    def settled(self, adjusted: float, error: float) -> Finding:
        """The finding after the correction for many tests."""
        found = replace(self.finding, p=adjusted)
        if adjusted <= error:
            return replace(found, outcome="refuse", reason=self.refusal)
        if self.finding.p is not None and self.finding.p <= error:
            said = f"{self.refusal}, if it stood alone; among so many tests that may be chance"
            return replace(found, reason=said)
        return found


@dataclass(frozen=True, eq=False)
class Comparison:
    """A challenger and what it is held against.

    Args:
        settings: the limits.
        challenger: its answers.
        champion: answers to the same rows; None where nothing serves yet.
        past: what versions that served had right, for forgetting.
        error: the chance of promoting a challenger that is worse by more than the margin.

    Raises:
        InvalidValue: they answered different rows.
    """

    settings: GateSettings
    challenger: Answers
    champion: Answers | None
    past: Sequence[Cell]
    error: float

    def __post_init__(self) -> None:
        if self.champion is not None:
            check_same(self.champion, self.challenger)

    @cached_property
    def current(self) -> Mask:  # (n,)
        """All rows but the anchor."""
        return ~self.challenger.rows.anchor

    @cached_property
    def effect(self) -> float:
        """How many rows are worth one independent row."""
        if self.champion is None:
            return 1.0
        change = self.challenger.right.astype(np.int64) - self.champion.right.astype(np.int64)
        subject = self.challenger.rows.subject
        return design_effect(change[self.current], subject[self.current])

    def counts(self, mask: Mask) -> Paired | None:
        """Rows lost and gained; None without rows or champion."""
        if self.champion is None or not mask.any():
            return None
        before, after = self.champion.right[mask], self.challenger.right[mask]
        return Paired(len(before), int((before & ~after).sum()), int((~before & after).sum()))

    def worth(self, seen: Paired) -> Paired:
        """What the counts are worth as evidence."""
        return shrunk(seen, self.effect)

    @cached_property
    def gains(self) -> bool:
        """Whether the challenger is proved to be better than the champion in all."""
        seen = self.counts(self.current)
        return seen is not None and self.worth(seen).p_safe(0.0) <= self.error
