"""Cells of files as what they stand for: a file may write a number, a time or nothing as text."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import numpy as np

from perdure.live.refusals import RowRefused

NOTHING = {"", "na", "n/a", "nan", "null", "none", "?"}
"""How files write a number that is not there, in any case of letters."""


def plain(cell: Any) -> Any:
    """The cell as Python's own type; None where it is empty or NaN."""
    if isinstance(cell, np.generic):
        cell = cell.item()
    if isinstance(cell, Decimal):
        cell = float(cell)
    if (isinstance(cell, str) and not cell.strip()) or (isinstance(cell, float) and cell != cell):  # noqa: PLR0124
        return None
    return cell


def number(cell: Any) -> Any:
    """A float or None; what is no number stays as it is, so that its error shows it."""
    if isinstance(cell, str):
        try:
            return plain(float(cell))
        except ValueError:
            return None if cell.strip().lower() in NOTHING else cell
    cell = plain(cell)
    return float(cell) if isinstance(cell, int) and abs(cell) < 2**53 else cell


def name(cell: Any) -> Any:
    """A text without space around it, an integer or None: a label, a category, an id."""
    cell = plain(cell)
    if isinstance(cell, float) and cell.is_integer():
        return int(cell)
    return cell.strip() if isinstance(cell, str) else cell


def text(cell: Any) -> str | None:
    """An id of whatever type as text."""
    held = name(cell)
    return None if held is None else str(held)


def integer(field: str, cell: Any) -> int | None:
    """An integer or None.

    Raises:
        RowRefused: it is neither.
    """
    held = number(cell)
    if held is None or (isinstance(held, float) and held.is_integer()):
        return None if held is None else int(held)
    raise RowRefused("give an integer", field=field, value=cell)


def seconds(field: str, cell: Any) -> float | None:
    """A moment as seconds since 1970, from those, from ISO 8601, or from a date; UTC unless said.

    Raises:
        RowRefused: it is none of these.
    """
    held = number(cell)
    if isinstance(held, str):
        try:
            held = datetime.fromisoformat(held.strip())
        except ValueError:
            raise RowRefused(
                "give seconds since 1970, or a time such as 2026-01-31T12:00:00Z",
                field=field,
                value=cell,
            ) from None
    if isinstance(held, date) and not isinstance(held, datetime):
        held = datetime.combine(held, time())
    if isinstance(held, datetime):
        held = (held if held.tzinfo else held.replace(tzinfo=UTC)).timestamp()
    if held is not None and not isinstance(held, float):
        raise RowRefused("give a time", field=field, value=cell)
    return held
