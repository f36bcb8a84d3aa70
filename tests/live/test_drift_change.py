"""Where a stream of errors changed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.errors import InvalidValue
from perdure.live.drift import Change, change_point

rows = st.lists(st.booleans(), min_size=2, max_size=40)


def log_likelihood(part):
    """Of a Bernoulli sample at its own rate, term by term."""
    rate = sum(part) / len(part)
    return sum(np.log(rate if wrong else 1 - rate) for wrong in part)


def test_a_change_from_always_right_to_always_wrong_is_placed_exactly():
    """Seven right, three wrong."""
    assert change_point(np.array([False] * 7 + [True] * 3)) == Change(3, 0.0, 1.0)


def test_fewer_errors_are_no_rise():
    """A change has a direction."""
    assert not change_point(np.array([True] * 5 + [False] * 5)).rose
    assert change_point(np.array([False] * 5 + [True] * 5)).rose


@given(rows)
def test_no_other_cut_is_likelier(wrong):
    """Against the likelihood of every cut, written as a sum over rows."""
    found = change_point(np.array(wrong))
    cut = len(wrong) - found.rows
    every = [log_likelihood(wrong[:c]) + log_likelihood(wrong[c:]) for c in range(1, len(wrong))]
    assert every[cut - 1] == pytest.approx(max(every), abs=1e-9)
    assert (found.before, found.after) == (np.mean(wrong[:cut]), np.mean(wrong[cut:]))


@given(rows)
def test_the_rates_of_both_sides_make_up_all_errors(wrong):
    """Whichever cut it is."""
    found = change_point(np.array(wrong))
    before = found.before * (len(wrong) - found.rows)
    assert before + found.after * found.rows == pytest.approx(sum(wrong))


@pytest.mark.parametrize("count", [0, 1])
def test_one_row_has_no_change(count):
    """A cut lies between two rows."""
    with pytest.raises(InvalidValue, match="two rows"):
        change_point(np.zeros(count, dtype=bool))
