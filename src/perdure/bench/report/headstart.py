"""Head start: how much faster a progressive network learns a new task than fine-tuning does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perdure.bench.report.colours import dashes
from perdure.bench.report.trajectory import band
from perdure.bench.result import Result
from perdure.bench.table import Line
from perdure.figure import figure
from perdure.measure import Difference, paired_difference

SIZE = (4.9, 3.3)
SHOWN = (1, 5, 10, 20, 50, 100, 500)


@dataclass(frozen=True)
class HeadStart:
    """Accuracy on a new task early in its training, mean over all tasks but the first.

    Attributes:
        updates: of the new task so far.
        progressive: mean over seeds.
        naive: mean over the same seeds.
        difference: of the two, paired by seed.
    """

    updates: int
    progressive: float
    naive: float
    difference: Difference


def head_start(found: Sequence[Line]) -> list[HeadStart]:
    """Progressive networks against naive fine-tuning at a few numbers of updates.

    Empty unless both were run in this scenario with a seed in common and two tasks or more.
    """
    runs = {line.label: {r.experiment.seed: r for r in line.results} for line in found}
    ours, theirs = runs.get("progressive", {}), runs.get("naive", {})
    seeds = [seed for seed in ours if seed in theirs]
    if not seeds:
        return []
    rows = []
    for updates in SHOWN:
        a = [early(ours[seed], updates) for seed in seeds]
        b = [early(theirs[seed], updates) for seed in seeds]
        known = [(x, y) for x, y in zip(a, b, strict=True) if x is not None and y is not None]
        if len(known) == len(seeds):
            first, second = [x for x, _ in known], [y for _, y in known]
            rows.append(
                HeadStart(updates, fmean(first), fmean(second), paired_difference(first, second))
            )
    return rows


def early(result: Result, updates: int) -> float | None:
    """Accuracy on each task but the first after so many of its updates; None if not measured."""
    values = [dict(curve).get(updates) for curve in result.curves[1:]]
    measured = [value for value in values if value is not None]
    return fmean(measured) if values and len(measured) == len(values) else None


def conclusion(rows: Sequence[HeadStart]) -> str:
    """What the earliest rows say, in one sentence."""
    row = next((row for row in rows if row.updates >= 10), rows[-1])
    gap = row.difference
    said = (
        f"After {row.updates} updates of a new task, progressive networks stand at "
        f"{row.progressive:.1%} and naive fine-tuning at {row.naive:.1%}"
    )
    if gap.low is None or gap.high is None:
        return f"{said}: {100 * gap.mean:+.1f} points, from one seed."
    verdict = "" if gap.decided else "; the interval holds 0, so neither is ahead"
    return (
        f"{said}: {100 * gap.mean:+.1f} points "
        f"(95% interval {100 * gap.low:+.1f} to {100 * gap.high:+.1f}{verdict})."
    )


def plot(title: str, found: Sequence[Line], colour: Mapping[str, str]) -> str:
    """Accuracy on a new task over its first updates, mean over all tasks but the first."""

    def draw(axes: Any) -> None:
        for line in found:
            if line.label in {"progressive", "naive"}:
                x, values = _curves(line)  # (seeds, x)
                band(axes, x, 100 * values, colour[line.label], dashes(line.method))
        axes.set_xscale("symlog", linthresh=1)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set_xlabel("updates of the new task")
        axes.set_ylabel("accuracy on it, %")

    return figure(title, SIZE, draw)


def _curves(line: Line) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The numbers of updates at which every run was measured, and the accuracies there."""
    at = sorted({n for result in line.results for curve in result.curves[1:] for n, _ in curve})
    values = np.array([[early(r, n) for n in at] for r in line.results], dtype=np.float64)
    known = ~np.isnan(values).any(axis=0)
    return np.array(at)[known], values[:, known]
