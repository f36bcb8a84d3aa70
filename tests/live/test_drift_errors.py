"""River's detectors on errors, and a state that needs no pickle."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from river import drift

from perdure import checkpoint
from perdure.errors import CheckpointMismatch, InvalidValue
from perdure.live.drift import ErrorDetector

NAMES = ("adwin", "page-hinkley")


def stream(seed, *parts):
    """Errors at each rate for so many rows: (rows, rate), ..."""
    rng = np.random.default_rng(seed)
    return [rng.random() < rate for rows, rate in parts for _ in range(rows)]


def alarms(detector, errors):
    """Rows at which the alarm was given, with what changed."""
    found = ((row, detector.update(wrong)) for row, wrong in enumerate(errors))
    return [(row, change) for row, change in found if change is not None]


@pytest.mark.parametrize(
    ("name", "river"), [("adwin", drift.ADWIN), ("page-hinkley", drift.PageHinkley)]
)
def test_alarms_are_those_of_river(name, river):
    """Row for row, starting anew after each as River does."""
    errors = stream(0, (1500, 0.1), (1500, 0.5), (1500, 0.1))
    theirs, detector = [], river()
    for row, wrong in enumerate(errors):
        detector.update(float(wrong))
        if detector.drift_detected:
            theirs.append(row)
            detector = river()
    assert theirs
    assert [row for row, _ in alarms(ErrorDetector(name), errors)] == theirs


@pytest.mark.parametrize("name", NAMES)
def test_a_doubled_error_rate_is_found_and_placed(name):
    """From 10% to 20% at row 3,000: soon after, never before, and the change says since when."""
    for seed in range(3):
        (row, change), *_ = alarms(ErrorDetector(name), stream(seed, (3000, 0.1), (3000, 0.2)))
        assert 3000 < row < 4200
        assert change.rose
        assert row + 1 - change.rows == pytest.approx(3000, abs=400)
        assert change.before == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize("name", NAMES)
def test_a_steady_error_rate_gives_no_alarm(name):
    """20,000 rows at 10%, two anchors long."""
    assert alarms(ErrorDetector(name, keep=5000), stream(1, (20_000, 0.1))) == []


@pytest.mark.parametrize("name", NAMES)
def test_fewer_errors_are_a_change_that_did_not_rise(name):
    """An update that helps is noticed, and is no reason for another."""
    (_, change), *_ = alarms(ErrorDetector(name), stream(2, (2000, 0.5), (2000, 0.1)))
    assert not change.rose


@settings(max_examples=40)
@given(
    st.sampled_from(NAMES),
    st.integers(0, 1000),
    st.lists(st.integers(0, 1200), min_size=1, max_size=4),
    st.integers(100, 300),
)
def test_a_detector_that_was_saved_goes_on_as_if_it_had_not_been(name, seed, cuts, keep):
    """At any cuts, over drifts and over moves of the anchor: same alarms, same state."""
    errors = stream(seed, (400, 0.1), (400, 0.6), (400, 0.2))
    whole = ErrorDetector(name, keep)
    expected = alarms(whole, errors)
    paused, found = ErrorDetector(name, keep), []
    for first, last in zip([0, *sorted(cuts)], [*sorted(cuts), len(errors)], strict=True):
        resumed = ErrorDetector(name, keep)
        resumed.load_state_dict(paused.state_dict())
        paused = resumed
        found += [(first + row, change) for row, change in alarms(paused, errors[first:last])]
    assert found == expected
    ours, theirs = paused.state_dict(), whole.state_dict()
    assert torch.equal(ours.pop("wrong"), theirs.pop("wrong"))
    assert ours == theirs


def test_the_anchor_moves_so_that_the_state_is_bounded():
    """Never more than twice the rows kept, a bit each."""
    detector = ErrorDetector("adwin", keep=100)
    most = 0
    for wrong in stream(3, (1000, 0.1)):
        detector.update(wrong)
        most = max(most, detector.rows)
    assert most == 200
    assert len(detector.state_dict()["wrong"]) <= 25


def test_after_the_anchor_has_moved_it_is_a_detector_of_the_last_rows():
    """The same state as one that never saw the rows before them."""
    errors = stream(4, (201, 0.1))
    long, short = ErrorDetector("adwin", keep=100), ErrorDetector("adwin", keep=100)
    assert alarms(long, errors) == alarms(short, errors[-100:]) == []
    assert torch.equal(long.state_dict()["wrong"], short.state_dict()["wrong"])


def test_the_state_survives_a_file(tmp_path):
    """Tensors and plain values alone."""
    detector, resumed = ErrorDetector("adwin"), ErrorDetector("adwin")
    alarms(detector, stream(5, (77, 0.3)))
    checkpoint.save(tmp_path / "state", detector.state_dict())
    resumed.load_state_dict(checkpoint.load(tmp_path / "state"))
    assert resumed.rows == 77


def test_settings_reach_river():
    """A threshold so low that the first errors pass it."""
    nervous = ErrorDetector("page-hinkley", settings={"threshold": 1.0})
    calm = ErrorDetector("page-hinkley")
    errors = stream(6, (100, 0.1), (40, 0.9))
    assert alarms(nervous, errors)
    assert not alarms(calm, errors)


def test_wrong_names_and_states_are_refused():
    """With what there is."""
    with pytest.raises(InvalidValue, match="page-hinkley"):
        ErrorDetector("kswin")
    with pytest.raises(InvalidValue, match="keep"):
        ErrorDetector("adwin", keep=10)
    with pytest.raises(CheckpointMismatch, match="adwin"):
        ErrorDetector("page-hinkley").load_state_dict(ErrorDetector("adwin").state_dict())
    with pytest.raises(CheckpointMismatch, match="100"):
        ErrorDetector("adwin").load_state_dict(ErrorDetector("adwin", keep=100).state_dict())
