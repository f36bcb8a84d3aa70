"""Continuum scenarios: task sets, one for training and one to measure on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from perdure.errors import InvalidValue
from perdure.scenario import Scenario
from perdure.streams.inputs import DatasetInputs
from perdure.streams.rows import Rows
from perdure.streams.stream import Stream, Task, scenario_named


def continuum(
    train: Iterable[Any],
    test: Iterable[Any],
    scenario: Scenario | str = "class",
    *,
    workers: int = 0,
) -> Stream:
    """The task sets of two Continuum scenarios as tasks, read when their rows are drawn.

    Args:
        train: a scenario over the training part, such as `continuum.ClassIncremental(...)`.
        test: the same scenario over the part to measure on.
        scenario: `task`, where labels become those within each task; `domain`, `class` or `free`.
        workers: processes that read ahead while a learner learns.

    Raises:
        InvalidValue: the two have different lengths.
    """
    scenario = scenario_named(scenario)
    sides = [list(train), list(test)]
    if len(sides[0]) != len(sides[1]):
        raise InvalidValue(
            f"there are {len(sides[0])} task sets for training and {len(sides[1])} for testing; "
            "make both scenarios with the same arguments"
        )
    made = []
    for t, parts in enumerate(zip(*sides, strict=True)):
        labels = [torch.as_tensor(part.get_raw_samples()[1]).long() for part in parts]
        classes = labels[0].unique()
        id_ = None if scenario is Scenario.FREE else t
        if scenario is Scenario.TASK:
            labels = [torch.searchsorted(classes, y).clamp(max=len(classes) - 1) for y in labels]
        rows = [
            Rows(DatasetInputs(part, workers), y, task=id_)
            for part, y in zip(parts, labels, strict=True)
        ]
        made.append(Task(t, f"task set {t}", rows[0], rows[1], classes=tuple(classes.tolist())))
    within = scenario is Scenario.TASK
    widths = [len(task.classes) if within else 1 + max(task.classes) for task in made]
    return Stream("continuum", scenario, tuple(made), max(widths))
