"""State as text, to the last bit."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.live import tiny

from perdure.live.watch.state import from_text, to_text

plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
tensors = st.builds(
    lambda values, dtype: torch.tensor(values).to(dtype),
    st.lists(st.integers(0, 255), max_size=5),
    st.sampled_from([torch.uint8, torch.int64, torch.float32, torch.float64]),
)
trees = st.recursive(
    plain | st.text(max_size=5) | tensors,
    lambda held: (
        st.lists(held, max_size=3) | st.dictionaries(st.text(max_size=4), held, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=4), trees, max_size=3))
def test_a_state_comes_back_from_text_to_the_last_bit(state):
    """Tensors with their dtypes, numbers as they were, and the same text for the same state."""
    text = to_text(state)
    assert tiny.digest(from_text(text)) == tiny.digest(state)
    assert to_text(from_text(text)) == text


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (2, 3), (1, 2, 2)], ids=str)
def test_shapes_stay(shape):
    """Empty ones and numbers too."""
    tensor = torch.rand(shape, dtype=torch.float64)
    back = from_text(to_text({"t": tensor}))["t"]
    assert back.dtype == torch.float64
    assert torch.equal(back, tensor)
    back += 1  # it may be written to


def test_the_order_of_names_is_kept():
    """Whoever answered last is last to be forgotten."""
    assert list(from_text(to_text({"scores": {"9": 1, "10": 2, "1": 3}}))["scores"]) == [
        "9",
        "10",
        "1",
    ]


def test_the_text_is_json_and_small():
    """A window of bits takes few bytes."""
    text = to_text({"recent": torch.ones(1000, dtype=torch.uint8)})
    assert set(json.loads(text)) == {"recent"}
    assert len(text) < 100


def test_what_is_not_a_number_is_refused():
    """JSON has no word for it."""
    with pytest.raises(ValueError, match="JSON"):
        to_text({"rate": float("nan")})
