"""New instances and classes: a long stream of small batches."""

from collections import Counter
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.errors import Impossible, InvalidValue
from perdure.streams import Data, nic


def made(counts):
    """Data with so many training rows of each class, their number as the input."""
    y = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    names = tuple(f"c{label}" for label in range(len(counts)))
    test = torch.arange(len(counts))
    return Data(
        "made", torch.arange(len(y)).float()[:, None], y, test[:, None].float(), test, names
    )


@st.composite
def streams(draw):
    """Any data and arguments that fit together: data, batches, first, classes, seed."""
    counts = draw(st.lists(st.integers(1, 30), min_size=1, max_size=8))
    classes = draw(st.integers(1, 3))
    first = draw(st.integers(1, len(counts)))
    least = max(1, -(-(len(counts) - first) // classes))
    most = (sum(counts) - first) // classes
    if most < least:
        counts, most = [count + 3 * least for count in counts], least
    return (
        made(counts),
        draw(st.integers(least, most)) + 1,
        first,
        classes,
        draw(st.integers(0, 99)),
    )


def rows(task):
    """The numbers of a task's rows."""
    return [int(x) for batch in task.train for x in batch.x]


def arguments(case):
    data, batches, first, classes, seed = case
    return nic(data, batches, first, classes=classes, seed=seed)


@given(streams())
@settings(deadline=None)
def test_every_row_comes_exactly_once(case):
    """With its own label."""
    data, stream = case[0], arguments(case)
    came = [row for task in stream for row in rows(task)]
    assert list(range(len(data.train_y))) == sorted(came)
    for task in stream:
        assert data.train_y[rows(task)].tolist() == task.train.labels().tolist()


@given(streams())
@settings(deadline=None)
def test_batches_are_as_many_and_of_as_few_classes_as_asked_for(case):
    """The first has its classes exactly, later ones at most theirs; none is empty."""
    _, batches, first, classes, _ = case
    stream = arguments(case)
    assert batches == len(stream)
    assert first == len(set(stream.tasks[0].classes))
    for task in stream:
        assert set(task.classes) == set(task.train.labels().tolist())
        assert len(task.classes) <= (classes if task.id else first)


@given(streams())
@settings(deadline=None)
def test_a_seed_decides_everything(case):
    """The same batches again, row by row."""
    assert [rows(a) for a in arguments(case)] == [rows(b) for b in arguments(case)]


def test_another_seed_is_another_stream():
    """Other classes first, other rows together."""
    a, b = (nic(made([20] * 10), 50, seed=seed) for seed in (0, 1))
    assert [task.classes for task in a] != [task.classes for task in b]


def test_the_defaults_on_data_like_core50_are_its_protocol():
    """50 classes in 8 sessions: ten in the first batch, then 390 batches of one session each."""
    stream = nic(made([16] * 50))
    assert 391 == len(stream)
    assert 10 == len(stream.tasks[0].classes)
    assert {1} == {len(task.classes) for task in stream.tasks[1:]}
    assert {2} == {len(task.train) for task in stream.tasks[1:]}
    sessions = Counter(label for task in stream for label in task.classes)
    assert {8} == set(sessions.values())


def test_new_classes_come_in_evenly_over_two_thirds_of_the_stream():
    """40 of 50 classes over 260 of 390 batches: one in about 6.5, among batches of known ones."""
    seen, came_in = set(), []
    for task in nic(made([16] * 50)):
        came_in += [task.id for label in task.classes if label not in seen]
        seen |= set(task.classes)
    later = came_in[10:]
    assert 240 < later[-1] <= 260
    gaps = [after - before for before, after in pairwise(later)]
    assert {6, 7} == set(gaps)


def test_sessions_are_of_about_one_size_whatever_the_classes_are():
    """Classes of 40, 20 and 10 rows in 14 sessions get 8, 4 and 2 of them: five rows each."""
    stream = nic(made([40, 20, 10]), 14, 1)
    assert {5} == {len(task.train) for task in stream}
    assert Counter({0: 8, 1: 4, 2: 2}) == Counter(c for task in stream for c in task.classes)


def test_all_tasks_share_the_whole_test_set():
    """One object, so that it can be measured once."""
    stream = nic(made([9] * 4), 10)
    assert 1 == len({id(task.test) for task in stream})
    assert 4 == len(stream.tasks[0].test)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"batches": 1}, "batches are at least 2"),
        ({"batches": 9, "first": 7}, r"first in \[1, 6\]"),
        ({"batches": 9, "classes": 0}, "classes at least 1"),
        ({"batches": 4, "first": 1}, "4 sessions .* 6 classes"),
        ({"batches": 100}, "100 sessions .* 60 rows"),
    ],
)
def test_what_cannot_be_dealt_is_refused(toy, given, words):
    """Six classes of ten rows each."""
    with pytest.raises(InvalidValue, match=words):
        nic(toy(), **given)


