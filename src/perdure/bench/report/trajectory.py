"""Accuracy and forgetting as tasks come."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perdure.bench.report.colours import dashes
from perdure.bench.table import Line
from perdure.figure import figure
from perdure.measure import AccuracyMatrix

SIZE = (4.9, 3.3)

Reading = Callable[[AccuracyMatrix], float | None]


def accuracy_so_far(title: str, found: Sequence[Line], colour: Mapping[str, str]) -> str:
    """Mean accuracy over the tasks seen so far, after each task."""
    return _trajectory(title, found, colour, AccuracyMatrix.accuracy, first=1)


def forgetting_so_far(title: str, found: Sequence[Line], colour: Mapping[str, str]) -> str:
    """Mean forgetting of the tasks seen so far, after each task from the second on."""
    return _trajectory(title, found, colour, AccuracyMatrix.forgetting, first=2)


def newest(title: str, found: Sequence[Line], colour: Mapping[str, str]) -> str:
    """Accuracy on each task right after it was learned: what is left of the gift of learning."""
    return _trajectory(title, found, colour, lambda matrix: matrix.values[-1][-1], first=1)


def over_tasks(line: Line, read: Reading, first: int) -> NDArray[np.float64]:  # (seeds, tasks)
    """A measure of the matrix as it stood after `first`, `first` + 1, ... tasks, in percent."""
    counts = range(first, len(line.results[0].matrix.tasks) + 1)
    values = [[read(r.matrix.until(count)) for count in counts] for r in line.results]
    return 100 * np.array(values, dtype=np.float64)


def _trajectory(
    title: str, found: Sequence[Line], colour: Mapping[str, str], read: Reading, first: int
) -> str:
    def draw(axes: Any) -> None:
        for line in found:
            values = over_tasks(line, read, first)
            x = np.arange(first, first + values.shape[1])
            band(axes, x, values, colour[line.label], dashes(line.method))
        axes.set_xlabel("tasks learned")
        axes.set_ylabel("%")
        axes.set_xticks(x)
        axes.margins(x=0.03)

    return figure(title, SIZE, draw)


def band(
    axes: Any,
    x: NDArray[Any],
    values: NDArray[np.float64],
    colour: str,
    dash: tuple[float, ...],
) -> None:
    """The mean over seeds, and one standard deviation around it."""
    mean = values.mean(0)
    style = {"dashes": dash} if dash else {}
    axes.plot(x, mean, color=colour, marker="o", markersize=3.2, **style)
    if len(values) > 1:
        std = values.std(0, ddof=1)
        axes.fill_between(x, mean - std, mean + std, color=colour, alpha=0.14, linewidth=0)
