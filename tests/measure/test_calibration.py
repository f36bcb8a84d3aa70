"""Calibration: confidence beside accuracy."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from perdure.errors import InvalidValue
from perdure.measure import (
    brier_score,
    expected_calibration_error,
    negative_log_likelihood,
    reliability,
)


@st.composite
def answers(draw):
    """Probabilities (n, k) and labels (n,)."""
    rows, classes = draw(st.integers(1, 20)), draw(st.integers(2, 5))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    logits = torch.randn(rows, classes, generator=generator, dtype=torch.float64) * 3
    return logits.softmax(1), torch.randint(classes, (rows,), generator=generator)


def ece_by_loops(p, y, bins):
    total = 0.0
    for b in range(bins):
        held = [
            (max(row), float(np.argmax(row) == label))
            for row, label in zip(p, y, strict=True)
            if b / bins < max(row) <= (b + 1) / bins
        ]
        if held:
            total += abs(sum(c for c, _ in held) - sum(a for _, a in held))
    return total / len(y)


def test_four_rows_by_hand():
    """Two rows at .8, one right; two at .6, both right: ECE = (2 * .3 + 2 * .4) / 4."""
    p = torch.tensor([[0.8, 0.2], [0.8, 0.2], [0.4, 0.6], [0.4, 0.6]])
    y = torch.tensor([0, 1, 1, 1])
    assert expected_calibration_error(p, y, bins=10) == pytest.approx(0.35)
    assert brier_score(p, y) == pytest.approx((0.08 + 1.28 + 0.32 + 0.32) / 4)
    logs = math.log(0.8) + math.log(0.2) + 2 * math.log(0.6)
    assert negative_log_likelihood(p, y) == pytest.approx(-logs / 4)


@given(answers(), st.integers(1, 20))
def test_measures_agree_with_numpy(rows, bins):
    """Against loops and indexing written a second time."""
    p, y = rows
    P, Y = p.numpy(), y.numpy()
    assert expected_calibration_error(p, y, bins) == pytest.approx(ece_by_loops(P, Y, bins))
    assert brier_score(p, y) == pytest.approx(((P - np.eye(P.shape[1])[Y]) ** 2).sum(1).mean())
    assert negative_log_likelihood(p, y) == pytest.approx(-np.log(P[range(len(Y)), Y]).mean())


@given(answers())
def test_measures_stay_within_their_bounds(rows):
    """ECE in [0, 1], Brier in [0, 2], negative log-likelihood at least 0."""
    p, y = rows
    assert 0 <= expected_calibration_error(p, y) <= 1
    assert 0 <= brier_score(p, y) <= 2
    assert negative_log_likelihood(p, y) >= 0


@given(answers())
def test_order_of_rows_does_not_matter(rows):
    """Each is a mean over rows."""
    p, y = rows
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    for measure in (expected_calibration_error, brier_score, negative_log_likelihood):
        assert measure(p[order], y[order]) == pytest.approx(measure(p, y))


@given(answers())
def test_every_row_falls_in_one_bin(rows):
    """A bin without rows has no confidence rather than zero."""
    p, y = rows
    bins = reliability(p, y, bins=4)
    assert sum(b.rows for b in bins) == len(y)
    assert all((b.rows == 0) == (b.confidence is None) == (b.accuracy is None) for b in bins)
    assert all(b.confidence is None or b.low < b.confidence <= b.high + 1e-12 for b in bins)


def test_a_model_that_is_sure_and_right_is_perfect():
    """And one that is sure and wrong has every measure at its worst."""
    p, y = torch.eye(3), torch.arange(3)
    assert expected_calibration_error(p, y) == 0
    assert brier_score(p, y) == 0
    assert negative_log_likelihood(p, y) == 0
    wrong = y.roll(1)
    assert expected_calibration_error(p, wrong) == 1
    assert brier_score(p, wrong) == 2
    assert negative_log_likelihood(p, wrong) == math.inf


def test_no_rows_give_no_measure():
    """None is "not measured"."""
    p, y = torch.zeros(0, 3), torch.zeros(0, dtype=torch.long)
    for measure in (expected_calibration_error, brier_score, negative_log_likelihood):
        assert measure(p, y) is None


@pytest.mark.parametrize(
    ("p", "y", "says"),
    [
        (torch.tensor([[2.0, -1.0]]), torch.tensor([0]), "softmax"),
        (torch.tensor([[0.9, 0.9]]), torch.tensor([0]), "softmax"),
        (torch.tensor([[math.nan, 1.0]]), torch.tensor([0]), "softmax"),
        (torch.tensor([[0.5, 0.5]]), torch.tensor([2]), "2 classes"),
        (torch.tensor([[0.5, 0.5]]), torch.tensor([-1]), "2 classes"),
        (torch.tensor([0.5, 0.5]), torch.tensor([0, 1]), r"\(n, classes\)"),
        (torch.tensor([[0.5, 0.5]]), torch.tensor([0, 1]), r"\(n, classes\)"),
    ],
)
def test_what_is_no_probability_is_refused(p, y, says):
    """Logits, sums other than one, NaN, unknown labels and shapes that do not fit."""
    with pytest.raises(InvalidValue, match=says):
        brier_score(p, y)


def test_a_diagram_without_bins_is_refused():
    """At least one."""
    with pytest.raises(InvalidValue, match="bins is 0"):
        reliability(torch.eye(2), torch.arange(2), bins=0)
