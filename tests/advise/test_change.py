"""Classes that arrive late and columns that shift, told from chance."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import permutations
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.stats import hypergeom, ks_2samp

from perdure.advise.change import LEVEL, ROWS, SIZE, Arrival, arrivals, beyond_chance, shifts

LABELS = arrays.arrays(np.int64, st.integers(1, 40), elements=st.integers(0, 4))


# -- arrivals --------------------------------------------------------------------------------------


def test_the_chance_of_a_late_class_is_counted_over_all_orders() -> None:
    """Against the 120 orders of five rows, of which two have the class."""
    labels = np.array([0, 0, 1, 0, 1])
    (_, late) = arrivals(labels)
    orders = [order.index(1) for order in permutations(labels.tolist())]
    expected = Fraction(sum(first >= 2 for first in orders), len(orders))
    assert (1, 2, 2) == (late.label, late.rows, late.first)
    assert late.chance == pytest.approx(float(expected))


@given(LABELS)
def test_the_chance_is_hypergeometric(labels) -> None:
    """No row of the class among the first ones drawn."""
    for found in arrivals(labels):
        n = len(labels)
        assert found.chance == pytest.approx(
            comb(n - found.first, found.rows) / comb(n, found.rows)
        )
        assert found.chance == pytest.approx(hypergeom(n, found.rows, found.first).pmf(0))


@given(LABELS)
def test_every_class_arrives_once_where_it_first_stands(labels) -> None:
    """With as many rows as it has; the first row's class is there from the start."""
    found = {one.label: one for one in arrivals(labels)}
    assert Counter(labels.tolist()) == {label: one.rows for label, one in found.items()}
    assert all(labels.tolist().index(label) == one.first for label, one in found.items())
    assert found[int(labels[0])].chance == pytest.approx(1)


def test_classes_one_after_another_are_found_and_shuffled_ones_are_not() -> None:
    """From the third of ten on, beyond doubt; and hardly any in 200 shuffles of the same rows."""
    labels = np.repeat(np.arange(10), 50)
    assert set(range(2, 10)) == {one.label for one in beyond_chance(arrivals(labels))}
    rng = np.random.default_rng(0)
    false = [beyond_chance(arrivals(rng.permutation(labels))) for _ in range(200)]
    assert sum(map(bool, false)) <= 3  # at most 0.2 are expected


def test_a_rare_class_that_happens_to_come_late_is_not_taken_for_a_new_one() -> None:
    """One row in a hundred comes after the 90th row with chance one tenth."""
    labels = np.zeros(100, dtype=int)
    labels[90] = 1
    assert [] == beyond_chance(arrivals(labels))


def test_a_million_rows_do_not_overflow() -> None:
    """The chance is zero at double precision, and finite."""
    labels = np.repeat([0, 1], 500_000)
    assert 0.0 == arrivals(labels)[1].chance


# -- Holm ------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 1), max_size=12))
def test_what_is_beyond_chance_follows_holms_procedure(chances: list[float]) -> None:
    """Against adjusted values: the running maximum of (m - i) p_(i), below the level."""
    found = [Arrival(i, 1, 0, chance) for i, chance in enumerate(chances)]
    adjusted, highest = set(), 0.0
    for place, one in enumerate(sorted(found, key=lambda one: one.chance)):
        highest = max(highest, (len(chances) - place) * one.chance)
        adjusted |= {one.label} if highest < LEVEL else set()
    assert adjusted == {one.label for one in beyond_chance(found)}


def test_of_many_looks_one_lucky_one_is_not_evidence() -> None:
    """Half the level is evidence alone, not among 100."""
    alone = [Arrival(0, 1, 0, LEVEL / 2)]
    assert alone == beyond_chance(alone)
    assert [] == beyond_chance([*alone, *(Arrival(i, 1, 0, 0.5) for i in range(1, 100))])


# -- shifts ----------------------------------------------------------------------------------------


def halves(n: int) -> dict[str, np.ndarray]:
    return {"later": np.arange(n) >= n / 2}


