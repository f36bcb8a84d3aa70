"""One column of a table: a number, or one of many categories."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from perdure.live.refusals import RowRefused
from perdure.live.schema.numeric import as_float32, as_name, as_numbers, first

Cells = Sequence[Any] | NDArray[Any]


class Column(BaseModel):
    """A column of a table. A category is hashed into one of `buckets`, and 0 is a missing one.

    Raises:
        ValidationError: the settings contradict each other.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    type: Literal["number", "category"] = "number"
    required: bool = True
    """False: the column may be left out or null, and `default` takes its place."""
    default: float | str | None = None
    """Of a number 0 unless said; of a category the bucket for missing ones unless said."""
    min: float | None = Field(default=None, allow_inf_nan=False)
    max: float | None = Field(default=None, allow_inf_nan=False)
    buckets: int | None = Field(default=None, ge=1, le=2**20)
    """Of a category, 1024 unless said; twenty times as many as categories leave few collisions."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.type == "category" and (self.min, self.max) != (None, None):
            raise ValueError(f"column {self.name!r}: a category has neither min nor max")
        if self.type == "number" and self.buckets is not None:
            raise ValueError(f"column {self.name!r}: a number has no buckets")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"column {self.name!r}: min {self.min} is above max {self.max}")
        if self.default is not None:
            if self.required:
                raise ValueError(f"column {self.name!r} has a default, so set required = false")
            try:
                self.encode([self.default])
            except RowRefused as refused:
                raise ValueError(f"default of {refused}") from None
        return self

    @property
    def ids(self) -> int:
        """How many ids a category has, the one for missing ones included; 1 for a number."""
        return 1 if self.type == "number" else 1 + (self.buckets or 1024)

    def encode(self, cells: Cells) -> NDArray[np.float32]:  # (n,)
        """Numbers as they are; categories as the ids of their buckets.

        Args:
            cells: n values; None is a missing one.

        Raises:
            RowRefused: the first cell that does not fit, by row, column and value.
        """
        if not isinstance(cells, np.ndarray):
            missing = [row for row, cell in enumerate(cells) if cell is None]
            if missing and self.required:
                reason = "this column is required; give a value"
                raise RowRefused(reason, field=self.name, row=missing[0])
            if missing and (self.type == "number" or self.default is not None):
                stand_in = 0.0 if self.default is None else self.default
                cells = [stand_in if cell is None else cell for cell in cells]
        return self._numbers(cells) if self.type == "number" else self._buckets(cells)

    def example(self) -> Any:
        """A valid cell."""
        if self.default is not None:
            return self.default
        if self.type == "category":
            return "a"
        low = -np.inf if self.min is None else self.min
        high = np.inf if self.max is None else self.max
        return float(np.clip(0.0, low, high))

    def _numbers(self, cells: Cells) -> NDArray[np.float32]:
        array = as_numbers(cells)
        if array is None or array.ndim != 1:
            row = next((i for i, cell in enumerate(cells) if not _is_number(cell)), 0)
            raise RowRefused("give a number", field=self.name, value=cells[row], row=row)
        cast, bad = as_float32(array)
        self._refuse(bad, cells, "give a finite number that float32 can hold")
        if self.min is not None:
            self._refuse(array < self.min, cells, f"the least that is allowed is {self.min:g}")
        if self.max is not None:
            self._refuse(array > self.max, cells, f"the most that is allowed is {self.max:g}")
        return cast

    def _buckets(self, cells: Cells) -> NDArray[np.float32]:
        ids: dict[str | None, float] = {None: 0.0}
        names = [_category(self.name, cell, row) for row, cell in enumerate(cells)]
        for name in names:
            if name is not None and name not in ids:
                ids[name] = 1.0 + _hash(name) % (self.ids - 1)
        return np.array([ids[name] for name in names], np.float32)

    def _refuse(self, bad: NDArray[np.bool_], cells: Cells, reason: str) -> None:
        where = first(bad)
        if where is not None:
            raise RowRefused(reason, field=self.name, value=cells[where[0]], row=where[0])


def _is_number(cell: Any) -> bool:
    array = as_numbers(cell)
    return array is not None and array.ndim == 0


def _category(column: str, cell: Any, row: int) -> str | None:
    name = as_name(cell)
    if name is None and cell is not None:
        raise RowRefused("give a category as text or an integer", field=column, value=cell, row=row)
    return name


def _hash(name: str) -> int:
    """The same in every process, which Python's own hash is not."""
    digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")
