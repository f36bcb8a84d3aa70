"""Rows: drawn in batches, shared, resumable."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from perdure.errors import InvalidValue
from perdure.streams import Rows


def counted(rows, **settings):
    """Rows whose input is their own number."""
    return Rows(torch.arange(rows)[:, None], torch.arange(rows) % 3, **settings)


def numbers(batches):
    return [row for batch in batches for row in batch.x[:, 0].tolist()]


def same(a, b):
    tasks = (a.task is None and b.task is None) or torch.equal(a.task, b.task)
    return torch.equal(a.x, b.x) and torch.equal(a.y, b.y) and a.new == b.new and tasks


sizes = st.integers(1, 9)
lengths = st.integers(1, 40)


@given(rows=lengths, size=sizes, epochs=st.integers(1, 4), seed=st.integers(0, 99))
def test_every_pass_shows_every_row_once(rows, size, epochs, seed):
    """By epochs: each pass is a permutation, in batches of one size but the last."""
    batches = list(counted(rows).batches(size, seed=seed, epochs=epochs))
    per_pass = -(-rows // size)
    assert epochs * per_pass == len(batches)
    for epoch in range(epochs):
        drawn = batches[epoch * per_pass : (epoch + 1) * per_pass]
        assert list(range(rows)) == sorted(numbers(drawn))
        assert [size] * (per_pass - 1) == [len(batch) for batch in drawn[:-1]]


@given(rows=lengths, size=sizes, steps=st.integers(1, 30), seed=st.integers(0, 99))
def test_by_steps_as_many_batches_come_as_were_asked_for(rows, size, steps, seed):
    """Passes go on; what is left over of a pass is left out, and no pass repeats a row."""
    batches = list(counted(rows).batches(size, seed=seed, steps=steps))
    assert steps == len(batches)
    assert {min(size, rows)} == {len(batch) for batch in batches}
    per_pass = max(rows // size, 1)
    for first in range(0, steps, per_pass):
        drawn = numbers(batches[first : first + per_pass])
        assert len(drawn) == len(set(drawn))


@given(
    rows=lengths, size=sizes, seed=st.integers(0, 99), start=st.integers(0, 30), by=st.booleans()
)
def test_a_start_gives_exactly_the_tail(rows, size, seed, start, by):
    """Whatever was skipped, batch number `start` and the following are the same."""
    much = {"epochs": 3} if by else {"steps": 17}
    whole = list(counted(rows, task=2).batches(size, seed=seed, **much))
    tail = list(counted(rows, task=2).batches(size, seed=seed, start=start, **much))
    assert len(whole[start:]) == len(tail)
    assert all(same(a, b) for a, b in zip(whole[start:], tail, strict=True))


def test_skipped_batches_are_not_read():
    """With 10,000 batches skipped, the transform saw only the one that was drawn."""
    seen = []
    rows = counted(10, transform=lambda x: seen.append(len(x)) or x)
    assert 1 == len(list(rows.batches(5, seed=0, steps=10_001, start=10_000)))
    assert [5] == seen


@pytest.mark.parametrize("much", [{"epochs": 3}, {"steps": 9}], ids=["epochs", "steps"])
def test_rows_are_new_in_the_first_pass_alone(much):
    """All rows of the first pass are new, and none of a later one."""
    batches = list(counted(12).batches(4, seed=0, **much))
    assert [4, 4, 4, 0, 0, 0, 0, 0, 0] == [batch.new for batch in batches]


def test_passes_differ_and_seeds_differ():
    """Two passes, and two seeds, give other orders; the same seed gives the same."""
    rows = counted(100)
    batches = list(rows.batches(100, seed=0, epochs=2))
    assert numbers(batches[:1]) == numbers(rows.batches(100, seed=0, epochs=1))
    assert numbers(batches[:1]) != numbers(batches[1:])
    assert numbers(batches[:1]) != numbers(rows.batches(100, seed=1, epochs=1))


def test_drawing_leaves_the_global_generator_alone():
    """The run's own randomness does not depend on whether batches were drawn or skipped."""
    before = torch.get_rng_state()
    list(counted(30).batches(4, seed=0, epochs=2))
    assert torch.equal(before, torch.get_rng_state())


def test_iterating_gives_all_rows_in_order_and_none_new():
    """In batches of 1,024 unless told otherwise, as often as one likes."""
    rows = counted(2050)
    for _ in range(2):
        batches = list(rows)
        assert [1024, 1024, 2] == [len(batch) for batch in batches]
        assert list(range(2050)) == numbers(batches)
        assert {0} == {batch.new for batch in batches}
    assert [7, 3] == [len(batch) for batch in counted(10, size=7)]


