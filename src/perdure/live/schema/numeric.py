"""Values from outside: what JSON, NumPy and torch call a number, and what may be a name."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def as_numbers(value: Any) -> Array | None:
    """Nested sequences or an array as one array of numbers; None where they are anything else.

    Text is no number, whatever it spells; true and false are 1 and 0.
    """
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, OverflowError):
        return None
    return array if array.dtype.kind in "biuf" else None


def as_float32(array: Array) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The numbers as float32, and where that is not finite: NaN, infinite, or too large."""
    with np.errstate(over="ignore", invalid="ignore"):
        # By way of float64, so that a number rounds the same whatever stands beside it.
        wide = array if array.dtype == np.float32 else array.astype(np.float64)
        cast = wide.astype(np.float32)
    return cast, ~np.isfinite(cast)


def as_integers(array: Array, dtype: np.dtype[Any]) -> tuple[Array, NDArray[np.bool_]]:
    """The numbers as integers of `dtype`, and where that would change them."""
    limits = np.iinfo(dtype)
    if array.dtype.kind == "f":
        # From 2^53 on a float no longer says which integer was meant.
        low, high = max(limits.min, 1 - 2**53), min(limits.max, 2**53 - 1)
        bad = ~((array >= low) & (array <= high) & (array == np.floor(array)))
    elif array.dtype.kind == "b":
        bad = np.zeros(array.shape, dtype=np.bool_)
    else:
        bad = (array < limits.min) | (array > limits.max)
    return np.where(bad, 0, array).astype(dtype), bad


def as_name(value: Any) -> str | None:
    """What a text, an integer or a truth value is called; None where it is anything else.

    3, 3.0 and "3" are one name, and so are true and "true": files and clients write all of them.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return str(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return value if isinstance(value, str) else None


def first(mask: NDArray[np.bool_]) -> tuple[int, ...] | None:
    """The index of the first true entry, or None."""
    return tuple(int(i) for i in np.argwhere(mask)[0]) if mask.any() else None
