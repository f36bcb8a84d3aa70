"""Rows that are tensors: what goes in comes out, and what does not fit is named."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from perdure.live.refusals import RowRefused
from perdure.live.schema import Schema

DTYPES = {"float32": np.float32, "uint8": np.uint8, "int64": np.int64}
SHAPES = arrays.array_shapes(min_dims=1, max_dims=3, max_side=4)


def of(shape, dtype="float32"):
    return Schema(kind="tensor", shape=shape, dtype=dtype, open=True)


def finite(dtype):
    elements = {"allow_nan": False, "allow_infinity": False} if dtype == "float32" else {}
    shapes = arrays.array_shapes(min_dims=2, max_dims=4, max_side=4)
    return arrays.arrays(DTYPES[dtype], shapes, elements=elements or None)


@given(st.data(), st.sampled_from(sorted(DTYPES)))
def test_what_goes_in_comes_out(data, dtype):
    """Bit for bit, as an array and as nested lists, all rows at once and one by one."""
    rows = data.draw(finite(dtype))
    schema = of(rows.shape[1:], dtype)
    encoded = schema.encode_many(rows)
    assert (len(rows), schema.row_bytes) == encoded.shape
    assert torch.equal(torch.from_numpy(rows), schema.decode(encoded))
    assert np.array_equal(encoded, schema.encode_many(rows.tolist()))
    assert encoded.tobytes() == b"".join(schema.encode(row) for row in rows.tolist())


def test_bytes_are_little_endian_on_every_machine():
    """1.0 as float32 and 258 as int64, by hand."""
    assert bytes([0, 0, 128, 63]) == of((1,)).encode([1.0])
    assert bytes([2, 1, 0, 0, 0, 0, 0, 0]) == of((1,), "int64").encode([258])


def test_the_tensor_shares_no_memory_with_the_bytes():
    """Rows may be a view of a file that changes or goes away."""
    encoded = of((2,), "uint8").encode_many([[1, 2]])
    encoded.flags.writeable = False
    decoded = of((2,), "uint8").decode(encoded)
    decoded += 1
    assert [[1, 2]] == encoded.tolist()


def test_rows_that_were_picked_out_of_a_larger_array_decode_too():
    """Every other row, which is not contiguous, and none at all."""
    schema = of((3,))
    encoded = schema.encode_many(np.arange(12).reshape(4, 3))
    assert [[0, 1, 2], [6, 7, 8]] == schema.decode(encoded[::2]).tolist()
    assert (0, 3) == schema.decode(encoded[:0]).shape
    assert (0, 12) == schema.encode_many([]).shape


@pytest.mark.parametrize(
    "rows",
    [
        [[1, 2.5], [True, 0]],
        [(1, 2.5), (1, 0)],
        [np.array([1, 2.5]), [1, 0]],
        [torch.tensor([1, 2.5]), torch.tensor([1.0, 0.0])],
        torch.tensor([[1, 2.5], [1, 0]], dtype=torch.float64),
        np.array([[1, 2.5], [1, 0]], np.float16),
    ],
)
def test_numbers_come_in_many_forms(rows):
    """Lists, tuples, arrays, tensors, mixed."""
    assert [[1, 2.5], [1, 0]] == of((2,)).decode(of((2,)).encode_many(rows)).tolist()


@given(st.lists(st.lists(st.integers(-(2**62), 2**62), min_size=2, max_size=2), min_size=1))
def test_a_number_rounds_the_same_whatever_stands_beside_it(rows):
    """Large integers are rounded to float32 once alone, and once beside a fraction."""
    schema = of((2,))
    alone = [schema.encode(row) for row in rows]
    beside = schema.encode_many([*rows, [0.5, 0.5]])[:-1]
    assert b"".join(alone) == beside.tobytes()


@pytest.mark.parametrize(
    ("features", "field", "value"),
    [
        ([1, float("nan")], "features[1]", "nan"),
        ([float("inf"), 0], "features[0]", "inf"),
        ([1e39, 0], "features[0]", "1e+39"),
        ([1, None], "features[1]", "None"),
        ([1, "2"], "features[1]", "'2'"),
        ([1, [2]], "features", "[1, [2]]"),
        ([1, {}], "features[1]", "{}"),
        ([1, 2**80], "features[1]", str(2**80)),
        ([1j, 0], "features[0]", "1j"),
        ("12", "features", "'12'"),
        (None, "features", "None"),
        ({"a": 1}, "features", "{'a': 1}"),
        ([1, 2, 3], "features", None),
        ([[1, 2]], "features", None),
        ([], "features", None),
        (7, "features", None),
    ],
)
def test_what_does_not_fit_is_named(features, field, value):
    """The field is the path to the number; in a batch the row is named too."""
    schema = of((2,))
    with pytest.raises(RowRefused) as refused:
        schema.encode(features)
    assert (field, value, None) == (refused.value.field, refused.value.value, refused.value.row)
    with pytest.raises(RowRefused) as refused:
        schema.encode_many([[0, 0], features, [0, 0]])
    assert (field, value, 1) == (refused.value.field, refused.value.value, refused.value.row)


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("uint8", 256),
        ("uint8", -1),
        ("uint8", 1.5),
        ("uint8", float("nan")),
        ("int64", 2**63),
        ("int64", 2.0**53),
        ("int64", float("inf")),
    ],
)
def test_an_integer_that_the_dtype_cannot_hold_is_refused(dtype, value):
    """Nothing wraps around, and no float that lost its last digit passes for an integer."""
    with pytest.raises(RowRefused, match="give an integer"):
        of((1,), dtype).encode([value])


def test_an_integer_may_be_written_as_a_float():
    """3.0 is 3, as JavaScript and pandas write it."""
    assert [[3, 255]] == of((2,), "uint8").decode(
        of((2,), "uint8").encode_many([[3.0, 255]])
    ).tolist()


def test_arrays_of_another_shape_are_refused_with_both_shapes():
    """What the row has and what the schema says."""
    with pytest.raises(RowRefused, match=r"row 0: 'features': its shape is \[3\].* says \[2\]"):
        of((2,)).encode_many(np.zeros((5, 3)))


@pytest.mark.parametrize("rows", ["ab", {"a": [1, 2]}, 7, None, b"cd"])
def test_many_rows_come_as_a_list(rows):
    """One row's features by mistake, or nothing at all, are refused."""
    with pytest.raises(RowRefused, match="give a list of rows"):
        of((2,)).encode_many(rows)


def test_the_example_is_valid():
    """And has the schema's shape."""
    schema = of((2, 3), "int64")
    assert [[0, 0, 0], [0, 0, 0]] == schema.example()
    schema.encode(schema.example())


def test_encoding_of_many_rows_is_vectorised():
    """10,000 rows of 64 floats take far less than one by one: thirty times is asked for."""
    rows = np.random.default_rng(0).standard_normal((10_000, 64)).astype(np.float32)
    schema = of((64,))

    def best(work):
        times = []
        for _ in range(3):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
        return min(times)

    singly = best(lambda: [schema.encode(row) for row in rows])
    assert best(lambda: schema.encode_many(rows)) < singly / 30
    assert best(lambda: schema.encode_many(list(rows))) < singly / 3
