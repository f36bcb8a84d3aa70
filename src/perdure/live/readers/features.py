"""From the cells of a record to the features that a schema's kind wants."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from perdure.errors import InvalidValue
from perdure.live.readers import cells
from perdure.live.schema import Schema

CUSTOMARY = ("features", "text", "image", "x", "data")
"""The one column of features is looked for under these names, in this order."""


def features(schema: Schema, record: Mapping[str, Any], column: str | None) -> Any:
    """What `Schema.encode` takes.

    Args:
        schema: says which kind.
        record: the cells that are nothing else (no label, no id).
        column: the one that holds the features, where that was said.

    Raises:
        InvalidValue: it cannot be told which column holds them.
    """
    if schema.kind == "table":
        nested = record.get(column or "features")
        return _table(schema, nested if isinstance(nested, Mapping) else record)
    if column is None:
        custom = [name for name in CUSTOMARY if name in record]
        column = next(iter(custom if len(record) > 1 else record), None)
    if column is not None:
        return record[column]
    if schema.kind == "tensor" and len(record) == math.prod(schema.shape):
        numbers = np.empty(len(record), object)
        numbers[:] = [cells.number(cell) for cell in record.values()]
        return numbers.reshape(schema.shape).tolist()
    raise InvalidValue(
        f"of the columns {', '.join(record) or '(none)'}, none is called {', '.join(CUSTOMARY)}; "
        "say which one holds the features"
    )


def _table(schema: Schema, record: Mapping[str, Any]) -> dict[str, Any]:
    types = {column.name: column.type for column in schema.columns}
    read = {"number": cells.number, "category": cells.name}
    cleaned = {
        name: read[types[name]](cell) if name in types else cell for name, cell in record.items()
    }
    return {name: cell for name, cell in cleaned.items() if cell is not None}
