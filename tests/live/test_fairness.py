"""No source has more than its share: by hand, and against a search through every allowance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.live.fairness import allowance, fair

SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=6)
SHARES = st.floats(0.05, 1.0)


@pytest.mark.parametrize(
    ("sizes", "share", "most"),
    [
        ([1000, 100], 1.0, 1000),
        ([1000, 100], 0.5, 100),
        ([1000, 100, 100], 0.5, 200),
        ([1000, 33, 33, 33], 0.3, 42),
        ([1000, 100, 100], 0.25, 100),
        ([60, 60], 0.4, 60),
        ([1000], 0.5, 1000),
        ([], 0.5, 0),
    ],
    ids=str,
)
def test_by_hand(sizes: list[int], share: float, most: int) -> None:
    """A flood has what the others' rows allow it; where too few sources sent, all have as many."""
    assert most == allowance(np.array(sizes, dtype=np.int64), share)


@given(SIZES, SHARES)
def test_it_is_the_most_that_the_share_allows(sizes: list[int], share: float) -> None:
    """Every allowance is tried, from the largest on."""
    share_of_all = max(share, 1 / len(sizes))

    def allowed(most: int) -> bool:
        kept = [min(size, most) for size in sizes]
        return max(kept) <= share_of_all * sum(kept) + 1e-9

    expected = next(most for most in range(max(sizes), 0, -1) if allowed(most))
    assert expected == allowance(np.array(sizes, dtype=np.int64), share)


@given(SIZES, SHARES, st.integers(0, 2**31), st.integers(1, 10_000))
def test_a_larger_flood_gets_no_more(sizes: list[int], share: float, seed: int, more: int) -> None:
    """What a source may have hangs on what the others sent, once it has more than its share."""
    largest = int(np.argmax(sizes))
    first = min(sizes[largest], allowance(np.array(sizes), share))
    grown = [*sizes]
    grown[largest] += more
    if first < sizes[largest]:
        assert first == allowance(np.array(grown), share)


@given(SIZES, SHARES, st.integers(0, 2**31))
def test_the_rows_with_the_lowest_keys_stay(sizes: list[int], share: float, seed: int) -> None:
    """Of each source, whatever the order in which the rows came; small sources lose none."""
    rng = np.random.default_rng(seed)
    sources = rng.permutation(np.repeat(np.arange(len(sizes)), sizes)).astype(np.int64)
    keys = rng.choice(10_000, len(sources), replace=False).astype(np.int64) - 5000
    kept = fair(keys, sources, share)
    most = allowance(np.array(sizes), share)
    for source, size in enumerate(sizes):
        mine = sources == source
        expected = sorted(keys[mine])[: min(size, most)]
        assert expected == sorted(keys[mine & kept])


def test_no_rows_are_no_rows() -> None:
    """Nothing to share."""
    none = np.array([], dtype=np.int64)
    assert 0 == len(fair(none, none, 0.5))
