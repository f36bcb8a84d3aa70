"""By column: tasks that follow when a row came, or from where."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from perdure.errors import Impossible, InvalidValue
from perdure.scenario import Scenario
from perdure.streams.data import as_data
from perdure.streams.dataset import Column, Data
from perdure.streams.rows import Rows
from perdure.streams.stream import Stream, Task, scenario_named


def by_column(
    dataset: str | Data,
    column: str | tuple[Any, Any],
    tasks: int | None = None,
    scenario: Scenario | str = "domain",
) -> Stream:
    """Tasks along a column that the model does not see: a time, a shop, a sensor, a person.

    With `tasks`, rows are sorted by the column and cut into so many chunks of equal size, in
    which they stay sorted; test rows go to the chunk that their value falls in. Without, each value
    is a task of its own, in ascending order. Labels are the data set's own.

    Args:
        dataset: a name that `load` knows, or the data.
        column: the name of a column of the data, or the values for training and for test rows,
            arrays (n,) and (m,) of numbers, times or strings.
        tasks: chunks; None takes one task a value.
        scenario: `domain`, `task` or `free`; `class` where a later task brings new classes.

    Raises:
        InvalidValue: no such column, values missing or of the wrong number, or a task without rows.
        Impossible: `class` where every class is there from the first task.
    """
    data, scenario = as_data(dataset), scenario_named(scenario)
    name = column if isinstance(column, str) else "column"
    train, test = _values(data, column)
    if tasks is None:
        labels = [str(value) for value in np.unique(train)]
        parts = _sources(train, test)
    else:
        if not 1 <= tasks <= len(train):
            raise InvalidValue(f"tasks is {tasks}; it must lie in [1, {len(train)}], the rows")
        parts = _chunks(train, test, tasks)
        labels = [f"{train[rows[0]]} to {train[rows[-1]]}" for rows, _ in parts]
    made = []
    for t, (own, shown) in enumerate(parts):
        id_ = None if scenario is Scenario.FREE else t
        index, shown_index = torch.from_numpy(own), torch.from_numpy(shown)
        made.append(
            Task(
                t,
                f"{name} {labels[t]}",
                Rows(data.train_x, data.train_y, task=id_, index=index, ordered=tasks is not None),
                Rows(data.test_x, data.test_y, task=id_, index=shown_index),
                classes=tuple(data.train_y[index].unique().tolist()) if data.classes else (),
            )
        )
    if scenario is Scenario.CLASS:
        _need_new_classes(data, made)
    return Stream(f"{data.name} by {name}", scenario, tuple(made), data.outputs)


def _values(data: Data, column: str | tuple[Any, Any]) -> tuple[Column, Column]:
    if isinstance(column, str):
        if column not in data.columns:
            there = ", ".join(data.columns) or "none"
            raise InvalidValue(f"{data.name} has no column {column!r}; it has {there}")
        column = data.columns[column]
    train, test = (np.asarray(values) for values in column)
    if train.shape != (len(data.train_y),) or test.shape != (len(data.test_y),):
        raise InvalidValue(
            f"the column has shapes {train.shape} and {test.shape}; {data.name} has "
            f"{len(data.train_y)} training and {len(data.test_y)} test rows"
        )
    for values in (train, test):
        # Only what is missing differs from itself: NaN and NaT, whatever the dtype.
        if bool((values != values).any()) or None in values.tolist():  # noqa: PLR0124
            raise InvalidValue("the column has missing values; leave those rows out")
        if values.dtype == object and len({type(value) for value in values.tolist()}) > 1:
            raise InvalidValue(
                "the column holds values of several types, which have no order; make all of them "
                "numbers, times or strings"
            )
    return train, test


def _sources(train: Column, test: Column) -> list[tuple[Column, Column]]:
    strangers = sorted(set(test.tolist()) - set(train.tolist()))
    if strangers:
        raise InvalidValue(f"test rows come from {strangers[:5]}, which no training row does")
    return [
        (np.flatnonzero(train == value), np.flatnonzero(test == value))
        for value in np.unique(train)
    ]


def _chunks(train: Column, test: Column, tasks: int) -> list[tuple[Column, Column]]:
    chunks = np.array_split(np.argsort(train, kind="stable"), tasks)
    edges = train[[chunk[0] for chunk in chunks[1:]]]
    chunk_of = np.searchsorted(edges, test, side="right")
    return [(chunk, np.flatnonzero(chunk_of == t)) for t, chunk in enumerate(chunks)]


def _need_new_classes(data: Data, tasks: list[Task]) -> None:
    data.need_classes("scenario 'class'")
    if not any(set(task.classes) - set(tasks[0].classes) for task in tasks):
        raise Impossible(
            "scenario 'class' needs tasks that bring new classes, and the first task has them all; "
            "use 'domain'"
        )
