"""Texts as rows of bytes."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from perdure.errors import InvalidValue
from perdure.live.schema.text import TextForm
from perdure.streams import text_rows

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@given(st.lists(texts, min_size=1, max_size=5))
def test_a_text_comes_back_from_its_row(written):
    """Whatever the alphabet: strip the zeros and read UTF-8."""
    rows = text_rows(written)
    assert torch.uint8 == rows.dtype
    assert written == [bytes(row.tolist()).rstrip(b"\0").decode() for row in rows]


@given(st.lists(texts, min_size=1, max_size=5))
def test_rows_are_those_of_the_live_schema(written):
    """So that a model trained on a data set answers a service's rows."""
    form = TextForm(200)
    assert torch.equal(text_rows(written, 200), form.decode(form.encode_many(written)))


def test_a_text_that_does_not_fit_is_refused():
    """Too long, empty altogether, or with padding inside."""
    with pytest.raises(InvalidValue, match=r"takes 5 bytes; .* no more than 4"):
        text_rows(["you", "hello"], 4)
    with pytest.raises(InvalidValue, match="takes 0 bytes"):
        text_rows([""])
    with pytest.raises(InvalidValue, match="text 1 holds a NUL"):
        text_rows(["a", "b\0c"])
