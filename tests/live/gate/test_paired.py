"""The paired test: exact where others are approximate, and the same wherever they are not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from perdure.errors import InvalidValue
from perdure.live.gate.paired import Paired, score


@st.composite
def counts(draw, most=60):
    rows = draw(st.integers(1, most))
    lost = draw(st.integers(0, rows))
    return Paired(rows, lost, draw(st.integers(0, rows - lost)))


def outcomes(rows):
    return [Paired(rows, b, c) for b in range(rows + 1) for c in range(rows + 1 - b)]


def largest_chance(found, rows, margin):
    """By another way than the code's: the multinomial law at many values of P(gained)."""
    n = np.array([[one.lost, one.gained, rows - one.lost - one.gained] for one in found])
    chances = []
    for gained in np.linspace(0, (1 - margin) / 2, 400):
        p = np.array([gained + margin, gained, max(0.0, 1 - margin - 2 * gained)])
        chances.append(stats.multinomial.pmf(n, rows, p / p.sum()).sum())
    return max(chances)


@pytest.mark.parametrize(("rows", "margin"), [(12, 0.0), (12, 0.15), (30, 0.1)])
@pytest.mark.parametrize("worse", [True, False])
def test_it_errs_no_more_often_than_it_says(rows, margin, worse):
    """Under a loss of exactly the margin, and whatever else is true, p <= 5% has a chance of 5%."""
    found = [
        one
        for one in outcomes(rows)
        if (one.p_worse(margin) if worse else one.p_safe(margin)) <= 0.05
    ]
    assert found
    assert largest_chance(found, rows, margin) <= 0.05


def test_without_a_flip_it_takes_149_rows_to_exclude_a_loss_of_two_percent():
    """0.98^148 > 5% >= 0.98^149, where the normal approximation is content with 133."""
    assert Paired(148, 0, 0).p_safe(0.02) > 0.05 >= Paired(149, 0, 0).p_safe(0.02)
    approximate = stats.norm.cdf(score(np.zeros(1), np.zeros(1), 133, 0.02))[0]
    assert approximate <= 0.05 < Paired(133, 0, 0).p_safe(0.02)


def test_a_few_losses_in_a_small_cell_are_weak_evidence():
    """Five lost and none gained of thirty: by the coin (McNemar's exact test) that is p = 1/32."""
    assert 0.01 < Paired(30, 5, 0).p_worse(0.02) < 0.03125
    assert Paired(30, 28, 0).p_worse(0.02) < 1e-5


@settings(max_examples=40)
@given(counts(), st.floats(0.0, 0.5))
def test_before_and_after_exchanged_turn_loss_into_gain(seen, margin):
    """The test of a loss of -m is that of a gain of m."""
    mirrored = seen.reversed
    assert seen.p_worse(-margin) == pytest.approx(mirrored.p_safe(margin), abs=1e-4)
    assert seen.p_safe(-margin) == pytest.approx(mirrored.p_worse(margin), abs=1e-4)


@settings(max_examples=40)
@given(counts(40), st.sampled_from([0.0, 0.02, 0.1]))
def test_every_row_lost_speaks_against_it(seen, margin):
    """One more row lost instead of kept: more evidence of a loss, less of safety."""
    if seen.lost + seen.gained < seen.rows:
        more = Paired(seen.rows, seen.lost + 1, seen.gained)
        assert more.p_worse(margin) <= seen.p_worse(margin) + 1e-9
        assert more.p_safe(margin) >= seen.p_safe(margin) - 1e-9


@given(counts(), st.sampled_from([0.01, 0.1, 0.3]))
def test_the_score_stands_at_the_likeliest_unknown(seen, margin):
    """The variance is taken where the likelihood under a loss of the margin is largest."""

    def unlikely(gained):
        rest = seen.rows - seen.lost - seen.gained
        logs = np.log(np.maximum([gained + margin, gained, 1 - margin - 2 * gained], 1e-300))
        return -float(np.dot([seen.lost, seen.gained, rest], logs))

    ends = (1e-12, (1 - margin) / 2)
    best = optimize.minimize_scalar(
        unlikely, bounds=ends, method="bounded", options={"xatol": 1e-9}
    )
    variance = seen.rows * (2 * best.x + margin * (1 - margin))
    expected = (seen.lost - seen.gained - seen.rows * margin) / variance**0.5
    found = score(np.array([float(seen.lost)]), np.array([float(seen.gained)]), seen.rows, margin)
    assert found[0] == pytest.approx(expected, abs=1e-3)


@settings(max_examples=25)
@given(counts(80), st.sampled_from([0.005, 0.025]), st.sampled_from([0.0, 0.02, 0.1]))
def test_the_interval_says_what_the_tests_say(seen, error, margin):
    """A bound lies beyond the margin exactly where the test excludes it; all hold the estimate."""
    low, high = seen.interval(error, margin)
    assert -1 <= low <= seen.difference <= high <= 1
    assert (low > -margin) == (seen.p_safe(margin) <= error)
    assert (high < -margin) == (seen.p_worse(margin) <= error)


def test_many_rows_agree_with_the_normal_law():
    """With thousands of rows the exact interval is the textbook one to a part in twenty."""
    seen = Paired(4000, 120, 100)
    low, high = seen.interval(0.025)
    half = stats.norm.isf(0.025) * (220 - 20**2 / 4000) ** 0.5 / 4000
    assert seen.difference - low == pytest.approx(half, rel=0.05)
    assert high - seen.difference == pytest.approx(half, rel=0.05)


def test_one_row_bounds_next_to_nothing():
    """A single row that changed cannot exclude that the next thousand do not."""
    low, high = Paired(1, 1, 0).interval(0.025)
    assert low == -1.0
    assert high > 0.9


@pytest.mark.parametrize("held", [(0, 0, 0), (3, -1, 0), (3, 2, 2)])
def test_counts_that_cannot_be_are_refused(held):
    """More changed than there are, none at all, or a negative number."""
    with pytest.raises(InvalidValue, match="cannot have been"):
        Paired(*held)
