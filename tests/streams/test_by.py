"""By column: tasks that follow when a row came, or from where."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from perdure.errors import Impossible, InvalidValue
from perdure.streams import Data, by_column
from perdure.streams.data import arrays


def numbered(train, test, columns=None, y=None):
    """Rows whose input is their own number."""
    x, shown = torch.arange(train)[:, None], torch.arange(test)[:, None]
    labels = torch.arange(train) % 2 if y is None else torch.tensor(y)
    classes = tuple("abcd"[: max(int(labels.max()), 1) + 1])
    return Data("rows", x, labels, shown, torch.arange(test) % 2, classes, columns or {})


def numbers(rows):
    return [row for batch in rows for row in batch.x[:, 0].tolist()]


@given(data=st.data(), tasks=st.integers(1, 4))
def test_chunks_in_time_are_even_sorted_and_hold_every_row(data, tasks):
    """Whatever the order in which rows are stored, and with equal times among them."""
    times = data.draw(st.lists(st.integers(0, 9), min_size=tasks, max_size=30))
    own = np.array(times)
    edges = [chunk[0] for chunk in np.array_split(np.sort(own), tasks)]
    shown = np.array([*edges, *range(-1, 11)])  # some in every chunk unless times are equal
    if len(set(edges)) < tasks:
        return
    stream = by_column(numbered(len(own), len(shown)), (own, shown), tasks)
    rows = [row for task in stream for row in numbers(task.train)]
    assert list(range(len(own))) == sorted(rows)
    assert sorted(times) == own[rows].tolist()
    assert {0, 1} >= {len(task.train) - len(own) // tasks for task in stream}
    for t, task in enumerate(stream):
        for time in shown[numbers(task.test)]:
            assert t == 0 or time >= edges[t]
            assert t == tasks - 1 or time < edges[t + 1]


def test_chunks_are_named_by_their_span():
    """Dates sort as dates."""
    days = np.array(["2024-03-01", "2024-01-05", "2024-02-01", "2024-04-09"], "datetime64[D]")
    stream = by_column(numbered(4, 4, {"day": (days, days)}), "day", tasks=2)
    assert [
        "day 2024-01-05 to 2024-02-01",
        "day 2024-03-01 to 2024-04-09",
    ] == [task.name for task in stream]
    assert [[1, 2], [0, 3]] == [numbers(task.train) for task in stream]
    assert [{1, 2}, {0, 3}] == [set(numbers(task.test)) for task in stream]
    assert "rows by day" == stream.name


def test_rows_in_time_are_drawn_in_time():
    """No pass shuffles them."""
    time = np.arange(6)[::-1].copy()
    stream = by_column(numbered(6, 6), (time, time), tasks=2)
    drawn = [b.x[:, 0].tolist() for b in stream.tasks[0].train.batches(2, seed=5, epochs=1)]
    assert [[5, 4], [3]] == drawn


def test_each_source_is_a_task():
    """In ascending order of its name, in training and in test."""
    shops = (
        np.array(["north", "east", "north", "east", "west"]),
        np.array(["west", "east", "north"]),
    )
    stream = by_column(numbered(5, 3), shops)
    assert ["column east", "column north", "column west"] == [task.name for task in stream]
    assert [[1, 3], [0, 2], [4]] == [numbers(task.train) for task in stream]
    assert [[1], [2], [0]] == [numbers(task.test) for task in stream]
    assert not stream.tasks[0].train.ordered


@pytest.mark.parametrize("scenario", ["task", "domain", "free"])
def test_labels_stay_the_data_sets_own(scenario):
    """With all its outputs, and task ids where there are any."""
    source = np.arange(8) // 4
    stream = by_column(numbered(8, 8), (source, source), scenario=scenario)
    assert 2 == stream.classes
    assert [0, 1, 0, 1] == stream.tasks[1].train.labels().tolist()
    task = next(iter(stream.tasks[1].train)).task
    assert task is None if scenario == "free" else [1] * 4 == task.tolist()


def test_a_regression_may_come_by_source():
    """Targets are floats, and there are no classes to name."""
    data = arrays(torch.rand(20, 3), torch.rand(20, 2), columns={"site": [1, 2] * 10}, test=0.5)
    stream = by_column(data, "site")
    assert 2 == stream.classes
    assert () == stream.tasks[0].classes
    with pytest.raises(Impossible, match="regression"):
        by_column(data, "site", scenario="class")


def test_scenario_class_needs_a_task_that_brings_a_class():
    """Where the second source has class 2 it does, and where it has none it is refused."""
    source = np.array([0, 0, 1, 1])
    stream = by_column(numbered(4, 4, y=[0, 1, 1, 2]), (source, source), scenario="class")
    assert [(0, 1), (1, 2)] == [task.classes for task in stream]
    with pytest.raises(Impossible, match="the first task has them all; use 'domain'"):
        by_column(numbered(4, 4, y=[0, 1, 1, 0]), (source, source), scenario="class")


def test_a_column_that_is_not_there_is_refused_with_those_that_are():
    """Or with none."""
    data = numbered(2, 2, {"day": (np.arange(2), np.arange(2))})
    with pytest.raises(InvalidValue, match="no column 'hour'; it has day"):
        by_column(data, "hour")
    with pytest.raises(InvalidValue, match="it has none"):
        by_column(numbered(2, 2), "hour")


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ([0, 1], [0, 1, 1], r"shapes \(2,\) and \(3,\)"),
        ([0, 1, 1], [0, 1, 2], r"from \[2\], which no training row does"),
        ([0, 1, 2], [0, 1, 1], r"task 2 \(column 2\) has 1 rows to learn from and 0"),
        ([0, 1, np.nan], [0, 1, 1], "missing values"),
        (np.array(["a", None, "b"], object), ["a", "b", "b"], "missing values"),
        (np.array(["2024", "NaT", "2023"], "M8[Y]"), np.array(["2024"] * 3, "M8[Y]"), "missing"),
    ],
    ids=["length", "stranger", "nothing to test", "nan", "none", "no time"],
)
def test_a_column_that_makes_no_tasks_is_refused(train, test, message):
    """Each with what is wrong."""
    with pytest.raises(InvalidValue, match=message):
        by_column(numbered(3, 3), (train, test))


@pytest.mark.parametrize("tasks", [0, 4])
def test_chunks_without_rows_are_refused(tasks):
    """Three rows make one to three chunks."""
    with pytest.raises(InvalidValue, match=r"\[1, 3\]"):
        by_column(numbered(3, 3), (np.arange(3), np.arange(3)), tasks)


def test_values_without_an_order_are_refused(toy):
    """Numbers among strings."""
    data = toy()
    column = tuple(
        np.array([1, "a"] * len(y), dtype=object)[: len(y)] for y in (data.train_y, data.test_y)
    )
    with pytest.raises(InvalidValue, match="several types"):
        by_column(data, column)
