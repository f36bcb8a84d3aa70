"""Rows as the Open Inference Protocol takes them."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from perdure.errors import InvalidValue

DATATYPES: Final = {
    "b1": "BOOL", "u1": "UINT8", "u2": "UINT16", "u4": "UINT32", "u8": "UINT64", "i1": "INT8",
    "i2": "INT16", "i4": "INT32", "i8": "INT64", "f2": "FP16", "f4": "FP32", "f8": "FP64",
}  # fmt: skip
"""The protocol's names of NumPy's types."""


def tensor(rows: Sequence[Any]) -> tuple[dict[str, Any], bytes]:
    """Rows as an input of the protocol: numbers as bytes behind the JSON, all else within it."""
    array = _numbers(rows)
    if array is not None:
        data = array.tobytes()
        said = {
            "name": "input",
            "datatype": DATATYPES[array.dtype.str[1:]],
            "shape": list(array.shape),
            "parameters": {"binary_data_size": len(data)},
        }
        return said, data
    cells = [row if isinstance(row, str) else _text(row) for row in rows]
    return {"name": "input", "datatype": "BYTES", "shape": [len(cells)], "data": cells}, b""


def _numbers(rows: Sequence[Any]) -> NDArray[Any] | None:
    first = rows[0] if len(rows) else None
    if isinstance(first, str | bytes | Mapping):
        return None
    try:
        array = np.asarray(rows)
    except ValueError:  # uneven lists: the service says where
        return None
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return little if little.dtype.str[1:] in DATATYPES else None


def _text(row: Any) -> str:
    if isinstance(row, bytes):
        return base64.b64encode(row).decode()
    return json.dumps(row, default=plain)


def plain(value: Any) -> Any:
    """What JSON can say: arrays as lists, pictures' files as base64."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise InvalidValue(f"a row holds {value!r}, which JSON cannot say; give numbers, text or bytes")
