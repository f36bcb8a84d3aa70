"""The division of a capacity among groups."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.memory.ranked import equal_shares

sizes_lists = st.lists(st.integers(0, 30), max_size=12)


@pytest.mark.parametrize(
    ("sizes", "capacity", "quota", "shares"),
    [
        ([], 5, None, []),
        ([3, 4], 10, None, [3, 4]),
        ([9, 9], 10, None, [5, 5]),
        ([2, 9, 9], 10, None, [2, 4, 4]),
        ([9, 9, 9], 10, None, [3, 3, 4]),
        ([9, 9, 9], 30, 5, [5, 5, 5]),
        ([1, 9, 9], 30, 5, [1, 5, 5]),
        ([9, 9, 9], 2, None, [0, 1, 1]),
    ],
)
def test_shares_by_hand(sizes, capacity, quota, shares) -> None:
    """Small cases worked out by eye."""
    assert shares == equal_shares(sizes, capacity, quota)


@given(sizes_lists, st.integers(1, 60), st.none() | st.integers(1, 20))
def test_shares_fill_the_capacity_as_equally_as_sizes_allow(sizes, capacity, quota) -> None:
    """No group beyond its size, quota or the others plus one; no room wasted."""
    shares = equal_shares(sizes, capacity, quota)
    most = [min(size, quota or capacity) for size in sizes]
    assert min(capacity, sum(most)) == sum(shares)
    for share, limit in zip(shares, most, strict=True):
        assert 0 <= share <= limit
        assert share == limit or share >= max(shares) - 1
