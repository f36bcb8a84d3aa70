"""What a learner was worth, and what it cost, batch by batch: curves and what they integrate to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any, Self

from perdure.errors import InvalidValue
from perdure.measure.cost import Cost


@dataclass(frozen=True)
class Moment:
    """How a learner stood after one batch of its stream.

    Attributes:
        rows: rows of the stream that came so far.
        classes: distinct classes that came so far.
        accuracy: on the whole test set, classes still to come included; None: not measured then.
        accuracy_seen: on the test rows of the classes that came so far; None: not measured then.
        held_bytes: tensors of the learner's whole state: model, optimiser and methods.
        cost: of this batch alone.
    """

    rows: int
    classes: int
    accuracy: float | None
    accuracy_seen: float | None
    held_bytes: int
    cost: Cost

    @classmethod
    def from_dict(cls, held: Mapping[str, Any]) -> Self:
        """The moment that `dataclasses.asdict` was called on."""
        return cls(**{**held, "cost": Cost(**held["cost"])})


@dataclass(frozen=True)
class LifeCycle:
    """One learner over a whole stream.

    Args:
        name: of what learned.
        moments: one a batch, in order.

    Raises:
        InvalidValue: there are no moments.
    """

    name: str
    moments: tuple[Moment, ...]

    def __post_init__(self) -> None:
        if not self.moments:
            raise InvalidValue(f"the life cycle of {self.name} has no moments")

    @property
    def cost(self) -> Cost:
        """Of all batches together."""
        return sum((moment.cost for moment in self.moments), Cost())

    def accuracy(self) -> float | None:
        """On the classes seen so far, the mean over the measured moments: the area of its curve."""
        measured = [m.accuracy_seen for m in self.moments if m.accuracy_seen is not None]
        return fmean(measured) if measured else None

    def final_accuracy(self) -> float | None:
        """On the whole test set after the last batch; None where it was not measured then."""
        return self.moments[-1].accuracy

    def bytes_per_row(self) -> float | None:
        """Bytes that the state gains a row once every class has come: zero where it is bounded.

        None where the last class came with the last row.
        """
        last = self.moments[-1]
        first = next(moment for moment in self.moments if moment.classes == last.classes)
        if first.rows == last.rows:
            return None
        return (last.held_bytes - first.held_bytes) / (last.rows - first.rows)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"name": self.name, "moments": [asdict(moment) for moment in self.moments]}

    @classmethod
    def from_dict(cls, held: Mapping[str, Any]) -> Self:
        """The life cycle that `to_dict` was called on."""
        return cls(held["name"], tuple(Moment.from_dict(moment) for moment in held["moments"]))


@dataclass(frozen=True)
class Saved:
    """The share of a reference's spending that a method saved; None where the reference had none.

    Attributes:
        whole: 1 - sum of the method's / sum of the reference's, over all batches.
        last: the same at the last batch alone, where the past is longest.
    """

    whole: float | None
    last: float | None


@dataclass(frozen=True)
class LifeCycleSavings:
    """What a method saved against a reference over the same stream, and the accuracy it gave up.

    Attributes:
        flops: saved.
        seconds: of wall-clock time, saved.
        cpu_seconds: saved; on a busy machine these say more than the clock.
        rows: rows learnt from or read, saved.
        memory: bytes of state, saved; `whole` compares the means over batches.
        gap: the reference's accuracy on the classes seen so far less the method's, mean over the
            batches where both were measured; None where there is no such batch.
        final_gap: the same on the whole test set after the last batch.
        widest_gap: the largest of the gaps that `gap` is the mean of.
    """

    flops: Saved
    seconds: Saved
    cpu_seconds: Saved
    rows: Saved
    memory: Saved
    gap: float | None
    final_gap: float | None
    widest_gap: float | None


def life_cycle_savings(cycle: LifeCycle, reference: LifeCycle) -> LifeCycleSavings:
    """What a method saves over a reference such as retraining from scratch at every batch.

    Raises:
        InvalidValue: the two are not over the same batches.
    """
    ours, theirs = cycle.moments, reference.moments
    if [m.rows for m in ours] != [m.rows for m in theirs]:
        raise InvalidValue(
            f"{cycle.name} and {reference.name} lived through different batches: {len(ours)} and "
            f"{len(theirs)} of them, {ours[-1].rows} and {theirs[-1].rows} rows"
        )
    both = [(a.accuracy_seen, b.accuracy_seen) for a, b in zip(ours, theirs, strict=True)]
    gaps = [b - a for a, b in both if a is not None and b is not None]
    final = (cycle.final_accuracy(), reference.final_accuracy())
    spent = [[m.cost for m in moments] for moments in (ours, theirs)]
    return LifeCycleSavings(
        _saved([cost.flops for cost in spent[0]], [cost.flops for cost in spent[1]]),
        _saved([cost.seconds for cost in spent[0]], [cost.seconds for cost in spent[1]]),
        _saved([cost.cpu_seconds for cost in spent[0]], [cost.cpu_seconds for cost in spent[1]]),
        _saved([cost.rows for cost in spent[0]], [cost.rows for cost in spent[1]]),
        _saved([m.held_bytes for m in ours], [m.held_bytes for m in theirs]),
        fmean(gaps) if gaps else None,
        None if final[0] is None or final[1] is None else final[1] - final[0],
        max(gaps, default=None),
    )


def _saved(spent: Sequence[float], reference: Sequence[float]) -> Saved:
    return Saved(_share(sum(spent), sum(reference)), _share(spent[-1], reference[-1]))


def _share(spent: float, reference: float) -> float | None:
    return 1 - spent / reference if reference else None