def test_rows_that_are_ordered_are_never_shuffled():
    """Each pass shows them in the same order."""
    rows = counted(7, ordered=True)
    assert [*range(7), *range(7)] == numbers(rows.batches(3, seed=5, epochs=2))


@given(
    picks=st.lists(st.integers(0, 19), max_size=12),
    again=st.data(),
)
def test_taking_twice_is_taking_from_what_was_taken(picks, again):
    """take(a).take(b) has the rows a[b]."""
    rows = counted(20)
    first = torch.tensor(picks, dtype=torch.int64)
    choice = st.lists(st.integers(0, len(picks) - 1), max_size=5) if picks else st.just([])
    second = torch.tensor(again.draw(choice), dtype=torch.int64)
    taken = rows.take(first).take(second)
    assert first[second].tolist() == numbers(taken)
    assert torch.equal(taken.labels(), rows.labels()[first[second]])


def test_a_mask_takes_the_rows_where_it_is_true():
    """Also of rows that were taken before."""
    rows = counted(10).take(torch.tensor([9, 3, 6, 1]))
    assert [9, 6] == numbers(rows.take(torch.tensor([True, False, True, False])))


def test_taking_shares_the_inputs():
    """No copy: the tensor is the same object."""
    rows = counted(10)
    assert rows.x is rows.take(torch.tensor([1, 2])).x


def test_taking_keeps_task_transform_and_order():
    """What was said of the rows is true of some of them."""
    rows = counted(10, task=4, transform=lambda x: -x, ordered=True, size=2)
    taken = rows.take(torch.tensor([5, 2]))
    (batch,) = taken.batches(2, seed=0, epochs=1)
    assert [-5, -2] == batch.x[:, 0].tolist()
    assert [4, 4] == batch.task.tolist()
    assert not rows.take(torch.tensor([5, 2]), ordered=False).ordered


def test_a_batch_at_given_positions_has_these_rows_in_order():
    """With their labels and task ids, all new unless told otherwise."""
    rows = counted(9, task=torch.arange(9) // 3)
    batch = rows.batch(torch.tensor([8, 0, 4]))
    assert [8, 0, 4] == batch.x[:, 0].tolist()
    assert [2, 0, 1] == batch.y.tolist()
    assert [2, 0, 1] == batch.task.tolist()
    assert 3 == batch.new
    assert 0 == rows.batch(torch.tensor([8]), new=False).new


def test_without_a_task_there_are_no_task_ids():
    """Nor where rows were taken."""
    assert counted(3).batch(torch.tensor([0])).task is None


def test_raw_bytes_stay_bytes_and_are_not_aliased():
    """uint8 is drawn as uint8, and writing into a batch leaves the data alone."""
    x = torch.randint(0, 256, (20, 1, 3, 3), dtype=torch.uint8)
    kept = x.clone()
    for batch in Rows(x, torch.zeros(20, dtype=torch.int64)).batches(6, seed=0, epochs=1):
        assert batch.x.dtype == torch.uint8
        batch.x.zero_()
    assert torch.equal(kept, x)


def test_the_transform_is_applied_to_each_batch_drawn():
    """By position, in order and shuffled alike; the stored inputs stay raw."""
    rows = counted(6, transform=lambda x: x + 100)
    assert list(range(100, 106)) == numbers(rows)
    assert list(range(100, 106)) == sorted(numbers(rows.batches(4, seed=0, epochs=1)))
    assert [103] == numbers([rows.batch(torch.tensor([3]))])
    assert list(range(6)) == rows.x[:, 0].tolist()


@pytest.mark.parametrize(
    "much",
    [{}, {"epochs": 1, "steps": 1}, {"epochs": 0}, {"steps": 0}, {"epochs": 1, "start": -1}],
    ids=["neither", "both", "no epoch", "no step", "negative start"],
)
def test_an_impossible_length_is_refused_before_the_first_batch(much):
    """At the call, not at the first batch."""
    with pytest.raises(InvalidValue, match="epochs"):
        counted(3).batches(2, seed=0, **much)


def test_a_batch_of_no_rows_is_refused():
    """Size 0 draws nothing for ever; no rows have no batches."""
    with pytest.raises(InvalidValue, match="size"):
        counted(3).batches(0, seed=0, epochs=1)
    with pytest.raises(InvalidValue, match="no rows"):
        counted(3).take(torch.tensor([], dtype=torch.int64)).batches(2, seed=0, epochs=1)


def test_columns_of_other_lengths_are_refused():
    """The message has both numbers."""
    with pytest.raises(InvalidValue, match="x has 3 rows, y 4"):
        Rows(torch.zeros(3, 1), torch.zeros(4, dtype=torch.int64))
