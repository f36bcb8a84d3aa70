"""What changes along rows in order: classes that arrive late, columns that shift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln
from scipy.stats import chi2_contingency, ks_2samp

Array = NDArray[Any]

LEVEL = 0.001
"""What counts as evidence: the chance, corrected for the number of looks, of being fooled."""
SIZE = 0.1
"""What counts as a shift: a tenth of the rows would have to change to undo it."""
ROWS = 2000
"""Rows of each side that are compared at most: enough to see a shift of that size."""


@dataclass(frozen=True)
class Arrival:
    """When a class first appeared.

    Attributes:
        label: the class.
        rows: how many rows it has.
        first: the index of its first row.
        chance: of first appearing there or later, were the rows in random order.
    """

    label: int
    rows: int
    first: int
    chance: float


@dataclass(frozen=True)
class Shift:
    """How far a column moved between two groups of rows.

    Attributes:
        column: its name.
        where: which rows were compared with the others.
        size: in [0, 1], the largest gap between the distribution functions; of categories, half
            the sum of the gaps between their shares.
        chance: of a gap like this, were both groups alike.
    """

    column: str
    where: str
    size: float
    chance: float


Found = TypeVar("Found", Arrival, Shift)


def arrivals(labels: Array) -> list[Arrival]:
    """When each class of `labels` (n,), in their order, first appeared.

        chance = C(n - first, rows) / C(n, rows)

    since in random order all its rows would have to lie among the last n - first.
    """
    n = len(labels)
    found = []
    for label, first, rows in zip(
        *np.unique(labels, return_index=True, return_counts=True), strict=True
    ):
        chance = np.exp(_log_choose(n - first, rows) - _log_choose(n, rows))
        found.append(Arrival(int(label), int(rows), int(first), float(chance)))
    return found


def shifts(
    columns: Mapping[str, Array], labels: Array, groups: Mapping[str, Array], seed: int = 0
) -> list[Shift]:
    """How far each column differs between each group and the other rows, classes being equal.

    Both sides get as many rows of each class, drawn at random, so that another mixture of classes
    is not taken for other inputs. A group that shares no class with the others is left out.

    Args:
        columns: numbers (n,), or categories as strings (n,), by name.
        labels: classes (n,).
        groups: masks (n,) by name.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    found = []
    for where, inside in groups.items():
        here, there = _balanced(labels, inside, rng)
        for name, column in columns.items() if len(here) else ():
            gap = _gap(column[here], column[there])
            if gap is not None:
                found.append(Shift(name, where, *gap))
    return found


def beyond_chance(found: Sequence[Found]) -> list[Found]:
    """Those whose chance is below LEVEL although so many were looked at (Holm 1979)."""
    ordered = sorted(found, key=lambda one: one.chance)
    for index, one in enumerate(ordered):
        if one.chance * (len(ordered) - index) >= LEVEL:
            return ordered[:index]
    return ordered


def _log_choose(n: int, k: int) -> float:
    """The logarithm of a binomial coefficient; minus infinity where n < k."""
    if n < k:
        return -np.inf
    return float(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1))


def _balanced(labels: Array, inside: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Indices of as many rows of each class inside as outside, at most ROWS of each."""
    here, there = [], []
    for label in np.unique(labels):
        sides = [np.flatnonzero((labels == label) & side) for side in (inside, ~inside)]
        rows = min(len(side) for side in sides)
        here.append(rng.permutation(sides[0])[:rows])
        there.append(rng.permutation(sides[1])[:rows])
    a, b = np.concatenate(here), np.concatenate(there)
    chosen = rng.permutation(len(a))[:ROWS]
    return a[chosen], b[chosen]


def _gap(here: Array, there: Array) -> tuple[float, float] | None:
    """Size and chance of the difference; None where there is nothing to compare."""
    if here.dtype.kind not in "fiub":
        return _categories(here, there)
    here, there = (side[np.isfinite(side)] for side in (here.astype(float), there.astype(float)))
    if not len(here) or not len(there) or np.ptp(np.concatenate((here, there))) == 0:
        return None
    test = ks_2samp(here, there, method="asymp")
    return float(test.statistic), float(test.pvalue)


def _categories(here: Array, there: Array) -> tuple[float, float] | None:
    values = np.unique(np.concatenate((here, there)))
    if len(values) < 2:
        return None
    counts = np.array([[(side == value).sum() for value in values] for side in (here, there)])
    shares = counts / counts.sum(1, keepdims=True)
    size = float(np.abs(shares[0] - shares[1]).sum() / 2)
    return size, float(chi2_contingency(counts).pvalue)
