"""Accuracy from confidences alone."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.live import tiny

from perdure.errors import CheckpointMismatch, InvalidValue
from perdure.live.drift import Estimate, ExpectedAccuracy

confidences = st.lists(st.floats(0, 1), min_size=1, max_size=30)


def taught(rng, rows, right, **settings):
    """One that has seen labelled answers; `right(c)` is the chance that confidence c is right."""
    expected = ExpectedAccuracy(**settings)
    for _ in range(rows):
        confidence = rng.uniform(0.3, 0.999)
        expected.calibrate(confidence, rng.random() < right(confidence))
    return expected


def test_nothing_is_expected_before_the_first_answer():
    """Labelled rows alone are no answers to speak of."""
    assert taught(np.random.default_rng(0), 10, lambda c: c).estimate() is None


@given(confidences)
def test_before_any_label_confidences_are_taken_at_their_word(given_):
    """The mean of them."""
    expected = ExpectedAccuracy()
    for confidence in given_:
        expected.observe(confidence)
    estimate = expected.estimate()
    assert estimate.accuracy == pytest.approx(sum(given_) / len(given_))
    assert estimate.rows == len(given_)


def test_one_bin_by_hand():
    """Two of three right at 0.9: p = (2 + 0.9) / (3 + 1)."""
    expected = ExpectedAccuracy(decay=1.0)
    for hit in (True, True, False):
        expected.calibrate(0.9, hit)
    expected.observe(0.9)
    p = 2.9 / 4
    assert expected.estimate() == Estimate(pytest.approx(p), pytest.approx((p * (1 - p)) ** 0.5), 1)


@pytest.mark.parametrize(
    "right",
    [lambda c: c, lambda c: c**3, lambda c: 0.5 + c / 2],
    ids=["honest", "too sure", "too modest"],
)
def test_the_estimate_finds_the_accuracy_of_other_inputs(right):
    """Labels where confidences are spread out, then answers that are mostly unsure: no labels."""
    rng = np.random.default_rng(1)
    expected = taught(rng, 4000, right)
    hits = 0
    for _ in range(1000):
        confidence = rng.uniform(0.3, 0.6)
        expected.observe(confidence)
        hits += rng.random() < right(confidence)
    estimate = expected.estimate()
    assert estimate.accuracy == pytest.approx(hits / 1000, abs=0.05)
    assert abs(estimate.accuracy - hits / 1000) < 4 * estimate.error


def test_overconfidence_is_seen_through():
    """A model that says 0.99 and is right three times of four."""
    rng = np.random.default_rng(2)
    expected = ExpectedAccuracy()
    for _ in range(2000):
        expected.calibrate(0.99, rng.random() < 0.75)
    expected.observe(0.99)
    assert expected.estimate().accuracy == pytest.approx(0.75, abs=0.04)


def test_only_the_last_answers_count():
    """A window of two."""
    expected = ExpectedAccuracy(window=2)
    for confidence in (0.1, 0.8, 0.6):
        expected.observe(confidence)
    assert expected.estimate().accuracy == pytest.approx(0.7)
    assert expected.estimate().rows == 2


def test_old_labels_fade():
    """A model that has become worse is not judged by what it was."""
    expected = ExpectedAccuracy(decay=0.9)
    for hit in [True] * 500 + [False] * 100:
        expected.calibrate(0.9, hit)
    expected.observe(0.9)
    assert expected.estimate().accuracy < 0.15


@given(confidences, confidences, st.integers(1, 40))
def test_a_saved_estimate_goes_on_bit_for_bit(before, after, window):
    """Calibration and answers both."""
    whole, resumed = ExpectedAccuracy(window), ExpectedAccuracy(window)
    for confidence in before:
        whole.calibrate(confidence, confidence > 0.5)
        whole.observe(confidence)
    resumed.load_state_dict(whole.state_dict())
    for one in (whole, resumed):
        for confidence in after:
            one.calibrate(confidence, confidence < 0.5)
            one.observe(confidence)
    assert whole.estimate() == resumed.estimate()
    assert tiny.digest(whole.state_dict()) == tiny.digest(resumed.state_dict())


def test_what_is_no_confidence_is_refused():
    """And so is a window of none, and a state of another window."""
    with pytest.raises(InvalidValue, match="confidence"):
        ExpectedAccuracy().observe(1.5)
    with pytest.raises(InvalidValue, match="confidence"):
        ExpectedAccuracy().calibrate(float("nan"), True)
    with pytest.raises(InvalidValue, match="window"):
        ExpectedAccuracy(window=0)
    with pytest.raises(CheckpointMismatch, match="window=3"):
        ExpectedAccuracy(window=2).load_state_dict(ExpectedAccuracy(window=3).state_dict())


def test_the_state_is_bounded():
    """By the window and the bins."""
    expected = ExpectedAccuracy(window=5)
    for _ in range(100):
        expected.observe(0.5)
        expected.calibrate(0.5, True)
    tensors = [held for held in expected.state_dict().values() if isinstance(held, torch.Tensor)]
    assert sum(map(len, tensors)) == 5 + 2 * 20
