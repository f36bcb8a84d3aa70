"""Batches: rows that travel together."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from perdure import Batch
from perdure.errors import InvalidValue


def rows(count: int, start: int = 0, **more: object) -> Batch:
    ids = torch.arange(start, start + count)
    return Batch(ids[:, None].float(), ids, **more)  # type: ignore[arg-type]


def test_all_rows_are_new_unless_said_otherwise() -> None:
    """A batch from a stream counts every row once."""
    assert rows(3).new == 3
    assert rows(3).seen().new == 0


def test_one_task_id_stands_for_every_row() -> None:
    """An int is spread over the rows."""
    assert rows(3, task=2).task.tolist() == [2, 2, 2]  # type: ignore[union-attr]


@given(st.integers(0, 6), st.integers(0, 6), st.data())
def test_concatenation_keeps_every_row_and_puts_new_ones_first(
    left: int, right: int, data: st.DataObject
) -> None:
    """`a + b` holds the rows of both, and the leading `new` ones are exactly the new ones."""
    a_new, b_new = data.draw(st.integers(0, left)), data.draw(st.integers(0, right))
    a, b = rows(left, new=a_new), rows(right, start=100, new=b_new)
    both = a + b
    assert sorted(both.y.tolist()) == sorted(a.y.tolist() + b.y.tolist())
    assert both.new == a_new + b_new
    assert both.fresh().y.tolist() == a.y[:a_new].tolist() + b.y[:b_new].tolist()
    assert torch.equal(both.x[:, 0].long(), both.y)


@given(st.integers(0, 8), st.integers(0, 8), st.integers(0, 10), st.integers(0, 10))
def test_a_slice_counts_its_own_new_rows(count: int, new: int, start: int, stop: int) -> None:
    """A slice's `new` is the number of its rows below the batch's `new`."""
    new = min(new, count)
    batch = rows(count, new=new)[start:stop]
    assert batch.new == len([i for i in range(count)[start:stop] if i < new])


def test_an_extra_that_one_side_lacks_is_left_out() -> None:
    """A value that does not exist cannot be invented."""
    a = rows(2).with_extras(logits=torch.ones(2, 3), source=torch.zeros(2))
    b = rows(1).with_extras(source=torch.ones(1))
    assert set((a + b).extras) == {"source"}
    assert (a + b).extras["source"].tolist() == [0, 0, 1]


def test_a_missing_weight_is_one() -> None:
    """Rows without weights count fully beside weighted ones."""
    assert (rows(2) + rows(1).weighted(0.25)).weights().tolist() == [1, 1, 0.25]


def test_columns_of_unequal_length_are_refused_with_their_lengths() -> None:
    """The message holds the numbers."""
    with pytest.raises(InvalidValue, match="x has 2 rows, y 3"):
        Batch(torch.zeros(2, 1), torch.zeros(3))
    with pytest.raises(InvalidValue, match="'logits' has 1 rows where y has 2"):
        rows(2).with_extras(logits=torch.zeros(1))


@given(st.integers(0, 8), st.integers(0, 8), st.integers(-9, 9), st.integers(1, 3))
def test_a_slice_with_a_stride_or_from_the_end_counts_its_own_new_rows(
    count: int, new: int, start: int, stride: int
) -> None:
    """Every second row, or the last three: `new` is still the number of those that are new."""
    new = min(new, count)
    batch = rows(count, new=new)[start::stride]
    assert batch.new == len([i for i in range(count)[start::stride] if i < new])


def test_weights_of_any_type_are_taken_as_the_losses_are() -> None:
    """Weights that numpy made are float64, and counts are integers: both weigh rows."""
    for weight in (torch.tensor([1.0, 2.0], dtype=torch.float64), torch.tensor([1, 2])):
        held = rows(2, weight=weight).weight
        assert held is not None
        assert held.dtype == torch.float32
        assert held.tolist() == [1, 2]


def test_weights_of_another_length_are_refused() -> None:
    """The message holds both shapes."""
    with pytest.raises(InvalidValue, match=r"shape \(3,\); it holds one number a row: \(2,\)"):
        rows(2, weight=torch.ones(3))


def test_what_is_no_tensor_is_refused_by_its_column() -> None:
    """With how to make one of it."""
    with pytest.raises(InvalidValue, match=r"x is of type ndarray; give .* `torch.as_tensor\(x\)`"):
        Batch(torch.eye(2).numpy(), torch.tensor([0, 1]))  # type: ignore[arg-type]
    with pytest.raises(InvalidValue, match="y is of type list"):
        Batch(torch.eye(2), [0, 1])  # type: ignore[arg-type]
