"""Shuffled passes over remembered rows."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Generator

from perdure import Batch
from perdure.memory.passes import passes


@given(st.integers(1, 40), st.integers(1, 50), st.integers(0, 30))
def test_every_batch_has_its_size_and_no_pass_repeats_a_row(rows, size, steps) -> None:
    """`steps` batches in all; within a pass no row comes twice, and none of the rows is new."""
    drawn = list(passes(numbered(rows), size, steps, Generator()))
    assert len(drawn) == steps
    assert {len(batch) for batch in drawn} <= {min(rows, size)}
    assert all(batch.new == 0 for batch in drawn)
    each = max(1, rows // size)
    for start in range(0, steps, each):
        seen = torch.cat([batch.x for batch in drawn[start : start + each]])
        assert len(seen.unique()) == len(seen)


def test_passes_differ_and_their_order_follows_from_the_generator() -> None:
    """Two passes over 20 rows in one batch each: other orders, repeated by the same seed."""
    one, two = passes(numbered(20), 20, 2, Generator().manual_seed(1))
    again, _ = passes(numbered(20), 20, 2, Generator().manual_seed(1))
    assert not torch.equal(one.x, two.x)
    assert torch.equal(one.x, again.x)


def test_labels_and_tasks_stay_with_their_rows() -> None:
    """A batch is rows, not columns."""
    for batch in passes(numbered(30), 7, 8, Generator()):
        assert torch.equal(batch.x % 3, batch.y)
        assert torch.equal(batch.x % 5, batch.task)


def numbered(rows: int) -> Batch:
    x = torch.arange(rows)
    return Batch(x, x % 3, task=x % 5)
