"""Permuted: each task shuffles the pixels in its own fixed way."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from perdure.errors import Impossible, InvalidValue
from perdure.streams import Data, permuted
from perdure.streams.data import arrays
from perdure.streams.permuted import Permutation


def shown(task):
    return next(iter(task.train)).x


def test_the_first_task_shows_the_rows_as_they_are(toy):
    """The others show the same rows with every pixel elsewhere or in place, none lost."""
    data = toy()
    stream = permuted(data, 4)
    assert torch.equal(data.train_x, shown(stream.tasks[0]))
    for task in stream.tasks[1:]:
        assert not torch.equal(data.train_x, shown(task))
        assert torch.equal(*(x.flatten(1).sort().values for x in (data.train_x, shown(task))))


def test_a_task_permutes_every_row_alike_in_training_and_test(toy):
    """Pixel i always goes to the same place: a row of indices tells where."""
    data = toy()
    task = permuted(data, 2).tasks[1]
    where = task.train.transform(torch.arange(16).view(1, 1, 4, 4)).flatten()
    assert torch.equal(data.train_x.flatten(1)[:, where], shown(task).flatten(1))
    test = next(iter(task.test)).x
    assert torch.equal(data.test_x.flatten(1)[:, where], test.flatten(1))


def test_permutations_differ_by_task_and_by_seed(toy):
    """And are the same again for the same seed, however many tasks there are."""
    data = toy()
    orders = {tuple(task.train.transform.order.tolist()) for task in permuted(data, 9).tasks[1:]}
    assert 8 == len(orders)
    again, other = permuted(data, 2), permuted(data, 2, seed=1)
    assert tuple(again.tasks[1].train.transform.order.tolist()) in orders
    assert tuple(other.tasks[1].train.transform.order.tolist()) not in orders


@given(shape=st.sampled_from([(3, 2, 2), (1, 3, 2), (2, 3), (5,)]), seed=st.integers(0, 99))
def test_a_permutation_is_undone_by_its_inverse(shape, seed):
    """For colour, grey and flat inputs, bytes among them."""
    x = torch.randint(0, 256, (4, *shape), dtype=torch.uint8)
    pixels = math.prod(shape[1:] if len(shape) == 3 else shape)
    order = torch.randperm(pixels, generator=torch.Generator().manual_seed(seed))
    moved = Permutation(order)(x)
    assert moved.dtype == torch.uint8
    assert moved.shape == x.shape
    assert torch.equal(x, Permutation(order.argsort())(moved))


def test_the_channels_of_a_pixel_stay_together():
    """Colours are moved, not mixed."""
    x = torch.randint(0, 256, (5, 3, 4, 4), dtype=torch.uint8)
    y = torch.zeros(5, dtype=torch.int64)
    task = permuted(Data("colour", x, y, x, y, ("a",)), 2).tasks[1]
    before = {tuple(pixel) for pixel in x[0].flatten(1).T.tolist()}
    assert before == {tuple(pixel) for pixel in shown(task)[0].flatten(1).T.tolist()}


@pytest.mark.parametrize("scenario", ["task", "domain", "free"])
def test_labels_stay_the_same_in_every_task(toy, scenario):
    """As many outputs as the data set has classes."""
    data = toy()
    stream = permuted(data, 3, scenario)
    assert 6 == stream.classes
    for task in stream:
        assert torch.equal(data.train_y, task.train.labels())
        assert tuple(range(6)) == task.classes


def test_in_scenario_class_each_permutation_brings_new_classes(toy):
    """Task t has labels 6t to 6t+5, in training and in test; the model needs 18 outputs."""
    data = toy()
    stream = permuted(data, 3, "class")
    assert 18 == stream.classes
    for t, task in enumerate(stream):
        assert torch.equal(data.train_y + 6 * t, task.train.labels())
        assert torch.equal(data.test_y + 6 * t, task.test.labels())
        assert tuple(range(6 * t, 6 * t + 6)) == task.classes


def test_features_of_a_regression_are_permuted_but_bring_no_classes():
    """A table's columns change places; scenario `class` is refused."""
    data = arrays(torch.rand(20, 5), torch.rand(20, 2))
    assert 2 == permuted(data, 2).classes
    assert () == permuted(data, 2).tasks[1].classes
    with pytest.raises(Impossible, match="is a regression"):
        permuted(data, 2, "class")


def test_no_tasks_are_refused(toy):
    """A stream has at least one."""
    with pytest.raises(InvalidValue, match="tasks is 0"):
        permuted(toy(), 0)
