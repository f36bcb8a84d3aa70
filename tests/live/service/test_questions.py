"""Whatever way rows are put, they are the same rows; what is no row is refused with its place."""

from __future__ import annotations

import base64
import json
import struct
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as numbers

from perdure.live.refusals import RowRefused
from perdure.live.schema import Column, Schema
from perdure.live.service.payloads import InferRequest, Invocation
from perdure.live.service.questions import DTYPES, from_infer, from_invocation, metadata

TENSOR = Schema(kind="tensor", shape=(2, 3), classes=("no", "yes"))
BYTES = Schema(kind="tensor", dtype="uint8", shape=(3,), classes=("no", "yes"))
TEXT = Schema(kind="text", length=20, classes=("no", "yes"))
IMAGE = Schema(kind="image", channels=1, height=2, width=2, classes=("no", "yes"))
TABLE = Schema(
    kind="table",
    classes=("no", "yes"),
    columns=(
        Column(name="age"),
        Column(name="city", type="category", buckets=8),
        Column(name="id", required=False),
    ),
)


def infer(*inputs: dict, **more: object) -> InferRequest:
    """A request as its JSON is read."""
    return InferRequest.model_validate_json(json.dumps({"inputs": inputs, **more}))


def tensor(name: str, datatype: str, shape: list[int], data: object = None, **parameters: object):
    said = {"name": name, "datatype": datatype, "shape": shape, "parameters": parameters}
    return said if data is None else {**said, "data": data}


def packed(*elements: bytes) -> bytes:
    """The protocol's bytes of BYTES: each element behind its length."""
    return b"".join(struct.pack("<I", len(one)) + one for one in elements)


# -- numbers -------------------------------------------------------------------------------------


@given(
    rows=numbers.arrays(
        np.float32,
        st.integers(1, 5).map(lambda n: (n, 2, 3)),
        elements=st.floats(-1e6, 1e6, width=32),
    )
)
def test_flat_nested_and_bytes_are_the_same_numbers(rows: np.ndarray) -> None:
    """Whatever the numbers, three spellings encode to the same bytes."""
    shape, data = list(rows.shape), rows.tobytes()
    ways = [
        (infer(tensor("x", "FP32", shape, rows.ravel().tolist())), b""),
        (infer(tensor("x", "FP32", shape, rows.tolist())), b""),
        (infer(tensor("x", "FP32", shape, binary_data_size=len(data))), data),
    ]
    encoded = [
        TENSOR.encode_many(from_infer(TENSOR, request, binary).features) for request, binary in ways
    ]
    assert all(np.array_equal(encoded[0], other) for other in encoded)
    assert np.array_equal(TENSOR.decode(encoded[0]).numpy(), rows)


@given(datatype=st.sampled_from(sorted(set(DTYPES) - {"BOOL"})), rows=st.integers(1, 4))
def test_every_datatype_is_read_as_its_own_bytes(datatype: str, rows: int) -> None:
    """Little-endian, of the datatype's own width; small integers are the same in all of them."""
    data = np.arange(rows * 3).reshape(rows, 3).astype(DTYPES[datatype])
    said = tensor("x", datatype, [rows, 3], binary_data_size=data.nbytes)
    question = from_infer(BYTES, infer(said), data.tobytes())
    encoded = BYTES.encode_many(question.features)
    assert np.arange(rows * 3).reshape(rows, 3).tolist() == encoded.tolist()
    assert rows == len(question)


def test_true_and_false_are_numbers_too() -> None:
    """BOOL is one byte a value, or JSON's own words."""
    said = tensor("x", "BOOL", [1, 3], [True, False, True])
    assert [[1, 0, 1]] == BYTES.encode_many(from_infer(BYTES, infer(said)).features).tolist()
    said = tensor("x", "BOOL", [1, 3], binary_data_size=3)
    question = from_infer(BYTES, infer(said), b"\x01\x00\x01")
    assert [[1, 0, 1]] == BYTES.encode_many(question.features).tolist()


def test_several_binary_inputs_follow_each_other() -> None:
    """Each takes its own bytes, in the order of the inputs; JSON data lie between without any."""
    rows = np.arange(6, dtype="<f4").reshape(1, 2, 3)
    request = infer(
        tensor("x", "FP32", [1, 2, 3], binary_data_size=24),
        tensor("subject", "BYTES", [1], ["ada"]),
        tensor("id", "BYTES", [1], binary_data_size=7),
        tensor("task", "INT64", [1], binary_data_size=8),
    )
    binary = rows.tobytes() + packed(b"p-1") + struct.pack("<q", 5)
    question = from_infer(TENSOR, request, binary)
    assert (["p-1"], ["ada"], [5]) == (question.ids, question.subjects, question.tasks)
    assert np.array_equal(rows, question.features)


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        (b"\x05\x00\x00\x00abc", "element 0 ends after the input does"),
        (packed(b"a") + b"\xff\xff\xff\xff", "element 1 ends after the input does"),
        (packed(b"a", b"b"), "holds 2 elements and its shape"),
        (packed(b"\xff\xfe"), "give UTF-8"),
    ],
)
def test_bytes_that_end_too_early_are_refused(elements: bytes, message: str) -> None:
    """Whatever the lengths say, nothing is read beyond the input."""
    said = tensor("text", "BYTES", [1], binary_data_size=len(elements))
    with pytest.raises(RowRefused, match=message):
        from_infer(TEXT, infer(said), elements)


