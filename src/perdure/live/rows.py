"""A row as it comes in, from a request or from a file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from perdure.live.refusals import RowRefused

MAX_NAME = 1000


@dataclass(frozen=True)
class Row:
    """Features with whatever is known about them.

    Args:
        id: unique in the log; None has one made.
        features: as the schema's kind wants them.
        label: a class by name, or by the integer that is its name; None may come later.
        event_time: seconds since 1970, UTC; None is the time of arrival.
        subject: whom the row is about, so that it can be erased and split by.
        source: who sent it, so that no sender can take over.
        task: its id, where the schema has tasks.
    """

    id: str | None
    features: Any
    label: str | int | None = None
    event_time: float | None = None
    subject: str | None = None
    source: str | None = None
    task: int | None = None


def check_names(row: Row, place: int) -> None:
    """Raise `RowRefused` where what is known about a row cannot be stored as it is.

    Args:
        row: to look at.
        place: of the row in its request.
    """
    for field, name in (("id", row.id), ("subject", row.subject), ("source", row.source)):
        fault = None if name is None else _fault(name)
        if fault is not None:
            raise RowRefused(fault, field=field, value=name, row=place)
    if row.event_time is not None and not math.isfinite(row.event_time):
        reason = "give a finite number of seconds since 1970"
        raise RowRefused(reason, field="event_time", value=row.event_time, row=place)
    if row.task is not None and not -(2**63) <= row.task < 2**63:
        raise RowRefused("give an integer of 64 bits", field="task", value=row.task, row=place)


def _fault(name: Any) -> str | None:
    if not isinstance(name, str):
        return "give a string"
    if len(name) > MAX_NAME:
        return f"it has {len(name)} characters; give at most {MAX_NAME}"
    if "\0" in name or any("\ud800" <= character <= "\udfff" for character in name):
        return "it holds a NUL or half of a surrogate pair; give valid text"
    return None
