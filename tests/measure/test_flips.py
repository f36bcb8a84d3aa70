"""Rows that change their answer from one version to the next."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from perdure.errors import InvalidValue
from perdure.measure import Flips, count_flips

triples = st.lists(st.tuples(*[st.integers(0, 2)] * 3), max_size=30)


def columns(rows):
    table = torch.tensor(rows, dtype=torch.int64).reshape(-1, 3)
    return table[:, 0], table[:, 1], table[:, 2]


def test_five_rows_by_hand():
    """Kept, lost, won, wrong in two ways, wrong in one."""
    before = torch.tensor([0, 0, 1, 1, 1])
    after = torch.tensor([0, 1, 0, 2, 1])
    found = count_flips(before, after, torch.zeros(5, dtype=torch.long))
    assert found == Flips(rows=5, negative=1, positive=1, changed=3)
    assert (found.negative_rate, found.positive_rate, found.churn) == (0.2, 0.2, 0.6)
    assert found.gain == 0


@given(triples)
def test_counts_agree_with_a_loop(rows):
    """Row by row."""
    found = count_flips(*columns(rows))
    assert found.negative == sum(b == y != a for b, a, y in rows)
    assert found.positive == sum(b != y == a for b, a, y in rows)
    assert found.changed == sum(b != a for b, a, _ in rows)


@given(triples.filter(len))
def test_the_gain_is_the_difference_of_accuracies(rows):
    """Positive less negative flips, whatever happened among the wrong answers."""
    before, after, y = columns(rows)
    found = count_flips(before, after, y)
    gap = (after == y).double().mean() - (before == y).double().mean()
    assert found.gain == pytest.approx(float(gap))
    assert found.negative + found.positive <= found.changed <= found.rows


@given(triples)
def test_swapping_the_versions_swaps_the_flips(rows):
    """What one loses the other wins back."""
    before, after, y = columns(rows)
    there, back = count_flips(before, after, y), count_flips(after, before, y)
    assert (there.negative, there.positive) == (back.positive, back.negative)
    assert there.changed == back.changed


@given(triples)
def test_a_version_never_flips_against_itself(rows):
    """Equal predictions give no flips of either kind."""
    before, _, y = columns(rows)
    assert count_flips(before, before, y) == Flips(len(rows), 0, 0, 0)


def test_no_rows_give_no_rates():
    """None is "not measured"."""
    none = count_flips(*columns([]))
    rates = (none.negative_rate, none.positive_rate, none.churn, none.gain)
    assert rates == (None, None, None, None)


def test_predictions_for_other_rows_are_refused():
    """Flips are paired: the same rows, as labels."""
    with pytest.raises(InvalidValue, match=r"\(3,\), \(2,\) and y \(3,\)"):
        count_flips(torch.zeros(3), torch.zeros(2), torch.zeros(3))
    with pytest.raises(InvalidValue, match="predicted labels"):
        count_flips(torch.zeros(3, 2), torch.zeros(3, 2), torch.zeros(3, 2))
