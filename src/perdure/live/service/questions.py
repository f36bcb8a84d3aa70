"""From the bodies of the prediction protocols to rows in the schema's words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json

from perdure.live.refusals import RowRefused
from perdure.live.schema import Schema
from perdure.live.service.payloads import (
    InferInput,
    InferRequest,
    Invocation,
    Said,
    TensorMetadata,
)

DTYPES: Final = {
    "BOOL": "?", "UINT8": "<u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "INT8": "<i1",
    "INT16": "<i2", "INT32": "<i4", "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
ABOUT: Final = ("task", "subject", "id")


@dataclass(frozen=True)
class Question:
    """Rows that want an answer.

    Args:
        features: n rows, as the schema's kind wants them.
        tasks: n task ids, or None where they were not given.
        subjects: n names or None.
        ids: n prediction ids, None where one is to be made.
    """

    features: Sequence[Any] | NDArray[Any]
    tasks: Sequence[int] | None
    subjects: Sequence[str | None]
    ids: Sequence[str | None]

    def __len__(self) -> int:
        return len(self.ids)


def metadata(schema: Schema) -> list[TensorMetadata]:
    """The inputs that a schema's rows come as."""
    if schema.kind == "table":
        types = {"number": "FP32", "category": "BYTES"}
        return [
            TensorMetadata(name=c.name, datatype=types[c.type], shape=[-1])  # type: ignore[arg-type]
            for c in schema.columns
        ]
    if schema.kind == "tensor":
        names = {"float32": "FP32", "uint8": "UINT8", "int64": "INT64"}
        shape = [-1, *schema.shape]
        return [TensorMetadata(name="input", datatype=names[schema.dtype], shape=shape)]  # type: ignore[arg-type]
    return [TensorMetadata(name=schema.kind, datatype="BYTES", shape=[-1])]


def from_infer(schema: Schema, request: InferRequest, binary: bytes = b"") -> Question:
    """The question of an Open Inference Protocol request.

    Args:
        schema: of the rows.
        request: its JSON part.
        binary: what followed the JSON: the data of the inputs that say `binary_data_size`.

    Raises:
        RowRefused: an input's data do not fit its datatype and shape, or inputs do not fit
            the schema.
    """
    held = _arrays(request.inputs, binary)
    columns = {column.name for column in schema.columns}
    about: dict[str, NDArray[Any]] = {
        name: held.pop(name) for name in ABOUT if name in held and name not in columns
    }
    if not held:
        raise RowRefused("give at least one input with features", field="inputs")
    rows = {name: len(array) for name, array in {**held, **about}.items()}
    if len(set(rows.values())) > 1:
        raise RowRefused(f"inputs differ in their number of rows: {rows}", field="inputs")
    if 0 in rows.values():
        raise RowRefused("give at least one row", field="inputs")
    return _question(_features(schema, held), request.parameters, about)


def from_invocation(schema: Schema, request: Invocation) -> Question:
    """The question of an MLflow request."""
    if request.dataframe_split is not None:
        names = [str(column) for column in request.dataframe_split.columns]
        rows = request.dataframe_split.data
        features = _records(schema, [dict(zip(names, row, strict=True)) for row in rows])
        return _question(features, request.params, {})
    if request.dataframe_records is not None:
        return _question(_records(schema, request.dataframe_records), request.params, {})
    if isinstance(request.inputs, dict):
        columns = request.inputs
        lengths = {name: len(column) for name, column in columns.items()}
        if len(set(lengths.values())) != 1:
            raise RowRefused(f"columns differ in length: {lengths}", field="inputs")
        cells = zip(*columns.values(), strict=True)
        records = [dict(zip(columns, row, strict=True)) for row in cells]
        return _question(_records(schema, records), request.params, {})
    return _question(request.inputs or request.instances or [], request.params, {})


def _question(
    features: Sequence[Any] | NDArray[Any], said: Said | None, about: dict[str, NDArray[Any]]
) -> Question:
    said = said or Said()
    count = len(features)
    if count == 0:
        raise RowRefused("give at least one row", field="inputs")
    if said.id is not None and count > 1:
        raise RowRefused(
            f"one id cannot name {count} rows; give an input 'id' of shape [{count}]",
            field="id",
            value=said.id,
        )
    tasks = [said.task] * count if said.task is not None else None
    return Question(
        features,
        _tasks(about["task"]) if "task" in about else tasks,
        _names("subject", about["subject"]) if "subject" in about else [said.subject] * count,
        _names("id", about["id"]) if "id" in about else [said.id] * count,
    )


# -- inputs ------------------------------------------------------------------------------------


def _arrays(inputs: list[InferInput], binary: bytes) -> dict[str, NDArray[Any]]:
    held: dict[str, NDArray[Any]] = {}
    start = 0
    for index, said in enumerate(inputs):
        if said.name in held:
            raise RowRefused("two inputs have this name", field="name", value=said.name, row=index)
        if said.data is not None:
            held[said.name] = _from_json(said, index)
            continue
        size = (said.parameters or {}).get("binary_data_size")
        if not isinstance(size, int) or size < 0 or start + size > len(binary):
            raise RowRefused(
                f"{len(binary) - start} bytes are left; give the input's data, or its size in "
                "bytes in parameters.binary_data_size",
                field=f"inputs[{index}].data",
                value=size,
            )
        held[said.name] = _from_bytes(said, binary[start : start + size], index)
        start += size
    if start < len(binary):
        raise RowRefused(f"{len(binary) - start} bytes belong to no input", field="inputs")
    return held