@given(data=st.binary(max_size=60), size=st.integers(-5, 80), count=st.integers(0, 4))
def test_no_bytes_make_it_fail_otherwise(data: bytes, size: int, count: int) -> None:
    """Any bytes under any claim are rows or refused, and nothing else happens."""
    said = tensor("text", "BYTES", [count], binary_data_size=size)
    with suppress(RowRefused):
        assert count == len(from_infer(TEXT, infer(said), data)) > 0


# -- other kinds ---------------------------------------------------------------------------------


def test_a_table_comes_by_columns_or_by_rows() -> None:
    """Four spellings of two rows; a column may be called `id` and is one then."""
    rows = [{"age": 41, "city": "rome", "id": 7}, {"age": 5, "city": "oslo", "id": 8}]
    by_columns = infer(
        tensor("age", "FP32", [2], [41, 5]),
        tensor("city", "BYTES", [2, 1], ["rome", "oslo"]),
        tensor("id", "INT64", [2], [7, 8]),
    )
    texts = [json.dumps(row) for row in rows]
    lists = [json.dumps(list(row.values())) for row in rows]
    binary = packed(*(text.encode() for text in texts))
    ways = [
        from_infer(TABLE, by_columns),
        from_infer(TABLE, infer(tensor("rows", "BYTES", [2], texts))),
        from_infer(TABLE, infer(tensor("rows", "BYTES", [2], lists))),
        from_infer(
            TABLE, infer(tensor("rows", "BYTES", [2], binary_data_size=len(binary))), binary
        ),
        from_invocation(TABLE, Invocation(dataframe_records=rows)),
        from_invocation(TABLE, Invocation(inputs={k: [r[k] for r in rows] for k in rows[0]})),
    ]
    encoded = [TABLE.encode_many(question.features).tolist() for question in ways]
    assert all(encoded[0] == other for other in encoded)
    assert [[None, None]] * 6 == [question.ids for question in ways]


def test_rows_of_numbers_alone_may_be_one_tensor() -> None:
    """Where every column is a number, a row is a list of them."""
    schema = Schema(kind="table", classes=("no",), columns=(Column(name="a"), Column(name="b")))
    question = from_infer(schema, infer(tensor("x", "FP32", [2, 2], [1, 2, 3, 4])))
    assert [[1, 2], [3, 4]] == schema.decode(schema.encode_many(question.features)).tolist()


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([tensor("rows", "BYTES", [1], ["{"])], "is a JSON object"),
        ([tensor("rows", "BYTES", [1, 2], ["{}", "{}"])], "one element a row"),
        ([tensor("age", "FP32", [1, 2], [1, 2])], "a column has one element a row"),
        ([tensor("age", "FP32", [1], [1]), tensor("city", "BYTES", [2], ["a", "b"])], "differ"),
        ([tensor("x", "FP32", [1], ["1"])], "give numbers"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(inputs: list[dict], message: str) -> None:
    """With the input or the row that is wrong."""
    with pytest.raises(RowRefused, match=message):
        from_infer(TABLE, infer(*inputs))


def test_texts_and_pictures_come_as_text_or_bytes() -> None:
    """UTF-8 either way; a picture's file as base64 or as it is, or its pixels."""
    texts = ["hello", "ünïcödé"]
    said = [text.encode() for text in texts]
    as_bytes = infer(tensor("x", "BYTES", [2], binary_data_size=len(packed(*said))))
    assert texts == from_infer(TEXT, as_bytes, packed(*said)).features
    assert texts == from_infer(TEXT, infer(tensor("x", "BYTES", [2], texts))).features
    pillow = pytest.importorskip("PIL.Image")
    del pillow
    file = base64.b64decode(IMAGE.example())
    pixels = infer(tensor("x", "UINT8", [1, 1, 2, 2], [0, 0, 0, 0]))
    binary = infer(tensor("x", "BYTES", [1], binary_data_size=len(packed(file))))
    ways = [
        from_infer(IMAGE, infer(tensor("x", "BYTES", [1], [IMAGE.example()]))),
        from_infer(IMAGE, binary, packed(file)),
        from_infer(IMAGE, pixels),
    ]
    assert [[0, 0, 0, 0]] * 3 == [IMAGE.encode_many(q.features)[0].tolist() for q in ways]


def test_a_frame_of_one_column_holds_the_features_themselves() -> None:
    """Texts in a frame; of two columns nobody knows which is the text."""
    frame = {"columns": ["note"], "data": [["a"], ["b"]]}
    question = from_invocation(TEXT, Invocation.model_validate({"dataframe_split": frame}))
    assert ["a", "b"] == question.features
    with pytest.raises(RowRefused, match="one column"):
        from_invocation(TEXT, Invocation(dataframe_records=[{"a": "x", "b": "y"}]))


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (TENSOR, [("input", "FP32", [-1, 2, 3])]),
        (BYTES, [("input", "UINT8", [-1, 3])]),
        (TEXT, [("text", "BYTES", [-1])]),
        (IMAGE, [("image", "BYTES", [-1])]),
        (TABLE, [("age", "FP32", [-1]), ("city", "BYTES", [-1]), ("id", "FP32", [-1])]),
    ],
)
def test_metadata_name_the_inputs_that_a_schema_takes(
    schema: Schema, expected: list[tuple]
) -> None:
    """And what the metadata say is accepted: an example in that form is a row."""
    said = metadata(schema)
    assert expected == [(one.name, one.datatype, one.shape) for one in said]


