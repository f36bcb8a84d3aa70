"""Many tests at once, and rows that resemble each other."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.live.gate.clusters import design_effect, shrunk
from perdure.live.gate.holm import holm
from perdure.live.gate.paired import Paired


def test_holm_by_hand():
    """Holm's own way: the smallest times m, the next times m - 1, and never below an earlier."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_the_closed_test_of_bonferroni(p_values):
    """By definition: a hypothesis falls if every set that it is in falls by its smallest p."""
    numbers = range(len(p_values))
    sets = [held for size in numbers for held in combinations(numbers, size + 1)]
    expected = [
        max(min(1.0, len(held) * min(p_values[i] for i in held)) for held in sets if one in held)
        for one in numbers
    ]
    assert holm(p_values) == pytest.approx(expected)


def test_holm_keeps_the_chance_of_any_false_alarm():
    """Forty true hypotheses: some p-value falls below 5% in nearly all runs, adjusted in 5%."""
    draws = np.random.default_rng(0).random((2000, 40))
    assert np.mean([min(line) <= 0.05 for line in draws]) > 0.8
    assert np.mean([min(holm(line.tolist())) <= 0.05 for line in draws]) < 0.065


def test_rows_of_their_own_subjects_count_in_full():
    """Without two rows of one subject there is nothing to correct."""
    change = np.random.default_rng(0).integers(-1, 2, 100)
    assert design_effect(change, np.arange(100)) == 1.0
    assert design_effect(change[:0], change[:0]) == 1.0
    assert design_effect(np.zeros(100, dtype=np.int64), np.arange(100) // 5) == 1.0


def test_ten_copies_of_each_row_count_once():
    """Subjects whose rows all change alike: the effect is their number of rows."""
    change = np.random.default_rng(0).choice([-1, 0, 1], 400, p=[0.1, 0.8, 0.1])
    effect = design_effect(np.repeat(change, 10), np.repeat(np.arange(400), 10))
    assert effect == pytest.approx(10, rel=0.01)
    assert shrunk(Paired(4000, 400, 300), 10.0) == Paired(400, 40, 30)


def test_correlated_rows_do_not_fool_the_test():
    """A loss of the margin in subjects of ten like rows: without the correction 5% becomes 30%."""
    rng = np.random.default_rng(0)
    naive, corrected = [], []
    subject = np.repeat(np.arange(60), 10)
    for _ in range(200):
        kind = rng.choice([-1, 0, 1], 60, p=[0.08, 0.86, 0.06])
        change = np.where(rng.random(600) < 0.9, np.repeat(kind, 10), 0)
        seen = Paired(600, int((change < 0).sum()), int((change > 0).sum()))
        naive.append(seen.p_safe(0.018) <= 0.05)
        corrected.append(shrunk(seen, design_effect(change, subject)).p_safe(0.018) <= 0.05)
    assert np.mean(naive) > 0.15
    assert np.mean(corrected) <= 0.07