def _from_json(said: InferInput, index: int) -> NDArray[Any]:
    data = said.data or []
    if said.datatype == "BYTES":
        flat = np.empty(len(data), object)
        flat[:] = data
        return _shaped(flat, said, index)
    try:
        array = np.asarray(data)
    except ValueError:
        array = np.empty(0, object)
    if array.dtype.kind not in "biuf" and array.size:
        raise RowRefused(
            f"give numbers, flat or nested evenly, for {said.datatype}",
            field=f"inputs[{index}].data",
        )
    return _shaped(array, said, index)


def _from_bytes(said: InferInput, data: bytes, index: int) -> NDArray[Any]:
    if said.datatype != "BYTES":
        dtype = np.dtype(DTYPES[said.datatype])
        if len(data) % dtype.itemsize:
            raise RowRefused(
                f"{len(data)} bytes are no whole number of {said.datatype}",
                field=f"inputs[{index}].data",
            )
        return _shaped(np.frombuffer(data, dtype), said, index)
    elements: list[bytes] = []
    start = 0
    while start < len(data):
        size = int.from_bytes(data[start : start + 4], "little")
        if start + 4 + size > len(data):
            raise RowRefused(
                f"element {len(elements)} ends after the input does", field=f"inputs[{index}].data"
            )
        elements.append(data[start + 4 : start + 4 + size])
        start += 4 + size
    flat = np.empty(len(elements), object)
    flat[:] = elements
    return _shaped(flat, said, index)


def _shaped(array: NDArray[Any], said: InferInput, index: int) -> NDArray[Any]:
    if array.size != math.prod(said.shape):
        raise RowRefused(
            f"it holds {array.size} elements and its shape {said.shape} says "
            f"{math.prod(said.shape)}",
            field=f"inputs[{index}].data",
        )
    return array.reshape(said.shape)


def _tasks(array: NDArray[Any]) -> list[int]:
    flat = array.reshape(len(array), -1)
    if flat.dtype.kind not in "iu" or flat.shape[1] != 1:
        raise RowRefused("give one integer a row", field="task", value=array)
    return [int(task) for task in flat[:, 0]]


def _names(field: str, array: NDArray[Any]) -> list[str | None]:
    flat = array.reshape(len(array), -1)
    names = [_text(field, name, row) for row, name in enumerate(flat[:, :1].ravel())]
    if flat.shape[1] != 1 or not all(isinstance(name, str) for name in names):
        raise RowRefused("give one text a row", field=field, value=array)
    return [None if name == "" else name for name in names]


# -- features ----------------------------------------------------------------------------------


def _features(schema: Schema, held: dict[str, NDArray[Any]]) -> Sequence[Any] | NDArray[Any]:
    names = {column.name for column in schema.columns}
    if schema.kind == "table" and names & held.keys():
        columns = [_cells(name, array) for name, array in held.items()]
        return [dict(zip(held, row, strict=True)) for row in zip(*columns, strict=True)]
    if len(held) > 1:
        raise RowRefused(f"give one input of features; there are {', '.join(held)}", field="inputs")
    (array,) = held.values()
    if array.dtype != object:
        return array
    cells = array.reshape(len(array), -1)
    if cells.shape[1] != 1:
        raise RowRefused("give one element a row", field="inputs", value=array)
    rows: list[Any] = cells[:, 0].tolist()
    if schema.kind == "text":
        return [_text("features", text, row) for row, text in enumerate(rows)]
    if schema.kind == "table":
        return [_object(cell, row) for row, cell in enumerate(rows)]
    return rows


def _cells(name: str, array: NDArray[Any]) -> list[Any]:
    flat = array.reshape(len(array), -1)
    if flat.shape[1] != 1:
        raise RowRefused("a column has one element a row", field=name, value=array)
    cells: list[Any] = flat[:, 0].tolist()
    return [_text(name, cell, row) for row, cell in enumerate(cells)]


def _text(field: str, cell: Any, row: int) -> Any:
    if not isinstance(cell, bytes):
        return cell
    try:
        return cell.decode()
    except UnicodeDecodeError:
        raise RowRefused("give UTF-8", field=field, value=cell, row=row) from None


def _object(cell: Any, row: int) -> Any:
    if not isinstance(cell, str | bytes):
        return cell
    try:
        return from_json(cell)
    except ValueError as error:
        raise RowRefused(
            f"a row of a table as text is a JSON object: {error}",
            field="features",
            value=cell,
            row=row,
        ) from None


def _records(schema: Schema, records: list[dict[str, Any]]) -> list[Any]:
    """Rows of a data frame; a frame of one column holds the features themselves."""
    if schema.kind == "table":
        return list(records)
    if schema.kind == "tensor":
        return [list(record.values()) for record in records]
    wide = next((row for row, record in enumerate(records) if len(record) != 1), None)
    if wide is not None:
        raise RowRefused(f"a frame of {schema.kind} has one column", field="features", row=wide)
    return [next(iter(record.values())) for record in records]
