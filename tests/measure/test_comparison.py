"""Seeds, pairs and savings."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from perdure.errors import InvalidValue
from perdure.measure import Cost, Summary, paired_difference, savings, summarise

numbers = st.floats(-100, 100)
runs = st.lists(st.tuples(numbers, numbers), min_size=2, max_size=12)


# -- summaries -----------------------------------------------------------------------------------


def test_three_seeds_by_hand():
    """Mean 2 and sample deviation 1 of 1, 2, 3."""
    found = summarise([{"acc": 1.0}, {"acc": 2.0}, {"acc": 3.0}])
    assert found == {"acc": Summary(mean=2.0, std=1.0, count=3)}


@given(st.lists(numbers, min_size=2, max_size=10))
def test_summaries_agree_with_numpy(values):
    """Mean, and deviation with n - 1 in the denominator."""
    found = summarise([{"m": value} for value in values])["m"]
    assert found.mean == pytest.approx(np.mean(values), abs=1e-9)
    assert found.std == pytest.approx(np.std(values, ddof=1), abs=1e-9)


def test_a_summary_is_written_with_its_spread():
    """In the form asked for, both numbers alike; one seed has none."""
    summary = Summary(0.91234, 0.00456, 3)
    assert str(summary) == "0.9123 ± 0.0046"
    assert f"{summary:.1%}" == "91.2% ± 0.5%"
    assert str(Summary(0.5, None, 1)) == "0.5000"


def test_what_no_seed_measured_stays_unmeasured():
    """And is not a mean of nothing."""
    assert summarise([{"fwt": None}, {"fwt": None}]) == {"fwt": None}


def test_seeds_that_measured_different_things_are_refused():
    """Their means would be of different runs."""
    with pytest.raises(InvalidValue, match=r"'fwt' .* results \[1\]"):
        summarise([{"fwt": 0.1}, {"fwt": None}])
    with pytest.raises(InvalidValue, match=r"result 1 .* \['bwt'\]"):
        summarise([{"acc": 0.1}, {"acc": 0.1, "bwt": 0.0}])
    with pytest.raises(InvalidValue, match="nothing to summarise"):
        summarise([])


# -- pairs ---------------------------------------------------------------------------------------


@given(runs, st.floats(0.5, 0.99))
def test_the_t_interval_is_that_of_a_paired_t_test(pairs, confidence):
    """Against scipy's own test, where the differences vary at all."""
    a, b = zip(*pairs, strict=True)
    found = paired_difference(a, b, confidence)
    assert found.mean == pytest.approx(np.mean(np.subtract(a, b)), abs=1e-9)
    if np.std(np.subtract(a, b)) > 1e-6:
        expected = stats.ttest_rel(a, b).confidence_interval(confidence)
        assert (found.low, found.high) == pytest.approx(tuple(expected), rel=1e-6, abs=1e-9)


@given(runs)
def test_swapping_the_sides_turns_the_interval_over(pairs):
    """What a gains on b, b loses to a."""
    a, b = zip(*pairs, strict=True)
    there, back = paired_difference(a, b), paired_difference(b, a)
    mirrored = (-back.mean, -back.high, -back.low)
    assert (there.mean, there.low, there.high) == pytest.approx(mirrored, abs=1e-9)


@given(runs)
def test_the_bootstrap_stays_within_the_differences(pairs):
    """A resampled mean never leaves the range of what was sampled; the same seed repeats it."""
    a, b = zip(*pairs, strict=True)
    found = paired_difference(a, b, interval="bootstrap")
    gaps = np.subtract(a, b)
    assert gaps.min() - 1e-9 <= found.low <= found.high <= gaps.max() + 1e-9
    assert found == paired_difference(a, b, interval="bootstrap")


