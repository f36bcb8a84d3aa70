"""Split: each task has some of the classes."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from perdure.errors import Impossible, InvalidValue
from perdure.streams import Data, split
from perdure.streams.data import arrays

ORDER = [3, 1, 5, 0, 2, 4]


def labels(rows):
    return set(rows.labels().tolist())


@pytest.mark.parametrize("scenario", ["class", "free"])
def test_labels_stay_the_data_sets_own_where_the_label_space_grows(toy, scenario):
    """Classes 3 and 1 come first, as 3 and 1; the model needs all six outputs."""
    stream = split(toy(), 3, scenario, order=ORDER)
    assert [(3, 1), (5, 0), (2, 4)] == [task.classes for task in stream]
    assert [{3, 1}, {5, 0}, {2, 4}] == [labels(task.train) for task in stream]
    assert [{3, 1}, {5, 0}, {2, 4}] == [labels(task.test) for task in stream]
    assert 6 == stream.classes


@pytest.mark.parametrize("scenario", ["task", "domain"])
def test_labels_count_within_the_task_where_outputs_are_shared_or_apart(toy, scenario, ids):
    """The first class of each task in the given order is 0: class 3, then 5, then 2."""
    stream = split(toy(), 3, scenario, order=ORDER)
    assert 2 == stream.classes
    for task in stream:
        for part in (task.train, task.test):
            for batch in part:
                own = [row % 1000 % 6 for row in ids(batch)]
                assert [task.classes.index(c) for c in own] == batch.y.tolist()


@given(data=st.data())
def test_every_row_is_in_exactly_the_task_of_its_class(data):
    """For any labels, any order and any division into tasks."""
    order = data.draw(st.permutations(range(6)))
    cuts = sorted(data.draw(st.sets(st.integers(1, 5), max_size=3)))
    sizes = [b - a for a, b in zip([0, *cuts], [*cuts, 6], strict=True)]
    y = torch.tensor([*range(6), *data.draw(st.lists(st.integers(0, 5), max_size=20))])
    x = torch.arange(len(y))[:, None]
    stream = split(Data("any", x, y, x, y, tuple("abcdef")), sizes, order=order)
    drawn = [row for task in stream for batch in task.train for row in batch.x[:, 0].tolist()]
    assert list(range(len(y))) == sorted(drawn)
    for task, size in zip(stream, sizes, strict=True):
        assert size == len(task.classes)
        assert set(task.classes) == labels(task.train)


def test_inputs_are_shared_by_all_tasks(toy):
    """Splitting copies no image."""
    data = toy()
    assert all(task.train.x is data.train_x for task in split(data, 3))


def test_without_an_order_the_seed_shuffles_the_classes(toy):
    """Repeatably; each class once."""
    data = toy()

    def order(seed):
        return [c for task in split(data, 3, seed=seed) for c in task.classes]

    assert order(0) == order(0)
    assert 1 < len({tuple(order(seed)) for seed in range(5)})
    assert list(range(6)) == sorted(order(3))


def test_classes_left_out_of_the_order_are_in_no_task(toy):
    """The label space keeps the data set's size, since labels are its own."""
    stream = split(toy(), 2, order=[4, 1])
    assert [{4}, {1}] == [labels(task.train) for task in stream]
    assert 6 == stream.classes


def test_tasks_may_have_different_numbers_of_classes(toy):
    """As where half the classes come first; in `task`, the widest head counts."""
    assert [4, 1, 1] == [len(task.classes) for task in split(toy(), (4, 1, 1))]
    assert 4 == split(toy(), (4, 1, 1), "task").classes


def test_a_task_is_named_by_its_classes(toy):
    """And the stream by its data set, which may be given by name."""
    assert ["d+b", "f+a", "c+e"] == [task.name for task in split(toy(), 3, order=ORDER)]
    stream = split("digits", order=range(10))
    assert "split digits" == stream.name
    assert ["0+1", "2+3", "4+5", "6+7", "8+9"] == [task.name for task in stream]


@pytest.mark.parametrize("order", [[0, 0, 1, 2], [0, 6], [-1, 1]], ids=str)
def test_an_order_that_names_no_class_or_one_twice_is_refused(toy, order):
    """The message has the order and the range."""
    with pytest.raises(InvalidValue, match="0 to 5, each at most once"):
        split(toy(), 2, order=order)


@pytest.mark.parametrize("tasks", [4, 0, -2, (3, 2), (6, 0), ()], ids=str)
def test_tasks_that_do_not_divide_the_classes_are_refused(toy, tasks):
    """Rather than leaving some out unsaid."""
    with pytest.raises(InvalidValue, match="tasks"):
        split(toy(), tasks)


def test_shared_outputs_need_as_many_classes_in_each_task(toy):
    """In `domain` label 3 would mean nothing in a task of one class."""
    with pytest.raises(InvalidValue, match="'domain' shares the outputs"):
        split(toy(), (4, 1, 1), "domain")


def test_a_regression_has_no_classes_to_split():
    """Refused before anything is built."""
    with pytest.raises(Impossible, match="arrays is a regression"):
        split(arrays(torch.rand(10, 2), torch.rand(10)))
