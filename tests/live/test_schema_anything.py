"""Whatever JSON can hold: a row is taken whole or refused by name, and never anything else."""

from __future__ import annotations

import base64
import io
import json
from contextlib import suppress

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from perdure.live.refusals import Refused, RowRefused
from perdure.live.schema import Column, Schema

KINDS = {
    "tensor": Schema(kind="tensor", shape=(2, 2), open=True),
    "bytes": Schema(kind="tensor", shape=(2,), dtype="uint8", open=True),
    "integers": Schema(kind="tensor", shape=(1,), dtype="int64", open=True),
    "table": Schema(
        kind="table",
        columns=(
            Column(name="a", min=-1, max=3),
            Column(name="b", required=False, default=2.0),
            Column(name="c", type="category", required=False, buckets=7),
        ),
        open=True,
    ),
    "text": Schema(kind="text", length=12, open=True),
    "image": Schema(kind="image", channels=1, height=4, width=4, open=True),
}

leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(0, 3)
    | st.floats()
    | st.floats(-1, 3, width=32)
    | st.text(max_size=8)
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from("abcd") | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)


def png(pixels):
    held = io.BytesIO()
    Image.fromarray(np.array(pixels, np.uint8)).save(held, "PNG")
    return base64.b64encode(held.getvalue()).decode()


fitting = {
    "tensor": st.lists(
        st.lists(st.floats(-1, 1) | st.integers(-9, 9) | st.booleans(), min_size=2, max_size=2),
        min_size=2,
        max_size=2,
    ),
    "bytes": st.lists(st.integers(0, 255) | st.booleans(), min_size=2, max_size=2),
    "integers": st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=1),
    "table": st.fixed_dictionaries(
        {"a": st.floats(-1, 3) | st.integers(-1, 3)},
        optional={
            "b": st.none() | st.floats(-1, 1),
            "c": st.none() | st.text() | st.integers(-(2**63), 2**63 - 1),
        },
    ),
    "text": st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=12),
    "image": st.lists(
        st.lists(st.integers(0, 255), min_size=4, max_size=4), min_size=4, max_size=4
    ).flatmap(lambda pixels: st.sampled_from([pixels, [pixels], png(pixels)])),
}


def taken(schema, features):
    """The bytes of a row, or its refusal."""
    try:
        return schema.encode(features)
    except Refused as refused:
        return refused


@pytest.mark.parametrize("kind", KINDS)
@given(features=values)
def test_anything_is_taken_whole_or_refused_by_name(kind, features):
    """No other error comes out, and what was taken has the one length that there is."""
    schema = KINDS[kind]
    found = taken(schema, features)
    if isinstance(found, bytes):
        assert schema.row_bytes == len(found)
    else:
        assert (None, True) == (found.row, found.field is not None)
        assert len(str(found)) < 600


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_what_fits_is_taken(kind, data):
    """And decodes to numbers that are finite."""
    schema = KINDS[kind]
    rows = data.draw(st.lists(fitting[kind], min_size=1, max_size=4))
    decoded = schema.decode(schema.encode_many(rows))
    assert len(rows) == len(decoded)
    assert torch.isfinite(decoded.double()).all()


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_many_rows_are_taken_exactly_where_each_of_them_is(kind, data):
    """The fast way and the slow one agree, on the bytes and on the first row that is refused."""
    schema = KINDS[kind]
    rows = data.draw(st.lists(fitting[kind] | values, max_size=4))
    alone = [taken(schema, row) for row in rows]
    if any(isinstance(found, Refused) for found in alone):
        with pytest.raises(RowRefused) as refused:
            schema.encode_many(rows)
        assert isinstance(alone[refused.value.row], Refused)
    else:
        assert b"".join(alone) == schema.encode_many(rows).tobytes()


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_what_is_taken_is_taken_after_a_journey_as_json(kind, data):
    """A client that writes JSON gives the same row as one that calls in Python."""
    schema = KINDS[kind]
    row = data.draw(fitting[kind])
    assert schema.encode(row) == schema.encode(json.loads(json.dumps(row)))


@given(values)
def test_any_label_is_a_name_or_refused(label):
    """An open label space takes names, and nothing that is none."""
    with suppress(RowRefused):
        name = KINDS["text"].check_label(label)
        assert name == name.strip()
        assert name.isprintable()
        assert 0 < len(name) <= 200
