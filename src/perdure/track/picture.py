"""An accuracy matrix as a picture that trackers can show."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from perdure.errors import require

CELL, WIDEST, WRITTEN = 0.5, 9.0, 12  # inches of a cell and of all; cells a side with numbers


def matrix(
    values: NDArray[np.float64],
    rows: Sequence[str],
    columns: Sequence[str],
    across: str = "after training on",
) -> bytes:
    """PNG of accuracies (rows, columns) in [0, 1]; NaN was not measured, and stays empty.

    Args:
        values: one row each of what is measured, one column each of when.
        rows: names.
        columns: names.
        across: what a column is.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    make = require("matplotlib.figure", "lab").Figure
    cell = min(CELL, WIDEST / max(len(rows), len(columns), 1))
    size = (1.6 + cell * len(columns), 1.2 + cell * len(rows))
    figure = make(figsize=size, layout="constrained", dpi=120)
    axes = figure.subplots()
    axes.imshow(np.ma.masked_invalid(values), vmin=0, vmax=1, cmap="viridis")
    every = -(-max(len(rows), len(columns)) // WRITTEN)
    axes.set_yticks(range(0, len(rows), every), rows[::every])
    axes.set_xticks(range(0, len(columns), every), columns[::every], rotation=45, ha="right")
    axes.set_xlabel(across)
    if max(values.shape) <= WRITTEN:
        for (i, j), value in np.ndenumerate(values):
            ink, said = ("black" if value > 0.6 else "white"), f"{100 * value:.0f}"
            axes.text(j, i, "" if np.isnan(value) else said, ha="center", va="center", color=ink)
    made = io.BytesIO()
    figure.savefig(made, format="png")
    return made.getvalue()
