"""The picture of an accuracy matrix shows each number in its own place."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.image import imread
from numpy.typing import NDArray

from perdure.track import picture

NAN = float("nan")


def drawn(values: list[list[float]], across: str = "after training on") -> NDArray[np.float64]:
    """Pixels (height, width, 3)."""
    rows, columns = len(values), len(values[0])
    names = [f"r{i}" for i in range(rows)], [f"c{j}" for j in range(columns)]
    png = picture.matrix(np.array(values, dtype=float), *names, across)
    return imread(io.BytesIO(png))[..., :3]


def place(pixels: NDArray[np.float64], value: float) -> tuple[float, float] | None:
    """The middle of all pixels in an accuracy's colour, from above and from the left."""
    colour = np.array(colormaps["viridis"](value)[:3])
    hit = np.argwhere(np.abs(pixels - colour).max(axis=2) < 0.003)
    return tuple(hit.mean(axis=0)) if len(hit) > 50 else None


def test_a_row_is_what_is_measured_and_a_column_is_when() -> None:
    """Accuracies 0.0 and 0.4 side by side in the first row, 0.8 under the first of them."""
    pixels = drawn([[0.0, 0.4], [0.8, 0.2]])
    a, b, c, d = (place(pixels, value) for value in (0.0, 0.4, 0.8, 0.2))
    assert a[0] == pytest.approx(b[0], abs=8)
    assert c[0] == pytest.approx(d[0], abs=8)
    assert a[1] == pytest.approx(c[1], abs=8)
    assert b[1] == pytest.approx(d[1], abs=8)
    assert a[0] < c[0]
    assert a[1] < b[1]


def test_what_was_not_measured_has_no_colour() -> None:
    """The cell is as white as the paper, not as dark as an accuracy of zero."""
    pixels = drawn([[0.4, NAN], [0.8, 0.2]])
    assert place(pixels, 0.0) is None
    column, row = place(pixels, 0.2)[1], place(pixels, 0.4)[0]
    assert (pixels[round(row), round(column)] == 1.0).all()


def test_colours_mean_the_same_in_every_picture() -> None:
    """From 0 to 1 always, so that two pictures can be held side by side."""
    for values in ([[0.5, 0.5]], [[0.5, 0.51]], [[0.0, 0.5]]):
        assert place(drawn(values), 0.5) is not None


def test_a_matrix_need_not_be_square() -> None:
    """Versions may be more than spans: a wide matrix makes a wide picture."""
    tall, wide = drawn([[0.5]] * 5), drawn([[0.5] * 5])
    assert tall.shape[0] > tall.shape[1]
    assert wide.shape[1] > wide.shape[0]


def test_the_same_matrix_is_the_same_picture() -> None:
    """Byte for byte, so that a run that is sent again is the same run."""
    values = np.array([[0.3, NAN], [0.1, 0.9]])
    once, again = (picture.matrix(values, "ab", "ab") for _ in range(2))
    assert once == again
    assert once != picture.matrix(values, "ab", "ab", "after the update of")