def test_a_regression_has_no_classes_to_come_in():
    """Refused with the wish in words."""
    data = Data("r", torch.zeros(4, 1), torch.zeros(4), torch.zeros(2, 1), torch.zeros(2))
    with pytest.raises(Impossible, match="new instances and classes needs class labels"):
        nic(data)


def test_later_batches_of_several_classes_mix_new_and_old_ones():
    """Three sessions a batch: some batches bring a new class beside ones that are known."""
    seen, mixed = set(), 0
    for task in nic(made([60] * 10), 60, 2, classes=3):
        new = set(task.classes) - seen
        mixed += bool(new) and bool(set(task.classes) & seen)
        seen |= set(task.classes)
    assert mixed >= 5


def test_a_class_comes_again_long_after_it_came_first():
    """New instances: every class has rows in the last third of a long stream."""
    tasks = nic(made([40] * 5), 151, 1).tasks
    assert {0, 1, 2, 3, 4} == {label for task in tasks[100:] for label in task.classes}


def test_a_class_without_rows_never_comes():
    """It is no reason to refuse the others."""
    data = made([5, 5])
    data = Data("gap", data.train_x, data.train_y * 2, data.test_x, data.test_y, ("a", "b", "c"))
    stream = nic(data, 6, 1)
    assert {0, 2} == {label for task in stream for label in task.classes}
    assert 3 == stream.classes


def test_the_stream_is_of_the_scenario_class_with_the_batch_for_a_task():
    """Training rows carry the number of their batch, test rows carry none."""
    stream = nic(made([9] * 4), 10)
    assert "class" == stream.scenario
    for task in stream:
        for batch in task.train:
            assert {task.id} == set(batch.task.tolist())
    assert next(iter(stream.tasks[0].test)).task is None


@given(streams())
@settings(deadline=None, max_examples=20)
def test_rows_held_out_are_never_those_to_learn_from(case):
    """Each batch gives up its share, so that settings are chosen without the test rows."""
    stream = arguments(case).holdout(0.3)
    kept = [row for task in stream for row in rows(task)]
    held = [int(x) for task in stream for batch in task.valid for x in batch.x]
    assert not set(kept) & set(held)
    assert list(range(len(case[0].train_y))) == sorted(kept + held)


@given(streams())
@settings(deadline=None, max_examples=30)
def test_classes_are_known_before_they_come_again(case):
    """The first batch's classes are the first of the order; each later one comes in once."""
    data, stream = case[0], arguments(case)
    seen, firsts = set(), []
    for task in stream:
        firsts += [label for label in task.classes if label not in seen]
        seen |= set(task.classes)
    assert sorted(firsts) == sorted(set(data.train_y.tolist()))
    assert list(stream.tasks[0].classes) == firsts[: len(stream.tasks[0].classes)]


@given(streams())
@settings(deadline=None, max_examples=30)
def test_sessions_of_one_class_differ_by_a_row_at_most(case):
    """Each class's rows are dealt evenly, whatever the others have."""
    data, _, _, classes, _ = case
    sizes = {}
    for task in arguments(case):
        counts = Counter(task.train.labels().tolist())
        if len(counts) == len(task.classes) and (task.id == 0 or classes == 1):
            for label, count in counts.items():
                sizes.setdefault(label, set()).add(count)
    assert all(max(held) - min(held) <= 1 for held in sizes.values())
    assert set(sizes) <= set(data.train_y.tolist())


def test_a_fifth_of_the_classes_comes_first_and_never_none():
    """Ten of fifty, two of ten, one of two."""
    for count, first in ((50, 10), (10, 2), (2, 1)):
        stream = nic(made([8] * count), 4 * count)
        assert first == len(stream.tasks[0].classes)


def test_a_class_of_one_row_has_one_session():
    """It is not refused for being rare, and comes once."""
    stream = nic(made([60, 1, 60]), 20, 1)
    assert 1 == Counter(label for task in stream for label in task.classes)[1]
