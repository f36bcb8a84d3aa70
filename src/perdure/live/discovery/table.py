"""The columns of a table, told apart by what they hold."""

from __future__ import annotations

import math
from statistics import median
from typing import Any

from perdure.errors import InvalidValue
from perdure.live.discovery.sample import Sample
from perdure.live.readers import cells
from perdure.live.schema import Column

FEW = 20
"""Rows under which it means nothing that every one has another value."""


def table(sample: Sample) -> dict[str, Any]:
    """Columns: numbers where every cell is one, categories otherwise.

    Raises:
        InvalidValue: no column is left.
    """
    columns = []
    for name in sample.features:
        held = [cell for cell in sample.cells(name) if cell is not None]
        reason = _useless(held, len(sample.records))
        if reason is None:
            columns.append(_column(name, held, len(sample.records)))
        else:
            sample.said.append(f"column {name!r} is ignored: {reason}")
            sample.fields["ignore"] = (*sample.fields.get("ignore", ()), name)
    if not columns:
        raise InvalidValue(
            "no column is left for the features; name the label's column if it is another, or "
            "write the columns into perdure.toml by hand"
        )
    optional = [column.name for column in columns if not column.required]
    if optional:
        sample.said.append(f"not every row has {', '.join(optional)}: these may be left out")
    return {"columns": tuple(columns)}


def _column(name: str, held: list[Any], rows: int) -> Column:
    required = len(held) == rows
    numbers = [cells.number(cell) for cell in held]
    there = [number for number in numbers if number is not None]
    if there and all(isinstance(number, float) and math.isfinite(number) for number in there):
        required = len(there) == rows
        return Column(name=name, required=required, default=None if required else median(there))
    distinct = len({str(cells.name(cell)) for cell in held})
    # Sixteen buckets a category: one in sixteen shares its bucket, and new ones find room.
    buckets = 2 ** math.ceil(math.log2(16 * distinct))
    return Column(
        name=name, type="category", required=required, buckets=min(max(buckets, 64), 2**16)
    )


def _useless(held: list[Any], rows: int) -> str | None:
    if not held:
        return "it is empty"
    words = [cell for cell in held if isinstance(cells.number(cell), str)]
    if len(words) == rows >= FEW and len(set(words)) == rows:
        return (
            "every row has another text there, and a category says nothing unless it comes again; "
            "if it names the row, make it the id under [schema.fields]"
        )
    if not all(isinstance(cell, str | int | float) for cell in held):
        return "it holds neither numbers nor text"
    return None
