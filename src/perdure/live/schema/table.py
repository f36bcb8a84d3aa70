"""Features that are a row of a table: columns by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from torch import Tensor

from perdure.live.refusals import RowRefused
from perdure.live.schema.column import Cells, Column
from perdure.live.schema.form import Bytes
from perdure.live.schema.tensor import TensorForm


@dataclass(frozen=True)
class TableForm:
    """Rows of named columns, stored as one float32 a column.

    A row comes as an object of its columns, or as a list of their values in the schema's order.

    Args:
        columns: at least one.
    """

    columns: tuple[Column, ...]

    @property
    def row_bytes(self) -> int:
        """The length of every encoded row."""
        return self._floats.row_bytes

    def encode_many(self, features: Any) -> Bytes:  # (n, row_bytes)
        """Check and encode n rows, column by column."""
        if isinstance(features, np.ndarray) and features.shape[1:] == (len(self.columns),):
            columns: Iterable[Any] = features.T
        else:
            rows = [self._cells(row, index) for index, row in enumerate(features)]
            columns = zip(*rows, strict=True) if rows else ((),) * len(self.columns)
        encoded = [c.encode(cells) for c, cells in zip(self.columns, columns, strict=True)]
        return self._floats.encode_many(np.stack(encoded, axis=1))

    def decode(self, rows: Bytes) -> Tensor:  # (n, columns)
        """Numbers as they are, categories as the ids of their buckets; float32."""
        return self._floats.decode(rows)

    def example(self) -> Any:
        """An object with a value in each column."""
        return {column.name: column.example() for column in self.columns}

    def describe(self) -> str:
        """How many columns of each type."""
        numbers = sum(column.type == "number" for column in self.columns)
        categories = len(self.columns) - numbers
        return (
            f"rows of {numbers} {'number' if numbers == 1 else 'numbers'} and "
            f"{categories} {'category' if categories == 1 else 'categories'}"
        )

    @property
    def _floats(self) -> TensorForm:
        return TensorForm("float32", (len(self.columns),))

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def _cells(self, row: Any, index: int) -> Cells:
        if isinstance(row, Mapping):
            if not row.keys() <= set(self._names):
                self._refuse_unknown(row, index)
            return [row.get(name) for name in self._names]
        if not isinstance(row, Sequence | np.ndarray) or isinstance(row, str | bytes):
            raise RowRefused(
                f"give an object with the columns {', '.join(self._names)}",
                field="features",
                value=row,
                row=index,
            )
        if len(row) != len(self.columns):
            raise RowRefused(
                f"it has {len(row)} values and the schema {len(self.columns)} columns: "
                f"{', '.join(self._names)}",
                field="features",
                row=index,
            )
        return row

    def _refuse_unknown(self, row: Mapping[str, Any], index: int) -> None:
        unknown = next(name for name in row if name not in self._names)
        raise RowRefused(
            f"the schema has no such column; it has {', '.join(self._names)}",
            field=str(unknown),
            value=row[unknown],
            row=index,
        )
