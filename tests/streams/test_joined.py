"""Joined: rows of several kinds as one."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from perdure.streams import Rows
from perdure.streams.joined import joined, shuffled_within


def counted(rows, first=0, **settings):
    x = torch.arange(first, first + rows)[:, None]
    return Rows(x, torch.full((rows,), first), **settings)


def numbers(batches):
    return [row for batch in batches for row in batch.x[:, 0].tolist()]


@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4), size=st.integers(1, 8))
def test_joined_rows_are_the_parts_one_after_the_other(lengths, size):
    """Inputs, labels and task ids, in batches that may span several parts."""
    parts = [counted(n, 100 * i, task=i, size=size) for i, n in enumerate(lengths)]
    rows = joined(parts)
    batches = list(rows.batches(size, seed=0, epochs=1))
    assert numbers(batches) == [x for part in parts for x in numbers(part)]
    task = [i for i, n in enumerate(lengths) for _ in range(n)]
    assert task == [t for batch in batches for t in batch.task.tolist()]
    assert [100 * t for t in task] == rows.labels().tolist()


def test_each_part_keeps_its_own_transform_in_whatever_order_rows_are_drawn():
    """Row 2 of the first part is doubled, row 0 of the second is negated."""
    rows = joined(
        [counted(3, transform=lambda x: 2 * x), counted(3, first=10, transform=lambda x: -x)]
    )
    batch = rows.batch(torch.tensor([3, 2, 5, 0]))
    assert [-10, 4, -12, 0] == batch.x[:, 0].tolist()


def test_parts_of_one_tensor_stay_an_index_into_it():
    """Disjoint rows of the same tensor are drawn as fast as before: nothing is gathered twice."""
    rows = Rows(torch.arange(10)[:, None], torch.arange(10))
    parts = [rows.take(torch.tensor([7, 1])), rows.take(torch.tensor([0, 9, 4]))]
    both = joined([Rows(p.x, p.y, index=p.index, task=t) for t, p in enumerate(parts)])
    assert both.x is rows.x
    batch = both.batch(torch.arange(5))
    assert [7, 1, 0, 9, 4] == batch.x[:, 0].tolist() == batch.y.tolist()
    assert [0, 0, 1, 1, 1] == batch.task.tolist()


def test_a_row_that_two_parts_share_keeps_both_task_ids():
    """The same row under two ids is two rows."""
    rows = Rows(torch.arange(4)[:, None], torch.arange(4))
    index = torch.tensor([1, 2])
    both = joined([Rows(rows.x, rows.y, index=index, task=t) for t in (5, 6)])
    batch = both.batch(torch.arange(4))
    assert [1, 2, 1, 2] == batch.x[:, 0].tolist()
    assert [5, 5, 6, 6] == batch.task.tolist()


def test_task_ids_a_row_are_kept():
    """Joined rows may be joined again."""
    once = joined([counted(2, task=0), counted(2, first=9, task=1)])
    twice = joined([once.take(torch.tensor([3, 0])), counted(1, first=5, task=torch.tensor([7]))])
    batch = twice.batch(torch.arange(3))
    assert [10, 0, 5] == batch.x[:, 0].tolist()
    assert [1, 0, 7] == batch.task.tolist()


@pytest.mark.parametrize("tasks", [(None, None), (None, 1)], ids=["none", "some"])
def test_where_a_part_knows_no_task_none_is_known(tasks):
    """A task id cannot be invented."""
    rows = joined([counted(2, task=tasks[0]), counted(2, task=tasks[1])])
    assert rows.batch(torch.arange(4)).task is None


@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_shuffling_within_parts_leaves_each_part_in_its_place(lengths, seed):
    """And an ordered part is not shuffled."""
    parts = [counted(n, ordered=i % 2 == 1) for i, n in enumerate(lengths)]
    order, first = shuffled_within(parts, seed).tolist(), 0
    for part, n in zip(parts, lengths, strict=True):
        own = order[first : first + n]
        assert list(range(first, first + n)) == (own if part.ordered else sorted(own))
        first += n
