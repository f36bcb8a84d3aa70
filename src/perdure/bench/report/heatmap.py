"""The accuracy matrix as a heat map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perdure.bench.result import Result
from perdure.bench.table import DASH
from perdure.errors import require
from perdure.figure import INK, figure

CELL, WIDEST = 0.4, 4.6  # inches, of a cell and of all
STOPS = ("#46296b", "#3a5a8c", "#27838e", "#46b07e", "#c9dc62")
"""From accuracy 0 to 1."""


def heatmap(title: str, results: Sequence[Result]) -> str:
    """Mean over the runs of the accuracy on each task (rows) after each task (columns).

    The first column comes before any training. A cell that was not measured is left empty.

    Args:
        title: unique on the page.
        results: runs that differ in their seed alone.
    """
    values = mean_matrix(results)  # (t, 1 + t)
    names = task_names(results)
    cell = min(CELL, WIDEST / len(names))
    size = (1.15 + cell * (len(names) + 1), 1.0 + cell * len(names))
    return figure(title, size, lambda axes: _draw(axes, values, names))


def mean_matrix(results: Sequence[Result]) -> NDArray[np.float64]:  # (t, 1 + t)
    """The mean matrix, with the untrained model's accuracies as the first column."""
    each = []
    for result in results:
        before = np.array(result.matrix.baseline, dtype=np.float64)[:, None]
        each.append(np.hstack((before, result.matrix.array)))
    return np.asarray(np.mean(each, axis=0))


def task_names(results: Sequence[Result]) -> list[str]:
    """The tasks' own names where every run has the same, or else their places."""
    names = {tuple(result.matrix.tasks) for result in results}
    if len(names) == 1:
        return list(next(iter(names)))
    return [f"task {place}" for place in range(1, len(results[0].matrix.tasks) + 1)]


def _draw(axes: Any, values: NDArray[np.float64], names: Sequence[str]) -> None:
    colors = require("matplotlib.colors", "lab")
    ramp = colors.LinearSegmentedColormap.from_list("accuracy", STOPS)
    shown = np.ma.masked_invalid(values)
    axes.pcolormesh(shown, cmap=ramp, vmin=0, vmax=1, edgecolors="none")
    axes.invert_yaxis()
    axes.set_aspect("equal")
    axes.grid(visible=False)
    axes.tick_params(length=0, labelsize=9)
    for spine in axes.spines.values():
        spine.set_visible(False)
    every = slice(None, None, -(-len(names) // 12))
    axes.set_yticks((np.arange(len(names)) + 0.5)[every], names[every])
    columns = np.arange(len(names) + 1) + 0.5
    axes.set_xticks(columns[every], ["none", *names][every], rotation=45, ha="right")
    axes.tick_params(axis="x", pad=1)
    axes.set_xlabel("after training on", fontsize=9)
    if len(names) <= 12:
        _write_cells(axes, values)


def _write_cells(axes: Any, values: NDArray[np.float64]) -> None:
    for (i, j), value in np.ndenumerate(values):
        measured = not np.isnan(value)
        ink = ("#10202a" if value > 0.6 else "#f4f1fa") if measured else INK
        bold = "bold" if measured and j == i + 1 else "normal"
        axes.text(
            j + 0.5,
            i + 0.5,
            f"{100 * value:.0f}" if measured else DASH,
            ha="center",
            va="center",
            fontsize=9.5,
            fontweight=bold,
            color=ink,
        )