@pytest.mark.parametrize("schema", [TENSOR, BYTES, TEXT, TABLE], ids=["f4", "u1", "text", "table"])
def test_a_schemas_own_example_goes_in_as_its_metadata_say(schema: Schema) -> None:
    """The round trip of description and row."""
    example = schema.example()
    inputs = []
    for one in metadata(schema):
        cell = example[one.name] if schema.kind == "table" else example
        shape = [1, *one.shape[1:]]
        inputs.append(tensor(one.name, one.datatype, shape, np.ravel(cell).tolist()))
    question = from_infer(schema, infer(*inputs))
    assert schema.encode(example) == schema.encode_many(question.features)[0].tobytes()


# -- what is said about rows ---------------------------------------------------------------------


def test_parameters_speak_for_every_row_and_inputs_for_each() -> None:
    """An input wins; a request of one row may be named by a parameter."""
    rows = tensor("x", "FP32", [2, 3], [0] * 6)
    question = from_infer(BYTES, infer(rows, parameters={"task": 3, "subject": "ada"}))
    assert ([3, 3], ["ada", "ada"]) == (question.tasks, question.subjects)
    own = [tensor("task", "INT32", [2, 1], [4, 5]), tensor("subject", "BYTES", [2], ["bob", ""])]
    question = from_infer(BYTES, infer(rows, *own, parameters={"task": 3, "subject": "ada"}))
    assert ([4, 5], ["bob", None]) == (question.tasks, question.subjects)
    one = tensor("x", "FP32", [1, 3], [0] * 3)
    assert ["p"] == from_infer(BYTES, infer(one, parameters={"id": "p"})).ids
    with pytest.raises(RowRefused, match="one id cannot name 2 rows"):
        from_infer(BYTES, infer(rows, parameters={"id": "p"}))


@pytest.mark.parametrize(
    ("name", "datatype", "shape", "data", "message"),
    [
        ("task", "FP32", [1], [0.5], "one integer a row"),
        ("task", "INT64", [1, 2], [1, 2], "one integer a row"),
        ("id", "BYTES", [1, 2], ["a", "b"], "one text a row"),
        ("subject", "INT64", [1], [1], "one text a row"),
        ("subject", "BYTES", [1], [None], "one text a row"),
    ],
)
def test_what_is_said_of_rows_has_a_type(
    name: str, datatype: str, shape: list[int], data: list, message: str
) -> None:
    """One value a row, of the right kind."""
    rows = tensor("x", "FP32", [1, 3], [0] * 3)
    with pytest.raises(RowRefused, match=message) as refused:
        from_infer(BYTES, infer(rows, tensor(name, datatype, shape, data)))
    assert name == refused.value.field


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=12,
)


@given(
    data=st.lists(json_values, max_size=8),
    shape=st.lists(st.integers(0, 4), min_size=1, max_size=3),
    datatype=st.sampled_from([*DTYPES, "BYTES"]),
    schema=st.sampled_from([TENSOR, BYTES, TEXT, TABLE]),
)
def test_no_json_makes_it_fail_otherwise(
    data: list, shape: list[int], datatype: str, schema: Schema
) -> None:
    """Any data of any shape under any datatype encode to rows, or are refused in words."""
    with suppress(RowRefused):
        question = from_infer(schema, infer(tensor("x", datatype, shape, data)))
        assert (shape[0], schema.row_bytes) == schema.encode_many(question.features).shape
