"""The watch: a fold over outcomes and rows, whatever their batches."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.live import tiny

from perdure.errors import CheckpointMismatch, InvalidValue
from perdure.live.drift import ErrorDetector, FeatureDrift
from perdure.live.shift import ScenarioShift
from perdure.live.watch import Outcome, Sighting, Watch
from perdure.live.watch.scores import OTHER, Scores
from perdure.live.watch.state import from_text, to_text
from perdure.measure import Prequential


def test_rows_with_features_that_are_not_finite_are_passed_over():
    """A model may overflow on a row that the schema allows: the watch goes on with the others."""
    held, alone = watching(), watching()
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(400, 3)))
    x[200:] += 5
    rows = [Sighting(n, float(n), None, None, True) for n in range(400)]
    broken, bad = x.clone(), torch.arange(400) % 7 == 3
    broken[bad, 1] = torch.inf
    fit = [row for row, wrong in zip(rows, bad.tolist(), strict=True) if not wrong]
    found = held.see(rows, broken)
    assert found == alone.see(fit, x[~bad])
    assert [drift.detector for drift in found] == ["features"]


def watching(**said):
    """A watch with small windows."""
    return Watch(
        window=50,
        decay=0.9,
        versions=2,
        slices=4,
        features=FeatureDrift(ert=400, reference=80, window=40, block=4),
        shift=ScenarioShift(window=40),
        **said,
    )


def outcomes(seed, *parts, version=1):
    """Outcomes of which a share is wrong: (rows, share), ..."""
    rng = np.random.default_rng(seed)
    shares = [share for rows, share in parts for _ in range(rows)]
    return [
        Outcome(
            seq,
            version,
            int(rng.integers(3)) if rng.random() >= share else -1,
            0,
            float(rng.random()),
            served=True,
            at=float(seq),
            task=int(rng.integers(2)),
            source=str(rng.choice(["web", "app"])),
        )
        for seq, share in enumerate(shares, 1)
    ]


def right(outcome):
    """The same outcome with the right answer where there is one."""
    return outcome if outcome.predicted < 0 else replace(outcome, label=outcome.predicted)


def sightings(first, count, *, task=True):
    """Rows that version 1 answered."""
    return [Sighting(p, float(p), 1, 0.8, task) for p in range(first, first + count)]


def stream(seed, *parts):
    return [right(outcome) for outcome in outcomes(seed, *parts)]


def features(seed, rows, shift=0.0):
    return torch.randn(rows, 3, generator=torch.Generator().manual_seed(seed)) + shift


def test_each_version_is_scored_in_all_and_by_class_task_and_source():
    """As a prequential score of the very rows would."""
    held, watch = stream(0, (60, 0.3)), Watch(window=50, decay=0.9)
    watch.observe(held)
    scores = watch.scores[1]
    for name, chosen in {
        "class:1": [o for o in held if o.label == 1],
        "task:0": [o for o in held if o.task == 0],
        "source:web": [o for o in held if o.source == "web"],
    }.items():
        expected = Prequential(50, 0.9)
        answers = torch.tensor([o.predicted for o in chosen])
        expected.observe(answers, torch.tensor([o.label for o in chosen]))
        assert scores.slices[name].windowed() == expected.windowed()
        assert scores.slices[name].fading() == expected.fading()
    assert scores.overall.rows == 60
    assert scores.overall.hits == sum(o.predicted == o.label for o in held)


def test_slices_are_bounded_whatever_sources_call_themselves():
    """Four of their own, the rest together; every row is in one of them."""
    scores = Scores(slices=4)
    scores.observe([True] * 30, [0.5] * 30, [(f"source:{i}",) for i in range(30)])
    assert list(scores.slices) == ["source:0", "source:1", "source:2", "source:3", OTHER]
    assert sum(score.rows for score in scores.slices.values()) == 30


def test_a_row_counts_once_in_the_slice_of_all_others():
    """Also where two of its own names end there."""
    scores = Scores(slices=1)
    scores.observe([True], [0.5], [("class:0", "task:1", "source:web")])
    assert {"class:0": 1, OTHER: 1} == {n: score.rows for n, score in scores.slices.items()}


def test_only_the_versions_that_answered_last_have_scores():
    """Two of three."""
    watch = watching()
    for version in (1, 2, 1, 3):
        watch.observe([replace(one, version=version) for one in stream(0, (5, 0.5))])
    assert list(watch.scores) == [1, 3]
    assert watch.scores[1].overall.rows == 10


def test_a_rise_of_errors_is_one_drift_and_says_what_changed():
    """From 10% to 60% at example 1,001: one alarm, soon after, though two detectors listen."""
    found = watching().observe(stream(1, (1000, 0.1), (1000, 0.6)))
    assert len(found) == 1
    (drift,) = found
    assert drift.detector in ("adwin", "page-hinkley")
    assert 1000 < drift.seq < 1300
    assert drift.at == drift.seq
    assert drift.detail["error_before"] == pytest.approx(0.1, abs=0.05)
    assert drift.detail["error_since"] == pytest.approx(0.6, abs=0.2)
    assert drift.seq - drift.detail["rows_since"] == pytest.approx(1000, abs=100)


def test_a_fall_of_errors_is_no_drift_but_a_new_normal():
    """An update helps; when its gain is lost again, that is a drift."""
    found = watching().observe(stream(2, (1000, 0.6), (1000, 0.1), (1000, 0.6)))
    assert [2000 < drift.seq < 2300 for drift in found] == [True]


def test_the_errors_are_those_of_what_was_answered_whichever_version_it_was():
    """A worse version that takes over shows."""
    before, after = stream(3, (1000, 0.1)), stream(4, (1000, 0.6))
    watch = watching()
    assert watch.observe(before) == []
    worse = [replace(one, seq=one.seq + 1000, version=2) for one in after]
    assert [drift.detail["version"] for drift in watch.observe(worse)] == [2]


def test_inputs_that_shift_are_a_drift_without_labels():
    """With the position of the row and the example scored last."""
    watch = watching()
    assert watch.see(sightings(1, 200), features(0, 200), seq=7) == []
    (drift,) = watch.see(sightings(201, 40), features(1, 40, shift=2.0), seq=9)
    assert (drift.detector, drift.seq, drift.at) == ("features", 9, drift.detail["position"])
    assert 201 <= drift.detail["position"] <= 240
    assert drift.detail["statistic"] > drift.detail["threshold"]


def test_features_of_another_version_are_a_new_reference():
    """Of the same version they are not."""
    watch = watching()
    watch.encode_by(1)
    watch.see(sightings(1, 120), features(0, 120))
    watch.encode_by(1)
    assert watch.features.ready
    watch.encode_by(2)
    assert not watch.features.ready
    assert watch.see(sightings(101, 100), features(1, 100, shift=9.0)) == []


def test_requests_that_stop_carrying_task_ids_are_reported_once():
    """And again after they had come back."""
    watch = watching()
    found = []
    for first, task in ((1, True), (101, False), (201, True), (301, False)):
        found += watch.see(sightings(first, 100, task=task), features(0, 100))
    shifts = [drift for drift in found if drift.detector == "scenario"]
    assert [101 <= drift.at < 201 for drift in shifts] == [True, False]
    assert shifts[0].detail["without_task"] >= 0.2


def test_rows_that_nobody_asked_for_are_no_requests():
    """They count as inputs alone."""
    watch = watching()
    rows = [replace(one, version=None, confidence=None) for one in sightings(1, 100, task=False)]
    assert watch.see(rows, features(0, 100)) == []
    assert watch.shift.share() is None
    assert watch.scores == {}


def test_confidences_give_an_accuracy_before_labels_come():
    """Held to the labels of earlier rows."""
    watch = watching()
    rng = np.random.default_rng(0)
    held = [Outcome(i, 1, int(rng.random() < 0.6), 1, 0.9, served=True, at=0.0) for i in range(400)]
    watch.observe(held)
    watch.see([Sighting(1, 0.0, 1, 0.9)] * 40, features(0, 40))
    assert watch.scores[1].expected.estimate().accuracy == pytest.approx(0.6, abs=0.08)


@settings(max_examples=8)
@given(st.lists(st.integers(0, 900), max_size=4), st.booleans())
def test_a_watch_that_was_saved_goes_on_as_if_it_had_not_been(cuts, save):
    """At any cuts: the same drifts, and the same state to the last bit."""
    held = stream(5, (300, 0.1), (300, 0.7), (300, 0.2))
    held = [replace(one, version=1 + one.seq // 250) for one in held]
    rows, x = sightings(1, 900), torch.cat((features(0, 500), features(1, 400, shift=2.0)))
    whole = watching()
    expected = (whole.observe(held), whole.see(rows, x, 900))
    assert all(expected)
    parts, drifts, shifts = watching(), [], []
    places = [0, *sorted(cuts), 900]
    for first, last in pairwise(places):
        if save:
            resumed = watching()
            resumed.load_state_dict(from_text(to_text(parts.state_dict())))
            parts = resumed
        drifts += parts.observe(held[first:last])
    for first, last in pairwise(places):
        shifts += parts.see(rows[first:last], x[first:last], 900)
    assert (drifts, shifts) == expected
    assert tiny.digest(parts.state_dict()) == tiny.digest(whole.state_dict())


def test_the_state_is_bounded():
    """After ten times the rows it is no longer than it was."""
    sizes = []
    watch = watching(errors=[ErrorDetector("adwin", keep=100)])
    for seed in range(10):
        watch.observe(stream(seed, (500, 0.2)))
        watch.see(sightings(1, 500), features(seed, 500))
        sizes.append(len(to_text(watch.state_dict())))
    assert max(sizes[5:]) < 1.05 * max(sizes[:5])


def test_states_and_arguments_that_do_not_fit_are_refused():
    """Instead of scoring something else."""
    with pytest.raises(InvalidValue, match="as many features"):
        watching().see(sightings(1, 3), features(0, 2))
    with pytest.raises(InvalidValue, match="versions"):
        Watch(versions=0)
    with pytest.raises(CheckpointMismatch):
        Watch().load_state_dict(watching().state_dict())
    many = Scores(slices=8)
    many.observe([True] * 9, [0.5] * 9, [(str(i),) for i in range(9)])
    with pytest.raises(CheckpointMismatch, match="9 slices"):
        Scores(slices=4).load_state_dict(many.state_dict())
