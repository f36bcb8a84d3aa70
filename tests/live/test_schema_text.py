"""Rows that are texts: their UTF-8 bytes, padded with zeros."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.live.refusals import RowRefused
from perdure.live.schema import Schema

SCHEMA = Schema(kind="text", length=40, open=True)
texts = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=10)


@given(st.lists(texts, max_size=5))
def test_what_goes_in_comes_out(held):
    """Without the padding the bytes are the text again."""
    decoded = SCHEMA.decode(SCHEMA.encode_many(held))
    assert (len(held), 40) == decoded.shape
    assert held == [bytes(row.tolist()).rstrip(b"\0").decode() for row in decoded]
    assert [SCHEMA.encode(text) for text in held] == [
        bytes(row) for row in SCHEMA.encode_many(held)
    ]


@given(texts, texts)
def test_two_texts_are_never_one_row(a, b):
    """Padding hides no difference."""
    assert (a == b) == (SCHEMA.encode(a) == SCHEMA.encode(b))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("é" * 21, "it takes 42 bytes of UTF-8 and the schema allows 40; shorten it"),
        ("a\0b", "holds a NUL character"),
        ("a\ud800", "character 1 is half of a surrogate pair"),
        (7, "is 7; give a string"),
        (None, "give a string"),
        (b"abc", "give a string"),
        (["abc"], "give a string"),
    ],
)
def test_what_does_not_fit_is_named(text, said):
    """By row and reason."""
    with pytest.raises(RowRefused) as refused:
        SCHEMA.encode_many(["fine", text])
    assert (1, "features") == (refused.value.row, refused.value.field)
    assert said in str(refused.value)


def test_a_text_may_fill_the_row():
    """Forty bytes fit, forty-one do not."""
    assert b"a" * 40 == SCHEMA.encode("a" * 40)
    with pytest.raises(RowRefused, match="takes 41 bytes"):
        SCHEMA.encode("a" * 41)


def test_the_example_is_valid_whatever_the_length():
    """One byte is enough."""
    for length in (1, 5, 40):
        schema = Schema(kind="text", length=length, open=True)
        schema.encode(schema.example())
