"""Test-then-train accuracy, since the start, in a window and fading."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from perdure import checkpoint
from perdure.errors import CheckpointMismatch, InvalidValue
from perdure.measure import Prequential, SlicedPrequential

hits = st.lists(st.booleans(), min_size=1, max_size=60)


def feed(score, answers):
    """Score rows whose label is 1 and whose prediction is 1 where the answer was right."""
    predicted = torch.tensor(answers, dtype=torch.int64).reshape(-1)
    score.observe(predicted, torch.ones_like(predicted))


def views(score):
    return score.accuracy(), score.windowed(), score.fading()


def test_nothing_is_measured_before_the_first_row():
    """Neither by an empty batch."""
    score = Prequential()
    feed(score, [])
    assert views(score) == (None, None, None)


def test_four_rows_by_hand():
    """Right, right, wrong, right: 3/4, 1/2 in a window of two, and the faded fraction."""
    score = Prequential(window=2, decay=0.5)
    feed(score, [True, True, False, True])
    assert score.accuracy() == 0.75
    assert score.windowed() == 0.5
    assert score.fading() == (1 + 0 / 2 + 1 / 4 + 1 / 8) / (1 + 1 / 2 + 1 / 4 + 1 / 8)


@given(hits, st.integers(1, 70), st.floats(0.01, 1))
def test_views_agree_with_sums_over_the_whole_history(answers, window, decay):
    """The recursions hold what a list of all rows would give."""
    score = Prequential(window, decay)
    feed(score, answers)
    tail = answers[-window:]
    weights = [decay**age for age in reversed(range(len(answers)))]
    faded = math.fsum(w * a for w, a in zip(weights, answers, strict=True)) / math.fsum(weights)
    assert score.accuracy() == sum(answers) / len(answers)
    assert score.windowed() == sum(tail) / len(tail)
    assert score.fading() == pytest.approx(faded)


@given(hits)
def test_without_decay_fading_is_the_plain_mean(answers):
    """A factor of one forgets nothing."""
    score = Prequential(decay=1.0)
    feed(score, answers)
    assert score.fading() == score.accuracy()


@given(hits, st.integers(0, 60))
def test_batching_changes_nothing_to_the_last_bit(answers, cut):
    """One batch, two batches or single rows."""
    whole, halves, singly = (Prequential(7, 0.9) for _ in range(3))
    feed(whole, answers)
    feed(halves, answers[:cut])
    feed(halves, answers[cut:])
    for answer in answers:
        feed(singly, [answer])
    assert views(whole) == views(halves) == views(singly)


@given(hits, hits, st.integers(1, 20))
def test_a_saved_score_goes_on_bit_for_bit(before, after, window):
    """Also through a window that has not filled up."""
    score, resumed = Prequential(window, 0.97), Prequential(window, 0.97)
    feed(score, before)
    resumed.load_state_dict(score.state_dict())
    feed(score, after)
    feed(resumed, after)
    assert views(resumed) == views(score)
    assert resumed.rows == len(before) + len(after)


def test_the_state_survives_a_file_of_tensors_and_plain_values(tmp_path):
    """As the state of every part of a learner does."""
    score, resumed = (SlicedPrequential(window=3) for _ in range(2))
    score.observe(torch.tensor([1, 0, 1]), torch.tensor([1, 1, 1]), ["a", "b", "a"])
    checkpoint.save(tmp_path / "score", score.state_dict())
    resumed.load_state_dict(checkpoint.load(tmp_path / "score"))
    assert views(resumed.overall) == views(score.overall)
    assert {n: views(s) for n, s in resumed.slices.items()} == {"a": (1, 1, 1), "b": (0, 0, 0)}


def test_the_state_is_bounded_by_the_window():
    """However long the stream."""
    score = Prequential(window=10)
    feed(score, [True] * 500)
    assert len(score.state_dict()["recent"]) == 10


def test_a_change_shows_in_the_window_before_the_overall_mean():
    """After a drift from always right to always wrong, the recent views fall and the mean lags."""
    score = Prequential(window=20, decay=0.9)
    feed(score, [True] * 200 + [False] * 20)
    assert score.windowed() == 0
    assert score.fading() < 0.2
    assert score.accuracy() > 0.9


def test_each_slice_is_scored_apart():
    """And all rows together in `overall`."""
    score = SlicedPrequential()
    score.observe(torch.tensor([1, 2, 3, 4]), torch.tensor([1, 2, 0, 4]), ["n", "s", "s", "n"])
    assert score.overall.accuracy() == 0.75
    assert {name: s.accuracy() for name, s in score.slices.items()} == {"n": 1.0, "s": 0.5}


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abc")), min_size=1, max_size=40))
def test_slices_partition_the_rows(rows):
    """Each slice scores what a score of its rows alone would, and hits add up."""
    score = SlicedPrequential(window=5, decay=0.8)
    predicted = torch.tensor([int(hit) for hit, _ in rows])
    score.observe(predicted, torch.ones_like(predicted), [name for _, name in rows])
    for name, part in score.slices.items():
        alone = Prequential(window=5, decay=0.8)
        feed(alone, [hit for hit, held in rows if held == name])
        assert views(part) == views(alone)
    assert sum(part.hits for part in score.slices.values()) == score.overall.hits


def test_ids_in_place_of_slices_are_refused_before_anything_is_scored():
    """Memory is bounded by the number of slices."""
    score = SlicedPrequential(capacity=2)
    with pytest.raises(InvalidValue, match="not an id"):
        score.observe(torch.zeros(3), torch.zeros(3), ["u1", "u2", "u3"])
    assert score.overall.rows == 0
    assert score.slices == {}


@pytest.mark.parametrize("arguments", [{"window": 0}, {"decay": 0.0}, {"decay": 1.1}])
def test_settings_out_of_range_are_refused(arguments):
    """A window of no rows, a decay that keeps nothing or amplifies."""
    with pytest.raises(InvalidValue, match="must lie in"):
        Prequential(**arguments)


def test_no_slices_at_all_are_refused():
    """A capacity below one could score nothing."""
    with pytest.raises(InvalidValue, match="capacity"):
        SlicedPrequential(capacity=0)


def test_outputs_in_place_of_labels_are_refused():
    """With the call that makes labels of them."""
    with pytest.raises(InvalidValue, match=r"argmax\(1\)"):
        Prequential().observe(torch.zeros(3, 2), torch.zeros(3))
    with pytest.raises(InvalidValue, match="as many slice names"):
        SlicedPrequential().observe(torch.zeros(3), torch.zeros(3), ["a"])


def test_a_state_of_other_settings_is_refused():
    """A window cut short would be another measure under the same name."""
    with pytest.raises(CheckpointMismatch, match="window=5"):
        Prequential(window=4).load_state_dict(Prequential(window=5).state_dict())
    with pytest.raises(CheckpointMismatch, match="expects state"):
        Prequential().load_state_dict({"rows": 1})
    two = SlicedPrequential()
    two.observe(torch.zeros(2), torch.zeros(2), ["a", "b"])
    with pytest.raises(CheckpointMismatch, match="capacity is 1"):
        SlicedPrequential(capacity=1).load_state_dict(two.state_dict())
