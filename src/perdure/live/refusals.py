"""What the live loop refuses, each with the HTTP status that says so.

PerdureError
└── Refused                  a request that changed nothing
    ├── RowRefused 422       a row, label or value that does not fit the schema
    ├── KeyReused 422        an idempotency key that came before with another body
    ├── NotAllowed 403       the token's role does not reach that far
    ├── NotFound 404         no such row, version, job or alias
    ├── Conflict 409         somebody else changed the same thing first, or the state forbids it
    ├── Erased 410           it belongs to a subject who was erased
    ├── TooLarge 413         more bytes or rows than one request may hold
    └── Full 429             no room, or too many requests, for now
"""

from __future__ import annotations

import reprlib
from copy import copy
from typing import Any, ClassVar, Final, Self

import numpy as np

from perdure.errors import PerdureError

UNSAID: Final = object()


class _Short(reprlib.Repr):
    """Python's own, but for integers of so many digits that it refuses to print them."""

    def repr_int(self, x: int, level: int) -> str:
        bits = x.bit_length()
        return super().repr_int(x, level) if bits < 1000 else f"an integer of {bits} bits"


_SHORT = _Short()
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = 4
_SHORT.maxstring = _SHORT.maxlong = _SHORT.maxother = 60


class Refused(PerdureError):
    """A request that was refused and changed nothing; its message is one sentence for a person.

    Args:
        reason: what is wrong and what to do, to stand after the field and its value.
        field: the column, argument or setting that it is about.
        value: what it held, of any type; it is shortened for display.
        row: the position of the row within the request, from 0.
        retry_after: seconds after which the same request may succeed.

    Example:
        >>> print(RowRefused("give a finite number", field="age", value=float("nan"), row=3))
        row 3: 'age' is nan; give a finite number
    """

    status: ClassVar[int] = 400

    def __init__(
        self,
        reason: str,
        *,
        field: str | None = None,
        value: object = UNSAID,
        row: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.field = field
        self.value = None if value is UNSAID else shown(value)
        self.row = row
        self.retry_after = retry_after

    def at(self, row: int | None) -> Self:
        """The same refusal, of the row at this position of the request; None where it is alone."""
        placed = copy(self)
        placed.row = row
        return placed

    def __str__(self) -> str:
        """Row, field, value and reason, as far as they are known."""
        where = "" if self.row is None else f"row {self.row}: "
        if self.field is None:
            return where + (self.reason if self.value is None else f"{self.value}: {self.reason}")
        if self.value is None:
            return f"{where}{self.field!r}: {self.reason}"
        return f"{where}{self.field!r} is {self.value}; {self.reason}"


class RowRefused(Refused):
    """A row, label or value that does not fit the schema."""

    status = 422


class KeyReused(Refused):
    """An idempotency key that came before with another body."""

    status = 422


class NotAllowed(Refused):
    """The token's role does not reach that far."""

    status = 403


class NotFound(Refused):
    """There is no such row, version, job or alias."""

    status = 404


class Conflict(Refused):
    """Somebody else changed the same thing first, or the state forbids it."""

    status = 409


class Erased(Refused):
    """It belongs to a subject who was erased."""

    status = 410


class TooLarge(Refused):
    """More bytes or rows than one request may hold."""

    status = 413


class Full(Refused):
    """There is no room, or there are too many requests, for now; `retry_after` says how long."""

    status = 429


def shown(value: Any) -> str:
    """A value as an error message shows it: short, whatever its size."""
    if isinstance(value, np.ndarray) and value.ndim:
        return f"an array of {value.dtype} with shape {value.shape}"
    if isinstance(value, np.ndarray | np.generic):
        return shown(value.item())
    if isinstance(value, bytes | bytearray | memoryview) and len(value) > 20:
        return f"{len(value)} bytes"
    return _SHORT.repr(value)
