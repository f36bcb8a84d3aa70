"""The split: stable, uniform, by subject, and no two uses of it alike."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from perdure.live.splits import bucket, part, priority

NAMES = [f"name-{i}" for i in range(20_000)]


def test_the_numbers_never_change():
    """Rows that were held out stay held out by every later version of perdure."""
    assert [part(None, name, 0.5, 7) for name in "abcd"] == [
        "evaluation",
        "train",
        "evaluation",
        "train",
    ]
    assert [round(bucket(name, 7), 6) for name in "abcd"] == [
        0.240176,
        0.006609,
        0.993774,
        0.321173,
    ]
    assert round(priority(-5, 7), 6) == 0.156348


def test_another_process_agrees():
    """Python's own hash would not: it is salted anew in each process."""
    said = "from perdure.live.splits import bucket; print(repr(bucket('anna', 3)))"
    run = subprocess.run([sys.executable, "-c", said], capture_output=True, check=True, text=True)
    assert float(run.stdout) == bucket("anna", 3)


@given(st.text(), st.text(), st.text(), st.integers(0, 2**63 - 1))
def test_a_subject_is_on_one_side_with_all_rows(subject, a, b, salt):
    """Whatever the rows are called; without a subject the row's own id decides."""
    assert part(subject, a, 0.3, salt) == part(subject, b, 0.3, salt)
    assert part(None, subject, 0.3, salt) == part(subject, a, 0.3, salt)


@given(st.text(), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_holds_out_the_same_and_more(name, a, b):
    """Raising the share trains on nothing that was held out."""
    if part(None, name, min(a, b), 0) == "evaluation":
        assert part(None, name, max(a, b), 0) == "evaluation"


@pytest.mark.parametrize("salt", [0, 1, 2**62])
def test_numbers_are_uniform_and_shares_are_kept(salt):
    """A Kolmogorov-Smirnov test of 20,000 names; a fifth of them is held out."""
    assert stats.kstest([bucket(name, salt) for name in NAMES], "uniform").pvalue > 0.001
    assert stats.kstest([priority(i, salt) for i in range(20_000)], "uniform").pvalue > 0.001
    held_out = np.mean([part(None, name, 0.2, salt) == "evaluation" for name in NAMES])
    assert held_out == pytest.approx(0.2, abs=0.01)


def test_buckets_say_nothing_about_the_split():
    """A canary of 10% is 10% of the held-out subjects too; another salt draws another canary."""
    held_out = np.array([part(None, name, 0.2, 0) == "evaluation" for name in NAMES])
    canary, other = (np.array([bucket(name, salt) < 0.1 for name in NAMES]) for salt in (0, 1))
    assert canary[held_out].mean() == pytest.approx(0.1, abs=0.015)
    assert other[canary].mean() == pytest.approx(0.1, abs=0.025)