def test_both_intervals_agree_on_many_pairs():
    """With a hundred normal differences the two differ by little of their width."""
    a = np.random.default_rng(0).normal(1.0, 1.0, 100).tolist()
    t = paired_difference(a, [0.0] * 100)
    bootstrap = paired_difference(a, [0.0] * 100, interval="bootstrap")
    assert (bootstrap.low, bootstrap.high) == pytest.approx((t.low, t.high), abs=0.05)


def test_the_interval_covers_the_true_mean_as_often_as_it_says():
    """600 draws of 5 pairs at 90%: the count of covers is within 4 deviations of 540."""
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(600):
        a = rng.normal(0.3, 2.0, 5).tolist()
        found = paired_difference(a, [0.0] * 5, confidence=0.9)
        covered += found.low <= 0.3 <= found.high
    assert abs(covered - 540) < 4 * math.sqrt(600 * 0.9 * 0.1)


def test_pairing_decides_what_the_spread_over_seeds_hides():
    """Seeds that differ by 10 points and methods by 1: the paired interval leaves out zero."""
    a, b = [0.71, 0.81, 0.91], [0.70, 0.799, 0.901]
    assert paired_difference(a, b).decided
    assert not paired_difference(a, b[::-1]).decided


def test_one_pair_decides_nothing():
    """Its interval is not measured, and the print says so."""
    found = paired_difference([0.9], [0.1])
    assert (found.low, found.high, found.decided) == (None, None, False)
    assert str(found) == "+0.8000 (1 pair, no interval)"


def test_a_difference_is_written_with_its_interval():
    """Sign, ends, confidence and number of pairs."""
    found = paired_difference([1.0, 3.0], [0.0, 0.0], confidence=0.5)
    assert str(found) == "+2.0000 [+1.0000, +3.0000] (50%, 2 pairs)"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"a": [1.0], "b": []}, "1 and 0"),
        ({"a": [], "b": []}, "0 and 0"),
        ({"a": [1.0], "b": [1.0], "confidence": 1.0}, "confidence"),
        ({"a": [1.0], "b": [1.0], "interval": "normal"}, "'t' or 'bootstrap'"),
    ],
)
def test_pairs_that_cannot_be_compared_are_refused(arguments, says):
    """Unequal or empty sides, and settings that do not exist."""
    with pytest.raises(InvalidValue, match=says):
        paired_difference(**arguments)


# -- savings -------------------------------------------------------------------------------------

UPDATE = Cost(flops=200, flops_counted=50, seconds=2.0, rows=10)
SCRATCH = Cost(flops=9000, flops_counted=9000, seconds=30.0, rows=100)


def test_savings_stand_beside_the_accuracy_gap():
    """45 times fewer FLOPs, 2 points lost, and how much of it was counted."""
    found = savings(UPDATE, SCRATCH, accuracy=0.90, reference_accuracy=0.92)
    assert (found.flops, found.seconds, found.rows) == (45.0, 15.0, 10.0)
    assert found.accuracy_gap == pytest.approx(0.02)
    assert found.counted_share == 0.25
    assert str(found) == (
        "reference over method: FLOPs 45.00x, seconds 15.00x, rows 10.00x (25.0% FLOPs counted); "
        "accuracy gap +0.0200"
    )


def test_savings_without_a_gap_say_that_it_was_not_measured():
    """One without the other means nothing, so the print never leaves it out."""
    found = savings(UPDATE, SCRATCH, accuracy=None, reference_accuracy=0.92)
    assert found.accuracy_gap is None
    assert str(found).endswith("accuracy gap not measured")


def test_a_cost_that_was_not_measured_gives_no_ratio():
    """On either side."""
    for pair in ((Cost(), SCRATCH), (UPDATE, Cost())):
        found = savings(*pair, accuracy=0.9, reference_accuracy=0.9)
        assert (found.flops, found.seconds, found.rows) == (None, None, None)
    assert savings(Cost(), Cost(), 0.9, 0.9).counted_share is None
    assert "FLOPs not measured" in str(savings(Cost(), SCRATCH, 0.9, 0.9))
