"""What stays of the held-out rows: the same whatever the order, equal shares, a fair sample."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.errors import InvalidValue
from perdure.live.selection import Candidate, Selection, merge_limits, select, shares
from perdure.memory.ranked import equal_shares

rows_of_groups = st.lists(st.integers(0, 5), max_size=60)


def candidates(labels, seed=0):
    draws = np.random.default_rng(seed).random(len(labels))
    return [
        Candidate(i, (1, y), float(p)) for i, (y, p) in enumerate(zip(labels, draws, strict=True))
    ]


def in_batches(rows, order, sizes, capacity):
    """Offer rows in another order, a few at a time."""
    held, chosen, waiting = [], Selection(frozenset(), {}), [rows[i] for i in order]
    for size in sizes:
        offered, waiting = held + waiting[:size], waiting[size:]
        chosen = select(offered, chosen.limits, capacity)
        held = [one for one in offered if one.key in chosen.keys]
    return chosen


@given(rows_of_groups, st.integers(1, 40), st.randoms(), st.integers(1, 9))
def test_order_and_batches_change_nothing(labels, capacity, random, size):
    """All at once, or in any order and in batches of any size: the same rows, the same limits."""
    rows = candidates(labels)
    order = random.sample(range(len(rows)), len(rows))
    sizes = [size] * (len(rows) // size + 1)
    assert in_batches(rows, order, sizes, capacity) == select(rows, {}, capacity)


@given(rows_of_groups, st.integers(1, 40))
def test_rows_that_come_again_change_nothing(labels, capacity):
    """What stayed is offered again beside what left: the log can be folded twice."""
    rows = candidates(labels)
    once = select(rows, {}, capacity)
    assert select(rows, once.limits, capacity).keys == once.keys


@given(rows_of_groups, st.integers(1, 40))
def test_it_is_full_and_never_more(labels, capacity):
    """As many rows as there is room for, and of each group those of lowest priority."""
    rows = candidates(labels)
    chosen = select(rows, {}, capacity)
    assert len(chosen.keys) == min(capacity, len(rows))
    for group in {one.group for one in rows}:
        ranked = sorted((one for one in rows if one.group == group), key=lambda one: one.priority)
        kept = [one.key in chosen.keys for one in ranked]
        assert kept == sorted(kept, reverse=True)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=8), st.integers(1, 100))
def test_shares_are_as_equal_as_those_of_a_balanced_memory(sizes, capacity):
    """The numbers are the ones of `equal_shares`; only who gets the odd row differs."""
    found = shares({(1, i): size for i, size in enumerate(sizes)}, frozenset(), capacity)
    assert Counter(found.values()) == Counter(equal_shares(sizes, capacity))


@given(rows_of_groups, st.integers(1, 20), st.data())
def test_what_is_erased_is_not_replaced_by_later_rows_alone(labels, capacity, data):
    """After an erasure a group still takes only what would have been in its sample before."""
    rows = candidates(labels)
    before = select(rows, {}, capacity)
    gone = data.draw(st.sets(st.sampled_from(range(len(rows) + 1))))
    later = [Candidate(1000 + i, (1, y), p) for i, (y, p) in enumerate([(0, 0.3), (1, 0.9)])]
    held = [one for one in rows if one.key in before.keys and one.key not in gone]
    after = select(held + later, before.limits, capacity)
    for one in later:
        if one.key in after.keys:
            assert one.priority < before.limits.get(one.group, 1.0)


def test_every_row_of_a_group_stays_equally_often():
    """Of 40 rows that come one by one, 10 stay: early ones as often as late ones."""
    kept = np.zeros(40)
    for seed in range(400):
        rows = candidates([0] * 40, seed)
        kept[list(in_batches(rows, range(40), [1] * 40, 10).keys)] += 1
    assert kept.mean() == 100
    assert abs(kept[:20].mean() - kept[20:].mean()) < 5
    assert kept.min() > 60
    assert kept.max() < 140


def test_spans_that_merge_keep_the_lower_limit():
    """The union is a uniform sample only below both limits."""
    limits = {(1, 0): 0.5, (2, 0): 0.3, (2, 1): 0.4, (3, 0): 0.1}
    assert merge_limits(limits, gone=2, into=1) == {(1, 0): 0.3, (1, 1): 0.4, (3, 0): 0.1}
    held = [Candidate(1, (1, 0), 0.2), Candidate(2, (1, 0), 0.35)]
    assert select(held, {(1, 0): 0.3}, 10).keys == {1}


def test_a_memory_without_room_is_refused():
    """A capacity is at least one row."""
    with pytest.raises(InvalidValue, match="capacity"):
        select([], {}, 0)
