"""Features that are a tensor of numbers already: one dtype, one shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from perdure.live.refusals import RowRefused
from perdure.live.schema.form import Bytes
from perdure.live.schema.numeric import Array, as_float32, as_integers, as_numbers, first

Dtype = Literal["float32", "uint8", "int64"]

SAID = {
    "float32": "give a finite number that float32 can hold",
    "uint8": "give an integer from 0 to 255",
    "int64": "give an integer of 64 bits",
}


@dataclass(frozen=True)
class TensorForm:
    """Tensors of one dtype and shape, stored as they lie in memory, little-endian.

    Args:
        dtype: of the numbers.
        shape: of one row.
    """

    dtype: Dtype
    shape: tuple[int, ...]

    @property
    def row_bytes(self) -> int:
        """The length of every encoded row."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    def encode_many(self, features: Any) -> Bytes:  # (n, row_bytes)
        """Check and encode nested lists or an array (n, *shape); arrays take the fast way."""
        if len(features) == 0:
            return np.empty((0, self.row_bytes), np.uint8)
        array = as_numbers(features)
        if array is None or array.shape[1:] != self.shape:
            array = np.stack([self._row(row, index) for index, row in enumerate(features)])
        stored = np.dtype(self.dtype)
        cast, bad = as_float32(array) if stored.kind == "f" else as_integers(array, stored)
        where = first(bad)
        if where is not None:
            place = "".join(f"[{i}]" for i in where[1:])
            raise RowRefused(
                SAID[self.dtype], field=f"features{place}", value=array[where], row=where[0]
            )
        little = np.ascontiguousarray(cast, dtype=stored.newbyteorder("<"))
        return little.reshape(len(cast), -1).view(np.uint8)

    def decode(self, rows: Bytes) -> Tensor:  # (n, *shape)
        """The tensors of encoded rows (n, row_bytes)."""
        stored = np.dtype(self.dtype)
        numbers = np.ascontiguousarray(rows).view(stored.newbyteorder("<")).astype(stored)
        return torch.from_numpy(numbers.reshape(len(rows), *self.shape))

    def example(self) -> Any:
        """Zeros."""
        return np.zeros(self.shape, self.dtype).tolist()

    def describe(self) -> str:
        """Dtype and shape."""
        return f"{self.dtype} tensors of shape {' x '.join(map(str, self.shape))}"

    def _row(self, row: Any, index: int) -> Array:  # shape
        array = as_numbers(row)
        if array is None:
            field, value = _culprit("features", row)
            raise RowRefused(
                f"give numbers, nested as shape {list(self.shape)} says",
                field=field,
                value=value,
                row=index,
            )
        if array.shape != self.shape:
            raise RowRefused(
                f"its shape is {list(array.shape)}; the schema says {list(self.shape)}",
                field="features",
                row=index,
            )
        return array


def _culprit(field: str, value: Any) -> tuple[str, Any]:
    """Where in nested lists lies what is no number; the innermost list where it is only uneven."""
    inner = enumerate(value if isinstance(value, Sequence) and not isinstance(value, str) else ())
    wrong = next(((i, held) for i, held in inner if as_numbers(held) is None), None)
    return (field, value) if wrong is None else _culprit(f"{field}[{wrong[0]}]", wrong[1])