def test_a_shift_of_numbers_is_the_kolmogorov_smirnov_distance() -> None:
    """With one class and equal halves every row is compared, so the order of draws is no matter."""
    rng = np.random.default_rng(1)
    x = np.concatenate((rng.normal(0, 1, 300), rng.normal(1, 1, 300)))
    (found,) = shifts({"x": x}, np.zeros(600), halves(600))
    expected = ks_2samp(x[:300], x[300:], method="asymp")
    assert ("x", "later") == (found.column, found.where)
    assert found.size == pytest.approx(expected.statistic)
    assert found.chance == pytest.approx(expected.pvalue)


def test_a_shift_of_categories_is_the_total_variation() -> None:
    """Shares 3/4, 1/4 against 1/4, 3/4: half of |1/2| + |1/2|."""
    x = np.array(["a"] * 300 + ["b"] * 100 + ["a"] * 100 + ["b"] * 300)
    (found,) = shifts({"x": x}, np.zeros(800), halves(800))
    assert found.size == pytest.approx(0.5)
    assert found.chance < LEVEL


def test_another_mixture_of_classes_is_no_shift_of_inputs() -> None:
    """The input follows the class alone, and the later half has more of one class."""
    rng = np.random.default_rng(2)
    labels = np.concatenate((rng.random(2000) < 0.2, rng.random(2000) < 0.8)).astype(int)
    x = labels * 3 + rng.normal(size=4000)
    (found,) = shifts({"x": x}, labels, halves(4000))
    assert found.size < SIZE
    assert ks_2samp(x[:2000], x[2000:]).statistic > 0.4


def test_inputs_that_move_within_their_class_are_found_beside_it() -> None:
    """The same mixture of classes, and one of two columns moves."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 3, 3000)
    columns = {
        "still": rng.normal(size=3000),
        "moving": rng.normal(size=3000) + (np.arange(3000) >= 1500),
    }
    found = beyond_chance(shifts(columns, labels, halves(3000)))
    assert ["moving"] == [one.column for one in found]


def test_rows_of_one_kind_are_found_to_differ_hardly_ever() -> None:
    """In 40 data sets of 5 columns without any change: no finding."""
    rng = np.random.default_rng(4)
    for _ in range(40):
        columns = {str(i): rng.normal(size=400) for i in range(5)}
        assert [] == beyond_chance(shifts(columns, rng.integers(0, 2, 400), halves(400)))


def test_without_a_class_on_both_sides_nothing_is_compared() -> None:
    """A new class cannot have shifted."""
    labels = np.repeat([0, 1], 50)
    assert [] == shifts({"x": np.arange(100.0)}, labels, halves(100))


@pytest.mark.parametrize(
    "column",
    [np.full(100, 2.0), np.full(100, np.nan), np.array(["same"] * 100)],
    ids=["constant", "missing", "one category"],
)
def test_a_column_with_nothing_to_compare_is_left_out(column) -> None:
    """No warning, no distance of zero that would count as a look."""
    assert [] == shifts({"x": column}, np.zeros(100), halves(100))


def test_missing_numbers_are_passed_over() -> None:
    """The others are compared."""
    x = np.arange(400.0) % 7
    x[::5] = np.nan
    (found,) = shifts({"x": x}, np.zeros(400), halves(400))
    assert np.isfinite(found.size)


def test_flags_and_whole_numbers_are_numbers() -> None:
    """Booleans too."""
    x = np.arange(200) >= 100
    (found,) = shifts({"x": x}, np.zeros(200), halves(200))
    assert found.size == pytest.approx(1)


def test_large_samples_are_thinned() -> None:
    """At most ROWS a side, so that a million rows cost no more than a few thousand."""
    n = 10 * ROWS
    x = np.arange(float(n))
    (found,) = shifts({"x": x}, np.zeros(n), halves(n))
    assert found.chance >= ks_2samp(np.zeros(ROWS), np.ones(ROWS), method="asymp").pvalue


def test_the_draw_is_repeatable() -> None:
    """The same seed, the same findings."""
    rng = np.random.default_rng(5)
    x, labels = rng.normal(size=500), rng.integers(0, 3, 500)
    groups = {"first third": np.arange(500) < 167}
    assert shifts({"x": x}, labels, groups) == shifts({"x": x}, labels, groups)
