"""What came of a trial, span by span, and which trials nobody beats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Literal, Self

from perdure.errors import InvalidValue
from perdure.tune.candidate import Candidate

State = Literal["done", "pruned", "failed"]
Prefer = Literal["accuracy", "forgetting", "cost"]
WITHIN = 0.02
"""How much accuracy may be given for less forgetting or less cost, where those are preferred."""
WITNESSES = 4
"""Trials that must have come as far before another one is compared with them."""


@dataclass(frozen=True)
class Measured:
    """How a candidate stands after a span of the stream.

    Args:
        span: its place, from 0.
        accuracy: mean over the spans so far, each on its rows that were held out.
        forgetting: mean over earlier spans of the best accuracy there so far less that of now.
        before: accuracy on this span's rows before they were learnt; None where it had no answer.
        flops, seconds: of learning so far.
        state_bytes: that the method keeps.
    """

    span: int
    accuracy: float
    forgetting: float
    before: float | None
    flops: int
    seconds: float
    state_bytes: int

    def beats(self, other: Measured) -> bool:
        """Whether it is no worse in accuracy, forgetting and FLOPs, and better in one of them."""
        mine = (self.accuracy, -self.forgetting, -self.flops)
        theirs = (other.accuracy, -other.forgetting, -other.flops)
        return mine != theirs and all(a >= b for a, b in zip(mine, theirs, strict=True))


@dataclass(frozen=True)
class Outcome:
    """A trial that has ended.

    Args:
        number: of the trial.
        candidate: what was tried.
        state: "done" to the last span, "pruned" before, or "failed".
        course: one entry a span.
        reason: why it failed.
    """

    number: int
    candidate: Candidate
    state: State
    course: tuple[Measured, ...] = ()
    reason: str = ""

    @property
    def last(self) -> Measured:
        """How it stood at the end."""
        return self.course[-1]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, held: Mapping[str, Any]) -> Self:
        """The outcome of these plain values."""
        course = tuple(Measured(**one) for one in held["course"])
        candidate = Candidate.from_dict(held["candidate"])
        return cls(held["number"], candidate, held["state"], course, held["reason"])


def hopeless(course: Sequence[Measured], others: Sequence[Sequence[Measured]]) -> bool:
    """Whether a trial is to stop after the last span of its course.

    It is, from the second span on, where its accuracy is below the median of those that came as far
    and one of them beats it in accuracy, forgetting and cost: as it stands it is not on the front.

    Args:
        course: of the trial so far.
        others: courses of trials that have ended, pruned ones too.
    """
    now, place = course[-1], len(course) - 1
    there = [other[place] for other in others if len(other) > place]
    if place == 0 or len(there) < WITNESSES:
        return False
    below = now.accuracy < median(other.accuracy for other in there)
    return below and any(other.beats(now) for other in there)


def front(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Those that went to the end and that nobody beats, the most accurate first; each kind once."""
    done = {one.candidate.key: one for one in reversed(outcomes) if one.state == "done"}
    best = [o for o in done.values() if not any(p.last.beats(o.last) for p in done.values())]
    return sorted(best, key=_by_accuracy)


def choose(
    outcomes: Sequence[Outcome], prefer: Prefer = "accuracy", budget: float | None = None
) -> Outcome:
    """The winner.

    "accuracy": the most accurate. "forgetting" and "cost": of those within 0.02 of the most
    accurate, the one that forgets or costs least. Ties go to less forgetting, then to less cost.

    Args:
        outcomes: of all trials.
        prefer: what counts.
        budget: the most FLOPs that it may have cost; None for no limit.

    Raises:
        InvalidValue: no trial went to the end, or none within the budget.
    """
    done = [one for one in outcomes if one.state == "done"]
    if not done:
        failed = next((one.reason for one in outcomes if one.reason), "there was none")
        raise InvalidValue(f"no trial went to the end: {failed}")
    able = [one for one in done if budget is None or one.last.flops <= budget]
    if not able:
        least = min(one.last.flops for one in done)
        raise InvalidValue(
            f"no trial stayed within {budget:.3g} FLOPs; the cheapest took {least:.3g}"
        )
    if prefer == "accuracy":
        return min(able, key=_by_accuracy)
    enough = max(one.last.accuracy for one in able) - WITHIN
    near = [one for one in able if one.last.accuracy >= enough]
    if prefer == "cost":
        return min(near, key=lambda one: (one.last.flops, *_by_accuracy(one)))
    return min(near, key=lambda one: (one.last.forgetting, *_by_accuracy(one)))


def _by_accuracy(one: Outcome) -> tuple[float, float, int, int]:
    return (-one.last.accuracy, one.last.forgetting, one.last.flops, one.number)
