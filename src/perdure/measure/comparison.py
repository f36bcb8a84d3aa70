"""Several seeds, two methods, one verdict: means with their spread, differences with intervals."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from scipy import stats

from perdure.errors import InvalidValue
from perdure.measure.cost import Cost

Interval = Literal["t", "bootstrap"]


@dataclass(frozen=True)
class Summary:
    """Mean and standard deviation (n - 1 in the denominator) over `count` seeds.

    `f"{summary:.1%}"` formats both numbers alike: "91.2% ± 0.4%". One seed has no deviation.
    """

    mean: float
    std: float | None
    count: int

    def __format__(self, spec: str) -> str:
        spread = "" if self.std is None else f" ± {format(self.std, spec or '.4f')}"
        return format(self.mean, spec or ".4f") + spread

    def __str__(self) -> str:
        return format(self)


def summarise(results: Sequence[Mapping[str, float | None]]) -> dict[str, Summary | None]:
    """Each measure over seeds; None, "not measured", where no seed has it.

    Args:
        results: one mapping a seed, from the name of a measure to its value.

    Raises:
        InvalidValue: there are no results, seeds have different measures, or a measure has a value
            for some seeds only: their means would not be of the same runs.
    """
    if not results:
        raise InvalidValue("there is nothing to summarise: give one result a seed")
    for seed, result in enumerate(results):
        if result.keys() != results[0].keys():
            differing = sorted(result.keys() ^ results[0].keys())
            raise InvalidValue(f"result {seed} and result 0 differ in their measures: {differing}")
    return {name: _summary(name, [result[name] for result in results]) for name in results[0]}


@dataclass(frozen=True)
class Difference:
    """Mean of a - b over paired runs, with an interval; None for its ends with one pair alone."""

    mean: float
    low: float | None
    high: float | None
    count: int
    confidence: float

    @property
    def decided(self) -> bool:
        """Whether the interval leaves out zero; never with one pair."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high

    def __str__(self) -> str:
        """The mean, its interval and the number of pairs."""
        if self.low is None or self.high is None:
            return f"{self.mean:+.4f} ({self.count} pair, no interval)"
        ends = f"[{self.low:+.4f}, {self.high:+.4f}]"
        return f"{self.mean:+.4f} {ends} ({self.confidence:.0%}, {self.count} pairs)"


def paired_difference(
    a: Sequence[float],
    b: Sequence[float],
    confidence: float = 0.95,
    interval: Interval = "t",
    seed: int = 0,
) -> Difference:
    """How much better `a` did than `b` where run i of both shares seed, order and data.

    Args:
        a: one number a run.
        b: the other's numbers for the same runs, in the same order.
        confidence: in (0, 1), that the interval covers the true mean.
        interval: "t" takes the differences for normal and is the one to use with few seeds;
            "bootstrap" takes percentiles of 10,000 resampled means and is too narrow below about
            ten pairs.
        seed: of the resampling.

    Raises:
        InvalidValue: the lengths differ, there are no runs, or an argument is out of range.
    """
    if len(a) != len(b) or not a:
        raise InvalidValue(f"pairs need as many numbers on both sides; got {len(a)} and {len(b)}")
    if interval not in get_args(Interval):
        raise InvalidValue(f"interval is {interval!r}; it must be 't' or 'bootstrap'")
    if not 0 < confidence < 1:
        raise InvalidValue(f"confidence is {confidence!r}; it must lie in (0, 1)")
    difference = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)  # (runs,)
    mean, runs = float(difference.mean()), len(difference)
    if runs == 1:
        return Difference(mean, None, None, runs, confidence)
    if interval == "t":
        reach = float(stats.t.ppf((1 + confidence) / 2, runs - 1) * stats.sem(difference))
        return Difference(mean, mean - reach, mean + reach, runs, confidence)
    drawn = np.random.default_rng(seed).integers(runs, size=(10_000, runs))
    tail = (1 - confidence) / 2
    low, high = np.quantile(difference[drawn].mean(1), [tail, 1 - tail])
    return Difference(mean, float(low), float(high), runs, confidence)


@dataclass(frozen=True)
class Savings:
    """How many times less a method spent than its reference, and the accuracy that it gave up.

    Attributes:
        flops: the reference's FLOPs over the method's; None where the method's were none.
        seconds: the same for wall-clock time.
        rows: the same for rows.
        accuracy_gap: the reference's accuracy less the method's; None where not measured.
        counted_share: the smaller share of both sides' FLOPs that was counted, not extrapolated.
    """

    flops: float | None
    seconds: float | None
    rows: float | None
    accuracy_gap: float | None
    counted_share: float | None

    def __str__(self) -> str:
        """One sentence that never names the savings without the gap."""
        ratios = {"FLOPs": self.flops, "seconds": self.seconds, "rows": self.rows}
        parts = ", ".join(
            f"{name} {'not measured' if ratio is None else f'{ratio:.2f}x'}"
            for name, ratio in ratios.items()
        )
        gap = "not measured" if self.accuracy_gap is None else f"{self.accuracy_gap:+.4f}"
        share = "" if self.counted_share is None else f" ({self.counted_share:.1%} FLOPs counted)"
        return f"reference over method: {parts}{share}; accuracy gap {gap}"


def savings(
    cost: Cost, reference: Cost, accuracy: float | None, reference_accuracy: float | None
) -> Savings:
    """What a method saves against a reference such as retraining from scratch.

    Args:
        cost: of the method.
        reference: cost of what it would replace, over the same stream.
        accuracy: of the method on held-out rows; None where not measured.
        reference_accuracy: of the reference on the same rows.
    """
    gap = None
    if accuracy is not None and reference_accuracy is not None:
        gap = reference_accuracy - accuracy
    shares = [side.counted_share for side in (cost, reference)]
    return Savings(
        _ratio(reference.flops, cost.flops),
        _ratio(reference.seconds, cost.seconds),
        _ratio(reference.rows, cost.rows),
        gap,
        min((share for share in shares if share is not None), default=None),
    )


def _ratio(reference: float, spent: float) -> float | None:
    return reference / spent if reference and spent else None


def _summary(name: str, values: Sequence[float | None]) -> Summary | None:
    measured = [value for value in values if value is not None]
    if not measured:
        return None
    if len(measured) < len(values):
        without = [seed for seed, value in enumerate(values) if value is None]
        raise InvalidValue(f"{name!r} was measured for some seeds and not for results {without}")
    spread = statistics.stdev(measured) if len(measured) > 1 else None
    return Summary(statistics.fmean(measured), spread, len(measured))
