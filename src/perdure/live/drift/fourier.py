"""Random Fourier features: a mean of them tells distributions apart, and no row back from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtri
from torch import Tensor

Array = NDArray[np.float64]
DIMS, FREQUENCIES = 32, 64


@dataclass(frozen=True)
class Spread:
    """Mean and squared deviations of rows that are themselves forgotten.

    Source: Chan, Golub & LeVeque 1979, for adding without loss of digits.

    Attributes:
        rows: how many.
        mean: (p,).
        squares: (p,) sum over rows of (z - mean)^2.
    """

    rows: int
    mean: Array
    squares: Array

    @classmethod
    def of(cls, rows: Array) -> Spread:  # (n, p)
        """Of these rows."""
        mean: Array = rows.mean(0)
        return cls(len(rows), mean, ((rows - mean) ** 2).sum(0))

    def __add__(self, other: Spread) -> Spread:
        """Of the rows of both."""
        rows, gap = self.rows + other.rows, other.mean - self.mean
        mean = self.mean + gap * (other.rows / rows)
        squares = self.squares + other.squares + gap**2 * (self.rows * other.rows / rows)
        return Spread(rows, mean, squares)

    def state_dict(self) -> dict[str, Any]:
        """Plain values and tensors."""
        mean, squares = torch.from_numpy(self.mean.copy()), torch.from_numpy(self.squares.copy())
        return {"rows": self.rows, "mean": mean, "squares": squares}


@dataclass(frozen=True)
class Fourier:
    """Rows as cosines and sines, whose inner products approximate a Gaussian kernel.

        phi(z) = [cos(u W), sin(u W)] / sqrt(frequencies),  u = (z - center) / scale
        W ~ N(0, 1 / (2 p)): the kernel's width is the mean distance of two rows of p columns

    Source: Rahimi & Recht 2007, "Random features for large-scale kernel machines". Differs: a width
    of the median distance (Gretton et al. 2012) would have to keep rows; this needs their spread.

    Attributes:
        center, scale: (p,) of each column.
        frequencies: W (p, frequencies).
    """

    center: Array
    scale: Array
    frequencies: Array

    @classmethod
    def of(cls, spread: Spread, seed: int) -> Fourier:
        """For rows that are spread like this; columns that do not vary are left alone."""
        scale = np.sqrt(spread.squares / spread.rows)
        scale = np.where(scale > 0, scale, 1.0)
        columns = len(scale)
        frequencies = normals((seed, 1), columns, FREQUENCIES) / np.sqrt(2 * columns)
        return cls(spread.mean, scale, frequencies)

    def mean(self, rows: Array) -> Array:  # (n, p) -> (2 * frequencies,)
        """The mean of the rows' features."""
        angles = ((rows - self.center) / self.scale) @ self.frequencies
        found: Array = np.concatenate((np.cos(angles).mean(0), np.sin(angles).mean(0)))
        found /= np.sqrt(self.frequencies.shape[1])
        return found

    def state_dict(self) -> dict[str, Tensor]:
        """The three arrays as tensors."""
        arrays = {"center": self.center, "scale": self.scale, "frequencies": self.frequencies}
        return {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}


def projection(columns: int, seed: int) -> Array:  # (columns, <= DIMS)
    """A fixed random projection to `DIMS` columns; of few columns, all as they are."""
    if columns <= DIMS:
        return np.eye(columns)
    found: Array = normals((seed, 0), columns, DIMS) / np.sqrt(columns)
    return found


def normals(seed: tuple[int, int], rows: int, columns: int) -> Array:
    """Standard normal numbers that are the same with every version of numpy."""
    bits = np.random.PCG64(seed).random_raw(rows * columns)
    uniform = ((bits >> np.uint64(11)) + 0.5) * 2.0**-53
    found: Array = ndtri(uniform)
    return found.reshape(rows, columns)
