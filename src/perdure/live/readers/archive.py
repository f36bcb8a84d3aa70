"""NumPy archives: arrays of equal length, one a column."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from perdure.errors import InvalidValue


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The rows; a cell is a number, a text or an array."""
    arrays = _arrays(path)
    for cells in zip(*arrays.values(), strict=True):
        yield dict(zip(arrays, cells, strict=True))


def count(path: Path) -> int:
    """The length of the arrays."""
    return len(next(iter(_arrays(path).values())))


def _arrays(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    if not zipfile.is_zipfile(path):
        raise InvalidValue(f"{path} is no archive; np.savez(path, x=..., y=...) writes one")
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = dict(archive)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InvalidValue(f"{path} is damaged, or holds Python objects: {error}") from error
    lengths = {name: len(array) if array.ndim else None for name, array in arrays.items()}
    if len(set(lengths.values())) != 1 or None in lengths.values():
        raise InvalidValue(f"{path} needs arrays of one length; it has {lengths}")
    return arrays
