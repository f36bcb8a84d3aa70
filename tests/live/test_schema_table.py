"""Rows of named columns: numbers as they are, categories as buckets that never move."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from perdure.live.refusals import RowRefused
from perdure.live.schema import Column, Schema

COLUMNS = (
    Column(name="age", min=0, max=150),
    Column(name="income", required=False, default=-1.0),
    Column(name="weight", required=False),
    Column(name="town", type="category", buckets=100),
    Column(name="plan", type="category", required=False, buckets=10),
    Column(name="mood", type="category", required=False, default="calm", buckets=1000),
)
SCHEMA = Schema(kind="table", columns=COLUMNS, open=True)
NUMBERS = Schema(kind="table", columns=[Column(name="a"), Column(name="b", max=5)], open=True)
WHOLE = {"age": 40, "town": "Oslo"}

floats = st.floats(width=32, allow_nan=False, allow_infinity=False)
rows = st.fixed_dictionaries(
    {"age": st.floats(0, 150, width=32), "town": st.text()},
    optional={
        "income": floats | st.none(),
        "weight": floats,
        "plan": st.text() | st.integers(-(2**63), 2**63 - 1),
    },
)


def decoded(*features, schema=SCHEMA):
    return schema.decode(schema.encode_many(list(features)))


@given(st.lists(rows, min_size=1, max_size=5))
def test_numbers_come_out_as_they_went_in(held):
    """Missing ones are their default, 0 unless said."""
    for row, out in zip(held, decoded(*held).tolist(), strict=True):
        income = row.get("income")
        assert [row["age"], -1.0 if income is None else income, row.get("weight", 0)] == out[:3]


@given(st.lists(rows, min_size=1, max_size=5))
def test_rows_together_are_the_rows_one_by_one(held):
    """Columns are encoded at once, and yet no row depends on another."""
    assert b"".join(map(SCHEMA.encode, held)) == SCHEMA.encode_many(held).tobytes()


@given(st.text(), st.integers(1, 1000))
def test_a_category_is_a_bucket_from_one_on(name, buckets):
    """The id is an integer that float32 holds exactly; 0 is kept for a missing one."""
    column = Column(name="c", type="category", buckets=buckets)
    (found,) = column.encode([name]).tolist()
    assert found == int(found)
    assert 1 <= found <= buckets < column.ids


def test_buckets_are_the_same_in_every_process():
    """Numbers written down; Python's own hash of a text has another seed in each process."""
    column = Column(name="c", type="category", buckets=2**20)
    assert [192765, 178869, 544125] == column.encode(["Oslo", "Bergen", "Tromsø"]).tolist()


def test_a_missing_category_has_an_id_of_its_own_unless_it_has_a_default():
    """0, or the default's bucket."""
    *_, plan, mood = decoded(WHOLE)[0].tolist()
    calm = decoded({**WHOLE, "mood": "calm"})[0, 5].item()
    assert (0, calm) == (plan, mood)


@pytest.mark.parametrize("same", [("3", 3, 3.0, np.int64(3)), ("true", True, np.True_)])
def test_a_category_is_the_same_however_it_is_written(same):
    """CSV writes text, pandas floats, JSON integers."""
    towns = decoded(*({**WHOLE, "town": town} for town in same))[:, 3].tolist()
    assert 1 == len(set(towns))


def test_a_row_may_be_a_list_in_the_order_of_the_columns():
    """And many of them an array."""
    assert decoded([40, None, 1.5, "Oslo", None, None]).equal(decoded({**WHOLE, "weight": 1.5}))
    array = np.array([[1, 2], [3, 4]])
    assert array.tolist() == decoded(*array, schema=NUMBERS).tolist()
    assert array.tolist() == NUMBERS.decode(NUMBERS.encode_many(array)).tolist()
    assert (0, 2) == decoded(schema=NUMBERS).shape


@pytest.mark.parametrize(
    ("features", "field", "said"),
    [
        ({"town": "Oslo"}, "age", "required; give a value"),
        ({**WHOLE, "town": None}, "town", "required; give a value"),
        ({**WHOLE, "height": 3}, "height", "no such column; it has age, income"),
        ({**WHOLE, "age": "40"}, "age", "'40'; give a number"),
        ({**WHOLE, "age": [40]}, "age", "[40]; give a number"),
        ({**WHOLE, "age": -1}, "age", "is -1; the least that is allowed is 0"),
        ({**WHOLE, "age": 151.0}, "age", "is 151.0; the most that is allowed is 150"),
        ({**WHOLE, "income": float("nan")}, "income", "is nan; give a finite number"),
        ({**WHOLE, "income": 1e300}, "income", "is 1e+300; give a finite number"),
        ({**WHOLE, "income": 2**2000}, "income", "give a number"),
        ({**WHOLE, "town": 1.5}, "town", "is 1.5; give a category"),
        ({**WHOLE, "town": 10**5000}, "town", "an integer of 16610 bits; give a category"),
        ({**WHOLE, "age": 10**5000}, "age", "an integer of 16610 bits; give a number"),
        ({**WHOLE, "town": ["Oslo"]}, "town", "is ['Oslo']; give a category"),
        ([40, 1], "features", "2 values and the schema 6 columns"),
        ("Oslo", "features", "is 'Oslo'; give an object with the columns age"),
        (None, "features", "is None; give an object"),
    ],
)
def test_what_does_not_fit_is_named(features, field, said):
    """By row, column and value."""
    with pytest.raises(RowRefused) as refused:
        SCHEMA.encode_many([WHOLE, WHOLE, features, WHOLE])
    assert (2, field) == (refused.value.row, refused.value.field)
    assert said in str(refused.value)


def test_an_array_is_checked_as_rows_are():
    """NaN and what is out of bounds, by row and column."""
    with pytest.raises(RowRefused, match="row 1: 'a' is nan"):
        NUMBERS.encode_many(np.array([[1, 2], [np.nan, 2]]))
    with pytest.raises(RowRefused, match=r"row 1: 'b' is 9\.0; the most"):
        NUMBERS.encode_many(np.array([[1, 2], [1, 9.0]]))
    with pytest.raises(RowRefused, match="3 values and the schema 2 columns"):
        NUMBERS.encode_many(np.zeros((4, 3)))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"min": 3, "max": 2}, "min 3.0 is above max 2.0"),
        ({"type": "category", "min": 1}, "neither min nor max"),
        ({"buckets": 7}, "a number has no buckets"),
        ({"default": 1.0}, "set required = false"),
        ({"default": 9, "max": 5, "required": False}, "default of row 0: 'c' is 9.0; the most"),
        ({"default": "x", "required": False}, "give a number"),
        ({"min": float("nan")}, "finite number"),
        ({"type": "date"}, "'number' or 'category'"),
        ({"unit": "m"}, "not permitted"),
    ],
)
def test_a_column_that_contradicts_itself_is_refused(settings, said):
    """When the schema is read, not when rows come."""
    with pytest.raises(ValidationError, match=said):
        Column(name="c", **settings)


def test_the_example_is_valid_and_names_every_column():
    """Within the bounds, also where 0 is not."""
    assert [column.name for column in COLUMNS] == list(SCHEMA.example())
    SCHEMA.encode(SCHEMA.example())
    assert 5.0 == Column(name="c", min=5).example()
    assert -5.0 == Column(name="c", max=-5).example()
